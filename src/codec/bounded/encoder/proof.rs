//! The proof that a block keeps its bound: what the reader will decode is compared with the truth, value by value.

use super::trial::Trial;
use super::{Candidate, Contest, STRICT};
use crate::Value;
use crate::blocks::VALUES;
use crate::bounded::Tolerance;
use crate::bounded::legendre::{Block, SCAN};
use crate::bounded::symbols::Coded;
use crate::bounded::tile::{Places, corrected};

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
    /// Compares the trial, which holds what a reader will decode, with the truth; corrects or stores every value that
    /// misses the bound; gives the symbols and the errors that are left.
    pub(super) fn prove(&self, candidate: &Candidate, trial: &Trial) -> (Coded, Errors) {
        let Self { tile, turn, known, source } = self;
        let mut out = Coded {
            predictor: candidate.predictor,
            spatial: candidate.spatial,
            offset: candidate.offset,
            shift: if trial.shells == 0 { known.shift } else { trial.shift },
            // Whole degrees are coded.
            coded: usize::from(SCAN.below[trial.shells]),
            residual: trial.residual(tile.engine),
            corrections: Vec::new(),
            literals: Vec::new(),
        };
        let decoded = &trial.decoded;
        if source.whole
            && !source.special
            && let Tolerance::Absolute(e) = tile.frame.tolerance
        {
            let (largest, squares) = worst::<T>(tile.engine, &source.block, decoded);
            // A NaN in any place makes the sum one.
            if largest <= e * STRICT && !squares.is_nan() {
                return (out, Errors { largest, squares });
            }
        }
        let mut errors = Errors::default();
        let places = Places::of(turn.place);
        for i in 0..known.values as u16 {
            let at = places.block(i);
            let value = source.values[at];
            let truth = value.to_f64();
            if value.is_special() {
                out.literals.push((i, value.bits()));
                continue;
            }
            let off = |decoded: f64| (T::from_f64(decoded).to_f64() - truth).abs();
            let error = off(decoded[at]);
            let (allowed, size) = match tile.frame.tolerance {
                Tolerance::Absolute(e) => (e * STRICT, 1.0),
                Tolerance::PointwiseRelative(r) => (r * STRICT * truth.abs(), truth.abs()),
            };
            if error <= allowed {
                errors.add(error, size);
                continue;
            }
            match known.kept {
                None => {
                    let unit = tile.frame.unit;
                    let units = ((truth - decoded[at]) / unit).round().clamp(-1e9, 1e9) as i32;
                    let error = off(corrected(decoded[at], units, unit));
                    if units != 0 && error <= allowed {
                        out.corrections.push((i, units));
                        errors.add(error, size);
                    } else {
                        out.literals.push((i, value.bits()));
                    }
                }
                Some(kept) => {
                    let bits = rounded(value, kept);
                    let error = (T::of_bits(bits).to_f64() - truth).abs();
                    if error <= allowed {
                        out.literals.push((i, bits));
                        errors.add(error, size);
                    } else {
                        out.literals.push((i, value.bits()));
                    }
                }
            }
        }
        (out, errors)
    }
}

crate::engine::for_engines! {
    /// The largest error of a block, and the sum of all squares.
    fn worst<T: Value>(truth: &Block, decoded: &Block) -> (f64, f64) {
        let mut most = [0.0f64; 8];
        let mut squares = [0.0f64; 8];
        for first in (0..VALUES).step_by(8) {
            for x in 0..8 {
                let k = first + x;
                let off = (T::from_f64(decoded[k]).to_f64() - truth[k]).abs();
                most[x] = if off > most[x] { off } else { most[x] };
                squares[x] += off * off;
            }
        }
        (most.into_iter().fold(0.0, f64::max), squares.into_iter().sum())
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
