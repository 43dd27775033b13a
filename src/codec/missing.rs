//! Missing values: points at which a field has none, such as excised regions, land in an ocean
//! model, or padding.
//!
//! All missing points of a stream hold one bit pattern, the missing value: the fill value that the
//! caller states, or the most frequent NaN. Here it is found, and the values beside missing points
//! are continued over them. Which points of a tile are missing is a [`Mask`](crate::mask::Mask).

use crate::blocks::{Block, EDGE, VALUES};
use crate::element::Element;
use crate::engine::Engine;
use crate::mask::BlockMask;
use crate::threads;
use crate::view::FieldView;
use std::collections::BTreeMap;

/// The bits that stand for "missing" where a caller states a fill value; none for NaN, which is
/// found by itself.
pub(crate) fn stated<T: Element>(fill: Option<f64>) -> Option<u64> {
    fill.filter(|fill| !fill.is_nan()).map(|fill| T::from_f64(fill).bits())
}

/// What the values of a field are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Census {
    /// Values that hold the stated fill value.
    filled: usize,
    /// NaN by bit pattern.
    nan: BTreeMap<u64, usize>,
    /// Finite values that are not missing.
    pub(crate) numbers: usize,
}

impl Census {
    /// Of boxes whose missing values hold `fill`, where one is stated.
    pub(crate) fn of<T: Element>(engine: Engine, views: &[FieldView<'_, T>], fill: Option<u64>) -> Self {
        let slab = |(view, first): (&FieldView<'_, T>, usize)| {
            let mut census = Self::default();
            let [nx, ny, nz] = view.count();
            let slab = view.part([0, 0, first], [nx, ny, nz.saturating_sub(first).min(EDGE)]);
            slab.for_rows(|row| census.add(engine, row, fill));
            census
        };
        let slabs = |view| (0..FieldView::count(view)[2]).step_by(EDGE).map(move |first| (view, first));
        let slabs: Vec<_> = views.iter().filter(|view| !view.is_empty()).flat_map(slabs).collect();
        threads::map(slabs, slab).into_iter().fold(Self::default(), Self::union)
    }

    fn add<T: Element>(&mut self, engine: Engine, row: &[T], fill: Option<u64>) {
        // Most rows hold numbers only.
        let [finite, filled] = tally(engine, row, fill.unwrap_or_default());
        if finite < row.len() {
            self.add_nan(row);
        }
        self.numbers = self.numbers.saturating_add(finite);
        if let Some(fill) = fill {
            self.filled = self.filled.saturating_add(filled);
            let is_finite = T::of_bits(fill).to_f64().is_finite();
            self.numbers = self.numbers.saturating_sub(if is_finite { filled } else { 0 });
        }
    }

    fn add_nan<T: Element>(&mut self, row: &[T]) {
        // They come in runs.
        let same = |a: &T, b: &T| a.same_bits(*b);
        for run in row.chunk_by(same).filter(|run| run[0].to_f64().is_nan()) {
            let count = self.nan.entry(run[0].bits()).or_default();
            *count = count.saturating_add(run.len());
        }
    }

    fn union(mut self, other: Self) -> Self {
        for (bits, more) in other.nan {
            let count = self.nan.entry(bits).or_default();
            *count = count.saturating_add(more);
        }
        self.filled = self.filled.saturating_add(other.filled);
        self.numbers = self.numbers.saturating_add(other.numbers);
        self
    }

    /// The missing value as bits, and how many points hold it: the stated fill value where any
    /// does, else the most frequent NaN.
    pub(crate) fn missing(&self, fill: Option<u64>) -> Option<(u64, usize)> {
        if let Some(fill) = fill.filter(|_| self.filled > 0) {
            return Some((fill, self.filled));
        }
        // Of those that are as frequent, the one of fewest bits: the choice depends on no order.
        self.nan.iter().rev().max_by_key(|(_, count)| **count).map(|(bits, count)| (*bits, *count))
    }
}

crate::engine::for_engines! {
    /// How many values are finite, and how many have these bits.
    fn tally<T: Element>(row: &[T], bits: u64) -> [usize; 2] {
        let mut tally = [0usize; 2];
        for v in row {
            tally[0] = tally[0].wrapping_add(usize::from(v.to_f64().is_finite()));
            tally[1] = tally[1].wrapping_add(usize::from(v.bits() == bits));
        }
        tally
    }
}

/// The distance in a block between neighbours along x, y, z.
const STRIDES: [usize; 3] = [1, EDGE, EDGE * EDGE];

/// Continues the values of a block over its missing points, of `count` true values along x, y, z.
/// A decoder does it too, for blocks that are stored as they are: only additions, products and a
/// quotient, in a fixed order.
pub(crate) fn continue_over(block: &mut Block, count: [usize; 3], missing: &BlockMask) {
    let mut left: Vec<usize> = (0..VALUES).filter(|&i| missing.has(i)).collect();
    let mut known: [bool; VALUES] = std::array::from_fn(|i| !missing.has(i) && is_true(i, count));
    if !known.contains(&true) {
        block.fill(0.0);
        return;
    }
    // Outwards from what is known, a layer at a time.
    while !left.is_empty() {
        let layer: Vec<_> =
            left.iter().filter_map(|&i| Some((i, continued(block, &known, count, i)?))).collect();
        for &(i, value) in &layer {
            block[i] = value;
            known[i] = true;
        }
        left.retain(|&i| !known[i]);
    }
}

fn is_true(i: usize, count: [usize; 3]) -> bool {
    coordinates(i).into_iter().zip(count).all(|(at, n)| at < n)
}

/// The coordinates of an index of a block along x, y, z.
fn coordinates(i: usize) -> [usize; 3] {
    [i % EDGE, i / EDGE % EDGE, i / (EDGE * EDGE)]
}

/// The mean of what lines along the axes, both ways, make of a point; none where nothing beside it
/// is known.
fn continued(block: &Block, known: &[bool; VALUES], count: [usize; 3], i: usize) -> Option<f64> {
    let (mut sum, mut weights) = (0.0, 0.0);
    for (axis, stride) in STRIDES.into_iter().enumerate() {
        let at = coordinates(i)[axis];
        let below = |n: usize| (at >= n).then(|| i.wrapping_sub(stride.wrapping_mul(n)));
        let above =
            |n: usize| (at.wrapping_add(n) < count[axis]).then(|| i.wrapping_add(stride.wrapping_mul(n)));
        for [near, far] in [[below(1), below(2)], [above(1), above(2)]] {
            let value = |at: Option<usize>| at.filter(|&at| known[at]).map(|at| block[at]);
            let Some(near) = value(near) else { continue };
            // A line's slope counts half: lines that go on for long lead too far.
            let slope = value(far).map_or(0.0, |far| near - far);
            sum += near + 0.5 * slope;
            weights += 1.0;
        }
    }
    (weights > 0.0).then(|| sum / weights)
}
