//! The C ABI: what `include/swae.h` declares, one file per kind of object.
//!
//! Every function returns a status; the message hangs on the session. No panic crosses, nothing is printed, nothing is
//! global, and MPI is neither initialised nor finalised here.
#![allow(non_camel_case_types)]

mod field;
mod session;
mod status;

pub use field::*;
pub use session::*;
pub use status::*;
