//! A session that names a mixing network keeps its bound, in fewer bytes, and any program can read
//! the file.

use ndarray::Array3;
use swae_codec::{Field, Model, Models};
use swae_tests::{compile, decode, mpirun, swae};

/// What tests/c/turning.c writes.
fn turning(step: usize) -> Array3<f64> {
    let (sin, cos) = (0.15 * step as f64).sin_cos();
    Array3::from_shape_fn((40, 40, 40), |(z, y, x)| {
        let [p, q, r] = [x as f64 - 18.0, y as f64 - 20.0, z as f64 - 16.0];
        let [u, v] = [p * cos + q * sin, q * cos - p * sin];
        (1.0 + 0.05 * step as f64) / (2.0 + 0.02 * u * u + 0.1 * v * v + 0.03 * r * r)
    })
}

#[test]
fn a_session_with_a_mixing_network_keeps_its_bound_and_carries_the_model() {
    let dir = tempfile::tempdir().unwrap();
    let built_in = Models::built_in().by_name("gr-mixture").unwrap();
    let mut decoder = built_in.decoder.clone();
    decoder[0].bias[0] += 0.01;
    let own = Model::new(built_in.metadata.clone(), None, decoder).unwrap();
    std::fs::write(dir.path().join("own.safetensors"), own.to_bytes()).unwrap();
    let program = compile(dir.path(), "turning.c", "-O2", "turning");
    for ending in ["h5", "bp"] {
        let mut sizes = Vec::new();
        for model in ["gr-16", "gr-mixture", "own.safetensors"] {
            for ranks in [1, 2] {
                let file = format!("{model}-{ranks}.{ending}");
                let settings = format!("model = {model}");
                mpirun(dir.path(), ranks, &program, &[&file, &settings]).expect_success();
                let path = dir.path().join(&file);
                let steps = decode(&path);
                assert_eq!(steps.len(), 5);
                for (number, (_, _, fields)) in steps.iter().enumerate() {
                    let Field::F64(decoded) = &fields[0].1 else { panic!("float64") };
                    let truth = turning(number);
                    let errors = truth.iter().zip(decoded).map(|(a, b)| (a - b).abs());
                    // The program's own sine may differ in the last bit.
                    assert!(errors.fold(0.0, f64::max) <= 1e-4 + 1e-12, "{file}, step {number}");
                }
                if ranks == 1 {
                    let reader = swae_store::open(&path).unwrap();
                    sizes.push(reader.steps().iter().map(|s| s.fields[0].1).sum::<u64>());
                }
                let info = swae(dir.path(), &["info", &file, "--predictors"]).expect_success();
                assert_eq!(info.contains("mixing"), model != "gr-16", "{info}");
            }
        }
        assert!(sizes[1] < sizes[0], "{sizes:?} bytes");
    }
}
