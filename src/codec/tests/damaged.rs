//! Streams that once crashed a reader. Each is whole to its checksum, and says what no writer would.

use std::path::Path;
use swae_codec::Models;
use swae_codec::decode::{block_statistics, decompress_boxes, decompress_regions};
use swae_codec::history::History;
use swae_codec::stream::Stream;

/// The files of `tests/damaged` with an ending.
fn files(ending: &str) -> Vec<(String, Vec<u8>)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/damaged");
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .map(|path| (path.display().to_string(), std::fs::read(&path).unwrap()))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "tests/damaged has files");
    files
}

#[test]
fn what_once_crashed_gives_fields_of_its_shapes_or_an_error() {
    let models = Models::built_in();
    for (name, bytes) in files("stream") {
        let Ok(stream) = Stream::open(&bytes[..]) else { continue };
        let boxes = &stream.header().boxes;
        if let Ok(fields) = decompress_boxes(&stream, &models, Some(&mut History::default())) {
            assert!(fields.iter().map(|field| field.count()).eq(boxes.iter().copied()), "{name}");
        }
        let regions: Vec<_> = boxes.iter().map(|count| count.map(|n| n / 2..n)).collect();
        let regions = decompress_regions(&stream, &models, &regions, None);
        let statistics = block_statistics(&stream, &models, None);
        assert_eq!(regions.is_ok(), statistics.is_ok(), "{name}");
    }
}
