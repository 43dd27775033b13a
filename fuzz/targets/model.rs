//! A model file of any bytes is a model or an error. Model files come from users, and inside
//! outputs.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swae_codec::Model;

fuzz_target!(|bytes: &[u8]| {
    let _ = Model::from_bytes(bytes);
});
