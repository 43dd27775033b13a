//! Fields of one step that are predicted from one another.

use ndarray::Array3;
use swae_codec::decode::{advance, decompress_boxes, decompress_regions};
use swae_codec::encode::{Bounded, compress_bounded};
use swae_codec::history::History;
use swae_codec::step::{StepField, StepStream, compress_step, decompress_step};
use swae_codec::stream::{Stream, header};
use swae_codec::{Bound, Element, Field, FieldView, Models};

/// Decodes all boxes of a stream.
fn decode(bytes: &[u8], models: &Models, history: Option<&mut History>) -> swae_codec::Result<Vec<Field>> {
    decompress_boxes(&Stream::open(bytes)?, models, history)
}

const NAMES: [&str; 3] = ["u", "w", "noise"];

/// Waves of many frequencies and how fast they change, half of it to a step; and something that has
/// nothing to do with them.
fn fields(t: usize) -> [Array3<f64>; 3] {
    let waves = |shift: f64, factor: fn(f64) -> f64| {
        Array3::from_shape_fn((24, 32, 40), |(z, y, x)| {
            let [x, y, z] = [x as f64, y as f64, z as f64];
            (1..9)
                .map(f64::from)
                .map(|k| {
                    let (frequency, phase) = (0.25 + 0.11 * k, 1.7 * k * k);
                    let place =
                        (0.21 * x + phase).sin() * (0.33 * y + 0.7 * k).cos() * (0.27 * z + k * k).sin();
                    factor(frequency) * (frequency * t as f64 + phase + shift).sin() * place
                })
                .sum()
        })
    };
    let half_a_turn = std::f64::consts::FRAC_PI_2;
    let noise = Array3::from_shape_fn((24, 32, 40), |(z, y, x)| {
        let seed = ((t * 64 + z) * 64 + y) * 64 + x;
        ((seed as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / (1 << 24) as f64
    });
    [waves(0.0, |_| 1.0), waves(half_a_turn, |frequency| frequency), noise]
}

/// Streams of six steps, `[step][field]`.
fn coded<T: Element>(convert: fn(f64) -> T, settings: &Bounded<'_>) -> Vec<Vec<Vec<u8>>> {
    let mut histories = NAMES.map(|_| History::new(4));
    let step = |t: usize| {
        let arrays = fields(t).map(|a| a.mapv(convert));
        let views = arrays.each_ref().map(|a| [FieldView::of_array(a).unwrap()]);
        let fields = NAMES.iter().zip(&views).zip(&mut histories);
        let fields = fields
            .map(|((name, views), history)| StepField { name, views, settings: *settings, history })
            .collect();
        compress_step(fields).into_iter().map(|coded| coded.unwrap().0).collect()
    };
    (0..6).map(step).collect()
}

fn reference_fields(stream: &[u8]) -> Vec<String> {
    header(stream).unwrap().reference_fields().into_iter().map(String::from).collect()
}

/// Decodes a step of all fields.
fn decoded(streams: &[Vec<u8>], histories: &mut [History; 3]) -> Vec<Field> {
    let open = |bytes: &Vec<u8>| Stream::open(bytes.clone()).unwrap();
    let fields = NAMES.iter().zip(streams).zip(histories);
    let fields = fields.map(|((name, bytes), history)| StepStream { name, stream: open(bytes), history });
    let decoded = decompress_step(fields.collect(), &Models::built_in());
    decoded.into_iter().map(|boxes| boxes.unwrap().remove(0)).collect()
}

#[test]
fn fields_predicted_from_one_another_keep_their_bounds_and_are_smaller() {
    for bound in [Bound::Absolute(1e-4), Bound::Relative(1e-5), Bound::Psnr(90.0)] {
        let settings = Bounded::new(bound);
        let streams = coded(|v| v, &settings);
        let mut histories = NAMES.map(|_| History::default());
        for (t, step) in streams.iter().enumerate() {
            let decoded = decoded(step, &mut histories);
            for ((truth, back), name) in fields(t).iter().zip(decoded).zip(NAMES) {
                let range = swae_codec::bound::ValueRange::of(&FieldView::of_array(truth).unwrap()).width();
                let errors = truth.iter().zip(&back.to_f64()).map(|(a, b)| (a - b).abs()).collect::<Vec<_>>();
                let largest = errors.iter().copied().fold(0.0, f64::max);
                let rms = (errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64).sqrt();
                match bound {
                    Bound::Absolute(e) => assert!(largest <= e, "{name}, step {t}: {largest}"),
                    Bound::Relative(e) => assert!(largest <= e * range, "{name}, step {t}: {largest}"),
                    _ => assert!(20.0 * (range / rms).log10() >= 90.0 - 1e-9, "{name}, step {t}"),
                }
            }
            // A keyframe is predicted from nothing, and nothing predicts noise.
            let predicted: Vec<_> = step.iter().map(|s| reference_fields(s).len()).collect();
            assert_eq!(
                predicted.iter().sum::<usize>(),
                usize::from(t % 4 != 0),
                "{bound}, step {t}: {predicted:?}"
            );
            assert_eq!(predicted[2], 0);
        }
        let mut apart = settings;
        apart.predictors = apart.predictors.without("inter_field").unwrap();
        let size = |streams: &[Vec<Vec<u8>>]| {
            let waves = |s: &Vec<Vec<u8>>| s[..2].iter().map(Vec::len).sum::<usize>();
            [1, 2, 3, 5].map(|t| waves(&streams[t])).iter().sum::<usize>()
        };
        let (with, without) = (size(&streams), size(&coded(|v| v, &apart)));
        assert!(5 * with < 4 * without, "{bound}: {with} bytes, {without} apart");
    }
}

#[test]
fn single_precision_is_predicted_from_other_fields_too() {
    let streams = coded(|v| v as f32, &Bounded::new(Bound::Absolute(1e-3)));
    let mut histories = NAMES.map(|_| History::default());
    for (t, step) in streams.iter().enumerate() {
        for (truth, back) in fields(t).iter().zip(decoded(step, &mut histories)) {
            let truth = truth.mapv(|v| v as f32);
            assert!(truth.iter().zip(&back.to_f64()).all(|(a, b)| (f64::from(*a) - b).abs() <= 1e-3));
        }
    }
    assert!(streams.iter().flatten().any(|s| !reference_fields(s).is_empty()));
}

#[test]
fn a_field_without_its_reference_field_is_an_error_that_names_it() {
    let models = Models::built_in();
    let streams = coded(|v| v, &Bounded::new(Bound::Absolute(1e-4)));
    let mut histories = NAMES.map(|_| History::default());
    decoded(&streams[0], &mut histories);
    let predicted = (0..2).find(|&i| !reference_fields(&streams[1][i]).is_empty()).unwrap();
    let name = reference_fields(&streams[1][predicted]).remove(0);
    let other = 1 - predicted;
    assert_eq!(name, NAMES[other]);
    let stream = &streams[1][predicted];
    let try_it = |reference: Option<&History>| {
        let mut history = histories[predicted].clone();
        if let Some(reference) = reference {
            history.add_reference(&name, reference);
        }
        decode(stream, &models, Some(&mut history)).map_err(|e| e.to_string())
    };
    let message = try_it(None).unwrap_err();
    assert!(message.contains(&format!("'{name}'")) && message.contains("not decoded"), "{message}");
    // Of the step before, of nothing, and of other boxes.
    let message = try_it(Some(&histories[other])).unwrap_err();
    assert!(message.contains(&format!("'{name}'")) && message.contains("another"), "{message}");
    assert!(try_it(Some(&History::default())).is_err());
    let mut elsewhere = History::new(4);
    let small = Array3::<f64>::zeros((8, 8, 8));
    compress_bounded(
        &[FieldView::of_array(&small).unwrap()],
        &Bounded::new(Bound::Absolute(1.0)),
        Some(&mut elsewhere),
    )
    .unwrap();
    assert!(try_it(Some(&elsewhere)).is_err());
    // And the right one.
    let mut reference = histories[other].clone();
    advance(&Stream::open(&streams[1][other]).unwrap(), &models, &mut reference).unwrap();
    let whole = try_it(Some(&reference)).unwrap().pop().unwrap().to_f64();
    // A region comes out as it is in the whole.
    let mut history = histories[predicted].clone();
    history.add_reference(&name, &reference);
    let part = decompress_regions(
        &Stream::open(stream).unwrap(),
        &models,
        &[[3..17, 8..9, 5..20]],
        Some(&mut history),
    )
    .unwrap();
    assert_eq!(part[0].to_f64(), whole.slice(ndarray::s![5..20, 8..9, 3..17]));
}

#[test]
fn what_cannot_be_coded_fails_alone() {
    let mut histories = NAMES.map(|_| History::new(4));
    for t in 0..3 {
        let arrays = fields(t);
        let views = arrays.each_ref().map(|a| [FieldView::of_array(a).unwrap()]);
        let fields = NAMES.iter().zip(&views).zip(&mut histories).enumerate();
        let fields = fields.map(|(i, ((name, views), history))| {
            let bound = if i == 1 && t == 2 { -1.0 } else { 1e-4 };
            StepField { name, views, settings: Bounded::new(Bound::Absolute(bound)), history }
        });
        let results = compress_step(fields.collect());
        let failed: Vec<_> = results.iter().map(Result::is_err).collect();
        assert_eq!(failed, [false, t == 2, false]);
    }
}

#[test]
fn a_step_that_fails_forgets_its_reference_fields() {
    let bounded = |e| Bounded::new(Bound::Absolute(e));
    let [mut leading, mut predicted] = [History::new(9), History::new(9)];
    for t in 0..3 {
        let [u, w, _] = fields(t);
        let view = [FieldView::of_array(&w).unwrap()];
        compress_bounded(&[FieldView::of_array(&u).unwrap()], &bounded(1e-4), Some(&mut leading)).unwrap();
        predicted.add_reference("u", &leading);
        if t == 2 {
            assert!(compress_bounded(&view, &bounded(-1.0), Some(&mut predicted)).is_err());
        }
        let (stream, _) = compress_bounded(&view, &bounded(1e-4), Some(&mut predicted)).unwrap();
        let expected: &[&str] = if t == 1 { &["u"] } else { &[] };
        assert_eq!(reference_fields(&stream), expected, "step {t}");
    }
}
