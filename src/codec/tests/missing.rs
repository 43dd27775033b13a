//! What is promised of missing values: they come back to the bit, cost about what their bitmap does,
//! and take no part in ranges, bounds and means.

use ndarray::Array3;
use proptest::prelude::*;
use std::io::Write;
use swae_codec::bound::{Tolerance, ValueRange};
use swae_codec::decode::{decompress_box, decompress_boxes, decompress_region};
use swae_codec::encode::{Bounded, Method, compress_bounded, compress_box, compress_boxes};
use swae_codec::history::History;
use swae_codec::predict::PredictorSet;
use swae_codec::step::{StepField, StepStream, compress_step, decompress_step};
use swae_codec::stream::{Kind, Stream, header};
use swae_codec::{Bound, Compression, Element, Field, FieldView, Models, compress};

/// A smooth field with a shell that oscillates, of any size.
fn smooth([nx, ny, nz]: [usize; 3], t: f64) -> Array3<f64> {
    let scale = 1.0 / nx.max(ny).max(nz) as f64;
    Array3::from_shape_fn((nz, ny, nx), |(z, y, x)| {
        let [x, y, z] = [x as f64 * scale - 0.5, y as f64 * scale - 0.45, z as f64 * scale - 0.55];
        let r = (x * x + y * y + z * z + 0.003).sqrt();
        1.0 - 0.3 / (1.0 + 4.0 * r)
            + 0.05 * (20.0 * r - t).sin() / (1.0 + 5.0 * r)
            + 0.1 * (3.0 * x + y).sin()
    })
}

/// Well mixed bits of a number (SplitMix64).
fn bits(i: usize) -> u64 {
    let z = (i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Whether the point [x, y, z], each from 0 to 1, or of a number, is missing.
type Mask = fn([f64; 3], usize) -> bool;

fn ball([x, y, z]: [f64; 3], _: usize) -> bool {
    (x - 0.5).powi(2) + (y - 0.45).powi(2) + (z - 0.55).powi(2) < 0.09
}

/// Two thirds of all points: land, deeper where z is greater.
fn land([x, y, z]: [f64; 3], _: usize) -> bool {
    let waves = (9.0 * x + 2.0 * (7.0 * y).sin()).sin() + (8.0 * y + 3.0 * (5.0 * x).cos()).cos();
    waves + 0.5 * (40.0 * x).sin() * (37.0 * y).cos() + 1.5 * (z - 0.3) > -0.25
}

fn scattered(_: [f64; 3], i: usize) -> bool {
    bits(i).is_multiple_of(1000)
}

fn everywhere(_: [f64; 3], _: usize) -> bool {
    true
}

const MASKS: [(&str, Mask); 6] = [
    ("ball", ball),
    ("land", land),
    ("scattered", scattered),
    ("half", |[x, ..], _| x < 0.47),
    ("most", |_, i| !bits(i).is_multiple_of(20)),
    ("everywhere", everywhere),
];

/// The field with `fill` at missing points.
fn masked(array: &Array3<f64>, mask: Mask, fill: f64) -> Array3<f64> {
    let (nz, ny, nx) = array.dim();
    let mut out = array.clone();
    for ((z, y, x), v) in out.indexed_iter_mut() {
        let at = [x as f64 / nx as f64, y as f64 / ny as f64, z as f64 / nz as f64];
        if mask(at, (z * ny + y) * nx + x) {
            *v = fill;
        }
    }
    out
}

/// Bytes of the bitmap of missing points behind gzip.
fn gzipped(array: &Array3<f64>, fill: f64) -> usize {
    let missing: Vec<bool> = array.iter().map(|v| v.same_bits(fill)).collect();
    let bytes: Vec<u8> =
        missing.chunks(8).map(|b| b.iter().fold(0, |byte, &bit| byte << 1 | u8::from(bit))).collect();
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&bytes).unwrap();
    encoder.finish().unwrap().len()
}

/// Compresses and decodes; every missing point, every special value must come back to the bit, all
/// others within the bound. Gives the stream's size.
fn check<T: Element>(name: &str, array: &Array3<T>, settings: &Bounded<'_>) -> usize {
    let view = FieldView::of_array(array).unwrap();
    let (bytes, report) = compress_bounded(&[view], settings, None).unwrap();
    let back = decompress_box(&bytes, &Models::built_in()).unwrap();
    let range = ValueRange::without(&view, settings.fill);
    let squares = errors(name, array, back.as_array().unwrap(), settings, range);
    let numbers = array.iter().filter(|v| is_number(**v, settings)).count();
    assert!((report.mse - squares / numbers.max(1) as f64).abs() <= 1e-9 * report.mse, "{name}");
    if let Bound::Psnr(db) = settings.bound
        && squares > 0.0
    {
        let psnr = 20.0 * (range.width() / (squares / numbers as f64).sqrt()).log10();
        assert!(psnr >= db - 1e-9, "{name}: {psnr} dB of {db}");
    }
    bytes.len()
}

fn is_number<T: Element>(value: T, settings: &Bounded<'_>) -> bool {
    value.to_f64().is_finite() && settings.fill.is_none_or(|fill| !value.same_bits(T::from_f64(fill)))
}

/// The sum of squared errors; panics where any is greater than it may be.
fn errors<T: Element>(
    name: &str,
    truth: &Array3<T>,
    back: &Array3<T>,
    settings: &Bounded<'_>,
    range: ValueRange,
) -> f64 {
    assert_eq!(truth.dim(), back.dim(), "{name}");
    let tolerance = settings.bound.tolerance(range);
    let mut squares = 0.0;
    for (t, b) in truth.iter().zip(back) {
        let same = t.same_bits(*b);
        let error = (t.to_f64() - b.to_f64()).abs();
        let kept = match tolerance {
            _ if matches!(settings.bound, Bound::Psnr(_)) => true,
            Tolerance::Absolute(e) => error <= e,
            Tolerance::PointwiseRelative(r) => error <= r * t.to_f64().abs(),
        };
        let exact = !is_number(*t, settings) || t.is_special();
        let bound = settings.bound;
        assert!(same || (kept && !exact), "{name}, {bound}: {t:?} came back as {b:?}");
        if !same {
            squares += error * error;
        }
    }
    squares
}

const BOUNDS: [Bound; 6] = [
    Bound::Absolute(0.0),
    Bound::Absolute(1e-3),
    Bound::Relative(1e-2),
    Bound::Relative(1e-6),
    Bound::PointwiseRelative(1e-3),
    Bound::Psnr(60.0),
];

#[test]
fn missing_values_come_back_to_the_bit_in_every_shape_type_and_bound() {
    let nan = f64::from_bits(0x7ff8_0000_dead_beef);
    for shape in [[24, 17, 13], [8, 8, 8], [1, 1, 1], [100, 1, 1], [3, 40, 2], [66, 9, 8]] {
        let array = smooth(shape, 0.0);
        for (name, mask) in MASKS {
            for bound in BOUNDS {
                for fill in [nan, 1e20, 0.9, f64::INFINITY, -0.0] {
                    let settings = Bounded { fill: Some(fill), ..Bounded::new(bound) };
                    let array = masked(&array, mask, fill);
                    check(name, &array, &settings);
                    check(name, &array.mapv(|v| v as f32), &settings);
                }
            }
        }
    }
}

#[test]
fn missing_values_cost_no_more_than_the_field_continued_and_its_gzipped_bitmap() {
    for n in [64, 80] {
        let whole = smooth([n; 3], 0.0);
        for bound in [5e-3, 5e-4, 5e-5, 5e-7].map(Bound::Absolute) {
            let continued = check("whole", &whole, &Bounded::new(bound));
            for (name, mask) in &MASKS[..4] {
                let [nan, filled] = [f64::NAN, 1e20].map(|fill| {
                    let array = masked(&whole, *mask, fill);
                    let settings = Bounded { fill: Some(fill), ..Bounded::new(bound) };
                    (check(name, &array, &settings), gzipped(&array, fill))
                });
                let most = (continued + nan.1) as f64 * 1.06;
                assert!((nan.0 as f64) < most, "{name} {n}³, {bound}: {} bytes, not {most}", nan.0);
                assert!(nan.0.abs_diff(filled.0) <= 4, "{name}: NaN {} bytes, 1e20 {}", nan.0, filled.0);
            }
        }
    }
}

#[test]
fn a_mask_alone_costs_less_than_its_gzipped_bitmap() {
    for (name, mask) in &MASKS[..3] {
        let array = masked(&Array3::from_elem((64, 64, 64), 1.0), *mask, f64::NAN);
        let bytes = check(name, &array, &Bounded::new(Bound::Absolute(1e-3)));
        let most = gzipped(&array, f64::NAN) + 80;
        assert!(bytes <= most, "{name}: {bytes} bytes, not {most}");
    }
}

#[test]
fn a_ratio_of_signal_to_noise_is_that_of_the_values_that_are_there() {
    let array = masked(&smooth([48; 3], 0.0), land, f64::NAN);
    let [few, many] =
        [Bound::Psnr(60.0), Bound::Psnr(100.0)].map(|b| check("land", &array, &Bounded::new(b)));
    assert!(few < many);
    // Other NaN and infinities are no values either.
    let mut mixed = array.clone();
    mixed
        .iter_mut()
        .enumerate()
        .filter(|(i, v)| v.is_nan() && i % 2 == 0)
        .for_each(|(_, v)| *v = f64::INFINITY);
    check("two kinds", &mixed, &Bounded::new(Bound::Psnr(60.0)));
}

#[test]
fn a_stated_fill_value_takes_no_part_in_the_value_range() {
    let whole = smooth([24; 3], 0.0);
    let array = masked(&whole, ball, 1e20);
    let view = FieldView::of_array(&array).unwrap();
    let bytes = compress(&view, &Compression::relative(1e-3).fill(1e20)).unwrap();
    let Kind::Bounded(preamble) = header(&bytes).unwrap().kind else { panic!("it has a bound") };
    let Tolerance::Absolute(tolerance) = preamble.tolerance else { panic!("it is absolute") };
    assert!(tolerance < 1e-3, "{tolerance}");
    let missing = preamble.missing.expect("some points are missing");
    assert_eq!(missing.bits, 1e20f64.to_bits());
    assert_eq!(missing.points as usize, array.iter().filter(|v| **v == 1e20).count());
    // Without missing points a stream says nothing of them.
    let none =
        compress(&FieldView::of_array(&whole).unwrap(), &Compression::relative(1e-3).fill(1e20)).unwrap();
    let same = compress(&FieldView::of_array(&whole).unwrap(), &Compression::relative(1e-3)).unwrap();
    assert_eq!(none, same);
}

/// A mask that moves with the step.
fn moved(array: &Array3<f64>, step: usize, fill: f64) -> Array3<f64> {
    let mut out = array.clone();
    for ((z, y, x), v) in out.indexed_iter_mut() {
        let centre = 12.0 + 3.0 * step as f64;
        let distance = (x as f64 - centre).powi(2) + (y as f64 - 16.0).powi(2) + (z as f64 - 16.0).powi(2);
        // In step 3 nothing is missing, in step 6 everything.
        if step == 6 || step != 3 && distance < 130.0 {
            *v = fill;
        }
    }
    out
}

#[test]
fn points_that_are_missing_in_one_step_are_right_in_the_next() {
    let mixing = Models::built_in().by_name("gr-mixture").unwrap();
    for (bound, model) in [
        (Bound::Absolute(1e-4), None),
        (Bound::Relative(1e-5), Some(&*mixing)),
        (Bound::PointwiseRelative(1e-3), None),
        (Bound::Psnr(70.0), None),
    ] {
        let settings = Bounded { model, ..Bounded::new(bound) };
        let (mut writer, mut reader) = (History::new(5), History::default());
        for step in 0..9 {
            let array = moved(&smooth([40, 36, 33], 0.2 * step as f64), step, f64::NAN);
            let view = FieldView::of_array(&array).unwrap();
            let (bytes, _) = compress_bounded(&[view], &settings, Some(&mut writer)).unwrap();
            let stream = Stream::open(&bytes[..]).unwrap();
            let back = decompress_boxes(&stream, &Models::built_in(), Some(&mut reader)).unwrap();
            let range = ValueRange::of(&view);
            errors(&format!("step {step}"), &array, back[0].as_array().unwrap(), &settings, range);
        }
    }
}

#[test]
fn a_mask_that_stays_costs_nothing_in_later_steps() {
    let (mut writer, mut plain) = (History::new(16), History::new(16));
    let settings = Bounded::new(Bound::Absolute(1e-3));
    let mut later = 0;
    for step in 0..4 {
        let whole = smooth([48; 3], 0.1 * step as f64);
        let array = masked(&whole, land, f64::NAN);
        let size = |array: &Array3<f64>, history: &mut History| {
            compress_bounded(&[FieldView::of_array(array).unwrap()], &settings, Some(history))
                .unwrap()
                .0
                .len()
        };
        let sizes = (size(&array, &mut writer), size(&whole, &mut plain));
        if step > 0 {
            later += sizes.0.saturating_sub(sizes.1 + 20);
        }
    }
    assert_eq!(later, 0, "bytes more than without a mask");
}

#[test]
fn fields_with_masks_are_predicted_from_one_another() {
    let mut histories = [History::new(4), History::new(4)];
    let mut readers = [History::default(), History::default()];
    let settings = Bounded::new(Bound::Absolute(1e-5));
    let mut predicted = 0;
    for t in 0..5 {
        let at = |t: f64| smooth([40, 32, 32], t * t / 5.0);
        let arrays = [at(t as f64 + 0.5) - at(t as f64 - 0.5), at(t as f64)];
        let arrays = arrays.map(|array| moved(&array, t, f64::NAN));
        let views = arrays.each_ref().map(|a| [FieldView::of_array(a).unwrap()]);
        let names = ["change", "value"];
        let fields = names.iter().zip(&views).zip(&mut histories);
        let fields = fields.map(|((name, views), history)| StepField { name, views, settings, history });
        let streams: Vec<_> =
            compress_step(fields.collect()).into_iter().map(|coded| coded.unwrap().0).collect();
        predicted += streams.iter().filter(|s| !header(s).unwrap().reference_fields().is_empty()).count();
        let fields = names.iter().zip(&streams).zip(&mut readers);
        let fields = fields.map(|((name, bytes), history)| {
            let stream = Stream::open(&bytes[..]).unwrap();
            StepStream { name, stream, history }
        });
        let decoded = decompress_step(fields.collect(), &Models::built_in());
        for (array, back) in arrays.iter().zip(decoded) {
            let range = ValueRange::of(&FieldView::of_array(array).unwrap());
            errors("two fields", array, back.unwrap()[0].as_array().unwrap(), &settings, range);
        }
    }
    assert!(predicted > 0, "none was predicted from the other");
}

#[test]
fn boxes_of_which_some_are_wholly_missing_come_back() {
    let whole = masked(&smooth([64, 64, 32], 0.0), ball, -999.0);
    let view = FieldView::of_array(&whole).unwrap();
    let linked: Vec<_> =
        (0..256).map(|i| view.part([i % 8 * 8, i / 8 % 8 * 8, i / 64 * 8], [8; 3])).collect();
    let uneven: Vec<_> = (0..30).map(|i| view.part([i, i, i / 2], [30 - i, 5 + i % 7, 16 - i / 2])).collect();
    for boxes in [linked, uneven] {
        let settings = Bounded { fill: Some(-999.0), ..Bounded::new(Bound::Relative(1e-4)) };
        let bytes = compress_boxes(&boxes, Method::Bounded(settings)).unwrap();
        let back = decompress_boxes(&Stream::open(&bytes[..]).unwrap(), &Models::built_in(), None).unwrap();
        let range = boxes.iter().map(|b| ValueRange::without(b, Some(-999.0)));
        let range = range.fold(ValueRange::EMPTY, ValueRange::union);
        for (of, back) in boxes.iter().zip(back) {
            let [nx, ny, nz] = of.count();
            let truth = Array3::from_shape_vec((nz, ny, nx), of.values().collect()).unwrap();
            errors("boxes", &truth, back.as_array().unwrap(), &settings, range);
        }
    }
}

#[test]
fn a_region_has_the_mask_of_the_whole() {
    let array = masked(&smooth([70, 40, 33], 0.0), land, f64::NAN);
    let bytes = compress_box(
        &FieldView::of_array(&array).unwrap(),
        Method::Bounded(Bounded::new(Bound::Absolute(1e-3))),
    )
    .unwrap();
    let stream = Stream::open(&bytes[..]).unwrap();
    let Field::F64(whole) = decompress_box(&bytes, &Models::built_in()).unwrap() else { panic!("float64") };
    let Field::F64(part) =
        decompress_region(&stream, &Models::built_in(), [60..70, 3..20, 8..30], None).unwrap()
    else {
        panic!("float64")
    };
    let cut = whole.slice(ndarray::s![8..30, 3..20, 60..70]);
    assert!(part.iter().zip(cut).all(|(a, b)| a.same_bits(*b)));
}

#[test]
fn a_network_takes_part_beside_missing_points_too() {
    let model = Models::built_in().by_name("gr-16").unwrap();
    let rough = smooth([32; 3], 0.0).mapv(|v| (40.0 * v).sin());
    let predictors = PredictorSet::ALL.without("intra").unwrap();
    let settings = Bounded { model: Some(&model), predictors, ..Bounded::new(Bound::Relative(0.1)) };
    for fill in [f64::NAN, 1e20] {
        check("network", &masked(&rough, ball, fill), &Bounded { fill: Some(fill), ..settings });
    }
}

#[test]
fn latents_give_nan_back_to_the_bit_and_refuse_a_fill_value() {
    let array = masked(&smooth([24; 3], 0.0), ball, f64::NAN);
    let bytes = compress(&FieldView::of_array(&array).unwrap(), &Compression::latent()).unwrap();
    let Field::F64(back) = decompress_box(&bytes, &Models::built_in()).unwrap() else { panic!("float64") };
    assert!(array.iter().zip(&back).all(|(a, b)| !a.is_nan() || a.same_bits(*b)));
    assert!("mode = latent; fill = 1e20".parse::<Compression>().is_err());
}

#[test]
fn the_number_of_threads_changes_no_byte_of_a_masked_stream() {
    let array = masked(&smooth([96, 40, 40], 0.0), land, f64::NAN);
    let encode = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let method = Method::Bounded(Bounded::new(Bound::Relative(1e-4)));
        pool.install(|| compress_box(&FieldView::of_array(&array).unwrap(), method).unwrap())
    };
    assert_eq!(encode(1), encode(3));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_values_with_any_fill_value_come_back(
        shape in [1..20usize, 1..12usize, 1..12usize],
        palette in proptest::collection::vec(any::<u64>(), 1..6),
        fill in prop_oneof![Just(None), Just(Some(1e20)), any::<f64>().prop_map(Some)],
        seed in any::<u32>(),
        exponent in -12..3i32,
        relative in any::<bool>(),
        smoothly in any::<bool>(),
    ) {
        let nan = f64::NAN.to_bits();
        let values = |i: usize| -> f64 {
            let n = bits(i ^ seed as usize) as usize;
            match n % 4 {
                0 => f64::from_bits(nan),
                1 => fill.unwrap_or(1.0),
                _ if smoothly => (0.1 * i as f64).sin(),
                _ => f64::from_bits(palette[n / 4 % palette.len()]),
            }
        };
        let [nx, ny, nz] = shape;
        let array = Array3::from_shape_fn((nz, ny, nx), |(z, y, x)| values((z * ny + y) * nx + x));
        let e = 10f64.powi(exponent);
        let bound = if relative { Bound::Relative(e) } else { Bound::Absolute(e) };
        let settings = Bounded { fill, ..Bounded::new(bound) };
        let view = FieldView::of_array(&array).unwrap();
        let (bytes, _) = compress_bounded(&[view], &settings, None).unwrap();
        let back = decompress_box(&bytes, &Models::built_in()).unwrap();
        errors("any", &array, back.as_array().unwrap(), &settings, ValueRange::without(&view, fill));
    }
}
