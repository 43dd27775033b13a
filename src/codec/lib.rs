//! Error-bounded lossy compression of 3-D simulation fields, with a pretrained sliced-Wasserstein
//! autoencoder at hand.
//!
//! The way of the data: a [`FieldView`] over the caller's memory is cut into 8×8×8 [`blocks`]; each
//! is predicted ([`predict`]) from its neighbours, from the steps before, from other fields or by a
//! network, and what is left is quantised, verified against the bound, and entropy-coded
//! ([`encode`]); the [`stream`] holds it with a version and checksums. Or, in latent mode, a block
//! becomes a few latents of an autoencoder ([`latent`]). Decoding ([`decode`]) runs in one
//! canonical arithmetic ([`engine`]), so that a stream decodes to the same bytes on every machine.
//!
//! ```
//! use swae_codec::{Compression, FieldView, compress, decompress};
//!
//! let values: Vec<f32> = (0..32 * 32 * 32).map(|i| (i as f32 * 1e-4).cos()).collect();
//! let view = FieldView::dense(&values, [32, 32, 32])?;
//! let bytes = compress(&view, &Compression::relative(1e-3))?;
//! let decoded = decompress::<f32>(&bytes)?;
//! # Ok::<(), swae_codec::Error>(())
//! ```
//!
//! Axis order throughout: shapes, strides and positions are `[x, y, z]`; an `ndarray` array is `[z,
//! y, x]`, with x fastest in memory.
//!
//! Features: `models` (default) brings the pretrained weights; `cuda` runs encoders on NVIDIA GPUs;
//! `training` gives samples to trainers, `fuzzing` streams to fuzzers. The crate needs no MPI, no
//! I/O library and no libtorch.

// A damaged stream or model file may say any number. Arithmetic on what is read is checked, wraps
// or saturates by intention; files where no such number comes say so.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

pub mod array;
#[cfg(feature = "training")]
pub mod benchmark;
pub mod blocks;
pub mod bound;
mod computed;
pub mod config;
#[cfg(feature = "cuda")]
mod cuda;
pub mod decode;
pub mod device;
pub mod element;
pub mod encode;
pub mod engine;
mod entropy;
mod error;
pub mod field;
pub mod floats;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod group;
pub mod history;
mod index;
pub mod latent;
mod legendre;
mod mask;
pub mod memory;
mod missing;
pub mod model;
mod model_id;
pub mod models;
pub mod network;
mod order;
pub mod preamble;
pub mod predict;
mod prefetch;
pub mod process;
mod quantum;
mod raw;
mod residual;
pub mod series;
pub mod statistics;
pub mod step;
pub mod stream;
pub mod threads;
mod tiling;
#[cfg(feature = "training")]
pub mod training;
mod vector;
pub mod view;
mod wire;

pub use bound::Bound;
pub use config::Compression;
pub use decode::decompress;
pub use element::{Dtype, Element};
pub use encode::compress;
pub use error::{Cause, Error, Result};
pub use field::Field;
pub use model::Model;
pub use models::Models;
/// The crate of the arrays that this one gives.
pub use ndarray;
pub use series::{SeriesDecoder, SeriesEncoder};
pub use view::FieldView;
