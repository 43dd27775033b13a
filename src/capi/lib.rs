//! The C ABI: what `include/swae.h` declares, one file per kind of object.
//!
//! Every function that can fail returns a status; the message belongs to the session or the reader,
//! or goes where the caller says. No panic crosses the boundary and nothing is printed. The only
//! global state is the log callback and the tables of open handles. MPI is neither initialised nor
//! finalised here.
#![allow(non_camel_case_types)]
// The contract of each exported function is its `@param` lines, which the header shows to those who
// must keep it.
#![allow(clippy::missing_safety_doc)]
// Doxygen's `@param[out]` is no link.
#![allow(rustdoc::broken_intra_doc_links)]

mod extensible;
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
