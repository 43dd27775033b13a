//! Training works from data to model file, stops and resumes, and reports what is wrong; the
//! built-in model for math functions has the quality that the documents name.

use ndarray::Array3;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use swae_codec::config::LatentCoding;
use swae_codec::encode::{Bounded, compress_bounded};
use swae_codec::history::History;
use swae_codec::{Bound, Field, FieldView, Model, Models};
use swae_store::plain;
use swae_train::config::{Config, Data, Latents, Training};
use swae_train::evaluate;
use swae_train::fit::{self, Control, Outcome};
use swae_train::loss::{Prior, Reconstruction};
use swae_train::parallel::World;

#[test]
fn the_math_model_reaches_30_db_at_32_to_1_on_128_cubed() {
    let model = Models::built_in().by_name("math-16").unwrap();
    for coding in [LatentCoding::F16, LatentCoding::U8] {
        let q = evaluate::math::quality(&model, 128, coding).unwrap();
        assert!(q.volumes == 35 && q.ratio >= 32.0 && q.psnr >= 30.0, "{coding:?}: {q:?}");
    }
}

fn short(dir: &Path, data: Data) -> Config {
    let training = Training { steps: 120, batch: 64, swd_weight: 0.1, ..Training::default() };
    Config {
        name: "short".into(),
        output: dir.join("short.safetensors"),
        architecture: Default::default(),
        data,
        training,
    }
}

/// libtorch has one random state for all threads: trainings in one process go one after the other.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    ONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn trained(config: &Config, resume: bool) -> Box<Model> {
    if !resume {
        _ = std::fs::remove_file(config.output.with_extension("checkpoint"));
    }
    match fit::fit(config, &Control { resume, ..Control::default() }, &World::alone()).unwrap() {
        Outcome::Finished(model) => model,
        Outcome::Stopped(step) => panic!("stopped at step {step} without a signal"),
    }
}

fn math() -> Data {
    Data::Math { resolutions: vec![64, 128] }
}

#[test]
fn a_stopped_training_goes_on_to_the_same_model() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut config = short(dir.path(), math());
    config.training.steps = 40;
    let whole = trained(&config, false);
    let lines = |steps: usize| {
        let csv = std::fs::read_to_string(dir.path().join("short.csv")).unwrap();
        assert!(csv.starts_with("step,mse,sliced_wasserstein,bits,rate,validation_mse"), "{csv:?}");
        csv.lines().count() == steps + 1
    };
    assert!(lines(40));
    // A checkpoint is not overwritten by a start without --resume.
    let forgot = fit::fit(&config, &Control::default(), &World::alone()).unwrap_err().to_string();
    assert!(forgot.contains("--resume"), "{forgot}");
    std::fs::remove_file(config.output.with_extension("checkpoint")).unwrap();
    // Stopped twice: at once, and somewhere on the way.
    let stop = Arc::new(AtomicBool::new(true));
    let outcome = fit::fit(&config, &Control { resume: false, stop }, &World::alone()).unwrap();
    assert!(matches!(outcome, Outcome::Stopped(1)), "{outcome:?}");
    let stop = Arc::new(AtomicBool::new(false));
    let control = Control { resume: true, stop: stop.clone() };
    let stopped = std::thread::scope(|scope| {
        let training = scope.spawn(|| fit::fit(&config, &control, &World::alone()).unwrap());
        while !training.is_finished() && !lines(12) {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
        training.join().unwrap()
    });
    assert!(matches!(stopped, Outcome::Stopped(2..40)), "{stopped:?}");
    let resumed = trained(&config, true);
    assert!(lines(40));
    assert_eq!(resumed.id(), whole.id());
    let weights =
        |model: &Model| model.encoder.as_ref().unwrap().iter().map(|p| p.weight.clone()).collect::<Vec<_>>();
    assert_eq!(weights(&resumed), weights(&whole));
    // A checkpoint is of one configuration.
    config.training.batch = 32;
    let wrong = fit::fit(&config, &Control { resume: true, ..Control::default() }, &World::alone())
        .unwrap_err()
        .to_string();
    assert!(wrong.contains("another configuration"), "{wrong}");
}

#[test]
fn a_loss_that_is_not_finite_ends_with_a_message_after_lower_rates() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut config = short(dir.path(), math());
    config.training.rate = 1e35;
    let wrong = fit::fit(&config, &Control::default(), &World::alone()).unwrap_err().to_string();
    assert!(wrong.contains("not finite") && wrong.contains("lower rate"), "{wrong}");
}

#[test]
fn a_signal_stops_the_program_with_a_checkpoint_and_it_resumes() {
    let dir = tempfile::tempdir().unwrap();
    let config = "name = 'a'\noutput = 'a.safetensors'\n[data]\nkind = 'math'\nresolutions = [64]\n\
                  [training]\nsteps = 60\nbatch = 64\n";
    std::fs::write(dir.path().join("a.toml"), config).unwrap();
    let fit = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_swae-train"));
        command.current_dir(dir.path()).args(["fit", "a.toml"]).args(arguments).stdout(Stdio::piped());
        command.spawn().unwrap()
    };
    let mut first = fit(&[]);
    let csv = || std::fs::read_to_string(dir.path().join("a.csv")).unwrap_or_default();
    while csv().lines().count() < 4 && first.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    assert!(Command::new("kill").args(["-USR1", &first.id().to_string()]).status().unwrap().success());
    let ended = first.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(ended.status.code() == Some(75) && said.contains("--resume"), "{:?} {said}", ended.status);
    assert!(dir.path().join("a.checkpoint").exists() && !dir.path().join("a.safetensors").exists());
    let ended = fit(&["--resume"]).wait_with_output().unwrap();
    assert!(ended.status.success() && csv().lines().count() == 61);
    assert!(!dir.path().join("a.checkpoint").exists() && dir.path().join("a.safetensors").exists());
}

#[test]
fn a_full_disk_leaves_the_last_checkpoint_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let write = |minutes: f64| {
        let config = format!(
            "name = 'a'\noutput = 'a.safetensors'\n[data]\nkind = 'math'\nresolutions = [64]\n\
             [training]\nsteps = 60\nbatch = 16\nparts = 2\ncheckpoint_minutes = {minutes}\n"
        );
        std::fs::write(dir.path().join("a.toml"), config).unwrap();
    };
    // No file may grow beyond five megabytes: what a full disk does to a checkpoint of seven.
    let fit = |limit: &str, resume: &str| {
        let train = env!("CARGO_BIN_EXE_swae-train");
        let line = format!("trap '' XFSZ; {limit} exec {train} fit a.toml {resume}");
        Command::new("sh").current_dir(dir.path()).args(["-c", &line]).output().unwrap()
    };
    write(0.0);
    let first = fit("ulimit -f 10000;", "");
    let said = String::from_utf8_lossy(&first.stderr);
    assert!(!first.status.success() && said.contains("a.checkpoint"), "{said}");
    assert!(!dir.path().join("a.checkpoint").exists());
    // The same with something to lose.
    let mut child = Command::new(env!("CARGO_BIN_EXE_swae-train"))
        .current_dir(dir.path())
        .args(["fit", "a.toml"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let lines = || std::fs::read_to_string(dir.path().join("a.csv")).unwrap_or_default().lines().count();
    while lines() < 4 && child.try_wait().unwrap().is_none() {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let saved = std::fs::read(dir.path().join("a.checkpoint")).unwrap();
    let second = fit("ulimit -f 10000;", "--resume");
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(!second.status.success() && said.contains("a.checkpoint"), "{said}");
    assert_eq!(std::fs::read(dir.path().join("a.checkpoint")).unwrap(), saved);
    // How often to save may change on the way.
    write(10.0);
    assert!(fit("", "--resume").status.success());
    assert!(dir.path().join("a.safetensors").exists());
}

#[test]
fn runs_are_evaluated_field_by_field_on_a_page() {
    let dir = tempfile::tempdir().unwrap();
    let wave = Array3::from_shape_fn((24, 24, 24), |(z, y, x)| {
        (x as f32 * 0.2).sin() * (y as f32 * 0.1).cos() + z as f32 * 0.01
    });
    plain::write_npy(&dir.path().join("wave.npy"), &Field::F32(wave)).unwrap();
    plain::write_npy(&dir.path().join("one.npy"), &Field::F32(Array3::ones((16, 16, 16)))).unwrap();
    let train = |arguments: &[&str]| swae_tests::run(dir.path(), env!("CARGO_BIN_EXE_swae-train"), arguments);
    let text = train(&["evaluate", "math-16", "--runs", ".", "--html", "page.html"]).expect_success();
    assert!(text.contains("2 runs") && text.contains("wave"), "{text}");
    let page = std::fs::read_to_string(dir.path().join("page.html")).unwrap();
    assert!(page.contains("<td>wave") && page.contains("data:image/png;base64,"));
    let json =
        train(&["evaluate", "math-16", "--runs", "wave.npy", "--latents", "u8", "--json"]).expect_success();
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let field = &report["fields"][0];
    assert!(field["psnr"].as_f64().unwrap() > 30.0 && field["ratio"].as_f64().unwrap() > 50.0, "{field}");
    assert!(field["spectrum_error"][1].as_f64().unwrap() < 0.01, "{field}");
    let wrong = train(&["evaluate", "math-16", "--runs", "nowhere"]);
    assert!(!wrong.success && wrong.err.contains("nowhere"), "{}", wrong.err);
}

#[test]
fn a_short_training_on_math_functions_lowers_the_error_and_exports() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let model = trained(&short(dir.path(), math()), false);
    let again = swae_codec::Model::from_bytes(&model.to_bytes()).unwrap();
    assert_eq!(again.id(), model.id());
    let mse = again.metadata.provenance["final_mse_of_normalised_blocks"].as_f64().unwrap();
    assert!(mse < 0.8, "the blocks have variance 1, the network left {mse}");
    // The exported model, through the codec, does what training saw: far better than the mean of
    // each block.
    let q = evaluate::math::quality(&again, 128, LatentCoding::F16).unwrap();
    assert!(q.correlation > 0.85, "{q:?}");
}

#[test]
fn every_loss_and_every_way_of_storing_latents_lowers_the_error() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let mut config = short(dir.path(), math());
    config.training = Training { steps: 40, batch: 64, parts: 2, swd_weight: 0.1, ..Training::default() };
    let number = |model: &Model, name: &str| model.metadata.provenance[name].as_f64().unwrap();
    let run = |change: &dyn Fn(&mut Training)| {
        let mut config = config.clone();
        change(&mut config.training);
        let model = trained(&config, false);
        let mse = number(&model, "final_mse_of_normalised_blocks");
        assert!(mse < 0.97, "{:?}: {mse}", config.training);
        number(&model, "final_bits_of_a_block")
    };
    run(&|t| t.loss = Reconstruction::Charbonnier);
    run(&|t| t.prior = Prior::Uniform);
    run(&|t| t.latents = Latents::Noisy);
    let free = run(&|t| t.latents = Latents::Rounded);
    let cheap = run(&|t| t.bits_weight = 2e-2);
    assert!(cheap < 0.9 * free, "{cheap} and {free} bits a block");
}

#[test]
fn a_short_training_on_files_is_validated_on_other_files() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let save = |name: &str, width: f64| {
        let path = dir.path().join(name);
        let array = Array3::from_shape_fn((32, 32, 32), |(z, y, x)| {
            let r2 = [x, y, z].map(|i| (i as f64 - 15.5).powi(2)).iter().sum::<f64>();
            1.0 / (1.0 + width * r2)
        });
        plain::write_npy(&path, &Field::F64(array)).unwrap();
        path
    };
    let (seen, unseen) = (save("seen.npy", 0.1), save("unseen.npy", 0.07));
    let data = |validation| Data::Files {
        paths: vec![seen.clone()],
        validation,
        least_deviation: 1e-4,
        emphasis: 0.5,
    };
    let model = trained(&short(dir.path(), data(vec![unseen])), false);
    for name in ["final_mse_of_normalised_blocks", "final_mse_of_validation_blocks"] {
        let mse = model.metadata.provenance[name].as_f64().unwrap();
        assert!(mse < 0.8, "{name} {mse}");
    }
    let csv = std::fs::read_to_string(dir.path().join("short.csv")).unwrap();
    let validated = csv.lines().skip(1).filter(|line| !line.ends_with(','));
    assert_eq!(validated.count(), 12);
    let both = fit::fit(&short(dir.path(), data(vec![seen.clone()])), &Control::default(), &World::alone());
    assert!(both.unwrap_err().to_string().contains("seen.npy"));
    // A folder stands for the files in it; the blocks that they gave are kept for the next start.
    let folder = dir.path().join("runs");
    std::fs::create_dir(&folder).unwrap();
    let wrong = |paths: &[&Path]| {
        let paths = paths.iter().map(|p| p.to_path_buf()).collect();
        let data = Data::Files { paths, validation: vec![], least_deviation: 1e-4, emphasis: 0.5 };
        format!("{:#}", fit::fit(&short(dir.path(), data), &Control::default(), &World::alone()).unwrap_err())
    };
    assert!(wrong(&[&folder]).contains("runs: no h5"));
    let flat = folder.join("flat.npy");
    plain::write_npy(&flat, &Field::F32(Array3::ones((16, 16, 16)))).unwrap();
    assert!(wrong(&[&folder]).contains("varies enough"));
    // Fields of other shapes beside those of the first are blocks like all others.
    plain::write_npy(
        &folder.join("odd.npy"),
        &Field::F32(Array3::from_shape_fn((9, 8, 17), |(z, y, x)| (z * y * x) as f32)),
    )
    .unwrap();
    std::fs::copy(&seen, folder.join("seen.npy")).unwrap();
    let data =
        Data::Files { paths: vec![folder.clone()], validation: vec![], least_deviation: 1e-4, emphasis: 0.5 };
    let mut config = short(dir.path(), data);
    config.training.steps = 2;
    let model = trained(&config, false);
    let pool = dir.path().join("short.blocks");
    let made = pool.metadata().unwrap().modified().unwrap();
    assert_eq!(trained(&config, false).id(), model.id());
    assert_eq!(pool.metadata().unwrap().modified().unwrap(), made);
    std::fs::remove_file(flat).unwrap();
    trained(&config, false);
    assert!(pool.metadata().unwrap().modified().unwrap() > made);
    fit::keep(&config, &model).unwrap();
    assert!(!pool.exists() && config.output.exists());
}

#[test]
fn a_bad_configuration_says_what_is_wrong() {
    let _alone = alone();
    let wrong = |text: &str| toml::from_str::<Config>(text).unwrap_err().to_string();
    let unknown =
        wrong("name = 'a'\noutput = 'a'\n[data]\nkind = 'math'\nresolutions = [40]\n[training]\nstep = 3");
    assert!(unknown.contains("step") && unknown.contains("steps"), "{unknown}");
    let dir = tempfile::tempdir().unwrap();
    let wrong = |data| {
        fit::fit(&short(dir.path(), data), &Control::default(), &World::alone()).unwrap_err().to_string()
    };
    assert!(wrong(Data::Math { resolutions: vec![] }).contains("resolutions"));
    let missing = Data::Files {
        paths: vec!["nowhere.h5".into()],
        validation: vec![],
        least_deviation: 0.0,
        emphasis: 0.0,
    };
    assert!(wrong(missing).contains("nowhere.h5"));
}

/// A bump with waves that turns, step by step.
fn turning(t: usize) -> Array3<f64> {
    let (sin, cos) = (0.2 * t as f64).sin_cos();
    Array3::from_shape_fn((32, 32, 40), |(z, y, x)| {
        let [x, y, z] = [x as f64 - 20.0, y as f64 - 16.0, z as f64 - 16.0];
        let [u, v] = [x * cos + y * sin, y * cos - x * sin];
        (0.3 * u).sin() / (1.0 + 0.01 * (u * u + 4.0 * v * v + z * z))
    })
}

/// Bytes of steps as a series.
fn series(steps: std::ops::Range<usize>, bound: f64, model: Option<&Model>) -> Vec<Vec<u8>> {
    let settings = Bounded { model, ..Bounded::new(Bound::Relative(bound)) };
    let mut history = History::default();
    let step = |t| {
        let field = turning(t);
        compress_bounded(&[FieldView::of_array(&field).unwrap()], &settings, Some(&mut history)).unwrap().0
    };
    steps.map(step).collect()
}

/// What `swae-train` says in a folder.
fn swae_train(dir: &Path, arguments: &[&str]) -> String {
    let done =
        Command::new(env!("CARGO_BIN_EXE_swae-train")).current_dir(dir).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(done.status.success(), "{said}");
    said
}

#[test]
fn a_mixing_network_is_trained_on_a_series_and_refined() {
    let dir = tempfile::tempdir().unwrap();
    plain::write_swae(&dir.path().join("run.swae"), &series(0..8, 1e-7, None), None).unwrap();
    let mix = |arguments: &[&str]| {
        let shared = ["mix", "run.swae", "--bounds", "1e-3", "--samples", "3000", "--batch", "128"];
        let said = swae_train(dir.path(), &[&shared, &["--test", "run.swae"][..], arguments].concat());
        // Bits of a block with the mixed prediction, and with the previous step and spatial
        // prediction.
        let compared = said.split_once("on other runs ").expect("a comparison").1;
        let number = |s: &str| s.split(' ').next().unwrap().trim_end_matches(',').parse::<f64>().unwrap();
        (number(compared), number(compared.split_once("spatial prediction ").unwrap().1))
    };
    let (mixed, first) = mix(&["--steps", "150", "-o", "new.safetensors", "--name", "new"]);
    assert!(mixed < first, "{mixed} bits, {first} with one candidate alone");
    let (refined, _) =
        mix(&["--steps", "100", "--rate", "5e-4", "--from", "new.safetensors", "-o", "more.safetensors"]);
    assert!(refined < mixed, "{refined} bits, {mixed} before");
    let model = Model::from_bytes(&std::fs::read(dir.path().join("more.safetensors")).unwrap()).unwrap();
    assert!(
        swae_codec::predict::mixing::is_mixing_model(&model)
            && model.metadata.provenance["samples"].as_u64() > Some(0)
    );
}

#[test]
fn a_mixing_network_tuned_on_the_first_steps_of_a_run_does_better_on_the_next() {
    let dir = tempfile::tempdir().unwrap();
    plain::write_swae(&dir.path().join("run.swae"), &series(0..8, 1e-7, None), None).unwrap();
    swae_train(
        dir.path(),
        &["tune", "run.swae", "--bounds", "1e-3", "--steps", "300", "-o", "own.safetensors"],
    );
    let own = Model::from_bytes(&std::fs::read(dir.path().join("own.safetensors")).unwrap()).unwrap();
    let provenance = |key: &str| &own.metadata.provenance[key];
    assert_eq!((&*own.metadata.name, provenance("from")), ("tuned", &"gr-mixture".into()));
    let [after, before] =
        ["held_out_loss", "held_out_loss_before"].map(|key| provenance(key).as_f64().unwrap());
    assert!(after < before, "{after} of the best candidate's bits in the held-out step, {before} before");
    let bytes = |model: &Model| series(4..12, 1e-3, Some(model)).iter().skip(3).map(Vec::len).sum::<usize>();
    let (own, built_in) = (bytes(&own), bytes(&Models::built_in().by_name("gr-mixture").unwrap()));
    assert!(own < built_in, "{own} bytes, {built_in} with the model that it came from");

    // Too few steps to train on.
    plain::write_swae(&dir.path().join("three.swae"), &series(0..3, 1e-7, None), None).unwrap();
    let failed = Command::new(env!("CARGO_BIN_EXE_swae-train"))
        .current_dir(dir.path())
        .args(["tune", "three.swae"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&failed.stderr);
    assert!(
        !failed.status.success()
            && said.contains("three.swae: 3 steps")
            && !dir.path().join("tuned.safetensors").exists(),
        "{said}"
    );
}
