//! Steps of a group, which are predicted from steps on both sides, keep what steps promise.

use ndarray::Array3;
use swae_codec::decode::decompress_boxes;
use swae_codec::encode::Bounded;
use swae_codec::group::{
    GroupField, GroupStep, GroupStreams, compress_group, compress_groups, decompress_group,
    decompress_groups, group_order,
};
use swae_codec::history::History;
use swae_codec::stream::{Stream, header};
use swae_codec::{Bound, Compression, Element, Field, FieldView, Models, SeriesDecoder, SeriesEncoder};

const BOUND: f64 = 1e-4;

/// A lump that moves and turns, with a hole of missing points that grows where `holes` says so.
fn step(t: usize, holes: bool) -> Array3<f64> {
    Array3::from_shape_fn((17, 24, 33), |(z, y, x)| {
        let at = [x as f64 - 9.0 - 0.7 * t as f64, y as f64 - 11.0, z as f64 - 8.0];
        let r2 = at.iter().map(|v| v * v).sum::<f64>();
        if holes && r2 < 2.0 + t as f64 {
            return f64::NAN;
        }
        (0.2 * at[0] + 0.03 * (t * t) as f64).sin() / (1.0 + 0.05 * r2)
    })
}

fn is_kept<T: Element>(truth: &Array3<T>, decoded: &Field) -> bool {
    let decoded = decoded.to_f64();
    truth
        .iter()
        .zip(&decoded)
        .all(|(a, b)| (a.to_f64() - b).abs() <= BOUND || a.to_f64().is_nan() && b.is_nan())
}

fn check<T: Element>(steps: &[Array3<T>], sizes: &[usize]) {
    let settings = Bounded::new(Bound::Absolute(BOUND));
    let views: Vec<_> = steps.iter().map(|step| [FieldView::of_array(step).unwrap()]).collect();
    let views: Vec<_> = views.iter().map(|view| &view[..]).collect();
    let (mut written, mut read) = (History::new(16), History::default());
    let mut left = &views[..];
    let mut number = 0;
    for &size in sizes {
        let (group, others) = left.split_at(size);
        left = others;
        let streams = compress_group(group, &settings, &mut written).unwrap();
        let streams: Vec<_> = streams.iter().map(|(bytes, _)| Stream::open(&bytes[..]).unwrap()).collect();
        for decoded in decompress_group(&streams, &Models::built_in(), &mut read).unwrap() {
            assert!(is_kept(&steps[number], &decoded[0]), "step {number} of groups {sizes:?}");
            number += 1;
        }
    }
    assert_eq!(number, steps.len());
}

#[test]
fn every_step_of_groups_of_any_size_keeps_its_bound() {
    let steps: Vec<_> = (0..13).map(|t| step(t, false)).collect();
    for sizes in [&[13][..], &[1, 4, 4, 4], &[5, 5, 3], &[1, 2, 3, 7], &[1; 13]] {
        check(&steps, sizes);
    }
    check(&steps.iter().map(|step| step.mapv(|v| v as f32)).collect::<Vec<_>>(), &[1, 8, 4]);
    check(&(0..6).map(|t| step(t, true)).collect::<Vec<_>>(), &[1, 5]);
}

#[test]
fn groups_of_any_length_and_with_keyframes_in_them_are_read() {
    let small: Vec<_> = (0..70).map(|t| Array3::from_elem((8, 8, 9), f64::from(t).sin())).collect();
    check(&small, &[70]);
    check(&small, &[1, 69]);
    // A keyframe at the end of each group.
    let steps: Vec<_> = (0..9).map(|t| step(t, false)).collect();
    let views: Vec<_> = steps.iter().map(|step| FieldView::of_array(step).unwrap()).collect();
    let mut encoder = SeriesEncoder::new(Compression::absolute(BOUND).keyframe_interval(4)).unwrap();
    let mut decoder = SeriesDecoder::new();
    let mut ages = Vec::new();
    for (views, truth) in views.chunks(3).zip(steps.chunks(3)) {
        let streams = encoder.encode_group(views).unwrap();
        ages.extend(streams.iter().map(|bytes| header(bytes).unwrap().age()));
        for (decoded, truth) in decoder.decode_group::<f64>(&streams).unwrap().into_iter().zip(truth) {
            assert!(is_kept(truth, &Field::from_array(decoded)));
        }
    }
    // Steps since the keyframe; those between a step and a keyframe behind it count on from the step.
    assert_eq!(ages, [0, 1, 2, 3, 4, 0, 1, 2, 3]);
}

#[test]
fn a_smooth_series_takes_fewer_bytes_in_groups() {
    let steps: Vec<_> = (0..9).map(|t| step(t, false)).collect();
    let views: Vec<_> = steps.iter().map(|step| FieldView::of_array(step).unwrap()).collect();
    let bytes = |group: usize| {
        let mut encoder = SeriesEncoder::new(Compression::absolute(BOUND)).unwrap();
        let mut decoder = SeriesDecoder::new();
        let (mut bytes, mut number) = (0, 0);
        for views in std::iter::once(&views[..1]).chain(views[1..].chunks(group)) {
            let streams = encoder.encode_group(views).unwrap();
            for decoded in decoder.decode_group::<f64>(&streams).unwrap() {
                assert!(is_kept(&steps[number], &Field::from_array(decoded)));
                number += 1;
            }
            bytes += streams.iter().map(Vec::len).sum::<usize>();
        }
        bytes
    };
    let (alone, together) = (bytes(1), bytes(4));
    assert!(together < alone, "{alone} and {together} bytes");
}

#[test]
fn a_step_between_others_says_so_where_one_was_not_decoded() {
    let steps: Vec<_> = (0..5).map(|t| step(t, false)).collect();
    let views: Vec<_> = steps.iter().map(|step| [FieldView::of_array(step).unwrap()]).collect();
    let views: Vec<_> = views.iter().map(|view| &view[..]).collect();
    let settings = Bounded::new(Bound::Absolute(BOUND));
    let streams = compress_group(&views, &settings, &mut History::new(16)).unwrap();
    let streams: Vec<_> = streams.iter().map(|(bytes, _)| Stream::open(&bytes[..]).unwrap()).collect();
    let models = Models::built_in();
    let mut first = History::default();
    decompress_boxes(&streams[0], &models, Some(&mut first)).unwrap();
    // Without a step behind it, with the wrong one, and with the right one at another distance.
    let decode = |own: &mut History| {
        decompress_boxes(&streams[2], &models, Some(own)).map(|mut boxes| boxes.remove(0))
    };
    let error = decode(&mut first.clone()).unwrap_err().to_string();
    assert!(error.contains("a step behind it, which was not decoded"), "{error}");
    let mut own = first.clone();
    own.lead(2, Some((2, &first)));
    assert!(decode(&mut own).is_err());
    let mut last = first.clone();
    last.lead(4, None);
    decompress_boxes(&streams[4], &models, Some(&mut last)).unwrap();
    let mut own = first.clone();
    own.lead(1, Some((1, &last)));
    let whole = decode(&mut own).unwrap();
    let mut own = first.clone();
    own.lead(2, Some((2, &last)));
    // The stream itself says how far they are.
    assert_eq!(whole, decode(&mut own).unwrap());
    assert!(is_kept(&steps[2], &whole));
}

#[test]
fn the_order_of_a_group_of_four_is_the_last_the_middle_and_the_others() {
    let order: Vec<_> = group_order(4).into_iter().map(|GroupStep { at, .. }| at).collect();
    assert_eq!(order, [4, 2, 1, 3]);
}

#[test]
fn fields_of_a_group_are_predicted_from_one_another_and_decoded_together() {
    let u: Vec<_> = (0..6).map(|t| step(t, false)).collect();
    // A field that the other one tells.
    let v: Vec<_> = u.iter().map(|step| step.mapv(|v| 0.5 * v)).collect();
    let views = [&u, &v].map(|steps| {
        let view = |step| [FieldView::of_array(step).unwrap()];
        steps.iter().map(view).collect::<Vec<_>>()
    });
    let settings = Bounded::new(Bound::Absolute(BOUND));
    let encode = |names: &[&str]| {
        let mut histories: Vec<_> = names.iter().map(|_| History::new(16)).collect();
        let fields = names.iter().zip(&views).zip(&mut histories).map(|((name, views), history)| {
            let steps = views.iter().map(|views| (&views[..], settings)).collect();
            GroupField { name, steps, history }
        });
        compress_groups(fields.collect()).unwrap()
    };
    let (both, first) = (encode(&["u", "v"]), encode(&["u"]));
    let bytes = |field: usize| both.iter().map(|step| step[field].0.len()).sum::<usize>();
    let alone = first.iter().map(|step| step[0].0.len()).sum::<usize>();
    assert!(bytes(0).max(bytes(1)) <= alone && bytes(0).min(bytes(1)) < alone, "{} {alone}", bytes(1));
    let mut histories = [History::default(), History::default()];
    let fields = ["u", "v"].into_iter().zip(&mut histories).enumerate().map(|(field, (name, history))| {
        let streams = both.iter().map(|step| Stream::open(&step[field].0[..]).unwrap()).collect();
        GroupStreams { name, streams, history }
    });
    let decoded = decompress_groups(fields.collect(), &Models::built_in()).unwrap();
    for (t, step) in decoded.iter().enumerate() {
        assert!(is_kept(&u[t], &step[0][0]) && is_kept(&v[t], &step[1][0]), "step {t}");
    }
    let lacking = [("u", &both[..]), ("v", &both[1..])].into_iter().zip(&mut histories).enumerate();
    let fields = lacking.map(|(field, ((name, steps), history))| {
        let streams = steps.iter().map(|step| Stream::open(&step[field].0[..]).unwrap()).collect();
        GroupStreams { name, streams, history }
    });
    assert!(decompress_groups(fields.collect(), &Models::built_in()).is_err());
}
