//! The mode decision at effort `best`: every candidate that may be the one is quantised with several
//! steps, refined for longer and verified, where [`decide`](super::decide) goes by estimates. The
//! fewest bits win, as the entropy coder counts them.

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
            swap(&mut workspace.quantised, &mut workspace.spare);
            let mut verified = self.quantise(candidate, &trial, ROUNDS, workspace);
            verified.cost = self.bits(tables, &mut verified.symbols);
            if best.as_ref().is_none_or(|best| verified.cost < best.cost) {
                *best = Some(verified);
            } else {
                swap(&mut workspace.quantised, &mut workspace.spare);
            }
        }
    }
}
