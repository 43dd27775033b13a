//! Cutting a box into 8×8×8 blocks, and putting them back.
//!
//! Blocks are counted with x fastest, as values are within a block. Where an edge of the box is not
//! a multiple of 8 the last block is padded by odd reflection about its last value (`2·v[n−1] −
//! v[2(n−1)−i]`), which continues a smooth field with a continuous slope; a jump would cost
//! latents.

#![allow(
    clippy::arithmetic_side_effects,
    reason = "places in blocks, and in boxes that fit the address space"
)]

use crate::element::Element;
use crate::prefetch::prefetch;
use crate::view::FieldView;

/// Values along each edge of a block.
pub const EDGE: usize = 8;
/// Values in a block.
pub const VALUES: usize = EDGE * EDGE * EDGE;

/// A block's values or coefficients.
pub(crate) type Block<F = f64> = [F; VALUES];

/// The blocks of a box of `[nx, ny, nz]` values.
#[derive(Clone, Copy, Debug)]
pub struct BlockGrid {
    count: [usize; 3],
    blocks: [usize; 3],
}

/// One block's place in its box: first value and number of true values along x, y, z.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockBox {
    /// `[x, y, z]` of the first value.
    pub start: [usize; 3],
    /// True values along each axis, 1 to 8; the rest is padding.
    pub count: [usize; 3],
}

impl BlockBox {
    /// `(index in the block, [x, y, z] in the box)` of every true value, x fastest.
    pub fn values(self) -> impl Iterator<Item = (usize, [usize; 3])> {
        let Self { start, count } = self;
        (0..count[2]).flat_map(move |z| {
            (0..count[1]).flat_map(move |y| {
                (0..count[0])
                    .map(move |x| ((z * EDGE + y) * EDGE + x, [start[0] + x, start[1] + y, start[2] + z]))
            })
        })
    }

    /// Number of true values.
    pub fn len(self) -> usize {
        self.count.iter().product()
    }

    /// Whether it has none; never so for a block of a [`BlockGrid`].
    pub fn is_empty(self) -> bool {
        self.len() == 0
    }
}

impl BlockGrid {
    /// The blocks of a box.
    pub fn new(count: [usize; 3]) -> Self {
        Self { count, blocks: count.map(|n| n.div_ceil(EDGE)) }
    }

    /// Number of blocks.
    pub fn len(&self) -> usize {
        self.blocks.iter().product()
    }

    /// Whether the box is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Place of block `i`.
    pub fn block(&self, i: usize) -> BlockBox {
        let [bx, by, _] = self.blocks;
        let at = [i % bx, i / bx % by, i / (bx * by)];
        let start = at.map(|b| b * EDGE);
        BlockBox { start, count: std::array::from_fn(|a| (self.count[a] - start[a]).min(EDGE)) }
    }
}

/// Where the true values of a block lie in it, those that are missing left out.
pub(crate) struct Places {
    count: [usize; 3],
    /// Where some are missing: the others.
    present: Option<Vec<u16>>,
}

impl Places {
    pub(crate) fn of(place: BlockBox) -> Self {
        Self { count: place.count, present: None }
    }

    /// Without the places for which `missing` says so.
    pub(crate) fn without(place: BlockBox, missing: impl Fn(usize) -> bool) -> Self {
        let present = place.values().map(|(i, _)| i).filter(|&i| !missing(i)).map(|i| i as u16);
        Self { count: place.count, present: Some(present.collect()) }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.present.as_ref().map_or(self.count.iter().product(), Vec::len)
    }

    /// Index in the block of the n-th value.
    pub(crate) fn block(&self, n: u16) -> usize {
        let n = usize::from(n);
        if let Some(present) = &self.present {
            return usize::from(present[n]);
        }
        let [nx, ny, _] = self.count;
        (n / (nx * ny) * EDGE + n / nx % ny) * EDGE + n % nx
    }
}

/// Copies a block's true values out of the view; padding stays 0.
pub fn values<T: Element>(view: &FieldView<'_, T>, place: BlockBox, block: &mut [T; VALUES]) {
    let [nx, ny, nz] = place.count;
    let [x0, y0, z0] = place.start;
    if let Some(rows) = whole_rows(view, place) {
        let (to, _) = block.as_chunks_mut();
        to.iter_mut().zip(rows).for_each(|(to, row)| *to = *row);
        return;
    }
    block.fill(T::default());
    for z in 0..nz {
        for y in 0..ny {
            for x in 0..nx {
                block[(z * EDGE + y) * EDGE + x] = view.get([x0 + x, y0 + y, z0 + z]);
            }
        }
    }
}

/// The rows of a block along x, where it has no padding and they lie side by side in memory.
fn whole_rows<'a, T: Element>(
    view: &FieldView<'a, T>,
    place: BlockBox,
) -> Option<impl Iterator<Item = &'a [T; EDGE]>> {
    let is_whole = place.len() == VALUES;
    let (rows, [to_y, to_z]) = view.rows(place.start).filter(|_| is_whole)?;
    let row = move |i: usize| rows[i % EDGE * to_y + i / EDGE * to_z..].first_chunk();
    Some((0..EDGE * EDGE).filter_map(row))
}

/// Asks for a block that will be read.
pub(crate) fn fetch<T: Element>(view: &FieldView<'_, T>, place: BlockBox) {
    if let Some(rows) = whole_rows(view, place) {
        rows.for_each(|row| prefetch(row));
    }
}

/// Copies a block out of the view, in double precision, with its padding.
pub fn gather<T: Element>(view: &FieldView<'_, T>, place: BlockBox) -> [f64; VALUES] {
    let mut true_values = [T::default(); VALUES];
    values(view, place, &mut true_values);
    let mut block = true_values.map(Element::to_f64);
    pad_block(&mut block, place.count);
    block
}

/// Continues the true values of a block over its padding.
pub(crate) fn pad_block(block: &mut [f64; VALUES], count: [usize; 3]) {
    for (axis, step) in [1, EDGE, EDGE * EDGE].into_iter().enumerate() {
        pad(block, count, axis, step);
    }
}

/// Mean of a block.
pub fn mean(block: &[f64; VALUES]) -> f64 {
    block.iter().sum::<f64>() / VALUES as f64
}

/// Standard deviation of a block about a given value: what normalisation divides by, in training
/// and in the codec.
pub fn deviation(block: &[f64; VALUES], about: f64) -> f64 {
    let variance = block.iter().map(|v| (v - about) * (v - about)).sum::<f64>() / VALUES as f64;
    variance.sqrt()
}

/// Continues every line along `axis`; the axes before it are whole already.
fn pad(block: &mut [f64; VALUES], count: [usize; 3], axis: usize, step: usize) {
    let n = count[axis];
    if n == EDGE {
        return;
    }
    let lines = (0..VALUES).filter(|i| (i / step).is_multiple_of(EDGE));
    for line in lines {
        let edge = block[line + (n - 1) * step];
        for i in n..EDGE {
            let mirrored = (2 * (n - 1)).saturating_sub(i);
            block[line + i * step] = 2.0 * edge - block[line + mirrored * step];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linear_field_is_padded_linearly() {
        let [nx, ny, nz] = [13, 9, 12];
        let f = |x: usize, y: usize, z: usize| 1.0 + 2.0 * x as f64 - 3.0 * y as f64 + 0.5 * z as f64;
        let data: Vec<f64> = (0..nx * ny * nz).map(|i| f(i % nx, i / nx % ny, i / (nx * ny))).collect();
        let view = FieldView::dense(&data, [nx, ny, nz]).unwrap();
        let grid = BlockGrid::new(view.count());
        assert_eq!(grid.len(), 8);
        let last_along_x = grid.block(1);
        assert_eq!(last_along_x, BlockBox { start: [8, 0, 0], count: [5, 8, 8] });
        let block = gather(&view, last_along_x);
        for z in 0..8 {
            for y in 0..8 {
                for x in 0..8 {
                    assert_eq!(block[(z * 8 + y) * 8 + x], f(8 + x, y, z));
                }
            }
        }
    }

    #[test]
    fn a_single_value_fills_its_block() {
        let view = FieldView::dense(&[7.0f32], [1, 1, 1]).unwrap();
        assert_eq!(gather(&view, BlockGrid::new([1, 1, 1]).block(0)), [7.0; VALUES]);
    }
}
