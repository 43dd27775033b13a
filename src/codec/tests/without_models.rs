//! What a build without the pretrained models says of streams that need one.
#![cfg(not(feature = "models"))]

use std::path::Path;
use swae_codec::decode::decompress_boxes;
use swae_codec::history::History;
use swae_codec::stream::Stream;
use swae_codec::{Error, Models};

/// The steps of a golden file.
fn golden(name: &str) -> Vec<Vec<u8>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(name);
    let file: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let bytes = |hex: &serde_json::Value| {
        let hex = hex.as_str().unwrap().as_bytes().chunks(2);
        hex.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    };
    file["streams"].as_array().unwrap().iter().map(bytes).collect()
}

#[test]
fn a_stream_whose_model_is_not_built_in_says_which_one_is_missing() {
    for (name, sound) in [("mixed-series.json", 2), ("latent-f16.json", 0), ("network.json", 0)] {
        let mut history = History::default();
        for (step, bytes) in golden(name).iter().enumerate().take(sound + 1) {
            let stream = Stream::open(&bytes[..]).unwrap();
            let decoded = decompress_boxes(&stream, &Models::built_in(), Some(&mut history));
            if step < sound {
                assert!(decoded.is_ok(), "{name}, step {step}");
                continue;
            }
            let error = decoded.unwrap_err();
            assert!(matches!(error, Error::MissingModel(_)), "{name}, step {step}: {error}");
            assert!(error.to_string().contains("neither built in nor in the file"), "{error}");
        }
    }
}
