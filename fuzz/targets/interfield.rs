//! A step of a field that is predicted from another field of the same step, damaged at any places
//! and decoded after all that it is predicted from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use swae_codec::decode::{advance, decompress_boxes};
use swae_codec::encode::{Bounded, compress_bounded};
use swae_codec::history::History;
use swae_codec::stream::Stream;
use swae_codec::{Bound, FieldView, Models};
use swae_fuzz::{Change, STREAM, changed, is_small};

/// `[step][field]`: how fast a lump changes, and the lump.
static STEPS: LazyLock<Vec<Vec<Vec<u8>>>> = LazyLock::new(|| {
    let lump = |t: f64| -> Vec<f64> {
        (0..32 * 32 * 16)
            .map(|i| [i % 32, i / 32 % 32, i / 1024].map(|c| c as f64 - 12.0 - 0.1 * t * t))
            .map(|[x, y, z]| (0.4 * x).sin() / (1.0 + 0.02 * (x * x + 2.0 * y * y + z * z)))
            .collect()
    };
    let [mut change, mut value] = [History::default(), History::default()];
    let step = |t: usize| {
        let t = t as f64;
        let code = |values: &[f64], history: &mut History| {
            let view = FieldView::dense(values, [32, 32, 16]).expect("as many values as points");
            let settings = Bounded::new(Bound::Absolute(1e-5));
            compress_bounded(&[view], &settings, Some(history)).expect("a bound").0
        };
        let changes: Vec<_> = lump(t + 0.5).iter().zip(lump(t - 0.5)).map(|(a, b)| a - b).collect();
        let first = code(&changes, &mut change);
        value.add_reference("change", &change);
        vec![first, code(&lump(t), &mut value)]
    };
    (0..3).map(step).collect()
});

fn whole(bytes: &[u8]) -> Stream<'_> {
    Stream::open(bytes).expect("it is whole")
}

/// What the last step of the second field is predicted from.
static BEFORE: LazyLock<History> = LazyLock::new(|| {
    let models = Models::built_in();
    let [mut change, mut value] = [History::default(), History::default()];
    for (t, step) in STEPS.iter().enumerate() {
        advance(&whole(&step[0]), &models, &mut change).expect("it is whole");
        value.add_reference("change", &change);
        if t < 2 {
            advance(&whole(&step[1]), &models, &mut value).expect("it is whole");
        }
    }
    assert_eq!(whole(&STEPS[2][1]).header().reference_fields(), ["change"], "it is predicted from the other");
    value
});

fuzz_target!(|changes: Vec<Change>| {
    let last = changed(&STEPS[2][1], STREAM.len(), &changes);
    if let Ok(stream) = Stream::open(&last[..])
        && is_small(stream.header())
    {
        let _ = decompress_boxes(&stream, &Models::built_in(), Some(&mut BEFORE.clone()));
    }
});
