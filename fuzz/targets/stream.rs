//! A stream of any bytes, its checksums made right, gives boxes of the declared shapes or an error,
//! and takes no more memory than they need. So do its statistics and a region of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swae_codec::Models;
use swae_codec::decode::{block_statistics, decompress_boxes, decompress_region};
use swae_codec::stream::Stream;
use swae_fuzz::{allowed_memory, any_stream, is_small, memory_of};

fuzz_target!(|input: (u8, &[u8])| {
    let (head, bytes) = input;
    let stream = any_stream(head, bytes);
    let models = Models::built_in();
    let (opened, memory) = memory_of(|| Stream::open(&stream[..]));
    assert!(memory <= (1 << 20) + (bytes.len() << 17), "{memory} bytes for a header of {}", bytes.len());
    let Ok(stream) = opened else { return };
    let header = stream.header();
    // Of a box of any size, a value: what memory that takes is bounded by the stream's length.
    if let [count] = header.boxes[..] {
        let _ = decompress_region(&stream, &models, count.map(|n| 0..n.min(1)), None);
    }
    // A reader allocates what a stream declares; a fuzzer has less memory.
    if !is_small(header) {
        return;
    }
    let (fields, memory) = memory_of(|| decompress_boxes(&stream, &models, None));
    assert!(memory <= allowed_memory(header, bytes.len()), "{memory} bytes for {header:?}");
    if let Ok(fields) = fields {
        let shapes: Vec<_> = fields.iter().map(|f| f.count()).collect();
        assert_eq!(shapes, header.boxes);
        let _ = block_statistics(&stream, &models, None);
    }
    if let [count] = header.boxes[..] {
        let _ = decompress_region(&stream, &models, count.map(|n| n / 2..n), None);
    }
});
