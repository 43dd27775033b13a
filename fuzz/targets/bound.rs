//! Any values keep any bound: what is decoded is compared with what was encoded, value by value.
//! NaN, infinities and denormals are among them, and missing points: runs of one NaN, or of a fill
//! value that is stated.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swae_codec::bound::{Tolerance, ValueRange};
use swae_codec::decode::decompress_box;
use swae_codec::encode::{Bounded, Method, compress_box};
use swae_codec::{Bound, Element, Field, FieldView, Models};

fuzz_target!(|input: (u8, f64, u8, Option<f64>, Vec<u8>, Vec<u64>)| {
    let (kind, e, nx, fill, mask, bits) = input;
    let bound = match kind % 3 {
        0 => Bound::Absolute(e),
        1 => Bound::Relative(e),
        _ => Bound::PointwiseRelative(e),
    };
    let mut values: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
    let missing = fill.unwrap_or(f64::NAN);
    for (i, v) in values.iter_mut().enumerate() {
        if mask.get(i / 8).is_some_and(|byte| byte >> (i % 8) & 1 == 1) {
            *v = missing;
        }
    }
    let nx = usize::from(nx % 20).max(1);
    let count = [nx, values.len() / nx, 1];
    let view = FieldView::dense(&values, count).expect("the shape fits");
    let settings = Bounded { fill, ..Bounded::new(bound) };
    let Ok(stream) = compress_box(&view, Method::Bounded(settings)) else { return };
    let Ok(Field::F64(back)) = decompress_box(&stream, &Models::built_in()) else {
        panic!("what was written is read")
    };
    for (t, b) in values.iter().zip(&back) {
        let allowed = match bound.tolerance(ValueRange::without(&view, fill)) {
            Tolerance::Absolute(e) => e,
            Tolerance::PointwiseRelative(r) => r * t.abs(),
        };
        let is_missing = fill.is_some_and(|fill| t.same_bits(fill));
        let kept = t.same_bits(*b) || (!is_missing && !t.is_special() && (t - b).abs() <= allowed);
        assert!(kept, "{t:e} came back as {b:e} within {bound:?}");
    }
});
