//! What training takes from the encoder: samples for a mixing network, and the symbols that initial
//! tables are made of.
//!
//! Behind the feature `training`; nothing here is in the way of a field.

#![allow(clippy::arithmetic_side_effects, reason = "a trainer reads what an encoder wrote just now")]

use crate::blocks::Block;
use crate::element::Element;
use crate::encode::Bounded;
use crate::encode::bounded::encode_observed;
use crate::encode::observer::Observer;
use crate::entropy::symbols::Symbols;
use crate::entropy::tables::{SYMBOLS, TOTAL, Tables};
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

/// Adds up how often each symbol came in each row: what initial tables are made of.
#[derive(Default)]
pub struct TableFit {
    sums: Mutex<Vec<[u64; SYMBOLS]>>,
}

impl<T: Element> Observer<T> for TableFit {
    fn batch(&self, tables: &Tables) {
        let mut sums = self.sums.lock().expect("no thread panicked");
        sums.resize(tables.counts().len(), [0; SYMBOLS]);
        for (sums, counts) in sums.iter_mut().zip(tables.counts()) {
            // A row's share in a batch counts alike wherever there are many of its symbols: what
            // few symbols make is what initial tables are for.
            let all = counts.iter().copied().map(u64::from).sum::<u64>().max(ENOUGH);
            sums.iter_mut().zip(counts).for_each(|(sum, n)| *sum += UNIT * ENOUGH * u64::from(*n) / all);
        }
    }
}

impl TableFit {
    /// Encodes boxes, and counts their symbols.
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

    /// The bytes of the table, as `entropy/initial_tables.bin` holds it: for each row how many
    /// symbols it stands for, and the frequencies.
    pub fn table(&self) -> Vec<u8> {
        let sums = self.sums.lock().expect("no thread panicked");
        let row = |sums: &[u64; SYMBOLS]| -> Vec<u8> {
            let all: u64 = sums.iter().sum();
            let weight = (all / UNIT / SEEN).clamp(1, LARGEST_WEIGHT) as u16;
            // A symbol that did not come may come.
            let unseen = 0.25 * UNIT as f64;
            let share = |n: u64| (n as f64 + unseen) / (all as f64 + unseen * SYMBOLS as f64);
            let spare = f64::from(TOTAL - SYMBOLS as u32);
            let mut sizes = sums.map(|n| 1 + (spare * share(n)) as u16);
            let largest = (0..SYMBOLS).max_by_key(|&s| sizes[s]).unwrap_or(0);
            sizes[largest] += TOTAL as u16 - sizes.iter().sum::<u16>();
            std::iter::once(weight).chain(sizes).flat_map(u16::to_le_bytes).collect()
        };
        sums.iter().flat_map(row).collect()
    }
}

/// Symbols of a row in a batch that count, at most, and the parts of one.
const ENOUGH: u64 = 32;
const UNIT: u64 = 256;
/// Symbols that a row stands for, at most: tiles differ.
const LARGEST_WEIGHT: u64 = 32;
/// A row stands for one symbol of so many that were seen.
const SEEN: u64 = 48;
