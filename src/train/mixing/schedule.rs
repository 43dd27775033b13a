//! The training loop of a mixing network, on rows of samples that are in memory. `mix.rs` and
//! `tune.rs` say for how long, and look at the network meanwhile.

use super::loss::loss;
use super::network::MixingNetwork;
use crate::adam::Adam;
use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use tch::{Kind, Tensor};

/// How long a network is trained, and how fast.
pub(super) struct Schedule {
    /// Optimiser steps.
    pub steps: usize,
    /// Samples per step.
    pub batch: usize,
    /// Adam's rate, which falls to 0 as a cosine.
    pub rate: f64,
    /// Seed of the random numbers.
    pub seed: u64,
}

impl Schedule {
    /// Trains a network on rows of samples, and calls `observe` after each step with the number of
    /// steps so far. Returns the running mean of the loss.
    pub fn train(
        &self,
        network: &MixingNetwork,
        rows: &Tensor,
        mut observe: impl FnMut(usize),
    ) -> Result<f64> {
        tch::manual_seed(self.seed as i64);
        let mut adam = Adam::new(network.variables());
        let bar = ProgressBar::new(self.steps as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {eta} left");
        bar.set_style(style.context("the bar's template")?);
        let mut mean = 0.0;
        for step in 0..self.steps {
            let shape = [self.batch as i64];
            let drawn = Tensor::randint(rows.size()[0], shape, (Kind::Int64, tch::Device::Cpu));
            let loss = loss(network, &rows.index_select(0, &drawn));
            let variables: Vec<Tensor> = network.variables().into_iter().map(|(_, v)| v).collect();
            let gradients = Tensor::run_backward(&[&loss], &variables, false, false);
            let progress = step as f64 / self.steps as f64;
            adam.step(&gradients, self.rate * 0.5 * (1.0 + (std::f64::consts::PI * progress).cos()));
            mean += (loss.double_value(&[]) - mean) / (step as f64 + 1.0).min(500.0);
            bar.set_message(format!("{mean:.4} of the best candidate's bits"));
            bar.inc(1);
            if (step + 1) % 1000 == 0 {
                log::info!("{} steps, {mean:.4} of the best candidate's bits", step + 1);
            }
            observe(step + 1);
        }
        bar.finish();
        Ok(mean)
    }
}
