//! What `SWAE_ENGINE` promises. The variable is read once, so each value of it has a process of its
//! own: this test, started once more.

use std::process::Command;
use swae_codec::config::LatentCoding;
use swae_codec::decode::decompress_box;
use swae_codec::encode::{Bounded, Method, compress_box};
use swae_codec::engine::Engine;
use swae_codec::{Bound, Error, FieldView, Models, array};

/// What each call says, by its kind.
const INSIDE: &str = "SWAE_TEST_INSIDE";

#[test]
fn an_engine_that_is_asked_for_runs_or_every_call_is_an_error() {
    if std::env::var_os(INSIDE).is_some() {
        return every_call();
    }
    let program = std::env::current_exe().unwrap();
    let name = "an_engine_that_is_asked_for_runs_or_every_call_is_an_error";
    for engine in [&["", "nonsense"], Engine::NAMES].concat() {
        let mut command = Command::new(&program);
        command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").env("SWAE_ENGINE", engine);
        let said = command.output().unwrap();
        assert!(said.status.success(), "'{engine}': {}", String::from_utf8_lossy(&said.stderr));
    }
}

/// The calls of a program whose `SWAE_ENGINE` says any engine or none.
fn every_call() {
    let asked = std::env::var("SWAE_ENGINE").unwrap();
    let there = Engine::available().into_iter().any(|engine| engine.name() == asked);
    let runs = asked.is_empty() || there;
    assert_eq!(Engine::best().is_ok_and(|engine| asked.is_empty() || engine.name() == asked), runs);
    let check = |outcome: Result<(), Error>| match outcome {
        Ok(()) => assert!(runs, "'{asked}' ran as another engine"),
        Err(Error::Config(text)) => {
            assert!(!Engine::NAMES.contains(&&asked[..]) && text.contains(&asked), "{text}")
        }
        Err(Error::Device(text)) => assert!(!runs && text.contains(&asked), "{text}"),
        Err(other) => panic!("'{asked}': {other}"),
    };
    let model = Models::built_in().autoencoders().next().cloned();
    let latent = model.as_deref().map(|model| Method::Latent { model, coding: LatentCoding::F16 });
    let values = [1.0f32; 64];
    let view = FieldView::dense(&values, [4; 3]).unwrap();
    for method in [Method::Raw, Method::Bounded(Bounded::new(Bound::Absolute(1.0)))].into_iter().chain(latent)
    {
        check(compress_box(&view, method).map(drop));
        check(array::compress(&values, &[4, 4, 4], method, Default::default()).map(drop));
    }
    // A stream of one constant block.
    let stream = b"SWAE\x01\x00\x00\x00\x00\x01\x01\x01\x01\x00\x00\x80\x3f";
    let mut stream = stream.to_vec();
    stream.extend_from_slice(&crc32fast::hash(&stream).to_le_bytes());
    check(decompress_box(&stream, &Models::built_in()).map(drop));
}
