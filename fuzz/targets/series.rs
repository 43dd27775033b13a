//! Two steps of any bytes, their checksums made right, decoded one after the other with one
//! history: fields or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swae_codec::Models;
use swae_codec::decode::{advance, decompress_boxes};
use swae_codec::history::History;
use swae_codec::stream::Stream;

fuzz_target!(|steps: (&[u8], &[u8])| {
    let models = Models::built_in();
    let mut history = History::default();
    for bytes in [steps.0, steps.1] {
        let sealed = swae_fuzz::sealed(swae_fuzz::STREAM, bytes);
        let Ok(stream) = Stream::open(&sealed) else { continue };
        let values: usize = stream.header().boxes.iter().map(|b| b.iter().product::<usize>()).sum();
        if values <= 1 << 18 {
            let _ = decompress_boxes(&stream, &models, Some(&mut history));
            let _ = advance(&stream, &models, &mut history);
        }
    }
});
