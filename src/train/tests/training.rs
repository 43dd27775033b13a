//! Training works from data to model file, and the shipped model keeps its promise.

use ndarray::Array3;
use swae_codec::{Field, LatentCoding, Models};
use swae_store::plain;
use swae_train::config::{Config, Data, Training};
use swae_train::{evaluate, fit};

#[test]
fn the_math_model_reaches_30_db_at_32_to_1_on_128_cubed() {
    let model = Models::built_in().by_name("math-16").unwrap();
    for coding in [LatentCoding::F16, LatentCoding::U8] {
        let q = evaluate::math(&model, 128, coding).unwrap();
        assert!(q.volumes == 35 && q.ratio >= 32.0 && q.psnr >= 30.0, "{coding:?}: {q:?}");
    }
}

fn short(data: Data) -> Config {
    let training = Training { steps: 120, batch: 64, swd_weight: 0.1, ..Training::default() };
    Config {
        name: "short".into(),
        output: "short.safetensors".into(),
        architecture: Default::default(),
        data,
        training,
    }
}

#[test]
fn a_short_training_on_math_functions_learns_and_exports() {
    let config = short(Data::Math { resolutions: vec![64, 128] });
    let model = fit::fit(&config).unwrap();
    let again = swae_codec::Model::from_bytes(&model.to_bytes()).unwrap();
    assert_eq!(again.id(), model.id());
    let mse = again.metadata.provenance["final_mse_of_normalised_blocks"].as_f64().unwrap();
    assert!(mse < 0.8, "the blocks have variance 1, the network left {mse}");
    // The exported model, through the codec, does what training saw: far better than the mean of each block.
    let q = evaluate::math(&again, 128, LatentCoding::F16).unwrap();
    assert!(q.correlation > 0.85, "{q:?}");
}

#[test]
fn a_short_training_on_files_learns() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("field.npy");
    let array = Array3::from_shape_fn((32, 32, 32), |(z, y, x)| {
        let r2 = [x, y, z].map(|i| (i as f64 - 15.5).powi(2)).iter().sum::<f64>();
        1.0 / (1.0 + 0.1 * r2)
    });
    plain::write_npy(&path, &Field::F64(array)).unwrap();
    let data = Data::Files { paths: vec![path], least_deviation: 1e-4, emphasis: 0.5 };
    let model = fit::fit(&short(data)).unwrap();
    let mse = model.metadata.provenance["final_mse_of_normalised_blocks"].as_f64().unwrap();
    assert!(mse < 0.8, "{mse}");
}

#[test]
fn a_bad_configuration_says_what_is_wrong() {
    let wrong = |text: &str| toml::from_str::<Config>(text).unwrap_err().to_string();
    let unknown =
        wrong("name = 'a'\noutput = 'a'\n[data]\nkind = 'math'\nresolutions = [40]\n[training]\nstep = 3");
    assert!(unknown.contains("step") && unknown.contains("steps"), "{unknown}");
    let constant = Data::Math { resolutions: vec![] };
    assert!(fit::fit(&short(constant)).unwrap_err().to_string().contains("resolutions"));
    let missing = Data::Files { paths: vec!["nowhere.h5".into()], least_deviation: 0.0, emphasis: 0.0 };
    assert!(fit::fit(&short(missing)).unwrap_err().to_string().contains("nowhere.h5"));
}
