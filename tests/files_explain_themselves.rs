//! Files explain themselves: what h5dump and bpls show of an output is enough to understand it.
//! A model that is not built in is inside.

use std::fs;
use swae_codec::{Model, Models};
use swae_tests::{bits, collision, decode, example, mpirun, run, swae};

#[test]
fn h5dump_and_bpls_show_fields_steps_and_attributes() {
    let dir = tempfile::tempdir().unwrap();
    let arguments = [&collision()[..], "output=a.h5 latent 2", "output=a.bp latent 2"];
    mpirun(dir.path(), 2, &example("bssn/bssn"), &arguments).expect_success();

    let header = run(dir.path(), "h5dump", &["-H", "a.h5"]).expect_success();
    for word in [
        "GROUP \"steps\"",
        "GROUP \"00000002\"",
        "GROUP \"chi\"",
        "\"time\"",
        "\"spacing_xyz\"",
        "\"encoding\"",
        "DATASET \"stream\"",
    ] {
        assert!(header.contains(word), "h5dump -H does not show {word}");
    }
    let encoding =
        run(dir.path(), "h5dump", &["-a", "/steps/00000002/chi/encoding", "a.h5"]).expect_success();
    assert!(encoding.contains("latent gr-16 f16"), "{encoding}");

    let list = run(dir.path(), "bpls", &["-la", "a.bp"]).expect_success();
    for words in [
        &["uint8_t", "chi/stream", "2*"][..],
        &["double", "time", "2*scalar = 0 / 0.5"],
        &["string", "chi/encoding", "\"latent gr-16 f16\""],
        &["double", "chi/spacing_xyz", "{1, 1, 1}"],
        &["uint64_t", "chi/shape_xyz", "{32, 32, 32}"],
    ] {
        assert!(
            list.lines().any(|line| words.iter().all(|w| line.contains(w))),
            "bpls -la does not show {words:?}:\n{list}"
        );
    }
}

#[test]
fn a_model_that_is_not_built_in_travels_inside_the_output() {
    let dir = tempfile::tempdir().unwrap();
    let built_in = Models::built_in().by_name("gr-16").unwrap();
    let mut metadata = built_in.metadata.clone();
    metadata.name = "mine".into();
    let mut decoder = built_in.decoder.clone();
    decoder[0].bias[0] += 0.125;
    let mine = Model::new(metadata, built_in.encoder.clone(), decoder).unwrap();
    fs::write(dir.path().join("mine.safetensors"), mine.to_bytes()).unwrap();

    let arguments =
        [&collision()[..], "model=mine.safetensors", "output=a.h5 latent 2", "output=a.bp latent 2"];
    mpirun(dir.path(), 2, &example("bssn/bssn"), &arguments).expect_success();
    fs::remove_file(dir.path().join("mine.safetensors")).unwrap();
    let info = swae(dir.path(), &["info", "a.h5"]).expect_success();
    assert!(info.contains("latent mine f16"), "{info}");
    let (a, b) = (decode(&dir.path().join("a.h5")), decode(&dir.path().join("a.bp")));
    assert_eq!(a.len(), 2);
    assert!(bits(&a[1].2[0].1) == bits(&b[1].2[0].1));
}
