//! Quantisation: trials of a step, with an estimate of the bits that it takes, and the block
//! quantised with the chosen one.

use crate::blocks::{Block, VALUES};
use crate::computed::Computed;
use crate::engine::Engine;
use crate::entropy::symbols::RESIDUAL_BITS;
use crate::legendre::{DEGREE, DEGREES, SCAN, inverse};
use crate::quantum::half_octaves;
use crate::residual::{Residual, octaves};

/// Estimates of bits, fitted to how what blocks of evolved black holes took changed with the step,
/// at bounds from 1e-2 to 1e-6 of the range.
struct Estimates {
    /// By number of values that miss the bound.
    misses: [f32; VALUES + 1],
    /// By degree + 1.
    degrees: [f32; DEGREES + 1],
}

static ESTIMATES: Computed<Estimates> = Computed::new(|| Estimates {
    misses: std::array::from_fn(|n| {
        let entropy = |p: f32| if p > 0.0 { -p * p.log2() } else { 0.0 };
        let p = n as f32 / VALUES as f32;
        if n <= MANY { VALUES as f32 * (entropy(p) + entropy(1.0 - p)) + 0.56 * n as f32 } else { 0.0 }
    }),
    degrees: std::array::from_fn(|d| 1.0 + 6.26 * f32::from(SCAN.below[d]).cbrt()),
});
/// So many values that miss never pay.
const MANY: usize = 96;
/// Residuals of so many steps are not tried: those that cannot be coded, and, as trials round, those
/// that are nearly so large.
const LARGEST: f32 = ((1u32 << RESIDUAL_BITS) - 64) as f32;
/// Bits of a residual that is not 0, …
pub(super) const NONZERO: f32 = 2.54;
/// … and of each octave that it is larger.
pub(super) const OCTAVE: f32 = 1.41;

/// With an error of so small a root mean square, in quanta of the bound, hardly any value misses
/// it; with so large a one, far too many do. In between they are counted.
const QUIET: f32 = 0.22;
const LOUD: f32 = 0.8;

/// What comes of a step exponent: the quantisation step is quantum · 2^(step exponent/2).
#[derive(Clone, Copy)]
pub(super) struct QuantisationTrial {
    pub(super) step_exponent: i32,
    /// An estimate of its bits.
    pub(super) cost: f32,
    /// Root mean square of the error, in quanta.
    pub(super) rms: f32,
    /// Values that miss the bound, as far as they were counted.
    pub(super) misses: usize,
    /// Greatest total degree + 1 of the residuals that are not 0.
    pub(super) degrees: usize,
}

/// An estimate of the bits that corrections take, unless there are too many.
pub(super) fn price(misses: usize) -> Option<f32> {
    (misses <= MANY).then(|| ESTIMATES.misses[misses])
}

/// Errors of a trial, in quanta.
#[repr(C, align(64))]
pub(super) struct TrialErrors {
    pub(super) coefficients: Block<f32>,
    pub(super) values: Block<f32>,
    /// Where points are missing, 0, and else 1.
    pub(super) present: Option<Box<Block<f32>>>,
}

impl TrialErrors {
    pub(super) fn empty() -> Box<Self> {
        Box::new(Self { coefficients: [0.0; VALUES], values: [0.0; VALUES], present: None })
    }

    /// Makes the errors of values of those of coefficients; missing points have none.
    pub(super) fn evaluate(&mut self, engine: Engine) {
        inverse(engine, &self.coefficients, &mut self.values);
        if let Some(present) = &self.present {
            self.values.iter_mut().zip(&present[..]).for_each(|(v, present)| *v *= present);
        }
    }
}

impl QuantisationTrial {
    /// Quantises the residual, and estimates its bits.
    pub(super) fn new(
        engine: Engine,
        residual: &Residual,
        step_exponent: i32,
        errors: &mut TrialErrors,
    ) -> Self {
        let (scale, step) = (half_octaves(-step_exponent) as f32, half_octaves(step_exponent) as f32);
        let (cost, degrees, lost) =
            quantise(engine, &residual.residual, scale, step, &mut errors.coefficients);
        let degrees = degrees as usize;
        let rms = (lost / VALUES as f32).sqrt() * step;
        Self { step_exponent, cost: cost + ESTIMATES.degrees[degrees], rms, misses: 0, degrees }
    }

    /// Adds the cost of what misses an absolute tolerance, half a quantum. Padding may miss as it
    /// likes, but to leave it out of the estimate is not worth the while.
    pub(super) fn with_corrections(
        mut self,
        engine: Engine,
        residual: &Residual,
        errors: &mut TrialErrors,
    ) -> Self {
        let rms = 2.0 * self.rms;
        self.misses = if rms < QUIET {
            0
        } else if rms > LOUD {
            MANY + 1
        } else {
            errors.evaluate(engine);
            misses(engine, &errors.values, residual.allowed) as usize
        };
        // Far too many lead downwards, wherever the search began.
        let many =
            if self.misses > MANY { 1e6 + 1e3 * self.step_exponent as f32 + 1e3 * rms.log2() } else { 0.0 };
        self.cost += ESTIMATES.misses[self.misses] + many;
        self
    }

    /// Adds the cost of what misses a tolerance relative to each value, of so many quanta a value:
    /// it is stored verbatim, in so many bits.
    pub(super) fn with_unpredictable(
        mut self,
        engine: Engine,
        truth: &Block,
        tolerance: f64,
        bits: f32,
        errors: &mut TrialErrors,
    ) -> Self {
        errors.evaluate(engine);
        let off = |(error, v): &(&f32, &f64)| f64::from(error.abs()) > tolerance * v.abs();
        let misses = errors.values.iter().zip(truth).filter(off).count();
        self.misses = misses.min(MANY);
        self.cost += misses as f32 * bits;
        self
    }

    /// Whether larger steps could be cheaper: without residuals they change nothing.
    pub(super) fn can_grow(&self) -> bool {
        self.degrees > 0
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
pub(super) struct QuantisedBlock {
    /// Residuals in steps, by place in the block.
    steps: [i32; VALUES],
    pub(super) coefficients: Block,
    pub(super) decoded: Block,
    pub(super) step_exponent: i32,
    /// Greatest total degree + 1 of the residuals that are not 0.
    pub(super) degrees: usize,
}

impl QuantisedBlock {
    pub(super) fn empty() -> Box<Self> {
        let (steps, zeros) = ([0; VALUES], [0.0; VALUES]);
        Box::new(Self { step_exponent: 0, steps, coefficients: zeros, decoded: zeros, degrees: 0 })
    }

    /// Residuals in steps, in the order of [`SCAN`], up to the greatest degree that has any.
    pub(super) fn residual(&self) -> Vec<i32> {
        let coded = &SCAN.place[..usize::from(SCAN.below[self.degrees])];
        coded.iter().map(|&place| self.steps[usize::from(place)]).collect()
    }

    /// Quantises: takes the nearest residuals but for some moves.
    pub(super) fn set(
        &mut self,
        engine: Engine,
        quantum: f64,
        truth: &Block,
        prediction: &Block,
        moves: &Block<f32>,
        step_exponent: i32,
    ) {
        let step = quantum * half_octaves(step_exponent);
        let (steps, coefficients) = (&mut self.steps, &mut self.coefficients);
        self.degrees = quantise_block(engine, truth, prediction, moves, step, steps, coefficients) as usize;
        self.step_exponent = step_exponent;
        inverse(engine, &self.coefficients, &mut self.decoded);
    }

    /// Takes a prediction as it is.
    pub(super) fn set_predicted(&mut self, engine: Engine, prediction: &Block, step_exponent: i32) {
        self.coefficients.copy_from_slice(prediction);
        (self.degrees, self.step_exponent) = (0, step_exponent);
        inverse(engine, &self.coefficients, &mut self.decoded);
    }
}

/// To so large a number, others are added rounded to whole ones.
const WHOLE: f64 = 1.5 * (1u64 << 52) as f64;

/// Lanes that sums are made in: the compiler does not reorder sums of numbers.
const LANES: usize = 16;

crate::engine::for_engines! {
    /// The errors of a residual quantised with a step, in quanta; an estimate of its bits, the
    /// greatest total degree + 1 of what is not 0, and the sum of the squares of the errors, in
    /// steps.
    fn quantise(residual: &Block<f32>, scale: f32, step: f32, errors: &mut Block<f32>) -> (f32, u32, f32) {
        let (mut lost, mut largest) = ([0.0f32; LANES], [0.0f32; LANES]);
        let (mut octave, mut nonzero, mut degrees) = ([0u32; LANES], [0u32; LANES], [0u32; LANES]);
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
                let here = if n != 0.0 { DEGREE[k] } else { 0 };
                degrees[lane] = if here > degrees[lane] { here } else { degrees[lane] };
            }
        }
        let degrees = degrees.into_iter().max().unwrap_or(0);
        // Where no number of bits is enough, no bit is worth it; nor where anything is not a
        // number.
        if !largest.into_iter().all(|n| n < LARGEST) {
            return (f32::INFINITY, degrees, 0.0);
        }
        let octaves = octave.into_iter().fold(0, u32::wrapping_add) as f32 * (0.5 / 1024.0);
        let nonzero = nonzero.into_iter().fold(0, u32::wrapping_add) as f32;
        (OCTAVE * octaves + NONZERO * nonzero, degrees, lost.into_iter().sum())
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
    /// Residuals in steps, the coefficients that a reader makes of them, and the greatest total
    /// degree + 1 of those that are not 0.
    fn quantise_block(
        truth: &Block,
        prediction: &Block,
        moves: &Block<f32>,
        step: f64,
        steps: &mut [i32; VALUES],
        coefficients: &mut Block,
    ) -> u32 {
        let scale = 1.0 / step;
        let mut degrees = [0u32; LANES];
        for first in (0..VALUES).step_by(LANES) {
            for lane in 0..LANES {
                let k = first + lane;
                let nearest = ((truth[k] - prediction[k]) * scale).round_ties_even();
                let n = nearest + f64::from(moves[k]);
                let c = n.mul_add(step, prediction[k]);
                coefficients[k] = if n != 0.0 { c } else { prediction[k] };
                // The low bits of this sum are the number, if it is below 2⁵¹. A cast saturates, and
                // whether that is vector code depends on what else is compiled.
                steps[k] = (n + WHOLE).to_bits() as i32;
                let here = if n != 0.0 { DEGREE[k] } else { 0 };
                degrees[lane] = if here > degrees[lane] { here } else { degrees[lane] };
            }
        }
        degrees.into_iter().max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_residual_that_is_too_long_to_be_coded_is_never_tried() {
        let mut residual = Residual::empty();
        let mut errors = TrialErrors::empty();
        for step_exponent in -6..=30 {
            for n in [0.0, 1.0, 6.0, 1e9] {
                let steps = f64::from(1u32 << RESIDUAL_BITS) + n;
                residual.residual[0] = (steps * half_octaves(step_exponent)) as f32;
                let trial = QuantisationTrial::new(Engine::SCALAR, &residual, step_exponent, &mut errors);
                assert!(trial.cost.is_infinite(), "{n} at {step_exponent}");
            }
        }
    }
}
