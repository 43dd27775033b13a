//! Boxes of a list that lie side by side.
//!
//! Octrees and AMR hierarchies list their boxes in some order in space: rows, a Morton curve. The
//! caller does not say so, but where box n often continues box n − d along an axis, a tile says d
//! for that axis, and each box whether it is so for it. Boxes of exactly one block alone are
//! linked.

use crate::blocks::EDGE;
use crate::entropy::range_coder::{BitModel, Coder};
use crate::mask::{Extent, Mask};
use crate::order::{Entry, Sides};
use std::array::from_fn;

/// How many boxes back the lower neighbour of a box is, along each axis: for most boxes, and for
/// others; 0 where none is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Links {
    pub(crate) back: [[u16; 2]; 3],
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
    pub(crate) fn of(self, piece: usize, axis: usize, second: bool) -> Option<u32> {
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
}
