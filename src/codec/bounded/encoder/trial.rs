//! Quantisation steps: tried, with an estimate of what they take, and settled on.

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
const LARGEST: f32 = (1u32 << RESIDUAL_BITS) as f32;
/// Bits of a residual that is not 0, …
pub(super) const NONZERO: f32 = 2.54;
/// … and of each octave that it is larger.
pub(super) const OCTAVE: f32 = 1.41;

/// With an error of so small a root mean square, in units of the bound, hardly any value misses it; with so large a one,
/// far too many do. In between they are counted.
const QUIET: f32 = 0.22;
const LOUD: f32 = 0.8;

/// A prediction of a block's coefficients, and what it leaves.
#[repr(C, align(64))]
pub(super) struct Foreseen {
    pub(super) prediction: Block,
    /// Truth − prediction, in units: single precision is enough to try steps with.
    pub(super) residual: Block<f32>,
    /// Half a unit, less what rounding to the field's type takes of it.
    pub(super) allowed: f32,
}

impl Foreseen {
    pub(super) fn empty() -> Box<Self> {
        Box::new(Self { prediction: [0.0; VALUES], residual: [0.0; VALUES], allowed: 0.5 })
    }

    /// Subtracts the prediction from the truth.
    pub(super) fn compare<T: Value>(&mut self, engine: Engine, truth: &Block, unit: f64) {
        let mean = truth[0].abs() / (VALUES as f64).sqrt();
        let rounding = 0.5f64.powi(T::DTYPE.mantissa_bits() as i32 + 1) + f64::EPSILON;
        self.allowed = (0.5 - mean * rounding / unit).max(0.1) as f32;
        subtract(engine, truth, &self.prediction, 1.0 / unit, &mut self.residual);
    }

    /// A rough estimate of the bits of the residual at a shift.
    pub(super) fn distance(&self, engine: Engine, shift: i32) -> f32 {
        distance(engine, &self.residual, half_octaves(-shift) as f32)
    }
}

/// What comes of a shift: the quantisation step is unit · 2^(shift/2).
#[derive(Clone, Copy)]
pub(super) struct Trial {
    pub(super) shift: i32,
    /// An estimate of its bits.
    pub(super) cost: f32,
    /// Root mean square of the error, in units.
    rms: f32,
    /// Values that miss the bound, as far as they were counted.
    pub(super) misses: usize,
    /// Greatest total degree + 1 of the residuals that are not 0.
    pub(super) shells: usize,
}

/// An estimate of the bits that corrections take, unless there are too many.
pub(super) fn price(misses: usize) -> Option<f32> {
    (misses <= MANY).then(|| ESTIMATES.misses[misses])
}

/// Errors of a trial, in units.
#[repr(C, align(64))]
pub(super) struct Errors {
    pub(super) coefficients: Block<f32>,
    pub(super) values: Block<f32>,
}

impl Errors {
    pub(super) fn empty() -> Box<Self> {
        Box::new(Self { coefficients: [0.0; VALUES], values: [0.0; VALUES] })
    }
}

impl Trial {
    /// Quantises the residual, and estimates its bits.
    pub(super) fn new(engine: Engine, foreseen: &Foreseen, shift: i32, errors: &mut Errors) -> Self {
        let (scale, step) = (half_octaves(-shift) as f32, half_octaves(shift) as f32);
        let (cost, shells, lost) =
            quantise(engine, &foreseen.residual, scale, step, &mut errors.coefficients);
        let shells = shells as usize;
        let rms = (lost / VALUES as f32).sqrt() * step;
        Self { shift, cost: cost + ESTIMATES.shells[shells], rms, misses: 0, shells }
    }

    /// Adds the cost of what misses an absolute tolerance, half a unit. Padding may miss as it likes, but to leave it out of
    /// the estimate is not worth the while.
    pub(super) fn with_corrections(
        mut self,
        engine: Engine,
        foreseen: &Foreseen,
        Errors { coefficients, values }: &mut Errors,
    ) -> Self {
        let rms = 2.0 * self.rms;
        self.misses = if rms < QUIET {
            0
        } else if rms > LOUD {
            MANY + 1
        } else {
            inverse(engine, coefficients, values);
            misses(engine, values, foreseen.allowed) as usize
        };
        // Far too many lead downwards, wherever the climb began.
        let many = if self.misses > MANY { 1e6 + 1e3 * self.shift as f32 + 1e3 * rms.log2() } else { 0.0 };
        self.cost += ESTIMATES.misses[self.misses] + many;
        self
    }

    /// Adds the cost of what misses a tolerance relative to each value, of so many units a value: it is stored by itself, in
    /// so many bits.
    pub(super) fn with_literals(
        mut self,
        engine: Engine,
        truth: &Block,
        tolerance: f64,
        bits: f32,
        Errors { coefficients, values }: &mut Errors,
    ) -> Self {
        inverse(engine, coefficients, values);
        let off = |(error, v): &(&f32, &f64)| f64::from(error.abs()) > tolerance * v.abs();
        let misses = values.iter().zip(truth).filter(off).count();
        self.misses = misses.min(MANY);
        self.cost += misses as f32 * bits;
        self
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

/// A block with the step that was chosen, exactly as a reader will have it.
#[repr(C, align(64))]
pub(super) struct Settled {
    /// Residuals in steps, by place in the block.
    steps: [i32; VALUES],
    pub(super) coefficients: Block,
    pub(super) decoded: Block,
    pub(super) shift: i32,
    /// Greatest total degree + 1 of the residuals that are not 0.
    pub(super) shells: usize,
}

impl Settled {
    pub(super) fn empty() -> Box<Self> {
        let (steps, zeros) = ([0; VALUES], [0.0; VALUES]);
        Box::new(Self { shift: 0, steps, coefficients: zeros, decoded: zeros, shells: 0 })
    }

    /// Residuals in steps, in the order of [`SCAN`], up to the greatest degree that has any.
    pub(super) fn residual(&self) -> Vec<i32> {
        let coded = &SCAN.place[..usize::from(SCAN.below[self.shells])];
        coded.iter().map(|&place| self.steps[usize::from(place)]).collect()
    }

    /// Takes the nearest residuals but for some moves.
    pub(super) fn settle(
        &mut self,
        engine: Engine,
        unit: f64,
        truth: &Block,
        prediction: &Block,
        moves: &Block<f32>,
        shift: i32,
    ) {
        let step = unit * half_octaves(shift);
        let (steps, coefficients) = (&mut self.steps, &mut self.coefficients);
        self.shells = settle(engine, truth, prediction, moves, step, steps, coefficients) as usize;
        self.shift = shift;
        inverse(engine, &self.coefficients, &mut self.decoded);
    }
}

crate::engine::for_engines! {
    fn subtract(truth: &Block, prediction: &Block, scale: f64, out: &mut Block<f32>) {
        for k in 0..VALUES {
            out[k] = ((truth[k] - prediction[k]) * scale) as f32;
        }
    }
}

crate::engine::for_engines! {
    /// An estimate of the bits of a residual.
    fn distance(residual: &Block<f32>, scale: f32) -> f32 {
        let mut sum = 0u32;
        for k in 0..VALUES {
            let t = residual[k] * scale;
            sum = sum.wrapping_add(octaves(1.0 + t * t));
        }
        sum as f32 * (0.5 / 1024.0)
    }
}

/// log₂ of a number ≥ 1 in units of 2⁻¹⁰, with straight lines between powers of two.
#[inline(always)]
pub(super) fn octaves(x: f32) -> u32 {
    (x.to_bits() >> 13).wrapping_sub(127 << 10)
}

/// Lanes that sums are made in: the compiler does not reorder sums of numbers.
const LANES: usize = 16;

crate::engine::for_engines! {
    /// The errors of a residual quantised with a step, in units; an estimate of its bits, the greatest total degree + 1 of
    /// what is not 0, and the sum of the squares of the errors, in steps.
    fn quantise(residual: &Block<f32>, scale: f32, step: f32, errors: &mut Block<f32>) -> (f32, u32, f32) {
        let (mut lost, mut largest) = ([0.0f32; LANES], [0.0f32; LANES]);
        let (mut octave, mut nonzero, mut shells) = ([0u32; LANES], [0u32; LANES], [0u32; LANES]);
        for first in (0..VALUES).step_by(LANES) {
            for lane in 0..LANES {
                let k = first + lane;
                let exact = residual[k] * scale;
                let n = exact.round_ties_even();
                let off = exact - n;
                lost[lane] = off.mul_add(off, lost[lane]);
                errors[k] = off * step;
                // NaN becomes the largest of all.
                largest[lane] = if n.abs() < largest[lane] { largest[lane] } else { n.abs() };
                octave[lane] = octave[lane].wrapping_add(octaves(1.0 + n * n));
                nonzero[lane] = nonzero[lane].wrapping_add(u32::from(n != 0.0));
                let here = if n != 0.0 { SHELL[k] } else { 0 };
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
    /// How many values are further off than allowed.
    pub(super) fn misses(errors: &Block<f32>, allowed: f32) -> u32 {
        let mut count = 0u32;
        for k in 0..VALUES {
            count = count.wrapping_add(u32::from(errors[k].abs() > allowed));
        }
        count
    }
}

crate::engine::for_engines! {
    /// Residuals in steps, the coefficients that a reader makes of them, and the greatest total degree + 1 of those that are
    /// not 0.
    fn settle(
        truth: &Block,
        prediction: &Block,
        moves: &Block<f32>,
        step: f64,
        steps: &mut [i32; VALUES],
        coefficients: &mut Block,
    ) -> u32 {
        let scale = 1.0 / step;
        let mut shells = [0u32; LANES];
        for first in (0..VALUES).step_by(LANES) {
            for lane in 0..LANES {
                let k = first + lane;
                let nearest = ((truth[k] - prediction[k]) * scale).round_ties_even();
                let n = nearest + f64::from(moves[k]);
                let c = n.mul_add(step, prediction[k]);
                coefficients[k] = if n != 0.0 { c } else { prediction[k] };
                steps[k] = n as i32;
                let here = if n != 0.0 { SHELL[k] } else { 0 };
                shells[lane] = if here > shells[lane] { here } else { shells[lane] };
            }
        }
        shells.into_iter().max().unwrap_or(0)
    }
}
