//! The proof that a block keeps its bound: what the reader will decode is compared with the truth, value by value.

use super::trial::Settled;
use super::{Candidate, Contest, STRICT};
use crate::Value;
use crate::blocks::VALUES;
use crate::bounded::Tolerance;
use crate::bounded::decoder::corrected;
use crate::bounded::legendre::Block;
use crate::bounded::symbols::Coded;
use crate::bounded::tile::Places;

/// What errors are left.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Errors {
    /// Largest, in the bound's own terms: absolute, or relative to the value.
    pub(crate) largest: f64,
    /// Sum of the squares of all.
    pub(crate) squares: f64,
}

impl Errors {
    /// Counts one; `size` is what the bound is relative to.
    fn add(&mut self, error: f64, size: f64) {
        if error > 0.0 {
            self.largest = self.largest.max(error / size);
            self.squares += error * error;
        }
    }

    /// Both together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { largest: self.largest.max(other.largest), squares: self.squares + other.squares }
    }
}

impl<T: Value> Contest<'_, T> {
    /// Compares what a reader will decode with the truth; corrects or stores every value that misses the bound; gives the
    /// symbols and the errors that are left.
    pub(super) fn prove(&self, candidate: &Candidate, settled: &Settled) -> (Coded, Errors) {
        let Self { tile, known, source, .. } = self;
        let mut out = Coded {
            predictor: candidate.predictor,
            spatial: candidate.spatial,
            offset: candidate.offset,
            shift: if settled.shells == 0 { known.shift } else { settled.shift },
            residual: settled.residual(),
            corrections: Vec::new(),
            literals: Vec::new(),
        };
        let mut errors = Errors::default();
        if source.whole
            && !source.special
            && let Tolerance::Absolute(e) = tile.frame.tolerance
        {
            let mut missing = [false; VALUES];
            let (block, decoded) = (&source.block, &settled.decoded);
            errors = check::<T>(tile.engine, block, decoded, e * STRICT, &mut missing);
            for i in (0..VALUES).filter(|&i| missing[i]) {
                self.mend(i as u16, settled, &mut out, &mut errors);
            }
        } else {
            for i in 0..known.values as u16 {
                self.mend(i, settled, &mut out, &mut errors);
            }
        }
        (out, errors)
    }

    /// Looks at a true value; corrects or stores it if it misses the bound, and counts the error that is left.
    fn mend(&self, i: u16, settled: &Settled, out: &mut Coded, errors: &mut Errors) {
        let Self { tile, turn, known, source } = self;
        let at = Places::of(turn.place).block(i);
        let decoded = settled.decoded[at];
        let value = source.values[at];
        let truth = value.to_f64();
        if value.is_special() {
            out.literals.push((i, value.bits()));
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
        if let Some(kept) = known.kept {
            let bits = rounded(value, kept);
            let error = off(T::of_bits(bits));
            if error <= allowed {
                out.literals.push((i, bits));
                errors.add(error, size);
                return;
            }
        } else {
            let unit = tile.frame.unit;
            let units = ((truth - decoded) / unit).round().clamp(-1e9, 1e9) as i32;
            let error = off(T::from_f64(corrected(decoded, units, unit)));
            if units != 0 && error <= allowed {
                out.corrections.push((i, units));
                errors.add(error, size);
                return;
            }
        }
        out.literals.push((i, value.bits()));
    }
}

crate::engine::for_engines! {
    /// Which values are further off than the tolerance, and the errors of the others.
    fn check<T: Value>(
        truth: &Block,
        decoded: &Block,
        tolerance: f64,
        missing: &mut [bool; VALUES],
    ) -> Errors {
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
        Errors { largest: largest.into_iter().fold(0.0, f64::max), squares: squares.into_iter().sum() }
    }
}

/// The bits of a number rounded to so many mantissa bits, to the nearest.
fn rounded<T: Value>(value: T, kept: u32) -> u64 {
    let fields = T::DTYPE.mantissa_bits();
    let low = fields - kept.min(fields);
    let bits = value.bits();
    match low {
        0 => bits,
        // A carry into the exponent is right; beyond the largest number it gives infinity, which no check lets pass.
        _ => (bits + (1 << (low - 1))) & !((1 << low) - 1),
    }
}
