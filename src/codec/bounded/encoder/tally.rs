//! Who won the competitions for blocks.

use crate::bounded::symbols::Symbols;

/// Blocks and the bits that they took, by who won them.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// By predictor number.
    pub predictors: [(u64, f64); 8],
    /// Blocks of one value.
    pub constant: (u64, f64),
    /// Blocks stored as they are.
    pub raw: (u64, f64),
}

impl Tally {
    /// Counts a block.
    pub(crate) fn count(&mut self, symbols: &Symbols, bits: f64) {
        let entry = match symbols {
            Symbols::Coded(coded) => &mut self.predictors[usize::from(coded.predictor & 7)],
            Symbols::Constant(_) => &mut self.constant,
            Symbols::Raw(_) => &mut self.raw,
        };
        entry.0 += 1;
        entry.1 += bits;
    }

    /// Both together.
    pub fn and(mut self, other: &Self) -> Self {
        let add = |a: &mut (u64, f64), b: &(u64, f64)| *a = (a.0 + b.0, a.1 + b.1);
        self.predictors.iter_mut().zip(&other.predictors).for_each(|(a, b)| add(a, b));
        add(&mut self.constant, &other.constant);
        add(&mut self.raw, &other.raw);
        self
    }
}
