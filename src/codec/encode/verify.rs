//! Verification: what the reader will decode of a block is compared with the truth, value by value.

use super::decide::{BlockEncoder, Candidate};
use super::quantise::QuantisedBlock;
use crate::blocks::{Block, VALUES};
use crate::bound::Tolerance;
use crate::element::Element;
use crate::entropy::symbols::Coded;
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

impl<T: Element> BlockEncoder<'_, T> {
    /// Compares what a reader will decode with the truth; corrects or stores every value that
    /// misses the bound; gives the symbols and the errors that are left.
    pub(super) fn verify(
        &self,
        candidate: &Candidate,
        quantised: &QuantisedBlock,
    ) -> (Coded, ErrorStatistics) {
        let Self { tile, context, source, .. } = self;
        let mut out = Coded {
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
            errors = check::<T>(tile.engine, block, decoded, e * STRICT, &mut missing);
            for i in (0..VALUES).filter(|&i| missing[i]) {
                self.correct_value(i as u16, quantised, &mut out, &mut errors);
            }
        } else {
            for i in 0..context.values as u16 {
                self.correct_value(i, quantised, &mut out, &mut errors);
            }
        }
        (out, errors)
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
    /// Which values are further off than the tolerance, and the errors of the others.
    fn check<T: Element>(
        truth: &Block,
        decoded: &Block,
        tolerance: f64,
        missing: &mut [bool; VALUES],
    ) -> ErrorStatistics {
        let mut largest = [0.0f64; 8];
        let mut squares = [0.0f64; 8];
        for first in (0..VALUES).step_by(8) {
            for x in 0..8 {
                let k = first + x;
                let off = (T::from_f64(decoded[k]).to_f64() - truth[k]).abs();
                // A NaN misses.
                let kept = off <= tolerance;
                missing[k] = !kept;
                let off = if kept { off } else { 0.0 };
                largest[x] = if off > largest[x] { off } else { largest[x] };
                squares[x] += off * off;
            }
        }
        ErrorStatistics { largest: largest.into_iter().fold(0.0, f64::max), squares: squares.into_iter().sum() }
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
