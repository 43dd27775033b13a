//! The mode decision at effort `fast`: predictor and quantisation step by estimates, where
//! [`decide`](super::decide) tries them.
//!
//! A block whose neighbours have no residual is first predicted as most of them are. Where that keeps
//! the bound, nothing else is looked at. Else the low coefficients choose the prediction, and the
//! step is the one with the least expected bits: those of the residual, and those of the corrections
//! that errors of this root mean square take in the mean.

use super::decide::{BlockEncoder, Candidate, Workspace};
use super::quantise::{QuantisationTrial, TrialErrors, price};
use super::verify::Verified;
use crate::blocks::{Block, VALUES};
use crate::bound::Tolerance;
use crate::element::Element;
use crate::entropy::symbols::selection_bits;
use crate::entropy::tables::Tables;
use crate::legendre::forward;
use crate::predict::spatial::{CORNER, Corner, corner};
use crate::quantum::half_octaves;
use crate::residual::{Residual, octaves};
use std::mem::swap;

/// The bits that corrections took, in the mean, of blocks of evolved black holes with errors of a
/// root mean square of 0, 0.02, 0.04 … quanta. Beyond, far too many values miss the bound.
const PRICES: [f32; 18] = [
    0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.2, 8.4, 18.8, 35.3, 59.0, 90.7, 128.0, 168.0, 210.0, 249.0, 290.0, 331.0,
];
const APART: f32 = 0.02;
const LOUD: f32 = APART * PRICES.len() as f32;

/// So many values may miss the bound where there is no residual: to correct one takes no more bits
/// than the least residual.
const FEW: usize = 1;
/// Corrections that take so many bits more than expected, and this part of the residual's, lead to
/// a smaller step.
const SURPRISE: f32 = 6.0;
const PART: f32 = 1.0 / 12.0;

/// The bits that corrections are expected to take.
fn expected_price(root_mean_square: f32) -> f32 {
    let place = (root_mean_square / APART).min(1e4);
    let first = place as usize;
    match PRICES.get(first..first + 2) {
        Some(&[a, b]) => a + (b - a) * (place - first as f32),
        _ => 1e3 * place,
    }
}

/// Those that a trial's are expected to take, its residual included.
fn expected_cost(trial: &QuantisationTrial) -> f32 {
    trial.cost + expected_price(trial.rms)
}

impl<T: Element> BlockEncoder<'_, T> {
    /// A prediction and its residual, verified; the workspace has its coefficients.
    pub(super) fn estimate(&self, tables: &mut Tables, workspace: &mut Workspace) -> Option<Verified> {
        let Self { tile, source, .. } = self;
        if let Some(expected) = self.expected() {
            let expected = self.predict_as(expected, workspace);
            if self.misses_without_residual(workspace) <= FEW {
                return Some(self.verify(&expected, 0.0, &workspace.quantised));
            }
        }
        forward(tile.engine, &source.block, &mut workspace.transformed);
        self.prepare_continuation(workspace);
        let candidate = self.likely(tables, workspace)?;
        self.compare(workspace);
        let is_quiet = root_mean_square(tile.engine, &workspace.candidate.residual) < LOUD;
        let without = if is_quiet { self.misses_without_residual(workspace) } else { VALUES };
        if without <= FEW {
            return Some(self.verify(&candidate, 0.0, &workspace.quantised));
        }
        let trial = self.estimate_step(&workspace.candidate, &mut workspace.errors);
        if !trial.cost.is_finite() {
            return None;
        }
        if price(without).is_some_and(|price| price <= expected_cost(&trial)) {
            return Some(self.verify(&candidate, 0.0, &workspace.quantised));
        }
        Some(self.with_residual(&candidate, &trial, workspace))
    }

    /// Quantises with the estimated step, or with the next smaller one where corrections take far
    /// more bits than expected.
    fn with_residual(
        &self,
        candidate: &Candidate,
        trial: &QuantisationTrial,
        workspace: &mut Workspace,
    ) -> Verified {
        let Self { tile, .. } = self;
        let verified = self.quantise_and_price(candidate, trial, workspace);
        let surprise = verified.cost - expected_cost(trial);
        if matches!(tile.frame.tolerance, Tolerance::PointwiseRelative(_))
            || surprise < SURPRISE + PART * trial.cost
        {
            return verified;
        }
        let (residual, errors) = (&workspace.candidate, &mut workspace.errors);
        let smaller = QuantisationTrial::new(tile.engine, residual, trial.step_exponent - 1, errors);
        swap(&mut workspace.quantised, &mut workspace.spare);
        let again = self.quantise_and_price(candidate, &smaller, workspace);
        if again.cost < verified.cost {
            return again;
        }
        swap(&mut workspace.quantised, &mut workspace.spare);
        verified
    }

    /// Quantises as a trial did; the cost is that of the corrections that it takes.
    fn quantise_and_price(
        &self,
        candidate: &Candidate,
        trial: &QuantisationTrial,
        workspace: &mut Workspace,
    ) -> Verified {
        let verified = self.quantise(candidate, trial, 0, workspace);
        let price = price(verified.corrections).unwrap_or(f32::INFINITY);
        Verified { cost: verified.cost + price, ..verified }
    }

    /// How most neighbours are predicted, where none of them has a residual.
    fn expected(&self) -> Option<Candidate> {
        let Self { context, source, .. } = self;
        let absolute = matches!(self.tile.frame.tolerance, Tolerance::Absolute(_));
        let possible = context.degrees == 0 && context.spatial && context.predictors.has(context.predictor);
        let expected = Candidate::new(context.predictor, context.mostly_spatial);
        (possible && absolute && source.whole && !source.special).then_some(expected)
    }

    /// Takes the prediction alone, and counts the values that then miss the bound; all where that is
    /// not known of the whole block at once.
    fn misses_without_residual(&self, workspace: &mut Workspace) -> usize {
        let Workspace { candidate, quantised, .. } = workspace;
        quantised.set_predicted(self.tile.engine, &candidate.prediction, self.context.step_exponent);
        self.misses(quantised).unwrap_or(VALUES)
    }

    /// The candidate whose low coefficients are nearest to the truth; the workspace has its
    /// prediction.
    fn likely(&self, tables: &mut Tables, workspace: &mut Workspace) -> Option<Candidate> {
        let Self { tile, entry, context, .. } = self;
        let scale = 1.0 / (tile.frame.quantum * half_octaves(context.step_exponent));
        let truth = corner(tile.engine, &workspace.transformed[..]);
        let mut likely: Option<(f32, Candidate)> = None;
        for candidate in self.candidates() {
            let Candidate { predictor, spatial, .. } = candidate;
            let prediction = &mut workspace.candidate.prediction;
            if spatial {
                // It comes behind the same without.
                tile.add_spatial(entry, predictor, prediction);
            } else {
                tile.predict(entry, predictor, prediction);
            }
            let bits = low_bits(tile.engine, &truth, &corner(tile.engine, &prediction[..]), scale);
            let cost = bits + selection_bits(tables, context, predictor, spatial);
            if likely.is_none_or(|(least, _)| cost < least) {
                likely = Some((cost, candidate));
                if spatial {
                    swap(&mut workspace.best, &mut workspace.candidate);
                }
            }
        }
        let (_, likely) = likely?;
        if likely.spatial {
            swap(&mut workspace.best, &mut workspace.candidate);
            return Some(likely);
        }
        Some(self.predict_as(likely, workspace))
    }

    /// The step of least expected bits, near that of the neighbours.
    fn estimate_step(&self, residual: &Residual, errors: &mut TrialErrors) -> QuantisationTrial {
        let Self { tile, .. } = self;
        let allowed = self.allowed();
        let mut trial = |step_exponent: i32| {
            let step_exponent = step_exponent.clamp(*allowed.start(), *allowed.end());
            QuantisationTrial::new(tile.engine, residual, step_exponent, errors)
        };
        let first = trial(self.first_step_exponent());
        if let Tolerance::PointwiseRelative(_) = tile.frame.tolerance {
            return first;
        }
        let mut best = first;
        for by in [1, -1] {
            let mut next = trial(best.step_exponent + by);
            while expected_cost(&next) < expected_cost(&best) {
                best = next;
                next = trial(best.step_exponent + by);
            }
            if best.step_exponent != first.step_exponent {
                break;
            }
        }
        best
    }
}

crate::engine::for_engines! {
    /// A rough estimate of the bits of the low coefficients of a residual.
    fn low_bits(truth: &Corner, prediction: &Corner, scale: f64) -> f32 {
        let mut sum = 0u32;
        for k in 0..CORNER {
            let t = ((truth[k] - prediction[k]) * scale) as f32;
            sum = sum.wrapping_add(octaves(1.0 + t * t));
        }
        sum as f32 * (0.5 / 1024.0)
    }
}

crate::engine::for_engines! {
    /// Of a residual that is left out, in quanta.
    fn root_mean_square(residual: &Block<f32>) -> f32 {
        const LANES: usize = 16;
        let mut squares = [0.0f32; LANES];
        for first in (0..VALUES).step_by(LANES) {
            for lane in 0..LANES {
                let r = residual[first + lane];
                squares[lane] = r.mul_add(r, squares[lane]);
            }
        }
        (squares.into_iter().sum::<f32>() / VALUES as f32).sqrt()
    }
}
