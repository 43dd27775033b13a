//! Interleaved rANS (Duda, "Asymmetric numeral systems", 2013; Giesen, "Interleaved entropy coders",
//! 2014): symbols of 16 values, in rows of frequencies that are fixed while a batch of blocks is
//! coded, and bits that are as likely 0 as 1 beside them.
//!
//! Sixteen lanes have a state each (in short tiles they share fewer), so that one symbol need not wait
//! for the one before: a processor decodes several at once, a warp of a GPU a lane in each thread. All
//! lanes share one sequence of 16-bit words, which they take in the order of their symbols.
//!
//! One piece of code describes a symbol for writer, reader and meter alike ([`SymbolCoder`]), so what
//! is read is what was written by construction. A damaged stream may say any number: arithmetic on
//! what is read wraps, and indices are masked.

use super::tables::{PRECISION, SYMBOLS, TOTAL, Tables};
use crate::computed::Computed;

/// States of a tile, at most.
pub(crate) const LANES: usize = 16;

/// States of a tile of so many bytes: each takes about three of them.
fn states_of(bytes: usize) -> usize {
    match bytes {
        0..FEW => 1,
        FEW..MANY => 4,
        _ => LANES,
    }
}

/// From so many bytes on there are a few states, …
const FEW: usize = 2048;
/// … and from so many on all of them.
const MANY: usize = 8192;
/// A state is at least this.
const LEAST: u32 = 1 << 16;
/// Words are of so many bits.
const WORD: u32 = 16;

/// The low bits of a number, fewer than 64.
#[inline(always)]
pub(crate) fn low_bits(value: u64, count: u32) -> u64 {
    value & 1u64.wrapping_shl(count).wrapping_sub(1)
}

/// Writes, reads or measures symbols. A writer and a meter are given the truth and give it back, a
/// reader ignores what it is given.
pub(crate) trait SymbolCoder {
    /// Whether what is given is ignored.
    const READS: bool;

    /// A symbol below 16, by the frequencies of a row.
    fn symbol(&mut self, lane: usize, tables: &mut Tables, row: usize, symbol: usize) -> usize;

    /// The low `count` ≤ 32 bits of a number, each as likely 0 as 1.
    fn raw(&mut self, lane: usize, value: u32, count: u32) -> u32;

    /// Bits spent in a lane since the start, near enough for statistics; 0 where they are not counted.
    fn spent(&self, lane: usize) -> f64;

    /// The low `count` ≤ 64 bits of a number.
    fn wide(&mut self, lane: usize, value: u64, count: u32) -> u64 {
        let upper = count.saturating_sub(32);
        let high = if upper > 0 { self.raw(lane, value.wrapping_shr(32) as u32, upper) } else { 0 };
        let low = self.raw(lane, value as u32, count.min(32));
        u64::from(high).wrapping_shl(32) | u64::from(low)
    }

    /// Any number: its class as a symbol, then the bits that the class leaves open.
    fn number(&mut self, lane: usize, tables: &mut Tables, row: usize, value: u32) -> u32 {
        let symbol = self.symbol(lane, tables, row, class(value));
        self.rest(lane, symbol, value)
    }

    /// The number of a class, whose other bits follow.
    #[inline(always)]
    fn rest(&mut self, lane: usize, class: usize, value: u32) -> u32 {
        match open_bits(class) {
            0 => class as u32,
            LONG => {
                let bits = self.raw(lane, value.checked_ilog2().unwrap_or(0), 5);
                1u32.wrapping_shl(bits) | self.raw(lane, low_bits(value.into(), bits) as u32, bits)
            }
            bits => least(class) | self.raw(lane, low_bits(value.into(), bits) as u32, bits),
        }
    }

    /// Any signed number: [`SymbolCoder::number`] of 0, −1, 1, −2, ….
    fn signed(&mut self, lane: usize, tables: &mut Tables, row: usize, value: i32) -> i32 {
        let folded = (value.wrapping_shl(1) ^ (value >> 31)) as u32;
        let folded = self.number(lane, tables, row, folded);
        (folded >> 1) as i32 ^ (folded as i32 & 1).wrapping_neg()
    }
}

/// What stands for the open bits of the class of all numbers from 256 on.
pub(crate) const LONG: u32 = 32;

/// The class of a number: 0, 1, 2, 3, 4–5, 6–7, 8–11, …, 96–127, 128–255, and all others.
#[inline(always)]
pub(crate) fn class(value: u32) -> usize {
    if value < 4 {
        return value as usize;
    }
    let octave = value.ilog2();
    if octave < 7 {
        (octave.wrapping_mul(2) | value.wrapping_shr(octave.wrapping_sub(1)) & 1) as usize
    } else {
        14usize.wrapping_add(usize::from(octave > 7))
    }
}

/// Bits below those that a class tells.
#[inline(always)]
pub(crate) fn open_bits(class: usize) -> u32 {
    static BITS: [u8; SYMBOLS] = [0, 0, 0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 7, LONG as u8];
    u32::from(BITS[class % SYMBOLS])
}

/// The least number of a class.
#[inline(always)]
pub(crate) fn least(class: usize) -> u32 {
    static LEAST: [u16; SYMBOLS] = [0, 1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256];
    u32::from(LEAST[class % SYMBOLS])
}

/// Turns symbols into bytes: words follow one another from the front, bits from the back.
pub(crate) struct Writer {
    /// Symbols in the order in which they are read: lane, frequency, and where the symbol begins.
    symbols: Vec<u32>,
    bits: BitWriter,
    spent: Spent,
}

#[allow(clippy::arithmetic_side_effects, reason = "a writer's numbers are its own")]
impl Writer {
    pub(crate) fn new() -> Self {
        Self { symbols: Vec::new(), bits: BitWriter::default(), spent: Spent::new() }
    }

    /// The bytes of a tile.
    pub(crate) fn finish(self) -> Vec<u8> {
        let bits = self.bits.finish();
        // A reader knows by the length how many states there are. What was spent says, nearly.
        let about = (0..LANES).map(|lane| self.spent.bits(lane)).sum::<f64>() / 8.0;
        let guess = states_of((1.02 * about) as usize + 128);
        for states in [guess, states_of(0), states_of(FEW), LANES] {
            let mut bytes = words(&self.symbols, states);
            if states_of(bytes.len() + bits.len()) == states {
                bytes.extend(bits.iter().rev());
                return bytes;
            }
        }
        // No number of states takes a length of its own: what lies between words and bits is not read.
        let mut bytes = words(&self.symbols, LANES);
        bytes.resize(MANY.saturating_sub(bits.len()).max(bytes.len()), 0);
        bytes.extend(bits.iter().rev());
        bytes
    }
}

/// So many states, and the words behind them.
#[allow(clippy::arithmetic_side_effects, reason = "a writer's numbers are its own")]
fn words(symbols: &[u32], count: usize) -> Vec<u8> {
    let mut states = [LEAST; LANES];
    let mut words = Vec::with_capacity(symbols.len() / 4);
    for &symbol in symbols.iter().rev() {
        let (lane, size, start) = unpacked(symbol);
        let state = &mut states[lane % count];
        if u64::from(*state) >= u64::from(size) << (2 * WORD - PRECISION) {
            words.push(*state as u16);
            *state >>= WORD;
        }
        *state = ((*state / size) << PRECISION) + *state % size + start;
    }
    let states = states[..count].iter().flat_map(|state| state.to_le_bytes());
    states.chain(words.iter().rev().flat_map(|word| word.to_le_bytes())).collect()
}

#[inline(always)]
fn packed(lane: usize, size: u16, start: u16) -> u32 {
    (lane as u32).wrapping_shl(28) | u32::from(size).wrapping_shl(PRECISION) | u32::from(start)
}

#[inline(always)]
fn unpacked(symbol: u32) -> (usize, u32, u32) {
    ((symbol >> 28) as usize, symbol >> PRECISION & (TOTAL - 1), symbol & (TOTAL - 1))
}

const _: () = assert!(LANES <= 16 && PRECISION == 14);

impl SymbolCoder for Writer {
    const READS: bool = false;

    #[inline(always)]
    fn symbol(&mut self, lane: usize, tables: &mut Tables, row: usize, symbol: usize) -> usize {
        let (start, size) = tables.part(row, symbol);
        tables.count(row, symbol);
        self.spent.symbol(lane, size);
        self.symbols.push(packed(lane, size, start));
        symbol
    }

    #[inline(always)]
    fn raw(&mut self, lane: usize, value: u32, count: u32) -> u32 {
        self.spent.raw(lane, count);
        self.bits.push(value, count);
        value
    }

    fn spent(&self, lane: usize) -> f64 {
        self.spent.bits(lane)
    }
}

/// Turns bytes back into symbols. Any bytes give some symbols: whether they are the true ones is for
/// checksums.
pub(crate) struct Reader<'a> {
    states: [u32; LANES],
    /// How many there are, less one: a mask of lanes.
    lanes: usize,
    bytes: &'a [u8],
    /// The next word.
    next: usize,
    bits: BitReader<'a>,
    /// Where bits are counted.
    spent: Option<Spent>,
}

impl<'a> Reader<'a> {
    /// Of a tile's bytes; `counts`: whether it counts the bits that are
    /// [spent](SymbolCoder::spent).
    pub(crate) fn new(bytes: &'a [u8], counts: bool) -> Self {
        let mut states = [LEAST; LANES];
        let count = states_of(bytes.len());
        for (state, bytes) in states.iter_mut().take(count).zip(bytes.chunks_exact(4)) {
            *state = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
        }
        let (lanes, next) = (count.saturating_sub(1), count.saturating_mul(4));
        Self { states, lanes, bytes, next, bits: BitReader::new(bytes), spent: counts.then(Spent::new) }
    }
}

impl SymbolCoder for Reader<'_> {
    const READS: bool = true;

    #[inline(always)]
    fn symbol(&mut self, lane: usize, tables: &mut Tables, row: usize, _: usize) -> usize {
        let at = lane & (self.lanes % LANES);
        let state = self.states[at];
        let slot = state & (TOTAL - 1);
        let symbol = tables.find(row, slot as u16);
        let (start, size) = tables.part(row, symbol);
        tables.count(row, symbol);
        let state =
            u32::from(size).wrapping_mul(state >> PRECISION).wrapping_add(slot).wrapping_sub(start.into());
        let short = state < LEAST;
        let word = match self.bytes.get(self.next..) {
            Some([a, b, ..]) => u16::from_le_bytes([*a, *b]),
            _ => 0,
        };
        self.states[at] = if short { state << WORD | u32::from(word) } else { state };
        self.next = self.next.wrapping_add(if short { 2 } else { 0 });
        if let Some(spent) = &mut self.spent {
            spent.symbol(lane, size);
        }
        symbol
    }

    #[inline(always)]
    fn raw(&mut self, lane: usize, _: u32, count: u32) -> u32 {
        if let Some(spent) = &mut self.spent {
            spent.raw(lane, count);
        }
        self.bits.take(count)
    }

    fn spent(&self, lane: usize) -> f64 {
        self.spent.as_ref().map_or(0.0, |spent| spent.bits(lane))
    }
}

/// Adds up what symbols would cost, in bits, and changes nothing.
#[derive(Default)]
pub(crate) struct Meter {
    pub(crate) bits: f32,
}

impl SymbolCoder for Meter {
    const READS: bool = false;

    fn symbol(&mut self, _: usize, tables: &mut Tables, row: usize, symbol: usize) -> usize {
        self.bits += cost(tables.part(row, symbol).1);
        symbol
    }

    fn raw(&mut self, _: usize, value: u32, count: u32) -> u32 {
        self.bits += count as f32;
        value
    }

    fn spent(&self, _: usize) -> f64 {
        self.bits.into()
    }
}

/// Bits of symbols by the upper bits of their frequencies, in parts of [`PART`].
type Costs = [u16; 1024];
const PART: f32 = 256.0;

static COSTS: Computed<Costs> = Computed::new(|| {
    let share = |i: usize| (i as f32 + if i == 0 { 0.25 } else { 0.5 }) / 1024.0;
    std::array::from_fn(|i| (-share(i).log2() * PART).round() as u16)
});

/// −log₂ of a frequency, nearly.
#[inline(always)]
pub(crate) fn cost(size: u16) -> f32 {
    f32::from(COSTS[usize::from(size >> (PRECISION - 10)) % 1024]) / PART
}

/// Bits spent in each lane.
struct Spent {
    parts: [u32; LANES],
    costs: &'static Costs,
}

impl Spent {
    fn new() -> Self {
        Self { parts: [0; LANES], costs: &COSTS }
    }

    #[inline(always)]
    fn symbol(&mut self, lane: usize, size: u16) {
        let cost = self.costs[usize::from(size >> (PRECISION - 10)) % 1024];
        let parts = &mut self.parts[lane % LANES];
        *parts = parts.wrapping_add(cost.into());
    }

    #[inline(always)]
    fn raw(&mut self, lane: usize, count: u32) {
        let parts = &mut self.parts[lane % LANES];
        *parts = parts.wrapping_add(count.wrapping_mul(PART as u32));
    }

    fn bits(&self, lane: usize) -> f64 {
        f64::from(self.parts[lane % LANES]) / f64::from(PART)
    }
}

/// Bits, lowest first.
#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

#[allow(clippy::arithmetic_side_effects, reason = "a writer's numbers are its own")]
impl BitWriter {
    #[inline(always)]
    fn push(&mut self, value: u32, count: u32) {
        self.held |= low_bits(value.into(), count) << self.count;
        self.count += count;
        if self.count >= 32 {
            self.bytes.extend_from_slice(&(self.held as u32).to_le_bytes());
            self.held >>= 32;
            self.count -= 32;
        }
    }

    fn finish(mut self) -> Vec<u8> {
        while self.count > 0 {
            self.bytes.push(self.held as u8);
            self.held >>= 8;
            self.count = self.count.saturating_sub(8);
        }
        self.bytes
    }
}

/// Reads bits from the end of some bytes; behind them are zeros.
struct BitReader<'a> {
    left: &'a [u8],
    held: u64,
    count: u32,
}

impl<'a> BitReader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes, held: 0, count: 0 }
    }

    #[inline(always)]
    fn take(&mut self, count: u32) -> u32 {
        if self.count < count {
            let more = match self.left.split_last_chunk::<4>() {
                Some((left, bytes)) => {
                    self.left = left;
                    u32::from_be_bytes(*bytes)
                }
                None => self.last(),
            };
            self.held |= u64::from(more).wrapping_shl(self.count);
            self.count = self.count.wrapping_add(32);
        }
        let value = low_bits(self.held, count) as u32;
        self.held = self.held.wrapping_shr(count);
        self.count = self.count.wrapping_sub(count);
        value
    }

    /// Fewer than four bytes.
    #[cold]
    fn last(&mut self) -> u32 {
        let bytes = std::mem::take(&mut self.left);
        bytes.iter().fold(0, |all, &byte| all << 8 | u32::from(byte))
    }
}
