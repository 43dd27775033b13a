//! A block as decisions: what of it is coded, in what order, and which estimate each decision is made with.
//!
//! Estimates are chosen by what reader and writer both know already: how large the same coefficient's residual was in
//! the neighbours and in the step before, and how large those of lower degree are in the block itself (the magnitude contexts
//! of embedded wavelet coders, Wu & Memon 1997, on a block's Legendre coefficients).

use super::entropy::{Bit, Coder, Meter};
use super::legendre::{DEGREES, SCAN};
use super::links;
use crate::blocks::{EDGE, VALUES};
use crate::engine::Engine;
use std::sync::LazyLock;

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
    /// Number of the predictor.
    pub(crate) predictor: u8,
    /// Whether the neighbours' part is added.
    pub(crate) spatial: bool,
    /// The prediction of the first coefficient as bits of a value, where nothing else foretells it.
    pub(crate) offset: Option<u64>,
    /// The quantisation step is the unit · 2^(shift/2).
    pub(crate) shift: i32,
    /// Residuals in steps, in the order of [`SCAN`]; those left out at the end, of whole degrees, are 0.
    pub(crate) residual: Vec<i32>,
    /// Values to move by so many units: `(index among the true values, units)`, ascending.
    pub(crate) corrections: Vec<(u16, i32)>,
    /// Values that are stored by themselves: `(index among the true values, bits)`, ascending.
    pub(crate) literals: Vec<(u16, u64)>,
}

/// What is known before a block is coded.
#[derive(Clone, Debug)]
pub(crate) struct Known<'a> {
    /// True values of the block.
    pub(crate) values: usize,
    /// Bits of a value, and of its mantissa.
    pub(crate) width: u32,
    pub(crate) mantissa: u32,
    /// Mantissa bits that a literal keeps; none where it keeps all.
    pub(crate) kept: Option<u32>,
    /// Whether a correction has a unit.
    pub(crate) corrects: bool,
    /// Predictors that the stream may use, ascending.
    pub(crate) predictors: u8,
    /// Whether neighbours can take part.
    pub(crate) spatial: bool,
    /// Neighbours (up to 2 count) that are not coded as residuals.
    pub(crate) uncoded: usize,
    /// The predictor that most neighbours use, and whether most add the neighbours' part.
    pub(crate) predictor: u8,
    pub(crate) with_neighbours: bool,
    /// Mean of the neighbours' degrees + 1, rounded up.
    pub(crate) degree: usize,
    /// Mean of the neighbours' shifts.
    pub(crate) shift: i32,
    /// Whether a constant is remembered.
    pub(crate) constant: u64,
    pub(crate) engine: Engine,
    /// What the neighbours' residuals were.
    pub(crate) near: Near<'a>,
}

/// Residual magnitudes that foretell a block's, in units.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Near<'a> {
    neighbours: [Option<&'a Magnitudes>; 7],
    count: usize,
    /// Those of the step before, and the factor that makes this step's units of them.
    pub(crate) past: Option<(&'a Magnitudes, f32)>,
}

impl<'a> Near<'a> {
    pub(crate) fn add(&mut self, magnitudes: &'a Magnitudes) {
        self.neighbours[self.count] = Some(magnitudes);
        self.count += 1;
    }

    /// The levels of the first `coded` coefficients: of the mean of the neighbours, or of that and the step before.
    fn levels(&self, engine: Engine, shift: i32, coded: usize) -> [u8; VALUES] {
        let mut expected = [0.0; VALUES];
        self.expected(engine, half_octaves(-shift) as f32, &mut expected[..coded]);
        let mut out = [0; VALUES];
        for (l, e) in out[..coded].iter_mut().zip(expected) {
            *l = level(e).min(EXPECTED - 1) as u8;
        }
        out
    }

    /// The magnitudes of the first coefficients that are expected, in units times `scale`, added to `out`.
    pub(crate) fn expected(&self, engine: Engine, scale: f32, out: &mut [f32]) {
        let share = scale / self.count.max(1) as f32 * if self.past.is_some() { 0.5 } else { 1.0 };
        for source in self.neighbours.into_iter().flatten() {
            add(engine, source, share, out);
        }
        if let Some((source, unit)) = self.past {
            let share = scale * unit * if self.count > 0 { 0.5 } else { 1.0 };
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

/// Predictors that have an estimate of their own.
pub(crate) const PREDICTORS: usize = 8;
/// The largest magnitude of a residual in steps has so many bits.
pub(crate) const RESIDUAL_BITS: usize = 28;
/// Shifts lie within ± this.
pub(crate) const SHIFTS: i32 = 512;

const EXPECTED: usize = 20;
const INNER: usize = 16;

/// Where each family of estimates begins in one long list: what trained tables are made of.
mod at {
    use super::*;
    pub const UNCODED: usize = 0;
    pub const RAW: usize = UNCODED + 3;
    pub const AGAIN: usize = RAW + 1;
    pub const PREDICTOR: usize = AGAIN + 1;
    pub const SPATIAL: usize = PREDICTOR + PREDICTORS * PREDICTORS;
    pub const OFFSET: usize = SPATIAL + 2 * PREDICTORS;
    pub const DEGREE: usize = OFFSET + 1;
    pub const SHIFT: usize = DEGREE + 16 * DEGREES;
    pub const CORRECTIONS: usize = SHIFT + 34;
    pub const GAP: usize = CORRECTIONS + 12 * 32;
    pub const SIZE: usize = GAP + 10 * 32;
    pub const LITERALS: usize = SIZE + 32;
    pub const LITERAL: usize = LITERALS + 1;
    pub const CLASS: usize = LITERAL + 8;
    pub const EXPONENT: usize = CLASS + 3;
    pub const MANTISSA: usize = EXPONENT + 34;
    pub const RESIDUAL: usize = MANTISSA + 3 * (RESIDUAL_BITS + 1);
    pub const LINK: usize = RESIDUAL + EXPECTED * INNER * RESIDUAL_BITS;
    pub const END: usize = LINK + links::MODELS;
}

/// All estimates.
#[derive(Clone)]
pub(crate) struct Contexts(Vec<Bit>);

impl Contexts {
    /// As they are at the start of every tile.
    pub(crate) fn new() -> Self {
        static START: LazyLock<Vec<Bit>> = LazyLock::new(super::priors::start);
        Self(START.clone())
    }

    pub(crate) const LEN: usize = at::END;

    #[cfg(feature = "learn")]
    pub(crate) fn bits(&self) -> &[Bit] {
        &self.0
    }

    /// Of the links of boxes.
    pub(crate) fn links(&mut self) -> &mut [Bit; links::MODELS] {
        self.some(at::LINK)
    }

    fn some<const N: usize>(&mut self, at: usize) -> &mut [Bit; N] {
        self.0[at..].first_chunk_mut().expect("families of estimates lie inside the list")
    }
}

/// The level of a magnitude in steps: 0 below 2⁻⁵, then one more with every octave.
#[inline(always)]
fn level(magnitude: f32) -> usize {
    ((magnitude.to_bits() >> 23) as i32 - 121).max(0) as usize
}

/// 2^(quarters/4), the same on every machine.
pub(crate) fn quarter_octaves(quarters: i32) -> f64 {
    const PARTS: [f64; 4] = [1.0, 1.189_207_115_002_721, std::f64::consts::SQRT_2, 1.681_792_830_507_429];
    f64::from_bits(((1023 + (quarters >> 2)) as u64) << 52) * PARTS[(quarters & 3) as usize]
}

/// 2^(shift/2).
pub(crate) fn half_octaves(shift: i32) -> f64 {
    quarter_octaves(2 * shift)
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

static INNER_PLACES: LazyLock<Inner> = LazyLock::new(|| {
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
    known: &Known<'_>,
    symbols: Option<&Symbols>,
) -> Symbols {
    let uncoded = !matches!(symbols, Some(Symbols::Coded(_)));
    if !coder.bit(&mut contexts.0[at::UNCODED + known.uncoded.min(2)], uncoded) {
        let nothing = Coded::default();
        let truth = if let Some(Symbols::Coded(truth)) = symbols { truth } else { &nothing };
        return Symbols::Coded(coded(coder, contexts, known, truth));
    }
    if !coder.bit(&mut contexts.0[at::RAW], matches!(symbols, Some(Symbols::Raw(_)))) {
        let bits = if let Some(Symbols::Constant(bits)) = symbols { *bits } else { 0 };
        let again = coder.bit(&mut contexts.0[at::AGAIN], bits == known.constant);
        return Symbols::Constant(if again { known.constant } else { coder.wide(bits, known.width) });
    }
    let values = if let Some(Symbols::Raw(values)) = symbols { &values[..] } else { &[] };
    let bits = |i: usize| values.get(i).copied().unwrap_or(0);
    Symbols::Raw((0..known.values).map(|i| coder.wide(bits(i), known.width)).collect())
}

fn coded<C: Coder>(c: &mut C, contexts: &mut Contexts, known: &Known<'_>, truth: &Coded) -> Coded {
    let predictor = predictor(c, contexts, known, truth.predictor);
    let spatial = known.spatial && c.bit(&mut contexts.0[spatial_model(known, predictor)], truth.spatial);
    let offset = (!known.spatial && c.bit(&mut contexts.0[at::OFFSET], truth.offset.is_some()))
        .then(|| c.wide(truth.offset.unwrap_or(0), known.width));
    let degrees = contexts.some::<DEGREES>(at::DEGREE + known.degree.min(15) * DEGREES);
    let shells = c.unary(degrees, shells(truth.residual.len()));
    let mut shift = known.shift;
    let mut residual = Vec::new();
    if shells > 0 {
        shift += c.signed(contexts.some(at::SHIFT), truth.shift.saturating_sub(known.shift));
        shift = shift.clamp(-SHIFTS, SHIFTS);
        residual = residuals(c, contexts, known, shift, usize::from(SCAN.below[shells]), &truth.residual);
    }
    let corrections = match known.corrects {
        true => corrections(c, contexts, known, shells, &truth.corrections),
        false => Vec::new(),
    };
    let literals = literals(c, contexts, known, &truth.literals);
    Coded { predictor, spatial, offset, shift, residual, corrections, literals }
}

/// Greatest degree + 1 of so many entries of [`SCAN`].
pub(crate) fn shells(coded: usize) -> usize {
    coded.checked_sub(1).map_or(0, |last| usize::from(SCAN.degree[last]) + 1)
}

/// Bits that the choice of a predictor takes.
pub(crate) fn choice(contexts: &mut Contexts, known: &Known<'_>, number: u8, spatial: bool) -> f32 {
    let mut meter = Meter::default();
    self::predictor(&mut meter, contexts, known, number);
    if known.spatial {
        meter.bit(&mut contexts.0[spatial_model(known, number)], spatial);
    }
    meter.bits
}

fn spatial_model(known: &Known<'_>, predictor: u8) -> usize {
    at::SPATIAL + 2 * usize::from(predictor) + usize::from(known.with_neighbours)
}

fn predictor<C: Coder>(c: &mut C, contexts: &mut Contexts, known: &Known<'_>, truth: u8) -> u8 {
    let models = at::PREDICTOR + usize::from(known.predictor) * PREDICTORS;
    let mut left = known.predictors;
    loop {
        let number = left.trailing_zeros() as u8;
        left &= left.wrapping_sub(1);
        if left == 0 || !c.bit(&mut contexts.0[models + usize::from(number)], truth != number) {
            return number.min(PREDICTORS as u8 - 1);
        }
    }
}

fn residuals<C: Coder>(
    c: &mut C,
    contexts: &mut Contexts,
    known: &Known<'_>,
    shift: i32,
    coded: usize,
    truth: &[i32],
) -> Vec<i32> {
    let mut out = vec![0; coded];
    let levels = known.near.levels(known.engine, shift, coded);
    let inner = &*INNER_PLACES;
    // What is greater makes no difference to the level.
    let mut magnitudes = [0u16; PADDED * PADDED * PADDED];
    for (k, &expected) in levels[..coded].iter().enumerate() {
        let at = usize::from(inner.place[k]);
        let before: &[u16; FARTHEST] =
            magnitudes[at - FARTHEST..].first_chunk().expect("the rim is as wide as that");
        let lower = [1, PADDED, PADDED * PADDED, 2, 2 * PADDED, 2 * PADDED * PADDED];
        let lower = lower.iter().fold(0u32, |sum, by| sum.wrapping_add(before[FARTHEST - by].into()));
        let around = level(lower as f32 * inner.share[k]).min(INNER - 1);
        let model = at::RESIDUAL + (usize::from(expected) * INNER + around) * RESIDUAL_BITS;
        let models = contexts.some::<RESIDUAL_BITS>(model);
        let value = truth.get(k).copied().unwrap_or(0);
        // Most are 0.
        if !c.bit(&mut models[0], value != 0) {
            continue;
        }
        let magnitude = value.unsigned_abs();
        let bits = 1 + c.unary(&mut models[1..], (31 - (magnitude | 1).leading_zeros()) as usize);
        let magnitude = mantissa(c, contexts.some(at::MANTISSA + 3 * bits), magnitude, bits as u32);
        magnitudes[at] = magnitude.min(u16::MAX.into()) as u16;
        let negative = c.flat(u32::from(value < 0), 1) != 0;
        out[k] = if negative { -(magnitude as i32) } else { magnitude as i32 };
    }
    out
}

/// A number of `bits` ≥ 1 bits: the two behind the leading one have estimates.
fn mantissa<C: Coder>(c: &mut C, models: &mut [Bit; 3], value: u32, bits: u32) -> u32 {
    let mut out = 1;
    if bits >= 2 {
        let first = c.bit(&mut models[0], value >> (bits - 2) & 1 == 1);
        out = out << 1 | u32::from(first);
        if bits >= 3 {
            let second = c.bit(&mut models[1 + usize::from(first)], value >> (bits - 3) & 1 == 1);
            out = out << 1 | u32::from(second);
            if bits >= 4 {
                let low = bits - 3;
                out = out << low | c.wide(u64::from(value & ((1 << low) - 1)), low) as u32;
            }
        }
    }
    out
}

fn corrections<C: Coder>(
    c: &mut C,
    contexts: &mut Contexts,
    known: &Known<'_>,
    shells: usize,
    truth: &[(u16, i32)],
) -> Vec<(u16, i32)> {
    let count = c.number(contexts.some(at::CORRECTIONS + shells.div_ceil(2) * 32), truth.len() as u32);
    let count = (count as usize).min(known.values);
    let mut out = Vec::with_capacity(count);
    let mut next = 0;
    for i in 0..count {
        let (place, units) = truth.get(i).copied().unwrap_or((next, 1));
        let expected = (known.values - usize::from(next)) / (count - i + 1);
        let gap = contexts.some(at::GAP + (expected.max(1).ilog2() as usize).min(9) * 32);
        let gap = c.number(gap, u32::from(place.saturating_sub(next)));
        let place = (u32::from(next).saturating_add(gap)).min(known.values as u32 - 1) as u16;
        let size = c.number(contexts.some(at::SIZE), units.unsigned_abs().saturating_sub(1));
        let size = size.min(i32::MAX as u32 - 1) as i32 + 1;
        let negative = c.flat(u32::from(units < 0), 1) != 0;
        out.push((place, if negative { -size } else { size }));
        next = (place + 1).min(known.values as u16 - 1);
    }
    out
}

fn literals<C: Coder>(
    c: &mut C,
    contexts: &mut Contexts,
    known: &Known<'_>,
    truth: &[(u16, u64)],
) -> Vec<(u16, u64)> {
    let mut out = Vec::new();
    if !c.bit(&mut contexts.0[at::LITERALS], !truth.is_empty()) {
        return out;
    }
    // Literals come in swarms: the three values before say most.
    let mut truth = truth.iter().peekable();
    let mut before = 0;
    let mut exponent = 0;
    for place in 0..known.values as u16 {
        let bits = truth.next_if(|(p, _)| *p == place).map(|(_, bits)| *bits);
        let there = c.bit(&mut contexts.0[at::LITERAL + before], bits.is_some());
        before = (before << 1 | usize::from(there)) & 7;
        if there {
            out.push((place, literal(c, contexts, known, bits.unwrap_or(0), &mut exponent)));
        }
    }
    out
}

/// +0, −0, a rounded number or all bits.
fn literal<C: Coder>(
    c: &mut C,
    contexts: &mut Contexts,
    known: &Known<'_>,
    bits: u64,
    exponent: &mut i32,
) -> u64 {
    let sign = 1u64 << (known.width - 1);
    let class = contexts.some::<3>(at::CLASS);
    let fields = known.mantissa;
    let below = known.kept.map(|kept| fields - kept.min(fields));
    // A normal number whose low bits are 0 is one that was rounded.
    let rounded = |low: u32| {
        let e = bits >> fields & (sign - 1) >> fields;
        e != 0 && e != (sign - 1) >> fields && bits & ((1 << low) - 1) == 0
    };
    if !c.bit(&mut class[0], bits & !sign != 0) {
        return u64::from(c.flat(u32::from(bits != 0), 1)) * sign;
    }
    if let Some(low) = below
        && c.bit(&mut class[1], rounded(low))
    {
        let negative = u64::from(c.flat(u32::from(bits & sign != 0), 1)) * sign;
        let e = (bits >> fields & (sign - 1) >> fields) as i32;
        let e = exponent.wrapping_add(c.signed(contexts.some(at::EXPONENT), e - *exponent));
        let e = e.clamp(0, ((sign - 1) >> fields) as i32);
        *exponent = e;
        let mantissa = c.wide(bits >> low & ((1 << (fields - low)) - 1), fields - low);
        return negative | (e as u64) << fields | mantissa << low;
    }
    c.wide(bits, known.width)
}
