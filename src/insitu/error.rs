//! What can go wrong in a session. Errors travel between ranks, so they are text and can be
//! serialised. Errors of the codec and of the stores become one of these.

/// What can go wrong in a session. Every rank gets the same error from a collective call.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
#[non_exhaustive]
pub enum Error {
    /// An argument says something impossible.
    #[error("{0}")]
    Argument(String),
    /// The call is not allowed now.
    #[error("{0}")]
    State(String),
    /// The model is not known, or is damaged.
    #[error("{0}")]
    Model(String),
    /// The file cannot be made or written.
    #[error("{0}")]
    Io(String),
    /// Ranks, fields or boxes of a step do not fit together.
    #[error("{0}")]
    Mismatch(String),
    /// This build, or the path's ending, does not allow it.
    #[error("{0}")]
    Unsupported(String),
    /// A file or a stream is damaged, or is not one of ours.
    #[error("{0}")]
    Corrupt(String),
    /// A file or a stream has another format version than this library reads.
    #[error("{0}")]
    Version(String),
    /// The memory that a call needs is not to be had.
    #[error("{0}")]
    Memory(String),
    /// An error of this library itself.
    #[error("{0}")]
    Internal(String),
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// The same, with where or when it happened in front.
    pub(crate) fn with(self, place: &str) -> Self {
        self.reworded(|text| format!("{place}: {text}"))
    }

    /// The same, with another one behind.
    pub(crate) fn and(self, other: &Self) -> Self {
        self.reworded(|text| format!("{text}; {other}"))
    }

    fn reworded(self, words: impl FnOnce(String) -> String) -> Self {
        match self {
            Self::Argument(text) => Self::Argument(words(text)),
            Self::State(text) => Self::State(words(text)),
            Self::Model(text) => Self::Model(words(text)),
            Self::Io(text) => Self::Io(words(text)),
            Self::Mismatch(text) => Self::Mismatch(words(text)),
            Self::Unsupported(text) => Self::Unsupported(words(text)),
            Self::Corrupt(text) => Self::Corrupt(words(text)),
            Self::Version(text) => Self::Version(words(text)),
            Self::Memory(text) => Self::Memory(words(text)),
            Self::Internal(text) => Self::Internal(words(text)),
        }
    }
}

impl From<swae_codec::Error> for Error {
    fn from(e: swae_codec::Error) -> Self {
        use swae_codec::Error as E;
        match e {
            E::Model(_) | E::ModelFile { .. } | E::UnknownModel { .. } | E::MissingModel(_) => {
                Self::Model(e.to_string())
            }
            E::Device(_) | E::Gpu { .. } => Self::Unsupported(e.to_string()),
            E::Stream(_) => Self::Corrupt(e.to_string()),
            E::Version { .. } | E::Newer(_) => Self::Version(e.to_string()),
            E::Memory(_) => Self::Memory(e.to_string()),
            _ => Self::Argument(e.to_string()),
        }
    }
}

impl From<swae_store::Error> for Error {
    fn from(e: swae_store::Error) -> Self {
        match e {
            swae_store::Error::Unsupported(what) => Self::Unsupported(what),
            swae_store::Error::Codec(e) => e.into(),
            e @ swae_store::Error::Content { .. } => Self::Corrupt(e.to_string()),
            e => Self::Io(e.to_string()),
        }
    }
}
