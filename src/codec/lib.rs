//! From a field in a simulation's memory to bytes and back.
//!
//! The way of the data: a [`FieldView`] over the caller's memory is cut into 8×8×8 [`blocks`], a pretrained
//! sliced-Wasserstein autoencoder ([`model`], [`network`]) turns each block into a few latents ([`latent`]), and
//! the [`stream`] holds them with a version and a checksum. Decoding runs in one canonical arithmetic
//! ([`engine`]), so that a file decodes to the same bytes on every machine.
//!
//! Axis order throughout: shapes, strides and positions are `[x, y, z]`; an `ndarray` array is `[z, y, x]`,
//! with x fastest in memory.

pub mod array;
pub mod blocks;
pub mod bounded;
#[cfg(feature = "cuda")]
mod cuda;
mod device;
pub mod engine;
mod error;
pub mod latent;
pub mod model;
pub mod network;
pub mod stream;
mod together;
mod view;

pub use bounded::{Bound, Bounded, Candidates, History, Remembered, Report, Share, Spread, Tally, Tolerance};
pub use device::Device;
pub use error::{Error, Result};
pub use latent::LatentCoding;
pub use model::{Model, ModelId, Models};
pub use stream::{
    Field, Header, Kind, Mode, advance, compress, compress_bounded, compress_boxes, compress_boxes_on,
    decompress, decompress_boxes, decompress_region, decompress_regions, lessons, tally,
};
pub use together::{Together, compress_together};
pub use view::{Dtype, FieldView, Order, Value, check_shape, contiguous, reach};
