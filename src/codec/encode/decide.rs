//! The mode decision: which prediction, which quantisation step, or none, takes the fewest bits for
//! a block. How long that is looked for is the effort: at `normal` here, at `fast` by `estimate`, at
//! `best` by `exhaustive`.
//!
//! Candidates are ranked by a rough estimate of their bits; the best are quantised with steps that
//! grow until the values that miss the bound, and must be corrected one by one, cost more than is
//! gained (`quantise`), and some coefficients are then moved so that fewer values miss it
//! (`refine`). Every value of the result is verified (`verify`).

use super::continuation::{Continuation, expected_sizes};
use super::quantise::{QuantisationTrial, QuantisedBlock, TrialErrors};
use super::refine::{ROUNDS, Refinement};
use super::source::Source;
use super::verify::{ErrorStatistics, Verified};
use crate::blocks::{Block, Places, VALUES};
use crate::bound::Tolerance;
use crate::config::Effort;
use crate::element::Element;
use crate::entropy::rans::Meter;
use crate::entropy::symbols::{BlockContext, STEP_EXPONENTS, Symbols, code, selection_bits};
use crate::entropy::tables::Tables;
use crate::legendre::forward;
use crate::order::Entry;
use crate::predict::Predictor;
use crate::predict::autoencoder::LatentPrediction;
use crate::predict::tile::Tile;
use crate::residual::Residual;
use std::mem::swap;
use std::ops::RangeInclusive;

/// What the encoder may do with blocks of one value, and its effort with the others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether they may be stored as that value.
    pub(crate) constant: bool,
    /// Whether each of them must be.
    pub(crate) exact_constants: bool,
    pub(crate) effort: Effort,
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
    pub(super) best: Box<Residual>,
    pub(super) candidate: Box<Residual>,
    pub(super) errors: Box<TrialErrors>,
    pub(super) refinement: Box<Refinement>,
    pub(super) quantised: Box<QuantisedBlock>,
    /// Another, while two are compared.
    pub(super) spare: Box<QuantisedBlock>,
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
            spare: QuantisedBlock::empty(),
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
    pub(super) saved: f32,
}

impl Candidate {
    pub(super) fn new(predictor: Predictor, spatial: bool) -> Self {
        Self { predictor, spatial, offset: None, saved: 0.0 }
    }
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
        tables: &mut Tables,
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
        let verified = match rules.effort {
            _ if !possible => None,
            Effort::Fast => self.estimate(tables, workspace),
            Effort::Best => self.search(tables, workspace, from_latents),
            Effort::Normal => self.predict(tables, workspace, from_latents),
        };
        if let Some(Verified { mut symbols, unpredictable, errors, cost: estimate, saved, .. }) = verified {
            let clear = estimate < 0.5 * raw && !constant && unpredictable == 0;
            let bits = if clear { 0.0 } else { self.bits(tables, &mut symbols) };
            if bits < cost
                && symbols.are_possible()
                && storable::<T>(tile.engine, &workspace.quantised.coefficients)
            {
                cost = bits;
                best = Some(Decision { symbols, errors, saved });
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

    /// The bits that the symbols of a predicted block take.
    pub(super) fn bits(&self, tables: &mut Tables, symbols: &mut Symbols) -> f32 {
        let has_latents =
            matches!(symbols, Symbols::Coded(coded) if coded.predictor == Predictor::Autoencoder);
        let context = self.tile.context(self.entry, has_latents);
        let mut meter = Meter::default();
        code(&mut meter, tables, &[context], std::slice::from_mut(symbols));
        meter.bits
    }

    /// The best prediction and its best step by estimate, verified; the workspace has its
    /// coefficients.
    fn predict(
        &self,
        tables: &mut Tables,
        workspace: &mut Workspace,
        from_latents: Option<&LatentPrediction>,
    ) -> Option<Verified> {
        let Self { tile, source, .. } = self;
        forward(tile.engine, &source.block, &mut workspace.transformed);
        self.prepare_continuation(workspace);
        let start = self.first_step_exponent();
        let mut selected = self.rank(tables, workspace).map(|(candidate, trial)| {
            let trial = trial.unwrap_or_else(|| self.try_step(&workspace.best, &mut workspace.errors, start));
            (candidate, self.search_step(&workspace.best, &mut workspace.errors, trial))
        });
        // The autoencoder comes last: what the others need shows whether its latents can pay at
        // all.
        let others = selected.as_ref().map_or(f32::INFINITY, |(_, trial)| trial.cost);
        if let Some(from_latents) = from_latents
            && others > from_latents.cost()
        {
            let candidate = self.predict_from_latents(from_latents, workspace);
            self.compare(workspace);
            let trial = self.try_step(&workspace.candidate, &mut workspace.errors, start);
            let trial = self.search_step(&workspace.candidate, &mut workspace.errors, trial);
            let saved = others - trial.cost - from_latents.cost();
            if saved > 0.0 {
                selected = Some((Candidate { saved, ..candidate }, trial));
                swap(&mut workspace.best, &mut workspace.candidate);
            }
        }
        let (candidate, trial) = selected.filter(|(_, trial)| trial.cost.is_finite())?;
        swap(&mut workspace.best, &mut workspace.candidate);
        Some(self.quantise(&candidate, &trial, ROUNDS, workspace))
    }

    /// Quantises what the candidate leaves as a trial did, refined in so many rounds, and verifies.
    pub(super) fn quantise(
        &self,
        candidate: &Candidate,
        trial: &QuantisationTrial,
        rounds: usize,
        workspace: &mut Workspace,
    ) -> Verified {
        let Self { tile, .. } = self;
        let Workspace { candidate: residual, errors, refinement, .. } = &mut *workspace;
        match tile.frame.tolerance {
            Tolerance::Absolute(_) if rounds > 0 => {
                refinement.refine(tile.engine, residual, trial, errors, rounds);
            }
            _ => refinement.clear(),
        }
        self.quantise_with_moves(candidate, trial, workspace)
    }

    /// Quantises with the moves that there are, and verifies.
    pub(super) fn quantise_with_moves(
        &self,
        candidate: &Candidate,
        trial: &QuantisationTrial,
        workspace: &mut Workspace,
    ) -> Verified {
        let Self { tile, .. } = self;
        let Workspace { transformed, candidate: residual, refinement, quantised, .. } = workspace;
        let truth = residual.truth.as_deref().unwrap_or(transformed);
        let (prediction, moves) = (&residual.prediction, &refinement.moves);
        quantised.set(tile.engine, tile.frame.quantum, truth, prediction, moves, trial.step_exponent);
        self.verify(candidate, trial.cost, quantised)
    }

    /// Predicts with the autoencoder.
    pub(super) fn predict_from_latents(
        &self,
        from_latents: &LatentPrediction,
        workspace: &mut Workspace,
    ) -> Candidate {
        let Self { tile, entry, context, .. } = self;
        let prediction = &mut workspace.candidate.prediction;
        prediction.copy_from_slice(&from_latents.coefficients[..]);
        if context.spatial {
            tile.add_spatial(entry, Predictor::Autoencoder, prediction);
        }
        Candidate::new(Predictor::Autoencoder, context.spatial)
    }

    /// The best of the predictors that need no latents, and, under an absolute bound, a trial of it
    /// with the neighbours' step.
    fn rank(
        &self,
        tables: &mut Tables,
        workspace: &mut Workspace,
    ) -> Option<(Candidate, Option<QuantisationTrial>)> {
        let Self { tile, context, .. } = self;
        let mut least = f32::INFINITY;
        let mut best: Option<(f32, Candidate, Option<QuantisationTrial>)> = None;
        for candidate in self.candidates() {
            let candidate = self.predict_as(candidate, workspace);
            self.compare(workspace);
            let Candidate { predictor, spatial, .. } = candidate;
            let selection = selection_bits(tables, context, predictor, spatial);
            let rough = selection + workspace.candidate.rough_bits(tile.engine, context.step_exponent);
            // A trial takes ten times as long as a rough estimate; a candidate that is far behind
            // gets none.
            if rough > MARGIN_FACTOR * least + MARGIN_BITS {
                continue;
            }
            let trial = match tile.frame.tolerance {
                Tolerance::Absolute(_) => {
                    Some(self.try_step(&workspace.candidate, &mut workspace.errors, context.step_exponent))
                }
                Tolerance::PointwiseRelative(_) => None,
            };
            let cost = trial.map_or(rough, |trial| selection + trial.cost);
            // A residual too long to be coded sets no mark.
            if cost.is_finite() {
                least = least.min(rough);
            }
            if best.as_ref().is_none_or(|b| cost < b.0) {
                best = Some((cost, candidate, trial));
                swap(&mut workspace.best, &mut workspace.candidate);
            }
        }
        best.map(|(_, candidate, trial)| (candidate, trial))
    }

    /// All candidates but the autoencoder.
    pub(super) fn candidates(&self) -> impl Iterator<Item = Candidate> {
        let spatial = self.context.spatial;
        self.context.predictors.iter().flat_map(move |predictor| {
            let with: &[bool] = match predictor {
                // Its candidates have spatial prediction where the block can have it.
                Predictor::Mixing if spatial => &[true],
                _ if spatial => &[false, true],
                _ => &[false],
            };
            with.iter().map(move |&spatial| Candidate::new(predictor, spatial))
        })
    }

    /// Predicts as a candidate says; gives it with its offset.
    pub(super) fn predict_as(&self, candidate: Candidate, workspace: &mut Workspace) -> Candidate {
        let Self { tile, entry, .. } = self;
        let Candidate { predictor, spatial, .. } = candidate;
        let prediction = &mut workspace.candidate.prediction;
        tile.predict(entry, predictor, prediction);
        if spatial {
            tile.add_spatial(entry, predictor, prediction);
        }
        let offset = self.offset(workspace.transformed[0], prediction[0]);
        if let Some(bits) = offset {
            prediction[0] = T::of_bits(bits).to_f64();
        }
        Candidate { offset, ..candidate }
    }

    /// What fills the missing points of the block.
    pub(super) fn prepare_continuation(&self, workspace: &mut Workspace) {
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
    pub(super) fn compare(&self, workspace: &mut Workspace) {
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

    pub(super) fn allowed(&self) -> RangeInclusive<i32> {
        match self.tile.frame.tolerance {
            Tolerance::Absolute(_) => -6..=30,
            Tolerance::PointwiseRelative(_) => -STEP_EXPONENTS..=STEP_EXPONENTS,
        }
    }

    /// Where the search for a step begins: under an absolute bound with that of the neighbours; else
    /// where a quarter of the values would need smaller ones.
    pub(super) fn first_step_exponent(&self) -> i32 {
        let Self { tile, context, source, .. } = self;
        let Tolerance::PointwiseRelative(r) = tile.frame.tolerance else { return context.step_exponent };
        let ratio = r / tile.frame.quantum;
        let mut sizes: Vec<f64> = source.block.iter().map(|v| v.abs()).filter(|v| *v > 0.0).collect();
        let quarter = sizes.len() / 4;
        if quarter >= sizes.len() {
            return context.step_exponent;
        }
        let size = *sizes.select_nth_unstable_by(quarter, f64::total_cmp).1;
        let limit = f64::from(STEP_EXPONENTS);
        (2.0 * (2.0 * ratio * size).log2()).clamp(-limit, limit) as i32
    }

    /// Tries a step exponent.
    pub(super) fn try_step(
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
    pub(super) fn search_step(
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
