//! The mask of a tile: which of its points are missing.
//!
//! A block that is wholly missing has no symbols, and is nobody's neighbour in its step. In one
//! that is missing in part, only the present values are verified, corrected or stored.

use crate::blocks::{BlockBox, EDGE, VALUES, values};
use crate::element::Element;
use crate::order::{Entry, Sides};
use crate::view::FieldView;

/// The missing points of a block: bit 8·y + x of each z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BlockMask([u64; EDGE]);

impl BlockMask {
    /// Whether the point at an index of the block is missing.
    pub(crate) fn has(&self, i: usize) -> bool {
        self.0[i / (EDGE * EDGE)] >> (i % (EDGE * EDGE)) & 1 == 1
    }

    pub(crate) fn set(&mut self, i: usize) {
        self.0[i / (EDGE * EDGE)] |= 1 << (i % (EDGE * EDGE));
    }

    /// How many points are missing.
    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|plane| plane.count_ones() as usize).sum()
    }
}

/// How much of a block is missing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Extent {
    #[default]
    None,
    All,
    Part,
}

/// The missing points of a tile, block by block in the order of their numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mask {
    blocks: Vec<BlockMask>,
    extents: Vec<Extent>,
}

impl Mask {
    /// Of a tile without missing points, of so many blocks.
    pub(crate) fn empty(blocks: usize) -> Self {
        Self { blocks: vec![BlockMask::default(); blocks], extents: vec![Extent::None; blocks] }
    }

    /// The points of a tile's pieces that hold these bits; none where no point does.
    pub(crate) fn of<T: Element>(
        entries: &[Entry],
        pieces: &[FieldView<'_, T>],
        missing: u64,
    ) -> Option<Self> {
        let mut mask = Self::empty(entries.len());
        let mut block = [T::default(); VALUES];
        for entry in entries {
            values(&pieces[entry.piece], entry.place, &mut block);
            let mut missing_here = BlockMask::default();
            let holds = |(i, _): &(usize, [usize; 3])| block[*i].bits() == missing;
            entry.place.values().filter(holds).for_each(|(i, _)| missing_here.set(i));
            mask.put(entry.order.block as usize, entry.place, missing_here);
        }
        mask.filled()
    }

    /// Sets the missing points of a block.
    pub(crate) fn put(&mut self, block: usize, place: BlockBox, missing: BlockMask) {
        self.blocks[block] = missing;
        self.extents[block] = match missing.len() {
            0 => Extent::None,
            n if n == place.len() => Extent::All,
            _ => Extent::Part,
        };
    }

    /// Itself where any point is missing.
    pub(crate) fn filled(self) -> Option<Self> {
        self.extents.iter().any(|extent| *extent != Extent::None).then_some(self)
    }

    /// The missing points of a block.
    pub(crate) fn block(&self, block: usize) -> &BlockMask {
        &self.blocks[block]
    }

    /// How much of a block is missing.
    pub(crate) fn extent(&self, block: usize) -> Extent {
        self.extents[block]
    }

    fn is_present(&self, block: u32) -> bool {
        self.extent(block as usize) != Extent::All
    }

    /// The entries of a tile, without neighbours that are wholly missing.
    pub(crate) fn entries(&self, entries: &[Entry]) -> Vec<Entry> {
        (0..entries.len()).map(|number| self.entry(&entries[..number], &entries[number])).collect()
    }

    /// An entry, which comes after those `before`, without neighbours that are wholly missing.
    /// Where it is left with none, the nearest present block before it in its piece, or else the
    /// last one in the tile, takes the place of the first block of the previous piece.
    pub(crate) fn entry(&self, before: &[Entry], entry: &Entry) -> Entry {
        let mut entry = *entry;
        let present = |block| self.is_present(block);
        let mut sides = entry.order.sides.map(|side| match side {
            Sides::Both(low, high) => match (present(low), present(high)) {
                (true, true) => side,
                (true, false) => Sides::Low(low),
                (false, true) => Sides::High(high),
                (false, false) => Sides::None,
            },
            Sides::Low(block) | Sides::High(block) if !present(block) => Sides::None,
            other => other,
        });
        if sides.iter().any(|side| matches!(side, Sides::Both(..))) {
            sides = sides.map(|side| if matches!(side, Sides::Both(..)) { side } else { Sides::None });
        }
        entry.order.sides = sides;
        entry.previous_box = entry.previous_box.filter(|&block| present(block));
        if sides == [Sides::None; 3] && entry.previous_box.is_none() {
            entry.previous_box = self.nearest(before, &entry);
        }
        entry
    }

    fn nearest(&self, before: &[Entry], entry: &Entry) -> Option<u32> {
        let distance = |other: &Entry| -> usize {
            let along = |a: usize| other.place.start[a].abs_diff(entry.place.start[a]);
            (0..3).fold(0, |sum: usize, a| sum.saturating_add(along(a).saturating_mul(along(a))))
        };
        let present = || before.iter().rev().filter(|other| self.is_present(other.order.block));
        let near = present().filter(|other| other.piece == entry.piece).min_by_key(|other| distance(other));
        near.or_else(|| present().next()).map(|other| other.order.block)
    }
}
