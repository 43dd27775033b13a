//! Verification: what the reader will decode of a block is compared with the truth, value by value.

use super::decide::{BlockEncoder, Candidate};
use super::quantise::QuantisedBlock;
use crate::blocks::{Block, VALUES};
use crate::bound::Tolerance;
use crate::element::Element;
use crate::entropy::symbols::{Coded, Symbols};
use crate::quantum::corrected;

/// A bound is checked in rounded arithmetic; a tolerance less by more than that rounds keeps it in
/// exact arithmetic too.
const STRICT: f64 = 1.0 - 4.0 * f64::EPSILON;

/// What errors are left.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ErrorStatistics {
    /// Largest, in the bound's own terms: absolute, or relative to the value.
    pub(crate) largest: f64,
    /// Sum of the squares of all.
    pub(crate) squares: f64,
}

impl ErrorStatistics {
    /// Counts one; `size` is what the bound is relative to.
    fn add(&mut self, error: f64, size: f64) {
        if error > 0.0 {
            self.largest = self.largest.max(error / size);
            self.squares += error * error;
        }
    }

    /// Both together.
    pub(crate) fn union(self, other: Self) -> Self {
        Self { largest: self.largest.max(other.largest), squares: self.squares + other.squares }
    }
}

/// A candidate whose values were verified.
pub(super) struct Verified {
    pub(super) symbols: Symbols,
    /// How many values are corrected, and how many are stored verbatim.
    pub(super) corrections: usize,
    pub(super) unpredictable: usize,
    /// What errors are left.
    pub(super) errors: ErrorStatistics,
    /// Its bits, by estimate.
    pub(super) cost: f32,
    /// What the autoencoder saved.
    pub(super) saved: f32,
}

impl<T: Element> BlockEncoder<'_, T> {
    /// Compares what a reader will decode with the truth; corrects or stores every value that
    /// misses the bound.
    pub(super) fn verify(&self, candidate: &Candidate, cost: f32, quantised: &QuantisedBlock) -> Verified {
        let Self { tile, context, source, .. } = self;
        let mut coded = Coded {
            predictor: candidate.predictor,
            spatial: candidate.spatial,
            offset: candidate.offset,
            step_exponent: if quantised.degrees == 0 {
                context.step_exponent
            } else {
                quantised.step_exponent
            },
            residual: quantised.residual(),
            corrections: Vec::new(),
            unpredictable: Vec::new(),
        };
        let mut errors = ErrorStatistics::default();
        if source.whole
            && !source.special
            && let Tolerance::Absolute(e) = tile.frame.tolerance
        {
            let mut missing = [false; VALUES];
            let (block, decoded) = (&source.block, &quantised.decoded);
            let misses;
            (errors, misses) = check::<T>(tile.engine, block, decoded, e * STRICT, &mut missing);
            if misses > 0 {
                for i in (0..VALUES).filter(|&i| missing[i]) {
                    self.correct_value(i as u16, quantised, &mut coded, &mut errors);
                }
            }
        } else {
            for i in 0..context.values as u16 {
                self.correct_value(i, quantised, &mut coded, &mut errors);
            }
        }
        Verified {
            corrections: coded.corrections.len(),
            unpredictable: coded.unpredictable.len(),
            symbols: Symbols::Coded(coded),
            errors,
            cost,
            saved: candidate.saved,
        }
    }

    /// How many values miss an absolute bound; nothing where that is not known of the whole block at
    /// once.
    pub(super) fn misses(&self, quantised: &QuantisedBlock) -> Option<usize> {
        let Self { tile, source, .. } = self;
        match tile.frame.tolerance {
            Tolerance::Absolute(e) if source.whole && !source.special => {
                let mut missing = [false; VALUES];
                let (block, decoded) = (&source.block, &quantised.decoded);
                Some(check::<T>(tile.engine, block, decoded, e * STRICT, &mut missing).1)
            }
            _ => None,
        }
    }

    /// Looks at a true value; corrects or stores it if it misses the bound, and counts the error
    /// that is left.
    fn correct_value(
        &self,
        i: u16,
        quantised: &QuantisedBlock,
        out: &mut Coded,
        errors: &mut ErrorStatistics,
    ) {
        let Self { tile, context, source, places, .. } = self;
        let at = places.block(i);
        let decoded = quantised.decoded[at];
        let value = source.values[at];
        let truth = value.to_f64();
        if value.is_special() {
            out.unpredictable.push((i, value.bits()));
            return;
        }
        let off = |decoded: T| (decoded.to_f64() - truth).abs();
        let (allowed, size) = match tile.frame.tolerance {
            Tolerance::Absolute(e) => (e * STRICT, 1.0),
            Tolerance::PointwiseRelative(r) => (r * STRICT * truth.abs(), truth.abs()),
        };
        let error = off(T::from_f64(decoded));
        if error <= allowed {
            errors.add(error, size);
            return;
        }
        if let Some(kept) = context.kept {
            let bits = rounded(value, kept);
            let error = off(T::of_bits(bits));
            if error <= allowed {
                out.unpredictable.push((i, bits));
                errors.add(error, size);
                return;
            }
        } else {
            let quantum = tile.frame.quantum;
            let quanta = ((truth - decoded) / quantum).round().clamp(-1e9, 1e9) as i32;
            let error = off(T::from_f64(corrected(decoded, quanta, quantum)));
            if quanta != 0 && error <= allowed {
                out.corrections.push((i, quanta));
                errors.add(error, size);
                return;
            }
        }
        out.unpredictable.push((i, value.bits()));
    }
}

crate::engine::for_engines! {
    /// Which values are further off than the tolerance; the errors of the others, and how many miss.
    fn check<T: Element>(
        truth: &Block,
        decoded: &Block,
        tolerance: f64,
        missing: &mut [bool; VALUES],
    ) -> (ErrorStatistics, usize) {
        let mut largest = [0.0f64; 8];
        let mut squares = [0.0f64; 8];
        // A count of doubles is vector code.
        let mut misses = [0.0f64; 8];
        for first in (0..VALUES).step_by(8) {
            for x in 0..8 {
                let k = first + x;
                let off = (T::from_f64(decoded[k]).to_f64() - truth[k]).abs();
                // A NaN misses.
                let kept = off <= tolerance;
                missing[k] = !kept;
                misses[x] += if kept { 0.0 } else { 1.0 };
                let off = if kept { off } else { 0.0 };
                largest[x] = if off > largest[x] { off } else { largest[x] };
                squares[x] += off * off;
            }
        }
        let (largest, squares) = (largest.into_iter().fold(0.0, f64::max), squares.into_iter().sum());
        (ErrorStatistics { largest, squares }, misses.into_iter().sum::<f64>() as usize)
    }
}

/// The bits of a number rounded to so many mantissa bits, to the nearest.
fn rounded<T: Element>(value: T, kept: u32) -> u64 {
    let fields = T::DTYPE.mantissa_bits();
    let low = fields - kept.min(fields);
    let bits = value.bits();
    match low {
        0 => bits,
        // A carry into the exponent is right; beyond the largest number it gives infinity, which no
        // check lets pass.
        _ => (bits + (1 << (low - 1))) & !((1 << low) - 1),
    }
}
