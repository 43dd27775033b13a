//! The entropy coder: how a block's symbols become bits.
//!
//! `symbols` says which binary decisions a block is made of and in which context each is made;
//! `range_coder` writes, reads and measures decisions with adaptive models; `initial_tables` are
//! the models that every tile begins with; `mask` codes which points of a tile are missing.

pub(crate) mod initial_tables;
pub(crate) mod mask;
pub(crate) mod range_coder;
pub(crate) mod symbols;
