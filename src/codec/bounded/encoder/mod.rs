//! The competition: which prediction, which step, or none, takes the fewest bits for a block; and the proof that the
//! block then keeps its bound.
//!
//! A reader needs nothing of this folder. Candidates are ranked by an estimate of their bits (`trial`); the winner is
//! quantised with steps that grow until the values that miss the bound, and must be corrected one by one (`proof`), cost
//! more than is gained, and then moved a little (`refine`) so that fewer miss it.

mod couple;
mod proof;
mod refine;
mod source;
mod tally;
mod trial;

pub(crate) use couple::{Planned, companions, fit};
pub(crate) use proof::Errors;
pub use tally::{Share, Tally};

use super::Tolerance;
use super::entropy::{Coder, Meter, Writer};
use super::legendre::{Block, forward};
use super::links::Links;
use super::mixture::Lesson;
use super::spatial;
use super::swae::{Code, Guess};
use super::symbols::{Contexts, Known, SHIFTS, Symbols, choice, code};
use super::tile::{MIXTURE, PastTile, Places, SWAE, Tile, Turn};
use crate::blocks::{VALUES, fetch};
use crate::{FieldView, Value};
use refine::Refinement;
use source::Source;
use std::mem::swap;
use std::ops::RangeInclusive;
use trial::{Foreseen, Settled, Trial};

/// What the encoder may do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Whether blocks of one value may be stored as it.
    pub(crate) constant: bool,
    /// Whether every block of one value must be.
    pub(crate) exact_constants: bool,
}

/// Hears what blocks teach.
pub(crate) type Listener<'a> = dyn Fn(Lesson) + Sync + 'a;

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
    listener: Option<&Listener<'_>>,
) -> Encoded<T> {
    let mut writer = Writer::new();
    let mut contexts = Contexts::new();
    let mut desk = Desk::new();
    let mut source = Box::new(Source::empty());
    let (mut tally, mut errors, mut saved) = (Tally::default(), Errors::default(), 0.0);
    let links = Links::possible(turns).then(|| {
        let unit = 2.0 * tile.frame.unit;
        let corner = |turn: &Turn| {
            source.read(&pieces[turn.piece], turn, tile.engine);
            forward(tile.engine, &source.block, &mut desk.transformed);
            spatial::corner(tile.engine, &desk.transformed).map(|c| c / unit)
        };
        Links::find(&turns.iter().map(corner).collect::<Vec<_>>())
    });
    if let Some((links, _)) = &links {
        Links::code(&mut writer, *links, turns.len());
    }
    for (number, turn) in turns.iter().enumerate() {
        let turn = &match &links {
            Some((links, linked)) => {
                let linked = linked[turn.piece];
                links.code_piece(&mut writer, contexts.links(), turn.piece, linked);
                Links::apply(linked, turn)
            }
            None => *turn,
        };
        source.read(&pieces[turn.piece], turn, tile.engine);
        if let Some(next) = turns.get(number + 1) {
            fetch(&pieces[next.piece], next.place);
        }
        tile.prepare(turns, number);
        let known = tile.known(turn, false);
        let guess = guesses.get(number).and_then(Option::as_ref);
        let contest = Contest { tile: &tile, turn, known: &known, source: &source };
        let outcome = contest.decide(&mut contexts, &mut desk, rules, guess);
        let network = matches!(&outcome.symbols, Symbols::Coded(coded) if coded.predictor == SWAE);
        if !network && let Some(guess) = guesses.get_mut(number) {
            *guess = None;
        }
        let known = if network { tile.known(turn, true) } else { known };
        if let (Some(tell), Symbols::Coded(coded)) = (listener, &outcome.symbols)
            && let Some(lesson) = tile.lesson(turn, &desk.transformed, coded.shift)
        {
            tell(lesson);
        }
        let before = writer.spent();
        code(&mut writer, &mut contexts, &known, Some(&outcome.symbols));
        tally.count(&outcome.symbols, writer.spent() - before);
        errors = errors.and(outcome.errors);
        saved += f64::from(outcome.saved);
        tile.keep(turn, &outcome.symbols, &desk.settled.coefficients);
    }
    #[cfg(feature = "learn")]
    super::priors::learning::gather(&contexts);
    let codes = guesses.into_iter().map(|g| g.map(|g| g.code)).collect();
    Encoded { bytes: writer.finish(), codes, past: Some(tile.into_past()), tally, errors, saved }
}

/// Room for what a block's competition computes. (This and its like begin where a line of the cache does: vectors that
/// lie across two take twice as long to load.)
#[repr(C, align(64))]
struct Desk {
    /// The truth's coefficients.
    transformed: Block,
    /// The best prediction, and the one that is looked at.
    foreseen: Box<Foreseen>,
    looked_at: Box<Foreseen>,
    errors: Box<trial::Errors>,
    refinement: Box<Refinement>,
    settled: Box<Settled>,
}

impl Desk {
    fn new() -> Self {
        Self {
            transformed: [0.0; VALUES],
            foreseen: Foreseen::empty(),
            looked_at: Foreseen::empty(),
            errors: trial::Errors::empty(),
            refinement: Refinement::empty(),
            settled: Settled::empty(),
        }
    }
}

/// Who predicts.
#[derive(Clone, Copy)]
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
    /// The cheapest symbols; where the block is coded, what the desk settled on holds its coefficients.
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
        if let Some((candidate, trial)) = candidate.filter(|(_, trial)| trial.cost.is_finite()) {
            let (coded, errors) = self.prove(&candidate, &desk.settled);
            let clear = trial.cost < 0.5 * raw && !constant && coded.literals.is_empty();
            let symbols = Symbols::Coded(coded);
            let mut meter = Meter::default();
            if !clear {
                let known = self.tile.known(self.turn, candidate.predictor == SWAE);
                code(&mut meter, contexts, &known, Some(&symbols));
            }
            if meter.bits < cost && storable::<T>(tile.engine, &desk.settled.coefficients) {
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

    /// The best prediction and its best step by estimate, which the desk settles on.
    fn predict(
        &self,
        contexts: &mut Contexts,
        desk: &mut Desk,
        guess: Option<&Guess>,
    ) -> Option<(Candidate, Trial)> {
        let Self { tile, turn, known, source } = self;
        let unit = tile.frame.unit;
        forward(tile.engine, &source.block, &mut desk.transformed);
        let start = match tile.frame.tolerance {
            Tolerance::Absolute(_) => known.shift,
            Tolerance::PointwiseRelative(r) => first_shift(source, r / unit).unwrap_or(known.shift),
        };
        let mut winner = self.rank(contexts, desk).map(|(candidate, trial)| {
            let trial = trial.unwrap_or_else(|| self.attempt(&desk.foreseen, &mut desk.errors, start));
            (candidate, self.climb(&desk.foreseen, &mut desk.errors, trial))
        });
        // The network comes last: what the others need tells whether its latents can pay at all.
        let others = winner.as_ref().map_or(f32::INFINITY, |(_, trial)| trial.cost);
        if let Some(guess) = guess
            && others > guess.cost()
        {
            desk.looked_at.prediction.copy_from_slice(&guess.coefficients[..]);
            if known.spatial {
                tile.add_spatial(turn, SWAE, &mut desk.looked_at.prediction);
            }
            desk.looked_at.compare::<T>(tile.engine, &desk.transformed, unit);
            let trial = self.attempt(&desk.looked_at, &mut desk.errors, start);
            let trial = self.climb(&desk.looked_at, &mut desk.errors, trial);
            let saved = others - trial.cost - guess.cost();
            if saved > 0.0 {
                let candidate = Candidate { predictor: SWAE, spatial: known.spatial, offset: None, saved };
                winner = Some((candidate, trial));
                swap(&mut desk.foreseen, &mut desk.looked_at);
            }
        }
        if let Some((_, trial)) = &winner {
            let Desk { transformed, foreseen, errors, refinement, settled, .. } = desk;
            match tile.frame.tolerance {
                Tolerance::Absolute(_) => refinement.refine(tile.engine, foreseen, trial, errors),
                Tolerance::PointwiseRelative(_) => refinement.clear(),
            }
            let (prediction, moves) = (&foreseen.prediction, &refinement.moves);
            settled.settle(tile.engine, unit, transformed, prediction, moves, trial.shift);
        }
        winner
    }

    /// The best of the predictors that need no latents, and, under an absolute bound, a trial of it with the neighbours'
    /// step.
    fn rank(&self, contexts: &mut Contexts, desk: &mut Desk) -> Option<(Candidate, Option<Trial>)> {
        let Self { tile, turn, known, .. } = self;
        let mut least = f32::INFINITY;
        let mut best: Option<(f32, Candidate, Option<Trial>)> = None;
        for predictor in (0..8).filter(|p| known.predictors >> p & 1 == 1) {
            for spatial in [false, true] {
                // The mixer has heard the neighbours where there are any.
                if spatial && !known.spatial || predictor == MIXTURE && spatial != known.spatial {
                    continue;
                }
                let prediction = &mut desk.looked_at.prediction;
                tile.of_past(turn, predictor, prediction);
                if spatial {
                    tile.add_spatial(turn, predictor, prediction);
                }
                let offset = self.offset(desk.transformed[0], prediction[0]);
                if let Some(bits) = offset {
                    prediction[0] = T::of_bits(bits).to_f64();
                }
                desk.looked_at.compare::<T>(tile.engine, &desk.transformed, tile.frame.unit);
                let choice = choice(contexts, known, predictor, spatial);
                let rough = choice + desk.looked_at.distance(tile.engine, known.shift);
                // A trial takes ten times as long as a rough estimate; who is far behind gets none.
                if rough > MARGIN.0 * least + MARGIN.1 {
                    continue;
                }
                let trial = match tile.frame.tolerance {
                    Tolerance::Absolute(_) => {
                        Some(self.attempt(&desk.looked_at, &mut desk.errors, known.shift))
                    }
                    Tolerance::PointwiseRelative(_) => None,
                };
                let cost = trial.map_or(rough, |trial| choice + trial.cost);
                // A residual too long to be coded leads nobody.
                if cost.is_finite() {
                    least = least.min(rough);
                }
                if best.as_ref().is_none_or(|b| cost < b.0) {
                    best = Some((cost, Candidate { predictor, spatial, offset, saved: 0.0 }, trial));
                    swap(&mut desk.foreseen, &mut desk.looked_at);
                }
            }
        }
        best.map(|(_, candidate, trial)| (candidate, trial))
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

    /// Tries a shift.
    fn attempt(&self, foreseen: &Foreseen, errors: &mut trial::Errors, shift: i32) -> Trial {
        let Self { tile, known, source, .. } = self;
        let allowed = self.allowed();
        let shift = shift.clamp(*allowed.start(), *allowed.end());
        let trial = Trial::new(tile.engine, foreseen, shift, errors);
        match tile.frame.tolerance {
            Tolerance::Absolute(_) => trial.with_corrections(tile.engine, foreseen, errors),
            Tolerance::PointwiseRelative(r) => {
                let bits = known.kept.unwrap_or(known.width) as f32 + 4.0;
                trial.with_literals(tile.engine, &source.block, r / tile.frame.unit, bits, errors)
            }
        }
    }

    /// The trial of least cost near a first one; two in a row that cost more end the search on that side.
    fn climb(&self, foreseen: &Foreseen, errors: &mut trial::Errors, first: Trial) -> Trial {
        let mut best = first;
        for by in [1, -1] {
            let (mut shift, mut worse) = (first.shift + by, 0);
            let useful = if by > 0 { Trial::can_grow } else { Trial::can_shrink };
            while worse < 2 && self.allowed().contains(&shift) && useful(&best) {
                let next = self.attempt(foreseen, errors, shift);
                if next.cost < best.cost {
                    best = next;
                    worse = 0;
                } else {
                    worse += 1;
                }
                if by > 0 && next.is_hopeless() {
                    break;
                }
                shift += by;
            }
        }
        best
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
