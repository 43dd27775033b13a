//! What can go wrong between a step and its file: the one error type of this crate.

use std::path::{Path, PathBuf};

/// What an error comes from: that of the operating system or of a library, or a text.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong between a step and its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be created, opened, written or read.
    #[error("{}: {cause}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system or the I/O library says.
        #[source]
        cause: Cause,
    },
    /// The file is not one of ours, or is damaged.
    #[error("{}: {cause}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: Cause,
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

pub(crate) fn io(path: &Path, cause: impl Into<Cause>) -> Error {
    Error::Io { path: path.into(), cause: cause.into() }
}

pub(crate) fn content(path: &Path, cause: impl Into<Cause>) -> Error {
    Error::Content { path: path.into(), cause: cause.into() }
}

/// An error of reading: those of the codec as they are; all else is wrong with the file.
pub(crate) fn reading(path: &Path, cause: Cause) -> Error {
    match cause.downcast::<swae_codec::Error>() {
        Ok(error) => Error::Codec(*error),
        Err(cause) => content(path, cause),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::error::Error as _;

    #[test]
    fn errors_keep_their_cause() {
        let full = std::io::Error::from_raw_os_error(28);
        let error = io(Path::new("a.h5"), full);
        let cause = error.source().and_then(|e| e.downcast_ref::<std::io::Error>());
        assert_eq!(cause.and_then(std::io::Error::raw_os_error), Some(28));
        let memory = reading(Path::new("a.h5"), swae_codec::Error::Memory(7).into());
        assert!(matches!(memory, Error::Codec(swae_codec::Error::Memory(7))));
    }
}
