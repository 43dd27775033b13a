//! A block quantised with some step, and an estimate of what that takes.

use crate::Value;
use crate::blocks::VALUES;
use crate::bounded::legendre::{Block, DEGREES, SCAN, SHELL, inverse};
use crate::bounded::symbols::{RESIDUAL_BITS, half_octaves};
use crate::engine::Engine;
use std::sync::LazyLock;

/// Estimates of bits, fitted to how what blocks of evolved black holes took changed with the step, at bounds from
/// 1e-2 to 1e-6 of the range.
struct Estimates {
    /// By number of values that miss the bound.
    misses: [f32; VALUES + 1],
    /// By degree + 1.
    shells: [f32; DEGREES + 1],
}

static ESTIMATES: LazyLock<Estimates> = LazyLock::new(|| Estimates {
    misses: std::array::from_fn(|n| {
        let entropy = |p: f32| if p > 0.0 { -p * p.log2() } else { 0.0 };
        let p = n as f32 / VALUES as f32;
        if n <= MANY { VALUES as f32 * (entropy(p) + entropy(1.0 - p)) + 0.56 * n as f32 } else { 0.0 }
    }),
    shells: std::array::from_fn(|d| 1.0 + 6.26 * f32::from(SCAN.below[d]).cbrt()),
});
/// So many values that miss never pay.
const MANY: usize = 96;
/// Residuals of so many steps cannot be coded.
const LARGEST: f64 = (1u32 << RESIDUAL_BITS) as f64;
const NONZERO: f32 = 2.54;
const OCTAVE: f32 = 1.41;

/// With an error of so small a root mean square, in units of the bound, hardly any value misses it; with so large a one,
/// far too many do. In between they are counted.
const QUIET: f64 = 0.22;
const LOUD: f64 = 0.8;

/// A block quantised with some step.
pub(super) struct Trial {
    pub(super) shift: i32,
    /// Residuals in steps.
    pub(super) steps: Block,
    /// What a reader makes of them: coefficients and values.
    pub(super) coefficients: Block,
    pub(super) decoded: Block,
    /// Root mean square of the error.
    rms: f64,
    /// Values that miss the bound, as far as they were counted.
    misses: usize,
    /// An estimate of its bits.
    pub(super) cost: f32,
    /// Greatest total degree + 1 of the residuals that are not 0.
    pub(super) shells: usize,
}

impl Trial {
    pub(super) fn empty() -> Box<Self> {
        Box::new(Self {
            shift: 0,
            steps: [0.0; VALUES],
            coefficients: [0.0; VALUES],
            decoded: [0.0; VALUES],
            rms: 0.0,
            misses: 0,
            cost: 0.0,
            shells: 0,
        })
    }

    /// Quantises a residual with a step of unit · 2^(shift/2).
    pub(super) fn quantise(
        &mut self,
        engine: Engine,
        unit: f64,
        truth: &Block,
        prediction: &Block,
        shift: i32,
    ) {
        let step = unit * half_octaves(shift);
        let (steps, coefficients) = (&mut self.steps, &mut self.coefficients);
        let (cost, shells, lost) = quantise(engine, truth, prediction, 1.0 / step, step, steps, coefficients);
        self.rms = (lost / VALUES as f64).sqrt() * step;
        (self.shift, self.shells) = (shift, shells as usize);
        self.cost = cost + ESTIMATES.shells[self.shells];
    }

    /// Adds the cost of what misses an absolute tolerance. Padding may miss as it likes, but to leave it out of the
    /// estimate is not worth the while.
    pub(super) fn add_corrections<T: Value>(&mut self, engine: Engine, truth: &Block, tolerance: f64) {
        let rms = self.rms / tolerance;
        self.misses = if rms < QUIET {
            0
        } else if rms > LOUD {
            MANY + 1
        } else {
            self.decode(engine);
            misses::<T>(engine, truth, &self.decoded, tolerance) as usize
        };
        // Far too many lead downwards, wherever the climb began.
        let many =
            if self.misses > MANY { 1e6 + 1e3 * self.shift as f32 + 1e3 * rms.log2() as f32 } else { 0.0 };
        self.cost += ESTIMATES.misses[self.misses] + many;
    }

    /// Adds the cost of what misses a tolerance relative to each value: it is stored by itself, in so many bits.
    pub(super) fn add_literals<T: Value>(
        &mut self,
        engine: Engine,
        truth: &Block,
        tolerance: f64,
        bits: f32,
    ) {
        self.decode(engine);
        let off = |(d, v): &(&f64, &f64)| (T::from_f64(**d).to_f64() - **v).abs();
        let misses = self.decoded.iter().zip(truth).filter(|p| off(p) > tolerance * p.1.abs()).count();
        self.misses = misses.min(MANY);
        self.cost += misses as f32 * bits;
    }

    /// Computes the values that a reader will decode.
    pub(super) fn decode(&mut self, engine: Engine) {
        inverse(engine, &self.coefficients, &mut self.decoded);
    }

    /// Residuals in steps, by place in the block.
    pub(super) fn residual(&self, engine: Engine) -> Vec<i32> {
        let mut out = vec![0; VALUES];
        integers(engine, &self.steps, &mut out);
        out
    }

    /// Whether larger steps could be cheaper: without residuals they change nothing.
    pub(super) fn can_grow(&self) -> bool {
        self.shells > 0
    }

    /// Whether smaller steps could be cheaper: they are no use where nothing misses.
    pub(super) fn can_shrink(&self) -> bool {
        self.misses > 0
    }

    /// Whether so many values miss that with larger steps far too many would.
    pub(super) fn is_hopeless(&self) -> bool {
        self.misses > MANY
    }
}

crate::engine::for_engines! {
    /// An estimate of the bits of a residual.
    pub(super) fn distance(truth: &Block, prediction: &Block, scale: f64) -> f32 {
        let mut sum = 0u32;
        for k in 0..VALUES {
            let t = ((truth[k] - prediction[k]) * scale) as f32;
            sum = sum.wrapping_add(octaves(1.0 + t * t));
        }
        sum as f32 * (0.5 / 1024.0)
    }
}

/// log₂ of a number ≥ 1 in units of 2⁻¹⁰, with straight lines between powers of two.
#[inline(always)]
fn octaves(x: f32) -> u32 {
    (x.to_bits() >> 13).wrapping_sub(127 << 10)
}

crate::engine::for_engines! {
    /// Residuals in steps, the coefficients that a reader makes of them, an estimate of their bits, and the
    /// greatest total degree + 1 of those that are not 0.
    fn quantise(
        truth: &Block,
        prediction: &Block,
        scale: f64,
        step: f64,
        steps: &mut Block,
        coefficients: &mut Block,
    ) -> (f32, u32, f64) {
        // Eight lanes each: sums of numbers are not reordered by the compiler.
        let (mut lost, mut largest) = ([0.0f64; 8], [0.0f64; 8]);
        let (mut octave, mut nonzero, mut shells) = ([0u32; 8], [0u32; 8], [0u32; 8]);
        for first in (0..VALUES).step_by(8) {
            for lane in 0..8 {
                let k = first + lane;
                let exact = (truth[k] - prediction[k]) * scale;
                let n = exact.round_ties_even();
                let off = exact - n;
                lost[lane] = off.mul_add(off, lost[lane]);
                steps[k] = n;
                coefficients[k] = n.mul_add(step, prediction[k]);
                // NaN becomes the largest of all.
                largest[lane] = if n.abs() < largest[lane] { largest[lane] } else { n.abs() };
                let t = n as f32;
                octave[lane] = octave[lane].wrapping_add(octaves(1.0 + t * t));
                nonzero[lane] = nonzero[lane].wrapping_add(u32::from(t != 0.0));
                let here = if t != 0.0 { SHELL[k] } else { 0 };
                shells[lane] = if here > shells[lane] { here } else { shells[lane] };
            }
        }
        let shells = shells.into_iter().max().unwrap_or(0);
        // Where no number of bits is enough, no bit is worth it; nor where anything is not a number.
        if !largest.into_iter().all(|n| n < LARGEST) {
            return (f32::INFINITY, shells, 0.0);
        }
        let octaves = octave.into_iter().fold(0, u32::wrapping_add) as f32 * (0.5 / 1024.0);
        let nonzero = nonzero.into_iter().fold(0, u32::wrapping_add) as f32;
        (OCTAVE * octaves + NONZERO * nonzero, shells, lost.into_iter().sum())
    }
}

crate::engine::for_engines! {
    fn integers(steps: &Block, out: &mut [i32]) {
        for (out, &n) in out.iter_mut().zip(steps) {
            *out = n as i32;
        }
    }
}

crate::engine::for_engines! {
    /// How many values are further off than the tolerance.
    fn misses<T: Value>(truth: &Block, decoded: &Block, tolerance: f64) -> u32 {
        let mut count = 0u32;
        for k in 0..VALUES {
            let off = (T::from_f64(decoded[k]).to_f64() - truth[k]).abs();
            count = count.wrapping_add(u32::from(off > tolerance));
        }
        count
    }
}
