//! The files that the tool `swae` writes hold the values that the library decodes, and the metrics
//! that it prints are right.

use ndarray::Array3;
use std::path::Path;
use swae_codec::Field;
use swae_store::{plain, vtk};
use swae_tests::{bits, collision, decode, example, mpirun, swae};

fn a_run(dir: &Path) {
    let arguments = [&collision()[..], "output=a.h5 latent 2", "output=raw.h5 raw 2"];
    mpirun(dir, 2, &example("bssn/bssn"), &arguments).expect_success();
}

#[test]
fn decompress_writes_vti_npy_and_hdf5_files_with_the_decoded_values() {
    let dir = tempfile::tempdir().unwrap();
    a_run(dir.path());
    let decoded = decode(&dir.path().join("a.h5"));
    let (_, _, fields) = &decoded[1];
    let chi = &fields.iter().find(|(name, _)| name == "chi").unwrap().1;

    let written = swae(dir.path(), &["decompress", "a.h5"]).expect_success();
    assert_eq!(written.lines().count(), 2, "one .vti per step: {written}");
    let vti = vtk::read_vti(&dir.path().join("a.00000002.vti")).unwrap();
    assert_eq!(vti.len(), 24);
    let (info, field) = vti.iter().find(|(info, _)| info.name == "chi").unwrap();
    assert_eq!((info.origin, info.spacing), ([-15.5; 3], [1.0; 3]));
    assert!(bits(field) == bits(chi));

    swae(dir.path(), &["decompress", "a.h5", "--var", "chi", "--step", "2", "-o", "one.npy"])
        .expect_success();
    // One field of one step has the name that was given.
    let npy = plain::read_npy(&dir.path().join("one.npy")).unwrap();
    assert!(bits(&npy) == bits(chi));
    for (selection, files) in [
        ("--var chi --step last -o a.npy", &["a.npy"][..]),
        ("--var ch? --step -2 -o b.npy", &["b.npy"]),
        ("--var chi,K --step 2.. -o c.npy", &["c.chi.npy", "c.K.npy"]),
        ("--var chi --var K --step ..0 -o d.npy", &["d.chi.npy", "d.K.npy"]),
        ("--var chi -o e.npy --region :,4:,:9", &["e.00000000.npy", "e.00000002.npy"]),
    ] {
        let words: Vec<_> = format!("decompress a.h5 {selection}").split(' ').map(String::from).collect();
        let words: Vec<_> = words.iter().map(String::as_str).collect();
        let mut written: Vec<_> =
            swae(dir.path(), &words).expect_success().lines().map(String::from).collect();
        written.sort();
        let mut expected = files.to_vec();
        expected.sort();
        assert_eq!(written, expected, "{selection}");
    }
    assert!(bits(&plain::read_npy(&dir.path().join("a.npy")).unwrap()) == bits(chi));
    assert_eq!(plain::read_npy(&dir.path().join("e.00000002.npy")).unwrap().count(), [32, 28, 9]);

    swae(dir.path(), &["decompress", "a.h5", "--step", "0..2", "-o", "all.h5"]).expect_success();
    let dump = swae_tests::run(dir.path(), "h5dump", &["-H", "all.h5"]).expect_success();
    assert!(dump.contains("DATASET \"chi\"") && dump.contains("( 32, 32, 32 )"), "{dump}");
}

#[test]
fn compare_reports_what_a_person_can_check() {
    let dir = tempfile::tempdir().unwrap();
    a_run(dir.path());
    let json = swae(dir.path(), &["compare", "raw.h5", "a.h5", "--json", "--step", "2", "--png", "a.png"])
        .expect_success();
    let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
    let rows = rows.as_array().unwrap();
    assert_eq!(rows.len(), 24);
    let chi = rows.iter().find(|r| r["field"] == "chi").unwrap();
    // The same numbers from the decoded files.
    let of = |file: &str| {
        let steps = decode(&dir.path().join(file));
        steps[1].2.iter().find(|(name, _)| name == "chi").unwrap().1.to_f64()
    };
    let (a, b): (Array3<f64>, Array3<f64>) = (of("raw.h5"), of("a.h5"));
    let mse = (&a - &b).mapv(|v| v * v).mean().unwrap();
    let range = a.iter().fold(f64::MIN, |m, &v| m.max(v)) - a.iter().fold(f64::MAX, |m, &v| m.min(v));
    let psnr = 10.0 * (range * range / mse).log10();
    assert!((chi["psnr"].as_f64().unwrap() - psnr).abs() < 1e-6);
    assert_eq!(chi["raw_bytes"].as_u64().unwrap(), 8 * 32 * 32 * 32);
    assert!(chi["stored_bytes"].as_u64().unwrap() < 8 * 32 * 32 * 32 / 64);
    let png = std::fs::read(dir.path().join("a.png")).unwrap();
    assert_eq!(&png[1..4], b"PNG");
    let table = swae(dir.path(), &["compare", "raw.h5", "raw.h5"]).expect_success();
    assert!(table.contains("inf"), "a file equals itself: {table}");
}

#[test]
fn a_numpy_array_goes_through_a_swae_file() {
    let dir = tempfile::tempdir().unwrap();
    let wave = |i: usize| (std::f32::consts::TAU * 3.0 * i as f32 / 100.0).sin();
    let array = Array3::from_shape_fn((37, 50, 41), |(z, y, x)| wave(x) * wave(y) * wave(z));
    plain::write_npy(&dir.path().join("w.npy"), &Field::F32(array)).unwrap();
    for coding in ["f32", "f16", "u8"] {
        let arguments =
            ["compress", "w.npy", "--latent", "--model", "math-16", "--latents", coding, "-o", "w.swae"];
        swae(dir.path(), &arguments).expect_success();
        let json = swae(dir.path(), &["compare", "w.npy", "w.swae", "--json"]).expect_success();
        let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
        let on_disk = std::fs::metadata(dir.path().join("w.swae")).unwrap().len();
        assert_eq!(rows[0]["stored_bytes"].as_u64().unwrap(), on_disk, "every stored byte counts");
        assert!(rows[0]["psnr"].as_f64().unwrap() > 30.0, "{coding}: {json}");
    }
}

#[test]
fn models_are_listed_and_shown() {
    let dir = tempfile::tempdir().unwrap();
    let list = swae(dir.path(), &["models"]).expect_success();
    assert!(list.contains("gr-16") && list.contains("math-16"), "{list}");
    let shown = swae(dir.path(), &["models", "show", "gr-16"]).expect_success();
    assert!(shown.contains("\"convolutions_per_stage\"") && shown.contains("blocks_seen"), "{shown}");
}

#[test]
fn verify_takes_a_field_of_a_run_and_passes_over_what_has_no_bound() {
    let dir = tempfile::tempdir().unwrap();
    let run = collision();
    let arguments = [&run[..], "output=raw.h5 raw 2", "output=rel.h5 rel:1e-3 2", "output=a.h5 latent 2"];
    mpirun(dir.path(), 2, &example("bssn/bssn"), &arguments).expect_success();
    let swae = |words: &str| swae(dir.path(), &words.split(' ').collect::<Vec<_>>());
    swae("decompress raw.h5 --var chi --step 2 -o chi.npy").expect_success();
    let lone = swae("verify chi.npy rel.h5");
    assert!(
        !lone.success && lone.err.contains("--var and --step say which one of rel.h5 it is"),
        "{}",
        lone.err
    );
    let one = swae("verify chi.npy rel.h5 --var chi --step 2").expect_success();
    assert!(one.contains("kept") && one.lines().count() == 1, "{one}");
    assert!(!swae("verify chi.npy rel.h5 --var K --step 2").success);
    // compare takes the same, and the last step is the last of both.
    let compared = |words: &str| {
        let json = swae(&format!("compare {words} --json")).expect_success();
        let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
        rows.as_array().unwrap().iter().map(|row| row["step"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(compared("chi.npy rel.h5 --var chi --step 2"), [0]);
    swae("compress rel.h5 -o first.h5 --rel 1e-2 --var chi --step 0").expect_success();
    assert_eq!(compared("raw.h5 first.h5 --var chi --step last"), [0]);
    let several = swae("verify raw.h5 rel.h5 --var At_* --step last").expect_success();
    assert_eq!(several.matches(": kept").count(), 6, "{several}");
    let none = swae("verify raw.h5 a.h5");
    assert!(none.out.contains("promises no bound: latent gr-16 f16"), "{}", none.out);
    assert!(!none.success && none.err.contains("nothing in it promises a bound"), "{}", none.err);
    let typo = swae("verify raw.h5 rel.h5 --var Chi");
    assert!(!typo.success && typo.err.contains("it has no such step and field"), "{}", typo.err);
    // A step of a series is that of the original.
    let steps: Vec<_> = (0..4).map(|t| Field::F64(Array3::from_elem((8, 8, 8), f64::from(t)))).collect();
    plain::write_npy_list(&dir.path().join("s.npy"), &steps).unwrap();
    swae("compress s.npy --layout series --abs 1e-3 -o s.swae").expect_success();
    for step in ["0", "last", "-2", "1..2", ".."] {
        swae(&format!("verify s.npy s.swae --step {step}")).expect_success();
    }
    let four = swae("compress s.npy --abs 1e-3 -o t.swae");
    assert!(four.err.contains("an array of 4 axes, where 3 are needed"), "{}", four.err);
    let plain = swae("verify chi.npy chi.npy");
    assert!(!plain.success && plain.err.contains("states no bound"), "{}", plain.err);
}
