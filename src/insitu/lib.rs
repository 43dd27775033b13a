//! In-situ compression: every rank of a simulation opens a [`Session`] on its communicator, and hands
//! over its boxes of each field at each output step. Each rank encodes its boxes (`encoder`, on its
//! share of the node's devices, `device_pool`), what all ranks have is validated (`validation`), and
//! all of them write it or none does (`output`): inside the program's calls, or in other threads
//! (`background`).

mod background;
mod collective;
mod device_pool;
mod devices;
mod encoder;
mod error;
mod file_lock;
mod lock;
mod lock_ticket;
mod open;
mod open_files;
mod options;
mod output;
mod owner;
mod pipeline;
mod session;
mod step;
mod validation;
mod written;

pub use devices::Devices;
pub use error::{Error, Result};
pub use mpi::ffi::MPI_Comm;
pub use options::{Asynchronous, FieldOptions, FieldSettings, Options, RangeOf, Repeat, Settings, Storage};
pub use owner::Session;
pub use session::Statistics;
pub use step::{Grid, Placed};
