//! The one table of inputs that every coding runs through.

use ndarray::Array3;
use swae_codec::Field;

/// Boxes with all that a simulation may hand over.
pub fn inputs() -> Vec<(&'static str, Array3<f64>)> {
    let wave =
        |(z, y, x): (usize, usize, usize)| (0.3 * x as f64).sin() + (0.2 * y as f64).cos() * 0.1 * z as f64;
    let mut spoiled = Array3::from_shape_fn((11, 9, 17), wave);
    spoiled[[0, 0, 0]] = f64::NAN;
    spoiled[[10, 8, 16]] = f64::NEG_INFINITY;
    spoiled[[4, 4, 4]] = -0.0;
    vec![
        ("smooth", Array3::from_shape_fn((16, 24, 8), wave)),
        ("odd edges", Array3::from_shape_fn((13, 7, 9), wave)),
        ("one value", Array3::from_elem((1, 1, 1), 0.1)),
        ("one line", Array3::from_shape_fn((1, 1, 100), wave)),
        ("empty", Array3::zeros((0, 8, 8))),
        ("constant", Array3::from_elem((20, 20, 20), 0.1)),
        ("minus zero", Array3::from_elem((8, 8, 8), -0.0)),
        ("not finite", spoiled),
        ("all NaN", Array3::from_elem((9, 9, 9), f64::NAN)),
        ("huge", Array3::from_shape_fn((8, 8, 9), |at| 1e308 * (wave(at) * 1e3).sin())),
        ("tiny", Array3::from_shape_fn((8, 8, 9), |at| 1e-310 * wave(at))),
        (
            "denormal tail",
            Array3::from_shape_fn((24, 9, 8), |at| (wave(at) + 2.0) * 10f64.powi(-(at.0 as i32) * 14)),
        ),
        (
            "steep",
            Array3::from_shape_fn((20, 20, 20), |(z, y, x)| 1.0 / (1e-3 + (x * x + y * y + z * z) as f64)),
        ),
        (
            "jump",
            Array3::from_shape_fn((16, 16, 16), |(z, y, x)| f64::from(u8::from(x + 2 * y + z > 20)) * 1e3),
        ),
        ("mostly zero", Array3::from_shape_fn((16, 16, 16), |(z, y, x)| f64::from(u8::from(x * y * z == 8)))),
        ("noise", Array3::from_shape_fn((16, 17, 15), |(z, y, x)| noise((z * 17 + y) * 15 + x))),
        ("any bits", Array3::from_shape_fn((9, 9, 9), |(z, y, x)| f64::from_bits(bits((z * 9 + y) * 9 + x)))),
        ("beyond float32", Array3::from_shape_fn((9, 8, 8), |at| 1e60 * wave(at))),
    ]
}

/// Well mixed bits of a number (SplitMix64).
pub fn bits(i: usize) -> u64 {
    let z = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// White noise in 0 … 1.
pub fn noise(i: usize) -> f64 {
    (bits(i) >> 11) as f64 / (1u64 << 53) as f64
}

/// The bits of all values.
pub fn values(field: &Field) -> Vec<u64> {
    match field {
        Field::F32(a) => a.iter().map(|v| v.to_bits().into()).collect(),
        Field::F64(a) => a.iter().map(|v| v.to_bits()).collect(),
    }
}
