//! Block statistics: which predictor was selected for how many blocks, and the bits that they took.

use crate::entropy::symbols::Symbols;
use crate::predict::Predictor;

/// Blocks that are coded in one way.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PredictorStatistics {
    /// How many.
    pub blocks: u64,
    /// The bits that they took.
    pub bits: f64,
    /// An estimate of the bits that they would have taken more with the best of the other
    /// predictors or, where there is no other, as they are. [`crate::decode::block_statistics`]
    /// alone makes it; 0 in an encoder's report.
    pub saved: f64,
}

impl PredictorStatistics {
    fn add(&mut self, other: &Self) {
        self.blocks = self.blocks.saturating_add(other.blocks);
        self.bits += other.bits;
        self.saved += other.saved;
    }
}

/// Blocks by how they are coded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BlockStatistics {
    predictors: [PredictorStatistics; Predictor::ALL.len()],
    /// Of one value.
    pub constant: PredictorStatistics,
    /// Stored as they are.
    pub raw: PredictorStatistics,
    /// Missing points, which are in no block that is counted if all of the block is missing.
    pub missing: u64,
}

impl BlockStatistics {
    /// Blocks that a predictor was selected for.
    pub fn of(&self, predictor: Predictor) -> &PredictorStatistics {
        &self.predictors[predictor as usize]
    }

    /// All ways to code a block, by name, and the blocks that are coded so.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &PredictorStatistics)> {
        let predictors = Predictor::ALL.into_iter().map(|p| (p.name(), self.of(p)));
        predictors.chain([("constant", &self.constant), ("raw", &self.raw)])
    }

    pub(crate) fn of_symbols(&mut self, symbols: &Symbols) -> &mut PredictorStatistics {
        match symbols {
            Symbols::Coded(coded) => &mut self.predictors[coded.predictor as usize],
            Symbols::Constant(_) => &mut self.constant,
            Symbols::Raw(_) => &mut self.raw,
        }
    }

    /// Counts a block.
    pub(crate) fn count(&mut self, symbols: &Symbols, bits: f64) {
        self.of_symbols(symbols).add(&PredictorStatistics { blocks: 1, bits, saved: 0.0 });
    }

    /// Both together.
    #[must_use]
    pub fn union(mut self, other: &Self) -> Self {
        let mine = self.predictors.iter_mut().chain([&mut self.constant, &mut self.raw]);
        let others = other.predictors.iter().chain([&other.constant, &other.raw]);
        mine.zip(others).for_each(|(mine, other)| mine.add(other));
        self.missing = self.missing.saturating_add(other.missing);
        self
    }
}
