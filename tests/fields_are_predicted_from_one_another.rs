//! Fields of one step that are predicted from one another, through a session and every way of
//! reading.

use ndarray::{Array3, s};
use std::path::Path;
use swae_codec::Field;
use swae_store::{Decoder, open};
use swae_tests::{bits, compile, engines, mpirun, run, swae, tree};

/// What tests/c/waves.c writes.
fn waves(step: usize) -> [(&'static str, Array3<f64>); 2] {
    let of = |factor: fn(f64, f64) -> f64| {
        Array3::from_shape_fn((40, 40, 40), |(z, y, x)| {
            let [x, y, z] = [x as f64, y as f64, z as f64];
            let wave = |k: f64| {
                let frequency = 0.25 + 0.11 * k;
                let at = frequency * step as f64 + 1.7 * k * k;
                let place =
                    (0.21 * x + 1.7 * k * k).sin() * (0.33 * y + 0.7 * k).cos() * (0.27 * z + k * k).sin();
                factor(frequency, at) * place
            };
            (1..9).map(f64::from).map(wave).sum()
        })
    };
    [("u", of(|_, at| at.sin())), ("w", of(|frequency, at| frequency * at.cos()))]
}

fn size(path: &Path) -> u64 {
    let reader = open(path).unwrap();
    reader.steps().iter().flat_map(|step| &step.fields).map(|(_, bytes)| bytes).sum()
}

#[test]
fn inter_field_prediction_keeps_the_bound_in_fewer_bytes_whatever_is_read_first() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "waves.c", "-O2", "waves");
    let truth: Vec<_> = (0..7).map(waves).collect();
    for ending in ["h5", "bp"] {
        for ranks in [1, 2, 4] {
            let mut sizes = Vec::new();
            for (name, settings) in [
                ("apart", "keyframe_interval = 4"),
                ("inter-field", "keyframe_interval = 4; inter_field = true"),
                ("later", "keyframe_interval = 4; inter_field = true; asynchronous = write"),
                ("devices", "keyframe_interval = 4; inter_field = true; devices = cpu:3"),
                ("relative", "keyframe_interval = 4; inter_field = true; mode = rel; bound = 2e-5"),
            ] {
                let file = format!("{name}-{ranks}.{ending}");
                mpirun(dir.path(), ranks, &program, &[&file, settings]).expect_success();
                let path = dir.path().join(&file);
                sizes.push(size(&path));
                // One after the other, each step once.
                let mut reader = open(&path).unwrap();
                let mut decoder = Decoder::remembering();
                let mut all: Vec<Vec<Field>> = Vec::new();
                for (step, truth) in truth.iter().enumerate() {
                    let field = |(name, truth): &(&str, Array3<f64>)| {
                        let field = decoder.read_field(reader.as_mut(), step, name, None).unwrap();
                        // The program's own sine may differ in the last bit.
                        let bound = if settings.contains("rel") { 2e-5 * 20.0 } else { 1e-4 } + 1e-12;
                        let errors =
                            truth.iter().zip(&field.to_f64()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                        assert!(errors <= bound, "{file}, {name}, step {step}: {errors}");
                        field
                    };
                    all.push(truth.iter().map(field).collect());
                }
                // Any field of any step by itself, the steps backwards, one field's steps before
                // the other's.
                let mut orders: Vec<(usize, usize)> =
                    (0..7).rev().flat_map(|step| [(step, 1), (step, 0)]).collect();
                orders.extend((0..2).flat_map(|f| (0..7).map(move |step| (step, f))));
                orders.extend([(5, 1), (6, 1), (5, 0), (6, 0), (3, 1), (3, 0), (6, 1)]);
                let mut remembering = Decoder::remembering();
                for (step, f) in orders {
                    let name = truth[step][f].0;
                    for decoder in [&mut Decoder::default(), &mut remembering] {
                        let field = decoder.read_field(reader.as_mut(), step, name, None).unwrap();
                        assert_eq!(bits(&field), bits(&all[step][f]), "{file}, {name}, step {step}");
                    }
                    let region = Some([3..21, 5..6, 7..38]);
                    let part = Decoder::default().read_field(reader.as_mut(), step, name, region).unwrap();
                    assert_eq!(part.to_f64(), all[step][f].to_f64().slice(s![7..38, 5..6, 3..21]));
                }
                let info = swae(dir.path(), &["info", &file, "--predictors"]).expect_success();
                assert_eq!(info.contains("inter_field "), name != "apart", "{info}");
            }
            assert!(10 * sizes[1] < 9 * sizes[0], "{ending}, {ranks} ranks: {sizes:?} bytes");
            assert_eq!(
                (sizes[1], sizes[1]),
                (sizes[2], sizes[3]),
                "{ending}, {ranks} ranks: {sizes:?} bytes"
            );
        }
    }
    // Every engine reads the same, and writes what every other reads.
    let tool = tree("target/release/swae").canonicalize().unwrap();
    let engines = engines();
    let mut values = Vec::new();
    for &engine in &engines {
        let file = format!("{engine}.h5");
        let line =
            format!("SWAE_ENGINE={engine} {} {file} 'inter_field = true; threads = 2'", program.display());
        run(dir.path(), "sh", &["-c", &line]).expect_success();
        for reading in [engines[0], engines[engines.len() - 1]] {
            let line =
                format!("SWAE_ENGINE={reading} {} decompress {file} --var u -o {engine}.npy", tool.display());
            run(dir.path(), "sh", &["-c", &line]).expect_success();
            let step =
                |step: usize| std::fs::read(dir.path().join(format!("{engine}.{step:08}.npy"))).unwrap();
            values.push((0..7).map(step).collect::<Vec<_>>());
        }
    }
    assert!(values.windows(2).all(|pair| pair[0] == pair[1]));
}
