//! The mode decision: which prediction, which quantisation step, or none, takes the fewest bits for
//! a block.
//!
//! Candidates are ranked by a rough estimate of their bits; the best are quantised with steps that
//! grow until the values that miss the bound, and must be corrected one by one, cost more than is
//! gained (`quantise`), and some coefficients are then moved so that fewer values miss it
//! (`refine`). Every value of the result is verified (`verify`).

use super::continuation::{Continuation, expected_sizes};
use super::quantise::{QuantisationTrial, QuantisedBlock, TrialErrors};
use super::refine::Refinement;
use super::source::Source;
use super::verify::ErrorStatistics;
use crate::blocks::{Block, Places, VALUES};
use crate::bound::Tolerance;
use crate::element::Element;
use crate::entropy::range_coder::Meter;
use crate::entropy::symbols::{BlockContext, Contexts, STEP_EXPONENTS, Symbols, code, selection_bits};
use crate::legendre::forward;
use crate::order::Entry;
use crate::predict::Predictor;
use crate::predict::autoencoder::LatentPrediction;
use crate::predict::tile::Tile;
use crate::residual::Residual;
use std::mem::swap;
use std::ops::RangeInclusive;

/// What the encoder may do with blocks of one value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether they may be stored as that value.
    pub(crate) constant: bool,
    /// Whether each of them must be.
    pub(crate) exact_constants: bool,
}

/// A candidate that is behind the best by more than this factor and so many bits, by a rough
/// estimate, gets no trial.
const MARGIN_FACTOR: f32 = 1.05;
const MARGIN_BITS: f32 = 2.0;

/// Memory for what a block's mode decision computes. (This and its like begin where a line of the
/// cache does: vectors that lie across two take twice as long to load.)
#[repr(C, align(64))]
pub(super) struct Workspace {
    /// The truth's coefficients.
    pub(super) transformed: Block,
    continuation: Continuation,
    /// The best prediction so far, and the candidate.
    best: Box<Residual>,
    candidate: Box<Residual>,
    errors: Box<TrialErrors>,
    refinement: Box<Refinement>,
    pub(super) quantised: Box<QuantisedBlock>,
}

impl Workspace {
    pub(super) fn new() -> Self {
        Self {
            transformed: [0.0; VALUES],
            continuation: Continuation::empty(),
            best: Residual::empty(),
            candidate: Residual::empty(),
            errors: TrialErrors::empty(),
            refinement: Refinement::empty(),
            quantised: QuantisedBlock::empty(),
        }
    }
}

/// A way to predict a block.
#[derive(Clone, Copy)]
pub(super) struct Candidate {
    pub(super) predictor: Predictor,
    pub(super) spatial: bool,
    /// Bits of the first coefficient, where nothing predicts it.
    pub(super) offset: Option<u64>,
    /// By how many bits it is cheaper than the best of the others, by estimate; of the autoencoder
    /// alone.
    saved: f32,
}

/// How a block is coded.
pub(super) struct Decision {
    pub(super) symbols: Symbols,
    pub(super) errors: ErrorStatistics,
    /// What the autoencoder saved, where it predicts.
    pub(super) saved: f32,
}

impl Decision {
    /// Of a block that comes back as it was.
    fn exact(symbols: Symbols) -> Self {
        Self { symbols, errors: ErrorStatistics::default(), saved: 0.0 }
    }
}

/// A block that is to be coded.
pub(super) struct BlockEncoder<'a, T> {
    pub(super) tile: &'a Tile<'a, T>,
    pub(super) entry: &'a Entry,
    pub(super) context: &'a BlockContext<'a>,
    pub(super) source: &'a Source<T>,
    /// Where the values lie that are coded.
    pub(super) places: &'a Places,
}

impl<T: Element> BlockEncoder<'_, T> {
    /// The cheapest symbols; where the block is coded, the workspace's quantised block has its
    /// coefficients.
    pub(super) fn decide(
        &self,
        contexts: &mut Contexts,
        workspace: &mut Workspace,
        rules: Rules,
        from_latents: Option<&LatentPrediction>,
    ) -> Decision {
        let Self { tile, context, source, places, .. } = self;
        let bits = source.values[places.block(0)].bits();
        let constant = source.constant && rules.constant;
        if constant && (rules.exact_constants || context.constant == bits) {
            return Decision::exact(Symbols::Constant(bits));
        }
        let raw = (context.values as u32 * context.width) as f32;
        let mut cost = raw;
        let mut best = None;
        let possible = source.finite && tile.frame.quantum.is_normal();
        let candidate = if possible { self.predict(contexts, workspace, from_latents) } else { None };
        if let Some((candidate, trial)) = candidate.filter(|(_, trial)| trial.cost.is_finite()) {
            let (coded, errors) = self.verify(&candidate, &workspace.quantised);
            let clear = trial.cost < 0.5 * raw && !constant && coded.unpredictable.is_empty();
            let symbols = Symbols::Coded(coded);
            let mut meter = Meter::default();
            if !clear {
                let context = self.tile.context(self.entry, candidate.predictor == Predictor::Autoencoder);
                code(&mut meter, contexts, &context, Some(&symbols));
            }
            if meter.bits < cost && storable::<T>(tile.engine, &workspace.quantised.coefficients) {
                cost = meter.bits;
                best = Some(Decision { symbols, errors, saved: candidate.saved });
            }
        }
        if constant && cost > context.width as f32 + 4.0 {
            return Decision::exact(Symbols::Constant(bits));
        }
        best.unwrap_or_else(|| {
            let value = |i: u16| source.values[places.block(i)].bits();
            Decision::exact(Symbols::Raw((0..context.values as u16).map(value).collect()))
        })
    }

    /// The best prediction and its best step by estimate, which the workspace settles on.
    fn predict(
        &self,
        contexts: &mut Contexts,
        workspace: &mut Workspace,
        from_latents: Option<&LatentPrediction>,
    ) -> Option<(Candidate, QuantisationTrial)> {
        let Self { tile, entry, context, source, .. } = self;
        let quantum = tile.frame.quantum;
        forward(tile.engine, &source.block, &mut workspace.transformed);
        self.prepare_continuation(workspace);
        let start = match tile.frame.tolerance {
            Tolerance::Absolute(_) => context.step_exponent,
            Tolerance::PointwiseRelative(r) => {
                first_step_exponent(source, r / quantum).unwrap_or(context.step_exponent)
            }
        };
        let mut selected = self.rank(contexts, workspace).map(|(candidate, trial)| {
            let trial = trial.unwrap_or_else(|| self.try_step(&workspace.best, &mut workspace.errors, start));
            (candidate, self.search_step(&workspace.best, &mut workspace.errors, trial))
        });
        // The autoencoder comes last: what the others need shows whether its latents can pay at
        // all.
        let others = selected.as_ref().map_or(f32::INFINITY, |(_, trial)| trial.cost);
        if let Some(from_latents) = from_latents
            && others > from_latents.cost()
        {
            workspace.candidate.prediction.copy_from_slice(&from_latents.coefficients[..]);
            if context.spatial {
                tile.add_spatial(entry, Predictor::Autoencoder, &mut workspace.candidate.prediction);
            }
            self.compare(workspace);
            let trial = self.try_step(&workspace.candidate, &mut workspace.errors, start);
            let trial = self.search_step(&workspace.candidate, &mut workspace.errors, trial);
            let saved = others - trial.cost - from_latents.cost();
            if saved > 0.0 {
                let candidate = Candidate {
                    predictor: Predictor::Autoencoder,
                    spatial: context.spatial,
                    offset: None,
                    saved,
                };
                selected = Some((candidate, trial));
                swap(&mut workspace.best, &mut workspace.candidate);
            }
        }
        if let Some((_, trial)) = &selected {
            let Workspace { transformed, best, errors, refinement, quantised, .. } = workspace;
            match tile.frame.tolerance {
                Tolerance::Absolute(_) => refinement.refine(tile.engine, best, trial, errors),
                Tolerance::PointwiseRelative(_) => refinement.clear(),
            }
            let (prediction, moves) = (&best.prediction, &refinement.moves);
            let truth = best.truth.as_deref().unwrap_or(transformed);
            quantised.set(tile.engine, quantum, truth, prediction, moves, trial.step_exponent);
        }
        selected
    }

    /// The best of the predictors that need no latents, and, under an absolute bound, a trial of it
    /// with the neighbours' step.
    fn rank(
        &self,
        contexts: &mut Contexts,
        workspace: &mut Workspace,
    ) -> Option<(Candidate, Option<QuantisationTrial>)> {
        let Self { tile, entry, context, .. } = self;
        let mut least = f32::INFINITY;
        let mut best: Option<(f32, Candidate, Option<QuantisationTrial>)> = None;
        for predictor in context.predictors.iter() {
            for spatial in [false, true] {
                let possible = match predictor {
                    // Its candidates have spatial prediction where the block can have it.
                    Predictor::Mixing => spatial == context.spatial,
                    _ => context.spatial || !spatial,
                };
                if !possible {
                    continue;
                }
                let prediction = &mut workspace.candidate.prediction;
                tile.predict(entry, predictor, prediction);
                if spatial {
                    tile.add_spatial(entry, predictor, prediction);
                }
                let offset = self.offset(workspace.transformed[0], prediction[0]);
                if let Some(bits) = offset {
                    prediction[0] = T::of_bits(bits).to_f64();
                }
                self.compare(workspace);
                let selection = selection_bits(contexts, context, predictor, spatial);
                let rough = selection + workspace.candidate.rough_bits(tile.engine, context.step_exponent);
                // A trial takes ten times as long as a rough estimate; a candidate that is far
                // behind gets none.
                if rough > MARGIN_FACTOR * least + MARGIN_BITS {
                    continue;
                }
                let trial = match tile.frame.tolerance {
                    Tolerance::Absolute(_) => Some(self.try_step(
                        &workspace.candidate,
                        &mut workspace.errors,
                        context.step_exponent,
                    )),
                    Tolerance::PointwiseRelative(_) => None,
                };
                let cost = trial.map_or(rough, |trial| selection + trial.cost);
                // A residual too long to be coded sets no mark.
                if cost.is_finite() {
                    least = least.min(rough);
                }
                if best.as_ref().is_none_or(|b| cost < b.0) {
                    best = Some((cost, Candidate { predictor, spatial, offset, saved: 0.0 }, trial));
                    swap(&mut workspace.best, &mut workspace.candidate);
                }
            }
        }
        best.map(|(_, candidate, trial)| (candidate, trial))
    }

    /// What fills the missing points of the block.
    fn prepare_continuation(&self, workspace: &mut Workspace) {
        let Self { tile, entry, context, places, .. } = self;
        let Workspace { transformed, continuation, best, candidate, errors, .. } = workspace;
        errors.present = None;
        (best.truth, candidate.truth) = (None, None);
        if tile.missing(entry).is_none() {
            return;
        }
        let mut expected = [0.0; VALUES];
        context.neighbours.expected(tile.engine, 1.0, &mut expected);
        let size = transformed[1..].iter().map(|c| c * c).sum::<f64>().sqrt() / tile.frame.quantum;
        let degrees = if context.neighbours.is_some() { context.degrees + 2 } else { usize::MAX };
        let expected = expected_sizes(&expected, size, degrees);
        let present = (0..places.len() as u16).map(|i| places.block(i));
        continuation.set(tile.engine, present.clone(), &expected);
        let mut is_present = Box::new([0.0; VALUES]);
        present.for_each(|i| is_present[i] = 1.0);
        errors.present = Some(is_present);
    }

    /// Compares the truth with the candidate's prediction.
    fn compare(&self, workspace: &mut Workspace) {
        let Self { tile, source, .. } = self;
        let Workspace { transformed, continuation, candidate, errors, .. } = workspace;
        if errors.present.is_some() {
            let mut truth = candidate.truth.take().unwrap_or_else(|| Box::new([0.0; VALUES]));
            continuation.complete(tile.engine, &source.block, &candidate.prediction, &mut truth);
            candidate.compare::<T>(tile.engine, &truth, tile.frame.quantum);
            candidate.truth = Some(truth);
        } else {
            candidate.compare::<T>(tile.engine, transformed, tile.frame.quantum);
        }
    }

    /// The first coefficient itself, where nothing predicts it and a residual would be far too
    /// long.
    fn offset(&self, truth: f64, prediction: f64) -> Option<u64> {
        let value = T::from_f64(truth);
        let long = ((truth - prediction) / self.tile.frame.quantum).abs() > LONG;
        (!self.context.spatial && long && value.to_f64().is_finite()).then(|| value.bits())
    }

    fn allowed(&self) -> RangeInclusive<i32> {
        match self.tile.frame.tolerance {
            Tolerance::Absolute(_) => -6..=30,
            Tolerance::PointwiseRelative(_) => -STEP_EXPONENTS..=STEP_EXPONENTS,
        }
    }

    /// Tries a step exponent.
    fn try_step(
        &self,
        residual: &Residual,
        errors: &mut TrialErrors,
        step_exponent: i32,
    ) -> QuantisationTrial {
        let Self { tile, context, source, .. } = self;
        let allowed = self.allowed();
        let step_exponent = step_exponent.clamp(*allowed.start(), *allowed.end());
        let trial = QuantisationTrial::new(tile.engine, residual, step_exponent, errors);
        match tile.frame.tolerance {
            Tolerance::Absolute(_) => trial.with_corrections(tile.engine, residual, errors),
            Tolerance::PointwiseRelative(r) => {
                let bits = context.kept.unwrap_or(context.width) as f32 + 4.0;
                trial.with_unpredictable(tile.engine, &source.block, r / tile.frame.quantum, bits, errors)
            }
        }
    }

    /// The trial of least cost near a first one; two in a row that cost more end the search on that
    /// side.
    fn search_step(
        &self,
        residual: &Residual,
        errors: &mut TrialErrors,
        first: QuantisationTrial,
    ) -> QuantisationTrial {
        let mut best = first;
        for by in [1, -1] {
            let (mut step_exponent, mut worse) = (first.step_exponent + by, 0);
            let useful = if by > 0 { QuantisationTrial::can_grow } else { QuantisationTrial::can_shrink };
            while worse < 2 && self.allowed().contains(&step_exponent) && useful(&best) {
                let next = self.try_step(residual, errors, step_exponent);
                if next.cost < best.cost {
                    best = next;
                    worse = 0;
                } else {
                    worse += 1;
                }
                if by > 0 && next.is_hopeless() {
                    break;
                }
                step_exponent += by;
            }
        }
        best
    }
}

/// A first coefficient so many quanta off its prediction is stored verbatim.
const LONG: f64 = (1u32 << 24) as f64;

crate::engine::for_engines! {
    /// Whether all coefficients are finite in the field's type.
    fn storable<T: Element>(coefficients: &Block) -> bool {
        let mut bad = 0u32;
        for k in 0..VALUES {
            bad |= u32::from(!T::from_f64(coefficients[k]).to_f64().is_finite());
        }
        bad == 0
    }
}

/// The step exponent at which a quarter of the values would need smaller steps; `ratio` is the
/// bound over the quantum.
fn first_step_exponent<T>(source: &Source<T>, ratio: f64) -> Option<i32> {
    let mut sizes: Vec<f64> = source.block.iter().map(|v| v.abs()).filter(|v| *v > 0.0).collect();
    let quarter = sizes.len() / 4;
    sizes.get(quarter)?;
    let size = *sizes.select_nth_unstable_by(quarter, f64::total_cmp).1;
    Some((2.0 * (2.0 * ratio * size).log2()).clamp(-f64::from(STEP_EXPONENTS), f64::from(STEP_EXPONENTS))
        as i32)
}
