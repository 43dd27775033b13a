//! Missing values, NaN or a stated fill value, take no part in ranges and bounds, and come back to
//! the bit: from sessions on any number of ranks, and from the tool.

use ndarray::Array3;
use std::path::Path;
use swae_codec::Field;
use swae_store::plain;
use swae_tests::{compile, decode, mpirun, swae};

/// The value of tests/c/masked.c at a point of a step; none where it is missing.
fn truth(step: f64, [x, y, z]: [f64; 3]) -> Option<f64> {
    let missing = (x - 15.0 - 2.0 * step).powi(2) + (y - 20.0).powi(2) + (z - 12.0).powi(2) < 90.0;
    (!missing).then(|| (0.2 * x + 0.1 * step).sin() * (0.15 * y).cos() + 0.01 * z)
}

/// The largest error and the mean of squares at present points; missing ones must be to the bit.
fn errors(field: &Field, step: usize, fill: f64) -> (f64, f64) {
    let (mut largest, mut squares, mut count) = (0.0f64, 0.0, 0.0);
    for ((z, y, x), &v) in field.as_array::<f64>().unwrap().indexed_iter() {
        match truth(step as f64, [x as f64, y as f64, z as f64]) {
            None => assert_eq!(v.to_bits(), fill.to_bits(), "step {step} at {x}, {y}, {z}"),
            Some(truth) => {
                largest = largest.max((v - truth).abs());
                squares += (v - truth).powi(2);
                count += 1.0;
            }
        }
    }
    (largest, squares / count)
}

/// The value range of the present points of a step.
fn range(step: usize) -> f64 {
    let mut range = (f64::MAX, f64::MIN);
    for i in 0..40 * 40 * 40 {
        let at = [i % 40, i / 40 % 40, i / 1600].map(f64::from);
        if let Some(v) = truth(step as f64, at) {
            range = (range.0.min(v), range.1.max(v));
        }
    }
    range.1 - range.0
}

#[test]
fn a_session_on_any_number_of_ranks_gives_missing_values_back() {
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), "masked.c", "", "masked");
    let program = dir.path().join("masked");
    let mut sizes = Vec::new();
    for (ranks, settings) in [
        (1, ""),
        (3, ""),
        (2, "mode = psnr; bound = 60"),
        (2, "storage = datasets"),
        (2, "inter_field = true; asynchronous = encode"),
    ] {
        let settings = format!("fields.filled.fill = 1e20; {settings}");
        mpirun(dir.path(), ranks, &program, &["a.h5", &settings]).expect_success();
        for (step, (_, _, fields)) in decode(&dir.path().join("a.h5")).iter().enumerate() {
            for (name, field) in fields {
                let fill = if name == "filled" { 1e20 } else { f64::NAN };
                let (largest, squares) = errors(field, step, fill);
                let range = range(step);
                if settings.contains("psnr") {
                    let psnr = 10.0 * (range * range / squares).log10();
                    assert!(psnr >= 60.0, "{settings}: {name} has {psnr} dB");
                } else {
                    assert!(largest <= 1e-4 * range, "{settings}: {name} is off by {largest}");
                }
            }
        }
        if !settings.contains("storage") {
            sizes.push(std::fs::metadata(dir.path().join("a.h5")).unwrap().len());
        }
    }
    let raw = 4 * 2 * 8 * 40 * 40 * 40;
    assert!(sizes.iter().all(|&size| size < raw / 40), "{sizes:?} bytes of {raw}");
}

fn write(dir: &Path, name: &str, value: impl Fn([f64; 3]) -> f64) {
    let at = |(z, y, x): (usize, usize, usize)| value([x, y, z].map(|n| n as f64));
    plain::write_npy(&dir.join(name), &Field::F64(Array3::from_shape_fn((40, 40, 40), at))).unwrap();
}

#[test]
fn the_tool_takes_a_fill_value_and_verifies_and_compares_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let said = |arguments: &[&str]| swae(dir.path(), arguments);
    write(dir.path(), "a.npy", |at| truth(0.0, at).unwrap_or(1e20));
    let compressed =
        said(&["compress", "a.npy", "--psnr", "60", "--fill", "1e20", "-o", "a.swae"]).expect_success();
    assert!(compressed.contains("missing 5."), "{compressed}");
    assert!(std::fs::metadata(dir.path().join("a.swae")).unwrap().len() < 3000);
    said(&["verify", "a.npy", "a.swae"]).expect_success();
    let info = said(&["info", "a.swae", "--predictors"]).expect_success();
    assert!(info.contains("missing 5."), "{info}");
    said(&["decompress", "a.swae", "-o", "b.npy"]).expect_success();
    for arguments in [
        &["compare", "a.npy", "a.swae", "--json"][..],
        &["compare", "a.npy", "b.npy", "--json", "--fill", "1e20"],
    ] {
        let rows: serde_json::Value = serde_json::from_str(&said(arguments).expect_success()).unwrap();
        assert!(rows[0]["psnr"].as_f64().unwrap() >= 60.0, "{rows}");
        assert!(rows[0]["peak"].as_f64().unwrap() < 10.0, "{rows}");
        assert!(rows[0]["non_finite"].as_u64().unwrap() > 3000, "{rows}");
        assert_eq!(rows[0]["non_finite_lost"], 0);
    }
    // A missing value that is not there to the bit is one that is lost.
    write(dir.path(), "c.npy", |at| {
        truth(0.0, at).unwrap_or(if at == [15.0, 20.0, 12.0] { 2e20 } else { 1e20 })
    });
    let wrong = said(&["verify", "c.npy", "a.swae"]);
    assert!(!wrong.success && wrong.out.contains("MISSED by 1 value"), "{}{}", wrong.out, wrong.err);
    let rows: serde_json::Value = serde_json::from_str(
        &said(&["compare", "a.npy", "c.npy", "--json", "--fill", "1e20"]).expect_success(),
    )
    .unwrap();
    assert_eq!(rows[0]["non_finite_lost"], 1);
}
