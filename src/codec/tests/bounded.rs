//! What bounded mode promises, over the same table of inputs as every mode.

mod inputs;

use inputs::{bits, inputs, noise, values};
use ndarray::{Array3, s};
use proptest::prelude::*;
use swae_codec::bound::{Tolerance, ValueRange};
use swae_codec::config::Effort;
use swae_codec::decode::{
    block_statistics, decompress_box, decompress_boxes, decompress_region, decompress_regions_into,
};
use swae_codec::encode::{Bounded, Method, compress_bounded, compress_box, compress_boxes};
use swae_codec::history::History;
use swae_codec::predict::{Predictor, PredictorSet};
use swae_codec::stream::Stream;
use swae_codec::{Bound, Element, Field, FieldView, Model, Models};

/// Decodes all boxes of a stream.
fn decode(bytes: &[u8], models: &Models, history: Option<&mut History>) -> swae_codec::Result<Vec<Field>> {
    decompress_boxes(&Stream::open(bytes)?, models, history)
}

/// Compresses, decodes, and checks every value against the bound that was asked for.
fn check<T: Element>(name: &str, array: &Array3<T>, settings: &Bounded<'_>) -> usize {
    let view = FieldView::of_array(array).unwrap();
    let (bytes, report) = compress_bounded(&[view], settings, None).unwrap();
    let back = values(&decompress_box(&bytes, &Models::built_in()).unwrap());
    assert_eq!(back.len(), array.len(), "{name}");
    let range = ValueRange::of(&view);
    let allowed = settings.bound.tolerance(range);
    let constant = array.iter().all(|v| v.same_bits(*array.first().unwrap()));
    let (mut worst, mut squares) = (0.0f64, 0.0);
    for (truth, back) in array.iter().zip(back.into_iter().map(T::of_bits)) {
        let (t, b) = (truth.to_f64(), back.to_f64());
        if truth.is_special() || constant {
            assert!(truth.same_bits(back), "{name}, {:?}: {truth:?} came back as {back:?}", settings.bound);
            continue;
        }
        let error = (t - b).abs();
        squares += error * error;
        let (error, allowed) = match allowed {
            _ if matches!(settings.bound, Bound::Psnr(_)) => (error, f64::INFINITY),
            Tolerance::Absolute(e) => (error, e),
            Tolerance::PointwiseRelative(r) if error > 0.0 => (error / t.abs(), r),
            Tolerance::PointwiseRelative(r) => (error, r),
        };
        assert!(error <= allowed, "{name}, {:?}: {truth:?} came back as {back:?}", settings.bound);
        worst = worst.max(error);
    }
    assert_eq!(report.max_error, worst, "{name}, {:?}: the report", settings.bound);
    if let Bound::Psnr(db) = settings.bound
        && squares > 0.0
        && squares.is_finite()
    {
        let psnr = 20.0 * (range.width() / (squares / array.len() as f64).sqrt()).log10();
        assert!(psnr >= db - 1e-9, "{name}: {psnr} dB of {db}");
    }
    bytes.len()
}

fn bounds() -> Vec<Bound> {
    let mut bounds = vec![Bound::Absolute(0.0), Bound::Absolute(1e-3), Bound::Absolute(1e300)];
    bounds.extend([Bound::Absolute(1e-300), Bound::Absolute(f64::MIN_POSITIVE), Bound::Absolute(5e-324)]);
    bounds.extend([1e300, 1e-1, 1e-3, 1e-6, 1e-9, 1e-15].map(Bound::Relative));
    bounds.push(Bound::Absolute(f64::MAX));
    bounds.extend([0.5, 1e-1, 1e-3, 1e-6, 1e-15, 0.0].map(Bound::PointwiseRelative));
    bounds.extend([10.0, 60.0, 120.0].map(Bound::Psnr));
    bounds
}

#[test]
fn every_bound_holds_for_every_input_in_both_types_at_every_effort() {
    for (name, array) in inputs() {
        for (bound, effort) in bounds().into_iter().flat_map(|bound| Effort::ALL.map(|e| (bound, e))) {
            let settings = Bounded { effort, ..Bounded::new(bound) };
            check(name, &array, &settings);
            check(name, &array.mapv(|v| v as f32), &settings);
        }
    }
}

#[test]
fn the_bound_holds_without_any_candidate_and_a_block_is_then_stored_as_it_is() {
    let (name, array) = inputs().remove(0);
    let whole = check(name, &array, &Bounded::new(Bound::Relative(1e-3)));
    for removed in PredictorSet::names() {
        let mut settings = Bounded::new(Bound::Relative(1e-3));
        settings.predictors = settings.predictors.without(removed).unwrap();
        assert!(check(name, &array, &settings) >= whole);
    }
    let mut none = Bounded::new(Bound::Relative(1e-3));
    for name in PredictorSet::names() {
        none.predictors = none.predictors.without(name).unwrap();
    }
    assert!(check(name, &array, &none) > array.len() * 8);
    assert!(none.predictors.without("another").is_none());
}

#[test]
fn bounds_that_mean_nothing_are_refused() {
    let array = Array3::<f32>::zeros((4, 4, 4));
    for bound in [
        Bound::Absolute(-1.0),
        Bound::Absolute(f64::NAN),
        Bound::Relative(f64::INFINITY),
        Bound::PointwiseRelative(1.0),
        Bound::Psnr(0.0),
    ] {
        let mode = Method::Bounded(Bounded::new(bound));
        assert!(compress_box(&FieldView::of_array(&array).unwrap(), mode).is_err(), "{bound:?}");
    }
}

#[test]
fn what_cannot_be_compressed_grows_by_less_than_a_hundredth() {
    let noise = Array3::from_shape_fn((64, 64, 64), |(z, y, x)| noise((z * 64 + y) * 64 + x));
    let any = Array3::from_shape_fn((64, 64, 64), |(z, y, x)| f64::from_bits(bits((z * 64 + y) * 64 + x)));
    for array in [noise, any] {
        for bound in [Bound::Absolute(0.0), Bound::Relative(1e-16), Bound::PointwiseRelative(1e-16)] {
            for effort in Effort::ALL {
                let size = check("noise", &array, &Bounded { effort, ..Bounded::new(bound) });
                assert!(size <= array.len() * 8 + array.len() * 8 / 100, "{bound:?}, {effort:?}: {size}");
            }
        }
    }
}

#[test]
fn boxes_that_lie_side_by_side_cost_less_than_the_same_in_disorder() {
    let field = Array3::from_shape_fn((64, 64, 64), |(z, y, x)| {
        (0.13 * x as f64).sin() * (0.11 * y as f64 + 0.3).cos() + (0.09 * z as f64).sin()
    });
    let whole = FieldView::of_array(&field).unwrap();
    let settings = Bounded::new(Bound::Absolute(1e-4));
    let spread = |n: usize| (0..3).map(|bit| (n >> bit & 1) << (3 * bit)).sum::<usize>();
    let rows: Vec<_> = (0..512).map(|i| [i % 8, i / 8 % 8, i / 64]).collect();
    let size = |order: &dyn Fn(&[usize; 3]) -> usize| {
        let mut at = rows.clone();
        at.sort_by_key(order);
        let boxes: Vec<_> = at.iter().map(|b| whole.part(b.map(|n| 8 * n), [8; 3])).collect();
        let (stream, _) = compress_bounded(&boxes, &settings, None).unwrap();
        let decoded = decode(&stream, &Models::built_in(), None).unwrap();
        for (view, field) in boxes.iter().zip(&decoded) {
            let Field::F64(array) = field else { panic!("of another type") };
            assert!(view.values().zip(array).all(|(a, b)| (a - b).abs() <= 1e-4));
        }
        stream.len()
    };
    let in_rows = size(&|b| b[0] + 8 * b[1] + 64 * b[2]);
    let along_a_curve = size(&|b| spread(b[0]) | spread(b[1]) << 1 | spread(b[2]) << 2);
    let in_disorder = size(&|b| bits(b[0] + 8 * b[1] + 64 * b[2]) as usize);
    for in_order in [in_rows, along_a_curve] {
        assert!(in_order < in_disorder - in_disorder / 25, "{in_rows} {along_a_curve} {in_disorder}");
    }
}

#[test]
fn a_large_offset_costs_next_to_nothing() {
    let wave = |(z, y, x): (usize, usize, usize)| (0.2 * x as f64).sin() * (0.1 * (y + z) as f64).cos();
    let plain = Array3::from_shape_fn((64, 64, 64), wave);
    for offset in [1.0, -1e6] {
        let shifted = plain.mapv(|v| offset + 1e-3 * v);
        let settings = Bounded::new(Bound::Relative(1e-6));
        let (alone, with) = (check("wave", &plain, &settings), check("offset", &shifted, &settings));
        assert!(with < alone + alone / 16, "{with} with an offset of {offset}, {alone} without");
    }
}

/// A wave that travels, with a steep spot.
fn step(t: usize) -> Array3<f64> {
    Array3::from_shape_fn((20, 70, 24), |(z, y, x)| {
        let at = 0.11 * x as f64 + 0.07 * y as f64 - 0.13 * t as f64;
        let r2 =
            (x as f64 - 9.0 - 0.2 * t as f64).powi(2) + (y as f64 - 30.0).powi(2) + (z as f64 - 10.0).powi(2);
        at.sin() + 1.0 / (1.0 + r2)
    })
}

#[test]
fn a_reader_can_start_at_any_keyframe_and_needs_no_step_before_it() {
    let models = Models::built_in();
    let settings = Bounded::new(Bound::Absolute(1e-5));
    let mut writer = History::new(4);
    let steps: Vec<_> = (0..10).map(step).collect();
    let streams: Vec<_> = steps
        .iter()
        .map(|a| {
            let view = [FieldView::of_array(a).unwrap()];
            compress_bounded(&view, &settings, Some(&mut writer)).unwrap().0
        })
        .collect();
    let mut through = History::default();
    let all: Vec<_> = streams.iter().map(|s| decode(s, &models, Some(&mut through)).unwrap()).collect();
    for (truth, back) in steps.iter().zip(&all) {
        let Field::F64(back) = &back[0] else { panic!("another type") };
        assert!(truth.iter().zip(back).all(|(t, b)| (t - b).abs() <= 1e-5));
    }
    for t in 0..10 {
        let mut history = History::default();
        for earlier in &streams[t / 4 * 4..t] {
            swae_codec::decode::advance(&Stream::open(earlier).unwrap(), &models, &mut history).unwrap();
        }
        let alone = decode(&streams[t], &models, Some(&mut history)).unwrap();
        assert_eq!(values(&alone[0]), values(&all[t][0]), "step {t}");
        assert_eq!(decompress_box(&streams[t], &models).is_ok(), t % 4 == 0, "step {t} alone");
    }
    // A history of another step, or of another field, is noticed.
    let mut wrong = History::default();
    swae_codec::decode::advance(&Stream::open(&streams[4]).unwrap(), &models, &mut wrong).unwrap();
    assert!(decode(&streams[6], &models, Some(&mut wrong)).is_err());
    // So is one of the same age, but of other values.
    let view = [step(4)].map(|a| a + 1.0);
    let (other, _) =
        compress_bounded(&[FieldView::of_array(&view[0]).unwrap()], &settings, Some(&mut History::new(4)))
            .unwrap();
    let mut wrong = History::default();
    swae_codec::decode::advance(&Stream::open(&other).unwrap(), &models, &mut wrong).unwrap();
    assert!(decode(&streams[5], &models, Some(&mut wrong)).is_err());
    // Temporal prediction is worth it.
    let alone: usize = steps.iter().map(|a| check("step", a, &settings)).sum();
    assert!(streams.iter().map(Vec::len).sum::<usize>() < alone * 3 / 4);
}

#[test]
fn a_box_that_regrids_starts_fresh() {
    let settings = Bounded::new(Bound::Absolute(1e-4));
    let mut history = History::new(100);
    let (first, second) = (step(0), step(1).slice(s![..16, .., ..]).to_owned());
    for array in [&first, &first, &second] {
        let view = [FieldView::of_array(array).unwrap()];
        let (stream, _) = compress_bounded(&view, &settings, Some(&mut history)).unwrap();
        let alone = decompress_box(&stream, &Models::built_in());
        assert_eq!(alone.is_ok(), history_age(&stream) == 0);
    }
    let view = [FieldView::of_array(&second).unwrap()];
    let (stream, _) = compress_bounded(&view, &settings, Some(&mut history)).unwrap();
    assert_eq!(history_age(&stream), 1);
}

fn history_age(stream: &[u8]) -> u32 {
    match swae_codec::stream::header(stream).unwrap().kind {
        swae_codec::stream::Kind::Bounded(preamble) => preamble.age,
        _ => panic!("another mode"),
    }
}

#[test]
fn a_list_of_boxes_keeps_its_bound_and_costs_far_less_than_its_boxes_alone() {
    let models = Models::built_in();
    for edge in [1, 5, 7, 8, 13, 16] {
        let boxes: Vec<Array3<f32>> = (0..600)
            .map(|n| {
                let wave = |(z, y, x): (usize, usize, usize)| {
                    (0.05 * (n + x) as f32).sin() * (0.1 * (y + z) as f32).cos()
                };
                Array3::from_shape_fn((edge, edge, edge), wave)
            })
            .collect();
        let views: Vec<_> = boxes.iter().map(|a| FieldView::of_array(a).unwrap()).collect();
        let mode = Method::Bounded(Bounded::new(Bound::Absolute(1e-3)));
        let stream = compress_boxes(&views, mode).unwrap();
        let back = decode(&stream, &models, None).unwrap();
        assert_eq!(back.len(), boxes.len());
        for (truth, back) in boxes.iter().zip(&back) {
            let Field::F32(back) = back else { panic!("another type") };
            assert_eq!(truth.dim(), back.dim());
            assert!(truth.iter().zip(back).all(|(t, b)| f64::from((t - b).abs()) <= 1e-3));
        }
        let alone: usize = views.iter().map(|v| compress_box(v, mode).unwrap().len()).sum();
        let part = if edge > 8 { 9 } else { 5 };
        assert!(stream.len() * 10 < alone * part, "edge {edge}: {} together, {alone} alone", stream.len());
    }
}

#[test]
fn lists_of_no_box_empty_boxes_and_boxes_of_many_shapes_come_back() {
    let mode = Method::Bounded(Bounded::new(Bound::Relative(1e-4)));
    let shapes = [(0, 3, 4), (1, 1, 1), (70, 3, 2), (8, 8, 8), (1, 1, 300), (16, 13, 5)];
    let boxes: Vec<_> =
        shapes.map(|shape| Array3::from_shape_fn(shape, |(z, y, x)| (x + y + z) as f64)).into();
    for n in 0..=boxes.len() {
        let views: Vec<_> = boxes[..n].iter().map(|a| FieldView::of_array(a).unwrap()).collect();
        let back = decode(&compress_boxes(&views, mode).unwrap(), &Models::built_in(), None).unwrap();
        assert_eq!(back.len(), n);
        for (truth, back) in boxes.iter().zip(back) {
            let Field::F64(back) = back else { panic!("another type") };
            assert_eq!(truth.dim(), back.dim());
            assert!(truth.iter().zip(&back).all(|(t, b)| (t - b).abs() <= 1e-4 * 315.0));
        }
    }
}

#[test]
fn a_region_is_the_part_of_the_whole() {
    let array =
        Array3::from_shape_fn((40, 70, 130), |(z, y, x)| (0.1 * x as f64).sin() + (y * z) as f64 * 1e-3);
    let view = FieldView::of_array(&array).unwrap();
    let models = Models::built_in();
    for mode in [Method::Bounded(Bounded::new(Bound::Relative(1e-4))), Method::Raw] {
        let stream = compress_box(&view, mode).unwrap();
        let Field::F64(whole) = decompress_box(&stream, &models).unwrap() else { panic!("another type") };
        for [x, y, z] in
            [[0..130, 0..70, 0..40], [3..4, 69..70, 39..40], [60..70, 10..66, 5..25], [5..5, 0..3, 0..3]]
        {
            let part = decompress_region(
                &Stream::open(&stream).unwrap(),
                &models,
                [x.clone(), y.clone(), z.clone()],
                None,
            )
            .unwrap();
            assert_eq!(part, Field::F64(whole.slice(s![z, y, x]).to_owned()));
        }
        assert!(
            decompress_region(&Stream::open(&stream).unwrap(), &models, [0..131, 0..1, 0..1], None).is_err()
        );
    }
}

#[test]
fn boxes_are_decoded_into_the_callers_memory() {
    let array = inputs().remove(0).1;
    let view = FieldView::of_array(&array).unwrap();
    let bytes = compress_bounded(&[view], &Bounded::new(Bound::Relative(1e-3)), None).unwrap().0;
    let (stream, models) = (Stream::open(&bytes).unwrap(), Models::built_in());
    let whole = values(&decompress_boxes(&stream, &models, None).unwrap()[0]);
    let regions = [view.count().map(|n| 0..n)];
    let mut out = vec![f64::NAN; whole.len()];
    decompress_regions_into(&stream, &models, &regions, None, &mut [&mut out]).unwrap();
    assert_eq!(out.iter().map(|v| v.to_bits()).collect::<Vec<_>>(), whole);
    let short = &mut out[1..];
    assert!(decompress_regions_into(&stream, &models, &regions, None, &mut [short]).is_err());
    let mut single = vec![0f32; whole.len()];
    assert!(decompress_regions_into(&stream, &models, &regions, None, &mut [&mut single]).is_err());
}

#[test]
fn a_region_of_a_box_without_values_takes_no_time_however_long_its_axes_are() {
    // Found by fuzzing: 2⁴² rows of no value.
    let mut stream = b"SWAE\x01\0\0\0\0\x01\x0f\0\xe2\xff\xff\xff\xff\xff\0".to_vec();
    stream.extend_from_slice(&crc32fast::hash(&stream).to_le_bytes());
    if let Ok(stream) = Stream::open(&stream) {
        let region = stream.header().boxes[0].map(|n| n / 2..n);
        let _ = decompress_region(&stream, &Models::built_in(), region, None);
    }
}

#[test]
fn a_shape_without_values_whose_other_axes_overflow_is_an_error() {
    // Found by fuzzing: 0 × 2⁴⁰ × 2⁴⁰.
    let mut stream = b"SWAE\x01\0\0\0\0\x01\0".to_vec();
    stream.extend_from_slice(b"\x80\x80\x80\x80\x80\x20\x80\x80\x80\x80\x80\x20");
    stream.extend_from_slice(&crc32fast::hash(&stream).to_le_bytes());
    assert!(decompress_box(&stream, &Models::built_in()).is_err());
}

#[test]
fn any_number_of_threads_writes_and_reads_the_same_bytes() {
    let array = Array3::from_shape_fn((70, 70, 140), |(z, y, x)| (0.1 * (x + y) as f64).sin() * z as f64);
    for effort in Effort::ALL {
        let with = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let settings = Bounded { effort, ..Bounded::new(Bound::Relative(1e-4)) };
                let view = FieldView::of_array(&array).unwrap();
                let stream = compress_box(&view, Method::Bounded(settings)).unwrap();
                let back = decompress_box(&stream, &Models::built_in()).unwrap();
                (stream, values(&back))
            })
        };
        let one = with(1);
        assert!(with(2) == one && with(7) == one, "{effort:?}");
    }
}

proptest! {
    /// Values of any bits, any shape, any bound.
    #[test]
    fn no_input_makes_the_bound_fail(
        shape in (0usize..12, 0usize..12, 0usize..20),
        seed in any::<u32>(),
        spread in 0i32..300,
        kind in 0usize..4,
        exponent in -18i32..2,
        effort in 0usize..3,
    ) {
        let value = |i: usize| {
            let (a, b) = (noise(i + seed as usize), bits(i * 3 + seed as usize));
            match b % 29 {
                0 if kind != 0 => f64::from_bits(bits(i)),
                1 if kind > 1 => -0.0,
                _ => (a - 0.5) * 10f64.powi((b % (1 + spread as u64)) as i32 - spread / 2),
            }
        };
        let (nz, ny, nx) = shape;
        let array = Array3::from_shape_fn(shape, |(z, y, x)| value((z * ny + y) * nx + x));
        let _ = nz;
        let (e, effort) = (10f64.powi(exponent), Effort::ALL[effort]);
        for bound in [Bound::Absolute(e), Bound::Relative(e), Bound::PointwiseRelative(e.min(0.9))] {
            let settings = Bounded { effort, ..Bounded::new(bound) };
            check("random", &array, &settings);
            check("random", &array.mapv(|v| v as f32), &settings);
        }
    }
}

/// Steps of a lump that turns and grows.
fn turning(t: usize) -> Array3<f64> {
    let angle = 0.15 * t as f64;
    Array3::from_shape_fn((32, 40, 36), |(z, y, x)| {
        let [x, y, z] = [x as f64 - 18.0, y as f64 - 20.0, z as f64 - 16.0];
        let [u, v] = [x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()];
        (1.0 + 0.05 * t as f64) / (2.0 + 0.02 * u * u + 0.1 * v * v + 0.03 * z * z) + 0.01 * (0.4 * u).sin()
    })
}

/// The streams of some steps, and the largest error of all, in bounds.
fn turned(settings: &Bounded<'_>, models: &Models) -> (Vec<Vec<u8>>, f64) {
    let (mut there, mut back) = (History::default(), History::default());
    let mut worst = 0.0f64;
    let streams = (0..5).map(|t| {
        let field = turning(t);
        let view = [FieldView::of_array(&field).unwrap()];
        let (stream, report) = compress_bounded(&view, settings, Some(&mut there)).unwrap();
        let decoded = decode(&stream, models, Some(&mut back)).unwrap();
        let Tolerance::Absolute(bound) = report.tolerance else { panic!("an absolute bound") };
        let Field::F64(decoded) = &decoded[0] else { panic!("float64") };
        let errors = field.iter().zip(decoded).map(|(a, b)| (a - b).abs());
        worst = errors.fold(worst, |worst, e| worst.max(e / bound));
        stream
    });
    let streams = streams.collect();
    (streams, worst)
}

#[test]
fn mixed_predictions_are_selected_and_keep_the_bound() {
    let models = Models::built_in();
    let model = models.by_name("gr-mixture").unwrap();
    let mut blocks = 0;
    for bound in [1e-2, 1e-3, 1e-4, 1e-6] {
        let settings = Bounded { model: Some(&model), ..Bounded::new(Bound::Relative(bound)) };
        let (streams, worst) = turned(&settings, &models);
        assert!(worst <= 1.0, "{worst} bounds at {bound}");
        let mut history = History::default();
        for stream in &streams {
            blocks += block_statistics(&Stream::open(stream).unwrap(), &models, Some(&mut history))
                .unwrap()
                .of(Predictor::Mixing)
                .blocks;
        }
        // With one reference step there is nothing to mix.
        let plain = turned(&Bounded::new(Bound::Relative(bound)), &models).0;
        assert_eq!(streams[..2], plain[..2]);
        assert_ne!(streams[2..], plain[2..]);
    }
    assert!(blocks > 100, "{blocks} blocks");
}

#[test]
fn a_mixing_network_of_ones_own_is_named_where_it_is_missing() {
    let built_in = Models::built_in().by_name("gr-mixture").unwrap();
    let mut decoder = built_in.decoder.clone();
    decoder[0].bias[0] += 0.5;
    let own = Model::new(built_in.metadata.clone(), None, decoder).unwrap();
    let id = own.id();
    let settings = Bounded { model: Some(&own), ..Bounded::new(Bound::Relative(1e-3)) };
    let mut models = Models::built_in();
    models.add(own.clone());
    let (streams, worst) = turned(&settings, &models);
    assert!(worst <= 1.0);
    let mut history = History::default();
    let last = streams.iter().map(|s| decode(s, &Models::built_in(), Some(&mut history))).last();
    let message = last.unwrap().unwrap_err().to_string();
    assert!(message.contains(&id.to_string()), "{message}");
}

#[test]
fn a_view_without_values_may_have_any_shape_and_strides() {
    for (count, stride) in [
        ([0, 1, 16], [1, 1, isize::MAX]),
        ([0, 1, 1 << 59], [1; 3]),
        ([3, 0, usize::MAX >> 8], [isize::MIN; 3]),
    ] {
        let view = FieldView::new(&[0f32; 0], 0, count, stride).unwrap();
        for bound in [Bound::Absolute(0.5), Bound::Relative(1e-3), Bound::Psnr(60.0)] {
            let (stream, _) = compress_bounded(&[view], &Bounded::new(bound), None).unwrap();
            assert_eq!(Stream::open(stream).unwrap().header().boxes, [count]);
        }
    }
}
