//! The entropy coder: how a block's symbols become bits.
//!
//! `symbols` says which symbols a block is made of and in which context each is coded; `tables` are
//! the frequencies of each context, which adapt, and `initial_tables` those that every tile begins
//! with; `rans` writes, reads and measures symbols. What is rare has a binary `range_coder`: `mask`,
//! which points of a tile are missing, latents, and links of boxes.

pub(crate) mod initial_tables;
pub(crate) mod mask;
pub(crate) mod range_coder;
pub(crate) mod rans;
pub(crate) mod symbols;
pub(crate) mod tables;
