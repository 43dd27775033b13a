//! In-situ compression: every rank of a simulation opens a [`Session`] on its communicator, and hands over its
//! boxes of each field at each output step.
//!
//! A step goes from the program's memory to the file in three parts, which are three files here: each rank encodes its boxes
//! (`encoder`, on the node's `devices`), the ranks agree on what they have (`agreement`), and all of them write it or none does (`output`). A session
//! takes all three inside the program's calls, or leaves them to other threads (`background`).

mod agreement;
mod background;
mod claim;
mod collective;
mod devices;
mod encoder;
mod error;
mod options;
mod output;
mod session;
mod turn;

pub use devices::Devices;
pub use error::{Error, Result};
pub use mpi::ffi::MPI_Comm;
pub use options::{Asynchronous, Coding, FieldOptions, FieldSettings, Layout, Mode, Options, Settings};
pub use session::{Grid, Placed, Session, Statistics};
