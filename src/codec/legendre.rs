//! Blocks as polynomials: the orthonormal discrete Legendre (Gram) basis on 8 points, along each
//! axis.
//!
//! Smooth fields have few coefficients in it, and, unlike a cosine transform, it asks nothing of
//! the block's edges. Coefficient `(i, j, k)` of degrees along x, y, z lies at `(k·8 + j)·8 + i`,
//! as values do.

#![allow(clippy::arithmetic_side_effects, reason = "places in blocks")]

use crate::blocks::{Block, EDGE, VALUES};
use crate::computed::Computed;
use crate::engine::{Engine, for_engines};
use std::array::from_fn;
use std::hint::black_box;
use std::ops::{Add, Mul, Sub};

/// `[degree][point]`, of the first four points: even degrees are symmetric, odd ones antisymmetric.
type Half<F> = [[F; EDGE / 2]; EDGE];

/// The Gram polynomials on 8 points in integers, the first half of each, and the squares of their
/// lengths: every machine gets the same numbers from them with one square root and one division,
/// both correctly rounded.
const ROWS: [([i32; EDGE / 2], f64); EDGE] = [
    ([1, 1, 1, 1], 8.0),
    ([-7, -5, -3, -1], 168.0),
    ([7, 1, -3, -5], 168.0),
    ([-7, 5, 7, 3], 264.0),
    ([7, -13, -3, 9], 616.0),
    ([-7, 23, -17, -15], 2184.0),
    ([1, -5, 9, -5], 264.0),
    ([-1, 7, -21, 35], 3432.0),
];

/// The basis in one precision: by degree, and the same once more as rows of eight points and of
/// eight degrees.
pub(crate) struct Basis<F> {
    half: Half<F>,
    points: [Row<F>; EDGE],
    /// Of the first four points.
    degrees: [Row<F>; EDGE / 2],
    /// 1 for even degrees, −1 for odd ones.
    signs: Row<F>,
}

static DOUBLE: Computed<Basis<f64>> = Computed::new(|| basis(|v| v));
static SINGLE: Computed<Basis<f32>> = Computed::new(|| basis(|v| v as f32));

fn basis<F: Real>(cast: impl Fn(f64) -> F) -> Basis<F> {
    let half = ROWS.map(|(row, square)| row.map(|v| f64::from(v) / square.sqrt()));
    let sign = |degree: usize| if degree.is_multiple_of(2) { 1.0 } else { -1.0 };
    let point = |degree: usize, p: usize| match p {
        0..4 => half[degree][p],
        _ => sign(degree) * half[degree][EDGE - 1 - p],
    };
    Basis {
        half: half.map(|row| row.map(&cast)),
        points: from_fn(|degree| from_fn(|p| cast(point(degree, p)))),
        degrees: from_fn(|p| from_fn(|degree| cast(half[degree][p]))),
        signs: from_fn(|degree| cast(sign(degree))),
    }
}

/// The numbers that blocks are of: doubles, and, where an encoder tries something, singles.
pub(crate) trait Real:
    Copy + Default + Add<Output = Self> + Sub<Output = Self> + Mul<Output = Self> + 'static
{
    fn fused(self, factor: Self, sum: Self) -> Self;
    fn basis() -> &'static Basis<Self>;
}

impl Real for f64 {
    #[inline(always)]
    fn fused(self, factor: Self, sum: Self) -> Self {
        self.mul_add(factor, sum)
    }

    fn basis() -> &'static Basis<Self> {
        &DOUBLE
    }
}

impl Real for f32 {
    #[inline(always)]
    fn fused(self, factor: Self, sum: Self) -> Self {
        self.mul_add(factor, sum)
    }

    fn basis() -> &'static Basis<Self> {
        &SINGLE
    }
}

/// Coefficients of a block, in the canonical arithmetic: along z, then y, then x, from v[i] +
/// v[7−i] for even degrees and v[i] − v[7−i] for odd ones, i from 0 to 3, each sum starts as its
/// first product and goes on with fused multiply-adds.
pub(crate) fn forward<F: Real>(engine: Engine, block: &Block<F>, out: &mut Block<F>) {
    to_coefficients(engine, F::basis(), block, out);
}

/// Values of a block, in the canonical arithmetic: along z, then y, then x, the sum of the even
/// degrees and that of the odd ones each start as their first product and go on with fused
/// multiply-adds in ascending degree; the first four points are their sums, the last four, from the
/// end, their differences.
pub(crate) fn inverse<F: Real>(engine: Engine, coefficients: &Block<F>, out: &mut Block<F>) {
    to_values(engine, F::basis(), coefficients, out);
}

type Row<F> = [F; EDGE];

/// Eight rows, so many values from one to the next. Written out, for otherwise the compiler copies
/// them with calls.
#[inline(always)]
fn rows<F: Real>(block: &Block<F>, first: usize, step: usize) -> [Row<F>; EDGE] {
    let row = |i: usize| *block[first + i * step..].first_chunk().expect("rows lie in their block");
    [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)]
}

#[inline(always)]
fn plus<F: Real>(a: &Row<F>, b: &Row<F>) -> Row<F> {
    let mut sum = *a;
    for (s, b) in sum.iter_mut().zip(b) {
        *s = *s + *b;
    }
    sum
}

#[inline(always)]
fn minus<F: Real>(a: &Row<F>, b: &Row<F>) -> Row<F> {
    let mut difference = *a;
    for (s, b) in difference.iter_mut().zip(b) {
        *s = *s - *b;
    }
    difference
}

/// `Σ weights · rows`, from the first to the last.
#[inline(always)]
fn sum<F: Real>(weights: [F; EDGE / 2], rows: [&Row<F>; EDGE / 2]) -> Row<F> {
    let mut sum = *rows[0];
    for v in &mut sum {
        *v = weights[0] * *v;
    }
    for (weight, row) in weights.iter().zip(rows).skip(1) {
        for (sum, v) in sum.iter_mut().zip(row) {
            *sum = weight.fused(*v, *sum);
        }
    }
    sum
}

#[inline(always)]
fn coefficients<F: Real>(half: &Half<F>, v: &[Row<F>; EDGE]) -> [Row<F>; EDGE] {
    let s = [plus(&v[0], &v[7]), plus(&v[1], &v[6]), plus(&v[2], &v[5]), plus(&v[3], &v[4])];
    let d = [minus(&v[0], &v[7]), minus(&v[1], &v[6]), minus(&v[2], &v[5]), minus(&v[3], &v[4])];
    let (s, d) = (s.each_ref(), d.each_ref());
    // Written out, for otherwise the compiler makes vectors of the wrong index.
    [
        sum(half[0], s),
        sum(half[1], d),
        sum(half[2], s),
        sum(half[3], d),
        sum(half[4], s),
        sum(half[5], d),
        sum(half[6], s),
        sum(half[7], d),
    ]
}

#[inline(always)]
fn points<F: Real>(half: &Half<F>, c: &[Row<F>; EDGE]) -> [Row<F>; EDGE] {
    let (even, odd) = ([&c[0], &c[2], &c[4], &c[6]], [&c[1], &c[3], &c[5], &c[7]]);
    let e = |i: usize| sum([half[0][i], half[2][i], half[4][i], half[6][i]], even);
    let o = |i: usize| sum([half[1][i], half[3][i], half[5][i], half[7][i]], odd);
    let (e, o) = ([e(0), e(1), e(2), e(3)], [o(0), o(1), o(2), o(3)]);
    [
        plus(&e[0], &o[0]),
        plus(&e[1], &o[1]),
        plus(&e[2], &o[2]),
        plus(&e[3], &o[3]),
        minus(&e[3], &o[3]),
        minus(&e[2], &o[2]),
        minus(&e[1], &o[1]),
        minus(&e[0], &o[0]),
    ]
}

// Along x, the compiler must not know how many rows are summed up: it would take single values out
// of vectors one by one, at many times the cost of reading them. Nor do closures go into `from_fn`
// or `map` here: those are compiled for no engine. For the same reason the two functions do not
// share their passes along z and y: with a closure for what differs they take ten times as long.

for_engines! {
    fn to_coefficients<F: Real>(basis: &Basis<F>, block: &Block<F>, out: &mut Block<F>) {
        const E: usize = EDGE;
        for y in 0..E {
            let rows = coefficients(&basis.half, &rows(block, y * E, E * E));
            for (k, row) in rows.iter().enumerate() {
                out[(k * E + y) * E..][..E].copy_from_slice(row);
            }
        }
        for z in 0..E {
            let rows = coefficients(&basis.half, &rows(out, z * E * E, E));
            for (y, row) in rows.iter().enumerate() {
                out[(z * E + y) * E..][..E].copy_from_slice(row);
            }
        }
        let points = black_box(E / 2);
        for rows in out.chunks_exact_mut(4 * E) {
            // Lanes are degrees; a factor of ±1 rounds nothing.
            let mut sum = [[F::default(); E]; 4];
            for r in 0..4 {
                for k in 0..E {
                    let folded = basis.signs[k].fused(rows[r * E + E - 1], rows[r * E]);
                    sum[r][k] = basis.degrees[0][k] * folded;
                }
            }
            for i in 1..points {
                for r in 0..4 {
                    for k in 0..E {
                        let folded = basis.signs[k].fused(rows[r * E + E - 1 - i], rows[r * E + i]);
                        sum[r][k] = basis.degrees[i][k].fused(folded, sum[r][k]);
                    }
                }
            }
            for r in 0..4 {
                rows[r * E..][..E].copy_from_slice(&sum[r]);
            }
        }
    }
}

for_engines! {
    fn to_values<F: Real>(basis: &Basis<F>, coefficients: &Block<F>, out: &mut Block<F>) {
        const E: usize = EDGE;
        for y in 0..E {
            let rows = points(&basis.half, &rows(coefficients, y * E, E * E));
            for (z, row) in rows.iter().enumerate() {
                out[(z * E + y) * E..][..E].copy_from_slice(row);
            }
        }
        for z in 0..E {
            let rows = points(&basis.half, &rows(out, z * E * E, E));
            for (y, row) in rows.iter().enumerate() {
                out[(z * E + y) * E..][..E].copy_from_slice(row);
            }
        }
        let p = &basis.points;
        let degrees = black_box(E);
        for rows in out.chunks_exact_mut(4 * E) {
            // Lanes are points: those of odd degrees have their sign in the basis.
            let (mut even, mut odd) = ([[F::default(); E]; 4], [[F::default(); E]; 4]);
            for r in 0..4 {
                for x in 0..E {
                    even[r][x] = rows[r * E] * p[0][x];
                    odd[r][x] = rows[r * E + 1] * p[1][x];
                }
            }
            for degree in (2..degrees).step_by(2) {
                for r in 0..4 {
                    for x in 0..E {
                        even[r][x] = rows[r * E + degree].fused(p[degree][x], even[r][x]);
                        odd[r][x] = rows[r * E + degree + 1].fused(p[degree + 1][x], odd[r][x]);
                    }
                }
            }
            for r in 0..4 {
                rows[r * E..][..E].copy_from_slice(&plus(&even[r], &odd[r]));
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
pub(crate) static SCAN: Computed<Scan> = Computed::new(|| {
    let degree_of = |p: u16| (p % 8 + p / 8 % 8 + p / 64) as u8;
    let mut place: [u16; VALUES] = std::array::from_fn(|i| i as u16);
    place.sort_by_key(|&p| (degree_of(p), p));
    let degree = place.map(degree_of);
    let below = std::array::from_fn(|d| degree.iter().filter(|&&of| usize::from(of) < d).count() as u16);
    Scan { place, degree, below }
});

/// Total degree + 1, by place.
pub(crate) const DEGREE: [u32; VALUES] = {
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
    use crate::engine::every_engine;

    #[test]
    fn the_basis_is_orthonormal_and_the_transform_inverts() {
        for (i, a) in DOUBLE.points.iter().enumerate() {
            for (j, b) in DOUBLE.points.iter().enumerate() {
                let product: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
                assert!((product - f64::from(u8::from(i == j))).abs() < 1e-15);
            }
        }
        let block: Block = std::array::from_fn(|i| ((i * 7919) % 1013) as f64 - 500.0);
        for engine in every_engine() {
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
        forward(Engine::SCALAR, &block, &mut c);
        for (&place, &degree) in SCAN.place.iter().zip(&SCAN.degree) {
            assert!(degree <= 3 || c[usize::from(place)].abs() < 1e-9);
        }
    }
}
