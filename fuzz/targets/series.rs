//! Two steps of any bytes, one after the other.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swae_codec::Models;
use swae_codec::decode::{advance, decompress_boxes};
use swae_codec::history::History;
use swae_codec::stream::header;

fuzz_target!(|steps: (&[u8], &[u8])| {
    let models = Models::built_in();
    let mut history = History::default();
    for bytes in [steps.0, steps.1] {
        let sealed = swae_fuzz::sealed(swae_fuzz::STREAM, bytes);
        let small = |h: &swae_codec::stream::Header| h.boxes.iter().map(|b| b.iter().product::<usize>()).sum::<usize>() <= 1 << 18;
        if header(&sealed).is_ok_and(|h| small(&h)) {
            let _ = decompress_boxes(&sealed, &models, Some(&mut history));
            let _ = advance(&sealed, &models, &mut history);
        }
    }
});
