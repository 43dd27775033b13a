//! What efforts promise beside the bound, which `bounded.rs` checks at each: more effort makes smaller
//! streams, the same ones with every engine, and one decoder reads all.

use ndarray::Array3;
use std::process::Command;
use swae_codec::bound::Tolerance;
use swae_codec::config::Effort;
use swae_codec::decode::decompress_boxes;
use swae_codec::encode::{Bounded, compress_bounded};
use swae_codec::engine::Engine;
use swae_codec::history::History;
use swae_codec::predict::Predictor;
use swae_codec::step::{StepField, compress_step};
use swae_codec::stream::{Stream, header};
use swae_codec::{Bound, Field, FieldView, Models};

/// Steps of a lump that moves and shrinks, among waves; `shift` makes a field of its own.
fn step(t: usize, shift: f64) -> Array3<f64> {
    let t = t as f64 + shift;
    Array3::from_shape_fn((29, 40, 36), |(z, y, x)| {
        let [x, y, z] = [x as f64 - 15.0 - 0.4 * t, y as f64 - 20.0 + 0.2 * t, z as f64 - 16.0];
        let waves = (0.9 * x + 0.3 * t).sin() * (0.7 * y).cos() * (0.8 * z - 0.1 * t).sin();
        1.0 / (0.3 + 0.02 * (x * x + y * y + z * z)) + 0.1 * waves
    })
}

/// A series whose steps have these efforts, in turn: its streams; every value keeps its bound.
fn series(efforts: &[Effort], settings: &Bounded<'_>) -> Vec<Vec<u8>> {
    let models = Models::built_in();
    let (mut there, mut back) = (History::new(4), History::default());
    let one = |(t, &effort): (usize, &Effort)| {
        let field = step(t, 0.0);
        let view = [FieldView::of_array(&field).unwrap()];
        let settings = Bounded { effort, ..*settings };
        let (stream, report) = compress_bounded(&view, &settings, Some(&mut there)).unwrap();
        let decoded = decompress_boxes(&Stream::open(&stream).unwrap(), &models, Some(&mut back)).unwrap();
        let Field::F64(decoded) = &decoded[0] else { panic!("float64") };
        let Tolerance::Absolute(bound) = report.tolerance else { panic!("an absolute bound") };
        assert!(field.iter().zip(decoded).all(|(a, b)| (a - b).abs() <= bound), "{effort:?}, step {t}");
        stream
    };
    efforts.iter().cycle().take(6).enumerate().map(one).collect()
}

#[test]
fn best_is_the_smallest_and_fast_at_most_a_fifth_larger_than_normal() {
    let model = Models::built_in().by_name("gr-mixture").unwrap();
    for bound in [1e-2, 1e-3, 1e-4, 1e-5] {
        let plain = Bounded::new(Bound::Relative(bound));
        let mixing = Bounded { model: Some(&model), ..plain };
        let size =
            |efforts: &[Effort], settings| series(efforts, settings).iter().map(Vec::len).sum::<usize>();
        let [fast, normal, best] = Effort::ALL.map(|effort| size(&[effort], &plain));
        assert!(best < normal && best < fast, "{bound}: {fast}, {normal}, {best} bytes");
        assert!(5 * fast <= 6 * normal, "{bound}: {fast}, {normal} bytes");
        assert!(size(&[Effort::Best], &mixing) < size(&[Effort::Normal], &mixing), "{bound}");
    }
}

#[test]
fn one_decoder_reads_steps_of_all_efforts_that_are_predicted_from_one_another() {
    let settings = Bounded::new(Bound::Relative(1e-4));
    let mixed = series(&[Effort::Best, Effort::Fast, Effort::Normal], &settings);
    let normal = series(&[Effort::Normal], &settings);
    let size = |streams: &[Vec<u8>]| streams.iter().map(Vec::len).sum::<usize>();
    assert!(10 * size(&mixed) < 11 * size(&normal));
    assert!(mixed.iter().zip(&normal).all(|(a, b)| a != b));
}

#[test]
fn fast_runs_no_networks_and_predicts_fields_from_themselves() {
    let models = Models::built_in();
    let names = ["u", "v"];
    let coded = |effort: Effort, model: &str| {
        let model = models.by_name(model).unwrap();
        let settings = Bounded { effort, model: Some(&model), ..Bounded::new(Bound::Relative(1e-3)) };
        let mut histories = names.map(|_| History::default());
        let mut used = 0;
        for t in 0..4 {
            let first = step(t, 0.0);
            let second = &first * 0.7 + 0.3;
            let views = [[FieldView::of_array(&first).unwrap()], [FieldView::of_array(&second).unwrap()]];
            let fields = names.iter().zip(&views).zip(&mut histories);
            let fields = fields.map(|((name, views), history)| StepField { name, views, settings, history });
            for coded in compress_step(fields.collect()) {
                let (stream, report) = coded.unwrap();
                let of = |predictor| report.statistics.of(predictor).blocks;
                used += of(Predictor::Mixing) + of(Predictor::Autoencoder) + of(Predictor::InterField);
                used += header(&stream).unwrap().reference_fields().len() as u64;
            }
        }
        used
    };
    for model in ["gr-mixture", "gr-16"] {
        assert_eq!(coded(Effort::Fast, model), 0, "{model}");
        assert!(coded(Effort::Best, model) > 0, "{model}");
    }
}

/// The child's engine is `SWAE_ENGINE`, which a process reads once: this test, started once more.
#[test]
fn every_engine_writes_the_same_bytes_at_every_effort() {
    const INSIDE: &str = "SWAE_TEST_EFFORTS";
    let settings = [Bound::Relative(1e-4), Bound::PointwiseRelative(1e-3)].map(Bounded::new);
    let streams = || Effort::ALL.map(|effort| settings.map(|settings| bytes(effort, &settings)));
    if std::env::var_os(INSIDE).is_some() {
        return println!("bytes {}", blake3::hash(&streams().concat().concat()));
    }
    let program = std::env::current_exe().unwrap();
    let name = "every_engine_writes_the_same_bytes_at_every_effort";
    let mut hashes = Vec::new();
    for engine in Engine::available() {
        let mut command = Command::new(&program);
        command.args(["--exact", name, "--nocapture"]).env(INSIDE, "1").env("SWAE_ENGINE", engine.name());
        let said = String::from_utf8(command.output().unwrap().stdout).unwrap();
        let hash = said.lines().find_map(|line| line.strip_prefix("bytes ").map(str::to_owned));
        hashes.push(hash.unwrap_or_else(|| panic!("{}: {said}", engine.name())));
    }
    hashes.dedup();
    assert_eq!(hashes.len(), 1);
}

/// All bytes of a series.
fn bytes(effort: Effort, settings: &Bounded<'_>) -> Vec<u8> {
    let mut history = History::new(4);
    let one = |t: usize| {
        let field = step(t, 0.0);
        let view = [FieldView::of_array(&field).unwrap()];
        compress_bounded(&view, &Bounded { effort, ..*settings }, Some(&mut history)).unwrap().0
    };
    (0..4).flat_map(one).collect()
}
