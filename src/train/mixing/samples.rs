//! Training samples of runs, as rows of a tensor: the encoder's candidate predictions and context
//! features of a block, and the block's true coefficients.
//!
//! The codec gives a [`TrainingSample`] for each block that it encodes; which of them stay is drawn
//! at random. Only this file knows how a row is laid out.

use anyhow::{Context, Result};
use rayon::prelude::*;
use std::path::PathBuf;
use std::sync::Mutex;
use swae_codec::encode::Bounded;
use swae_codec::history::History;
use swae_codec::predict::mixing::{INPUTS, OTHERS};
use swae_codec::training::{SAMPLE_COEFFICIENTS, TrainingSample, training_samples};
use swae_codec::{Bound, Field, FieldView};
use swae_store::{Decoder, open};
use tch::Tensor;

/// Numbers of a row: inputs, differences of the candidates, truth, step.
const ROW: usize = INPUTS + (OTHERS + 1) * SAMPLE_COEFFICIENTS + 1;

/// The message where runs give too few samples.
pub(super) const NO_SAMPLES: &str =
    "too few training samples: the runs have fewer than three steps, or are too small";

/// What the network gets of each row, `[row, input]`.
pub(super) fn inputs(rows: &Tensor) -> Tensor {
    rows.narrow(1, 0, INPUTS as i64)
}

/// What the loss gets of each row.
pub(super) struct Labels {
    /// The other candidates less the first, `[row, coefficient, candidate]`.
    pub differences: Tensor,
    /// The true coefficients less those of the first candidate, `[row, coefficient]`.
    pub truth: Tensor,
    /// The quantisation step, `[row, 1]`.
    pub step: Tensor,
}

/// All of the rows but the inputs.
pub(super) fn labels(rows: &Tensor) -> Labels {
    let [inputs, coefficients, others] = [INPUTS, SAMPLE_COEFFICIENTS, OTHERS].map(|n| n as i64);
    let differences = rows.narrow(1, inputs, others * coefficients);
    Labels {
        differences: differences.view([-1, others, coefficients]).transpose(1, 2),
        truth: rows.narrow(1, inputs + others * coefficients, coefficients),
        step: rows.narrow(1, inputs + (others + 1) * coefficients, 1),
    }
}

/// Which samples of runs are collected.
#[derive(Clone, Debug)]
pub(super) struct Sampling<'a> {
    /// Bounds relative to the value range of each step.
    pub bounds: &'a [f64],
    /// Distances from step to step.
    pub distances: &'a [usize],
    /// The first step whose samples are collected.
    pub first_step: usize,
    /// One beyond the last step that is read.
    pub end_step: usize,
    /// How many samples, at random.
    pub count: usize,
    /// Seed of the random numbers.
    pub seed: u64,
}

/// A field of a run.
struct Series {
    run: PathBuf,
    field: String,
}

impl Series {
    fn all(runs: &[PathBuf]) -> Result<Vec<Self>> {
        let mut series = Vec::new();
        for run in runs {
            let reader = open(run)?;
            let last = reader.steps().last().with_context(|| format!("{}: no step", run.display()))?;
            series.extend(
                last.fields.iter().map(|(info, _)| Self { run: run.clone(), field: info.name.clone() }),
            );
        }
        Ok(series)
    }

    /// Its first steps, decoded.
    fn steps(&self, end: usize) -> Result<Vec<Field>> {
        let mut reader = open(&self.run)?;
        let mut decoder = Decoder::remembering();
        let count = reader.steps().len().min(end);
        (0..count).map(|i| Ok(decoder.read_field(reader.as_mut(), i, &self.field, None)?)).collect()
    }
}

/// Rows drawn from a sequence of unknown length: each sample stays with the same probability
/// (reservoir sampling; Vitter, ACM TOMS 1985, algorithm R).
struct Reservoir {
    rows: Vec<f32>,
    capacity: usize,
    offered: usize,
    random: fastrand::Rng,
}

impl Reservoir {
    fn offer(&mut self, sample: &TrainingSample) {
        let TrainingSample { inputs, differences, truth, step } = sample;
        let row = inputs.iter().chain(differences).chain(truth).chain([step]);
        if self.offered < self.capacity {
            self.rows.extend(row);
        } else {
            let place = self.random.usize(0..=self.offered);
            if place < self.capacity {
                self.rows[place * ROW..][..ROW].iter_mut().zip(row).for_each(|(to, v)| *to = *v);
            }
        }
        self.offered += 1;
    }
}

impl Sampling<'_> {
    /// Rows of samples of all fields of all runs, `[row, number]`: as many of each field, bound and
    /// distance.
    ///
    /// # Errors
    /// Where a run cannot be read or has no step.
    pub fn collect(&self, runs: &[PathBuf]) -> Result<Tensor> {
        let series = Series::all(runs)?;
        let parts = series.len() * self.bounds.len() * self.distances.len();
        let capacity = self.count.div_ceil(parts.max(1));
        let of_series = |(i, series): (usize, &Series)| {
            let steps = series.steps(self.end_step)?;
            let mut random = fastrand::Rng::with_seed(self.seed << 32 | i as u64);
            let mut rows = Vec::new();
            for &bound in self.bounds {
                for &distance in self.distances {
                    let random = random.fork();
                    let reservoir = Reservoir { rows: Vec::new(), capacity, offered: 0, random };
                    rows.extend(self.encode(steps.iter().enumerate(), bound, distance, reservoir)?);
                }
            }
            Ok(rows)
        };
        let rows = series.par_iter().enumerate().map(of_series).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::from_slice(&rows.concat()).view([-1, ROW as i64]))
    }

    /// Encodes every `distance`-th of these steps, and draws rows from the samples.
    fn encode<'f>(
        &self,
        steps: impl Iterator<Item = (usize, &'f Field)>,
        bound: f64,
        distance: usize,
        reservoir: Reservoir,
    ) -> Result<Vec<f32>> {
        let reservoir = Mutex::new(reservoir);
        let settings = Bounded::new(Bound::Relative(bound));
        let mut history = History::new(u32::MAX);
        for (number, step) in steps.step_by(distance.max(1)) {
            let collect = |sample: TrainingSample| {
                if number >= self.first_step {
                    reservoir.lock().expect("no thread panicked").offer(&sample);
                }
            };
            match step {
                Field::F32(a) => {
                    training_samples(&[FieldView::of_array(a)?], &settings, &mut history, &collect)?;
                }
                Field::F64(a) => {
                    training_samples(&[FieldView::of_array(a)?], &settings, &mut history, &collect)?;
                }
            }
        }
        Ok(reservoir.into_inner()?.rows)
    }
}
