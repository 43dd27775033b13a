//! What series of steps teach: what the encoder foretold of a block, and what the block was.

use super::loss::ROW;
use anyhow::{Context, Result};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use swae_codec::encode::Bounded;
use swae_codec::history::History;
use swae_codec::predict::mixing::TrainingSample;
use swae_codec::training::training_samples;
use swae_codec::{Bound, Field, FieldView};
use swae_store::{Decoder, open};

/// Which lessons to take.
#[derive(Clone, Debug)]
pub struct Lessons<'a> {
    /// Bounds relative to the range of each step.
    pub bounds: &'a [f64],
    /// Distances of steps.
    pub distances: &'a [usize],
    /// The step that teaches first, and the end of those that are read.
    pub since: usize,
    pub end: usize,
    /// How many, at random.
    pub count: usize,
    /// What chance starts from.
    pub seed: u64,
}

impl Lessons<'_> {
    /// Lessons of all fields of all runs, one row after the other, as many of each.
    ///
    /// # Errors
    /// Where a run cannot be read or has no step.
    pub fn gather(&self, runs: &[PathBuf]) -> Result<Vec<f32>> {
        let mut series = Vec::new();
        for run in runs {
            let reader = open(run)?;
            let last = reader.steps().last().with_context(|| format!("{}: no step", run.display()))?;
            series.extend(last.fields.iter().map(|(info, _)| (run.clone(), info.name.clone())));
        }
        let ways = series.len() * self.bounds.len() * self.distances.len();
        let each = self.count.div_ceil(ways);
        let one = |(i, (run, name)): (usize, &(PathBuf, String))| {
            let steps = self.load(run, name)?;
            let mut random = fastrand::Rng::with_seed(self.seed << 32 | i as u64);
            let mut rows = Vec::new();
            for &bound in self.bounds {
                for &distance in self.distances {
                    rows.extend(self.learn(&steps, bound, distance.max(1), each, &mut random)?);
                }
            }
            Ok(rows)
        };
        let rows = series.par_iter().enumerate().map(one).collect::<Result<Vec<_>>>()?;
        Ok(rows.concat())
    }

    fn load(&self, run: &Path, name: &str) -> Result<Vec<Field>> {
        let mut reader = open(run)?;
        let mut decoder = Decoder::remembering();
        let count = reader.steps().len().min(self.end);
        (0..count).map(|i| Ok(decoder.read_field(reader.as_mut(), i, name, None)?)).collect()
    }

    /// Some of the lessons of a series, as rows.
    fn learn(
        &self,
        steps: &[Field],
        bound: f64,
        distance: usize,
        count: usize,
        random: &mut fastrand::Rng,
    ) -> Result<Vec<f32>> {
        let heard = Mutex::new((Vec::new(), 0usize, random.fork()));
        let hear = |lesson: TrainingSample| {
            // Reservoir sampling: each lesson is as likely to stay as any other.
            let (rows, seen, random) = &mut *heard.lock().expect("no thread panicked");
            let row = || lesson.inputs.iter().chain(&lesson.apart).chain(&lesson.truth).chain([&lesson.step]);
            if *seen < count {
                rows.extend(row());
            } else {
                let place = random.usize(0..=*seen);
                if place < count {
                    rows[place * ROW..][..ROW].iter_mut().zip(row()).for_each(|(to, v)| *to = *v);
                }
            }
            *seen += 1;
        };
        let settings = Bounded::new(Bound::Relative(bound));
        let mut history = History::new(u32::MAX);
        for (number, step) in steps.iter().enumerate().step_by(distance) {
            let tell = |lesson: TrainingSample| {
                if number >= self.since {
                    hear(lesson);
                }
            };
            match step {
                Field::F32(a) => {
                    training_samples(&[FieldView::of_array(a)?], &settings, &mut history, &tell)?
                }
                Field::F64(a) => {
                    training_samples(&[FieldView::of_array(a)?], &settings, &mut history, &tell)?
                }
            }
        }
        Ok(heard.into_inner()?.0)
    }
}
