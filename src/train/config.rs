//! The configuration of `swae-train fit`: a TOML file, in which unknown keys are errors.
//! docs/training.md has a table of the keys.

use crate::loss::{Prior, Reconstruction};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use swae_codec::model::Architecture;

/// A training run.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Name of the model.
    pub name: String,
    /// The model file to write.
    pub output: PathBuf,
    /// The network.
    #[serde(default)]
    pub architecture: Architecture,
    /// What to train on.
    pub data: Data,
    /// How.
    #[serde(default)]
    pub training: Training,
}

/// A source of blocks.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Data {
    /// `sin(2πk₁x)·sin(2πk₂y)·sin(2πk₃z)`, k ∈ {2..6}, made on the fly.
    Math {
        /// Points along the unit cube's edge; one is drawn for each block.
        resolutions: Vec<usize>,
    },
    /// Fields in files that the library wrote.
    Files {
        /// The files.
        paths: Vec<PathBuf>,
        /// Files of other runs, which are not trained on: metrics give the error on their blocks.
        #[serde(default)]
        validation: Vec<PathBuf>,
        /// Blocks whose standard deviation is below this fraction of their field's value range are
        /// left out: they are stored as good as exactly whatever the network does.
        #[serde(default = "least_deviation")]
        least_deviation: f64,
        /// A block is drawn with a probability proportional to (its standard deviation / its
        /// field's value range) to this power: 0 draws all alike, 1 favours those that the error of
        /// the field comes from.
        #[serde(default)]
        emphasis: f64,
    },
}

fn least_deviation() -> f64 {
    1e-4
}

/// How to train.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Training {
    /// Optimiser steps.
    pub steps: usize,
    /// Blocks per step.
    pub batch: usize,
    /// The batch is cut into so many parts, which a rank works on side by side, a thread for each.
    /// Trainings with the same parts give the same model, bit for bit, on 1, 2, 4, … ranks of a
    /// kind, up to this number (a power of two).
    pub parts: usize,
    /// Greatest learning rate (Adam); it rises over the first 5 % of the steps and falls to 0 as a
    /// cosine.
    pub rate: f64,
    /// What a difference from the original costs.
    pub loss: Reconstruction,
    /// λ, the weight of the sliced-Wasserstein distance.
    pub swd_weight: f64,
    /// What it is the distance to.
    pub prior: Prior,
    /// Random directions of that distance.
    pub projections: i64,
    /// Quantisation step of the latents, for the two that follow: about 1/32 with `u8` and N(0, 1).
    pub latent_step: f64,
    /// What happens to the latents on their way to the decoder.
    pub latents: Latents,
    /// μ, the weight of the bits that a block's latents take with that quantisation step.
    pub bits_weight: f64,
    /// Seed of everything random.
    pub seed: u64,
    /// A checkpoint is saved every so many minutes.
    pub checkpoint_minutes: f64,
}

/// What happens to the latents between encoder and decoder in training. The gradient passes as if
/// it were nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Latents {
    /// Nothing.
    #[default]
    Exact,
    /// They are rounded to multiples of the quantisation step (straight-through, Bengio et al.
    /// 2013).
    Rounded,
    /// Uniform noise of the width of a step is added (Ballé et al., ICLR 2017).
    Noisy,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            steps: 20_000,
            batch: 512,
            parts: 8,
            rate: 2e-3,
            loss: Reconstruction::Mse,
            swd_weight: 10.0,
            prior: Prior::Normal,
            projections: 50,
            latent_step: 1.0 / 32.0,
            latents: Latents::Exact,
            bits_weight: 0.0,
            seed: 1,
            checkpoint_minutes: 10.0,
        }
    }
}
