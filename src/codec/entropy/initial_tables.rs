//! The adaptive models that every tile begins with. They are part of the format.
//!
//! Fitted: those that tiles of evolved black holes ended with, on average (`make fit`; FITTED.md
//! beside this file).

use super::range_coder::BitModel;

/// For each model its probability, u16 little-endian, and how many decisions it is taken to have
/// seen, u8.
static TABLE: &[u8] = include_bytes!("initial_tables.bin");

/// How many models there are.
pub(crate) const MODELS: usize = TABLE.len() / 3;

/// All of them.
pub(crate) fn start() -> Vec<BitModel> {
    let bit = |b: &[u8]| BitModel::from_table(u16::from_le_bytes([b[0], b[1]]), b[2]);
    TABLE.chunks_exact(3).map(bit).collect()
}
