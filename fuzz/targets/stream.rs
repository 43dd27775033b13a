//! A stream of any bytes, its checksum made right, gives boxes of the declared shapes or an error.
//! So do its statistics and a region of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swae_codec::Models;
use swae_codec::decode::{block_statistics, decompress_boxes, decompress_region};
use swae_codec::stream::Stream;

fuzz_target!(|bytes: &[u8]| {
    let sealed = swae_fuzz::sealed(swae_fuzz::STREAM, bytes);
    let models = Models::built_in();
    let Ok(stream) = Stream::open(&sealed) else { return };
    let header = stream.header();
    // Of a box of any size, a value: what memory that takes is bounded by the stream's length.
    if let [count] = header.boxes[..] {
        let _ = decompress_region(&stream, &models, count.map(|n| 0..n.min(1)), None);
    }
    // A reader allocates what a stream declares; a fuzzer has less memory.
    if header.boxes.iter().map(|b| b.iter().product::<usize>()).sum::<usize>() > 1 << 20 {
        return;
    }
    if let Ok(fields) = decompress_boxes(&stream, &models, None) {
        let shapes: Vec<_> = fields.iter().map(|f| f.count()).collect();
        assert_eq!(shapes, header.boxes);
        let _ = block_statistics(&stream, &models, None);
    }
    if let [count] = header.boxes[..] {
        let _ = decompress_region(&stream, &models, count.map(|n| n / 2..n), None);
    }
});
