//! Encoding: from views of the caller's memory to streams. Nothing that a reader needs is here.
//!
//! `bounded` cuts boxes into tiles and encodes them side by side; `tile` goes through the blocks of
//! one; `decide` chooses how a block is coded, at efforts `fast` and `best` with `estimate` and
//! `exhaustive`, and with `quantise`, `refine` and `verify`, and `continuation` for blocks with
//! missing points; `interfield` finds which fields of a step predict which, `links` which boxes of a
//! list lie side by side.

#![allow(clippy::arithmetic_side_effects, reason = "an encoder reads the values of a field and nothing else")]

pub(crate) mod bounded;
mod continuation;
mod decide;
mod estimate;
mod exhaustive;
pub(crate) mod interfield;
mod links;
pub(crate) mod observer;
mod quantise;
mod refine;
mod source;
mod tile;
mod verify;

mod stream;

pub use bounded::{Bounded, Report, compress_bounded};
pub use stream::{Method, compress, compress_box, compress_boxes, compress_boxes_on};
