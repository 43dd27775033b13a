//! Any values keep any bound: what is decoded is compared with what was encoded, value by value.
//! NaN, infinities and denormals are among them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swae_codec::bound::{Tolerance, ValueRange};
use swae_codec::decode::decompress_box;
use swae_codec::encode::{Bounded, Method, compress_box};
use swae_codec::{Bound, Element, Field, FieldView, Models};

fuzz_target!(|input: (u8, f64, u8, Vec<u64>)| {
    let (kind, e, nx, bits) = input;
    let bound = match kind % 3 {
        0 => Bound::Absolute(e),
        1 => Bound::Relative(e),
        _ => Bound::PointwiseRelative(e),
    };
    let values: Vec<f64> = bits.into_iter().map(f64::from_bits).collect();
    let nx = usize::from(nx % 20).max(1);
    let count = [nx, values.len() / nx, 1];
    let view = FieldView::dense(&values, count).expect("the shape fits");
    let Ok(stream) = compress_box(&view, Method::Bounded(Bounded::new(bound))) else { return };
    let Ok(Field::F64(back)) = decompress_box(&stream, &Models::built_in()) else {
        panic!("what was written is read")
    };
    for (t, b) in values.iter().zip(&back) {
        let allowed = match bound.tolerance(ValueRange::of(&view)) {
            Tolerance::Absolute(e) => e,
            Tolerance::PointwiseRelative(r) => r * t.abs(),
        };
        let kept = t.same_bits(*b) || (!t.is_special() && (t - b).abs() <= allowed);
        assert!(kept, "{t:e} came back as {b:e} within {bound:?}");
    }
});
