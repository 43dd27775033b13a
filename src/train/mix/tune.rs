//! `swae-train tune`: refines a model that weighs predictions on the first steps of one's own run.
//!
//! The last of these steps is kept aside: the weights written are those that foretell it best, and where none do better than
//! those that the model came with, it says so.

use super::lessons::Lessons;
use super::loss::loss;
use super::net::Net;
use super::{Schedule, TEACHES_NOTHING, table};
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
    /// Bounds relative to the range of each step
    #[arg(long, value_delimiter = ',', default_value = "1e-2,1e-3,1e-4")]
    bounds: Vec<f64>,
    /// Only so many steps of the file, four at least
    #[arg(long, default_value_t = 7)]
    first: usize,
    /// Steps of training
    #[arg(long, default_value_t = 2000)]
    steps: usize,
    /// Adam's rate, which falls to 0 along a cosine
    #[arg(long, default_value_t = 1e-4)]
    rate: f64,
    /// What chance starts from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Lessons to learn from, at most.
const LESSONS: usize = 400_000;
/// Lessons of the step that is kept aside.
const ASIDE: usize = 50_000;
/// Steps of training between two looks at it.
const EVERY: usize = 100;

impl Tune {
    /// Refines, and writes the model.
    ///
    /// # Errors
    /// Where the run cannot be read or teaches nothing, where the model is of another kind, and where it cannot be written.
    pub fn run(&self) -> Result<()> {
        let count = open(&self.run)?.steps().len().min(self.first);
        ensure!(
            count >= 4,
            "{}: {count} steps; three to learn from and one to test are needed",
            self.run.display()
        );
        let net = Net::of_model(&*Models::named_or_file(&self.from)?)?;
        let all = Lessons {
            bounds: &self.bounds,
            distances: &[1],
            since: 0,
            end: count - 1,
            count: LESSONS,
            seed: self.seed,
        };
        let aside = Lessons { since: count - 1, end: count, count: ASIDE, ..all.clone() };
        let runs = [self.run.clone()];
        let [data, aside] = [all.gather(&runs)?, aside.gather(&runs)?].map(|rows| table(&rows));
        let schedule = Schedule { steps: self.steps, batch: 1024, rate: self.rate, seed: self.seed };
        ensure!(data.size()[0] > 0 && aside.size()[0] > 0, TEACHES_NOTHING);
        log::info!("{} lessons", data.size()[0]);

        let look = || no_grad(|| loss(&net, &aside)).double_value(&[]);
        let copy = || -> Vec<Tensor> { net.variables().iter().map(|(_, v)| v.detach().copy()).collect() };
        let begin = look();
        let (mut best, mut at, mut kept) = (begin, 0, copy());
        schedule.train(&net, &data, |step| {
            if step % EVERY == 0 {
                let now = look();
                if now < best {
                    (best, at, kept) = (now, step, copy());
                }
            }
        })?;
        no_grad(|| net.variables().iter_mut().zip(&kept).for_each(|((_, v), kept)| v.copy_(kept)));
        log::info!(
            "on step {count} of the file, kept aside: {best:.4} of the bits that the best opinion leaves, after {at} steps; with \
             '{}' {begin:.4}",
            self.from
        );
        let provenance = [
            ("from", self.from.clone().into()),
            ("lessons", data.size()[0].into()),
            ("steps", at.into()),
            ("bounds", self.bounds.clone().into()),
            ("runs", vec![self.run.display().to_string()].into()),
            ("aside", best.into()),
            ("aside_before", begin.into()),
        ];
        net.write(&self.output, &self.name, provenance)
    }
}
