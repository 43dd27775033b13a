//! How boxes are cut into tiles, and put back together.

use crate::blocks::{BlockBox, BlockGrid, EDGE, VALUES};
use crate::order::{Entry, entries};
use crate::prefetch::prefetch;
use std::array::from_fn;
use std::ops::Range;

/// Values along each edge of a tile.
pub const TILE: usize = 64;
/// Blocks in a full tile; a list of small boxes is cut into groups of at most so many.
pub(crate) const TILE_BLOCKS: usize = 512;

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

/// How many tiles a box begins, where the last one has room for so many more blocks; where it begins
/// none and has values, it joins that one.
fn begun(count: [usize; 3], room: &mut usize) -> usize {
    if count.contains(&0) {
        return 0;
    }
    if count.iter().any(|&n| n > TILE) {
        *room = 0;
        return count.iter().map(|n| n.div_ceil(TILE)).product();
    }
    let joins = *room >= blocks(count);
    let before = if joins { *room } else { TILE_BLOCKS };
    *room = before.saturating_sub(blocks(count));
    usize::from(!joins)
}

/// The tiles of a list of boxes, each a list of pieces.
pub(crate) fn tiles(boxes: &[[usize; 3]]) -> Vec<Vec<Piece>> {
    let mut out: Vec<Vec<Piece>> = Vec::new();
    let mut room = 0;
    for (of, &count) in boxes.iter().enumerate().filter(|(_, count)| !count.contains(&0)) {
        if begun(count, &mut room) == 0
            && let Some(tile) = out.last_mut()
        {
            tile.push(Piece { of, start: [0; 3], count });
            continue;
        }
        let along = |a: usize| (0..count[a]).step_by(TILE);
        for z in along(2) {
            for y in along(1) {
                for x in along(0) {
                    let start = [x, y, z];
                    let part = from_fn(|a| count[a].saturating_sub(start[a]).min(TILE));
                    out.push(vec![Piece { of, start, count: part }]);
                }
            }
        }
    }
    out
}

/// How many tiles [`tiles`] gives, without making them.
pub(crate) fn tile_count(boxes: &[[usize; 3]]) -> usize {
    let mut room = 0;
    boxes.iter().map(|&count| begun(count, &mut room)).fold(0, usize::saturating_add)
}

/// Whether a tile holds values of regions, one of each box; of a box that has none it does not.
pub(crate) fn touches(tile: &[Piece], regions: &[[Range<usize>; 3]]) -> bool {
    let shares = |piece: &Piece, region: &Range<usize>, a: usize| {
        let end = piece.start[a].saturating_add(piece.count[a]);
        region.start.max(piece.start[a]) < region.end.min(end)
    };
    let touches = |piece: &Piece| {
        let region = regions.get(piece.of);
        region.is_some_and(|region| (0..3).all(|a| shares(piece, &region[a], a)))
    };
    tile.iter().any(touches)
}

/// The coding order of a tile.
pub(crate) fn entries_of(tile: &[Piece]) -> Vec<Entry> {
    entries(&tile.iter().map(|p| p.count).collect::<Vec<_>>())
}

/// Where a piece's values go: the rows of it that lie in the region that is asked for.
pub(crate) struct Window<'a, T> {
    /// First and behind the last point, `[x, y, z]` in the piece.
    lo: [usize; 3],
    hi: [usize; 3],
    /// `[z, y]`, each of all x between `lo` and `hi`.
    rows: Vec<&'a mut [T]>,
}

#[allow(clippy::arithmetic_side_effects, reason = "places in a tile of 64 values along each edge")]
impl<T: Copy> Window<'_, T> {
    /// Whether nothing of the piece is asked for.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Asks for the memory that a block will be put to.
    pub(crate) fn fetch(&self, place: BlockBox) {
        if self.is_empty() {
            return;
        }
        let [x, y, z] = place.start;
        let columns = self.hi[1].saturating_sub(self.lo[1]);
        for k in z.max(self.lo[2])..(z + place.count[2]).min(self.hi[2]) {
            for j in y.max(self.lo[1])..(y + place.count[1]).min(self.hi[1]) {
                let row = &self.rows[(k - self.lo[2]) * columns + j - self.lo[1]];
                let row = row.get(x.saturating_sub(self.lo[0])..).unwrap_or_default();
                prefetch(row.first_chunk::<EDGE>().map_or(row, |row| row));
            }
        }
    }

    /// Whether it needs anything of a block.
    pub(crate) fn needs(&self, place: BlockBox) -> bool {
        let needs =
            |a: usize| place.start[a].max(self.lo[a]) < (place.start[a] + place.count[a]).min(self.hi[a]);
        !self.is_empty() && (0..3).all(needs)
    }

    /// Its rows, each with the place in the piece of its first value.
    pub(crate) fn rows(&mut self) -> impl Iterator<Item = ([usize; 3], &mut [T])> {
        let ([x, y, z], columns) = (self.lo, self.hi[1].saturating_sub(self.lo[1]).max(1));
        let rows = self.rows.iter_mut().enumerate();
        rows.map(move |(i, row)| ([x, y + i % columns, z + i / columns], &mut **row))
    }

    /// Takes what it needs of a block.
    pub(crate) fn put(&mut self, place: BlockBox, block: &[T; VALUES]) {
        self.put_with(place, block, |row| *row);
    }

    /// Takes what it needs of a block, each row as `narrow` makes it.
    pub(crate) fn put_with<F>(
        &mut self,
        place: BlockBox,
        block: &[F; VALUES],
        narrow: impl Fn(&[F; EDGE]) -> [T; EDGE],
    ) {
        let lo: [usize; 3] = from_fn(|a| place.start[a].max(self.lo[a]));
        let hi: [usize; 3] = from_fn(|a| (place.start[a] + place.count[a]).min(self.hi[a]));
        if (0..3).any(|a| lo[a] >= hi[a]) {
            return;
        }
        let [x, y, z] = place.start;
        let columns = self.hi[1] - self.lo[1];
        let (rows, _) = block.as_chunks();
        for k in lo[2]..hi[2] {
            for j in lo[1]..hi[1] {
                let to = &mut self.rows[(k - self.lo[2]) * columns + j - self.lo[1]];
                let to = &mut to[lo[0] - self.lo[0]..hi[0] - self.lo[0]];
                let from = narrow(&rows[(k - z) * EDGE + j - y]);
                match to.first_chunk_mut() {
                    // A length that the compiler knows costs no call.
                    Some(to) => *to = from,
                    None => to.copy_from_slice(&from[lo[0] - x..hi[0] - x]),
                }
            }
        }
    }
}

/// Bytes of [`windows`]: a slice for each row of the regions.
pub(crate) fn memory_of_windows<T>(regions: &[[Range<usize>; 3]]) -> usize {
    // Without values, none: an empty region may be of any extent along its other axes.
    let with_values = regions.iter().filter(|[x, ..]| !x.is_empty());
    let rows = with_values.map(|[_, y, z]| y.len().saturating_mul(z.len()));
    rows.fold(0, usize::saturating_add).saturating_mul(size_of::<&mut [T]>())
}

/// The windows of all pieces of [`tiles`], tile by tile, on a part of each box: `out` holds the
/// values of the regions. Boxes fit the address space, and regions lie in them.
#[allow(clippy::arithmetic_side_effects, reason = "indices in boxes that were checked")]
pub(crate) fn windows<'a, T>(
    tiles: &[Vec<Piece>],
    boxes: &[[usize; 3]],
    regions: &[[Range<usize>; 3]],
    out: &'a mut [&mut [T]],
) -> Vec<Vec<Window<'a, T>>> {
    let window = |piece: &Piece| {
        let region = &regions[piece.of];
        let within =
            |a: usize, at: usize| at.clamp(piece.start[a], piece.start[a] + piece.count[a]) - piece.start[a];
        let (lo, hi) = (from_fn(|a| within(a, region[a].start)), from_fn(|a| within(a, region[a].end)));
        Window { lo, hi, rows: Vec::new() }
    };
    let mut windows: Vec<Vec<_>> = tiles.iter().map(|t| t.iter().map(window).collect()).collect();
    // Pieces come in the order of their boxes and, in a box, of their place.
    let mut pieces: Vec<&mut Window<'a, T>> = windows.iter_mut().flatten().collect();
    let mut first = 0;
    for ((count, [rx, ry, rz]), out) in boxes.iter().zip(regions).zip(out) {
        let [tx, ty, tz] = if count.contains(&0) { [0; 3] } else { count.map(|n| n.div_ceil(TILE)) };
        let mut left = &mut out[..];
        // Not to walk along an axis of any length for no value at all.
        if !left.is_empty() {
            for z in rz.clone() {
                for y in ry.clone() {
                    let row = first + (z / TILE * ty + y / TILE) * tx;
                    for x in rx.start / TILE..rx.end.div_ceil(TILE) {
                        let n = rx.end.min((x + 1) * TILE) - rx.start.max(x * TILE);
                        let (part, rest) = left.split_at_mut(n);
                        pieces[row + x].rows.push(part);
                        left = rest;
                    }
                }
            }
        }
        first += tx * ty * tz;
    }
    windows
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
            vec![[13, 5, 16], [65, 1, 1], [64, 64, 64], [3, 3, 3], [1000, 0, 1], [1, 1, 1000]],
        ] {
            let tiles = tiles(&boxes);
            let values: usize = tiles.iter().flatten().map(|p| p.count.iter().product::<usize>()).sum();
            assert_eq!(values, boxes.iter().map(|c| c.iter().product::<usize>()).sum::<usize>());
            assert_eq!(tiles.len(), tile_count(&boxes));
            for tile in tiles {
                assert!(tile.iter().map(|p| blocks(p.count)).sum::<usize>() <= TILE_BLOCKS);
            }
        }
    }
}
