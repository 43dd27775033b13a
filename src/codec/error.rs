use crate::model_id::ModelId;

/// What another library or the system says of a failure.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong between a field and its bytes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The description of a field does not fit its memory, or says something impossible.
    #[error("{0}")]
    Shape(String),
    /// Settings that say something impossible, or nothing that is known.
    #[error("{0}")]
    Config(String),
    /// An error bound that is none.
    #[error("{0}")]
    Bound(String),
    /// The bytes are not a stream of ours, or were damaged.
    #[error("damaged or foreign stream: {0}")]
    Stream(String),
    /// The stream is of another format version.
    #[error("the stream has format version {found}, this library reads version {known}")]
    Version {
        /// The version in the stream.
        found: u16,
        /// The version that this library reads.
        known: u16,
    },
    /// The stream is whole, and of this format version, but something in it is not known: a later
    /// library has written it.
    #[error("the stream has {0}, which this library does not know; use a newer swae")]
    Newer(String),
    /// A model file is not one, or its network is not one that this library runs.
    #[error("not a model that this library can run: {0}")]
    Model(String),
    /// A model file cannot be read.
    #[error("not a model that this library can run: {place}{source}")]
    ModelFile {
        /// Where: the file's name and a colon, or nothing.
        place: String,
        /// What the system or the file's format says.
        source: Cause,
    },
    /// The memory that a field needs is not to be had.
    #[error("{0} bytes of memory are not to be had")]
    Memory(usize),
    /// A device is not there or has failed.
    #[error("{0}")]
    Device(String),
    /// A GPU has failed.
    #[error("GPU {number}: {source}")]
    Gpu {
        /// The driver's number of it.
        number: usize,
        /// What the driver says.
        source: Cause,
    },
    /// No model of this name is known.
    #[error("no model named '{name}'; built in: {}", .known.join(", "))]
    UnknownModel {
        /// The name that was asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A stream names a model that is neither built in nor given.
    #[error(
        "the data were encoded with model {0}, which is neither built in nor in the file; pass it with --model"
    )]
    MissingModel(ModelId),
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;
