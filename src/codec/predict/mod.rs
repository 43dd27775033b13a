//! What blocks are predicted from, by writer and reader alike.
//!
//! A block's prediction is the sum of two parts: what a [`Predictor`] says of it (the steps before
//! in `temporal`, other fields in `interfield`, a network in `autoencoder` or `mixing`), and, where
//! the stream says so, how the coded neighbours differ from theirs (`spatial`). A `tile` holds the
//! decoded blocks that both parts are computed from; a `reference` is what is left of a tile for
//! the next step. CONTRIBUTING.md tells how a predictor is added.

pub(crate) mod autoencoder;
pub(crate) mod interfield;
pub(crate) mod links;
pub mod mixing;
pub(crate) mod reference;
pub(crate) mod spatial;
pub(crate) mod temporal;
pub(crate) mod tile;

mod predictor;

pub(crate) use predictor::PredictorMask;
pub use predictor::{Predictor, PredictorSet};
