//! The symbols of a block: what of it is coded, in what order, and in which context each decision
//! is made.
//!
//! Contexts are what reader and writer both know already: how large the same coefficient's residual
//! was in the neighbours and in the previous step, and how large those of lower degree are in the
//! block itself (the magnitude contexts of embedded wavelet coders, Wu & Memon 1997, on a block's
//! Legendre coefficients).
//!
//! A damaged stream may say any number: arithmetic on what is read saturates, and places in tables
//! wrap, as their bounds are checked where they are used.

use super::initial_tables;
use super::rans::{LANES, LONG, SymbolCoder, class, cost, least, low_bits, open_bits};
use super::tables::{SYMBOLS, Tables};
use crate::blocks::{EDGE, VALUES};
use crate::computed::Computed;
use crate::engine::Engine;
use crate::legendre::{DEGREES, SCAN};
use crate::predict::{Predictor, PredictorMask};
use crate::quantum::half_octaves;

/// Residual magnitudes by place in [`SCAN`], in bfloat16.
pub(crate) type Magnitudes = [u16; VALUES];

/// What a block's decisions say.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Symbols {
    /// Prediction, quantised residual, corrections.
    Coded(Coded),
    /// Every value has these bits.
    Constant(u64),
    /// The bits of every true value, x fastest.
    Raw(Vec<u64>),
}

impl Symbols {
    /// Whether they can be coded: residuals have a largest magnitude.
    pub(crate) fn are_possible(&self) -> bool {
        let Self::Coded(coded) = self else { return true };
        coded.residual.iter().all(|n| n.unsigned_abs() < 1 << RESIDUAL_BITS)
    }
}

/// A block that is predicted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Coded {
    pub(crate) predictor: Predictor,
    /// Whether spatial prediction is added.
    pub(crate) spatial: bool,
    /// The prediction of the first coefficient as bits of a value, where nothing else predicts it.
    pub(crate) offset: Option<u64>,
    /// The quantisation step is the quantum · 2^(step exponent/2).
    pub(crate) step_exponent: i32,
    /// Residuals in steps, in the order of [`SCAN`]; those left out at the end, of whole degrees,
    /// are 0.
    pub(crate) residual: Vec<i32>,
    /// Outlier corrections, values to move by so many quanta: `(index among the true values,
    /// quanta)`, ascending.
    pub(crate) corrections: Vec<(u16, i32)>,
    /// Values that are stored verbatim: `(index among the true values, bits)`, ascending.
    pub(crate) unpredictable: Vec<(u16, u64)>,
}

/// What writer and reader know of a block before it is coded.
#[derive(Clone, Debug)]
pub(crate) struct BlockContext<'a> {
    /// True values of the block.
    pub(crate) values: usize,
    /// Bits of a value, and of its mantissa.
    pub(crate) width: u32,
    pub(crate) mantissa: u32,
    /// Mantissa bits that an unpredictable value keeps; none where it keeps all.
    pub(crate) kept: Option<u32>,
    /// Whether a correction has a quantum.
    pub(crate) corrects: bool,
    /// Predictors that the block may use.
    pub(crate) predictors: PredictorMask,
    /// Whether spatial prediction is possible.
    pub(crate) spatial: bool,
    /// Neighbours (up to 2 count) that are not coded as residuals.
    pub(crate) uncoded: usize,
    /// The predictor that most neighbours use.
    pub(crate) predictor: Predictor,
    /// Whether most neighbours use spatial prediction.
    pub(crate) mostly_spatial: bool,
    /// Mean of the neighbours' coded degrees, rounded up.
    pub(crate) degrees: usize,
    /// Mean of the neighbours' step exponents.
    pub(crate) step_exponent: i32,
    /// The last value of a constant block, as bits.
    pub(crate) constant: u64,
    pub(crate) engine: Engine,
    /// What the neighbours' residuals were.
    pub(crate) neighbours: NeighbourStatistics<'a>,
}

/// Residual magnitudes that a block's are expected from, in quanta.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct NeighbourStatistics<'a> {
    neighbours: [Option<&'a Magnitudes>; 7],
    count: usize,
    /// Those of the previous step, and the factor that makes this step's quanta of them.
    pub(crate) previous: Option<(&'a Magnitudes, f32)>,
}

impl<'a> NeighbourStatistics<'a> {
    pub(crate) fn add(&mut self, magnitudes: &'a Magnitudes) {
        self.neighbours[self.count] = Some(magnitudes);
        self.count = self.count.saturating_add(1);
    }

    /// Whether there are any.
    pub(crate) fn is_some(&self) -> bool {
        self.count > 0 || self.previous.is_some()
    }

    /// The levels of the first `coded` coefficients: of the mean of the neighbours, or of that and
    /// the previous step.
    fn levels(&self, engine: Engine, step_exponent: i32, coded: usize) -> [u8; VALUES] {
        let mut expected = [0.0; VALUES];
        self.expected(engine, half_octaves(step_exponent.saturating_neg()) as f32, &mut expected[..coded]);
        let mut out = [0; VALUES];
        for (l, e) in out[..coded].iter_mut().zip(expected) {
            *l = level(e).min(LARGEST_EXPECTED) as u8;
        }
        out
    }

    /// The magnitudes of the first coefficients that are expected, in quanta times `scale`, added
    /// to `out`.
    pub(crate) fn expected(&self, engine: Engine, scale: f32, out: &mut [f32]) {
        let share = scale / self.count.max(1) as f32 * if self.previous.is_some() { 0.5 } else { 1.0 };
        for source in self.neighbours.into_iter().flatten() {
            add(engine, source, share, out);
        }
        if let Some((source, quantum)) = self.previous {
            let share = scale * quantum * if self.count > 0 { 0.5 } else { 1.0 };
            add(engine, source, share, out);
        }
    }
}

crate::engine::for_engines! {
    fn add(from: &Magnitudes, weight: f32, out: &mut [f32]) {
        for (out, &m) in out.iter_mut().zip(from) {
            *out += f32::from_bits(u32::from(m) << 16) * weight;
        }
    }
}

/// Predictors that have rows: room for some to come.
const PREDICTORS: usize = 8;
/// The largest magnitude of a residual in steps has so many bits.
pub(crate) const RESIDUAL_BITS: usize = 28;
const LARGEST_OCTAVE: u32 = RESIDUAL_BITS as u32 - 1;
/// Step exponents lie within ± this.
pub(crate) const STEP_EXPONENTS: i32 = 512;

const EXPECTED: usize = 20;
const INNER: usize = 16;
/// The greatest levels that have rows.
const LARGEST_EXPECTED: u32 = EXPECTED as u32 - 1;
const LARGEST_INNER: u32 = INNER as u32 - 1;

/// Where each family of rows begins in one long list: what initial tables are made of.
mod at {
    use super::*;
    pub const KIND: usize = 0;
    pub const KIND_WITH_LATENTS: usize = KIND + 2 * 3 * 2 * PREDICTORS;
    pub const DEGREES: usize = KIND_WITH_LATENTS + 1;
    pub const STEP_EXPONENT: usize = DEGREES + 16;
    pub const CORRECTIONS: usize = STEP_EXPONENT + 8;
    pub const CORRECTIONS_TOO: usize = CORRECTIONS + 12;
    pub const UNPREDICTABLE: usize = CORRECTIONS_TOO + 1;
    pub const GAP: usize = UNPREDICTABLE + 1;
    pub const SIZE: usize = GAP + 10;
    pub const PLACES: usize = SIZE + 1;
    pub const CLASS: usize = PLACES + SYMBOLS;
    pub const EXPONENT: usize = CLASS + 1;
    pub const RESIDUAL: usize = EXPONENT + 1;
    pub const LONG: usize = RESIDUAL + EXPECTED * INNER;
    pub const END: usize = LONG + EXPECTED;
}

const _: () = assert!(initial_tables::ROWS == at::END);

/// The rows that every tile begins with.
pub(crate) fn start() -> Tables {
    static START: Computed<Tables> = Computed::new(initial_tables::start);
    START.clone()
}

/// Where the n-th of some lists of a size begins, one behind the other from `first` on.
#[inline(always)]
const fn nth(first: usize, n: usize, size: usize) -> usize {
    first.wrapping_add(n.wrapping_mul(size))
}

/// The level of a magnitude in steps: 0 below 2⁻⁵, then one more with every octave.
#[inline(always)]
fn level(magnitude: f32) -> u32 {
    (magnitude.to_bits() >> 23).saturating_sub(121)
}

/// What stands behind the first predictors among the kinds of a block.
const CONSTANT_AGAIN: usize = 12;
const CONSTANT: usize = 13;
const RAW: usize = 14;
/// A predictor that has no kind of its own: its number follows.
const OTHER_PREDICTOR: usize = 15;

const _: () = assert!(Predictor::ALL.len() <= PREDICTORS);

/// The kind of a block that a predictor predicts.
#[inline(always)]
fn coded_kind(predictor: Predictor, spatial: bool) -> usize {
    let kind = (predictor as usize).wrapping_mul(2).wrapping_add(usize::from(spatial));
    if kind < CONSTANT_AGAIN { kind } else { OTHER_PREDICTOR }
}

/// The row of a block's kind.
fn kind_row(context: &BlockContext<'_>) -> usize {
    if context.predictors == PredictorMask::of(Predictor::Autoencoder) {
        return at::KIND_WITH_LATENTS;
    }
    let has_previous = usize::from(context.predictors.has(Predictor::Previous));
    let row = nth(has_previous, context.uncoded.min(2), 2);
    let row = nth(usize::from(context.mostly_spatial), row, 2);
    nth(at::KIND.wrapping_add(context.predictor as usize), row, PREDICTORS)
}

/// Bits that it takes to name a predictor.
pub(crate) fn selection_bits(
    tables: &Tables,
    context: &BlockContext<'_>,
    predictor: Predictor,
    spatial: bool,
) -> f32 {
    cost(tables.part(kind_row(context), coded_kind(predictor, spatial)).1)
}

/// Coded degrees of so many coefficients in the order of [`SCAN`]: the greatest + 1.
pub(crate) fn coded_degrees(coded: usize) -> usize {
    coded.checked_sub(1).map_or(0, |last| usize::from(SCAN.degree[last]) + 1)
}

/// How many values stand behind a block's residual.
#[derive(Clone, Copy, Default)]
struct Following {
    corrections: usize,
    unpredictable: bool,
}

/// Codes a batch of blocks, none of which depends on another: reads them, or, where the coder does
/// not read, writes or measures `symbols`. Gives the bits that each block took, where the coder
/// counts them.
///
/// First what each block begins with, then the residuals, coefficient by coefficient, of blocks of
/// like length side by side, then what is corrected.
pub(crate) fn code<C: SymbolCoder>(
    coder: &mut C,
    tables: &mut Tables,
    contexts: &[BlockContext<'_>],
    symbols: &mut [Symbols],
) -> Vec<f64> {
    let mut bits = vec![0.0; symbols.len()];
    let Some(engine) = contexts.first().map(|context| context.engine) else { return bits };
    let mut following = vec![Following::default(); symbols.len()];
    for (i, (context, symbols)) in contexts.iter().zip(symbols.iter_mut()).enumerate() {
        let lane = i % LANES;
        let before = coder.spent(lane);
        following[i] = header(coder, lane, tables, context, symbols);
        bits[i] += coder.spent(lane) - before;
    }
    // The longest first: the others drop out one by one.
    let length =
        |symbols: &Symbols| if let Symbols::Coded(coded) = symbols { coded.residual.len() } else { 0 };
    let mut order: Vec<usize> = (0..symbols.len()).filter(|&i| length(&symbols[i]) > 0).collect();
    order.sort_by_key(|&i| std::cmp::Reverse(length(&symbols[i])));
    for some in order.chunks(LANES) {
        let before: Lane<f64> = std::array::from_fn(|lane| coder.spent(lane));
        residuals(engine, coder, tables, contexts, symbols, some);
        some.iter().enumerate().for_each(|(lane, &i)| bits[i] += coder.spent(lane) - before[lane]);
    }
    for (i, (context, symbols)) in contexts.iter().zip(symbols.iter_mut()).enumerate() {
        let Symbols::Coded(coded) = symbols else { continue };
        let (lane, before) = (i % LANES, coder.spent(i % LANES));
        let Following { corrections: count, unpredictable: some } = following[i];
        if count > 0 {
            corrections(coder, lane, tables, context, count, &mut coded.corrections);
        }
        if some {
            unpredictable(coder, lane, tables, context, &mut coded.unpredictable);
        }
        bits[i] += coder.spent(lane) - before;
    }
    bits
}

/// Codes what a block is, and how long what follows.
fn header<C: SymbolCoder>(
    c: &mut C,
    lane: usize,
    tables: &mut Tables,
    context: &BlockContext<'_>,
    symbols: &mut Symbols,
) -> Following {
    let kind = match symbols {
        Symbols::Coded(coded) => coded_kind(coded.predictor, coded.spatial),
        Symbols::Constant(bits) if *bits == context.constant => CONSTANT_AGAIN,
        Symbols::Constant(_) => CONSTANT,
        Symbols::Raw(_) => RAW,
    };
    let mut kind = c.symbol(lane, tables, kind_row(context), kind);
    let is_coded = kind < CONSTANT_AGAIN || kind == OTHER_PREDICTOR;
    if is_coded {
        if kind == OTHER_PREDICTOR {
            let number = match symbols {
                Symbols::Coded(coded) => (coded.predictor as u32).wrapping_mul(2) | u32::from(coded.spatial),
                _ => 0,
            };
            kind = c.raw(lane, number, 4) as usize;
        }
        if C::READS {
            let named = Predictor::ALL.get(kind / 2).copied().filter(|p| context.predictors.has(*p));
            let predictor = named.or_else(|| context.predictors.iter().next()).unwrap_or_default();
            let spatial = kind % 2 == 1 && context.spatial;
            *symbols = Symbols::Coded(Coded { predictor, spatial, ..Coded::default() });
        }
        let Symbols::Coded(coded) = symbols else { return Following::default() };
        return coded_header(c, lane, tables, context, coded);
    }
    match kind {
        CONSTANT_AGAIN => {
            if C::READS {
                *symbols = Symbols::Constant(context.constant);
            }
        }
        CONSTANT => {
            let bits = if let Symbols::Constant(bits) = symbols { *bits } else { 0 };
            let bits = c.wide(lane, bits, context.width);
            if C::READS {
                *symbols = Symbols::Constant(bits);
            }
        }
        _ => {
            if C::READS {
                *symbols = Symbols::Raw(vec![0; context.values]);
            }
            let Symbols::Raw(values) = symbols else { return Following::default() };
            values.iter_mut().for_each(|bits| *bits = c.wide(lane, *bits, context.width));
        }
    }
    Following::default()
}

fn coded_header<C: SymbolCoder>(
    c: &mut C,
    lane: usize,
    tables: &mut Tables,
    context: &BlockContext<'_>,
    coded: &mut Coded,
) -> Following {
    if !context.spatial && c.raw(lane, u32::from(coded.offset.is_some()), 1) == 1 {
        coded.offset = Some(c.wide(lane, coded.offset.unwrap_or(0), context.width));
    }
    let degrees = degrees(c, lane, tables, context, coded_degrees(coded.residual.len()));
    if C::READS {
        coded.step_exponent = context.step_exponent;
        coded.residual = vec![0; usize::from(SCAN.below[degrees])];
    }
    if degrees > 0 {
        let row = at::STEP_EXPONENT.wrapping_add((degrees / 2).min(7));
        let change = coded.step_exponent.saturating_sub(context.step_exponent);
        let change = c.signed(lane, tables, row, change);
        coded.step_exponent =
            context.step_exponent.saturating_add(change).clamp(-STEP_EXPONENTS, STEP_EXPONENTS);
    }
    following(c, lane, tables, context, degrees, coded)
}

/// How much more or less than expected the coded degrees of a block are, as a symbol; beyond, all of
/// their five bits follow.
fn degrees<C: SymbolCoder>(
    c: &mut C,
    lane: usize,
    tables: &mut Tables,
    context: &BlockContext<'_>,
    degrees: usize,
) -> usize {
    const MIDDLE: usize = 7;
    const LAST: usize = SYMBOLS - 1;
    let expected = context.degrees.min(DEGREES);
    let symbol = degrees.wrapping_add(MIDDLE).saturating_sub(expected).min(LAST);
    let row = at::DEGREES.wrapping_add(expected.min(15));
    let symbol = c.symbol(lane, tables, row, symbol);
    let degrees = match symbol {
        0 | LAST => c.raw(lane, degrees as u32, 5) as usize,
        _ => expected.wrapping_add(symbol).saturating_sub(MIDDLE),
    };
    degrees.min(DEGREES)
}

/// Codes how many values are corrected, and whether some are stored as they are.
fn following<C: SymbolCoder>(
    c: &mut C,
    lane: usize,
    tables: &mut Tables,
    context: &BlockContext<'_>,
    degrees: usize,
    coded: &Coded,
) -> Following {
    let unpredictable = !coded.unpredictable.is_empty();
    if !context.corrects {
        let unpredictable = c.symbol(lane, tables, at::UNPREDICTABLE, usize::from(unpredictable)) > 0;
        return Following { corrections: 0, unpredictable };
    }
    // The class of numbers that no block has stands for values that are stored as they are.
    const UNPREDICTABLE: usize = SYMBOLS - 1;
    let count = coded.corrections.len() as u32;
    let row = at::CORRECTIONS.wrapping_add(degrees.div_ceil(2).min(11));
    let symbol =
        c.symbol(lane, tables, row, if unpredictable { UNPREDICTABLE } else { class_of_count(count) });
    let (symbol, unpredictable) = match symbol {
        UNPREDICTABLE => (c.symbol(lane, tables, at::CORRECTIONS_TOO, class_of_count(count)), true),
        _ => (symbol, false),
    };
    let corrections = match symbol {
        MANY.. => c.raw(lane, count, 10),
        _ => c.rest(lane, symbol, count),
    };
    Following { corrections: (corrections as usize).min(context.values), unpredictable }
}

/// The class of all counts from 128 on.
const MANY: usize = 14;

fn class_of_count(count: u32) -> usize {
    class(count).min(MANY)
}

/// Around a block of magnitudes there is a rim of two zeros at the low sides.
const RIM: usize = 2;
const PADDED: usize = EDGE + RIM;

struct Inner {
    /// Place in the padded block, by place in the scan.
    place: [u16; VALUES],
    /// One over the number of lower places that exist.
    share: [f32; VALUES],
}

static INNER_PLACES: Computed<Inner> = Computed::new(|| {
    let xyz = SCAN.place.map(|p| [p % 8, p / 8 % 8, p / 64].map(usize::from));
    Inner {
        place: xyz.map(|[x, y, z]| (((z + RIM) * PADDED + y + RIM) * PADDED + x + RIM) as u16),
        share: xyz.map(|at| {
            let there = at.iter().map(|&a| a.min(RIM)).sum::<usize>();
            if there == 0 { 0.0 } else { 1.0 / there as f32 }
        }),
    }
});

/// One number of each lane.
type Lane<T> = [T; LANES];

/// Codes the residuals of as many blocks as there are lanes, the longest first: coefficient by
/// coefficient, and each of them block by block.
fn residuals<C: SymbolCoder>(
    engine: Engine,
    c: &mut C,
    tables: &mut Tables,
    contexts: &[BlockContext<'_>],
    symbols: &mut [Symbols],
    blocks: &[usize],
) {
    // By coefficient and lane.
    let mut expected = vec![[0u8; LANES]; VALUES];
    let mut lanes: Lane<Vec<i32>> = std::array::from_fn(|_| Vec::new());
    for (lane, &block) in blocks.iter().enumerate() {
        let Symbols::Coded(coded) = &mut symbols[block] else { continue };
        lanes[lane] = std::mem::take(&mut coded.residual);
        let levels = contexts[block].neighbours.levels(engine, coded.step_exponent, lanes[lane].len());
        for (expected, level) in expected.iter_mut().zip(&levels[..lanes[lane].len()]) {
            expected[lane] = *level;
        }
    }
    coefficients(engine, c, tables, &expected, &mut lanes);
    for (lane, &block) in lanes.into_iter().zip(blocks) {
        if let Symbols::Coded(coded) = &mut symbols[block] {
            coded.residual = lane;
        }
    }
}

crate::engine::for_engines! {
    fn coefficients<C: SymbolCoder>(
        c: &mut C,
        tables: &mut Tables,
        expected: &[Lane<u8>],
        lanes: &mut Lane<Vec<i32>>,
    ) {
        let inner = &*INNER_PLACES;
        // What is greater makes no difference to the level.
        let mut magnitudes = vec![[0u8; LANES]; PADDED * PADDED * PADDED];
        let mut active = lanes.iter().filter(|lane| !lane.is_empty()).count();
        for (k, expected) in expected.iter().enumerate() {
            while let Some(last) = active.checked_sub(1).filter(|&last| lanes[last].len() <= k) {
                active = last;
            }
            if active == 0 {
                break;
            }
            let at = usize::from(inner.place[k]);
            let mut sums = [0u16; LANES];
            for back in [1, PADDED, PADDED * PADDED, 2, 2 * PADDED, 2 * PADDED * PADDED] {
                let lower = &magnitudes[at.wrapping_sub(back)];
                for lane in 0..LANES {
                    sums[lane] = sums[lane].wrapping_add(lower[lane].into());
                }
            }
            let mut rows = [0u32; LANES];
            for lane in 0..LANES {
                let around = level(f32::from(sums[lane]) * inner.share[k]);
                let around = if around < LARGEST_INNER { around } else { LARGEST_INNER };
                rows[lane] = u32::from(expected[lane]).wrapping_mul(INNER as u32).wrapping_add(around);
            }
            // What is left open comes behind the symbols of all lanes: to go through those is the
            // same work for each of them.
            let mut classes = [0u8; LANES];
            let mut open = 0u32;
            for lane in 0..active {
                let row = at::RESIDUAL.wrapping_add(rows[lane] as usize);
                let class = class(lanes[lane][k].unsigned_abs());
                let class = c.symbol(lane, tables, row, class);
                classes[lane] = class as u8;
                open |= u32::from(class != 0).wrapping_shl(lane as u32);
            }
            let mut found = [0u8; LANES];
            while open != 0 {
                let lane = open.trailing_zeros() as usize % LANES;
                open &= open.wrapping_sub(1);
                let row = at::LONG.wrapping_add(expected[lane].into());
                let value = &mut lanes[lane][k];
                let magnitude;
                (*value, magnitude) = signed_rest(c, lane, tables, row, classes[lane].into(), *value);
                found[lane] = if magnitude < 255 { magnitude as u8 } else { 255 };
            }
            magnitudes[at] = found;
        }
    }
}

/// What a residual's class leaves open, and its sign: the value, and its magnitude. `row` is for long
/// ones.
#[inline(always)]
fn signed_rest<C: SymbolCoder>(
    c: &mut C,
    lane: usize,
    tables: &mut Tables,
    row: usize,
    class: usize,
    value: i32,
) -> (i32, u32) {
    let (negative, magnitude) = (u32::from(value < 0), value.unsigned_abs());
    let open = open_bits(class);
    if open == LONG {
        let negative = c.raw(lane, negative, 1);
        let magnitude = long(c, lane, tables, row, magnitude);
        let value = magnitude as i32;
        return (if negative == 1 { value.wrapping_neg() } else { value }, magnitude);
    }
    let low = low_bits(magnitude.into(), open) as u32;
    let bits = c.raw(lane, low.wrapping_shl(1) | negative, open.wrapping_add(1));
    let magnitude = least(class).wrapping_add(bits >> 1);
    let value = magnitude as i32;
    (if bits & 1 == 1 { value.wrapping_neg() } else { value }, magnitude)
}

/// A magnitude from 256 on: its octave and the bit behind the leading one as a symbol; from the ninth
/// octave of these on by its length.
#[cold]
fn long<C: SymbolCoder>(c: &mut C, lane: usize, tables: &mut Tables, row: usize, magnitude: u32) -> u32 {
    const FIRST: u32 = 8;
    const LAST: usize = SYMBOLS - 1;
    let octave = magnitude.max(1 << FIRST).ilog2();
    let second = magnitude.wrapping_shr(octave.wrapping_sub(1)) & 1;
    let symbol = (octave.wrapping_sub(FIRST).wrapping_mul(2) | second) as usize;
    match c.symbol(lane, tables, row, symbol.min(LAST)) {
        LAST => {
            let octave = c.raw(lane, octave, 5).min(LARGEST_OCTAVE);
            1u32.wrapping_shl(octave) | c.raw(lane, low_bits(magnitude.into(), octave) as u32, octave)
        }
        symbol => {
            let below = (symbol as u32 / 2).wrapping_add(FIRST).wrapping_sub(1);
            let leading = (2 | symbol as u32 & 1).wrapping_shl(below);
            leading | c.raw(lane, low_bits(magnitude.into(), below) as u32, below)
        }
    }
}

fn corrections<C: SymbolCoder>(
    c: &mut C,
    lane: usize,
    tables: &mut Tables,
    context: &BlockContext<'_>,
    count: usize,
    corrections: &mut Vec<(u16, i32)>,
) {
    let last = context.values.saturating_sub(1) as u16;
    let mut next = 0;
    if C::READS {
        corrections.reserve(count);
    }
    for i in 0..count {
        let (place, quanta) = corrections.get(i).copied().unwrap_or((next, 1));
        let left = count.saturating_sub(i).saturating_add(1);
        let expected = context.values.saturating_sub(next.into()).checked_div(left).unwrap_or(0);
        let row = at::GAP.wrapping_add((expected.max(1).ilog2() as usize).min(9));
        let gap = c.number(lane, tables, row, u32::from(place.saturating_sub(next)));
        let place = u32::from(next).saturating_add(gap).min(last.into()) as u16;
        let size = c.number(lane, tables, at::SIZE, quanta.unsigned_abs().saturating_sub(1));
        let size = size.saturating_add(1).min(i32::MAX as u32) as i32;
        let negative = c.raw(lane, u32::from(quanta < 0), 1) != 0;
        if C::READS {
            corrections.push((place, if negative { size.saturating_neg() } else { size }));
        }
        next = place.saturating_add(1).min(last);
    }
}

/// Values that are stored as they are: which, four places at a time, and each of them. They come in
/// swarms: the four places before say most.
fn unpredictable<C: SymbolCoder>(
    c: &mut C,
    lane: usize,
    tables: &mut Tables,
    context: &BlockContext<'_>,
    values: &mut Vec<(u16, u64)>,
) {
    let truth = std::mem::take(values);
    let mut left = truth.iter().peekable();
    let (mut before, mut exponent) = (0, 0);
    for first in (0..context.values as u16).step_by(4) {
        let places = first..first.saturating_add(4).min(context.values as u16);
        let mut here = [None; 4];
        for (bits, place) in here.iter_mut().zip(places.clone()) {
            *bits = left.next_if(|(p, _)| *p == place).map(|(_, bits)| *bits);
        }
        let there = here.iter().rev().fold(0, |all, bits| all << 1 | usize::from(bits.is_some()));
        let there = c.symbol(lane, tables, at::PLACES.wrapping_add(before), there);
        before = there;
        for (i, place) in places.enumerate().filter(|(i, _)| there >> i & 1 == 1) {
            let bits = here[i].unwrap_or(0);
            values.push((place, unpredictable_value(c, lane, tables, context, bits, &mut exponent)));
        }
    }
}

/// +0, −0, a rounded number or all bits.
fn unpredictable_value<C: SymbolCoder>(
    c: &mut C,
    lane: usize,
    tables: &mut Tables,
    context: &BlockContext<'_>,
    bits: u64,
    exponent: &mut i32,
) -> u64 {
    const ZERO: usize = 0;
    const ROUNDED: usize = 1;
    const WHOLE: usize = 2;
    // The width is 32 or 64.
    let sign = 1u64.wrapping_shl(context.width.wrapping_sub(1));
    let fields = context.mantissa;
    let exponents = sign.wrapping_sub(1).wrapping_shr(fields);
    let exponent_of = bits.wrapping_shr(fields) & exponents;
    let signed = |negative: u32| if negative != 0 { sign } else { 0 };
    let below = context.kept.map_or(0, |kept| fields.saturating_sub(kept));
    // A normal number whose low bits are 0 is one that was rounded.
    let rounded = exponent_of != 0 && exponent_of != exponents && low_bits(bits, below) == 0;
    let class = match bits & !sign {
        0 => ZERO,
        _ if context.kept.is_some() && rounded => ROUNDED,
        _ => WHOLE,
    };
    match c.symbol(lane, tables, at::CLASS, class) {
        ZERO => signed(c.raw(lane, u32::from(bits != 0), 1)),
        ROUNDED => {
            let negative = signed(c.raw(lane, u32::from(bits & sign != 0), 1));
            let change = (exponent_of as i32).saturating_sub(*exponent);
            let change = c.signed(lane, tables, at::EXPONENT, change);
            *exponent = exponent.saturating_add(change).clamp(0, exponents as i32);
            let kept = fields.saturating_sub(below);
            let mantissa = c.wide(lane, low_bits(bits.wrapping_shr(below), kept), kept).wrapping_shl(below);
            negative | (*exponent as u64).wrapping_shl(fields) | mantissa
        }
        _ => c.wide(lane, bits, context.width),
    }
}
