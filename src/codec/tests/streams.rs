//! What every coding of a box promises, over one table of inputs.

mod inputs;

use inputs::{inputs, values};
use ndarray::Array3;
use proptest::prelude::*;
use swae_codec::config::LatentCoding;
use swae_codec::decode::{decompress_box, decompress_boxes, decompress_region, decompress_regions_into};
use swae_codec::encode::{Bounded, Method, compress_box, compress_boxes};
use swae_codec::stream::Stream;
use swae_codec::view::Order;
use swae_codec::{Bound, Element, Error, Field, FieldView, Models};

fn codings() -> [LatentCoding; 3] {
    [LatentCoding::F32, LatentCoding::F16, LatentCoding::U8]
}

#[test]
fn raw_mode_gives_back_every_bit() {
    for (name, array) in inputs() {
        let bytes = compress_box(&FieldView::of_array(&array).unwrap(), Method::Raw).unwrap();
        let back = decompress_box(&bytes, &Models::built_in()).unwrap();
        assert!(values(&back) == values(&Field::F64(array.clone())), "{name}");
        let single = array.mapv(|v| v as f32);
        let bytes = compress_box(&FieldView::of_array(&single).unwrap(), Method::Raw).unwrap();
        let back = decompress_box(&bytes, &Models::built_in()).unwrap();
        assert!(values(&back) == values(&Field::F32(single)), "{name} in float32");
    }
}

#[test]
fn latent_mode_keeps_constants_and_what_is_not_finite_exactly() {
    let models = Models::built_in();
    let model = models.by_name("math-16").unwrap();
    for (name, array) in inputs() {
        for coding in codings() {
            let mode = Method::Latent { model: &model, coding };
            let bytes = compress_box(&FieldView::of_array(&array).unwrap(), mode).unwrap();
            let Field::F64(back) = decompress_box(&bytes, &models).unwrap() else {
                panic!("{name}: another type")
            };
            assert_eq!(back.dim(), array.dim(), "{name}");
            let constant = array.iter().all(|v| v.same_bits(array[[0, 0, 0]]));
            for (v, w) in array.iter().zip(&back) {
                if !v.is_finite() || constant {
                    assert!(v.same_bits(*w), "{name}: {v} came back as {w}");
                } else {
                    assert!(w.is_finite(), "{name}: {v} came back as {w}");
                }
            }
        }
    }
}

#[test]
fn latent_mode_is_near_a_smooth_field_and_has_the_promised_size() {
    let models = Models::built_in();
    let model = models.by_name("math-16").unwrap();
    let wave = |i: usize| (std::f32::consts::TAU * 2.0 * i as f32 / 64.0).sin();
    let array = Array3::from_shape_fn((64, 64, 64), |(z, y, x)| wave(x) * wave(y) * wave(z));
    for (coding, bytes_per_block) in codings().into_iter().zip([72, 40, 24]) {
        let bytes =
            compress_box(&FieldView::of_array(&array).unwrap(), Method::Latent { model: &model, coding })
                .unwrap();
        let overhead = bytes.len() - 512 * bytes_per_block;
        assert!(overhead < 256, "{coding:?}: {overhead} bytes beside the blocks");
        let back = decompress_box(&bytes, &models).unwrap().to_f64();
        let mse = (&array.mapv(f64::from) - &back).mapv(|v| v * v).mean().unwrap();
        assert!(mse < 1e-3, "{coding:?}: mse {mse}");
    }
}

#[test]
fn strides_ghosts_and_order_do_not_change_the_stream() {
    let count = [10, 7, 9];
    let value = |[x, y, z]: [usize; 3]| (x * 100 + y * 10 + z) as f32;
    let dense: Vec<f32> = (0..count.iter().product())
        .map(|i: usize| value([i % count[0], i / count[0] % count[1], i / (count[0] * count[1])]))
        .collect();
    let reference = compress_box(&FieldView::dense(&dense, count).unwrap(), Method::Raw).unwrap();
    for order in [Order::Fortran, Order::C] {
        let (lo, hi) = ([3, 1, 2], [2, 0, 4]);
        let full: [usize; 3] = std::array::from_fn(|a| lo[a] + count[a] + hi[a]);
        let mut memory = vec![f32::NAN; full.iter().product()];
        for (i, v) in memory.iter_mut().enumerate() {
            let at = match order {
                Order::Fortran => [i % full[0], i / full[0] % full[1], i / (full[0] * full[1])],
                Order::C => [i / (full[1] * full[2]), i / full[2] % full[1], i % full[2]],
            };
            if (0..3).all(|a| (lo[a]..lo[a] + count[a]).contains(&at[a])) {
                *v = value(std::array::from_fn(|a| at[a] - lo[a]));
            }
        }
        let view = FieldView::inside_ghosts(&memory, count, lo, hi, order).unwrap();
        assert!(compress_box(&view, Method::Raw).unwrap() == reference, "{order:?}");
    }
    // Every axis backwards, and back again by negative strides.
    let backwards: Vec<f32> = dense.iter().rev().copied().collect();
    let stride = [-1, -(count[0] as isize), -((count[0] * count[1]) as isize)];
    let view = FieldView::new(&backwards, dense.len() - 1, count, stride).unwrap();
    assert!(compress_box(&view, Method::Raw).unwrap() == reference);
}

#[test]
fn a_view_that_leaves_its_memory_is_refused() {
    let data = [0f32; 100];
    assert!(FieldView::dense(&data, [5, 5, 5]).is_err());
    assert!(FieldView::new(&data, 90, [5, 2, 2], [1, 5, 10]).is_err());
    assert!(FieldView::new(&data, 3, [5, 1, 1], [-1, 1, 1]).is_err());
    assert!(FieldView::new(&data, 0, [usize::MAX, 2, 1], [0, 0, 0]).is_err());
    assert!(FieldView::new(&data, 0, [2, 2, 2], [isize::MAX, isize::MAX, 1]).is_err());
    assert!(FieldView::inside_ghosts(&data, [2, 2, 2], [usize::MAX, 0, 0], [0; 3], Order::C).is_err());
}

/// A stream of each mode, small enough to damage everywhere.
fn streams() -> Vec<Vec<u8>> {
    let models = Models::built_in();
    let model = models.by_name("gr-16").unwrap();
    let mut array = Array3::from_shape_fn((9, 9, 17), |(z, y, x)| (0.3 * (x + y * z) as f64).sin());
    array[[8, 8, 16]] = f64::NAN;
    let view = FieldView::of_array(&array).unwrap();
    let latent =
        codings().map(|coding| compress_box(&view, Method::Latent { model: &model, coding }).unwrap());
    let raw = compress_box(&view, Method::Raw).unwrap();
    let bounds = [Bound::Absolute(1e-3), Bound::PointwiseRelative(1e-2)].map(Bounded::new);
    let bounded = bounds.map(|settings| compress_box(&view, Method::Bounded(settings)).unwrap());
    let boxes = compress_boxes(&[view, view.part([1; 3], [5, 6, 7])], Method::Bounded(bounds[0])).unwrap();
    latent.into_iter().chain([raw]).chain(bounded).chain([boxes]).collect()
}

fn decode(stream: &[u8]) -> swae_codec::Result<Vec<Field>> {
    decompress_boxes(&Stream::open(stream)?, &Models::built_in(), None)
}

#[test]
fn any_damaged_byte_and_any_cut_is_an_error() {
    for stream in streams() {
        for i in 0..stream.len() {
            for change in [0x01, 0x80, 0xff] {
                let mut damaged = stream.clone();
                damaged[i] ^= change;
                assert!(decode(&damaged).is_err(), "byte {i} of {}", stream.len());
            }
            assert!(decode(&stream[..i]).is_err(), "cut to {i} of {}", stream.len());
        }
    }
}

proptest! {
    /// The checksum would catch these; here it is made right again, as an attacker would, so that
    /// what stands behind it is tried.
    #[test]
    fn damage_with_a_right_checksum_neither_panics_nor_takes_memory(
        which in 0usize..7,
        changes in prop::collection::vec((0usize..40_000, any::<u8>()), 1..6),
        cut in prop::option::of(0usize..40_000),
    ) {
        let streams = streams();
        let mut damaged = streams[which].clone();
        if let Some(cut) = cut {
            damaged.truncate(cut.max(4));
        }
        let body = damaged.len() - 4;
        for (at, value) in changes {
            if body > 0 {
                // Half of the changes go to the header, where lengths are.
                let at = if at % 2 == 0 { at % body.min(64) } else { at % body };
                damaged[at] = value;
            }
        }
        let sum = crc32fast::hash(&damaged[..body]).to_le_bytes();
        damaged[body..].copy_from_slice(&sum);
        let _ = decode(&damaged);
    }
}

#[test]
fn a_shape_far_larger_than_its_stream_is_an_error_before_memory_is_taken() {
    for mode in [0u8, 1, 2] {
        // 2⁵⁶ values in a few bytes: dtype float32, one box of 2⁵⁶ × 1 × 1.
        let mut bytes = b"SWAE\x01\0\0".to_vec();
        bytes.push(mode);
        bytes.extend_from_slice(b"\x01\x80\x80\x80\x80\x80\x80\x80\x80\x01\x01\x01");
        bytes.extend_from_slice(&[0; 24]);
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        let Ok(stream) = Stream::open(&bytes[..]) else { panic!("mode {mode}") };
        let models = Models::built_in();
        assert!(decompress_boxes(&stream, &models, None).is_err());
        let region = [0..1, 0..1, 0..1];
        let mut out = [0f32];
        assert!(decompress_region(&stream, &models, region.clone(), None).is_err());
        assert!(decompress_regions_into(&stream, &models, &[region], None, &mut [&mut out]).is_err());
    }
}

#[test]
fn what_a_later_library_may_write_is_newer_and_not_damaged() {
    let field = Array3::from_shape_fn((9, 10, 11), |(z, y, x)| (x + 2 * y + 3 * z) as f64);
    let view = FieldView::of_array(&field).unwrap();
    let bounded = Method::Bounded(Bounded::new(Bound::Absolute(1e-3)));
    let stream = compress_box(&view, bounded).unwrap();
    // Magic, version, type, mode, one box and its shape, flags, tolerance, predictors.
    let [dtype, mode, flags, predictors] = [6, 7, 12, 17];
    for (at, byte) in [(dtype, 9), (mode, 9), (flags, 0x80), (predictors, 0xff)] {
        let mut changed = stream[..stream.len() - 4].to_vec();
        changed[at] = byte;
        changed.extend_from_slice(&crc32fast::hash(&changed).to_le_bytes());
        let error = Stream::open(changed).unwrap_err();
        assert!(matches!(error, Error::Newer(_)), "byte {at}: {error}");
    }
}
