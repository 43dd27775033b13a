//! The competition: which prediction, which step, or none, takes the fewest bits for a block; and the proof that the
//! block then keeps its bound.
//!
//! A reader needs nothing of this folder. Candidates are ranked by an estimate of their bits ([`trial`]); the winner is
//! quantised with steps that grow until the values that miss the bound, and must be corrected one by one ([`proof`]), cost
//! more than is gained.

mod proof;
mod source;
mod tally;
mod trial;

pub(crate) use proof::Errors;
pub use tally::Tally;

use super::Tolerance;
use super::entropy::{Coder, Meter, Writer};
use super::legendre::{Block, forward};
use super::swae::{Code, Guess};
use super::symbols::{Contexts, Known, SHIFTS, Symbols, choice, code, half_octaves};
use super::tile::{PastTile, Places, SWAE, Tile, Turn};
use crate::blocks::VALUES;
use crate::{FieldView, Value};
use source::Source;
use std::mem::swap;
use std::ops::RangeInclusive;
use trial::{Trial, distance};

/// What the encoder may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether blocks of one value may be stored as it.
    pub(crate) constant: bool,
    /// Whether every block of one value must be.
    pub(crate) exact_constants: bool,
}

/// A bound is checked in rounded arithmetic; a tolerance less by more than that rounds keeps it in exact arithmetic too.
const STRICT: f64 = 1.0 - 4.0 * f64::EPSILON;
/// Who is by more than so much (a factor, and bits) behind the best by a rough estimate gets no trial.
const MARGIN: (f32, f32) = (1.05, 2.0);

/// A tile's bytes, the codes of the blocks that the network predicts, what the next step leans on, who won, and what errors
/// are left.
pub(crate) struct Encoded<T> {
    pub(crate) bytes: Vec<u8>,
    pub(crate) codes: Vec<Option<Code>>,
    pub(crate) past: Option<PastTile<T>>,
    pub(crate) tally: Tally,
    pub(crate) errors: Errors,
    /// An estimate of the bits that the network saved.
    pub(crate) saved: f64,
}

/// Codes a tile of the views' pieces; `guesses` are the network's, by turn, or nothing.
pub(crate) fn encode<T: Value>(
    mut tile: Tile<'_, T>,
    turns: &[Turn],
    pieces: &[FieldView<'_, T>],
    rules: Rules,
    mut guesses: Vec<Option<Guess>>,
) -> Encoded<T> {
    let mut writer = Writer::new();
    let mut contexts = Contexts::new();
    let mut desk = Desk::new();
    let mut source = Box::new(Source::empty());
    let (mut tally, mut errors, mut saved) = (Tally::default(), Errors::default(), 0.0);
    for (number, turn) in turns.iter().enumerate() {
        source.read(&pieces[turn.piece], turn, tile.engine);
        let known = tile.known(turn, false);
        let guess = guesses.get(number).and_then(Option::as_ref);
        let contest = Contest { tile: &tile, turn, known: &known, source: &source };
        let outcome = contest.decide(&mut contexts, &mut desk, rules, guess);
        let network = matches!(&outcome.symbols, Symbols::Coded(coded) if coded.predictor == SWAE);
        if !network && let Some(guess) = guesses.get_mut(number) {
            *guess = None;
        }
        let known = if network { tile.known(turn, true) } else { known };
        let before = writer.spent();
        code(&mut writer, &mut contexts, &known, Some(&outcome.symbols));
        tally.count(&outcome.symbols, writer.spent() - before);
        errors = errors.and(outcome.errors);
        saved += f64::from(outcome.saved);
        tile.keep(turn, &outcome.symbols, &desk.best.coefficients);
    }
    #[cfg(feature = "learn")]
    super::priors::learning::gather(&contexts);
    let codes = guesses.into_iter().map(|g| g.map(|g| g.code)).collect();
    Encoded { bytes: writer.finish(), codes, past: Some(tile.into_past()), tally, errors, saved }
}

/// Room for what a block's competition computes.
struct Desk {
    /// The truth's coefficients.
    transformed: Block,
    /// The prediction that is looked at, and that of the best trial.
    looked_at: Box<Block>,
    prediction: Box<Block>,
    /// Trials: the one that is looked at, the best, and the best before the network came.
    next: Box<Trial>,
    best: Box<Trial>,
    kept: Box<Trial>,
}

impl Desk {
    fn new() -> Self {
        Self {
            transformed: [0.0; VALUES],
            looked_at: Box::new([0.0; VALUES]),
            prediction: Box::new([0.0; VALUES]),
            next: Trial::empty(),
            best: Trial::empty(),
            kept: Trial::empty(),
        }
    }
}

/// Who predicts.
struct Candidate {
    predictor: u8,
    spatial: bool,
    offset: Option<u64>,
    /// By how much it is cheaper than the best of the others, by estimate; of the network alone.
    saved: f32,
}

/// How a block is coded.
struct Outcome {
    symbols: Symbols,
    errors: Errors,
    /// What the network saved, where it predicts.
    saved: f32,
}

impl Outcome {
    /// Of a block that comes back as it was.
    fn exact(symbols: Symbols) -> Self {
        Self { symbols, errors: Errors::default(), saved: 0.0 }
    }
}

/// A block that is competed for.
struct Contest<'a, T> {
    tile: &'a Tile<'a, T>,
    turn: &'a Turn,
    known: &'a Known<'a>,
    source: &'a Source<T>,
}

impl<T: Value> Contest<'_, T> {
    /// The cheapest symbols; where the block is coded, the desk's best trial holds its coefficients.
    fn decide(
        &self,
        contexts: &mut Contexts,
        desk: &mut Desk,
        rules: Rules,
        guess: Option<&Guess>,
    ) -> Outcome {
        let Self { tile, known, source, .. } = self;
        let bits = source.values[0].bits();
        let constant = source.constant && rules.constant;
        if constant && (rules.exact_constants || known.constant == bits) {
            return Outcome::exact(Symbols::Constant(bits));
        }
        let raw = (known.values as u32 * known.width) as f32;
        let mut cost = raw;
        let mut best = None;
        let possible = source.finite && tile.frame.unit.is_normal();
        let candidate = if possible { self.predict(contexts, desk, guess) } else { None };
        if let Some(candidate) = candidate.filter(|_| desk.best.cost.is_finite()) {
            let (coded, errors) = self.prove(&candidate, &desk.best);
            let clear = desk.best.cost < 0.5 * raw && !constant && coded.literals.is_empty();
            let symbols = Symbols::Coded(coded);
            let mut meter = Meter::default();
            if !clear {
                let known = self.tile.known(self.turn, candidate.predictor == SWAE);
                code(&mut meter, contexts, &known, Some(&symbols));
            }
            if meter.bits < cost && storable::<T>(tile.engine, &desk.best.coefficients) {
                cost = meter.bits;
                best = Some(Outcome { symbols, errors, saved: candidate.saved });
            }
        }
        if constant && cost > known.width as f32 + 4.0 {
            return Outcome::exact(Symbols::Constant(bits));
        }
        best.unwrap_or_else(|| {
            let places = Places::of(self.turn.place);
            let value = |i: u16| source.values[places.block(i)].bits();
            Outcome::exact(Symbols::Raw((0..known.values as u16).map(value).collect()))
        })
    }

    /// The best prediction by estimate; with its best step it becomes the desk's best trial.
    fn predict(&self, contexts: &mut Contexts, desk: &mut Desk, guess: Option<&Guess>) -> Option<Candidate> {
        let Self { tile, turn, known, source } = self;
        forward(tile.engine, &source.block, &mut desk.transformed);
        let mut winner = self.rank(contexts, desk);
        swap(&mut desk.looked_at, &mut desk.prediction);
        let start = match tile.frame.tolerance {
            Tolerance::Absolute(_) => None,
            Tolerance::PointwiseRelative(r) => first_shift(source, r / tile.frame.unit).or(Some(known.shift)),
        };
        if winner.is_some() {
            if let Some(shift) = start {
                self.attempt(desk, shift);
                swap(&mut desk.best, &mut desk.next);
            }
            self.climb(desk);
        }
        // The network comes last: what the others need tells whether its latents can pay at all.
        if let Some(guess) = guess
            && (winner.is_none() || desk.best.cost > guess.cost())
        {
            swap(&mut desk.best, &mut desk.kept);
            desk.looked_at.copy_from_slice(&guess.coefficients[..]);
            if known.spatial {
                tile.add_spatial(turn, SWAE, &mut desk.looked_at);
            }
            self.attempt(desk, start.unwrap_or(if winner.is_some() { desk.kept.shift } else { known.shift }));
            swap(&mut desk.best, &mut desk.next);
            self.climb(desk);
            let saved = desk.kept.cost - desk.best.cost - guess.cost();
            if winner.is_none() || saved > 0.0 {
                winner = Some(Candidate { predictor: SWAE, spatial: known.spatial, offset: None, saved });
            } else {
                swap(&mut desk.best, &mut desk.kept);
            }
        }
        // What a reader will decode: the proof looks at nothing else.
        desk.best.decode(tile.engine);
        winner
    }

    /// The best of the predictors that need no latents, its prediction, and, under an absolute bound, its trial with the
    /// neighbours' step.
    fn rank(&self, contexts: &mut Contexts, desk: &mut Desk) -> Option<Candidate> {
        let Self { tile, turn, known, .. } = self;
        let scale = 1.0 / (tile.frame.unit * half_octaves(known.shift));
        let mut least = f32::INFINITY;
        let mut best: Option<(f32, Candidate)> = None;
        for predictor in (0..8).filter(|p| known.predictors >> p & 1 == 1) {
            for spatial in [false, true] {
                if spatial && !known.spatial {
                    continue;
                }
                tile.of_past(turn, predictor, &mut desk.looked_at);
                if spatial {
                    tile.add_spatial(turn, predictor, &mut desk.looked_at);
                }
                let offset = self.offset(desk.transformed[0], desk.looked_at[0]);
                if let Some(bits) = offset {
                    desk.looked_at[0] = T::of_bits(bits).to_f64();
                }
                let mut cost = choice(contexts, known, predictor, spatial);
                let rough = cost + distance(tile.engine, &desk.transformed, &desk.looked_at, scale);
                // A trial takes ten times as long as a rough estimate; who is far behind gets none.
                if rough > MARGIN.0 * least + MARGIN.1 {
                    continue;
                }
                cost = match tile.frame.tolerance {
                    Tolerance::Absolute(_) => {
                        self.attempt(desk, known.shift);
                        cost + desk.next.cost
                    }
                    Tolerance::PointwiseRelative(_) => rough,
                };
                // A residual too long to be coded leads nobody.
                if cost.is_finite() {
                    least = least.min(rough);
                }
                if best.as_ref().is_none_or(|b| cost < b.0) {
                    best = Some((cost, Candidate { predictor, spatial, offset, saved: 0.0 }));
                    swap(&mut desk.prediction, &mut desk.looked_at);
                    swap(&mut desk.best, &mut desk.next);
                }
            }
        }
        best.map(|(_, candidate)| candidate)
    }

    /// The first coefficient itself, where nothing foretells it and a residual would be far too long.
    fn offset(&self, truth: f64, prediction: f64) -> Option<u64> {
        let value = T::from_f64(truth);
        let long = ((truth - prediction) / self.tile.frame.unit).abs() > LONG;
        (!self.known.spatial && long && value.to_f64().is_finite()).then(|| value.bits())
    }

    fn allowed(&self) -> RangeInclusive<i32> {
        match self.tile.frame.tolerance {
            Tolerance::Absolute(_) => -6..=30,
            Tolerance::PointwiseRelative(_) => -SHIFTS..=SHIFTS,
        }
    }

    /// Tries a shift with the prediction that is looked at: the desk's next trial.
    fn attempt(&self, desk: &mut Desk, shift: i32) {
        let Self { tile, known, source, .. } = self;
        let allowed = self.allowed();
        let shift = shift.clamp(*allowed.start(), *allowed.end());
        desk.next.quantise(tile.engine, tile.frame.unit, &desk.transformed, &desk.looked_at, shift);
        match tile.frame.tolerance {
            Tolerance::Absolute(e) => {
                desk.next.add_corrections::<T>(tile.engine, &source.block, e * STRICT);
            }
            Tolerance::PointwiseRelative(r) => {
                let bits = known.kept.unwrap_or(known.width) as f32 + 4.0;
                desk.next.add_literals::<T>(tile.engine, &source.block, r * STRICT, bits);
            }
        }
    }

    /// The trial of least cost near the desk's best one; two in a row that cost more end the search on that side.
    fn climb(&self, desk: &mut Desk) {
        let start = desk.best.shift;
        for by in [1, -1] {
            let (mut shift, mut worse) = (start + by, 0);
            let useful = if by > 0 { Trial::can_grow } else { Trial::can_shrink };
            while worse < 2 && self.allowed().contains(&shift) && useful(&desk.best) {
                self.attempt(desk, shift);
                if desk.next.cost < desk.best.cost {
                    swap(&mut desk.best, &mut desk.next);
                    worse = 0;
                } else {
                    worse += 1;
                }
                if by > 0 && desk.next.is_hopeless() {
                    break;
                }
                shift += by;
            }
        }
    }
}

/// A first coefficient so many units off its prediction is stored by itself.
const LONG: f64 = (1u32 << 24) as f64;

crate::engine::for_engines! {
    /// Whether all coefficients are finite in the field's type.
    fn storable<T: Value>(coefficients: &Block) -> bool {
        let mut bad = 0u32;
        for k in 0..VALUES {
            bad |= u32::from(!T::from_f64(coefficients[k]).to_f64().is_finite());
        }
        bad == 0
    }
}

/// The shift at which a quarter of the values would need smaller steps; `ratio` is the bound over the unit.
fn first_shift<T>(source: &Source<T>, ratio: f64) -> Option<i32> {
    let mut sizes: Vec<f64> = source.block.iter().map(|v| v.abs()).filter(|v| *v > 0.0).collect();
    let quarter = sizes.len() / 4;
    sizes.get(quarter)?;
    let size = *sizes.select_nth_unstable_by(quarter, f64::total_cmp).1;
    Some((2.0 * (2.0 * ratio * size).log2()).clamp(-f64::from(SHIFTS), f64::from(SHIFTS)) as i32)
}
