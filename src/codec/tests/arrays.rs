//! What payloads of arrays promise, whatever their rank.

mod inputs;

use inputs::{bits, inputs};
use proptest::prelude::*;
use swae_codec::array::{Array, Values, compress, decompress, max_compressed_size, store};
use swae_codec::config::LatentCoding;
use swae_codec::config::Layout;
use swae_codec::encode::{Bounded, Method};
use swae_codec::{Bound, Field, Models};

const ARRANGEMENTS: [Layout; 2] = [Layout::Grid, Layout::Series];

fn shapes() -> Vec<Vec<usize>> {
    let some: [&[usize]; 19] = [
        &[],
        &[1],
        &[7],
        &[64],
        &[1000],
        &[0],
        &[3, 0, 2],
        &[1, 1, 1, 1],
        &[5, 3],
        &[1, 100],
        &[100, 1],
        &[17, 33],
        &[12, 13, 14],
        &[1, 12, 13, 14],
        &[12, 1, 13, 14],
        &[4, 9, 10, 11],
        &[2, 3, 9, 8, 7],
        &[2, 1, 3, 4, 5, 6],
        &[3, 8, 8, 8],
    ];
    some.map(<[usize]>::to_vec).to_vec()
}

fn wave(i: usize) -> f64 {
    (0.01 * i as f64).sin() + 1e-3 * (i % 13) as f64
}

fn bounded(bound: Bound) -> Method<'static> {
    Method::Bounded(Bounded::new(bound))
}

#[test]
fn the_bound_holds_for_every_rank() {
    let models = Models::built_in();
    for shape in shapes() {
        let values: Vec<f64> = (0..shape.iter().product()).map(wave).collect();
        let single: Vec<f32> = values.iter().map(|&v| v as f32).collect();
        for layout in ARRANGEMENTS {
            let payload = compress(&values, &shape, bounded(Bound::Absolute(1e-4)), layout).unwrap();
            assert!(
                payload.len() <= max_compressed_size(values.len() * 8, shape.len()),
                "{shape:?}: {}",
                payload.len()
            );
            let Array { shape: found, values: Values::F64(back) } = decompress(&payload, &models).unwrap()
            else {
                panic!("another type")
            };
            assert_eq!(found, shape);
            assert!(back.iter().zip(&values).all(|(a, b)| (a - b).abs() <= 1e-4), "{shape:?} {layout:?}");
            assert_eq!(back.len(), values.len());

            let payload = compress(&single, &shape, bounded(Bound::Relative(1e-3)), layout).unwrap();
            let Values::F32(back) = decompress(&payload, &models).unwrap().values else {
                panic!("another type")
            };
            let [least, most] = [f32::min, f32::max].map(|f| single.iter().copied().reduce(f).unwrap_or(0.0));
            let allowed = 1e-3 * (f64::from(most) - f64::from(least));
            let near = |(a, b): (&f32, &f32)| f64::from(*a - *b).abs() <= allowed;
            assert!(back.iter().zip(&single).all(near), "{shape:?} {layout:?}");
        }
    }
}

#[test]
fn raw_arrays_and_bytes_come_back_to_the_bit() {
    let models = Models::built_in();
    for (name, array) in inputs() {
        let values: Vec<f64> = array.iter().copied().collect();
        for shape in [array.shape().to_vec(), vec![values.len()]] {
            for mode in [Method::Raw, bounded(Bound::Absolute(0.0))] {
                let payload = compress(&values, &shape, mode, Layout::Grid).unwrap();
                assert!(payload.len() <= max_compressed_size(values.len() * 8, shape.len()), "{name}");
                let Values::F64(back) = decompress(&payload, &models).unwrap().values else {
                    panic!("another type")
                };
                let found: Vec<u64> = back.iter().map(|v| v.to_bits()).collect();
                assert!(found == inputs::values(&Field::F64(array.clone())), "{name}, {mode:?}");
            }
        }
    }
    let bytes: Vec<u8> = (0..1000).map(|i| bits(i) as u8).collect();
    for bytes in [&bytes[..], &[]] {
        let payload = store(bytes).unwrap();
        assert!(payload.len() <= max_compressed_size(bytes.len(), 1));
        let found = decompress(&payload, &models).unwrap();
        assert_eq!(found, Array { shape: vec![bytes.len()], values: Values::Bytes(bytes.to_vec()) });
    }
}

#[test]
fn smooth_arrays_of_every_rank_become_small() {
    let models = Models::built_in();
    let model = models.by_name("gr-16").unwrap();
    for shape in [&[32768][..], &[128, 256], &[32, 32, 32], &[4, 8, 32, 32]] {
        let values: Vec<f64> = (0..32768).map(|i| (1e-3 * i as f64).sin()).collect();
        let payload = compress(&values, shape, bounded(Bound::Relative(1e-4)), Layout::Grid).unwrap();
        assert!(payload.len() < 32768 * 8 / 40, "{shape:?}: {} bytes", payload.len());
        let latent = Method::Latent { model: &model, coding: LatentCoding::F16 };
        let payload = compress(&values, shape, latent, Layout::Grid).unwrap();
        assert!(payload.len() < 32768 * 8 / 20, "{shape:?}: {} bytes as latents", payload.len());
        assert_eq!(decompress(&payload, &models).unwrap().shape, shape);
    }
}

#[test]
fn a_series_that_stands_still_costs_one_step() {
    let step: Vec<f64> = (0..4096).map(|i| wave(i) * wave(7 * i)).collect();
    let values = step.repeat(8);
    let mode = bounded(Bound::Absolute(1e-6));
    let one = compress(&step, &[16, 16, 16], mode, Layout::Grid).unwrap().len();
    let all = compress(&values, &[8, 16, 16, 16], mode, Layout::Series).unwrap().len();
    assert!(all < one + one / 4, "{all} bytes for 8 steps, {one} for one");
}

#[test]
fn shapes_that_do_not_fit_are_errors() {
    let wrong = |shape: &[usize]| compress(&[1.0], shape, Method::Raw, Layout::Grid).unwrap_err();
    assert!(wrong(&[2]).to_string().contains("1 values make no array of [2]"));
    assert!(wrong(&[1; 33]).to_string().contains("33 axes"));
    assert!(wrong(&[usize::MAX, 2]).to_string().contains("does not fit any memory"));
}

proptest! {
    #[test]
    fn damage_anywhere_is_an_error(at in any::<prop::sample::Index>(), flip in 1u8.., cut in any::<prop::sample::Index>()) {
        let models = Models::built_in();
        let values: Vec<f64> = (0..2000).map(wave).collect();
        for layout in ARRANGEMENTS {
            let payload = compress(&values, &[2, 10, 100], bounded(Bound::Absolute(1e-3)), layout).unwrap();
            let mut damaged = payload.clone();
            damaged[at.index(payload.len())] ^= flip;
            prop_assert!(decompress(&damaged, &models).is_err());
            prop_assert!(decompress(&payload[..cut.index(payload.len())], &models).is_err());
        }
    }
}
