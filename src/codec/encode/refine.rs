//! Refinement: some quantised residuals are moved by a step, away from the nearest, where the
//! block's values then miss the bound less often, or the residuals take fewer bits, for a little
//! more error.
//!
//! A descent: the slope of the expected bits of corrections by each value's error, taken over to
//! the coefficients by the forward transform, tells what each move would change; the few best are
//! made, and all is looked at again. (Rate-distortion optimised quantisation as in video coders,
//! with a price on missing the bound in place of the squared error.)

use super::quantise::{NONZERO, OCTAVE, QuantisationTrial, TrialErrors, misses, price};
use crate::blocks::{Block, VALUES};
use crate::engine::Engine;
use crate::legendre::{DEGREE, forward};
use crate::quantum::half_octaves;
use crate::residual::{Residual, octaves};

// Chosen by trial on evolved black holes.

/// So often all moves are looked at; more at effort `best` …
pub(super) const ROUNDS: usize = 8;
/// … and so many at most are made at once.
const MOVES: usize = 4;
/// Values whose error is nearer than this to the bound, in quanta, count.
const WIDTH: f32 = 0.28;
/// Bits that a value is taken to cost as it crosses the bound, …
const CROSSING: f32 = 6.0;
/// … by how much they grow with the square of a coefficient's error, in quanta, …
const CURVATURE: f32 = 2.0;
/// … and what another residual that is not 0 takes.
const ANOTHER: f32 = 7.0;

/// Workspace for the descent of a block.
#[repr(C, align(64))]
pub(super) struct Refinement {
    /// Residuals in steps: as they are, and the best so far.
    steps: Block<f32>,
    best: Block<f32>,
    slopes: Block<f32>,
    /// The slopes by coefficient.
    gradient: Block<f32>,
    /// What each move changes, in bits.
    changes: Block<f32>,
    /// The moves of the best, in steps.
    pub(super) moves: Block<f32>,
}

impl Refinement {
    pub(super) fn empty() -> Box<Self> {
        let zeros = [0.0; VALUES];
        let (steps, best, slopes, gradient, changes, moves) = (zeros, zeros, zeros, zeros, zeros, zeros);
        Box::new(Self { steps, best, slopes, gradient, changes, moves })
    }

    /// Forgets all moves.
    pub(super) fn clear(&mut self) {
        self.moves.fill(0.0);
    }

    /// Leaves out all residuals of a total degree + 1 beyond this.
    pub(super) fn truncate(
        &mut self,
        engine: Engine,
        residual: &Residual,
        step_exponent: i32,
        degrees: usize,
    ) {
        let scale = half_octaves(-step_exponent) as f32;
        truncate(engine, &residual.residual, scale, degrees as u32, &mut self.moves);
    }

    /// Finds moves for a trial under an absolute bound, in so many rounds.
    pub(super) fn refine(
        &mut self,
        engine: Engine,
        residual: &Residual,
        trial: &QuantisationTrial,
        errors: &mut TrialErrors,
        rounds: usize,
    ) {
        self.clear();
        let Some(mut cost) = price(trial.misses).filter(|_| trial.misses > 0) else { return };
        let (scale, step) =
            (half_octaves(-trial.step_exponent) as f32, half_octaves(trial.step_exponent) as f32);
        start(engine, &residual.residual, scale, step, &mut self.steps, &mut errors.coefficients);
        self.best = self.steps;
        errors.evaluate(engine);
        let (mut missing, mut bits) = (trial.misses, 0.0);
        for _ in 0..rounds {
            slopes(engine, &errors.values, residual.allowed, &mut self.slopes);
            forward(engine, &self.slopes, &mut self.gradient);
            let degrees = trial.degrees as u32;
            let coefficients = &mut errors.coefficients;
            changes(engine, &self.steps, coefficients, &self.gradient, step, degrees, &mut self.changes);
            let mut moved = false;
            for _ in 0..MOVES.min(1 + missing / 4) {
                let (change, k) = least(engine, &self.changes);
                if change >= 0.0 {
                    break;
                }
                let k = k as usize;
                let to = self.steps[k] + 1f32.copysign(coefficients[k]);
                bits += rate(to) - rate(self.steps[k]);
                coefficients[k] -= (to - self.steps[k]) * step;
                self.steps[k] = to;
                self.changes[k] = 0.0;
                moved = true;
            }
            if !moved {
                break;
            }
            errors.evaluate(engine);
            missing = misses(engine, &errors.values, residual.allowed) as usize;
            if let Some(now) = price(missing).map(|price| price + bits).filter(|now| *now < cost) {
                cost = now;
                self.best = self.steps;
            }
            if missing == 0 {
                break;
            }
        }
        difference(engine, &self.best, &residual.residual, scale, &mut self.moves);
    }
}

/// An estimate of a residual's bits.
fn rate(steps: f32) -> f32 {
    if steps == 0.0 { 0.0 } else { NONZERO + OCTAVE * 0.5 * (1.0 + steps * steps).log2() }
}

crate::engine::for_engines! {
    /// The nearest residuals in steps, and their errors in quanta.
    fn start(residual: &Block<f32>, scale: f32, step: f32, steps: &mut Block<f32>, errors: &mut Block<f32>) {
        for k in 0..VALUES {
            steps[k] = (residual[k] * scale).round_ties_even();
            errors[k] = residual[k] - steps[k] * step;
        }
    }
}

crate::engine::for_engines! {
    /// How fast the bits of corrections grow with each value's error: by a bump around the bound.
    fn slopes(errors: &Block<f32>, allowed: f32, out: &mut Block<f32>) {
        for k in 0..VALUES {
            let x = (errors[k].abs() - allowed) * (1.0 / WIDTH);
            let bump = if x * x < 1.0 { 1.0 - x * x } else { 0.0 };
            out[k] = (CROSSING / WIDTH * bump * bump).copysign(errors[k]);
        }
    }
}

crate::engine::for_engines! {
    /// What it changes, in bits, to take the second-nearest residual; of degrees that are coded
    /// alone.
    fn changes(
        steps: &Block<f32>,
        errors: &Block<f32>,
        gradient: &Block<f32>,
        step: f32,
        degrees: u32,
        out: &mut Block<f32>,
    ) {
        for k in 0..VALUES {
            let by = 1f32.copysign(errors[k]);
            let (from, to) = (steps[k], steps[k] + by);
            let longer = octaves(1.0 + to * to).wrapping_sub(octaves(1.0 + from * from)) as i32;
            let another = if from == 0.0 { ANOTHER } else { 0.0 } - if to == 0.0 { ANOTHER } else { 0.0 };
            let squares = step * (step - 2.0 * errors[k].abs());
            let change = OCTAVE * (0.5 / 1024.0) * longer as f32 + another - by * step * gradient[k]
                + 0.5 * CURVATURE * squares;
            out[k] = if DEGREE[k] <= degrees { change } else { 0.0 };
        }
    }
}

crate::engine::for_engines! {
    /// The least of all numbers, and its place.
    fn least(numbers: &Block<f32>) -> (f32, u32) {
        const LANES: usize = 16;
        let (mut least, mut place) = ([0.0f32; LANES], [0u32; LANES]);
        for first in (0..VALUES).step_by(LANES) {
            for lane in 0..LANES {
                let less = numbers[first + lane] < least[lane];
                least[lane] = if less { numbers[first + lane] } else { least[lane] };
                place[lane] = if less { (first + lane) as u32 } else { place[lane] };
            }
        }
        let all = least.into_iter().zip(place);
        all.fold((0.0, 0), |best, one| if one.0 < best.0 { one } else { best })
    }
}

crate::engine::for_engines! {
    /// Moves residuals beyond a degree to 0.
    fn truncate(residual: &Block<f32>, scale: f32, degrees: u32, moves: &mut Block<f32>) {
        for k in 0..VALUES {
            let none = -(residual[k] * scale).round_ties_even();
            moves[k] = if DEGREE[k] > degrees { none } else { moves[k] };
        }
    }
}

crate::engine::for_engines! {
    fn difference(best: &Block<f32>, residual: &Block<f32>, scale: f32, out: &mut Block<f32>) {
        for k in 0..VALUES {
            out[k] = best[k] - (residual[k] * scale).round_ties_even();
        }
    }
}
