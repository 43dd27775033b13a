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
use crate::vector::{Row, Vector, VectorReal, for_vectors};
use std::array::from_fn;

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
pub(crate) trait Real: VectorReal + 'static {
    fn basis() -> &'static Basis<Self>;
    /// Whether a block is low; no where that is not worth finding out.
    fn is_low(engine: Engine, coefficients: &Block<Self>) -> bool;
}

impl Real for f64 {
    fn basis() -> &'static Basis<Self> {
        &DOUBLE
    }

    fn is_low(engine: Engine, coefficients: &Block) -> bool {
        is_low(engine, coefficients)
    }
}

impl Real for f32 {
    fn basis() -> &'static Basis<Self> {
        &SINGLE
    }

    /// What an encoder tries are errors, which are of all degrees.
    fn is_low(_: Engine, _: &Block<Self>) -> bool {
        false
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
/// end, their differences. Where all coefficients of a degree above 3 along any axis are +0, sums end
/// with degree 3: most blocks of a smooth field are such.
pub(crate) fn inverse<F: Real>(engine: Engine, coefficients: &Block<F>, out: &mut Block<F>) {
    if F::is_low(engine, coefficients) {
        low_to_values(engine, F::basis(), coefficients, out);
    } else {
        to_values(engine, F::basis(), coefficients, out);
    }
}

/// Degrees along an axis that a low block has.
const LOW: usize = 4;

for_engines! {
    /// Whether all coefficients of a degree of 4 or more along any axis are +0.
    fn is_low(coefficients: &Block) -> bool {
        let mut bits = [0u64; EDGE];
        for row in 0..EDGE * EDGE {
            let is_beyond = row / EDGE >= LOW || row % EDGE >= LOW;
            for x in if is_beyond { 0 } else { LOW }..EDGE {
                bits[x] |= coefficients[row * EDGE + x].to_bits();
            }
        }
        bits == [0; EDGE]
    }
}

// Closures that are called where they stand become part of their function. One given to `from_fn` or
// `map` would be compiled for no engine.

/// Eight rows, so many rows from one to the next.
///
/// # Safety
/// That of [`Vector::load`].
#[inline(always)]
unsafe fn load<V: Vector>(rows: &[Row<V::Real>], first: usize, step: usize) -> [V; EDGE] {
    // SAFETY: the caller's.
    let row = |i: usize| unsafe { V::load(&rows[first + i * step]) };
    [row(0), row(1), row(2), row(3), row(4), row(5), row(6), row(7)]
}

/// `Σ weights · rows`, from the first to the last.
#[inline(always)]
fn sum<V: Vector>(weights: [V::Real; EDGE / 2], rows: [V; EDGE / 2]) -> V {
    let [w0, w1, w2, w3] = weights;
    let [a, b, c, d] = rows;
    let sum = a.all(w0).times(a);
    let sum = b.all(w1).fused(b, sum);
    let sum = c.all(w2).fused(c, sum);
    d.all(w3).fused(d, sum)
}

#[inline(always)]
fn coefficients<V: Vector<Real: Copy>>(half: &Half<V::Real>, v: [V; EDGE]) -> [V; EDGE] {
    let s = [v[0].plus(v[7]), v[1].plus(v[6]), v[2].plus(v[5]), v[3].plus(v[4])];
    let d = [v[0].minus(v[7]), v[1].minus(v[6]), v[2].minus(v[5]), v[3].minus(v[4])];
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

/// All points of sums over the even and over the odd degrees at the first four.
#[inline(always)]
fn unfolded<V: Vector>(e: [V; EDGE / 2], o: [V; EDGE / 2]) -> [V; EDGE] {
    [
        e[0].plus(o[0]),
        e[1].plus(o[1]),
        e[2].plus(o[2]),
        e[3].plus(o[3]),
        e[3].minus(o[3]),
        e[2].minus(o[2]),
        e[1].minus(o[1]),
        e[0].minus(o[0]),
    ]
}

#[inline(always)]
fn points<V: Vector<Real: Copy>>(half: &Half<V::Real>, c: [V; EDGE]) -> [V; EDGE] {
    let e = |i: usize| sum([half[0][i], half[2][i], half[4][i], half[6][i]], [c[0], c[2], c[4], c[6]]);
    let o = |i: usize| sum([half[1][i], half[3][i], half[5][i], half[7][i]], [c[1], c[3], c[5], c[7]]);
    unfolded([e(0), e(1), e(2), e(3)], [o(0), o(1), o(2), o(3)])
}

for_vectors! {
    fn to_coefficients<F: Real, V>(basis: &Basis<F>, block: &Block<F>, out: &mut Block<F>) {
        // SAFETY: `for_vectors!` takes registers that the engine has.
        let load = |rows: &[Row<F>], first, step| unsafe { load::<V>(rows, first, step) };
        let (from, _) = block.as_chunks();
        let (rows, _) = out.as_chunks_mut();
        for y in 0..EDGE {
            let made = coefficients(&basis.half, load(from, y, EDGE));
            for (z, row) in made.into_iter().enumerate() {
                row.store(&mut rows[z * EDGE + y]);
            }
        }
        for z in 0..EDGE {
            let made = coefficients(&basis.half, load(rows, z * EDGE, 1));
            for (y, row) in made.into_iter().enumerate() {
                row.store(&mut rows[z * EDGE + y]);
            }
        }
        // SAFETY: as above.
        let row = |row: &Row<F>| unsafe { V::load(row) };
        let [d0, d1, d2, d3] = &basis.degrees;
        let (d0, d1, d2, d3, signs) = (row(d0), row(d1), row(d2), row(d3), row(&basis.signs));
        for row in rows {
            // Lanes are degrees; a factor of ±1 rounds nothing.
            let folded = |i: usize| signs.fused(signs.all(row[EDGE - 1 - i]), signs.all(row[i]));
            let sum = d0.times(folded(0));
            let sum = d1.fused(folded(1), sum);
            let sum = d2.fused(folded(2), sum);
            d3.fused(folded(3), sum).store(row);
        }
    }
}

for_vectors! {
    fn to_values<F: Real, V>(basis: &Basis<F>, coefficients: &Block<F>, out: &mut Block<F>) {
        // SAFETY: `for_vectors!` takes registers that the engine has.
        let load = |rows: &[Row<F>], first, step| unsafe { load::<V>(rows, first, step) };
        let (from, _) = coefficients.as_chunks();
        let (rows, _) = out.as_chunks_mut();
        for y in 0..EDGE {
            let made = points(&basis.half, load(from, y, EDGE));
            for (z, row) in made.into_iter().enumerate() {
                row.store(&mut rows[z * EDGE + y]);
            }
        }
        for z in 0..EDGE {
            let made = points(&basis.half, load(rows, z * EDGE, 1));
            for (y, row) in made.into_iter().enumerate() {
                row.store(&mut rows[z * EDGE + y]);
            }
        }
        let p = load(&basis.points, 0, 1);
        for row in rows {
            // Lanes are points: those of odd degrees have their sign in the basis.
            let at = |degree: usize| p[degree].all(row[degree]);
            let (even, odd) = (at(0).times(p[0]), at(1).times(p[1]));
            let (even, odd) = (at(2).fused(p[2], even), at(3).fused(p[3], odd));
            let (even, odd) = (at(4).fused(p[4], even), at(5).fused(p[5], odd));
            let (even, odd) = (at(6).fused(p[6], even), at(7).fused(p[7], odd));
            even.plus(odd).store(row);
        }
    }
}

/// `points` of low degrees.
#[inline(always)]
fn low_points<V: Vector<Real: Copy>>(half: &Half<V::Real>, c: [V; LOW]) -> [V; EDGE] {
    let [c0, c1, c2, c3] = c;
    let e = |i: usize| c2.all(half[2][i]).fused(c2, c0.all(half[0][i]).times(c0));
    let o = |i: usize| c3.all(half[3][i]).fused(c3, c1.all(half[1][i]).times(c1));
    unfolded([e(0), e(1), e(2), e(3)], [o(0), o(1), o(2), o(3)])
}

for_vectors! {
    fn low_to_values<F: Real, V>(basis: &Basis<F>, coefficients: &Block<F>, out: &mut Block<F>) {
        // SAFETY: `for_vectors!` takes registers that the engine has.
        let load = |row: &Row<F>| unsafe { V::load(row) };
        let (from, _) = coefficients.as_chunks();
        let (rows, _) = out.as_chunks_mut();
        for y in 0..LOW {
            let row = |z: usize| load(&from[z * EDGE + y]);
            let made = low_points(&basis.half, [row(0), row(1), row(2), row(3)]);
            for (z, row) in made.into_iter().enumerate() {
                row.store(&mut rows[z * EDGE + y]);
            }
        }
        for z in 0..EDGE {
            let row = |y: usize| load(&rows[z * EDGE + y]);
            let made = low_points(&basis.half, [row(0), row(1), row(2), row(3)]);
            for (y, row) in made.into_iter().enumerate() {
                row.store(&mut rows[z * EDGE + y]);
            }
        }
        let [p0, p1, p2, p3, ..] = &basis.points;
        let (p0, p1, p2, p3) = (load(p0), load(p1), load(p2), load(p3));
        for row in rows {
            let (even, odd) = (p0.all(row[0]).times(p0), p1.all(row[1]).times(p1));
            let (even, odd) = (p2.all(row[2]).fused(p2, even), p3.all(row[3]).fused(p3, odd));
            even.plus(odd).store(row);
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
    fn a_low_block_has_the_values_of_any_block() {
        let low: Block = from_fn(|i| {
            let is_low = [i % 8, i / 8 % 8, i / 64].into_iter().all(|degree| degree < LOW);
            if is_low { ((i * 7919) % 1013) as f64 - 500.0 } else { 0.0 }
        });
        for engine in every_engine() {
            assert!(is_low(engine, &low));
            let (mut short, mut long) = ([0.0; VALUES], [0.0; VALUES]);
            inverse(engine, &low, &mut short);
            to_values(engine, &DOUBLE, &low, &mut long);
            assert_eq!(short, long);
            for beyond in [4, 8 * 4, 64 * 4, 7, 511, 64 * 3 + 8 * 3 + 4] {
                let mut other = low;
                other[beyond] = f64::MIN_POSITIVE;
                assert!(!is_low(engine, &other), "{beyond}");
            }
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
