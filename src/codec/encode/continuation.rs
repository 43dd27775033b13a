//! What the missing points of a block may hold: anything, so what takes the fewest bits.
//!
//! The residual of a prediction is fitted to the present values, by least squares with a ridge: a
//! coefficient is expected to be as large as the same one was in the neighbours and in the previous
//! step, as the entropy coder expects it. The fit fills the missing points.

use crate::blocks::{Block, VALUES};
use crate::computed::Computed;
use crate::engine::Engine;
use crate::legendre::{SCAN, forward, inverse};

/// Total degrees that are fitted at least and at most, and the coefficients of the most.
const FEWEST_DEGREES: usize = 4;
const MOST_DEGREES: usize = 8;
const MOST: usize = 120;

/// The basis at each point, in the order of [`SCAN`].
static BASIS: Computed<Vec<[f64; MOST]>> = Computed::new(|| {
    let mut basis = vec![[0.0; MOST]; VALUES];
    let mut values = [0.0; VALUES];
    for k in 0..MOST {
        let mut one = [0.0; VALUES];
        one[usize::from(SCAN.place[k])] = 1.0;
        inverse(Engine::SCALAR, &one, &mut values);
        basis.iter_mut().zip(values).for_each(|(row, value)| row[k] = value);
    }
    basis
});

/// The fit of a block: which points are present, and the factor of the normal equations.
pub(super) struct Continuation {
    present: [bool; VALUES],
    /// Coefficients that are fitted.
    count: usize,
    /// Cholesky's factor, row by row below the diagonal.
    factor: Vec<[f64; MOST]>,
}

impl Continuation {
    pub(super) fn empty() -> Self {
        Self { present: [true; VALUES], count: 0, factor: Vec::new() }
    }

    /// Sets the points that are neither missing nor padding, and what the residual's coefficients
    /// are expected to be ([`expected_sizes`]).
    pub(super) fn set(&mut self, engine: Engine, present: impl Iterator<Item = usize>, expected: &[f64]) {
        self.present = [false; VALUES];
        present.for_each(|i| self.present[i] = true);
        self.count = expected.len();
        self.factor.resize(MOST, [0.0; MOST]);
        let factor = &mut self.factor[..self.count];
        let present = self.present.iter().filter(|p| **p).count();
        // The sum over all points is the unit matrix.
        let few = 2 * present <= VALUES;
        for (i, row) in factor.iter_mut().enumerate() {
            row.fill(0.0);
            row[i] = if few { 0.0 } else { 1.0 };
        }
        let points: Vec<usize> = (0..VALUES).filter(|&i| self.present[i] == few).collect();
        for four in points.chunks(4) {
            let mut rows = [&[0.0; MOST]; 4];
            rows.iter_mut().zip(four).for_each(|(row, &i)| *row = &BASIS[i]);
            add_products(engine, rows, if few { 1.0 } else { -1.0 }, factor);
        }
        for (i, (row, size)) in factor.iter_mut().zip(expected).enumerate() {
            row[i] += NOISE * NOISE / (size * size);
        }
        decompose(engine, factor);
    }

    /// The coefficients of a block whose missing points are filled for a prediction.
    pub(super) fn complete(&self, engine: Engine, block: &Block, prediction: &Block, out: &mut Block) {
        let mut values = [0.0; VALUES];
        inverse(engine, prediction, &mut values);
        let mut left: Block =
            std::array::from_fn(|i| if self.present[i] { block[i] - values[i] } else { 0.0 });
        forward(engine, &left, &mut values);
        let mut right = [0.0; MOST];
        right.iter_mut().zip(SCAN.place).for_each(|(r, place)| *r = values[usize::from(place)]);
        solve(engine, &self.factor[..self.count], &mut right);
        let mut fitted = *prediction;
        right[..self.count].iter().zip(SCAN.place).for_each(|(r, place)| fitted[usize::from(place)] += r);
        inverse(engine, &fitted, &mut values);
        for i in 0..VALUES {
            left[i] = if self.present[i] { block[i] } else { values[i] };
        }
        forward(engine, &left, out);
    }
}

// Chosen by trial on a smooth field with an excised ball, scattered points, and coasts.

/// Errors of present values that do not matter, in quanta.
const NOISE: f64 = 0.2;
/// A coefficient may be so many times as large as its neighbours' …
const LARGER: f64 = 2.0;
/// … and, in quanta, so large where theirs are 0.
const LEAST: f64 = 0.3;
/// With each degree so much is left of the whole block's size.
const DECAY: f64 = 0.2;

/// How large, in quanta, the coefficients of a residual may be, in the order of [`SCAN`]: by how
/// large they were in the neighbours and in the previous step, and by the block's size.
pub(super) fn expected_sizes(neighbours: &[f32], size: f64, degrees: usize) -> Vec<f64> {
    let count = usize::from(SCAN.below[degrees.clamp(FEWEST_DEGREES, MOST_DEGREES)]);
    let expected = |k: usize| {
        let of_block = 2.0 * size * DECAY.powi(i32::from(SCAN.degree[k]));
        (LARGER * f64::from(neighbours[k])).hypot(LEAST).hypot(of_block)
    };
    (0..count).map(expected).collect()
}

crate::engine::for_engines! {
    /// Adds the products of the numbers of four rows, times a sign, below the diagonal.
    fn add_products(rows: [&[f64; MOST]; 4], sign: f64, out: &mut [[f64; MOST]]) {
        for i in 0..out.len() {
            let scale = [sign * rows[0][i], sign * rows[1][i], sign * rows[2][i], sign * rows[3][i]];
            let out = &mut out[i][..i + 1];
            for j in 0..out.len() {
                out[j] += scale[0] * rows[0][j] + scale[1] * rows[1][j]
                    + (scale[2] * rows[2][j] + scale[3] * rows[3][j]);
            }
        }
    }
}

/// Sums side by side are vectors to the processor.
const LANES: usize = 8;

#[inline(always)]
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f64 = a.remainder().iter().zip(b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in a.zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f64>() + rest
}

crate::engine::for_engines! {
    /// Cholesky's factor in the place of a matrix below its diagonal, whose diagonal is inverted.
    fn decompose(matrix: &mut [[f64; MOST]]) {
        for i in 0..matrix.len() {
            let (above, from) = matrix.split_at_mut(i);
            let row = &mut from[0];
            for j in 0..i {
                row[j] = (row[j] - dot(&row[..j], &above[j][..j])) * above[j][j];
            }
            let square = row[i] - dot(&row[..i], &row[..i]);
            row[i] = 1.0 / square.max(1e-12).sqrt();
        }
    }
}

crate::engine::for_engines! {
    /// Solves the equations of a factor, in place.
    fn solve(factor: &[[f64; MOST]], right: &mut [f64; MOST]) {
        for i in 0..factor.len() {
            right[i] = (right[i] - dot(&factor[i][..i], &right[..i])) * factor[i][i];
        }
        for i in (0..factor.len()).rev() {
            let value = right[i] * factor[i][i];
            right[i] = value;
            for j in 0..i {
                right[j] -= factor[i][j] * value;
            }
        }
    }
}
