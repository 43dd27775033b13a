//! What can go wrong between a step and its file: the one error type of this crate.

use std::fmt::Display;
use std::path::{Path, PathBuf};

/// What can go wrong between a step and its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be created, opened, written or read.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system or the I/O library says.
        reason: String,
    },
    /// The file is not one of ours, or is damaged.
    #[error("{}: {reason}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The path's ending, this build, or the type of the values does not allow it.
    #[error("{0}")]
    Unsupported(String),
    /// A field's bytes cannot be decoded.
    #[error(transparent)]
    Codec(#[from] swae_codec::Error),
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

pub(crate) fn io(path: &Path, error: &dyn Display) -> Error {
    Error::Io { path: path.into(), reason: error.to_string() }
}

pub(crate) fn content(path: &Path, error: &dyn Display) -> Error {
    Error::Content { path: path.into(), reason: error.to_string() }
}
