//! A region is read with no more of a file than it needs.

#[allow(dead_code, reason = "each test uses a part")]
mod inputs;

use inputs::ENDINGS;
use std::ops::Range;
use std::path::{Path, PathBuf};
use swae_codec::encode::{Bounded, Method, compress_box};
use swae_codec::stream::Stream;
use swae_codec::{Bound, Error, FieldView};
use swae_store::{BoxRow, Decoder, FieldInfo, FieldPart, Payload, Storage, create_alone, plain};

const SHAPE: [usize; 3] = [160, 96, 40];

fn write(path: &Path, stream: &[u8]) {
    if path.extension().is_some_and(|ending| ending == "swae") {
        return plain::write_swae(path, &[stream.to_vec()], None).unwrap();
    }
    let info = FieldInfo { shape: SHAPE, ..inputs::info("chi") };
    let part = FieldPart {
        info: &info,
        all_boxes: 1,
        all_bytes: stream.len() as u64,
        first_box: 0,
        boxes: vec![BoxRow { start: [0; 3], count: SHAPE, offset: 0, length: stream.len() as u64 }],
        payload: Payload::Streams(stream),
    };
    let mut writer = create_alone(path, Storage::Streams).unwrap();
    writer.write_step(0, 0.0, &[part], &[], &|fits| fits).unwrap();
    writer.close().unwrap();
}

/// The bytes of a stream that a region needs.
fn needed(stream: &[u8], region: &[Range<usize>; 3]) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let copy = |at: usize, out: &mut [u8]| {
        places.push(at..at + out.len());
        out.copy_from_slice(&stream[at..][..out.len()]);
        Ok::<_, Error>(())
    };
    Stream::read(stream.len(), copy, |_| Some(vec![region.clone()])).unwrap();
    places
}

#[test]
fn a_region_is_read_from_a_file_whose_other_tiles_are_gone() {
    let value = |i: usize| (0.01 * i as f64).sin() + 1e-3 * (i * i % 11) as f64;
    let values: Vec<f64> = (0..SHAPE.iter().product()).map(value).collect();
    let view = FieldView::dense(&values, SHAPE).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let region = [70..80, 5..9, 0..40];
    for method in [Method::Bounded(Bounded::new(Bound::Absolute(1e-4))), Method::Raw] {
        let stream = compress_box(&view, method).unwrap();
        let needed = needed(&stream, &region);
        assert!(needed.iter().map(|place| place.len()).sum::<usize>() < stream.len() / 2);
        for ending in ENDINGS.iter().chain(&["swae"]) {
            let path = dir.path().join(format!("chi.{ending}"));
            drop(std::fs::remove_dir_all(&path).or_else(|_| std::fs::remove_file(&path)));
            write(&path, &stream);
            let read = |region| {
                let mut reader = swae_store::open(&path).unwrap();
                Decoder::default().read_field(reader.as_mut(), 0, "chi", Some(region))
            };
            let whole = read(region.clone()).unwrap();
            let data = if *ending == "bp" { path.join("data.0") } else { PathBuf::from(&path) };
            let mut bytes = std::fs::read(&data).unwrap();
            let begin = bytes.windows(stream.len()).position(|found| found == stream).unwrap();
            for at in (0..stream.len()).filter(|at| !needed.iter().any(|place| place.contains(at))) {
                bytes[begin + at] ^= 0xff;
            }
            std::fs::write(&data, bytes).unwrap();
            assert_eq!(read(region.clone()).unwrap(), whole, "{ending}");
            let damaged = read([0..10, 0..10, 0..10]).unwrap_err().to_string();
            assert!(damaged.contains("tile 0 is damaged"), "{ending}: {damaged}");
            assert!(read(SHAPE.map(|n| 0..n)).is_err(), "{ending}");
        }
    }
}
