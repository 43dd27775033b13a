//! A tile: the blocks that lean on one another, coded into bytes that need no other tile.
//!
//! A grid is cut into tiles of 64³ values, a list of small boxes into groups of boxes. Writer and reader keep the same
//! [`Tile`] of decoded coefficients, predict each block from it, and add what the stream says.

use super::coupling::Foretold;
use super::legendre::{Block, SCAN, forward};
use super::mixture::{self, Circumstances, Mixer, Opinions, SEEN};
use super::order::{Sides, Visit, visits};
use super::spatial::{self, Corner};
use super::symbols::{Coded, Known, Magnitudes, Near, Symbols, half_octaves, shells};
use crate::blocks::{BlockBox, BlockGrid, EDGE, VALUES, pad_block};
use crate::engine::{Engine, LANES};
use crate::{Tolerance, Value};
use std::sync::Arc;

/// Predictors by number; a stream names those that it uses.
pub(crate) const LEGENDRE: u8 = 0;
pub(crate) const PREVIOUS: u8 = 1;
pub(crate) const EXTRAPOLATION: u8 = 2;
pub(crate) const SWAE: u8 = 3;
pub(crate) const MIXTURE: u8 = 4;
pub(crate) const COUPLED: u8 = 5;

/// The shift where nothing is known of any.
const FIRST_SHIFT: i16 = 2;

/// What all tiles of a stream share.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Frame {
    pub(crate) tolerance: Tolerance,
    /// The quantisation step at shift 0, and the unit of corrections: twice the tolerance.
    pub(crate) unit: f64,
    /// A bit for each predictor that blocks may use.
    pub(crate) predictors: u8,
}

/// What is remembered of a block for those after it.
#[derive(Clone, Copy, Debug, Default)]
struct State {
    coded: bool,
    predictor: u8,
    spatial: bool,
    shift: i16,
    /// Degree + 1, 0 without any coefficient.
    shells: u8,
}

/// A tile of the step before: what the next step's leans on.
#[derive(Clone, Debug)]
pub(crate) struct PastTile<T> {
    /// Decoded coefficients of the last step, `[block][place]`.
    pub(super) newest: Arc<Vec<T>>,
    /// Of the step before that.
    pub(super) before: Option<Arc<Vec<T>>>,
    magnitudes: Vec<Magnitudes>,
    states: Vec<State>,
    unit: f64,
}

impl<T> PastTile<T> {
    /// Whether there are two steps.
    pub(crate) fn is_long(&self) -> bool {
        self.before.is_some()
    }

    /// Whether the mixer takes part in the next step.
    fn can_be_weighed(&self) -> bool {
        self.is_long() && self.states.len() >= MANY
    }
}

/// The decoded part of a tile.
pub(crate) struct Tile<'a, T> {
    pub(crate) engine: Engine,
    pub(crate) frame: Frame,
    past: Option<&'a PastTile<T>>,
    /// What other fields foretell.
    coupled: Option<Foretold<'a, T>>,
    coefficients: Vec<T>,
    magnitudes: Vec<Magnitudes>,
    states: Vec<State>,
    constant: u64,
    mixer: Option<&'a Mixer>,
    /// What the mixer foretells of blocks whose turn is near, by number.
    mixed: Vec<Option<Box<Block>>>,
    room: Vec<Opinions>,
}

/// Blocks in a tile from which on the mixer takes part: below, too few stand side by side.
const MANY: usize = 64;

/// A block's turn in a tile.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// Which piece of the tile the block is of, and which place it has there.
    pub(crate) piece: usize,
    pub(crate) place: BlockBox,
    /// Its number, and its neighbours', in the tile.
    pub(crate) visit: Visit,
    /// For a piece's first block: the first block of the piece before.
    pub(crate) ahead: Option<u32>,
}

/// All turns of a tile whose pieces have these shapes.
pub(crate) fn turns(pieces: &[[usize; 3]]) -> Vec<Turn> {
    let mut out = Vec::new();
    let mut ahead = None;
    let mut offset = 0;
    for (piece, &count) in pieces.iter().enumerate() {
        let grid = BlockGrid::new(count);
        let mut first = None;
        for mut visit in visits(count.map(|n| n.div_ceil(EDGE))) {
            let place = grid.block(visit.block as usize);
            visit.block += offset;
            visit.sides = visit.sides.map(|s| match s {
                Sides::None => Sides::None,
                Sides::Low(a) => Sides::Low(a + offset),
                Sides::Both(a, b) => Sides::Both(a + offset, b + offset),
            });
            let root = first.is_none();
            first.get_or_insert(visit.block);
            out.push(Turn { piece, place, visit, ahead: if root { ahead } else { None } });
        }
        ahead = first.or(ahead);
        offset += grid.len() as u32;
    }
    out
}

impl<'a, T: Value> Tile<'a, T> {
    pub(crate) fn new(
        frame: Frame,
        blocks: usize,
        past: Option<&'a PastTile<T>>,
        coupled: Option<Foretold<'a, T>>,
        mixer: Option<&'a Mixer>,
    ) -> Self {
        let past = past.filter(|p| p.states.len() == blocks);
        let mixer = mixer.filter(|_| past.is_some_and(PastTile::can_be_weighed));
        Self {
            engine: Engine::best(),
            frame,
            past,
            coupled,
            coefficients: vec![T::default(); blocks * VALUES],
            magnitudes: vec![[0; VALUES]; blocks],
            states: vec![State { shift: FIRST_SHIFT, ..State::default() }; blocks],
            constant: 0,
            mixer,
            mixed: vec![None; if mixer.is_some() { blocks } else { 0 }],
            room: if mixer.is_some() { vec![Opinions::EMPTY; LANES] } else { Vec::new() },
        }
    }

    /// Predictors that blocks without latents can use.
    pub(crate) fn predictors(&self) -> u8 {
        let past = match self.past {
            None => 0,
            Some(p) if p.is_long() => 1 << PREVIOUS | 1 << EXTRAPOLATION,
            Some(_) => 1 << PREVIOUS,
        };
        self.frame.predictors & (past | 1 << LEGENDRE | u8::from(self.coupled.is_some()) << COUPLED)
    }

    /// Predictors that this block can use.
    fn predictors_of(&self, turn: &Turn) -> u8 {
        let mixed = self.mixed.get(turn.visit.block as usize).is_some_and(Option::is_some);
        self.predictors() | self.frame.predictors & u8::from(mixed) << MIXTURE
    }

    /// Lets the mixer weigh opinions of all blocks of a pass when the first one's turn has come.
    pub(crate) fn prepare(&mut self, turns: &[Turn], number: usize) {
        let Some(mixer) = self.mixer else { return };
        let alike = |a: &Turn, b: &Turn| a.piece == b.piece && a.visit.pass == b.visit.pass;
        let turn = &turns[number];
        // Boxes of a list are small.
        if turns.last().is_some_and(|t| t.piece > 0) || number > 0 && alike(&turns[number - 1], turn) {
            return;
        }
        let mut left = turns[number..].iter().take_while(|t| alike(t, turn)).peekable();
        let mut room = std::mem::take(&mut self.room);
        while left.peek().is_some() {
            let (mut blocks, mut inputs) = (Vec::new(), Vec::new());
            while blocks.len() < LANES
                && let Some(turn) = left.next()
            {
                let opinions = &mut room[blocks.len()];
                self.opinions(turn, opinions);
                if let Some(input) = mixture::inputs(opinions, &self.circumstances(turn), self.frame.unit) {
                    blocks.push(turn.visit.block as usize);
                    inputs.push(input);
                }
            }
            let weights = mixer.weigh(self.engine, &inputs);
            for ((block, weights), opinions) in blocks.into_iter().zip(&weights).zip(&room) {
                let mut mixed = Box::new([0.0; VALUES]);
                mixture::mix(self.engine, opinions, weights, &mut mixed);
                self.mixed[block] = Some(mixed);
            }
        }
        self.room = room;
    }

    /// What the mixer weighs.
    pub(crate) fn opinions(&self, turn: &Turn, out: &mut Opinions) {
        let [neighbours, further, still] = &mut out.others;
        for (predictor, block) in
            [(PREVIOUS, &mut out.first), (LEGENDRE, neighbours), (EXTRAPOLATION, further)]
        {
            self.of_past(turn, predictor, block);
            self.add_spatial(turn, predictor, block);
        }
        self.of_past(turn, PREVIOUS, still);
    }

    /// What the mixer is told.
    pub(crate) fn lesson(&self, turn: &Turn, truth: &Block, shift: i32) -> Option<mixture::Lesson> {
        self.past.filter(|past| past.can_be_weighed())?;
        let mut opinions = Box::new(Opinions::EMPTY);
        self.opinions(turn, &mut opinions);
        let inputs = mixture::inputs(&opinions, &self.circumstances(turn), self.frame.unit)?;
        Some(mixture::Lesson::new(inputs, &opinions, truth, self.frame.unit, shift))
    }

    /// Where contexts come from.
    fn neighbours(turn: &Turn) -> impl Iterator<Item = usize> {
        turn.visit.neighbours().chain(turn.ahead.map(|a| a as usize))
    }

    /// Whether the neighbours' part can be added.
    fn has_spatial(turn: &Turn) -> bool {
        turn.ahead.is_some()
            || (spatial::reaches(turn.visit.level) && turn.visit.neighbours().next().is_some())
    }

    /// What is known of a block before it is coded; a block with latents is predicted by the network.
    pub(crate) fn known(&self, turn: &Turn, network: bool) -> Known<'_> {
        let mut near = Near::default();
        let (mut count, mut uncoded, mut shells, mut shift) = (0, 0, 0, 0);
        let (mut votes, mut with) = ([0u8; 8], 0);
        for n in Self::neighbours(turn) {
            let state = &self.states[n];
            near.add(&self.magnitudes[n]);
            count += 1;
            uncoded += usize::from(!state.coded);
            shells += i32::from(state.shells);
            shift += i32::from(state.shift);
            votes[usize::from(state.predictor & 7)] += 1;
            with += usize::from(state.spatial);
        }
        let neighbours = count;
        if let Some(past) = self.past {
            let at = turn.visit.block as usize;
            let state = &past.states[at];
            shells += i32::from(state.shells);
            shift += i32::from(state.shift);
            count += 1;
            near.past = Some((&past.magnitudes[at], (past.unit / self.frame.unit) as f32));
        }
        let n = count.max(1) as i32;
        let kept = match self.frame.tolerance {
            Tolerance::Absolute(_) => None,
            // Rounding to m bits errs by less than 2^−(m+1).
            Tolerance::PointwiseRelative(r) => Some((-r.log2()).ceil().max(1.0) as u32),
        };
        let most = (0..8).rev().max_by_key(|&p| votes[p]).unwrap_or(0);
        Known {
            values: turn.place.len(),
            width: 8 * T::DTYPE.size() as u32,
            mantissa: T::DTYPE.mantissa_bits(),
            kept,
            corrects: matches!(self.frame.tolerance, Tolerance::Absolute(_)),
            predictors: if network { 1 << SWAE } else { self.predictors_of(turn) },
            spatial: Self::has_spatial(turn),
            uncoded,
            predictor: if votes[most] > 0 { most as u8 } else { LEGENDRE },
            with_neighbours: 2 * with > neighbours,
            degree: (shells as usize).div_ceil(n as usize),
            shift: if count == 0 { i32::from(FIRST_SHIFT) } else { (2 * shift + n).div_euclid(2 * n) },
            constant: self.constant,
            engine: self.engine,
            near,
        }
    }

    /// What the mixer is told of a block beside the opinions.
    fn circumstances(&self, turn: &Turn) -> Circumstances {
        let known = self.known(turn, false);
        let mut expected = [0.0; mixture::OWN];
        known.near.expected(self.engine, 1.0, &mut expected);
        let at = turn.visit.block as usize * VALUES;
        let change = |at: usize| self.base(EXTRAPOLATION, at) - self.base(PREVIOUS, at);
        let since = |block: u32| -> [f64; SEEN] {
            std::array::from_fn(|k| {
                let at = block as usize * VALUES + usize::from(SCAN.place[k]);
                self.coefficients[at].to_f64() - self.base(PREVIOUS, at)
            })
        };
        let sides = turn.visit.sides.map(|s| match s {
            Sides::None => [None; 2],
            Sides::Low(a) => [Some(since(a)), None],
            Sides::Both(a, b) => [Some(since(a)), Some(since(b))],
        });
        Circumstances {
            change: std::array::from_fn(|k| change(at + usize::from(SCAN.place[k]))),
            expected,
            sides: std::array::from_fn(|i| sides[i / 2][i % 2]),
            level: turn.visit.level,
            shift: known.shift,
        }
    }

    /// A coefficient that a predictor which needs no neighbour gives.
    #[inline(always)]
    fn base(&self, predictor: u8, at: usize) -> f64 {
        match (self.past, predictor) {
            (_, COUPLED) => self.coupled(at / VALUES).map_or(0.0, |block| block[at % VALUES]),
            (Some(past), PREVIOUS) => past.newest[at].to_f64(),
            (Some(PastTile { newest, before: Some(before), .. }), EXTRAPOLATION) => {
                2.0 * newest[at].to_f64() - before[at].to_f64()
            }
            _ => 0.0,
        }
    }

    /// What other fields foretell of a block.
    fn coupled(&self, block: usize) -> Option<&Block> {
        self.coupled.as_ref().map(|coupled| coupled.block(self.engine, block))
    }

    /// What the past says of a block.
    pub(crate) fn of_past(&self, turn: &Turn, predictor: u8, out: &mut Block) {
        let first = turn.visit.block as usize * VALUES;
        match predictor {
            COUPLED => match self.coupled(turn.visit.block as usize) {
                Some(block) => out.copy_from_slice(block),
                None => out.fill(0.0),
            },
            PREVIOUS | EXTRAPOLATION => {
                let of = |all: &'a [T]| all[first..].first_chunk::<VALUES>().expect("whole blocks");
                match (self.past, predictor) {
                    (Some(past), PREVIOUS) => widen(self.engine, of(&past.newest), out),
                    (Some(PastTile { newest, before: Some(before), .. }), EXTRAPOLATION) => {
                        go_on(self.engine, of(newest), of(before), out);
                    }
                    _ => out.fill(0.0),
                }
            }
            MIXTURE => match self.mixed.get(turn.visit.block as usize) {
                Some(Some(mixed)) => out.copy_from_slice(&mixed[..]),
                _ => out.fill(0.0),
            },
            _ => out.fill(0.0),
        }
    }

    /// Adds what the neighbours say of a block beyond its `predictor`.
    pub(crate) fn add_spatial(&self, turn: &Turn, predictor: u8, out: &mut Block) {
        if predictor == MIXTURE {
            // They have had their say.
            return;
        }
        if let Some(ahead) = turn.ahead {
            // Boxes of a list often lie near one another, but nobody says on which side.
            let first = ahead as usize * VALUES;
            out[0] += self.coefficients[first].to_f64() - self.base(predictor, first);
            return;
        }
        if predictor == SWAE {
            // The network says everything but the mean.
            let mut low = [0.0; VALUES];
            self.add_corner(turn, predictor, &mut low);
            out[0] += low[0];
            return;
        }
        self.add_corner(turn, predictor, out);
    }

    fn add_corner(&self, turn: &Turn, predictor: u8, out: &mut Block) {
        let corner = |n: usize| self.corner(n, predictor);
        spatial::predict(self.engine, &turn.visit, corner, out);
    }

    /// What a coded block's low coefficients are beyond a predictor.
    fn corner(&self, block: usize, predictor: u8) -> Corner {
        let low = |of: &[T]| spatial::corner(self.engine, &of[block * VALUES..][..VALUES]);
        let mut own = low(&self.coefficients);
        match (self.past, predictor) {
            (_, COUPLED) => {
                let coupled = self.coupled(block).map(|all| spatial::corner(self.engine, all));
                own.iter_mut().zip(coupled.into_iter().flatten()).for_each(|(own, coupled)| *own -= coupled);
            }
            (Some(past), PREVIOUS) => {
                own.iter_mut().zip(low(&past.newest)).for_each(|(own, newest)| *own -= newest);
            }
            (Some(PastTile { newest, before: Some(before), .. }), EXTRAPOLATION) => {
                let past = low(newest).into_iter().zip(low(before));
                own.iter_mut().zip(past).for_each(|(own, (newest, before))| *own -= 2.0 * newest - before);
            }
            _ => {}
        }
        own
    }

    /// The coefficients of a coded block; `guess` are those of the network.
    pub(crate) fn reconstruct(&self, turn: &Turn, coded: &Coded, guess: Option<&Block>, out: &mut Block) {
        match (coded.predictor, guess) {
            (SWAE, Some(guess)) => out.copy_from_slice(&guess[..]),
            (other, _) => self.of_past(turn, other, out),
        }
        if coded.spatial {
            self.add_spatial(turn, coded.predictor, out);
        }
        if let Some(bits) = coded.offset {
            out[0] = T::of_bits(bits).to_f64();
        }
        let step = self.frame.unit * half_octaves(coded.shift);
        dequantise(self.engine, out, &coded.residual, step);
    }

    /// Remembers a block.
    pub(crate) fn keep(&mut self, turn: &Turn, symbols: &Symbols, coefficients: &Block) {
        let block = turn.visit.block as usize;
        if let Some(mixed) = self.mixed.get_mut(block) {
            *mixed = None;
        }
        match symbols {
            Symbols::Coded(coded) => {
                let unit = half_octaves(coded.shift) as f32;
                let magnitudes = &mut self.magnitudes[block];
                for (m, n) in magnitudes.iter_mut().zip(&coded.residual) {
                    *m = ((n.unsigned_abs() as f32 * unit).to_bits() >> 16) as u16;
                }
                let to = &mut self.coefficients[block * VALUES..(block + 1) * VALUES];
                for (to, &c) in to.iter_mut().zip(coefficients) {
                    *to = T::from_f64(c);
                }
                let shells = shells(coded.residual.len()) as u8;
                let (predictor, spatial) = (coded.predictor, coded.spatial);
                self.states[block] =
                    State { coded: true, predictor, spatial, shift: coded.shift as i16, shells };
            }
            Symbols::Constant(bits) => {
                self.constant = *bits;
                let value = T::of_bits(*bits).to_f64();
                let mean = T::from_f64(value * (VALUES as f64).sqrt());
                if mean.to_f64().is_finite() {
                    self.coefficients[block * VALUES] = mean;
                }
                self.states[block] = State { shift: self.states[block].shift, ..State::default() };
            }
            Symbols::Raw(bits) => self.keep_raw(turn, bits),
        }
    }

    /// The coefficients of a block that is stored as it is, so that its neighbours have something to lean on.
    fn keep_raw(&mut self, turn: &Turn, bits: &[u64]) {
        let places = Places::of(turn.place);
        let mut block = [0.0; VALUES];
        for (i, &bits) in bits.iter().enumerate() {
            block[places.block(i as u16)] = T::of_bits(bits).to_f64();
        }
        pad_block(&mut block, turn.place.count);
        let mut coefficients = [0.0; VALUES];
        forward(self.engine, &block, &mut coefficients);
        let kept = coefficients.map(T::from_f64);
        if kept.iter().all(|c| c.to_f64().is_finite()) {
            let first = turn.visit.block as usize * VALUES;
            self.coefficients[first..first + VALUES].copy_from_slice(&kept);
        }
    }

    /// What remains for the next step.
    pub(crate) fn into_past(self) -> PastTile<T> {
        PastTile {
            newest: Arc::new(self.coefficients),
            before: self.past.map(|p| p.newest.clone()),
            magnitudes: self.magnitudes,
            states: self.states,
            unit: self.frame.unit,
        }
    }
}

crate::engine::for_engines! {
    fn widen<T: Value>(from: &[T; VALUES], out: &mut Block) {
        for k in 0..VALUES {
            out[k] = from[k].to_f64();
        }
    }
}

crate::engine::for_engines! {
    /// What comes next where a step goes on as it came from the one before.
    fn go_on<T: Value>(newest: &[T; VALUES], before: &[T; VALUES], out: &mut Block) {
        for k in 0..VALUES {
            out[k] = 2.0 * newest[k].to_f64() - before[k].to_f64();
        }
    }
}

crate::engine::for_engines! {
    /// Adds residuals, in steps, to the coefficients of their prediction.
    fn dequantise(coefficients: &mut Block, residual: &[i32], step: f64) {
        for (&n, &place) in residual.iter().zip(&SCAN.place) {
            if n != 0 {
                let c = &mut coefficients[usize::from(place)];
                *c = f64::from(n).mul_add(step, *c);
            }
        }
    }
}

/// Where the true values of a block lie in it.
pub(crate) struct Places {
    count: [usize; 3],
}

impl Places {
    pub(crate) fn of(place: BlockBox) -> Self {
        Self { count: place.count }
    }

    /// Index in the block of the n-th true value.
    pub(crate) fn block(&self, n: u16) -> usize {
        let n = usize::from(n);
        let [nx, ny, _] = self.count;
        (n / (nx * ny) * EDGE + n / nx % ny) * EDGE + n % nx
    }
}
