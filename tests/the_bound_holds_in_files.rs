//! A bound that a user asks for holds for every value of the file, whichever program wrote it, and
//! `swae verify` confirms it.

use ndarray::{Array3, Array4, s};
use ndarray_npy::WriteNpyExt;
use std::fs::File;
use std::path::Path;
use swae_store::plain;
use swae_tests::{Tried, collision, engines, example, mpirun, run, swae, tried};

/// A wave that travels through a steep spot, `[z, y, x]`.
fn wave(t: usize) -> Array3<f64> {
    Array3::from_shape_fn((30, 40, 72), |(z, y, x)| {
        let r2 = (x as f64 - 30.0).powi(2) + (y as f64 - 11.0).powi(2) + (z as f64 - 9.0).powi(2);
        (0.1 * x as f64 + 0.05 * y as f64 - 0.2 * t as f64).sin() + 1.0 / (1.0 + r2)
    })
}

fn write(dir: &Path, name: &str, array: &Array4<f64>) {
    array.write_npy(File::create(dir.join(name)).unwrap()).unwrap();
}

#[test]
fn a_simulation_on_any_number_of_ranks_keeps_every_kind_of_bound() {
    let dir = tempfile::tempdir().unwrap();
    for ranks in [1, 2, 4, 8] {
        let mut outputs = vec!["output=raw.h5 raw 1".to_owned()];
        let bounds = ["abs:1e-5", "rel:1e-3", "pwrel:1e-2", "psnr:70"];
        outputs.extend(bounds.iter().enumerate().map(|(i, b)| format!("output={i}.h5 {b} 1")));
        outputs.push("output=4.bp rel:1e-3 1".into());
        let parameters = collision();
        let arguments: Vec<&str> = std::iter::once(&parameters).chain(&outputs).map(String::as_str).collect();
        mpirun(dir.path(), ranks, &example("bssn/bssn"), &arguments).expect_success();
        for output in &outputs[1..] {
            let file = output.trim_start_matches("output=").split(' ').next().unwrap();
            let said = swae(dir.path(), &["verify", "raw.h5", file]).expect_success();
            assert_eq!(said.matches(": kept").count(), 24 * 3, "{ranks} ranks, {file}: {said}");
            tried(Tried::ValuesChecked, 24 * 3 * 32 * 32 * 32);
        }
        // The file records the bound as the user gave it; it is relative to the value range of the
        // whole field.
        let info = swae(dir.path(), &["info", "1.h5"]).expect_success();
        assert!(info.contains("rel 1e-3"), "{info}");
        let json = swae(dir.path(), &["compare", "raw.h5", "1.h5", "--json"]).expect_success();
        let rows: serde_json::Value = serde_json::from_str(&json).unwrap();
        for row in rows.as_array().unwrap() {
            let (error, peak) = (row["max_error"].as_f64().unwrap(), row["peak"].as_f64().unwrap());
            assert!(error <= 1e-3 * peak, "{ranks} ranks: {row}");
        }
    }
}

#[test]
fn a_series_comes_back_within_its_bound_from_any_step_on() {
    let dir = tempfile::tempdir().unwrap();
    let steps: Vec<_> = (0..7).map(wave).collect();
    let views: Vec<_> = steps.iter().map(|a| a.view()).collect();
    write(dir.path(), "series.npy", &ndarray::stack(ndarray::Axis(0), &views).unwrap());
    for flags in [&["--keyframe-interval", "3"][..], &["--group", "3"]] {
        a_series_comes_back(dir.path(), &steps, flags);
    }
}

fn a_series_comes_back(dir: &Path, steps: &[Array3<f64>], flags: &[&str]) {
    let arguments = ["compress", "series.npy", "--layout", "series", "--abs", "1e-4", "-o", "a.swae"];
    swae(dir, &[&arguments[..], flags].concat()).expect_success();
    swae(dir, &["verify", "series.npy", "a.swae"]).expect_success();
    swae(dir, &["decompress", "a.swae", "-o", "all.npy"]).expect_success();
    let all = plain::read_npy_list(&dir.join("all.npy")).unwrap();
    assert_eq!(all.len(), 7);
    let info = swae(dir, &["info", "--predictors", "a.swae"]).expect_success();
    let line = info.lines().find(|l| l.trim_start().starts_with("previous "));
    let line = line.expect("a step is predicted from the previous one");
    assert!(line.contains("blocks") && line.contains("saved"), "{info}");
    for (t, (truth, whole)) in steps.iter().zip(&all).enumerate() {
        assert!(truth.iter().zip(&whole.to_f64()).all(|(a, b)| (a - b).abs() <= 1e-4));
        let step = t.to_string();
        let region = ["--region", "3:50,10:20,29:30"];
        let one = [&["decompress", "a.swae", "--step", &step, "-o", "one.npy"][..], &region].concat();
        swae(dir, &one).expect_success();
        let part = plain::read_npy_list(&dir.join("one.npy")).unwrap();
        assert_eq!(part[0].to_f64(), whole.to_f64().slice(s![29..30, 10..20, 3..50]), "step {t}");
    }
}

#[test]
fn a_list_of_boxes_comes_back_within_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let whole = wave(0);
    let boxes: Vec<_> = whole.exact_chunks((5, 8, 8)).into_iter().collect();
    write(dir.path(), "boxes.npy", &ndarray::stack(ndarray::Axis(0), &boxes).unwrap());
    for bound in [["--rel", "1e-3"], ["--pwrel", "1e-3"], ["--psnr", "60"]] {
        let arguments = ["compress", "boxes.npy", "--layout", "boxes", "-o", "a.swae"];
        swae(dir.path(), &[&arguments[..], &bound].concat()).expect_success();
        swae(dir.path(), &["verify", "boxes.npy", "a.swae"]).expect_success();
        swae(dir.path(), &["decompress", "a.swae", "-o", "back.npy"]).expect_success();
        let back = plain::read_npy_list(&dir.path().join("back.npy")).unwrap();
        assert_eq!((back.len(), back[0].count()), (boxes.len(), [8, 8, 5]));
    }
    let empty = Array4::zeros((0, 8, 8, 8));
    write(dir.path(), "none.npy", &empty);
    let arguments = ["compress", "none.npy", "--layout", "boxes", "--abs", "1", "-o", "none.swae"];
    swae(dir.path(), &arguments).expect_success();
    swae(dir.path(), &["decompress", "none.swae", "-o", "none.back.npy"]).expect_success();
}

#[test]
fn verify_finds_a_value_that_misses_the_bound() {
    let dir = tempfile::tempdir().unwrap();
    let mut array = wave(0);
    let save = |array: &Array3<f64>, name: &str| {
        array.write_npy(File::create(dir.path().join(name)).unwrap()).unwrap();
    };
    save(&array, "a.npy");
    swae(dir.path(), &["compress", "a.npy", "--abs", "1e-3", "-o", "a.swae"]).expect_success();
    swae(dir.path(), &["verify", "a.npy", "a.swae"]).expect_success();
    array[[17, 3, 60]] += 3e-3;
    save(&array, "b.npy");
    let said = swae(dir.path(), &["verify", "b.npy", "a.swae"]);
    assert!(!said.success && said.out.contains("MISSED by 1 value"), "{}{}", said.out, said.err);
}

#[test]
fn every_engine_and_number_of_threads_reads_and_writes_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let steps: Vec<_> = (0..3).map(wave).collect();
    let views: Vec<_> = steps.iter().map(|a| a.view()).collect();
    write(dir.path(), "series.npy", &ndarray::stack(ndarray::Axis(0), &views).unwrap());
    let program = swae_tests::tree("target/release/swae").canonicalize().unwrap();
    let with = |engine: &str, threads: &str, arguments: &str| {
        let line =
            format!("SWAE_ENGINE={engine} RAYON_NUM_THREADS={threads} {} {arguments}", program.display());
        run(dir.path(), "sh", &["-c", &line]).expect_success();
    };
    let (mut streams, mut values) = (Vec::new(), Vec::new());
    for engine in engines() {
        for threads in ["1", "2", "7"] {
            for (i, bound) in ["--rel 1e-4", "--pwrel 1e-3"].into_iter().enumerate() {
                with(engine, threads, &format!("compress series.npy --layout series {bound} -o a.swae"));
                with(engine, threads, "decompress a.swae -o a.npy");
                let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
                let (stream, value) = (read("a.swae"), read("a.npy"));
                if streams.len() <= i {
                    streams.push(stream);
                    values.push(value);
                } else {
                    assert!(
                        stream == streams[i] && value == values[i],
                        "{engine}, {threads} threads, {bound}"
                    );
                }
            }
        }
    }
}
