//! Blocks as polynomials: the orthonormal discrete Legendre (Gram) basis on 8 points, along each axis.
//!
//! Smooth fields have few coefficients in it, and, unlike a cosine transform, it asks nothing of the block's edges.
//! Coefficient `(i, j, k)` of degrees along x, y, z lies at `(k·8 + j)·8 + i`, as values do.

use crate::blocks::{EDGE, VALUES};
use crate::engine::{Engine, for_engines};
use std::sync::LazyLock;

/// A block's values or coefficients.
pub(crate) type Block = [f64; VALUES];

type Matrix = [[f64; EDGE]; EDGE];

/// The Gram polynomials on 8 points in integers, and the squares of their lengths: every machine gets the same
/// numbers from them with one square root and one division, both correctly rounded.
const ROWS: [([i32; EDGE], f64); EDGE] = [
    ([1, 1, 1, 1, 1, 1, 1, 1], 8.0),
    ([-7, -5, -3, -1, 1, 3, 5, 7], 168.0),
    ([7, 1, -3, -5, -5, -3, 1, 7], 168.0),
    ([-7, 5, 7, 3, -3, -7, -5, 7], 264.0),
    ([7, -13, -3, 9, 9, -3, -13, 7], 616.0),
    ([-7, 23, -17, -15, 15, 17, -23, 7], 2184.0),
    ([1, -5, 9, -5, -5, 9, -5, 1], 264.0),
    ([-1, 7, -21, 35, -35, 21, -7, 1], 3432.0),
];

/// `[degree][point]`.
static BASIS: LazyLock<Matrix> =
    LazyLock::new(|| ROWS.map(|(row, square)| row.map(|v| f64::from(v) / square.sqrt())));

/// `[point][degree]`.
static TRANSPOSED: LazyLock<Matrix> = LazyLock::new(|| transposed(&BASIS));

fn transposed(m: &Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| m[j][i]))
}

/// Coefficients of a block.
pub(crate) fn forward(engine: Engine, block: &Block, out: &mut Block) {
    apply(engine, &BASIS, &TRANSPOSED, block, out);
}

/// Values of a block, in the canonical arithmetic: along z, then y, then x, each sum starts as its first product and
/// goes on with fused multiply-adds in ascending degree.
pub(crate) fn inverse(engine: Engine, coefficients: &Block, out: &mut Block) {
    apply(engine, &TRANSPOSED, &BASIS, coefficients, out);
}

type Row = [f64; EDGE];

/// Eight rows, so many values from one to the next. Written out, for otherwise the compiler copies them with calls.
#[inline(always)]
fn rows(block: &Block, first: usize, step: usize) -> [Row; EDGE] {
    let row = |i: usize| *block[first + i * step..].first_chunk().expect("rows lie in their block");
    [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)]
}

/// `Σ weights · rows`, from the first to the last.
#[inline(always)]
fn sum(weights: &Row, rows: &[Row; EDGE]) -> Row {
    let mut sum = rows[0].map(|v| weights[0] * v);
    for (weight, row) in weights.iter().zip(rows).skip(1) {
        for (sum, v) in sum.iter_mut().zip(row) {
            *sum = weight.mul_add(*v, *sum);
        }
    }
    sum
}

/// `m · rows`. Written out, for otherwise the compiler makes vectors of the wrong index.
#[inline(always)]
fn product(m: &Matrix, rows: &[Row; EDGE]) -> [Row; EDGE] {
    [
        sum(&m[0], rows),
        sum(&m[1], rows),
        sum(&m[2], rows),
        sum(&m[3], rows),
        sum(&m[4], rows),
        sum(&m[5], rows),
        sum(&m[6], rows),
        sum(&m[7], rows),
    ]
}

for_engines! {
    /// Applies `m` along z, y and x; `t` is its transpose.
    fn apply(m: &Matrix, t: &Matrix, block: &Block, out: &mut Block) {
        const E: usize = EDGE;
        for y in 0..E {
            let rows = rows(block, y * E, E * E);
            for (k, sum) in product(m, &rows).into_iter().enumerate() {
                out[(k * E + y) * E..][..E].copy_from_slice(&sum);
            }
        }
        for z in 0..E {
            let rows = rows(out, z * E * E, E);
            for (y, row) in product(m, &rows).iter().enumerate() {
                out[(z * E + y) * E..][..E].copy_from_slice(&sum(row, t));
            }
        }
    }
}

/// How coefficients are listed: ascending total degree, then ascending place.
pub(crate) struct Scan {
    /// Place in the block of each entry of the list.
    pub(crate) place: [u16; VALUES],
    /// Total degree of each entry.
    pub(crate) degree: [u8; VALUES],
    /// Number of entries whose total degree is below d, d from 0 to 22.
    pub(crate) below: [u16; DEGREES + 1],
}

/// Total degrees that there are: 0 to 21.
pub(crate) const DEGREES: usize = 3 * (EDGE - 1) + 1;

/// The one list.
pub(crate) static SCAN: LazyLock<Scan> = LazyLock::new(|| {
    let degree_of = |p: u16| (p % 8 + p / 8 % 8 + p / 64) as u8;
    let mut place: [u16; VALUES] = std::array::from_fn(|i| i as u16);
    place.sort_by_key(|&p| (degree_of(p), p));
    let degree = place.map(degree_of);
    let below = std::array::from_fn(|d| degree.iter().filter(|&&of| usize::from(of) < d).count() as u16);
    Scan { place, degree, below }
});

/// Total degree + 1, by place.
pub(crate) const SHELL: [u32; VALUES] = {
    let mut out = [0; VALUES];
    let mut k = 0;
    while k < VALUES {
        out[k] = (k % 8 + k / 8 % 8 + k / 64 + 1) as u32;
        k += 1;
    }
    out
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_basis_is_orthonormal_and_the_transform_inverts() {
        for (i, a) in BASIS.iter().enumerate() {
            for (j, b) in BASIS.iter().enumerate() {
                let product: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-15);
            }
        }
        let block: Block = std::array::from_fn(|i| ((i * 7919) % 1013) as f64 - 500.0);
        for engine in Engine::available() {
            let (mut coefficients, mut back) = ([0.0; VALUES], [0.0; VALUES]);
            forward(engine, &block, &mut coefficients);
            inverse(engine, &coefficients, &mut back);
            assert!(back.iter().zip(block).all(|(a, b)| (a - b).abs() < 1e-11));
        }
    }

    #[test]
    fn a_cubic_has_no_coefficient_above_degree_three() {
        let block: Block = std::array::from_fn(|i| {
            let [x, y, z] = [i % 8, i / 8 % 8, i / 64].map(|n| n as f64);
            1.0 + x * y * z - z.powi(3) + x * x
        });
        let mut c = [0.0; VALUES];
        forward(Engine::best(), &block, &mut c);
        for (&place, &degree) in SCAN.place.iter().zip(&SCAN.degree) {
            assert!(degree <= 3 || c[usize::from(place)].abs() < 1e-9);
        }
    }
}
