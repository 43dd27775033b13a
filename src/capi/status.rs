//! Statuses, and the wrapper that no panic passes.

use std::ffi::{CString, c_char};
use swae_filter::panics::caught;
use swae_insitu::Error;

/// @brief Result of a call. The numbers never change.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum swae_status {
    /// Success.
    SWAE_OK = 0,
    /// An argument is invalid: a null pointer, a shape, a name.
    SWAE_ERROR_ARGUMENT = 1,
    /// The call is not allowed now: a put outside a step, a step inside a step, any call after the
    /// close, or while another thread is inside a call with the same handle.
    SWAE_ERROR_STATE = 2,
    /// The model is unknown, or its file is damaged.
    SWAE_ERROR_MODEL = 3,
    /// The file cannot be created, read or written.
    SWAE_ERROR_IO = 4,
    /// Ranks, fields or boxes do not fit together: ranks pass different arguments, boxes overlap or
    /// leave gaps.
    SWAE_ERROR_MISMATCH = 5,
    /// This build, or the extension of the path, does not support it.
    SWAE_ERROR_UNSUPPORTED = 6,
    /// An internal error of the library; the message says where.
    SWAE_ERROR_INTERNAL = 7,
    /// A file or a stream is damaged, or is not one of swae.
    SWAE_ERROR_CORRUPT = 8,
    /// A file or a stream has a format version that this library does not read.
    SWAE_ERROR_VERSION = 9,
    /// The memory that the call needs is not to be had.
    SWAE_ERROR_MEMORY = 10,
}

impl From<&Error> for swae_status {
    fn from(e: &Error) -> Self {
        match e {
            Error::Argument(_) => Self::SWAE_ERROR_ARGUMENT,
            Error::State(_) => Self::SWAE_ERROR_STATE,
            Error::Model(_) => Self::SWAE_ERROR_MODEL,
            Error::Io(_) => Self::SWAE_ERROR_IO,
            Error::Mismatch(_) => Self::SWAE_ERROR_MISMATCH,
            Error::Unsupported(_) => Self::SWAE_ERROR_UNSUPPORTED,
            Error::Corrupt(_) => Self::SWAE_ERROR_CORRUPT,
            Error::Version(_) => Self::SWAE_ERROR_VERSION,
            Error::Memory(_) => Self::SWAE_ERROR_MEMORY,
            _ => Self::SWAE_ERROR_INTERNAL,
        }
    }
}

/// A failed call: its status and its message.
pub(crate) struct Failure(pub swae_status, pub String);

impl Failure {
    /// The same, with the field's name.
    pub(crate) fn of(self, name: &str) -> Self {
        Self(self.0, format!("field '{name}': {}", self.1))
    }
}

impl From<Error> for Failure {
    fn from(e: Error) -> Self {
        Self((&e).into(), e.to_string())
    }
}

/// What a rank tells the others of its failure.
impl From<&Failure> for Error {
    fn from(Failure(status, text): &Failure) -> Self {
        let error = match status {
            swae_status::SWAE_ERROR_ARGUMENT => Self::Argument,
            swae_status::SWAE_ERROR_STATE => Self::State,
            swae_status::SWAE_ERROR_MODEL => Self::Model,
            swae_status::SWAE_ERROR_IO => Self::Io,
            swae_status::SWAE_ERROR_MISMATCH => Self::Mismatch,
            swae_status::SWAE_ERROR_UNSUPPORTED => Self::Unsupported,
            swae_status::SWAE_ERROR_CORRUPT => Self::Corrupt,
            swae_status::SWAE_ERROR_VERSION => Self::Version,
            swae_status::SWAE_ERROR_MEMORY => Self::Memory,
            swae_status::SWAE_ERROR_INTERNAL | swae_status::SWAE_OK => Self::Internal,
        };
        error(text.clone())
    }
}

pub(crate) fn argument(text: impl Into<String>) -> Failure {
    Failure(swae_status::SWAE_ERROR_ARGUMENT, text.into())
}

/// The message of an object's last failed call.
#[derive(Default)]
pub(crate) struct LastError(CString);

impl LastError {
    /// Keeps the message of a failure; the status of the call.
    pub(crate) fn record(&mut self, outcome: Result<(), Failure>) -> swae_status {
        match outcome {
            Ok(()) => swae_status::SWAE_OK,
            Err(Failure(status, text)) => {
                self.0 = CString::new(text.replace(['\0', '\n'], " ")).unwrap_or_default();
                status
            }
        }
    }

    pub(crate) fn message(&self) -> *const c_char {
        self.0.as_ptr()
    }
}

/// Runs the body of an exported function, in the default floating-point environment; a panic becomes
/// `SWAE_ERROR_INTERNAL`.
pub(crate) fn catch_panics<T>(body: impl FnOnce() -> Result<T, Failure>) -> Result<T, Failure> {
    caught(body).unwrap_or_else(|text| Err(Failure(swae_status::SWAE_ERROR_INTERNAL, text)))
}
