//! Rows of frequencies that adapt to what was coded: both sides count a batch of blocks, and then
//! move each row towards what they counted.

use crate::engine::{Engine, for_engines};

/// Symbols of a row.
pub(crate) const SYMBOLS: usize = 16;
/// Frequencies of a row add up to 2 to this.
pub(crate) const PRECISION: u32 = 14;
pub(crate) const TOTAL: u32 = 1 << PRECISION;
/// What is left of it where each symbol has the least.
const SHARED: u32 = TOTAL - SYMBOLS as u32;

/// A row: a line of the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
pub(crate) struct Row {
    /// Where each symbol's part of [`TOTAL`] begins, and how large it is, at least 1.
    pub(crate) starts: [u16; SYMBOLS],
    pub(crate) sizes: [u16; SYMBOLS],
}

/// The rows of a tile, between two steps.
#[derive(Clone, Debug, Default)]
pub(crate) struct CarriedTables {
    starts: Vec<[u16; SYMBOLS]>,
    weights: Vec<u16>,
}

impl CarriedTables {
    pub(crate) fn tables(&self) -> Tables {
        let row = |starts: &[u16; SYMBOLS]| {
            let mut row = Row { starts: *starts, sizes: [0; SYMBOLS] };
            row.set_sizes();
            row
        };
        Tables::new(&self.starts.iter().map(row).collect::<Vec<_>>(), self.weights.clone())
    }
}

impl Row {
    /// Each symbol's part ends where the next one's begins.
    #[inline(always)]
    fn set_sizes(&mut self) {
        for s in 1..SYMBOLS {
            self.sizes[s.wrapping_sub(1)] = self.starts[s].wrapping_sub(self.starts[s.wrapping_sub(1)]);
        }
        self.sizes[SYMBOLS - 1] = (TOTAL as u16).wrapping_sub(self.starts[SYMBOLS - 1]);
    }
}

/// Room for rows: their number is checked once, not at every symbol.
const ROOM: usize = 512;

/// The rows of a tile.
#[derive(Clone)]
pub(crate) struct Tables {
    rows: Box<[Row; ROOM]>,
    /// Symbols of this batch.
    counts: Box<[[u16; SYMBOLS]; ROOM]>,
    /// How many symbols each row stands for; a weight for each row that there is.
    weights: Vec<u16>,
}

/// Beyond so many symbols a row forgets the oldest ones.
const MEMORY: u32 = 1000;

/// A row that is carried to the next step stands for so many symbols at most.
const TRUST: u16 = 200;

impl Tables {
    /// Of rows, and of how many symbols each of them stands for.
    ///
    /// # Panics
    /// Where there are more than there is room for.
    pub(crate) fn new(rows: &[Row], weights: Vec<u16>) -> Self {
        let mut all = Box::new([Row { starts: [0; SYMBOLS], sizes: [1; SYMBOLS] }; ROOM]);
        all[..rows.len()].copy_from_slice(rows);
        Self { rows: all, counts: Box::new([[0; SYMBOLS]; ROOM]), weights }
    }

    /// Where a symbol begins, and its frequency.
    #[inline(always)]
    pub(crate) fn part(&self, row: usize, symbol: usize) -> (u16, u16) {
        let row = &self.rows[row % ROOM];
        (row.starts[symbol % SYMBOLS], row.sizes[symbol % SYMBOLS])
    }

    /// The symbol that a place below [`TOTAL`] belongs to.
    #[inline(always)]
    pub(crate) fn find(&self, row: usize, slot: u16) -> usize {
        find(&self.rows[row % ROOM].starts, slot)
    }

    #[inline(always)]
    pub(crate) fn count(&mut self, row: usize, symbol: usize) {
        let count = &mut self.counts[row % ROOM][symbol % SYMBOLS];
        *count = count.wrapping_add(1);
    }

    /// The rows that the same tile of the next step begins with.
    pub(crate) fn carried(&self) -> CarriedTables {
        let weights: Vec<_> = self.weights.iter().map(|&weight| weight.min(TRUST)).collect();
        let starts = self.rows.iter().map(|row| row.starts).take(weights.len()).collect();
        CarriedTables { starts, weights }
    }

    /// Learns what was counted since the last time.
    pub(crate) fn learn(&mut self, engine: Engine) {
        learn(engine, &mut self.rows[..], &mut self.counts[..], &mut self.weights);
    }

    #[cfg(feature = "training")]
    pub(crate) fn counts(&self) -> &[[u16; SYMBOLS]] {
        &self.counts[..self.weights.len()]
    }
}

/// The number of starts that are no greater, less one: starts ascend from 0.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn find(starts: &[u16; SYMBOLS], slot: u16) -> usize {
    use std::arch::x86_64::{
        _mm_cmpgt_epi16, _mm_loadu_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set1_epi16,
    };
    // SAFETY: every x86-64 processor has SSE2, and the list has two vectors of eight. Numbers are
    // below 2¹⁵.
    let above = unsafe {
        let slot = _mm_set1_epi16(slot as i16);
        let (low, high) = (starts.as_ptr().cast(), starts[8..].as_ptr().cast());
        let (low, high) =
            (_mm_cmpgt_epi16(_mm_loadu_si128(low), slot), _mm_cmpgt_epi16(_mm_loadu_si128(high), slot));
        _mm_movemask_epi8(_mm_packs_epi16(low, high))
    };
    ((above as u32 | 1 << 16).trailing_zeros() as usize).wrapping_sub(1) % SYMBOLS
}

#[cfg(not(target_arch = "x86_64"))]
#[inline(always)]
fn find(starts: &[u16; SYMBOLS], slot: u16) -> usize {
    starts.iter().map(|&start| usize::from(start <= slot)).sum::<usize>().wrapping_sub(1) % SYMBOLS
}

for_engines! {
    /// Moves each row towards the frequencies that were counted, the less the more it stands for.
    fn learn(rows: &mut [Row], counts: &mut [[u16; SYMBOLS]], weights: &mut [u16]) {
        for ((row, counts), weight) in rows.iter_mut().zip(counts).zip(weights) {
            if *counts == [0; SYMBOLS] {
                continue;
            }
            let mut counted = 0u32;
            for n in counts.iter() {
                counted = counted.wrapping_add(u32::from(*n));
            }
            let weighed = u32::from(*weight).wrapping_add(counted);
            // In units of 2⁻¹⁶.
            let share = counted.wrapping_shl(16).checked_div(weighed).unwrap_or(0);
            // Each symbol keeps a frequency of 1 at least.
            let unit = (SHARED << 16).checked_div(counted).unwrap_or(0);
            let mut before = 0u32;
            for s in 0..SYMBOLS {
                let target = (before.wrapping_mul(unit) >> 16).wrapping_add(s as u32);
                before = before.wrapping_add(counts[s].into());
                let start = i32::from(row.starts[s]);
                let moved = (target as i32).wrapping_sub(start).wrapping_mul(share as i32) >> 16;
                row.starts[s] = start.wrapping_add(moved) as u16;
            }
            row.set_sizes();
            *weight = weighed.min(MEMORY) as u16;
            *counts = [0; SYMBOLS];
        }
    }
}
