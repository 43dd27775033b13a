//! The C ABI: what `include/swae.h` declares, one file per kind of object.
//!
//! Every function that can fail returns a status; the message hangs on the session or the reader, or goes where the caller
//! says. No panic crosses, nothing is printed, nothing is global but where messages go and which handles are open, and MPI is
//! neither initialised nor finalised here.
#![allow(non_camel_case_types)]

mod field;
mod handle;
mod library;
mod reader;
mod session;
mod status;
mod stream;

pub use field::*;
pub use library::*;
pub use reader::*;
pub use session::*;
pub use status::*;
pub use stream::*;
