//! A block as the encoder sees it.

use crate::blocks::{Block, Places, VALUES, pad_block, values};
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
        values(view, place, &mut self.values);
        let values = &self.values;
        let places = match missing {
            Some(missing) => Places::without(place, |i| missing.has(i)),
            None => Places::of(place),
        };
        let n = places.len();
        self.whole = n == VALUES;
        let Flags { constant, special } = if self.whole {
            flags(engine, values)
        } else {
            let all = || (0..n as u16).map(|i| values[places.block(i)]);
            let first = all().next().unwrap_or_default();
            Flags { constant: all().all(|v| v.same_bits(first)), special: all().any(Element::is_special) }
        };
        (self.constant, self.special) = (constant, special);
        widen(engine, values, &mut self.block);
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
    fn widen<T: Element>(values: &[T; VALUES], out: &mut Block) {
        for k in 0..VALUES {
            out[k] = values[k].to_f64();
        }
    }
}

crate::engine::for_engines! {
    /// Whether all values are the same, and whether any is special.
    fn flags<T: Element>(values: &[T; VALUES]) -> Flags {
        let first = values[0].bits();
        let (mut different, mut special) = (0u64, 0u64);
        for i in 0..VALUES {
            different |= values[i].bits() ^ first;
            special |= u64::from(values[i].is_special());
        }
        Flags { constant: different == 0, special: special != 0 }
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
