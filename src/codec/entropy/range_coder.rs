//! An adaptive binary range coder, and how numbers become binary decisions.
//!
//! One piece of code describes a decision for writer and reader alike ([`Coder::bit`]), so
//! what is read is what was written by construction. The range coder is the carry-propagating one
//! of LZMA (G. N. N. Martin, "Range encoding", 1979), with 15-bit probabilities.
//!
//! A damaged stream may say any number. Arithmetic on what is read therefore wraps or saturates, and
//! is never checked by a panic.

use super::rans::low_bits;

/// Bits of a probability.
const PRECISION: u32 = 15;
const ONE: u16 = 1 << PRECISION;
/// Below this range a byte is moved out.
const LEAST_RANGE: u32 = 1 << 24;

/// An adaptive model: how likely a decision is true.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BitModel {
    /// Probability of `true` in units of 2⁻¹⁵, never 0 or 1.
    probability: u16,
    /// Decisions so far; the more, the slower the probability moves.
    count: u8,
}

/// Probabilities move towards this or 16.
const LIKELIEST: i32 = ONE as i32 - 16;

/// Beyond so many decisions a model forgets the oldest ones.
const MEMORY: u8 = 200;

/// How far a probability moves, in units of 2⁻¹⁶: 1 / (count + 1.6).
static RATES: [i32; 256] = {
    let mut rates = [0; 256];
    let mut n = 0;
    while n < 256 {
        rates[n] = 655_360 / (10 * n as i32 + 16);
        n += 1;
    }
    rates
};

impl BitModel {
    pub(crate) const NEW: Self = Self { probability: ONE / 2, count: 0 };

    #[inline(always)]
    fn learn(&mut self, bit: bool) {
        // 31 bits at most: nothing here can overflow, and the checks would cost a tenth of all
        // decoding.
        let rate = RATES[usize::from(self.count)];
        let target = if bit { LIKELIEST } else { 16 };
        let probability = i32::from(self.probability);
        let change = target.wrapping_sub(probability).wrapping_mul(rate) >> 16;
        self.probability = probability.wrapping_add(change) as u16;
        self.count = self.count.wrapping_add(u8::from(self.count < MEMORY));
    }
}

/// The part of a range that stands for `true`: more than nothing, less than all of it.
#[inline(always)]
fn split(range: u32, model: &BitModel) -> u32 {
    (range >> PRECISION).wrapping_mul(u32::from(model.probability))
}

/// Writes or reads decisions. A writer is given the truth and gives it back, a reader ignores what it
/// is given.
pub(crate) trait Coder {
    /// A decision with an adaptive model.
    fn bit(&mut self, model: &mut BitModel, bit: bool) -> bool;
    /// The low `count` ≤ 16 bits of a number, each as likely 0 as 1.
    fn flat(&mut self, value: u32, count: u32) -> u32;

    /// The low `count` bits of a number of any length, highest first.
    fn wide(&mut self, value: u64, count: u32) -> u64 {
        let mut out = 0u64;
        let mut left = count;
        while left > 0 {
            let n = left.min(16);
            left = left.saturating_sub(n);
            let part = low_bits(value.wrapping_shr(left), n) as u32;
            out = out.wrapping_shl(n) | u64::from(self.flat(part, n));
        }
        out
    }

    /// A number below `models.len()`, small ones cheap: one decision for each value passed over.
    fn unary(&mut self, models: &mut [BitModel], value: usize) -> usize {
        for (i, model) in models.iter_mut().enumerate() {
            if !self.bit(model, value > i) {
                return i;
            }
        }
        models.len()
    }

    /// Any number: its length in bits by [`Coder::unary`], then the bits below the highest one.
    /// `models` are 32.
    fn number(&mut self, models: &mut [BitModel; 32], value: u32) -> u32 {
        // One more than the value has at least one bit. There are 32 models, so no more than 33 bits
        // are read; of numbers that no writer writes the low 32 are taken.
        let shifted = u64::from(value).saturating_add(1);
        let below = self.unary(models, shifted.ilog2() as usize) as u32;
        let read = 1u64.wrapping_shl(below) | self.wide(low_bits(shifted, below), below);
        read.saturating_sub(1) as u32
    }

    /// Any signed number. `models` are of: not 0, negative, and 32 of [`Coder::number`].
    fn signed(&mut self, [zero, negative, models @ ..]: &mut [BitModel; 34], value: i32) -> i32 {
        if !self.bit(zero, value != 0) {
            return 0;
        }
        let negative = self.bit(negative, value < 0);
        let magnitude = self.number(models, value.unsigned_abs().saturating_sub(1));
        let magnitude = i64::from(magnitude).saturating_add(1);
        let value = if negative { magnitude.saturating_neg() } else { magnitude };
        value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    }
}

/// Turns decisions into bytes.
pub(crate) struct Writer {
    low: u64,
    range: u32,
    /// The last byte that a carry may still change, and how many 0xff follow it.
    held: u8,
    run: usize,
    first: bool,
    out: Vec<u8>,
}

#[allow(clippy::arithmetic_side_effects, reason = "a writer's numbers are its own")]
impl Writer {
    pub(crate) fn new() -> Self {
        Self { low: 0, range: u32::MAX, held: 0, run: 0, first: true, out: Vec::new() }
    }

    #[cold]
    #[inline(never)]
    fn shift(&mut self) {
        if self.low < 0xff00_0000 || self.low > u64::from(u32::MAX) {
            let carry = (self.low >> 32) as u8;
            if !self.first {
                self.out.push(self.held.wrapping_add(carry));
            }
            self.first = false;
            let filled = self.out.len() + self.run;
            self.out.resize(filled, 0xffu8.wrapping_add(carry));
            self.run = 0;
            self.held = (self.low >> 24) as u8;
        } else {
            self.run += 1;
        }
        self.low = (self.low << 8) & u64::from(u32::MAX);
    }

    /// The bytes; zeros at the end are left out, a [`Reader`] finds them again.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        // Of all numbers in [low, low + range) the one with the most zeros at its end.
        let end = self.low + u64::from(self.range) - 1;
        for keep in 0..=32 {
            let mask = !0u64 << (32 - keep);
            if end & mask >= self.low {
                self.low = end & mask;
                break;
            }
        }
        for _ in 0..5 {
            self.shift();
        }
        while self.out.last() == Some(&0) {
            self.out.pop();
        }
        self.out
    }
}

#[allow(clippy::arithmetic_side_effects, reason = "a writer's numbers are its own")]
impl Coder for Writer {
    #[inline(always)]
    fn bit(&mut self, model: &mut BitModel, bit: bool) -> bool {
        let bound = split(self.range, model);
        if bit {
            self.range = bound;
        } else {
            self.low = self.low.wrapping_add(u64::from(bound));
            self.range = self.range.wrapping_sub(bound);
        }
        model.learn(bit);
        while self.range < LEAST_RANGE {
            self.range <<= 8;
            self.shift();
        }
        bit
    }

    #[inline(always)]
    fn flat(&mut self, value: u32, count: u32) -> u32 {
        self.range >>= count;
        self.low += u64::from(value) * u64::from(self.range);
        while self.range < LEAST_RANGE {
            self.range <<= 8;
            self.shift();
        }
        value
    }
}

/// Turns bytes back into decisions. Any bytes give some decisions: whether they are the true ones
/// is for checksums.
pub(crate) struct Reader<'a> {
    code: u32,
    range: u32,
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        let mut reader = Self { code: 0, range: u32::MAX, left: bytes };
        for _ in 0..4 {
            reader.code = (reader.code << 8) | reader.next();
        }
        reader
    }

    #[inline(always)]
    fn next(&mut self) -> u32 {
        match self.left.split_first() {
            Some((&byte, left)) => {
                self.left = left;
                u32::from(byte)
            }
            None => 0,
        }
    }

    #[inline(always)]
    fn refill(&mut self) {
        while self.range < LEAST_RANGE {
            self.range <<= 8;
            self.code = (self.code << 8) | self.next();
        }
    }
}

impl Coder for Reader<'_> {
    #[inline(always)]
    fn bit(&mut self, model: &mut BitModel, _: bool) -> bool {
        let bound = split(self.range, model);
        let bit = self.code < bound;
        if bit {
            self.range = bound;
        } else {
            self.code = self.code.wrapping_sub(bound);
            self.range = self.range.wrapping_sub(bound);
        }
        model.learn(bit);
        self.refill();
        bit
    }

    #[inline(always)]
    fn flat(&mut self, _: u32, count: u32) -> u32 {
        // The range has more than 24 bits and the shift at most 16, so something is left of it; and
        // `value` ranges are no more than the code.
        self.range = self.range.wrapping_shr(count);
        let value = self.code.checked_div(self.range).unwrap_or(0).min(low_bits(u64::MAX, count) as u32);
        self.code = self.code.wrapping_sub(value.wrapping_mul(self.range));
        self.refill();
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Codes a list of numbers with everything that the trait offers.
    fn code<C: Coder>(coder: &mut C, numbers: &[(u32, i32, u64)]) -> Vec<(u32, i32, u64)> {
        let mut models = [BitModel::NEW; 32];
        let mut signed = [BitModel::NEW; 34];
        let one = |&(a, b, c): &(u32, i32, u64)| {
            (coder.number(&mut models, a), coder.signed(&mut signed, b), coder.wide(c, 64))
        };
        numbers.iter().map(one).collect()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(numbers in proptest::collection::vec(
            (prop_oneof![0..4u32, any::<u32>()], prop_oneof![-2..3i32, any::<i32>()], any::<u64>()), 0..300)) {
            let numbers: Vec<_> = numbers.into_iter().map(|(a, b, c)| (a, b.max(-i32::MAX), c)).collect();
            let mut writer = Writer::new();
            code(&mut writer, &numbers);
            let bytes = writer.finish();
            let read = code(&mut Reader::new(&bytes), &vec![(0, 0, 0); numbers.len()]);
            prop_assert_eq!(read, numbers);
        }
    }

    #[test]
    fn a_thousand_likely_decisions_take_a_few_bytes() {
        let mut writer = Writer::new();
        let mut model = BitModel::NEW;
        for _ in 0..1000 {
            writer.bit(&mut model, false);
        }
        assert!(writer.finish().len() <= 3);
    }
}
