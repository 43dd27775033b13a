//! `swae-train mix`: trains the network that weighs the predictions of bounded mode, and `swae-train tune`, which refines it.
//!
//! Every field of every run is coded as a series, at several bounds and step distances; what the encoder foretold of a
//! block and what the block was is a lesson. The loss is an estimate of the bits that the quantised residual takes.

mod lessons;
mod loss;
mod net;
mod tune;

pub use tune::Tune;

use crate::adam::Adam;
use anyhow::{Context, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use lessons::Lessons;
use loss::ROW;
use net::Net;
use std::path::PathBuf;
use swae_codec::Models;
use tch::{Kind, Tensor};

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
    #[arg(short, long, default_value = "mixture.safetensors")]
    output: PathBuf,
    /// A model file, or the name of a built-in one, to go on from
    #[arg(long)]
    from: Option<String>,
    /// The model's name
    #[arg(long, default_value = "mixture")]
    name: String,
    /// Bounds relative to the range of each step
    #[arg(long, value_delimiter = ',', default_value = "1e-2,3e-3,1e-3,3e-4,1e-4,1e-5")]
    bounds: Vec<f64>,
    /// Distances of steps
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    distances: Vec<usize>,
    /// Only the first steps of each run; 0 is all
    #[arg(long, default_value_t = 0)]
    first: usize,
    /// Lessons to learn from, at random
    #[arg(long, default_value_t = 1_500_000)]
    lessons: usize,
    /// Steps of training
    #[arg(long, default_value_t = 15_000)]
    steps: usize,
    /// Lessons a step
    #[arg(long, default_value_t = 1024)]
    batch: usize,
    /// Adam's rate, which falls to 0 along a cosine
    #[arg(long, default_value_t = 2e-3)]
    rate: f64,
    /// What chance starts from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// How long to learn, and how fast.
struct Schedule {
    steps: usize,
    /// Lessons a step.
    batch: usize,
    /// Adam's rate, which falls to 0 along a cosine.
    rate: f64,
    /// What chance starts from.
    seed: u64,
}

impl Mix {
    /// Trains, and writes the model.
    ///
    /// # Errors
    /// Where a run cannot be read or teaches nothing, and where the model cannot be written.
    pub fn run(&self) -> Result<()> {
        let lessons = Lessons {
            bounds: &self.bounds,
            distances: &self.distances,
            since: 0,
            end: if self.first == 0 { usize::MAX } else { self.first },
            count: self.lessons,
            seed: self.seed,
        };
        let data = table(&lessons.gather(&self.runs)?);
        let count = data.size()[0];
        ensure!(count >= self.batch as i64, TEACHES_NOTHING);
        log::info!("{count} lessons");
        let net = match &self.from {
            Some(name) => Net::of_model(&*Models::named_or_file(name)?)?,
            None => Net::new(&data, self.seed),
        };
        let Self { steps, batch, rate, seed, .. } = *self;
        let mean = Schedule { steps, batch, rate, seed }.train(&net, &data, |_| ())?;
        if !self.test.is_empty() {
            let data = table(&lessons.gather(&self.test)?);
            let data = data.narrow(0, 0, data.size()[0].min(200_000));
            let [network, first, neighbours, further, still, best] = loss::compare(&net, &data);
            log::info!(
                "on other runs {network:.2} bits a block; the step before with the neighbours' change {first:.2}, the \
                 neighbours {neighbours:.2}, both steps continued {further:.2}, the step before {still:.2}, the best of these \
                 four, chosen block by block, {best:.2}"
            );
        }
        let provenance = [
            ("lessons", count.into()),
            ("steps", steps.into()),
            ("bounds", self.bounds.clone().into()),
            ("runs", self.runs.iter().map(|r| r.display().to_string()).collect::<Vec<_>>().into()),
            ("bits_beside_the_best_opinion", mean.into()),
        ];
        net.write(&self.output, &self.name, provenance)
    }
}

const TEACHES_NOTHING: &str = "the runs teach nothing: fewer than three steps, or too small";

/// Rows of lessons, as a tensor.
fn table(rows: &[f32]) -> Tensor {
    Tensor::from_slice(rows).view([-1, ROW as i64])
}

impl Schedule {
    /// Trains a network on rows of lessons, and says after each step how many there were. Returns the running mean of the loss.
    fn train(&self, net: &Net, data: &Tensor, mut show: impl FnMut(usize)) -> Result<f64> {
        tch::manual_seed(self.seed as i64);
        let mut adam = Adam::new(net.variables());
        let bar = ProgressBar::new(self.steps as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {eta} left");
        bar.set_style(style.context("the bar's template")?);
        let mut mean = 0.0;
        for step in 0..self.steps {
            let shape = [self.batch as i64];
            let some = Tensor::randint(data.size()[0], shape, (Kind::Int64, tch::Device::Cpu));
            let loss = loss::loss(net, &data.index_select(0, &some));
            let variables: Vec<Tensor> = net.variables().into_iter().map(|(_, v)| v).collect();
            let gradients = Tensor::run_backward(&[&loss], &variables, false, false);
            let along = step as f64 / self.steps as f64;
            adam.step(&gradients, self.rate * 0.5 * (1.0 + (std::f64::consts::PI * along).cos()));
            mean += (loss.double_value(&[]) - mean) / (step as f64 + 1.0).min(500.0);
            bar.set_message(format!("{mean:.4} of the best opinion's bits"));
            bar.inc(1);
            if (step + 1) % 1000 == 0 {
                log::info!("{} steps, {mean:.4} of the bits that the best opinion leaves", step + 1);
            }
            show(step + 1);
        }
        bar.finish();
        Ok(mean)
    }
}
