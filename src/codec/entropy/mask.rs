//! The mask of a tile as binary decisions: block by block whether none, all or some of it is
//! missing, and then, line by line over each piece, the points of the blocks of which some is.
//!
//! A point's context is the points before it on its line, on the two lines before and on the two
//! planes before (the template of JBIG, ITU-T T.82, in three dimensions). Where the previous step
//! has a mask, it is the nearest points of both: masks move little from step to step.

use super::range_coder::{BitModel, Coder};
use crate::blocks::{BlockGrid, EDGE};
use crate::mask::{BlockMask, Extent, Mask};

/// Points of zeros around a piece.
const RIM: usize = 2;

/// Points of the context, `[x, y, z]` from the point that is coded.
const BEFORE: [[isize; 3]; 12] = [
    [-1, 0, 0],
    [0, -1, 0],
    [0, 0, -1],
    [1, -1, 0],
    [1, 0, -1],
    [0, 1, -1],
    [-1, -1, 0],
    [-1, 0, -1],
    [0, -1, -1],
    [-2, 0, 0],
    [0, -2, 0],
    [0, 0, -2],
];
/// Those of them that count beside the previous step, …
const FEW: usize = 6;
/// … and the points of that.
const THERE: [[isize; 3]; 7] =
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [-1, 0, 0], [0, -1, 0], [0, 0, -1]];

/// Adaptive models of a tile's mask; they start at ½.
struct Models {
    /// Whether a block is missing in part, and if not, whether it is missing, by three blocks
    /// beside it and by what it is in the previous step.
    extents: Vec<[BitModel; 2]>,
    points: Vec<BitModel>,
    /// What of the last block is missing.
    last: Extent,
}

/// Codes the mask of a tile of pieces: reads it, or writes it where `truth` says what it is.
/// Without missing points it is none.
pub(crate) fn code<C: Coder>(
    coder: &mut C,
    pieces: &[[usize; 3]],
    previous: Option<&Mask>,
    truth: Option<&Mask>,
) -> Option<Mask> {
    if let Some(previous) = previous
        && coder.bit(&mut BitModel::NEW.clone(), truth == Some(previous))
    {
        return Some(previous.clone());
    }
    let mut models = Models::new(previous.is_some());
    let blocks = pieces.iter().map(|&count| BlockGrid::new(count).len());
    let mut mask = Mask::empty(blocks.fold(0, usize::saturating_add));
    let mut first = 0usize;
    for &count in pieces {
        let piece = Piece { count, grid: BlockGrid::new(count), first, previous, truth };
        let extents = piece.code_extents(coder, &mut models);
        piece.code_points(coder, &mut models, &extents, &mut mask);
        first = first.saturating_add(piece.grid.len());
    }
    mask.filled()
}

impl Models {
    fn new(has_previous: bool) -> Self {
        let contexts = if has_previous { FEW.saturating_add(THERE.len()) } else { BEFORE.len() };
        Self {
            extents: vec![[BitModel::NEW; 2]; 27 * 4],
            points: vec![BitModel::NEW; 1 << contexts],
            last: Extent::None,
        }
    }
}

/// A piece of the tile.
struct Piece<'a> {
    count: [usize; 3],
    grid: BlockGrid,
    /// The number of its first block in the tile.
    first: usize,
    previous: Option<&'a Mask>,
    truth: Option<&'a Mask>,
}

impl Piece<'_> {
    /// How much of each block is missing.
    fn code_extents<C: Coder>(&self, coder: &mut C, models: &mut Models) -> Vec<Extent> {
        let [bx, by, _] = self.count.map(|n| n.div_ceil(EDGE));
        let plane = bx.saturating_mul(by);
        let mut out: Vec<Extent> = Vec::with_capacity(self.grid.len());
        for i in 0..self.grid.len() {
            let block = self.first.saturating_add(i);
            let [x, y, z] = self.grid.block(i).start;
            let beside = |inside: bool, back: usize| {
                let at = i.checked_sub(back).filter(|_| inside);
                at.map_or(models.last, |at| out[at]) as usize
            };
            let around = [beside(x > 0, 1), beside(y > 0, bx), beside(z > 0, plane)];
            let then = self.previous.map_or(3, |previous| previous.extent(block) as usize);
            let context = around.into_iter().fold(then, |sum, e| sum.wrapping_mul(3).wrapping_add(e));
            let [part, all] = &mut models.extents[context];
            let truth = self.truth.map_or(Extent::None, |truth| truth.extent(block));
            let extent = if coder.bit(part, truth == Extent::Part) {
                Extent::Part
            } else if coder.bit(all, truth == Extent::All) {
                Extent::All
            } else {
                Extent::None
            };
            models.last = extent;
            out.push(extent);
        }
        out
    }

    /// The points of blocks of which some is missing, line by line.
    fn code_points<C: Coder>(&self, coder: &mut C, models: &mut Models, extents: &[Extent], mask: &mut Mask) {
        let mut points = Points::new(self.count);
        for (i, _) in extents.iter().enumerate().filter(|(_, extent)| **extent == Extent::All) {
            self.grid.block(i).values().for_each(|(_, at)| points.set(at));
        }
        let then = self.previous.map(|previous| self.points_of(previous));
        if extents.contains(&Extent::Part) {
            let [bx, by, _] = self.count.map(|n| n.div_ceil(EDGE));
            for z in 0..self.count[2] {
                for y in 0..self.count[1] {
                    let line = (z / EDGE).wrapping_mul(by).wrapping_add(y / EDGE).wrapping_mul(bx);
                    for x in 0..self.count[0] {
                        let i = line.wrapping_add(x / EDGE);
                        if extents[i] != Extent::Part {
                            continue;
                        }
                        let at = [x, y, z];
                        let context = points.context(then.as_ref(), at);
                        let block = self.first.saturating_add(i);
                        let truth = self.truth.is_some_and(|truth| truth.block(block).has(inside(at)));
                        if coder.bit(&mut models.points[context], truth) {
                            points.set(at);
                        }
                    }
                }
            }
        }
        for i in 0..extents.len() {
            let place = self.grid.block(i);
            let mut missing = BlockMask::default();
            place.values().filter(|(_, at)| points.has(*at)).for_each(|(i, _)| missing.set(i));
            mask.put(self.first.saturating_add(i), place, missing);
        }
    }

    /// The points of this piece in a mask.
    fn points_of(&self, mask: &Mask) -> Points {
        let mut points = Points::new(self.count);
        for i in 0..self.grid.len() {
            let missing = mask.block(self.first.saturating_add(i));
            self.grid.block(i).values().filter(|(i, _)| missing.has(*i)).for_each(|(_, at)| points.set(at));
        }
        points
    }
}

/// The index in its block of a point of a piece.
fn inside([x, y, z]: [usize; 3]) -> usize {
    let [x, y, z] = [x, y, z].map(|n| n % EDGE);
    z.wrapping_mul(EDGE).wrapping_add(y).wrapping_mul(EDGE).wrapping_add(x)
}

/// The missing points of a piece, x fastest, with a rim of points that are not.
struct Points {
    line: usize,
    plane: usize,
    missing: Vec<bool>,
}

impl Points {
    fn new(count: [usize; 3]) -> Self {
        let [line, lines, planes] = count.map(|n| n.saturating_add(2 * RIM));
        let plane = line.saturating_mul(lines);
        Self { line, plane, missing: vec![false; plane.saturating_mul(planes)] }
    }

    fn index(&self, at: [usize; 3]) -> usize {
        let [x, y, z] = at.map(|n| n.wrapping_add(RIM));
        z.wrapping_mul(self.plane).wrapping_add(y.wrapping_mul(self.line)).wrapping_add(x)
    }

    fn set(&mut self, at: [usize; 3]) {
        let i = self.index(at);
        self.missing[i] = true;
    }

    fn has(&self, at: [usize; 3]) -> bool {
        self.missing[self.index(at)]
    }

    /// A bit for each of some points beside one.
    fn around(&self, at: [usize; 3], beside: &[[isize; 3]]) -> usize {
        beside.iter().fold(0, |bits, by| {
            let at = std::array::from_fn(|a| at[a].wrapping_add_signed(by[a]));
            bits << 1 | usize::from(self.has(at))
        })
    }

    fn context(&self, then: Option<&Self>, at: [usize; 3]) -> usize {
        match then {
            None => self.around(at, &BEFORE),
            Some(then) => self.around(at, &BEFORE[..FEW]) << THERE.len() | then.around(at, &THERE),
        }
    }
}

#[cfg(test)]
#[allow(clippy::arithmetic_side_effects, reason = "nothing here is read")]
mod tests {
    use super::*;
    use crate::entropy::range_coder::{Reader, Writer};
    use crate::order::entries;
    use proptest::prelude::*;

    fn written(pieces: &[[usize; 3]], previous: Option<&Mask>, mask: Option<&Mask>) -> Vec<u8> {
        let mut writer = Writer::new();
        code(&mut writer, pieces, previous, mask);
        writer.finish()
    }

    /// The points for which a function says so.
    fn mask_of(pieces: &[[usize; 3]], mut missing: impl FnMut(usize, [usize; 3]) -> bool) -> Option<Mask> {
        let entries = entries(pieces);
        let mut mask = Mask::empty(entries.len());
        for entry in entries {
            let mut block = BlockMask::default();
            entry.place.values().filter(|(_, at)| missing(entry.piece, *at)).for_each(|(i, _)| block.set(i));
            mask.put(entry.order.block as usize, entry.place, block);
        }
        mask.filled()
    }

    proptest! {
        #[test]
        fn masks_of_any_pieces_are_read_as_they_were_written(
            pieces in proptest::collection::vec([1..20usize, 1..20usize, 1..20usize], 1..4),
            [now, then] in proptest::array::uniform2((0..3usize, any::<u64>())),
        ) {
            let make = |(kind, seed): (usize, u64)| mask_of(&pieces, |piece, [x, y, z]| match kind {
                0 => false,
                1 => x + y + z > seed as usize % 40,
                _ => (seed ^ (piece * 31 + x * 7 + y * 11 + z * 13) as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62 == 0,
            });
            let (now, then) = (make(now), make(then));
            for previous in [None, then.as_ref()] {
                let bytes = written(&pieces, previous, now.as_ref());
                let read = code(&mut Reader::new(&bytes), &pieces, previous, None);
                prop_assert_eq!(&read, &now);
            }
        }

        #[test]
        fn any_bytes_make_some_mask(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let pieces = [[9, 17, 8], [8, 8, 8], [1, 1, 1]];
            let mask = code(&mut Reader::new(&bytes), &pieces, None, None);
            code(&mut Reader::new(&bytes), &pieces, mask.as_ref(), None);
        }
    }

    #[test]
    fn a_mask_that_does_not_move_takes_no_byte_and_one_that_moves_takes_few() {
        let ball = |centre: usize| {
            mask_of(&[[64; 3]], |_, at| {
                at.iter().map(|&a| a.abs_diff(centre).pow(2)).sum::<usize>() < 20 * 20
            })
        };
        let (then, now) = (ball(30), ball(31));
        let alone = written(&[[64; 3]], None, now.as_ref()).len();
        let moved = written(&[[64; 3]], then.as_ref(), now.as_ref()).len();
        assert!(written(&[[64; 3]], now.as_ref(), now.as_ref()).is_empty());
        assert!(alone < 1000 && moved < alone, "{alone} alone, {moved} after another");
    }
}
