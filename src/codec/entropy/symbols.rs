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
use super::range_coder::{BitModel, Coder, Meter, low_bits};
use crate::blocks::{EDGE, VALUES};
use crate::computed::Computed;
use crate::engine::Engine;
use crate::legendre::{DEGREES, SCAN};
use crate::predict::{Predictor, PredictorMask, links};
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
            *l = level(e).min(EXPECTED - 1) as u8;
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

/// Predictors that have adaptive models: room for some to come.
const PREDICTORS: usize = 8;
/// The largest magnitude of a residual in steps has so many bits.
pub(crate) const RESIDUAL_BITS: usize = 28;
/// Step exponents lie within ± this.
pub(crate) const STEP_EXPONENTS: i32 = 512;

const EXPECTED: usize = 20;
const INNER: usize = 16;

/// Where each family of adaptive models begins in one long list: what initial tables are made of.
mod at {
    use super::*;
    pub const UNCODED: usize = 0;
    pub const RAW: usize = UNCODED + 3;
    pub const AGAIN: usize = RAW + 1;
    pub const PREDICTOR: usize = AGAIN + 1;
    pub const SPATIAL: usize = PREDICTOR + PREDICTORS * PREDICTORS;
    pub const OFFSET: usize = SPATIAL + 2 * PREDICTORS;
    pub const DEGREE: usize = OFFSET + 1;
    pub const STEP_EXPONENT: usize = DEGREE + 16 * DEGREES;
    pub const CORRECTIONS: usize = STEP_EXPONENT + 34;
    pub const GAP: usize = CORRECTIONS + 12 * 32;
    pub const SIZE: usize = GAP + 10 * 32;
    pub const UNPREDICTABLE: usize = SIZE + 32;
    pub const VERBATIM: usize = UNPREDICTABLE + 1;
    pub const CLASS: usize = VERBATIM + 8;
    pub const EXPONENT: usize = CLASS + 3;
    pub const MANTISSA: usize = EXPONENT + 34;
    pub const RESIDUAL: usize = MANTISSA + 3 * (RESIDUAL_BITS + 1);
    pub const LINK: usize = RESIDUAL + EXPECTED * INNER * RESIDUAL_BITS;
    pub const END: usize = LINK + links::MODELS;
}

/// Where the n-th of some lists of a size begins, one behind the other from `first` on.
#[inline(always)]
const fn nth(first: usize, n: usize, size: usize) -> usize {
    first.wrapping_add(n.wrapping_mul(size))
}

/// All adaptive models of a tile.
#[derive(Clone)]
pub(crate) struct Contexts(Vec<BitModel>);

impl Contexts {
    /// As they are at the start of every tile.
    pub(crate) fn new() -> Self {
        static START: Computed<Vec<BitModel>> = Computed::new(initial_tables::start);
        Self(START.clone())
    }

    pub(crate) const LEN: usize = at::END;

    #[cfg(feature = "training")]
    pub(crate) fn bits(&self) -> &[BitModel] {
        &self.0
    }

    /// Of the links of boxes.
    pub(crate) fn links(&mut self) -> &mut [BitModel; links::MODELS] {
        self.some(at::LINK)
    }

    fn some<const N: usize>(&mut self, at: usize) -> &mut [BitModel; N] {
        self.0[at..].first_chunk_mut().expect("families of models lie inside the list")
    }
}

/// The level of a magnitude in steps: 0 below 2⁻⁵, then one more with every octave.
#[inline(always)]
fn level(magnitude: f32) -> usize {
    (magnitude.to_bits() >> 23).saturating_sub(121) as usize
}

/// Around a block of magnitudes there is a rim of two zeros at the low sides.
const RIM: usize = 2;
const PADDED: usize = EDGE + RIM;
/// So far before a magnitude lies the last that counts for it.
const FARTHEST: usize = RIM * PADDED * PADDED;

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

/// Codes a block: reads it, or, where `symbols` says what it is, writes or measures it.
pub(crate) fn code<C: Coder>(
    coder: &mut C,
    contexts: &mut Contexts,
    context: &BlockContext<'_>,
    symbols: Option<&Symbols>,
) -> Symbols {
    let uncoded = !matches!(symbols, Some(Symbols::Coded(_)));
    if !coder.bit(&mut contexts.0[at::UNCODED + context.uncoded.min(2)], uncoded) {
        let nothing = Coded::default();
        let truth = if let Some(Symbols::Coded(truth)) = symbols { truth } else { &nothing };
        return Symbols::Coded(coded(coder, contexts, context, truth));
    }
    if !coder.bit(&mut contexts.0[at::RAW], matches!(symbols, Some(Symbols::Raw(_)))) {
        let bits = if let Some(Symbols::Constant(bits)) = symbols { *bits } else { 0 };
        let again = coder.bit(&mut contexts.0[at::AGAIN], bits == context.constant);
        return Symbols::Constant(if again { context.constant } else { coder.wide(bits, context.width) });
    }
    let values = if let Some(Symbols::Raw(values)) = symbols { &values[..] } else { &[] };
    let bits = |i: usize| values.get(i).copied().unwrap_or(0);
    Symbols::Raw((0..context.values).map(|i| coder.wide(bits(i), context.width)).collect())
}

fn coded<C: Coder>(c: &mut C, contexts: &mut Contexts, context: &BlockContext<'_>, truth: &Coded) -> Coded {
    let predictor = predictor(c, contexts, context, truth.predictor);
    let spatial = context.spatial && c.bit(&mut contexts.0[spatial_model(context, predictor)], truth.spatial);
    let offset = (!context.spatial && c.bit(&mut contexts.0[at::OFFSET], truth.offset.is_some()))
        .then(|| c.wide(truth.offset.unwrap_or(0), context.width));
    let models = contexts.some::<DEGREES>(nth(at::DEGREE, context.degrees.min(15), DEGREES));
    let degrees = c.unary(models, coded_degrees(truth.residual.len()));
    let mut step_exponent = context.step_exponent;
    let mut residual = Vec::new();
    if degrees > 0 {
        let change = truth.step_exponent.saturating_sub(context.step_exponent);
        let change = c.signed(contexts.some(at::STEP_EXPONENT), change);
        step_exponent = step_exponent.saturating_add(change).clamp(-STEP_EXPONENTS, STEP_EXPONENTS);
        residual =
            residuals(c, contexts, context, step_exponent, usize::from(SCAN.below[degrees]), &truth.residual);
    }
    let corrections = match context.corrects {
        true => corrections(c, contexts, context, degrees, &truth.corrections),
        false => Vec::new(),
    };
    let unpredictable = unpredictable(c, contexts, context, &truth.unpredictable);
    Coded { predictor, spatial, offset, step_exponent, residual, corrections, unpredictable }
}

/// Coded degrees of so many coefficients in the order of [`SCAN`]: the greatest + 1.
pub(crate) fn coded_degrees(coded: usize) -> usize {
    coded.checked_sub(1).map_or(0, |last| usize::from(SCAN.degree[last]) + 1)
}

/// Bits that it takes to name a predictor.
pub(crate) fn selection_bits(
    contexts: &mut Contexts,
    context: &BlockContext<'_>,
    number: Predictor,
    spatial: bool,
) -> f32 {
    let mut meter = Meter::default();
    self::predictor(&mut meter, contexts, context, number);
    if context.spatial {
        meter.bit(&mut contexts.0[spatial_model(context, number)], spatial);
    }
    meter.bits
}

fn spatial_model(context: &BlockContext<'_>, predictor: Predictor) -> usize {
    nth(at::SPATIAL, predictor as usize, 2).wrapping_add(usize::from(context.mostly_spatial))
}

fn predictor<C: Coder>(
    c: &mut C,
    contexts: &mut Contexts,
    context: &BlockContext<'_>,
    truth: Predictor,
) -> Predictor {
    let models = nth(at::PREDICTOR, context.predictor as usize, PREDICTORS);
    let mut left = context.predictors.iter().peekable();
    while let Some(predictor) = left.next() {
        let is_last = left.peek().is_none();
        let model = models.wrapping_add(predictor as usize);
        if is_last || !c.bit(&mut contexts.0[model], truth != predictor) {
            return predictor;
        }
    }
    Predictor::default()
}

fn residuals<C: Coder>(
    c: &mut C,
    contexts: &mut Contexts,
    context: &BlockContext<'_>,
    step_exponent: i32,
    coded: usize,
    truth: &[i32],
) -> Vec<i32> {
    let mut out = vec![0; coded];
    let levels = context.neighbours.levels(context.engine, step_exponent, coded);
    let inner = &*INNER_PLACES;
    // What is greater makes no difference to the level.
    let mut magnitudes = [0u16; PADDED * PADDED * PADDED];
    for (k, &expected) in levels[..coded].iter().enumerate() {
        let at = usize::from(inner.place[k]);
        let before: &[u16; FARTHEST] =
            magnitudes[at.wrapping_sub(FARTHEST)..].first_chunk().expect("the rim is as wide as that");
        let lower = [1, PADDED, PADDED * PADDED, 2, 2 * PADDED, 2 * PADDED * PADDED];
        let lower =
            lower.iter().fold(0u32, |sum, by| sum.wrapping_add(before[FARTHEST.wrapping_sub(*by)].into()));
        let around = level(lower as f32 * inner.share[k]).min(INNER - 1);
        let model = nth(at::RESIDUAL, nth(around, expected.into(), INNER), RESIDUAL_BITS);
        let models = contexts.some::<RESIDUAL_BITS>(model);
        let value = truth.get(k).copied().unwrap_or(0);
        // Most are 0.
        if !c.bit(&mut models[0], value != 0) {
            continue;
        }
        let magnitude = value.unsigned_abs();
        let bits = c.unary(&mut models[1..], (magnitude | 1).ilog2() as usize).saturating_add(1);
        let magnitude = mantissa(c, contexts.some(nth(at::MANTISSA, bits, 3)), magnitude, bits as u32);
        magnitudes[at] = magnitude.min(u16::MAX.into()) as u16;
        let negative = c.flat(u32::from(value < 0), 1) != 0;
        out[k] = if negative { (magnitude as i32).wrapping_neg() } else { magnitude as i32 };
    }
    out
}

/// A number of `bits` ≥ 1 bits: the two behind the leading one have estimates.
fn mantissa<C: Coder>(c: &mut C, models: &mut [BitModel; 3], value: u32, bits: u32) -> u32 {
    let behind = |n: u32| value.wrapping_shr(bits.saturating_sub(n)) & 1 == 1;
    let mut out = 1;
    if bits >= 2 {
        let first = c.bit(&mut models[0], behind(2));
        out = out << 1 | u32::from(first);
        if bits >= 3 {
            let second = c.bit(&mut models[if first { 2 } else { 1 }], behind(3));
            out = out << 1 | u32::from(second);
            if bits >= 4 {
                let low = bits.saturating_sub(3);
                out = out.wrapping_shl(low) | c.wide(low_bits(value.into(), low), low) as u32;
            }
        }
    }
    out
}

fn corrections<C: Coder>(
    c: &mut C,
    contexts: &mut Contexts,
    context: &BlockContext<'_>,
    degrees: usize,
    truth: &[(u16, i32)],
) -> Vec<(u16, i32)> {
    let models = contexts.some(nth(at::CORRECTIONS, degrees.div_ceil(2), 32));
    let count = (c.number(models, truth.len() as u32) as usize).min(context.values);
    let last = context.values.saturating_sub(1) as u16;
    let mut out = Vec::with_capacity(count);
    let mut next = 0;
    for i in 0..count {
        let (place, quanta) = truth.get(i).copied().unwrap_or((next, 1));
        let left = count.saturating_sub(i).saturating_add(1);
        let expected = context.values.saturating_sub(next.into()).checked_div(left).unwrap_or(0);
        let gap = contexts.some(nth(at::GAP, (expected.max(1).ilog2() as usize).min(9), 32));
        let gap = c.number(gap, u32::from(place.saturating_sub(next)));
        let place = u32::from(next).saturating_add(gap).min(last.into()) as u16;
        let size = c.number(contexts.some(at::SIZE), quanta.unsigned_abs().saturating_sub(1));
        let size = size.saturating_add(1).min(i32::MAX as u32) as i32;
        let negative = c.flat(u32::from(quanta < 0), 1) != 0;
        out.push((place, if negative { size.saturating_neg() } else { size }));
        next = place.saturating_add(1).min(last);
    }
    out
}

fn unpredictable<C: Coder>(
    c: &mut C,
    contexts: &mut Contexts,
    context: &BlockContext<'_>,
    truth: &[(u16, u64)],
) -> Vec<(u16, u64)> {
    let mut out = Vec::new();
    if !c.bit(&mut contexts.0[at::UNPREDICTABLE], !truth.is_empty()) {
        return out;
    }
    // Unpredictable values come in swarms: the three values before say most.
    let mut truth = truth.iter().peekable();
    let mut before = 0;
    let mut exponent = 0;
    for place in 0..context.values as u16 {
        let bits = truth.next_if(|(p, _)| *p == place).map(|(_, bits)| *bits);
        let there = c.bit(&mut contexts.0[nth(at::VERBATIM, before, 1)], bits.is_some());
        before = (before << 1 | usize::from(there)) & 7;
        if there {
            out.push((place, unpredictable_value(c, contexts, context, bits.unwrap_or(0), &mut exponent)));
        }
    }
    out
}

/// +0, −0, a rounded number or all bits.
fn unpredictable_value<C: Coder>(
    c: &mut C,
    contexts: &mut Contexts,
    context: &BlockContext<'_>,
    bits: u64,
    exponent: &mut i32,
) -> u64 {
    // The width is 32 or 64.
    let sign = 1u64.wrapping_shl(context.width.wrapping_sub(1));
    let class = contexts.some::<3>(at::CLASS);
    let fields = context.mantissa;
    let exponents = sign.wrapping_sub(1).wrapping_shr(fields);
    let exponent_of = bits.wrapping_shr(fields) & exponents;
    let signed = |negative: u32| if negative != 0 { sign } else { 0 };
    let below = context.kept.map(|kept| fields.saturating_sub(kept));
    // A normal number whose low bits are 0 is one that was rounded.
    let rounded = |low: u32| exponent_of != 0 && exponent_of != exponents && low_bits(bits, low) == 0;
    if !c.bit(&mut class[0], bits & !sign != 0) {
        return signed(c.flat(u32::from(bits != 0), 1));
    }
    if let Some(low) = below
        && c.bit(&mut class[1], rounded(low))
    {
        let negative = signed(c.flat(u32::from(bits & sign != 0), 1));
        let change = (exponent_of as i32).saturating_sub(*exponent);
        let change = c.signed(contexts.some(at::EXPONENT), change);
        *exponent = exponent.saturating_add(change).clamp(0, exponents as i32);
        let kept = fields.saturating_sub(low);
        let mantissa = c.wide(low_bits(bits.wrapping_shr(low), kept), kept).wrapping_shl(low);
        return negative | (*exponent as u64).wrapping_shl(fields) | mantissa;
    }
    c.wide(bits, context.width)
}

const _: () = assert!(initial_tables::MODELS == Contexts::LEN);
