//! The competition: which prediction, which step, or none, takes the fewest bits for a block; and the proof that the
//! block then keeps its bound.
//!
//! A reader needs nothing of this file. Candidates are ranked by an estimate of their bits; the winner is quantised with
//! steps that grow until the values that miss the bound, and must be corrected one by one, cost more than is gained.

use crate::blocks::{VALUES, pad_block, values};
use crate::engine::Engine;
use crate::entropy::{Coder, Meter, Writer};
use crate::legendre::{Block, DEGREES, SCAN, forward, inverse};
use crate::swae::{Code, Guess};
use crate::symbols::{Coded, Contexts, Known, RESIDUAL_BITS, SHIFTS, Symbols, choice, code, half_octaves};
use crate::tile::{PastTile, Places, SWAE, Tile, Turn, corrected};
use crate::{FieldView, Tolerance, Value};
use std::sync::LazyLock;

/// How a tile was coded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Tally {
    /// Blocks and bits by predictor number.
    pub predictors: [(u64, f64); 8],
    /// Blocks of one value.
    pub constant: (u64, f64),
    /// Blocks stored as they are.
    pub raw: (u64, f64),
    /// Largest error, in the bound's own terms: absolute, or relative to the value.
    pub max_error: f64,
    /// Sum of the squares of all errors.
    pub squares: f64,
    /// An estimate of the bits that the network saved.
    pub(crate) saved: f64,
}

/// Largest error of a block, in the bound's terms, and the sum of the squares of all.
#[derive(Clone, Copy, Default)]
struct Errors {
    largest: f64,
    squares: f64,
}

impl Tally {
    /// Counts a block.
    pub(crate) fn count(&mut self, symbols: &Symbols, bits: f64) {
        let entry = match symbols {
            Symbols::Coded(coded) => &mut self.predictors[usize::from(coded.predictor & 7)],
            Symbols::Constant(_) => &mut self.constant,
            Symbols::Raw(_) => &mut self.raw,
        };
        entry.0 += 1;
        entry.1 += bits;
    }

    /// Both together.
    pub fn and(mut self, other: &Self) -> Self {
        let add = |a: &mut (u64, f64), b: &(u64, f64)| *a = (a.0 + b.0, a.1 + b.1);
        self.predictors.iter_mut().zip(&other.predictors).for_each(|(a, b)| add(a, b));
        add(&mut self.constant, &other.constant);
        add(&mut self.raw, &other.raw);
        self.max_error = self.max_error.max(other.max_error);
        self.squares += other.squares;
        self.saved += other.saved;
        self
    }
}

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

/// Estimates of bits, fitted to how what blocks of evolved black holes took changed with the step, at bounds from
/// 1e-2 to 1e-6 of the range.
struct Estimates {
    /// By number of values that miss the bound.
    misses: [f32; VALUES + 1],
    /// By degree + 1.
    shells: [f32; DEGREES + 1],
}

static ESTIMATES: LazyLock<Estimates> = LazyLock::new(|| Estimates {
    misses: std::array::from_fn(|n| {
        let entropy = |p: f32| if p > 0.0 { -p * p.log2() } else { 0.0 };
        let p = n as f32 / VALUES as f32;
        if n <= MANY { VALUES as f32 * (entropy(p) + entropy(1.0 - p)) + 0.56 * n as f32 } else { 0.0 }
    }),
    shells: std::array::from_fn(|d| 1.0 + 6.26 * f32::from(SCAN.below[d]).cbrt()),
});
/// So many values that miss never pay.
const MANY: usize = 96;
/// Residuals of so many steps cannot be coded.
const LARGEST: f64 = (1u32 << RESIDUAL_BITS) as f64;
/// With an error of so small a root mean square, in units of the bound, hardly any value misses it; with so large a one,
/// far too many do. In between they are counted.
const QUIET: f64 = 0.22;
const LOUD: f64 = 0.8;
/// Who is by more than so much (a factor, and bits) behind the best by a rough estimate gets no trial.
const MARGIN: (f32, f32) = (1.05, 2.0);
const NONZERO: f32 = 2.54;
const OCTAVE: f32 = 1.41;

/// Room for what a block's competition computes.
struct Desk {
    transformed: Block,
    /// The best prediction, and the one that is looked at.
    prediction: Box<Block>,
    other: Box<Block>,
    /// The same for trials, and the winner before the network came.
    best: Box<Trial>,
    next: Box<Trial>,
    kept: Box<Trial>,
}

impl Desk {
    fn new() -> Self {
        Self {
            transformed: [0.0; VALUES],
            prediction: Box::new([0.0; VALUES]),
            other: Box::new([0.0; VALUES]),
            best: Trial::empty(),
            next: Trial::empty(),
            kept: Trial::empty(),
        }
    }
}

/// A tile's bytes, the codes of the blocks that the network predicts, what the next step leans on, and who won.
pub(crate) struct Encoded<T> {
    pub(crate) bytes: Vec<u8>,
    pub(crate) codes: Vec<Option<Code>>,
    pub(crate) past: PastTile<T>,
    pub(crate) tally: Tally,
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
    let mut tally = Tally::default();
    let mut desk = Desk::new();
    let mut source = Box::new(Source::empty());
    for (number, turn) in turns.iter().enumerate() {
        let known = tile.known(turn, false);
        let guess = guesses.get(number).and_then(Option::as_ref);
        source.read(&pieces[turn.piece], turn, tile.engine);
        let (symbols, errors, saved) =
            compete(&tile, &mut contexts, &mut desk, turn, &known, &source, rules, guess);
        let network = matches!(&symbols, Symbols::Coded(coded) if coded.predictor == SWAE);
        if network {
            tally.saved += f64::from(saved);
        } else if let Some(guess) = guesses.get_mut(number) {
            *guess = None;
        }
        let known = if network { tile.known(turn, true) } else { known };
        let before = writer.spent();
        code(&mut writer, &mut contexts, &known, Some(&symbols));
        tally.count(&symbols, writer.spent() - before);
        tally.max_error = tally.max_error.max(errors.largest);
        tally.squares += errors.squares;
        tile.keep(turn, &symbols, &desk.best.coefficients);
    }
    #[cfg(feature = "learn")]
    crate::priors::learning::gather(&contexts);
    let codes = guesses.into_iter().map(|g| g.map(|g| g.code)).collect();
    Encoded { bytes: writer.finish(), codes, past: tile.into_past(), tally }
}

/// A block as the encoder sees it.
struct Source<T> {
    /// True values.
    values: [T; VALUES],
    /// The same with their padding, special values smoothed over.
    block: Block,
    whole: bool,
    constant: bool,
    special: bool,
    /// Whether coefficients of it exist.
    finite: bool,
}

impl<T: Value> Source<T> {
    fn empty() -> Self {
        let (values, block) = ([T::default(); VALUES], [0.0; VALUES]);
        Self { values, block, whole: true, constant: false, special: false, finite: true }
    }

    fn read(&mut self, view: &FieldView<'_, T>, turn: &Turn, engine: Engine) {
        let place = turn.place;
        values(view, place, &mut self.values);
        let values = &self.values;
        let places = Places::of(place);
        let n = place.len();
        self.whole = n == VALUES;
        (self.constant, self.special) = if self.whole {
            flags(engine, values)
        } else {
            let all = || (0..n as u16).map(|i| values[places.block(i)]);
            (all().all(|v| v.same_bits(values[0])), all().any(Value::is_special))
        };
        widen(engine, values, &mut self.block);
        if self.special {
            smooth(&mut self.block, &places, n);
        }
        if !self.whole {
            pad_block(&mut self.block, place.count);
        }
        self.finite = !self.special && self.whole || self.block.iter().all(|v| v.is_finite());
    }
}

crate::engine::for_engines! {
    fn widen<T: Value>(values: &[T; VALUES], out: &mut Block) {
        for k in 0..VALUES {
            out[k] = values[k].to_f64();
        }
    }
}

crate::engine::for_engines! {
    /// Whether all values are the same, and whether any is special.
    fn flags<T: Value>(values: &[T; VALUES]) -> (bool, bool) {
        let first = values[0].bits();
        let (mut different, mut special) = (0u64, 0u64);
        for i in 0..VALUES {
            different |= values[i].bits() ^ first;
            special |= u64::from(values[i].is_special());
        }
        (different == 0, special != 0)
    }
}

/// Puts the mean of the finite values in the place of the others.
fn smooth(block: &mut Block, places: &Places, n: usize) {
    let at = |i: usize| places.block(i as u16);
    let finite = (0..n).map(|i| block[at(i)]).filter(|v| v.is_finite());
    let (sum, count) = finite.fold((0.0, 0.0), |(s, c), v| (s + v, c + 1.0));
    let mean = if count > 0.0 { sum / count } else { 0.0 };
    (0..n).map(at).for_each(|i| {
        if !block[i].is_finite() {
            block[i] = mean;
        }
    });
}

/// The cheapest symbols of a block; where it is coded, the desk's best trial holds its coefficients.
#[expect(clippy::too_many_arguments, reason = "all that a block's competition takes")]
fn compete<T: Value>(
    tile: &Tile<'_, T>,
    contexts: &mut Contexts,
    desk: &mut Desk,
    turn: &Turn,
    known: &Known<'_>,
    source: &Source<T>,
    rules: Rules,
    guess: Option<&Guess>,
) -> (Symbols, Errors, f32) {
    let bits = source.values[0].bits();
    let constant = source.constant && rules.constant;
    let as_constant = (Symbols::Constant(bits), Errors::default(), 0.0);
    if constant && (rules.exact_constants || known.constant == bits) {
        return as_constant;
    }
    let raw = (known.values as u32 * known.width) as f32;
    let mut best = None;
    let mut cost = raw;
    let candidate = (source.finite && tile.frame.unit.is_normal())
        .then(|| predict(tile, contexts, desk, turn, known, source, guess))
        .flatten();
    if let Some(candidate) = candidate.filter(|_| desk.best.cost.is_finite()) {
        let saved = candidate.saved;
        let clear = desk.best.cost < 0.5 * raw && !constant;
        let predictor = candidate.predictor;
        let (coded, errors) = candidate.prove(tile, &desk.best, turn, known, source);
        let symbols = Symbols::Coded(coded);
        let bits = if clear {
            0.0
        } else {
            let mut meter = Meter::default();
            let known = tile.known(turn, predictor == SWAE);
            code(&mut meter, contexts, &known, Some(&symbols));
            meter.bits
        };
        if bits < cost && storable::<T>(tile.engine, &desk.best.coefficients) {
            cost = bits;
            best = Some((symbols, errors, saved));
        }
    }
    if constant && cost > known.width as f32 + 4.0 {
        return as_constant;
    }
    best.unwrap_or_else(|| {
        let places = Places::of(turn.place);
        let raw = (0..known.values as u16).map(|i| source.values[places.block(i)].bits()).collect();
        (Symbols::Raw(raw), Errors::default(), 0.0)
    })
}

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

/// Who predicts.
struct Candidate {
    predictor: u8,
    spatial: bool,
    offset: Option<u64>,
    /// By how much it is cheaper than the best of the others, by estimate; of the network alone.
    saved: f32,
}

/// The best prediction by estimate; with its best step it becomes the desk's best trial.
fn predict<T: Value>(
    tile: &Tile<'_, T>,
    contexts: &mut Contexts,
    desk: &mut Desk,
    turn: &Turn,
    known: &Known<'_>,
    source: &Source<T>,
    guess: Option<&Guess>,
) -> Option<Candidate> {
    forward(tile.engine, &source.block, &mut desk.transformed);
    let scale = 1.0 / (tile.frame.unit * half_octaves(known.shift));
    let trial = |shift: i32, desk: &mut Desk| match tile.frame.tolerance {
        Tolerance::Absolute(e) => absolute(tile, source, desk, shift, e),
        Tolerance::PointwiseRelative(r) => relative(tile, source, desk, shift, r, known),
    };
    let allowed = match tile.frame.tolerance {
        Tolerance::Absolute(_) => -6..=30,
        Tolerance::PointwiseRelative(_) => -SHIFTS..=SHIFTS,
    };
    let mut least = f32::INFINITY;
    let mut best: Option<(f32, Candidate)> = None;
    for predictor in (0..8).filter(|p| known.predictors >> p & 1 == 1) {
        for spatial in [false, true] {
            if spatial && !known.spatial {
                continue;
            }
            tile.of_past(turn, predictor, &mut desk.other);
            if spatial {
                tile.add_spatial(turn, predictor, &mut desk.other);
            }
            let offset = offset::<T>(known, tile.frame.unit, desk.transformed[0], desk.other[0]);
            if let Some(bits) = offset {
                desk.other[0] = T::of_bits(bits).to_f64();
            }
            let mut cost = choice(contexts, known, predictor, spatial);
            let rough = cost + distance(tile.engine, &desk.transformed, &desk.other, scale);
            // A trial takes ten times as long as a rough estimate; who is far behind gets none.
            if rough > MARGIN.0 * least + MARGIN.1 {
                continue;
            }
            cost = match tile.frame.tolerance {
                Tolerance::Absolute(_) => {
                    trial(known.shift.clamp(*allowed.start(), *allowed.end()), desk);
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
                std::mem::swap(&mut desk.prediction, &mut desk.other);
                std::mem::swap(&mut desk.best, &mut desk.next);
            }
        }
    }
    std::mem::swap(&mut desk.prediction, &mut desk.other);
    let mut winner = best.map(|(_, candidate)| candidate);
    let start = match tile.frame.tolerance {
        Tolerance::Absolute(_) => None,
        Tolerance::PointwiseRelative(r) => first_shift(source, r / tile.frame.unit).or(Some(known.shift)),
    };
    if winner.is_some() {
        if let Some(shift) = start {
            trial(shift, desk);
            std::mem::swap(&mut desk.best, &mut desk.next);
        }
        climb(desk, allowed.clone(), trial);
    }
    // The network comes last: what the others need tells whether its latents can pay at all.
    if let Some(guess) = guess
        && (winner.is_none() || desk.best.cost > guess.cost())
    {
        std::mem::swap(&mut desk.best, &mut desk.kept);
        desk.other.copy_from_slice(&guess.coefficients[..]);
        if known.spatial {
            tile.add_spatial(turn, SWAE, &mut desk.other);
        }
        let shift = start.unwrap_or(if winner.is_some() { desk.kept.shift } else { known.shift });
        trial(shift.clamp(*allowed.start(), *allowed.end()), desk);
        std::mem::swap(&mut desk.best, &mut desk.next);
        climb(desk, allowed.clone(), trial);
        let saved = desk.kept.cost - desk.best.cost - guess.cost();
        if winner.is_none() || saved > 0.0 {
            winner = Some(Candidate { predictor: SWAE, spatial: known.spatial, offset: None, saved });
        } else {
            std::mem::swap(&mut desk.best, &mut desk.kept);
        }
    }
    // What a reader will decode: the proof looks at nothing else.
    inverse(tile.engine, &desk.best.coefficients, &mut desk.best.decoded);
    winner
}

/// The first coefficient itself, where nothing foretells it and a residual would be far too long.
fn offset<T: Value>(known: &Known<'_>, unit: f64, truth: f64, prediction: f64) -> Option<u64> {
    let value = T::from_f64(truth);
    let long = !known.spatial && ((truth - prediction) / unit).abs() > LONG && value.to_f64().is_finite();
    long.then(|| value.bits())
}
const LONG: f64 = (1u32 << 24) as f64;

/// Tries a shift under an absolute bound: the desk's next trial.
fn absolute<T: Value>(tile: &Tile<'_, T>, source: &Source<T>, desk: &mut Desk, shift: i32, e: f64) {
    desk.next.quantise(tile, &desk.transformed, &desk.other, shift);
    let rms = desk.next.rms / e;
    // Padding may miss as it likes, but to leave it out of the estimate is not worth the while.
    let misses = if rms < QUIET {
        0
    } else if rms > LOUD {
        MANY + 1
    } else {
        inverse(tile.engine, &desk.next.coefficients, &mut desk.next.decoded);
        misses::<T>(tile.engine, &source.block, &desk.next.decoded, e * STRICT) as usize
    };
    // Far too many lead downwards, wherever the climb began.
    let many = if misses > MANY { 1e6 + 1e3 * shift as f32 + 1e3 * rms.log2() as f32 } else { 0.0 };
    desk.next.misses = misses;
    desk.next.cost += ESTIMATES.misses[misses] + many;
}

/// Tries a shift under a bound relative to each value: the desk's next trial. What misses is stored by itself.
fn relative<T: Value>(
    tile: &Tile<'_, T>,
    source: &Source<T>,
    desk: &mut Desk,
    shift: i32,
    r: f64,
    known: &Known<'_>,
) {
    desk.next.quantise(tile, &desk.transformed, &desk.other, shift);
    inverse(tile.engine, &desk.next.coefficients, &mut desk.next.decoded);
    let off = |(d, v): &(&f64, &f64)| (T::from_f64(**d).to_f64() - **v).abs();
    let pairs = desk.next.decoded.iter().zip(&source.block);
    let misses = pairs.filter(|p| off(p) > r * STRICT * p.1.abs()).count();
    desk.next.misses = misses.min(MANY);
    desk.next.cost += misses as f32 * (known.kept.unwrap_or(52) as f32 + 4.0);
}

/// The shift at which a quarter of the values would need smaller steps; `ratio` is the bound over the unit.
fn first_shift<T>(source: &Source<T>, ratio: f64) -> Option<i32> {
    let mut sizes: Vec<f64> = source.block.iter().map(|v| v.abs()).filter(|v| *v > 0.0).collect();
    let quarter = sizes.len() / 4;
    sizes.get(quarter)?;
    let size = *sizes.select_nth_unstable_by(quarter, f64::total_cmp).1;
    Some((2.0 * (2.0 * ratio * size).log2()).clamp(-f64::from(SHIFTS), f64::from(SHIFTS)) as i32)
}

/// A block quantised with some step.
struct Trial {
    shift: i32,
    /// Residuals in steps.
    steps: Block,
    /// What a reader makes of them: coefficients and values.
    coefficients: Block,
    decoded: Block,
    /// Root mean square of the error.
    rms: f64,
    /// Values that miss the bound, as far as they were counted.
    misses: usize,
    /// An estimate of its bits.
    cost: f32,
    /// Greatest total degree + 1 of the residuals that are not 0.
    shells: usize,
}

impl Trial {
    fn empty() -> Box<Self> {
        Box::new(Self {
            shift: 0,
            steps: [0.0; VALUES],
            coefficients: [0.0; VALUES],
            decoded: [0.0; VALUES],
            rms: 0.0,
            misses: 0,
            cost: 0.0,
            shells: 0,
        })
    }

    fn quantise<T: Value>(
        &mut self,
        tile: &Tile<'_, T>,
        transformed: &Block,
        prediction: &Block,
        shift: i32,
    ) {
        let step = tile.frame.unit * half_octaves(shift);
        let (steps, coefficients) = (&mut self.steps, &mut self.coefficients);
        let (cost, shells, lost) =
            quantise(tile.engine, transformed, prediction, 1.0 / step, step, steps, coefficients);
        self.rms = (lost / VALUES as f64).sqrt() * step;
        (self.shift, self.shells) = (shift, shells as usize);
        self.cost = cost + ESTIMATES.shells[self.shells];
    }
}

/// The trial of least cost near the desk's best one; two in a row that cost more end the search on that side.
fn climb(desk: &mut Desk, allowed: std::ops::RangeInclusive<i32>, trial: impl Fn(i32, &mut Desk)) {
    let start = desk.best.shift;
    for by in [1, -1] {
        let (mut shift, mut worse) = (start + by, 0);
        // Without residuals larger steps change nothing; smaller ones are no use where nothing misses.
        let useful = |best: &Trial| if by > 0 { best.shells > 0 } else { best.misses > 0 };
        while worse < 2 && allowed.contains(&shift) && useful(&desk.best) {
            trial(shift, desk);
            if desk.next.cost < desk.best.cost {
                std::mem::swap(&mut desk.best, &mut desk.next);
                worse = 0;
            } else {
                worse += 1;
            }
            if by > 0 && desk.next.misses > MANY {
                break;
            }
            shift += by;
        }
    }
}

crate::engine::for_engines! {
    /// An estimate of the bits of a residual.
    fn distance(truth: &Block, prediction: &Block, scale: f64) -> f32 {
        let mut sum = 0u32;
        for k in 0..VALUES {
            let t = ((truth[k] - prediction[k]) * scale) as f32;
            sum = sum.wrapping_add(octaves(1.0 + t * t));
        }
        sum as f32 * (0.5 / 1024.0)
    }
}

/// Total degree + 1, by place.
const SHELL: [u32; VALUES] = {
    let mut out = [0; VALUES];
    let mut k = 0;
    while k < VALUES {
        out[k] = (k % 8 + k / 8 % 8 + k / 64 + 1) as u32;
        k += 1;
    }
    out
};

/// log₂ of a number ≥ 1 in units of 2⁻¹⁰, with straight lines between powers of two.
#[inline(always)]
fn octaves(x: f32) -> u32 {
    (x.to_bits() >> 13).wrapping_sub(127 << 10)
}

crate::engine::for_engines! {
    /// Residuals in steps, the coefficients that a reader makes of them, an estimate of their bits, and the
    /// greatest total degree + 1 of those that are not 0.
    fn quantise(
        truth: &Block,
        prediction: &Block,
        scale: f64,
        step: f64,
        steps: &mut Block,
        coefficients: &mut Block,
    ) -> (f32, u32, f64) {
        // Eight lanes each: sums of numbers are not reordered by the compiler.
        let (mut lost, mut largest) = ([0.0f64; 8], [0.0f64; 8]);
        let (mut octave, mut nonzero, mut shells) = ([0u32; 8], [0u32; 8], [0u32; 8]);
        for first in (0..VALUES).step_by(8) {
            for lane in 0..8 {
                let k = first + lane;
                let exact = (truth[k] - prediction[k]) * scale;
                let n = exact.round_ties_even();
                let off = exact - n;
                lost[lane] = off.mul_add(off, lost[lane]);
                steps[k] = n;
                coefficients[k] = n.mul_add(step, prediction[k]);
                // NaN becomes the largest of all.
                largest[lane] = if n.abs() < largest[lane] { largest[lane] } else { n.abs() };
                let t = n as f32;
                octave[lane] = octave[lane].wrapping_add(octaves(1.0 + t * t));
                nonzero[lane] = nonzero[lane].wrapping_add(u32::from(t != 0.0));
                let here = if t != 0.0 { SHELL[k] } else { 0 };
                shells[lane] = if here > shells[lane] { here } else { shells[lane] };
            }
        }
        let shells = shells.into_iter().max().unwrap_or(0);
        // Where no number of bits is enough, no bit is worth it; nor where anything is not a number.
        if !largest.into_iter().all(|n| n < LARGEST) {
            return (f32::INFINITY, shells, 0.0);
        }
        let octaves = octave.into_iter().fold(0, u32::wrapping_add) as f32 * (0.5 / 1024.0);
        let nonzero = nonzero.into_iter().fold(0, u32::wrapping_add) as f32;
        (OCTAVE * octaves + NONZERO * nonzero, shells, lost.into_iter().sum())
    }
}

crate::engine::for_engines! {
    fn integers(steps: &Block, out: &mut [i32]) {
        for (out, &n) in out.iter_mut().zip(steps) {
            *out = n as i32;
        }
    }
}

crate::engine::for_engines! {
    /// How many values are further off than the tolerance.
    fn misses<T: Value>(truth: &Block, decoded: &Block, tolerance: f64) -> u32 {
        let mut count = 0u32;
        for k in 0..VALUES {
            let off = (T::from_f64(decoded[k]).to_f64() - truth[k]).abs();
            count = count.wrapping_add(u32::from(off > tolerance));
        }
        count
    }
}

impl Candidate {
    /// Compares the trial, which holds what a reader will decode, with the truth; corrects or stores every value that
    /// misses the bound; gives the symbols and the errors that are left.
    fn prove<T: Value>(
        self,
        tile: &Tile<'_, T>,
        trial: &Trial,
        turn: &Turn,
        known: &Known<'_>,
        source: &Source<T>,
    ) -> (Coded, Errors) {
        let mut out = Coded {
            predictor: self.predictor,
            spatial: self.spatial,
            offset: self.offset,
            shift: if trial.shells == 0 { known.shift } else { trial.shift },
            // Whole degrees are coded.
            coded: usize::from(SCAN.below[trial.shells]),
            residual: vec![0; VALUES],
            corrections: Vec::new(),
            literals: Vec::new(),
        };
        integers(tile.engine, &trial.steps, &mut out.residual);
        let decoded = &trial.decoded;
        let unit = tile.frame.unit;
        let mut errors = Errors::default();
        if source.whole
            && !source.special
            && let Tolerance::Absolute(e) = tile.frame.tolerance
        {
            let (largest, squares) = worst::<T>(tile.engine, &source.block, decoded);
            // A NaN in any place makes the sum one.
            if largest <= e * STRICT && !squares.is_nan() {
                return (out, Errors { largest, squares });
            }
        }
        let places = Places::of(turn.place);
        for i in 0..known.values as u16 {
            let at = places.block(i);
            let value = source.values[at];
            let truth = value.to_f64();
            if value.is_special() {
                out.literals.push((i, value.bits()));
                continue;
            }
            let off = |decoded: f64| (T::from_f64(decoded).to_f64() - truth).abs();
            let error = off(decoded[at]);
            match tile.frame.tolerance {
                Tolerance::Absolute(e) => {
                    if error <= e * STRICT {
                        errors.add(error, 1.0);
                        continue;
                    }
                    let units = ((truth - decoded[at]) / unit).round();
                    let units = units.clamp(-1e9, 1e9) as i32;
                    let error = off(corrected(decoded[at], units, unit));
                    if units != 0 && error <= e * STRICT {
                        out.corrections.push((i, units));
                        errors.add(error, 1.0);
                    } else {
                        out.literals.push((i, value.bits()));
                    }
                }
                Tolerance::PointwiseRelative(r) => {
                    let allowed = r * STRICT * truth.abs();
                    if error <= allowed {
                        errors.add(error, truth.abs());
                        continue;
                    }
                    let bits = known.kept.map_or(value.bits(), |kept| rounded(value, kept));
                    let error = (T::of_bits(bits).to_f64() - truth).abs();
                    if error <= allowed {
                        out.literals.push((i, bits));
                        errors.add(error, truth.abs());
                    } else {
                        out.literals.push((i, value.bits()));
                    }
                }
            }
        }
        (out, errors)
    }
}

impl Errors {
    /// Counts one; `size` is what the bound is relative to.
    fn add(&mut self, error: f64, size: f64) {
        if error > 0.0 {
            self.largest = self.largest.max(error / size);
            self.squares += error * error;
        }
    }
}

crate::engine::for_engines! {
    /// The largest error of a block, and the sum of all squares.
    fn worst<T: Value>(truth: &Block, decoded: &Block) -> (f64, f64) {
        let mut most = [0.0f64; 8];
        let mut squares = [0.0f64; 8];
        for row in 0..VALUES / 8 {
            for x in 0..8 {
                let k = row * 8 + x;
                let off = (T::from_f64(decoded[k]).to_f64() - truth[k]).abs();
                most[x] = if off > most[x] { off } else { most[x] };
                squares[x] += off * off;
            }
        }
        (most.into_iter().fold(0.0, f64::max), squares.into_iter().sum())
    }
}

/// The bits of a number rounded to so many mantissa bits, to the nearest.
fn rounded<T: Value>(value: T, kept: u32) -> u64 {
    let fields = if T::DTYPE.size() == 8 { 52 } else { 23 };
    let low = fields - kept.min(fields);
    let bits = value.bits();
    match low {
        0 => bits,
        // A carry into the exponent is right; beyond the largest number it gives infinity, which no check lets pass.
        _ => (bits + (1 << (low - 1))) & !((1 << low) - 1),
    }
}
