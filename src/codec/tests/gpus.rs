//! GPUs run every encoder with the bits of the cores.
//!
//! Without a GPU, tests/c/cuda_on_cores.cpp stands in for the driver. With `SWAE_TEST_GPUS=1` the
//! machine's own driver and first GPU are used.

use ndarray::Array3;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use swae_codec::config::LatentCoding;
use swae_codec::device::Device;
use swae_codec::encode::{Method, compress_boxes, compress_boxes_on};
use swae_codec::model::{Activation, Architecture, LayerSpec, Metadata, Parameters};
use swae_codec::{FieldView, Model, Models};

/// Lets the library find the driver that needs no GPU.
fn stand_in() {
    let dir = tempfile::tempdir().unwrap();
    let tree = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let driver = dir.path().join("libcuda.so.1");
    let built = Command::new("g++")
        .args(["-shared", "-fPIC", "-O2", "-march=native", "-ffp-contract=off", "-Wl,-soname,libcuda.so.1"])
        .args(["-Wno-unknown-pragmas", "-I"])
        .args([
            tree.join("src/codec/cuda"),
            tree.join("tests/c/cuda_on_cores.cpp"),
            "-o".into(),
            driver.clone(),
        ])
        .status();
    assert!(built.unwrap().success());
    // A library that is loaded is found under its name.
    // SAFETY: it has no start code.
    std::mem::forget(unsafe { libloading::Library::new(driver) }.unwrap());
}

/// A network of some architecture or other, with some numbers or other of a trained model.
fn other(architecture: Architecture) -> Model {
    let trained = Models::built_in().by_name("gr-16").unwrap();
    let source: Vec<f32> = trained.decoder.iter().flat_map(|p| p.weight.clone()).collect();
    let take = |n: usize| source.iter().cycle().skip(n % 97).take(n).copied().collect::<Vec<_>>();
    let layer =
        |l: &LayerSpec| Parameters { weight: take(l.weight_shape().iter().product()), bias: take(l.cout) };
    let [encoder, decoder] =
        [architecture.encoder(), architecture.decoder()].map(|side| side.iter().map(layer).collect());
    Model::new(Metadata::new("other", architecture, Default::default()), Some(encoder), decoder).unwrap()
}

#[test]
fn a_gpu_runs_encoders_of_any_architecture_with_the_same_bits() {
    if std::env::var_os("SWAE_TEST_GPUS").is_none() {
        stand_in();
    }
    let swish = Architecture { activation: Activation::HardSwish, ..Architecture::default() };
    let dense = Architecture { dense: true, channels: vec![24, 41], ..Architecture::default() };
    let odd = Architecture { channels: vec![5, 9, 17], latent: 11, ..Architecture::default() };
    let others = [swish, dense, odd].map(|architecture| Arc::new(other(architecture)));
    // More blocks than a batch holds, a constant one and one with NaN among them.
    let mut field = Array3::from_shape_fn((160, 164, 160), |(z, y, x)| {
        let [x, y, z] = [x, y, z].map(|v| v as f32);
        (0.07 * x + 0.001 * y * z).sin() * (0.05 * y).cos() + 0.01 * (z * 1.3 + x * y).sin()
    });
    field.slice_mut(ndarray::s![..8, ..8, ..8]).fill(3.0);
    field[[20, 20, 20]] = f32::NAN;
    let views = [FieldView::of_array(&field).unwrap()];
    for model in Models::built_in().autoencoders().chain(&others) {
        let coding = LatentCoding::F32;
        let mode = Method::Latent { model, coding };
        let gpu = Device::gpu(0, model.clone()).unwrap();
        let expected = compress_boxes(&views, mode).unwrap();
        assert!(compress_boxes_on(&gpu, &views, mode).unwrap() == expected, "{}", model.metadata.name);
        // A device that is ready for another model leaves it to the cores.
        let another = Models::built_in().by_name("math-16").unwrap();
        let mode = Method::Latent { model: &another, coding };
        assert!(compress_boxes_on(&gpu, &views, mode).unwrap() == compress_boxes(&views, mode).unwrap());
    }
}
