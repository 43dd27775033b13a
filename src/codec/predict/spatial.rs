//! Spatial prediction: a block's coefficients of low degree, interpolated from those of its coded
//! neighbours.
//!
//! Along one axis, for every pair of low transverse degrees, the four lowest coefficients between
//! two blocks are a linear function of the four lowest of each. A Hermite interpolation gives such
//! a function; these were fitted to evolved black-hole binaries instead, rounded coefficients in
//! and true ones out, then made symmetric: they serve better, and any smooth field looks alike at
//! this scale. Estimates along several axes are averaged.

#![allow(clippy::arithmetic_side_effects, reason = "places in blocks")]

use crate::blocks::{Block, EDGE};
use crate::element::Element;
use crate::engine::Engine;
use crate::order::{OrderEntry, Sides};
use crate::vector::{Row, VectorReal, for_vectors};
use std::array::from_fn;

/// Degrees along an axis that take part.
pub(crate) const LOW: usize = 4;
/// Coefficients of a block that take part: degrees below [`LOW`] along every axis.
pub(crate) const CORNER: usize = LOW * LOW * LOW;

/// The coefficients that take part, x fastest.
pub(crate) type Corner = [f64; CORNER];

/// `[degree of the result][degree of the neighbour]`.
type Weights = [[f64; LOW]; LOW];

/// From the lower of two neighbours, by log₂ of their distance; from the upper one the odd degrees
/// change sign.
const BETWEEN: [Weights; 3] = [
    [
        [0.5, 0.968, 1.05, 1.38],
        [-0.302, -0.566, -0.641, -0.69],
        [0.0, -0.05, -0.055, -0.2],
        [0.0245, 0.085, 0.14, 0.18],
    ],
    [[0.5, 1.0, 0.0, 0.0], [-0.12, -0.35, 0.0, 0.0], [0.0; 4], [0.0; 4]],
    [[0.5, 1.5, 0.0, 0.0], [-0.07, -0.3, 0.0, 0.0], [0.0; 4], [0.0; 4]],
];

/// From a lower neighbour alone.
const BEYOND: [Weights; 3] = [
    [[1.0, 2.2, 2.8, 4.0], [0.0, 0.17, 0.35, 0.66], [0.0, -0.085, -0.13, -0.33], [0.0, 0.038, 0.12, 0.19]],
    [[1.0, 1.8, 0.0, 0.0], [0.0; 4], [0.0; 4], [0.0; 4]],
    [[1.0, 3.0, 0.0, 0.0], [0.0; 4], [0.0; 4], [0.0; 4]],
];

/// The entries of a corner of degree 0 along an axis: the mean, and the slopes along the two
/// others.
pub(crate) const fn across(axis: usize) -> [usize; 3] {
    const STRIDES: [usize; 3] = [1, LOW, LOW * LOW];
    [0, STRIDES[(axis + 1) % 3], STRIDES[(axis + 2) % 3]]
}

/// What a corner makes likely of those of the block beyond it.
pub(crate) fn beyond(corner: &Corner, axis: usize) -> [f64; 3] {
    let stride = [1, LOW, LOW * LOW][axis];
    let along = |first: usize| (0..LOW).map(|of| BEYOND[0][0][of] * corner[first + of * stride]).sum();
    across(axis).map(along)
}

/// Place in a block of a corner's entry.
const fn place(entry: usize) -> usize {
    (entry / (LOW * LOW) * EDGE + entry / LOW % LOW) * EDGE + entry % LOW
}

crate::engine::for_engines! {
    /// The corner of a block.
    pub(crate) fn corner<T: Element>(block: &[T]) -> Corner {
        let mut out = [0.0; CORNER];
        for row in 0..LOW * LOW {
            let from = &block[place(row * LOW)..][..LOW];
            for i in 0..LOW {
                out[row * LOW + i] = from[i].to_f64();
            }
        }
        out
    }
}

/// The corner's entry of a place in a block.
pub(crate) const fn entry(place: usize) -> usize {
    (place / (EDGE * EDGE) * LOW + place / EDGE % EDGE) * LOW + place % EDGE
}

crate::engine::for_engines! {
    /// The corner of a block whose coefficients are rounded to the field's type.
    pub(crate) fn rounded_corner<T: Element>(block: &Block) -> Corner {
        let mut out = [0.0; CORNER];
        for row in 0..LOW * LOW {
            let from = &block[place(row * LOW)..][..LOW];
            for i in 0..LOW {
                out[row * LOW + i] = T::from_f64(from[i]).to_f64();
            }
        }
        out
    }
}

/// Whether neighbours of this level are close enough to say anything.
pub(crate) fn reaches(level: u8) -> bool {
    usize::from(level) < BETWEEN.len()
}

/// Adds the prediction of a block from its neighbours to `out`; `corner` gives their low
/// coefficients.
///
/// Canonical arithmetic: for each axis x, y, z in entry, for each neighbour (lower first) in
/// ascending degree, fused multiply-adds onto 0; then the sums are divided by the number of axes
/// and added.
pub(crate) fn predict(engine: Engine, entry: &OrderEntry, corner: impl Fn(usize) -> Corner, out: &mut Block) {
    let level = usize::from(entry.level);
    let axes = entry.sides.iter().filter(|&&s| s != Sides::None).count();
    if axes == 0 || !reaches(entry.level) {
        return;
    }
    let mut sum = [0.0; CORNER];
    for (axis, side) in entry.sides.into_iter().enumerate() {
        match side {
            Sides::None => {}
            Sides::Low(low) => gather(engine, &BEYOND[level], axis, 1.0, &corner(low as usize), &mut sum),
            Sides::High(high) => gather(engine, &BEYOND[level], axis, -1.0, &corner(high as usize), &mut sum),
            Sides::Both(low, high) => {
                gather(engine, &BETWEEN[level], axis, 1.0, &corner(low as usize), &mut sum);
                gather(engine, &BETWEEN[level], axis, -1.0, &corner(high as usize), &mut sum);
            }
        }
    }
    let share = 1.0 / axes as f64;
    for (entry, s) in sum.into_iter().enumerate() {
        out[place(entry)] += s * share;
    }
}

/// The weights of a neighbour along an axis; of an upper one the odd degrees change sign.
fn mirrored(weights: &Weights, mirror: f64) -> Weights {
    let sign = |to: usize, of: usize| if (to + of).is_multiple_of(2) { 1.0 } else { mirror };
    from_fn(|to| from_fn(|of| sign(to, of) * weights[to][of]))
}

/// Adds what a neighbour makes likely.
fn gather(engine: Engine, weights: &Weights, axis: usize, mirror: f64, from: &Corner, sum: &mut Corner) {
    let weights = mirrored(weights, mirror);
    match axis {
        0 => gather_x(engine, &weights, from, sum),
        1 => gather_y(engine, &weights, from, sum),
        _ => gather_z(engine, &weights, from, sum),
    }
}

// A register has two rows of a corner, which lie side by side along y. Each entry is a sum over the
// neighbour's degrees along the axis, from the lowest on.

for_vectors! {
    fn gather_x<F: VectorReal, V>(weights: &[[F; LOW]; LOW], from: &[F; CORNER], sum: &mut [F; CORNER]) {
        // SAFETY: `for_vectors!` takes registers that the engine has.
        let load = |row: &Row<F>| unsafe { V::load(row) };
        let column = |of: usize| {
            let [a, b, c, d] = [weights[0][of], weights[1][of], weights[2][of], weights[3][of]];
            load(&[a, b, c, d, a, b, c, d])
        };
        let columns = [column(0), column(1), column(2), column(3)];
        let (from, _) = from.as_chunks::<EDGE>();
        let (sum, _) = sum.as_chunks_mut::<EDGE>();
        for (from, sum) in from.iter().zip(sum) {
            let each = |of: usize| {
                let (a, b) = (from[of], from[LOW + of]);
                load(&[a, a, a, a, b, b, b, b])
            };
            let s = columns[0].fused(each(0), load(sum));
            let s = columns[1].fused(each(1), s);
            let s = columns[2].fused(each(2), s);
            columns[3].fused(each(3), s).store(sum);
        }
    }
}

for_vectors! {
    fn gather_y<F: VectorReal, V>(weights: &[[F; LOW]; LOW], from: &[F; CORNER], sum: &mut [F; CORNER]) {
        // SAFETY: as above.
        let load = |row: &Row<F>| unsafe { V::load(row) };
        let (from, _) = from.as_chunks::<{ LOW * LOW }>();
        let (sum, _) = sum.as_chunks_mut::<{ LOW * LOW }>();
        for (from, sum) in from.iter().zip(sum) {
            let each = |of: usize| {
                let [a, b, c, d] = [from[4 * of], from[4 * of + 1], from[4 * of + 2], from[4 * of + 3]];
                load(&[a, b, c, d, a, b, c, d])
            };
            let rows = [each(0), each(1), each(2), each(3)];
            let (sum, _) = sum.as_chunks_mut::<EDGE>();
            for (to, sum) in sum.iter_mut().enumerate() {
                let weight = |of: usize| {
                    let (a, b) = (weights[2 * to][of], weights[2 * to + 1][of]);
                    load(&[a, a, a, a, b, b, b, b])
                };
                let s = weight(0).fused(rows[0], load(sum));
                let s = weight(1).fused(rows[1], s);
                let s = weight(2).fused(rows[2], s);
                weight(3).fused(rows[3], s).store(sum);
            }
        }
    }
}

for_vectors! {
    fn gather_z<F: VectorReal, V>(weights: &[[F; LOW]; LOW], from: &[F; CORNER], sum: &mut [F; CORNER]) {
        // SAFETY: as above.
        let load = |row: &Row<F>| unsafe { V::load(row) };
        let (from, _) = from.as_chunks::<EDGE>();
        let (sum, _) = sum.as_chunks_mut::<EDGE>();
        for half in 0..2 {
            let row = |of: usize| load(&from[2 * of + half]);
            let rows = [row(0), row(1), row(2), row(3)];
            for (to, weights) in weights.iter().enumerate() {
                let sum = &mut sum[2 * to + half];
                let s = rows[0].all(weights[0]).fused(rows[0], load(sum));
                let s = rows[1].all(weights[1]).fused(rows[1], s);
                let s = rows[2].all(weights[2]).fused(rows[2], s);
                rows[3].all(weights[3]).fused(rows[3], s).store(sum);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blocks::VALUES;

    #[test]
    fn a_constant_field_is_predicted() {
        let entry = OrderEntry { block: 1, level: 0, sides: [Sides::Both(0, 2), Sides::Low(3), Sides::None] };
        let mut out = [0.0; VALUES];
        let constant = std::array::from_fn(|i| if i == 0 { 2.0 } else { 0.0 });
        predict(Engine::SCALAR, &entry, |_| constant, &mut out);
        assert!((out[0] - 2.0).abs() < 1e-15);
        assert!(out[1..].iter().all(|c| c.abs() < 1e-15));
    }
}
