//! Quality metrics of reconstructed fields, and pictures of them: what the program `swae` and the
//! trainer have in common.
//!
//! [`quality`] compares a reconstruction with its original, [`picture`] draws slices of both,
//! [`chart`] draws curves of compressors. Fields are arrays `[z, y, x]` of float64; nothing here
//! knows how they were compressed.

pub mod chart;
mod font;
pub mod picture;
pub mod quality;
