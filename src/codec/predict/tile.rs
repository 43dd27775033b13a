//! A tile: blocks that are predicted from one another, coded into bytes that need no other tile.
//!
//! A grid is cut into tiles of 64³ values, a list of small boxes into groups of boxes. Writer and
//! reader keep the same [`Tile`] of decoded coefficients, predict each block from it, and add what
//! the stream says.

use super::interfield::InterFieldPrediction;
use super::mixing::{self, CandidatePredictions, ContextFeatures, MixingNetwork};
use super::reference::{BlockState, ReferenceTile, TileReferences, block_of_mut};
use super::spatial::{self, CORNER, Corner};
use super::temporal::Base;
use super::{Predictor, PredictorMask};
use crate::blocks::{Block, Places, VALUES, pad_block};
use crate::bound::Tolerance;
use crate::element::Element;
use crate::engine::{Engine, LANES};
use crate::entropy::symbols::{
    BlockContext, Coded, Magnitudes, NeighbourStatistics, Symbols, coded_degrees, start,
};
use crate::entropy::tables::{CarriedTables, Tables};
use crate::legendre::{SCAN, forward};
use crate::mask::{BlockMask, Extent, Mask};
use crate::missing::continue_over;
use crate::order::{Entry, Sides};
use crate::quantum::half_octaves;
use std::array::from_fn;
use std::sync::Arc;

/// The step exponent of a block without neighbours and without a reference.
const FIRST_STEP_EXPONENT: i16 = 2;
/// Blocks in a tile from which on the mixing network takes part: below, too few stand side by side.
const MIXING_BLOCKS: usize = 64;

/// What all tiles of a stream share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) engine: Engine,
    pub(crate) tolerance: Tolerance,
    /// The quantisation step at exponent 0, and the unit of corrections: twice the tolerance.
    pub(crate) quantum: f64,
    /// Predictors that blocks may use.
    pub(crate) predictors: PredictorMask,
}

/// What a tile is predicted from, beside its own blocks.
pub(crate) struct References<'a, T> {
    /// The same tile in decoded steps.
    pub(crate) steps: Option<TileReferences<'a, T>>,
    /// Other fields of the step.
    pub(crate) inter_field: Option<InterFieldPrediction<'a, T>>,
    pub(crate) mixing: Option<&'a MixingNetwork>,
}

/// The decoded part of a tile.
pub(crate) struct Tile<'a, T> {
    pub(crate) engine: Engine,
    pub(crate) frame: Frame,
    steps: Option<TileReferences<'a, T>>,
    inter_field: Option<InterFieldPrediction<'a, T>>,
    /// What spatial prediction needs of each block's coefficients.
    corners: Vec<Corner>,
    /// All of them, where the next step may be predicted from this one; else empty.
    coefficients: Vec<T>,
    magnitudes: Vec<Magnitudes>,
    states: Vec<BlockState>,
    /// Its missing points.
    missing: Option<Arc<Mask>>,
    /// The last value of a constant block, as bits: of the batches before, and of this one.
    constant: u64,
    next_constant: u64,
    mixing: Option<&'a MixingNetwork>,
    /// Mixed predictions of the blocks of this batch, by number.
    mixed: Vec<Option<Box<Block>>>,
    workspace: Vec<CandidatePredictions>,
}

/// Whether the mixing network takes part.
fn allows_mixing<T: Element>(steps: &TileReferences<'_, T>) -> bool {
    !steps.is_between() && steps.has_second_order() && steps.previous.states.len() >= MIXING_BLOCKS
}

impl<'a, T: Element> Tile<'a, T> {
    /// `keeps_reference`: whether [`Tile::into_reference`] will be asked for.
    pub(crate) fn new(
        frame: Frame,
        blocks: usize,
        references: References<'a, T>,
        missing: Option<Arc<Mask>>,
        keeps_reference: bool,
    ) -> Self {
        let steps = references.steps.filter(|steps| steps.previous.states.len() == blocks);
        let mixing = references.mixing.filter(|_| steps.is_some_and(|steps| allows_mixing(&steps)));
        let state = BlockState { step_exponent: FIRST_STEP_EXPONENT, ..BlockState::default() };
        Self {
            engine: frame.engine,
            frame,
            steps,
            inter_field: references.inter_field,
            corners: vec![[0.0; CORNER]; blocks],
            coefficients: vec![T::default(); if keeps_reference { blocks.saturating_mul(VALUES) } else { 0 }],
            magnitudes: vec![[0; VALUES]; blocks],
            states: vec![state; blocks],
            missing,
            constant: 0,
            next_constant: 0,
            mixing,
            mixed: vec![None; if mixing.is_some() { blocks } else { 0 }],
            workspace: vec![CandidatePredictions::EMPTY; if mixing.is_some() { LANES } else { 0 }],
        }
    }

    /// The rows that its symbols begin with.
    pub(crate) fn first_tables(&self) -> Tables {
        self.steps.map_or_else(start, |steps| steps.alike.tables.tables())
    }

    /// Whether an entry's block is wholly missing: then it has no symbols.
    pub(crate) fn is_missing(&self, entry: &Entry) -> bool {
        self.extent(entry) == Extent::All
    }

    fn extent(&self, entry: &Entry) -> Extent {
        self.missing.as_ref().map_or(Extent::None, |mask| mask.extent(entry.order.block as usize))
    }

    /// The missing points of a block of which some is missing.
    pub(crate) fn missing(&self, entry: &Entry) -> Option<&BlockMask> {
        let mask = self.missing.as_ref().filter(|_| self.extent(entry) == Extent::Part);
        mask.map(|mask| mask.block(entry.order.block as usize))
    }

    /// Where the values of an entry's block lie in it.
    pub(crate) fn places(&self, entry: &Entry) -> Places {
        match self.missing(entry) {
            Some(missing) => Places::without(entry.place, |i| missing.has(i)),
            None => Places::of(entry.place),
        }
    }

    /// Its missing points.
    pub(crate) fn mask(&self) -> Option<&Mask> {
        self.missing.as_deref()
    }

    /// Predictors that this block can use; those with latents apart.
    fn predictors(&self, entry: &Entry) -> PredictorMask {
        let mixed = self.mixed.get(entry.order.block as usize).is_some_and(Option::is_some);
        let possible = PredictorMask::of(Predictor::Intra)
            .with(Predictor::Previous, self.steps.is_some())
            .with(Predictor::Extrapolation, self.steps.is_some_and(|steps| steps.has_second_order()))
            .with(Predictor::InterField, self.inter_field.is_some())
            .with(Predictor::Mixing, mixed);
        self.frame.predictors.common(possible)
    }

    /// Mixes the predictions of all blocks of a batch.
    pub(crate) fn begin_batch(&mut self, entries: &[Entry], batch: &[u32]) {
        let Some(network) = self.mixing else { return };
        // Boxes of a list are small.
        if entries.last().is_some_and(|e| e.piece > 0) {
            return;
        }
        let all = batch.iter().map(|&number| &entries[number as usize]);
        let present: Vec<&Entry> = all.filter(|e| !self.is_missing(e)).collect();
        let mut left = present.into_iter().peekable();
        let mut workspace = std::mem::take(&mut self.workspace);
        while left.peek().is_some() {
            let (mut blocks, mut inputs) = (Vec::new(), Vec::new());
            while blocks.len() < LANES
                && let Some(entry) = left.next()
            {
                let candidates = &mut workspace[blocks.len()];
                self.candidate_predictions(entry, candidates);
                let features = self.context_features(entry);
                if let Some(input) = mixing::inputs(candidates, &features, self.frame.quantum) {
                    blocks.push(entry.order.block as usize);
                    inputs.push(input);
                }
            }
            let weights = network.weights(self.engine, &inputs);
            for ((block, weights), candidates) in blocks.into_iter().zip(&weights).zip(&workspace) {
                let mut mixed = Box::new([0.0; VALUES]);
                mixing::mix(self.engine, candidates, weights, &mut mixed);
                self.mixed[block] = Some(mixed);
            }
        }
        self.workspace = workspace;
    }

    /// Forgets what was of a batch alone, when all of its blocks are kept.
    pub(crate) fn end_batch(&mut self, entries: &[Entry], batch: &[u32]) {
        self.constant = self.next_constant;
        if !self.mixed.is_empty() {
            batch.iter().for_each(|&n| self.mixed[entries[n as usize].order.block as usize] = None);
        }
    }

    /// The predictions that are mixed.
    fn candidate_predictions(&self, entry: &Entry, out: &mut CandidatePredictions) {
        let [intra, extrapolated, unchanged] = &mut out.others;
        for (predictor, block) in [
            (Predictor::Previous, &mut out.first),
            (Predictor::Intra, intra),
            (Predictor::Extrapolation, extrapolated),
        ] {
            self.predict(entry, predictor, block);
            self.add_spatial(entry, predictor, block);
        }
        self.predict(entry, Predictor::Previous, unchanged);
    }

    /// What a mixing network would see of a block, whether there is one or not.
    #[cfg(feature = "training")]
    pub(crate) fn mixing_inputs(&self, entry: &Entry) -> Option<(Vec<f32>, Box<CandidatePredictions>)> {
        self.steps.filter(allows_mixing)?;
        let mut candidates = Box::new(CandidatePredictions::EMPTY);
        self.candidate_predictions(entry, &mut candidates);
        let inputs = mixing::inputs(&candidates, &self.context_features(entry), self.frame.quantum)?;
        Some((inputs, candidates))
    }

    /// Whether spatial prediction is possible.
    fn has_spatial(entry: &Entry) -> bool {
        entry.previous_box.is_some()
            || (spatial::reaches(entry.order.level) && entry.order.neighbours().next().is_some())
    }

    /// What writer and reader know of a block before it is coded. `with_latents`: the autoencoder
    /// predicts it.
    #[allow(
        clippy::arithmetic_side_effects,
        reason = "sums over seven neighbours and a reference at most, of 16 bits each"
    )]
    pub(crate) fn context(&self, entry: &Entry, with_latents: bool) -> BlockContext<'_> {
        let mut statistics = NeighbourStatistics::default();
        let (mut count, mut uncoded, mut degrees, mut step_exponent) = (0, 0, 0, 0);
        let (mut votes, mut with_spatial) = ([0u8; Predictor::ALL.len()], 0);
        for n in entry.context_blocks() {
            let state = &self.states[n];
            statistics.add(&self.magnitudes[n]);
            count += 1;
            uncoded += usize::from(!state.coded);
            degrees += i32::from(state.degrees);
            step_exponent += i32::from(state.step_exponent);
            votes[state.predictor as usize] += 1;
            with_spatial += usize::from(state.spatial);
        }
        let neighbours = count;
        let at = entry.order.block as usize;
        if let Some(previous) = self.steps.map(|steps| steps.alike).filter(|alike| !alike.is_missing(at)) {
            let state = &previous.states[at];
            degrees += i32::from(state.degrees);
            step_exponent += i32::from(state.step_exponent);
            count += 1;
            let scale = (previous.quantum / self.frame.quantum) as f32;
            statistics.previous = Some((&previous.magnitudes[at], scale));
        }
        let n = count.max(1) as i32;
        let kept = match self.frame.tolerance {
            Tolerance::Absolute(_) => None,
            // Rounding to m bits errs by less than 2^−(m+1).
            Tolerance::PointwiseRelative(r) => Some((-r.log2()).ceil().max(1.0) as u32),
        };
        // Of those with most votes, the one with the lowest number.
        let most = Predictor::ALL.into_iter().rev().max_by_key(|p| votes[*p as usize]).unwrap_or_default();
        let exponent = match count {
            0 => i32::from(FIRST_STEP_EXPONENT),
            _ => (2 * step_exponent + n).div_euclid(2 * n),
        };
        BlockContext {
            values: entry.place.len() - self.missing(entry).map_or(0, BlockMask::len),
            width: 8 * T::DTYPE.size() as u32,
            mantissa: T::DTYPE.mantissa_bits(),
            kept,
            corrects: matches!(self.frame.tolerance, Tolerance::Absolute(_)),
            predictors: if with_latents {
                PredictorMask::of(Predictor::Autoencoder)
            } else {
                self.predictors(entry)
            },
            spatial: Self::has_spatial(entry),
            uncoded,
            predictor: most,
            mostly_spatial: 2 * with_spatial > neighbours,
            degrees: (degrees as usize).div_ceil(n as usize),
            step_exponent: exponent,
            constant: self.constant,
            engine: self.engine,
            neighbours: statistics,
        }
    }

    /// What the mixing network sees of a block beside the candidate predictions.
    fn context_features(&self, entry: &Entry) -> ContextFeatures {
        let context = self.context(entry, false);
        let mut expected = [0.0; mixing::OWN];
        context.neighbours.expected(self.engine, 1.0, &mut expected);
        let block = entry.order.block as usize;
        let (extrapolated, previous) =
            (self.base(Predictor::Extrapolation, block), self.base(Predictor::Previous, block));
        let changes = |block: u32| -> [f64; mixing::NEIGHBOUR_COEFFICIENTS] {
            let block = block as usize;
            let corner = &self.corners[block];
            let previous = self.base(Predictor::Previous, block);
            from_fn(|k| {
                let place = usize::from(SCAN.place[k]);
                corner[spatial::entry(place)] - previous.coefficient(place)
            })
        };
        let sides = entry.order.sides.map(|s| match s {
            Sides::None => [None; 2],
            Sides::Low(a) => [Some(changes(a)), None],
            Sides::High(b) => [None, Some(changes(b))],
            Sides::Both(a, b) => [Some(changes(a)), Some(changes(b))],
        });
        ContextFeatures {
            change: from_fn(|k| {
                let place = usize::from(SCAN.place[k]);
                extrapolated.coefficient(place) - previous.coefficient(place)
            }),
            expected,
            sides: from_fn(|i| sides[i / 2][i % 2]),
            level: entry.order.level,
            step_exponent: context.step_exponent,
        }
    }

    /// What a predictor says of a block. This is where a new predictor answers.
    fn base(&self, predictor: Predictor, block: usize) -> Base<'_, T> {
        match (predictor, self.steps) {
            (Predictor::Previous, Some(steps)) => steps.first_order(block),
            (Predictor::Extrapolation, Some(steps)) => steps.second_order(block).unwrap_or(Base::Zero),
            (Predictor::Mixing, _) => match self.mixed.get(block) {
                Some(Some(mixed)) => Base::Computed(mixed),
                _ => Base::Zero,
            },
            (Predictor::InterField, _) => match &self.inter_field {
                Some(inter_field) => Base::Computed(inter_field.block(self.engine, block)),
                None => Base::Zero,
            },
            _ => Base::Zero,
        }
    }

    /// What a predictor says of a block, without spatial prediction; nothing, for latents are not
    /// here.
    pub(crate) fn predict(&self, entry: &Entry, predictor: Predictor, out: &mut Block) {
        self.base(predictor, entry.order.block as usize).write(self.engine, out);
    }

    /// Adds spatial prediction: how the neighbours differ from what `predictor` says of them.
    pub(crate) fn add_spatial(&self, entry: &Entry, predictor: Predictor, out: &mut Block) {
        if predictor == Predictor::Mixing {
            // Its candidates have it.
            return;
        }
        if let Some(previous_box) = entry.previous_box {
            // Boxes of a list often lie near one another, but the stream does not say on which
            // side.
            let block = previous_box as usize;
            out[0] += self.corners[block][0] - self.base(predictor, block).coefficient(0);
            return;
        }
        if predictor == Predictor::Autoencoder {
            // Latents say everything but the mean.
            let mut low = [0.0; VALUES];
            self.add_from_neighbours(entry, predictor, &mut low);
            out[0] += low[0];
            return;
        }
        self.add_from_neighbours(entry, predictor, out);
    }

    fn add_from_neighbours(&self, entry: &Entry, predictor: Predictor, out: &mut Block) {
        let corner = |n: usize| self.corner(n, predictor);
        spatial::predict(self.engine, &entry.order, corner, out);
    }

    /// A coded block's low coefficients less what a predictor says of them.
    fn corner(&self, block: usize, predictor: Predictor) -> Corner {
        let mut low = self.corners[block];
        self.base(predictor, block).subtract_from(self.engine, &mut low);
        low
    }

    /// The coefficients of a coded block; `from_latents` is what the autoencoder says of it.
    pub(crate) fn reconstruct(
        &self,
        entry: &Entry,
        coded: &Coded,
        from_latents: Option<&Block>,
        out: &mut Block,
    ) {
        match (coded.predictor, from_latents) {
            (Predictor::Autoencoder, Some(prediction)) => out.copy_from_slice(&prediction[..]),
            (other, _) => self.predict(entry, other, out),
        }
        if coded.spatial {
            self.add_spatial(entry, coded.predictor, out);
        }
        if let Some(bits) = coded.offset {
            out[0] = T::of_bits(bits).to_f64();
        }
        let step = self.frame.quantum * half_octaves(coded.step_exponent);
        dequantise(self.engine, out, &coded.residual, step);
    }

    /// Keeps a block for those after it.
    pub(crate) fn keep(&mut self, entry: &Entry, symbols: &Symbols, coefficients: &Block) {
        let block = entry.order.block as usize;
        match symbols {
            Symbols::Coded(coded) => {
                let scale = half_octaves(coded.step_exponent) as f32;
                let magnitudes = &mut self.magnitudes[block];
                for (m, n) in magnitudes.iter_mut().zip(&coded.residual) {
                    *m = ((n.unsigned_abs() as f32 * scale).to_bits() >> 16) as u16;
                }
                self.keep_coefficients(block, coefficients);
                self.states[block] = BlockState {
                    coded: true,
                    predictor: coded.predictor,
                    spatial: coded.spatial,
                    step_exponent: coded.step_exponent as i16,
                    degrees: coded_degrees(coded.residual.len()) as u8,
                };
            }
            Symbols::Constant(bits) => {
                self.next_constant = *bits;
                let value = T::of_bits(*bits).to_f64();
                let mean = T::from_f64(value * (VALUES as f64).sqrt());
                if mean.to_f64().is_finite() {
                    self.corners[block][0] = mean.to_f64();
                    if !self.coefficients.is_empty() {
                        block_of_mut(&mut self.coefficients, block)[0] = mean;
                    }
                }
                let step_exponent = self.states[block].step_exponent;
                self.states[block] = BlockState { step_exponent, ..BlockState::default() };
            }
            Symbols::Raw(bits) => self.keep_raw(entry, bits),
        }
    }

    /// Keeps a block that is wholly missing for the next step: as its neighbours, and the previous
    /// step, make it likely.
    pub(crate) fn keep_missing(&mut self, entry: &Entry) {
        let has_previous = self.steps.is_some() && self.frame.predictors.has(Predictor::Previous);
        let likely = Coded {
            predictor: if has_previous { Predictor::Previous } else { Predictor::Intra },
            spatial: Self::has_spatial(entry),
            ..Coded::default()
        };
        let mut coefficients = [0.0; VALUES];
        self.reconstruct(entry, &likely, None, &mut coefficients);
        self.keep_finite(entry, &coefficients);
    }

    /// The coefficients of a block that is stored as it is, so that its neighbours can be predicted
    /// from it.
    fn keep_raw(&mut self, entry: &Entry, bits: &[u64]) {
        let places = self.places(entry);
        let mut block = [0.0; VALUES];
        for (i, &bits) in bits.iter().enumerate() {
            block[places.block(i as u16)] = T::of_bits(bits).to_f64();
        }
        if let Some(missing) = self.missing(entry) {
            continue_over(&mut block, entry.place.count, missing);
        }
        pad_block(&mut block, entry.place.count);
        let mut coefficients = [0.0; VALUES];
        forward(self.engine, &block, &mut coefficients);
        self.keep_finite(entry, &coefficients);
    }

    /// Keeps coefficients, unless one of them is not finite in the field's type.
    fn keep_finite(&mut self, entry: &Entry, coefficients: &Block) {
        if coefficients.iter().all(|&c| T::from_f64(c).to_f64().is_finite()) {
            self.keep_coefficients(entry.order.block as usize, coefficients);
        }
    }

    fn keep_coefficients(&mut self, block: usize, coefficients: &Block) {
        self.corners[block] = spatial::rounded_corner::<T>(self.engine, coefficients);
        if !self.coefficients.is_empty() {
            narrow(self.engine, coefficients, block_of_mut(&mut self.coefficients, block));
        }
    }

    /// What the next step may be predicted from, with the rows at the tile's end.
    pub(crate) fn into_reference(self, tables: &Tables) -> ReferenceTile<T> {
        let keeps_reference = !self.coefficients.is_empty();
        let [before, behind] = self.steps.map(|steps| steps.latest()).unwrap_or_default();
        ReferenceTile {
            tables: Arc::new(if keeps_reference { tables.carried() } else { CarriedTables::default() }),
            latest: Arc::new(self.coefficients),
            before,
            behind,
            magnitudes: self.magnitudes,
            states: self.states,
            quantum: self.frame.quantum,
            missing: self.missing,
        }
    }
}

crate::engine::for_engines! {
    /// Values of the field's type.
    pub(crate) fn narrow<T: Element>(block: &Block, out: &mut Block<T>) {
        for (out, &v) in out.iter_mut().zip(block) {
            *out = T::from_f64(v);
        }
    }
}

crate::engine::for_engines! {
    /// Adds residuals, in steps, to the coefficients of their prediction.
    fn dequantise(coefficients: &mut Block, residual: &[i32], step: f64) {
        for (&n, &place) in residual.iter().zip(&SCAN.place) {
            let c = &mut coefficients[usize::from(place) % VALUES];
            let moved = f64::from(n).mul_add(step, *c);
            // A choice, not a branch, which would often be foreseen wrongly.
            *c = std::hint::select_unpredictable(n != 0, moved, *c);
        }
    }
}
