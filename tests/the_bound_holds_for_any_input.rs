//! Arrays of any shape and kind, as random as they come, keep whatever bound they are given; values
//! that are not finite come back to the bit.

use fastrand::Rng;
use ndarray::Array3;
use std::time::{Duration, Instant};
use swae_codec::{Bound, Compression, Element, FieldView, compress, decompress};
use swae_tests::{Tried, random, times, tried};

/// Smooth, rough, steep or constant values, of any magnitude, some of them spoiled.
fn values(random: &mut Rng) -> Array3<f64> {
    let shape: [usize; 3] = std::array::from_fn(|_| {
        let most = [3, 12, 40][random.usize(..3)];
        1 + random.usize(..most)
    });
    let scale = 10f64.powi(random.i32(-320..300));
    let [a, b, c] = std::array::from_fn(|_| random.f64());
    let (noise, offset) = ([0.0, 1e-6, 1.0][random.usize(..3)], [0.0, 1.0, 1e6][random.usize(..3)]);
    let kind = random.usize(..4);
    let mut array = Array3::from_shape_simple_fn(shape, || random.f64() * noise);
    for ((z, y, x), v) in array.indexed_iter_mut() {
        let [x, y, z] = [x, y, z].map(|n| n as f64);
        let smooth = match kind {
            0 => (a * x).sin() * (b * y).cos() + c * z,
            1 => 1.0 / (a + (x - 10.0 * b).powi(2) + (y - 10.0 * c).powi(2) + z),
            2 => f64::from(a * x + b * y > c * z),
            _ => 1.0,
        };
        *v = scale * (*v + smooth + offset);
    }
    spoil(&mut array, random);
    array
}

/// Puts values in that are not finite, or bits of any kind.
fn spoil(array: &mut Array3<f64>, random: &mut Rng) {
    let kind = random.usize(..6);
    for v in array {
        if random.u8(..) >= 8 {
            continue;
        }
        match kind {
            0 => *v = f64::NAN,
            1 => *v = [f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0, 5e-324][random.usize(..5)],
            2 => *v = f64::from_bits(random.u64(..)),
            _ => return,
        }
    }
}

/// Width of the range of the finite values.
fn width(array: &[f64]) -> f64 {
    let finite = || array.iter().copied().filter(|v| v.is_finite());
    (finite().fold(f64::MIN, f64::max) - finite().fold(f64::MAX, f64::min)).max(0.0)
}

/// How many of the values miss what a bound promises.
fn violations(bound: Bound, before: &[f64], after: &[f64]) -> usize {
    let range = width(before);
    let keeps = |(a, b): (&f64, &f64)| {
        let error = (a - b).abs();
        let within = match bound {
            Bound::Absolute(e) => error <= e,
            Bound::Relative(e) => error <= e * range,
            Bound::PointwiseRelative(e) => error <= e * a.abs(),
            Bound::Psnr(_) => true,
        };
        a.to_bits() == b.to_bits() || a.is_finite() && b.is_finite() && within
    };
    before.iter().zip(after).filter(|&pair| !keeps(pair)).count()
}

fn bound(random: &mut Rng, range: f64) -> Bound {
    let e = 10f64.powi(-random.i32(1..9));
    match random.usize(..3) {
        0 => Bound::Absolute(if range.is_finite() { e * range } else { e }),
        1 => Bound::Relative(e),
        _ => Bound::PointwiseRelative(e),
    }
}

/// Compresses and decompresses one array; gives its values and the violations.
fn try_one<T: Element>(array: &Array3<T>, random: &mut Rng) -> (usize, usize, Bound) {
    let before: Vec<f64> = array.iter().map(|v| v.to_f64()).collect();
    let bound = bound(random, width(&before));
    let compression = match bound {
        Bound::Absolute(e) => Compression::absolute(e),
        Bound::Relative(e) => Compression::relative(e),
        Bound::PointwiseRelative(e) => Compression::pointwise_relative(e),
        Bound::Psnr(db) => Compression::psnr(db),
    };
    let stream = compress(&FieldView::of_array(array).unwrap(), &compression).unwrap();
    let after: Vec<f64> = decompress::<T>(&stream).unwrap().iter().map(|v| v.to_f64()).collect();
    assert_eq!(before.len(), after.len());
    (before.len(), violations(bound, &before, &after), bound)
}

#[test]
fn of_random_arrays() {
    let end = Instant::now() + Duration::from_secs(times(5, 600) as u64);
    let mut random = random("arrays");
    let (mut arrays, mut all, mut missed) = (0, 0, 0);
    while Instant::now() < end {
        let seed = random.get_seed();
        let array = values(&mut random);
        let (count, violations, bound) = if random.bool() {
            try_one(&array, &mut random)
        } else {
            try_one(&array.mapv(|v| v as f32), &mut random)
        };
        if violations > 0 {
            println!("seed {seed}: {violations} of {count} values miss {bound}");
        }
        (arrays, all, missed) = (arrays + 1, all + count, missed + violations);
    }
    tried(Tried::InputsTried, arrays);
    tried(Tried::ValuesChecked, all);
    tried(Tried::BoundViolations, missed);
    assert_eq!(missed, 0);
}
