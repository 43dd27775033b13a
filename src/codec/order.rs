//! The coding order: in what order a tile's blocks are coded, and which coded blocks each can be
//! predicted from.
//!
//! Coarse to fine: first every 2ⁿ-th block, then the ones half-way between, and so on, as in
//! interpolating compressors (SZ3, Zhao et al., ICDE 2021), but with blocks in place of points.
//! Almost every block then lies between two coded ones.

use crate::blocks::{BlockBox, BlockGrid, EDGE};

/// What lies beside a block along one axis, at the distance of its level: indices of coded blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sides {
    /// Nothing that is coded.
    None,
    /// A block towards lower coordinates.
    Low(u32),
    /// One towards higher coordinates, where the lower one is missing.
    High(u32),
    /// One on each side.
    Both(u32, u32),
}

/// A block's place in the coding order of its box.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OrderEntry {
    /// Which block, x fastest.
    pub(crate) block: u32,
    /// log₂ of the distance to its neighbours.
    pub(crate) level: u8,
    /// Along x, y, z.
    pub(crate) sides: [Sides; 3],
}

impl OrderEntry {
    /// The coded neighbours.
    pub(crate) fn neighbours(&self) -> impl Iterator<Item = usize> {
        let pair = |s| match s {
            Sides::None => [None, None],
            Sides::Low(a) | Sides::High(a) => [Some(a), None],
            Sides::Both(a, b) => [Some(a), Some(b)],
        };
        self.sides.map(pair).into_iter().flatten().flatten().map(|i| i as usize)
    }
}

/// Which of a level's coordinates are odd multiples of its distance: a block comes after all that
/// it lies between.
const PASSES: [[usize; 3]; 7] = [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]];

/// The order of a box of blocks, of which a tile has few.
#[allow(clippy::arithmetic_side_effects, reason = "indices of a tile's blocks")]
pub(crate) fn coding_order(blocks: [usize; 3]) -> Vec<OrderEntry> {
    let index = |at: [usize; 3]| ((at[2] * blocks[1] + at[1]) * blocks[0] + at[0]) as u32;
    let mut out = Vec::with_capacity(blocks.iter().product());
    if blocks.contains(&0) {
        return out;
    }
    let levels = blocks.iter().max().map_or(0, |n| n.next_power_of_two().trailing_zeros());
    out.push(OrderEntry { block: 0, level: levels as u8, sides: [Sides::None; 3] });
    for level in (0..levels).rev() {
        let distance = 1 << level;
        for odd in PASSES {
            let along = |a: usize| (odd[a] * distance..blocks[a]).step_by(2 * distance);
            for z in along(2) {
                for y in along(1) {
                    for x in along(0) {
                        let at = [x, y, z];
                        let mut sides = std::array::from_fn(|a| {
                            let moved = |to: usize| {
                                let mut at = at;
                                at[a] = to;
                                index(at)
                            };
                            match (odd[a], at[a] + distance < blocks[a]) {
                                (0, _) => Sides::None,
                                (_, true) => Sides::Both(moved(at[a] - distance), moved(at[a] + distance)),
                                (_, false) => Sides::Low(moved(at[a] - distance)),
                            }
                        });
                        // Between two blocks is better known than beyond one.
                        if sides.iter().any(|s| matches!(s, Sides::Both(..))) {
                            sides = sides.map(|s| if matches!(s, Sides::Low(_)) { Sides::None } else { s });
                        }
                        out.push(OrderEntry { block: index(at), level: level as u8, sides });
                    }
                }
            }
        }
    }
    out
}

/// An entry of a tile's coding order: a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// The piece of the tile that the block is of, and its place there.
    pub(crate) piece: usize,
    pub(crate) place: BlockBox,
    /// Its number, and its neighbours', in the tile.
    pub(crate) order: OrderEntry,
    /// For a piece's first block: the first block of a piece before.
    pub(crate) previous_box: Option<u32>,
}

impl Entry {
    /// The blocks that its context and its prediction come from.
    pub(crate) fn context_blocks(&self) -> impl Iterator<Item = usize> {
        self.order.neighbours().chain(self.previous_box.map(|block| block as usize))
    }
}

/// Blocks of a batch at most: what a tile has coded of them is learned when all are.
pub(crate) const BATCH: usize = 64;

/// The order in which a tile's entries are coded, as numbers of entries: batches of blocks of which
/// none depends on another. A block comes after all that it is predicted from, as early as it can.
#[allow(clippy::arithmetic_side_effects, reason = "numbers of a tile's blocks")]
pub(crate) fn batches(entries: &[Entry]) -> Vec<Vec<u32>> {
    let mut waves: Vec<Vec<u32>> = Vec::new();
    let mut wave_of = vec![0u32; entries.len()];
    for (number, entry) in entries.iter().enumerate() {
        let wave = entry.context_blocks().map(|block| wave_of[block] + 1).max().unwrap_or(0);
        wave_of[entry.order.block as usize] = wave;
        if waves.len() <= wave as usize {
            waves.push(Vec::new());
        }
        waves[wave as usize].push(number as u32);
    }
    waves.iter().flat_map(|wave| wave.chunks(BATCH)).map(<[u32]>::to_vec).collect()
}

/// The coding order of a tile whose pieces have these shapes.
#[allow(clippy::arithmetic_side_effects, reason = "indices of a tile's blocks")]
pub(crate) fn entries(pieces: &[[usize; 3]]) -> Vec<Entry> {
    let mut out = Vec::new();
    // The first block of each piece.
    let mut roots: Vec<Option<u32>> = Vec::new();
    let mut offset = 0;
    for (piece, &count) in pieces.iter().enumerate() {
        // Half of all pieces have the one before; and none waits for many.
        let previous_box = if piece > 0 { roots[piece & (piece - 1)] } else { None };
        let grid = BlockGrid::new(count);
        let mut first = None;
        for mut order in coding_order(count.map(|n| n.div_ceil(EDGE))) {
            let place = grid.block(order.block as usize);
            order.block += offset;
            order.sides = order.sides.map(|s| match s {
                Sides::None => Sides::None,
                Sides::Low(a) => Sides::Low(a + offset),
                Sides::High(a) => Sides::High(a + offset),
                Sides::Both(a, b) => Sides::Both(a + offset, b + offset),
            });
            let root = first.is_none();
            first.get_or_insert(order.block);
            out.push(Entry { piece, place, order, previous_box: if root { previous_box } else { None } });
        }
        roots.push(first.or(previous_box));
        offset += grid.len() as u32;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_hold_every_block_once_and_none_that_waits_for_another() {
        for pieces in
            [vec![[64, 64, 64]], vec![[8, 8, 8]; 300], vec![[20, 9, 8], [0, 1, 1], [30, 30, 30]], vec![]]
        {
            let entries = entries(&pieces);
            let mut coded = vec![false; entries.len()];
            for batch in batches(&entries) {
                assert!(!batch.is_empty() && batch.len() <= BATCH);
                for &number in &batch {
                    assert!(entries[number as usize].context_blocks().all(|block| coded[block]));
                }
                for &number in &batch {
                    let block = entries[number as usize].order.block as usize;
                    assert!(!std::mem::replace(&mut coded[block], true));
                }
            }
            assert!(coded.into_iter().all(|coded| coded));
        }
    }

    #[test]
    fn every_block_is_coded_once_and_after_its_neighbours() {
        for blocks in [[1, 1, 1], [8, 8, 8], [3, 5, 2], [1, 1, 9], [7, 1, 4], [0, 3, 3]] {
            let mut coded = vec![false; blocks.iter().product()];
            for entry in coding_order(blocks) {
                assert!(entry.neighbours().all(|n| coded[n]));
                assert!(!std::mem::replace(&mut coded[entry.block as usize], true));
            }
            assert!(coded.iter().all(|&c| c), "{blocks:?}");
        }
    }
}
