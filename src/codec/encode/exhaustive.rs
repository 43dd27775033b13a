//! The mode decision at effort `best`: every candidate that may be the one is quantised with several
//! steps, refined for longer or not at all, with all of its degrees or fewer, and verified, where
//! [`decide`](super::decide) goes by estimates. The fewest bits win, as the entropy coder counts them.

use super::decide::{BlockEncoder, Candidate, Workspace};
use super::verify::Verified;
use crate::element::Element;
use crate::entropy::tables::Tables;
use crate::legendre::forward;
use crate::predict::autoencoder::LatentPrediction;
use std::mem::swap;

// Chosen by trial on evolved black holes.

/// A candidate that is behind the best by more than this factor and so many bits, by a rough
/// estimate, is never the one.
const MARGIN_FACTOR: f32 = 1.3;
const MARGIN_BITS: f32 = 16.0;
/// What is behind by more than this, refined and with all of its degrees, is tried in no other way.
const BEHIND_FACTOR: f32 = 1.1;
const BEHIND_BITS: f32 = 16.0;
/// So often all moves of a refinement are looked at.
const ROUNDS: usize = 24;

impl<T: Element> BlockEncoder<'_, T> {
    /// The candidate and the step of fewest bits, verified; the workspace has its coefficients.
    pub(super) fn search(
        &self,
        tables: &mut Tables,
        workspace: &mut Workspace,
        from_latents: Option<&LatentPrediction>,
    ) -> Option<Verified> {
        let Self { tile, context, source, .. } = self;
        forward(tile.engine, &source.block, &mut workspace.transformed);
        self.prepare_continuation(workspace);
        let ranked = |candidate| {
            let candidate = self.predict_as(candidate, workspace);
            self.compare(workspace);
            (workspace.candidate.rough_bits(tile.engine, context.step_exponent), candidate)
        };
        let candidates: Vec<_> = self.candidates().map(ranked).collect();
        let least = candidates.iter().map(|(rough, _)| *rough).fold(f32::INFINITY, f32::min);
        let mut best = None;
        for (rough, candidate) in candidates {
            if rough <= MARGIN_FACTOR * least + MARGIN_BITS {
                let candidate = self.predict_as(candidate, workspace);
                self.try_steps(&candidate, tables, workspace, &mut best);
            }
        }
        // The autoencoder comes last, and pays for its latents.
        let others = best.as_ref().map_or(f32::INFINITY, |best| best.cost);
        if let Some(from_latents) = from_latents.filter(|latents| latents.cost() < others) {
            let candidate = self.predict_from_latents(from_latents, workspace);
            let left = others - from_latents.cost();
            best = best.map(|best| Verified { cost: left, ..best });
            self.try_steps(&candidate, tables, workspace, &mut best);
            return best.map(|best| Verified { saved: left - best.cost, ..best });
        }
        best
    }

    /// Tries the best step by estimate, and those beside it; what takes fewer bits than the best so
    /// far replaces it.
    fn try_steps(
        &self,
        candidate: &Candidate,
        tables: &mut Tables,
        workspace: &mut Workspace,
        best: &mut Option<Verified>,
    ) {
        self.compare(workspace);
        let (residual, errors) = (&workspace.candidate, &mut workspace.errors);
        let first = self.try_step(residual, errors, self.first_step_exponent());
        let middle = self.search_step(residual, errors, first).step_exponent;
        for step_exponent in middle - 1..=middle + 1 {
            let trial = self.try_step(&workspace.candidate, &mut workspace.errors, step_exponent);
            if !trial.cost.is_finite() {
                continue;
            }
            for rounds in if trial.misses > 0 { &[ROUNDS, 0][..] } else { &[0][..] } {
                swap(&mut workspace.quantised, &mut workspace.spare);
                let verified = self.quantise(candidate, &trial, *rounds, workspace);
                let mut degrees = workspace.quantised.degrees;
                let mut last = self.keep_better(verified, tables, workspace, best);
                if best.as_ref().is_some_and(|best| last > BEHIND_FACTOR * best.cost + BEHIND_BITS) {
                    break;
                }
                // As long as it pays, degrees are left out from the end.
                while degrees > 0 {
                    degrees -= 1;
                    swap(&mut workspace.quantised, &mut workspace.spare);
                    let Workspace { refinement, candidate: residual, .. } = &mut *workspace;
                    refinement.truncate(self.tile.engine, residual, trial.step_exponent, degrees);
                    let verified = self.quantise_with_moves(candidate, &trial, workspace);
                    let cost = self.keep_better(verified, tables, workspace, best);
                    if cost > last {
                        break;
                    }
                    last = cost;
                }
            }
        }
    }

    /// Keeps what takes fewer bits than the best so far; gives its bits.
    fn keep_better(
        &self,
        mut verified: Verified,
        tables: &mut Tables,
        workspace: &mut Workspace,
        best: &mut Option<Verified>,
    ) -> f32 {
        verified.cost = self.bits(tables, &mut verified.symbols);
        let cost = verified.cost;
        if best.as_ref().is_none_or(|best| cost < best.cost) {
            *best = Some(verified);
        } else {
            swap(&mut workspace.quantised, &mut workspace.spare);
        }
        cost
    }
}
