//! How boxes are cut into tiles, and put back together.

use super::tile::{Turn, turns};
use crate::Value;
use crate::blocks::BlockGrid;
use std::ops::Range;

/// Values along each edge of a tile.
pub const TILE: usize = 64;
/// Blocks in a full tile; a list of small boxes is cut into groups of at most so many.
const TILE_BLOCKS: usize = 512;

/// A part of a box: which one, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) of: usize,
    pub(crate) start: [usize; 3],
    pub(crate) count: [usize; 3],
}

fn blocks(count: [usize; 3]) -> usize {
    BlockGrid::new(count).len()
}

/// The tiles of a list of boxes, each a list of pieces.
pub(crate) fn tiles(boxes: &[[usize; 3]]) -> Vec<Vec<Piece>> {
    let mut out: Vec<Vec<Piece>> = Vec::new();
    let mut room = 0;
    for (of, &count) in boxes.iter().enumerate() {
        if count.contains(&0) {
            continue;
        }
        if count.iter().all(|&n| n <= TILE) {
            let piece = Piece { of, start: [0; 3], count };
            match out.last_mut() {
                Some(tile) if room >= blocks(count) => tile.push(piece),
                _ => {
                    out.push(vec![piece]);
                    room = TILE_BLOCKS;
                }
            }
            room -= blocks(count);
            continue;
        }
        let along = |a: usize| (0..count[a]).step_by(TILE);
        for z in along(2) {
            for y in along(1) {
                for x in along(0) {
                    let start = [x, y, z];
                    let part = std::array::from_fn(|a| (count[a] - start[a]).min(TILE));
                    out.push(vec![Piece { of, start, count: part }]);
                }
            }
        }
        room = 0;
    }
    out
}

/// How many tiles [`tiles`] would give, at least, without making them.
pub(crate) fn least_tiles(boxes: &[[usize; 3]]) -> usize {
    let blocks = boxes.iter().fold(0usize, |n, &count| n.saturating_add(blocks(count)));
    blocks.div_ceil(TILE_BLOCKS)
}

/// The turns of a tile's blocks.
pub(crate) fn turns_of(tile: &[Piece]) -> Vec<Turn> {
    turns(&tile.iter().map(|p| p.count).collect::<Vec<_>>())
}

impl Piece {
    /// What it shares with a region of its box: `(first, behind the last)`, or nothing.
    fn shared(&self, region: &[Range<usize>; 3]) -> Option<([usize; 3], [usize; 3])> {
        let lo: [usize; 3] = std::array::from_fn(|a| self.start[a].max(region[a].start));
        let hi: [usize; 3] = std::array::from_fn(|a| (self.start[a] + self.count[a]).min(region[a].end));
        (0..3).all(|a| lo[a] < hi[a]).then_some((lo, hi))
    }

    /// Whether any of it lies in a region of its box.
    pub(crate) fn touches(&self, region: &[Range<usize>; 3]) -> bool {
        self.shared(region).is_some()
    }

    /// Copies the part that lies in a region of its box.
    pub(crate) fn copy<T: Value>(&self, values: &[T], region: &[Range<usize>; 3], out: &mut [T]) {
        let Some((lo, hi)) = self.shared(region) else { return };
        let n = hi[0] - lo[0];
        for z in lo[2]..hi[2] {
            for y in lo[1]..hi[1] {
                let [px, py, pz] = self.start;
                let from = ((z - pz) * self.count[1] + y - py) * self.count[0] + lo[0] - px;
                let [rx, ry, rz] = [&region[0], &region[1], &region[2]];
                let to = ((z - rz.start) * ry.len() + y - ry.start) * rx.len() + lo[0] - rx.start;
                out[to..to + n].copy_from_slice(&values[from..from + n]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_hold_every_value_once() {
        for boxes in [
            vec![],
            vec![[0, 5, 5]],
            vec![[96, 130, 7]],
            vec![[8, 8, 8]; 2000],
            vec![[13, 5, 16], [65, 1, 1], [64, 64, 64], [3, 3, 3]],
        ] {
            let tiles = tiles(&boxes);
            let values: usize = tiles.iter().flatten().map(|p| p.count.iter().product::<usize>()).sum();
            assert_eq!(values, boxes.iter().map(|c| c.iter().product::<usize>()).sum::<usize>());
            assert!(tiles.len() >= least_tiles(&boxes));
            for tile in tiles {
                assert!(tile.iter().map(|p| blocks(p.count)).sum::<usize>() <= TILE_BLOCKS);
            }
        }
    }
}
