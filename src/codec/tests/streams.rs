//! What every coding of a box promises, over one table of inputs.

mod inputs;

use inputs::{inputs, values};
use ndarray::{Array3, s};
use proptest::prelude::*;
use std::ops::Range;
use swae_codec::config::LatentCoding;
use swae_codec::decode::{decompress_box, decompress_boxes, decompress_region, decompress_regions_into};
use swae_codec::encode::{Bounded, Method, compress_box, compress_boxes};
use swae_codec::stream::{Header, Region, Stream, max_raw_size, reseal};
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
    // Tiles with checksums of their own.
    let long = Array3::from_shape_fn((2, 4, 70), |(z, y, x)| (x * y + z) as f64);
    let long = compress_box(&FieldView::of_array(&long).unwrap(), Method::Raw).unwrap();
    latent.into_iter().chain([raw]).chain(bounded).chain([boxes, long]).collect()
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
        which in 0usize..8,
        changes in prop::collection::vec((0usize..40_000, any::<u8>()), 1..6),
        cut in prop::option::of(0usize..40_000),
    ) {
        let streams = streams();
        let mut damaged = streams[which].clone();
        if let Some(cut) = cut {
            damaged.truncate(cut.max(4));
        }
        let size = damaged.len();
        for (at, value) in changes {
            // Half of the changes go to the head, where lengths are.
            let at = if at % 2 == 0 { at % size.min(64) } else { at % size };
            damaged[at] = value;
        }
        reseal(&mut damaged);
        let _ = decode(&damaged);
    }
}

#[test]
fn a_shape_far_larger_than_its_stream_is_an_error_before_memory_is_taken() {
    let stream = |mode: u8, shape: &[u8]| {
        // dtype float32, one box.
        let mut bytes = [b"SWAE\x01\0\0\0", &[mode, 1][..], shape, &[0; 24]].concat();
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    };
    for mode in [0u8, 1, 2] {
        // 2⁵⁶ values in a few bytes, in more tiles than bytes.
        let bytes = stream(mode, b"\x80\x80\x80\x80\x80\x80\x80\x80\x01\x01\x01");
        assert!(Stream::open(&bytes[..]).is_err(), "mode {mode}");
    }
    for mode in [0u8, 1] {
        // A tile of 2¹⁸ values, of which each block takes a few bytes at least.
        let bytes = stream(mode, &[64; 3]);
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
    // Magic, version, length, type, mode, one box and its shape, flags, tolerance, predictors.
    let [dtype, mode, flags, predictors] = [7, 8, 13, 18];
    for (at, byte) in [(dtype, 9), (mode, 9), (flags, 0x80), (predictors, 0xff)] {
        let mut changed = stream.clone();
        changed[at] = byte;
        reseal(&mut changed);
        let error = Stream::open(changed).unwrap_err();
        assert!(matches!(error, Error::Newer(_)), "byte {at}: {error}");
    }
}

/// A large stream of each mode, and the values that it holds.
fn large() -> Vec<(Vec<u8>, Array3<f64>)> {
    let models = Models::built_in();
    let model = models.by_name("gr-16").unwrap();
    let array = Array3::from_shape_fn((40, 96, 160), |(z, y, x)| {
        (0.3 * x as f64).sin() * (0.2 * (y + z) as f64).cos() + 1e-3 * ((x * 7 + y * 5 + z * 3) % 11) as f64
    });
    let view = FieldView::of_array(&array).unwrap();
    let latent = Method::Latent { model: &model, coding: LatentCoding::F32 };
    [Method::Raw, latent, Method::Bounded(Bounded::new(Bound::Absolute(1e-4)))]
        .map(|method| {
            let stream = compress_box(&view, method).unwrap();
            let whole = decompress_box(&stream, &models).unwrap().into_array().unwrap();
            (stream, whole)
        })
        .into()
}

/// The part of each tile of those boxes.
fn parts() -> Vec<Region> {
    let along = |n: usize| (0..n).step_by(64).map(move |first| first..n.min(first + 64));
    let row = |y: Range<usize>| along(160).map(move |x| [x, y.clone(), 0..40]);
    along(96).flat_map(row).collect()
}

/// Opens a stream for a region; also gives the bytes that were read.
fn read(stream: &[u8], region: Option<&Region>) -> (Stream<'static>, Vec<Range<usize>>) {
    let mut places = Vec::new();
    let copy = |at: usize, out: &mut [u8]| {
        places.push(at..at + out.len());
        out.copy_from_slice(&stream[at..][..out.len()]);
        Ok::<_, Error>(())
    };
    let regions = |_: &Header| region.map(|region| vec![region.clone()]);
    let opened = Stream::read(stream.len(), copy, regions).unwrap();
    (opened, places)
}

fn decode_part(stream: &Stream<'_>, region: &Region) -> swae_codec::Result<Array3<f64>> {
    let field = decompress_region(stream, &Models::built_in(), region.clone(), None)?;
    Ok(field.into_array().unwrap())
}

#[test]
fn a_damaged_byte_of_a_tile_is_found_where_that_tile_is_decoded_and_nowhere_else() {
    for (stream, whole) in large() {
        let parts = parts();
        for (tile, part) in parts.iter().enumerate() {
            let (_, places) = read(&stream, Some(part));
            // Of the first one a part is read with the head.
            let bytes = places.last().unwrap().clone();
            assert_eq!(places.len(), 2, "tile {tile}");
            for at in [bytes.start, bytes.end - 1] {
                let mut damaged = stream.clone();
                damaged[at] ^= 0x10;
                let damaged = Stream::open(damaged).unwrap();
                for (other, part) in parts.iter().enumerate() {
                    let decoded = decode_part(&damaged, part);
                    if other == tile {
                        let message = decoded.unwrap_err().to_string();
                        assert!(message.contains(&format!("tile {tile} is damaged")), "{message}");
                    } else {
                        let [x, y, z] = part.clone();
                        assert_eq!(decoded.unwrap(), whole.slice(s![z, y, x]), "tile {other}");
                    }
                }
                assert!(decompress_boxes(&damaged, &Models::built_in(), None).is_err());
            }
        }
    }
}

#[test]
fn a_damaged_byte_of_a_head_is_found_when_a_stream_is_opened() {
    for (stream, _) in large() {
        let (_, places) = read(&stream, Some(&[0..0, 0..0, 0..0]));
        assert!(places.len() == 1 && places[0] == (0..4096), "the head alone is read");
        let length = usize::from(stream[6]);
        assert!((1..0x80).contains(&length), "it has a head of its own");
        let head = 7 + length + 4;
        for at in 0..head {
            for change in [0x01, 0x80, 0xff] {
                let mut damaged = stream.clone();
                damaged[at] ^= change;
                assert!(Stream::open(damaged).is_err(), "byte {at}");
            }
            assert!(Stream::open(&stream[..at]).is_err(), "cut to {at}");
        }
        assert!(Stream::open(&stream[..stream.len() - 1]).is_err(), "cut at the end");
    }
}

#[test]
fn a_region_is_read_where_all_other_tiles_are_gone() {
    let regions =
        [[0..64, 0..64, 0..40], [100..101, 3..4, 39..40], [60..70, 10..66, 5..25], [5..5, 0..3, 0..3]];
    for (stream, whole) in large() {
        for region in regions.iter().chain(&parts()) {
            let (partial, places) = read(&stream, Some(region));
            let gone = (0..stream.len()).filter(|at| !places.iter().any(|place| place.contains(at)));
            assert!(gone.clone().count() > stream.len() / 8, "most of it is read");
            let mut overwritten = stream.clone();
            gone.for_each(|at| overwritten[at] = !overwritten[at]);
            let [x, y, z] = region.clone();
            let part = whole.slice(s![z, y, x]);
            assert_eq!(decode_part(&partial, region).unwrap(), part, "{region:?}");
            assert_eq!(decode_part(&Stream::open(overwritten).unwrap(), region).unwrap(), part, "{region:?}");
            assert!(decompress_boxes(&partial, &Models::built_in(), None).is_err(), "the rest is not there");
        }
        let (all, _) = read(&stream, None);
        assert_eq!(all.bytes(), &stream[..]);
    }
}

#[test]
fn tiles_of_few_bytes_share_a_checksum_and_take_no_index() {
    let array = Array3::from_shape_fn((128, 128, 128), |(z, y, x)| (x + y + z) as f64);
    let view = FieldView::of_array(&array).unwrap();
    let coarse = compress_box(&view, Method::Bounded(Bounded::new(Bound::Relative(1e-2)))).unwrap();
    assert!(coarse.len() < 4096, "{} bytes", coarse.len());
    assert_eq!(coarse[6], 0, "one checksum seals all");
    // A small box: magic, version, length, type, mode, one box, shape, preamble, checksum.
    let small = view.part([0; 3], [8; 3]);
    let raw = compress_box(&small, Method::Raw).unwrap();
    assert_eq!(raw.len(), 4 + 2 + 1 + 1 + 1 + 1 + 3 + 8 * 512 + 4);
}

#[test]
fn values_as_they_are_take_no_more_than_is_said() {
    for count in [[0, 3, 5], [1, 1, 1], [1, 1, 20_000], [65, 65, 3], [64, 64, 64], [70, 3, 129]] {
        let values = vec![0.5f32; count.iter().product()];
        let stream = compress_box(&FieldView::dense(&values, count).unwrap(), Method::Raw).unwrap();
        let most = max_raw_size(count, swae_codec::Dtype::F32).unwrap();
        assert!(stream.len() <= most, "{count:?}: {} of {most} bytes", stream.len());
        assert!(most <= 4 * values.len() + 56 + 8 * count.map(|n| n.div_ceil(64)).iter().product::<usize>());
    }
}
