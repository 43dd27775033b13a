//! A block as the encoder sees it.

use crate::blocks::{Block, EDGE, Places, VALUES, pad_block, values};
use crate::element::Element;
use crate::engine::Engine;
use crate::mask::BlockMask;
use crate::missing::continue_over;
use crate::order::Entry;
use crate::view::FieldView;

/// A block's values, and what the mode decision asks of them.
#[repr(C, align(64))]
pub(super) struct Source<T> {
    /// True values.
    pub(super) values: [T; VALUES],
    /// The same with their padding, special values smoothed over, and missing ones continued.
    pub(super) block: Block,
    /// Whether there is no padding, and none is missing.
    pub(super) whole: bool,
    pub(super) constant: bool,
    /// Whether any value is special.
    pub(super) special: bool,
    /// Whether coefficients of it exist.
    pub(super) finite: bool,
}

impl<T: Element> Source<T> {
    pub(super) fn empty() -> Self {
        let (values, block) = ([T::default(); VALUES], [0.0; VALUES]);
        Self { values, block, whole: true, constant: false, special: false, finite: true }
    }

    /// Reads a block, of which the points of `missing` are.
    pub(super) fn read(
        &mut self,
        view: &FieldView<'_, T>,
        entry: &Entry,
        missing: Option<&BlockMask>,
        engine: Engine,
    ) {
        let place = entry.place;
        let places = match missing {
            Some(missing) => Places::without(place, |i| missing.has(i)),
            None => Places::of(place),
        };
        let n = places.len();
        self.whole = n == VALUES;
        let rows = view.rows(place.start).filter(|_| self.whole);
        let Flags { constant, special } = if let Some((rows, to_next)) = rows {
            take(engine, rows, to_next, &mut self.values, &mut self.block)
        } else {
            values(view, place, &mut self.values);
            self.block = self.values.map(Element::to_f64);
            let all = || (0..n as u16).map(|i| self.values[places.block(i)]);
            let first = all().next().unwrap_or_default();
            Flags { constant: all().all(|v| v.same_bits(first)), special: all().any(Element::is_special) }
        };
        (self.constant, self.special) = (constant, special);
        if self.special {
            smooth(&mut self.block, &places, n);
        }
        if let Some(missing) = missing {
            continue_over(&mut self.block, place.count, missing);
        }
        if !self.whole {
            pad_block(&mut self.block, place.count);
        }
        self.finite = !self.special && self.whole || self.block.iter().all(|v| v.is_finite());
    }
}

/// What is common to a block's values.
struct Flags {
    /// All are the same.
    constant: bool,
    /// Some is special.
    special: bool,
}

crate::engine::for_engines! {
    /// Copies a whole block whose rows along x lie so far from one another along y and along z.
    fn take<T: Element>(
        rows: &[T],
        to_next: [usize; 2],
        values: &mut [T; VALUES],
        block: &mut Block,
    ) -> Flags {
        let first = rows[0].bits();
        let (mut different, mut special) = ([0u64; EDGE], [0u64; EDGE]);
        for z in 0..EDGE {
            for y in 0..EDGE {
                let row = &rows[y * to_next[0] + z * to_next[1]..][..EDGE];
                let at = (z * EDGE + y) * EDGE;
                for x in 0..EDGE {
                    values[at + x] = row[x];
                    block[at + x] = row[x].to_f64();
                    different[x] |= row[x].bits() ^ first;
                    special[x] |= u64::from(row[x].is_special());
                }
            }
        }
        Flags { constant: different == [0; EDGE], special: special != [0; EDGE] }
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
