//! In-situ compression: every rank of a simulation opens a [`Session`] on its communicator, and hands over its
//! boxes of each field at each output step.
//!
//! A put encodes at once, on the rank's cores, and involves no other rank. `end_step` makes the step whole: the ranks tell
//! each other in one exchange what they have ([`agreement`]), all come to the same verdict, and either all write or
//! none does.

pub mod agreement;
mod error;
mod options;
mod session;

pub use error::{Error, Result};
pub use mpi::ffi::MPI_Comm;
pub use options::{Coding, FieldOptions, FieldSettings, Mode, Options, Settings};
pub use session::{Grid, Placed, Session};
