//! A step whose blocks use prediction mixing, damaged at any places and decoded after the two steps
//! that it is predicted from.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use swae_codec::decode::{advance, decompress_boxes};
use swae_codec::encode::{Bounded, compress_bounded};
use swae_codec::history::History;
use swae_codec::stream::Stream;
use swae_codec::{Bound, FieldView, Models};
use swae_fuzz::{Change, STREAM, changed, is_small};

static STEPS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let model = Models::built_in().by_name("gr-mixture").expect("it is built in");
    let settings = Bounded { model: Some(&model), ..Bounded::new(Bound::Absolute(1e-3)) };
    let mut history = History::default();
    let step = |t: usize| {
        let values: Vec<f64> = (0..32 * 32 * 32)
            .map(|i| [i % 32, i / 32 % 32, i / 1024].map(|c| c as f64 - 15.0 - 0.4 * t as f64))
            .map(|[x, y, z]| (0.3 * x).sin() / (1.0 + 0.02 * (x * x + 2.0 * y * y + z * z)))
            .collect();
        let view = FieldView::dense(&values, [32; 3]).expect("as many values as points");
        compress_bounded(&[view], &settings, Some(&mut history)).expect("a bound").0
    };
    (0..3).map(step).collect()
});

/// What the last step is predicted from.
static BEFORE: LazyLock<History> = LazyLock::new(|| {
    let mut history = History::default();
    for step in &STEPS[..2] {
        let stream = Stream::open(&step[..]).expect("it is whole");
        advance(&stream, &Models::built_in(), &mut history).expect("it is whole");
    }
    history
});

fuzz_target!(|changes: Vec<Change>| {
    let last = changed(&STEPS[2], STREAM.len(), &changes);
    if let Ok(stream) = Stream::open(&last[..])
        && is_small(stream.header())
    {
        let _ = decompress_boxes(&stream, &Models::built_in(), Some(&mut BEFORE.clone()));
    }
});
