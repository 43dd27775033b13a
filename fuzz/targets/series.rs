//! Steps of a series of boxes, damaged anywhere, their checksums and what names them made right, and
//! decoded one after the other with one history: fields or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;
use swae_codec::decode::{advance, decompress_boxes, decompress_regions};
use swae_codec::encode::{Bounded, compress_bounded};
use swae_codec::history::History;
use swae_codec::stream::Stream;
use swae_codec::{Bound, FieldView, Models};
use swae_fuzz::{Change, STREAM, allowed_memory, changed, checksum, is_small, memory_of, relink};

/// Three steps each of a grid, of a list of boxes, and of tiles with checksums of their own.
static SERIES: LazyLock<[Vec<Vec<u8>>; 3]> = LazyLock::new(|| {
    let grid = vec![[20, 13, 9]];
    let leaves = vec![[8; 3]; 27];
    let tiles = vec![[70, 24, 9]];
    [grid, leaves, tiles].map(|boxes| {
        let mut history = History::default();
        let step = |t: usize| {
            let rough = boxes[0][0] == 70;
            let noise = |i: usize| if rough { (i * i % 101) as f64 } else { 0.0 };
            let value = |b: usize, i: usize| (0.02 * (i + 31 * b) as f64 + 0.3 * t as f64).sin() + noise(i);
            let values: Vec<Vec<f64>> = (0..boxes.len())
                .map(|b| (0..boxes[b].iter().product()).map(|i| value(b, i)).collect())
                .collect();
            let views: Vec<_> = values
                .iter()
                .zip(&boxes)
                .map(|(values, &count)| FieldView::dense(values, count).expect("as many values as points"))
                .collect();
            compress_bounded(&views, &Bounded::new(Bound::Absolute(1e-3)), Some(&mut history))
                .expect("a bound")
                .0
        };
        (0..3).map(step).collect()
    })
});

fuzz_target!(|input: (u8, bool, [Vec<Change>; 3])| {
    let (which, skips, changes) = input;
    let models = Models::built_in();
    let mut history = History::default();
    let (mut before, mut now) = ([0; 4], [0; 4]);
    for (step, changes) in SERIES[usize::from(which % 3)].iter().zip(&changes) {
        let mut whole = step.clone();
        relink(&mut whole, before, now);
        let damaged = changed(&whole, STREAM.len(), changes);
        (before, now) = (checksum(step), checksum(&damaged));
        let Ok(stream) = Stream::open(&damaged[..]) else { continue };
        let header = stream.header();
        if !is_small(header) {
            continue;
        }
        let regions: Vec<_> = header.boxes.iter().map(|count| count.map(|n| n / 2..n)).collect();
        let _ = decompress_regions(&stream, &models, &regions, Some(&mut history.clone()));
        if skips {
            let _ = advance(&stream, &models, &mut history);
        } else {
            let (_, memory) = memory_of(|| decompress_boxes(&stream, &models, Some(&mut history)));
            assert!(memory <= allowed_memory(header, damaged.len()), "{memory} bytes for {header:?}");
        }
    }
});
