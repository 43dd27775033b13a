//! Streams that once crashed a reader. Each is whole to its checksum, and says what no writer would.

use std::path::Path;
use swae_codec::decode::{block_statistics, decompress_boxes, decompress_regions};
use swae_codec::history::History;
use swae_codec::stream::Stream;
use swae_codec::{Error, Models};

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
        match decompress_boxes(&stream, &models, Some(&mut History::default())) {
            Ok(fields) => {
                assert!(fields.iter().map(|field| field.count()).eq(boxes.iter().copied()), "{name}")
            }
            Err(error) => assert!(!matches!(error, Error::Memory(_)), "{name}: {error}"),
        }
        let regions: Vec<_> = boxes.iter().map(|count| count.map(|n| n / 2..n)).collect();
        let regions = decompress_regions(&stream, &models, &regions, None);
        let statistics = block_statistics(&stream, &models, None);
        assert_eq!(regions.is_ok(), statistics.is_ok(), "{name}");
    }
}

/// A stream of so many boxes without values.
fn empty_boxes(mut count: u64) -> Vec<u8> {
    let mut bytes = b"SWAE\x01\0\0\0\0".to_vec();
    while count >= 0x80 {
        bytes.push(count as u8 | 0x80);
        count >>= 7;
    }
    bytes.extend_from_slice(&[count as u8, 0, 0, 0, 0]);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

#[test]
fn a_few_bytes_declare_many_empty_boxes_but_not_any_number() {
    let many = Stream::open(empty_boxes(1 << 16)).unwrap();
    let fields = decompress_boxes(&many, &Models::built_in(), None).unwrap();
    assert_eq!(fields.len(), 1 << 16);
    for count in [1 << 17, 1 << 28, 1 << 40, u64::MAX] {
        assert!(Stream::open(empty_boxes(count)).is_err(), "{count} boxes");
    }
}
