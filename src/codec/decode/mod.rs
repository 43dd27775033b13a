//! Decoding: from streams to values. Nothing that a writer needs is here.
//!
//! `stream` gives boxes, regions of them, or fills the caller's memory; `bounded` decodes the tiles
//! of a bounded payload side by side; `tile` goes through the blocks of one; `savings` estimates
//! what the selected predictors saved.

mod bounded;
mod savings;
mod stream;
pub(crate) mod tile;

pub use stream::{
    advance, block_statistics, decompress, decompress_box, decompress_boxes, decompress_region,
    decompress_regions, decompress_regions_into,
};
