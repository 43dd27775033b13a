//! `swae-train mix`: trains a mixing network on the steps of runs, and compares it on other runs
//! with the candidate predictions that it mixes.

use super::loss::{Comparison, compare};
use super::network::MixingNetwork;
use super::samples::{NO_SAMPLES, Sampling};
use super::schedule::Schedule;
use anyhow::{Result, ensure};
use clap::Args;
use std::path::PathBuf;
use swae_codec::Models;

/// What is trained, on what.
#[derive(Args, Debug)]
pub struct Mix {
    /// Files with steps of runs, at equal distances in time
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Runs to test the model on
    #[arg(long, num_args = 1..)]
    test: Vec<PathBuf>,
    /// The model file to write
    #[arg(short, long, default_value = "mixing.safetensors")]
    output: PathBuf,
    /// A model file, or the name of a built-in one, to go on from
    #[arg(long)]
    from: Option<String>,
    /// The model's name
    #[arg(long, default_value = "mixing")]
    name: String,
    /// Bounds relative to the value range of each step
    #[arg(long, value_delimiter = ',', default_value = "1e-2,3e-3,1e-3,3e-4,1e-4,1e-5")]
    bounds: Vec<f64>,
    /// Distances from step to step
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    distances: Vec<usize>,
    /// Only the first steps of each run; 0 is all
    #[arg(long, default_value_t = 0)]
    first: usize,
    /// Training samples, drawn at random
    #[arg(long, default_value_t = 1_500_000)]
    samples: usize,
    /// Optimiser steps
    #[arg(long, default_value_t = 15_000)]
    steps: usize,
    /// Samples per optimiser step
    #[arg(long, default_value_t = 1024)]
    batch: usize,
    /// Adam's rate, which falls to 0 as a cosine
    #[arg(long, default_value_t = 2e-3)]
    rate: f64,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Samples of the test runs, at most.
const TEST_SAMPLES: i64 = 200_000;

impl Mix {
    /// Trains, and writes the model.
    ///
    /// # Errors
    /// Where a run cannot be read or gives too few samples, and where the model cannot be written.
    pub fn run(&self) -> Result<()> {
        let sampling = Sampling {
            bounds: &self.bounds,
            distances: &self.distances,
            first_step: 0,
            end_step: if self.first == 0 { usize::MAX } else { self.first },
            count: self.samples,
            seed: self.seed,
        };
        let rows = sampling.collect(&self.runs)?;
        let count = rows.size()[0];
        ensure!(count >= self.batch as i64, NO_SAMPLES);
        log::info!("{count} samples");
        let network = match &self.from {
            Some(name) => MixingNetwork::of_model(&*Models::named_or_file(name)?)?,
            None => MixingNetwork::new(&rows, self.seed),
        };
        let Self { steps, batch, rate, seed, .. } = *self;
        let loss = Schedule { steps, batch, rate, seed }.train(&network, &rows, |_| ())?;
        if !self.test.is_empty() {
            self.test(&network, &sampling)?;
        }
        let provenance = [
            ("samples", count.into()),
            ("steps", steps.into()),
            ("bounds", self.bounds.clone().into()),
            ("runs", self.runs.iter().map(|r| r.display().to_string()).collect::<Vec<_>>().into()),
            ("bits_relative_to_best_candidate", loss.into()),
        ];
        network.write(&self.output, &self.name, provenance)
    }

    /// Logs how the network does on the test runs.
    fn test(&self, network: &MixingNetwork, sampling: &Sampling<'_>) -> Result<()> {
        let rows = sampling.collect(&self.test)?;
        let rows = rows.narrow(0, 0, rows.size()[0].min(TEST_SAMPLES));
        let Comparison { network, previous_and_spatial, spatial, extrapolation, previous, best } =
            compare(network, &rows);
        log::info!(
            "on other runs {network:.2} bits a block; previous step with spatial prediction \
             {previous_and_spatial:.2}, spatial prediction alone {spatial:.2}, linear extrapolation \
             {extrapolation:.2}, previous step alone {previous:.2}, the best of these four, block by block, \
             {best:.2}"
        );
        Ok(())
    }
}
