//! What training takes from the encoder: samples for a mixing network, and the tables that tiles
//! end with.
//!
//! Behind the feature `training`; nothing here is in the way of a field.

#![allow(clippy::arithmetic_side_effects, reason = "a trainer reads what an encoder wrote just now")]

use crate::blocks::Block;
use crate::element::Element;
use crate::encode::Bounded;
use crate::encode::bounded::encode_observed;
use crate::encode::observer::Observer;
use crate::entropy::initial_tables::start;
use crate::entropy::symbols::{Contexts, Symbols};
use crate::error::Result;
use crate::history::History;
use crate::legendre::SCAN;
use crate::order::Entry;
use crate::predict::mixing::CandidatePredictions;
use crate::predict::tile::Tile;
use crate::quantum::half_octaves;
use crate::view::FieldView;
use std::sync::Mutex;

/// Coefficients that a training sample holds.
pub const SAMPLE_COEFFICIENTS: usize = 84;

/// A training sample: what one block shows. Numbers are in quanta; coefficients are the first
/// [`SAMPLE_COEFFICIENTS`] of the scan.
#[derive(Clone, Debug)]
pub struct TrainingSample {
    /// What the network sees.
    pub inputs: Vec<f32>,
    /// The other candidates less the first, one after the other.
    pub differences: Vec<f32>,
    /// The truth less the first candidate.
    pub truth: Vec<f32>,
    /// The quantisation step.
    pub step: f32,
}

impl TrainingSample {
    pub(crate) fn new(
        inputs: Vec<f32>,
        candidates: &CandidatePredictions,
        truth: &Block,
        quantum: f64,
        step_exponent: i32,
    ) -> Self {
        let places = || SCAN.place[..SAMPLE_COEFFICIENTS].iter().map(|&p| usize::from(p));
        let difference = |of: &Block| -> Vec<f32> {
            places().map(|p| ((of[p] - candidates.first[p]) / quantum) as f32).collect()
        };
        let others = candidates.others.iter().flat_map(difference).collect();
        Self {
            inputs,
            differences: others,
            truth: difference(truth),
            step: half_octaves(step_exponent) as f32,
        }
    }
}

struct Samples<'a>(&'a (dyn Fn(TrainingSample) + Sync));

impl<T: Element> Observer<T> for Samples<'_> {
    fn block(&self, tile: &Tile<'_, T>, entry: &Entry, truth: &Block, symbols: &Symbols) {
        if let Symbols::Coded(coded) = symbols
            && let Some((inputs, candidates)) = tile.mixing_inputs(entry)
        {
            let quantum = tile.frame.quantum;
            self.0(TrainingSample::new(inputs, &candidates, truth, quantum, coded.step_exponent));
        }
    }
}

/// Encodes a step as [`compress_bounded`](crate::encode::compress_bounded) does, and gives what
/// each of its blocks shows a mixing network; samples begin with the third step of a history.
///
/// # Errors
/// Those of [`compress_bounded`](crate::encode::compress_bounded).
pub fn training_samples<T: Element>(
    views: &[FieldView<'_, T>],
    settings: &Bounded<'_>,
    history: &mut History,
    collect: &(dyn Fn(TrainingSample) + Sync),
) -> Result<()> {
    encode_observed(views, settings, Some(history), &Samples(collect)).map(|_| ())
}

/// Averages the adaptive models that tiles end with: what initial tables are made of.
#[derive(Default)]
pub struct TableFit {
    /// Of each model how many decisions were seen, and the sum of the probabilities that they ended
    /// with, times that.
    sums: Mutex<Vec<(f64, f64)>>,
}

/// Decisions that a table's entry counts for, at most: tiles differ.
const LARGEST_COUNT: f64 = 20.0;

impl<T: Element> Observer<T> for TableFit {
    fn tile(&self, contexts: &Contexts) {
        let mut sums = self.sums.lock().expect("no thread panicked");
        sums.resize(Contexts::LEN, (0.0, 0.0));
        for ((sum, bit), before) in sums.iter_mut().zip(contexts.bits()).zip(start()) {
            // What the table itself brought is no evidence.
            let count = f64::from(bit.count() - before.count());
            *sum = (sum.0 + count, sum.1 + count * f64::from(bit.probability()));
        }
    }
}

impl TableFit {
    /// Encodes boxes, and counts what their tiles end with.
    ///
    /// # Errors
    /// Those of [`compress_bounded`](crate::encode::compress_bounded).
    pub fn add<T: Element>(
        &self,
        views: &[FieldView<'_, T>],
        settings: &Bounded<'_>,
        history: Option<&mut History>,
    ) -> Result<()> {
        encode_observed(views, settings, history, self).map(|_| ())
    }

    /// The bytes of the table, as `entropy/initial_tables.bin` holds it.
    pub fn table(&self) -> Vec<u8> {
        let sums = self.sums.lock().expect("no thread panicked");
        let entry = |&(count, weighted): &(f64, f64)| {
            let trust = (count / 16.0).min(LARGEST_COUNT) as u8;
            let probability = if count > 0.0 { (weighted / count) as u16 } else { 1 << 14 };
            let [low, high] = probability.clamp(64, (1 << 15) - 64).to_le_bytes();
            [low, high, trust]
        };
        sums.iter().flat_map(entry).collect()
    }
}
