//! Who won the competitions for blocks, and what they were worth.

use super::trial::Foreseen;
use crate::Value;
use crate::bounded::decoder::Told;
use crate::bounded::symbols::{Coded, Symbols};
use crate::bounded::tile::SWAE;

/// What a candidate won.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Share {
    /// Blocks.
    pub blocks: u64,
    /// The bits that they took.
    pub bits: f64,
    /// An estimate of the bits that they would have taken more with the best of the other predictors or, where there is no
    /// other, as they are. [`crate::tally`] alone makes it; 0 in a compressor's report.
    pub saved: f64,
}

/// Blocks by who won them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// By predictor number.
    pub predictors: [Share; 8],
    /// Of one value.
    pub constant: Share,
    /// Stored as they are.
    pub raw: Share,
}

impl Tally {
    fn share(&mut self, symbols: &Symbols) -> &mut Share {
        match symbols {
            Symbols::Coded(coded) => &mut self.predictors[usize::from(coded.predictor & 7)],
            Symbols::Constant(_) => &mut self.constant,
            Symbols::Raw(_) => &mut self.raw,
        }
    }

    /// Counts a block.
    pub(crate) fn count(&mut self, symbols: &Symbols, bits: f64) {
        let share = self.share(symbols);
        share.blocks += 1;
        share.bits += bits;
    }

    /// Counts a block, and looks at what the others would have made of it.
    pub(crate) fn weigh<T: Value>(&mut self, told: &Told<'_, T>) {
        let Told { known, symbols, bits, .. } = told;
        let as_it_is = (known.values as u32 * known.width) as f64;
        self.count(symbols, *bits);
        self.share(symbols).saved += match symbols {
            Symbols::Coded(coded) => told.saved(coded).unwrap_or(as_it_is - bits),
            Symbols::Constant(_) => as_it_is - bits,
            Symbols::Raw(_) => 0.0,
        };
    }

    /// Both together.
    pub fn and(mut self, other: &Self) -> Self {
        let shares = self.predictors.iter_mut().chain([&mut self.constant, &mut self.raw]);
        let others = other.predictors.iter().chain([&other.constant, &other.raw]);
        for (share, other) in shares.zip(others) {
            share.blocks += other.blocks;
            share.bits += other.bits;
            share.saved += other.saved;
        }
        self
    }
}

impl<T: Value> Told<'_, T> {
    /// What the predictor of a block saved beside the best of the others that the block could have had.
    fn saved(&self, coded: &Coded) -> Option<f64> {
        let Self { tile, turn, known, guess, coefficients, .. } = self;
        let mut foreseen = Foreseen::empty();
        let mut bits = |predictor: u8, spatial: bool| {
            match (predictor, guess) {
                (SWAE, Some(guess)) => foreseen.prediction = **guess,
                _ => tile.of_past(turn, predictor, &mut foreseen.prediction),
            }
            if spatial {
                tile.add_spatial(turn, predictor, &mut foreseen.prediction);
            }
            if let Some(offset) = coded.offset {
                foreseen.prediction[0] = T::of_bits(offset).to_f64();
            }
            foreseen.compare::<T>(tile.engine, coefficients, tile.frame.unit);
            f64::from(foreseen.distance(tile.engine, coded.shift))
        };
        let others =
            (0..8).filter(|p| ![SWAE, coded.predictor].contains(p) && known.predictors >> p & 1 == 1);
        let ways = others.flat_map(|p| [(p, false), (p, known.spatial)]);
        let best = ways.map(|(p, spatial)| bits(p, spatial)).reduce(f64::min)?;
        Some(best - bits(coded.predictor, coded.spatial))
    }
}
