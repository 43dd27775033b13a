//! `swae-train tune`: refines a mixing network on the first steps of one's own run.
//!
//! The last of these steps is held out: the weights that predict it best are written, and the log
//! says how they compare with those of the model that was refined.

use super::loss::loss;
use super::network::MixingNetwork;
use super::samples::{NO_SAMPLES, Sampling};
use super::schedule::Schedule;
use anyhow::{Result, ensure};
use clap::Args;
use std::path::PathBuf;
use swae_codec::Models;
use swae_store::open;
use tch::{Tensor, no_grad};

/// What is refined, on what.
#[derive(Args, Debug)]
pub struct Tune {
    /// A file with the first steps of the run, at equal distances in time
    run: PathBuf,
    /// The model file to write
    #[arg(short, long, default_value = "tuned.safetensors")]
    output: PathBuf,
    /// The model's name
    #[arg(long, default_value = "tuned")]
    name: String,
    /// A model file, or the name of a built-in one, to refine
    #[arg(long, default_value = "gr-mixture")]
    from: String,
    /// Bounds relative to the value range of each step
    #[arg(long, value_delimiter = ',', default_value = "1e-2,1e-3,1e-4")]
    bounds: Vec<f64>,
    /// So many steps of the file, four at least
    #[arg(long, default_value_t = 7)]
    first: usize,
    /// Optimiser steps
    #[arg(long, default_value_t = 2000)]
    steps: usize,
    /// Adam's rate, which falls to 0 as a cosine
    #[arg(long, default_value_t = 1e-4)]
    rate: f64,
    /// Seed of the random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Samples to train on, at most.
const TRAINING_SAMPLES: usize = 400_000;
/// Samples of the step that is held out, at most.
const HELD_OUT_SAMPLES: usize = 50_000;
/// Samples per optimiser step.
const BATCH: usize = 1024;
/// Optimiser steps from one measurement on the held-out step to the next.
const EVERY: usize = 100;

/// The best weights so far.
struct Best {
    loss: f64,
    step: usize,
    variables: Vec<Tensor>,
}

fn copy(network: &MixingNetwork) -> Vec<Tensor> {
    network.variables().iter().map(|(_, v)| v.detach().copy()).collect()
}

impl Tune {
    /// Refines, and writes the model.
    ///
    /// # Errors
    /// Where the run cannot be read or gives no samples, where the model is of another kind, and
    /// where it cannot be written.
    pub fn run(&self) -> Result<()> {
        let count = open(&self.run)?.steps().len().min(self.first);
        ensure!(
            count >= 4,
            "{}: {count} steps; three to train on and one to test on are needed",
            self.run.display()
        );
        let network = MixingNetwork::of_model(&*Models::named_or_file(&self.from)?)?;
        let [rows, held_out] = self.samples(count)?;
        ensure!(rows.size()[0] > 0 && held_out.size()[0] > 0, NO_SAMPLES);
        log::info!("{} samples", rows.size()[0]);

        let measure = || no_grad(|| loss(&network, &held_out)).double_value(&[]);
        let before = measure();
        let mut best = Best { loss: before, step: 0, variables: copy(&network) };
        let schedule = Schedule { steps: self.steps, batch: BATCH, rate: self.rate, seed: self.seed };
        schedule.train(&network, &rows, |step| {
            if step % EVERY == 0 {
                let loss = measure();
                if loss < best.loss {
                    best = Best { loss, step, variables: copy(&network) };
                }
            }
        })?;
        no_grad(|| network.variables().iter_mut().zip(&best.variables).for_each(|((_, v), b)| v.copy_(b)));
        log::info!(
            "on step {count} of the file, held out: {:.4} of the best candidate's bits, after {} optimiser \
             steps; with '{}' {before:.4}",
            best.loss,
            best.step,
            self.from
        );
        let provenance = [
            ("from", self.from.clone().into()),
            ("samples", rows.size()[0].into()),
            ("steps", best.step.into()),
            ("bounds", self.bounds.clone().into()),
            ("runs", vec![self.run.display().to_string()].into()),
            ("held_out_loss", best.loss.into()),
            ("held_out_loss_before", before.into()),
        ];
        network.write(&self.output, &self.name, provenance)
    }

    /// Rows of all of the first `count` steps but the last, and rows of the last.
    fn samples(&self, count: usize) -> Result<[Tensor; 2]> {
        let training = Sampling {
            bounds: &self.bounds,
            distances: &[1],
            first_step: 0,
            end_step: count - 1,
            count: TRAINING_SAMPLES,
            seed: self.seed,
        };
        let held_out =
            Sampling { first_step: count - 1, end_step: count, count: HELD_OUT_SAMPLES, ..training.clone() };
        let runs = [self.run.clone()];
        Ok([training.collect(&runs)?, held_out.collect(&runs)?])
    }
}
