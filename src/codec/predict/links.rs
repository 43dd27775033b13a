//! Boxes of a list that lie side by side.
//!
//! Octrees and AMR hierarchies list their boxes in some order in space: rows, a Morton curve. The
//! caller does not say so, but where box n often continues box n − d along an axis, a tile says d
//! for that axis, and each box whether it is so for it. Boxes of exactly one block alone are
//! linked.

use super::spatial::{Corner, across, beyond};
use crate::blocks::EDGE;
use crate::entropy::range_coder::{BitModel, Coder};
use crate::mask::{Extent, Mask};
use crate::order::{Entry, Sides};
use std::array::from_fn;

/// How many boxes back the lower neighbour of a box is, along each axis: for most boxes, and for
/// others; 0 where none is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    back: [[u16; 2]; 3],
}

/// Estimates of which of its axis's two links a box has, by axis and by whether it is in an odd run
/// of so many.
const MODELS: usize = 12;
const MODEL: [[[usize; 2]; 2]; 3] = [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]];

/// The box that each axis links a box with.
pub(crate) type Linked = [Option<u32>; 3];

impl Links {
    /// Whether a tile of these entries has any to tell.
    pub(crate) fn possible(entries: &[Entry]) -> bool {
        let alone = |(i, entry): (usize, &Entry)| entry.piece == i && entry.place.count == [EDGE; 3];
        entries.len() > 1 && entries.iter().enumerate().all(alone)
    }

    /// Codes them, of a tile of so many pieces.
    fn code<C: Coder>(coder: &mut C, truth: Self, pieces: usize) -> Self {
        let mut models = [BitModel::NEW; 32];
        let most = pieces.min(usize::from(u16::MAX)).saturating_sub(1) as u32;
        let mut one = |back| coder.number(&mut models, u32::from(back)).min(most) as u16;
        Self { back: truth.back.map(|[first, second]| [one(first), one(second)]) }
    }

    /// The box that the link of an axis leads to.
    fn of(self, piece: usize, axis: usize, second: bool) -> Option<u32> {
        let back = usize::from(self.back[axis][usize::from(second)]);
        piece.checked_sub(back).filter(|_| back > 0).map(|q| q as u32)
    }

    /// Codes what a piece is linked with.
    fn code_piece<C: Coder>(
        self,
        coder: &mut C,
        models: &mut [BitModel; MODELS],
        piece: usize,
        truth: Linked,
    ) -> Linked {
        from_fn(|axis| {
            let odd = piece.checked_div(usize::from(self.back[axis][0])).unwrap_or(0) & 1;
            [false, true].into_iter().find_map(|second| {
                let link = self.of(piece, axis, second)?;
                let model = &mut models[MODEL[axis][odd][usize::from(second)]];
                coder.bit(model, truth[axis] == Some(link)).then_some(link)
            })
        })
    }

    /// Codes the links of all pieces, and gives the entries with them: no neighbour is wholly missing.
    pub(crate) fn code_all<C: Coder>(
        coder: &mut C,
        entries: &[Entry],
        mask: Option<&Mask>,
        truth: Option<&(Self, Vec<Linked>)>,
    ) -> Vec<Entry> {
        let links = Self::code(coder, truth.map(|truth| truth.0).unwrap_or_default(), entries.len());
        let mut models = [BitModel::NEW; MODELS];
        let mut out = Vec::with_capacity(entries.len());
        for (number, entry) in entries.iter().enumerate() {
            let is_missing = mask.is_some_and(|mask| mask.extent(entry.order.block as usize) == Extent::All);
            if is_missing {
                out.push(*entry);
                continue;
            }
            let linked = truth.map_or([None; 3], |(_, linked)| linked[entry.piece]);
            let linked = links.code_piece(coder, &mut models, entry.piece, linked);
            let entry = Self::apply(linked, entry);
            out.push(mask.map_or(entry, |mask| mask.entry(&entries[..number], &entry)));
        }
        out
    }

    /// The entry of a piece, with its links as neighbours.
    fn apply(linked: Linked, entry: &Entry) -> Entry {
        let mut entry = *entry;
        if linked != [None; 3] {
            entry.order.level = 0;
            entry.order.sides = linked.map(|link| link.map_or(Sides::None, Sides::Low));
            entry.previous_box = None;
        }
        entry
    }

    /// Finds the links of a list of blocks by their coefficients, in quantisation steps.
    #[allow(clippy::arithmetic_side_effects, reason = "a writer's own lists")]
    pub(crate) fn find(corners: &[Corner]) -> (Self, Vec<Linked>) {
        let n = corners.len();
        // An irregular part of all boxes is enough to tell.
        let some: Vec<usize> = (1..n).filter(|p| p.wrapping_mul(0x9e37_79b1) >> 7 & 3 == 0).collect();
        let mut links = Self::default();
        let mut out = vec![[None; 3]; n];
        for axis in 0..3 {
            let predicted: Vec<_> = corners.iter().map(|c| beyond(c, axis)).collect();
            let gain = |p: usize, q: usize| gain(axis, &corners[p], &corners[p - 1], predicted[q]);
            let mut left = some.clone();
            for second in [false, true] {
                let all = |d: usize| -> f64 {
                    let behind = left.iter().filter(|&&p| p >= d);
                    behind.map(|&p| gain(p, p - d).max(0.0)).sum()
                };
                let best = (1..n).map(|d| (all(d), d)).fold((0.0, 0), |a, b| if b.0 > a.0 { b } else { a });
                if best.0 > WORTH * some.len() as f64 {
                    links.back[axis][usize::from(second)] = best.1 as u16;
                }
                left.retain(|&p| links.of(p, axis, second).is_none_or(|q| gain(p, q as usize) <= 0.0));
            }
            for (p, out) in out.iter_mut().enumerate() {
                let pays = |q: &u32| gain(p, *q as usize) > 0.0;
                out[axis] =
                    [false, true].into_iter().find_map(|second| links.of(p, axis, second).filter(pays));
            }
        }
        (links, out)
    }
}

/// Bits a box that a link must save on average.
const WORTH: f64 = 0.5;

/// Bits by which a block's mean and its two slopes across an axis are nearer to what is predicted
/// than to the mean of the box before and to 0.
fn gain(axis: usize, block: &Corner, before: &Corner, predicted: [f64; 3]) -> f64 {
    let bits = |off: f64| 0.5 * (1.0 + off * off).log2();
    let [mean, one, other] = across(axis).map(|entry| block[entry]);
    bits(mean - before[0]) + bits(one) + bits(other)
        - bits(mean - predicted[0])
        - bits(one - predicted[1])
        - bits(other - predicted[2])
}
