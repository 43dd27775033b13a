//! Files of format versions, which every later version must read as the values that they held, and
//! what the encoder writes today. `SWAE_WRITE_GOLDEN=1` writes the files that are missing, never over
//! one that is there; `SWAE_PIN_SIZES=1` pins what is written.

use ndarray::Array3;
use std::collections::BTreeMap;
use std::f64::consts::TAU;
use std::path::PathBuf;
use swae_codec::array;
use swae_codec::config::LatentCoding;
use swae_codec::config::Layout;
use swae_codec::decode::decompress_boxes;
use swae_codec::encode::{Bounded, Method, compress_bounded, compress_box, compress_boxes};
use swae_codec::group::{compress_group, decompress_group};
use swae_codec::history::{History, Spacing};
use swae_codec::model::{Activation, Architecture, LayerSpec, Metadata, Parameters};
use swae_codec::predict::PredictorSet;
use swae_codec::step::{StepField, compress_step};
use swae_codec::stream::{Kind, Stream, header};
use swae_codec::{Bound, Element, Field, FieldView, Model, Models};

/// Decodes all boxes of a stream.
fn decode(bytes: &[u8], models: &Models, history: Option<&mut History>) -> swae_codec::Result<Vec<Field>> {
    decompress_boxes(&Stream::open(bytes)?, models, history)
}

/// The sine, by operations that give the same bits on every machine: a series of Taylor.
fn sine(x: f64) -> f64 {
    let t = x - TAU * (x / TAU).round();
    let next = |(term, sum): (f64, f64), k: i32| {
        let term = -term * t * t / f64::from(2 * k * (2 * k + 1));
        (term, sum + term)
    };
    (1..14).fold((t, t), next).1
}

fn wave(count: [usize; 3], t: f64) -> Array3<f64> {
    let [nx, ny, nz] = count;
    Array3::from_shape_fn((nz, ny, nx), |(z, y, x)| {
        let [x, y, z] = [x as f64 - 7.3 - t, y as f64 - 5.1, z as f64 - 9.7];
        1.0 + sine(0.4 * x) * sine(0.3 * y + 0.2 * t + TAU / 4.0) - 0.7 / (1.0 + x * x + y * y + z * z)
    })
}

/// A field without values in a ball that moves, and at a few points.
fn excised(array: &Array3<f64>, t: f64, fill: f64) -> Array3<f64> {
    let mut out = array.clone();
    for ((z, y, x), v) in out.indexed_iter_mut() {
        let [dx, dy, dz] = [x as f64 - 6.0 - t, y as f64 - 5.0, z as f64 - 8.0];
        if dx * dx + dy * dy + dz * dz < 60.0 || (7 * x + 11 * y + 13 * z) % 97 == 5 {
            *v = fill;
        }
    }
    out
}

/// Streams, each a step of a series where there are several, and their name.
type Named = (&'static str, Vec<Vec<u8>>);

fn streams() -> Vec<Named> {
    let models = Models::built_in();
    let model = models.by_name("gr-16").unwrap();
    let one = |array: &Array3<f64>, settings: &Bounded<'_>| {
        vec![compress_box(&FieldView::of_array(array).unwrap(), Method::Bounded(*settings)).unwrap()]
    };
    let bounded = |bound| Bounded::new(bound);
    let smooth = wave([21, 17, 13], 0.0);
    let single = smooth.mapv(|v| v as f32);
    let mut special = smooth.clone();
    for (i, v) in special.iter_mut().enumerate() {
        match i % 97 {
            3 => *v = f64::from_bits(0x7ff8_dead_beef_0001),
            19 => *v = f64::NEG_INFINITY,
            40 => *v = -0.0,
            60 => *v = 5e-324,
            _ => {}
        }
    }
    let noise = Array3::from_shape_fn((8, 9, 10), |(z, y, x)| {
        f64::from_bits((((z * 9 + y) * 10 + x) as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    });
    let falling =
        Array3::from_shape_fn((12, 12, 12), |(z, y, x)| (0..x + 2 * y + 3 * z).fold(1.0, |v, _| 0.45 * v));
    let mixing = models.by_name("gr-mixture").unwrap();
    let mut mixed_history = History::new(4);
    let mixed_step = |t: usize, history: &mut History| {
        let array = wave([32, 32, 32], 0.3 * t as f64);
        let settings = Bounded { model: Some(&mixing), ..bounded(Bound::Absolute(1e-3)) };
        compress_bounded(&[FieldView::of_array(&array).unwrap()], &settings, Some(history)).unwrap().0
    };
    let mut history = History::new(3);
    let step = |t: usize, history: &mut History| {
        let array = wave([24, 16, 16], 0.3 * t as f64);
        let view = [FieldView::of_array(&array).unwrap()];
        compress_bounded(&view, &bounded(Bound::Absolute(1e-4)), Some(history)).unwrap().0
    };
    let whole = wave([32, 32, 16], 1.0);
    let view = FieldView::of_array(&whole).unwrap();
    let linked: Vec<_> = (0..32).map(|i| view.part([i % 4 * 8, i / 4 % 4 * 8, i / 16 * 8], [8; 3])).collect();
    let mixed =
        [view.part([1, 2, 3], [13, 5, 7]), view.part([0; 3], [0, 4, 4]), view.part([9; 3], [1, 1, 1])];
    let boxes = |views: &[FieldView<'_, f64>], mode| vec![compress_boxes(views, mode).unwrap()];
    let tiles = wave([70, 9, 66], 2.0);
    let latent = |array: &Array3<f64>, coding| {
        let mode = Method::Latent { model: &model, coding };
        vec![compress_box(&FieldView::of_array(array).unwrap(), mode).unwrap()]
    };
    let long = wave([70, 9, 3], 0.0);
    let mut missing_history = History::new(4);
    let missing_step = |t: usize, history: &mut History| {
        let array = excised(&wave([40, 24, 16], 0.3 * t as f64), 2.0 * t as f64, f64::NAN);
        let view = [FieldView::of_array(&array).unwrap()];
        compress_bounded(&view, &bounded(Bound::Absolute(1e-4)), Some(history)).unwrap().0
    };
    let missing_f32 = || {
        let array = excised(&wave([21, 17, 13], 0.0), 3.0, 1e20).mapv(|v| v as f32);
        let settings = Bounded { fill: Some(1e20), ..bounded(Bound::PointwiseRelative(1e-3)) };
        vec![compress_box(&FieldView::of_array(&array).unwrap(), Method::Bounded(settings)).unwrap()]
    };
    let filled = Bounded { fill: Some(-999.0), ..bounded(Bound::Absolute(1e-4)) };
    let with_holes = excised(&whole, 0.0, -999.0);
    let view = FieldView::of_array(&with_holes).unwrap();
    let holed: Vec<_> = (0..32).map(|i| view.part([i % 4 * 8, i / 4 % 4 * 8, i / 16 * 8], [8; 3])).collect();
    let rough = wave([16, 16, 16], 0.0).mapv(|v| sine(9.0 * v));
    let predictors = PredictorSet::ALL.without("intra").unwrap();
    let network = Bounded { model: Some(&model), predictors, ..bounded(Bound::Relative(0.1)) };
    vec![
        ("absolute", one(&smooth, &bounded(Bound::Absolute(1e-5)))),
        (
            "relative-f32",
            vec![
                compress_box(
                    &FieldView::of_array(&single).unwrap(),
                    Method::Bounded(bounded(Bound::Relative(1e-3))),
                )
                .unwrap(),
            ],
        ),
        ("pointwise", one(&falling, &bounded(Bound::PointwiseRelative(1e-3)))),
        ("psnr", one(&smooth, &bounded(Bound::Psnr(60.0)))),
        ("special", one(&special, &bounded(Bound::Absolute(1e-3)))),
        ("lossless", one(&noise, &bounded(Bound::Absolute(0.0)))),
        ("constant", one(&Array3::from_elem((9, 9, 9), 0.25), &bounded(Bound::Absolute(1e-9)))),
        ("network", one(&rough, &network)),
        ("series", (0..5).map(|t| step(t, &mut history)).collect()),
        ("group", group()),
        ("mixed-series", (0..6).map(|t| mixed_step(t, &mut mixed_history)).collect()),
        ("linked-boxes", boxes(&linked, Method::Bounded(bounded(Bound::Absolute(1e-4))))),
        ("mixed-boxes", boxes(&mixed, Method::Bounded(bounded(Bound::Absolute(1e-4))))),
        ("no-boxes", boxes(&[], Method::Bounded(bounded(Bound::Absolute(1e-4))))),
        ("tiles", one(&tiles, &bounded(Bound::Relative(1e-4)))),
        ("missing", one(&excised(&smooth, 0.0, f64::NAN), &bounded(Bound::Relative(1e-4)))),
        ("missing-fill-f32", missing_f32()),
        ("missing-series", (0..5).map(|t| missing_step(t, &mut missing_history)).collect()),
        ("missing-boxes", boxes(&holed, Method::Bounded(filled))),
        ("missing-all", one(&Array3::from_elem((9, 9, 9), f64::NAN), &bounded(Bound::Relative(1e-3)))),
        ("latent-f16", latent(&smooth, LatentCoding::F16)),
        ("latent-u8", latent(&smooth, LatentCoding::U8)),
        ("latent-tiles", latent(&long, LatentCoding::U8)),
        ("raw", vec![compress_box(&FieldView::of_array(&falling).unwrap(), Method::Raw).unwrap()]),
        ("raw-tiles", vec![compress_box(&FieldView::of_array(&long).unwrap(), Method::Raw).unwrap()]),
    ]
}

/// A keyframe and the group behind it: two steps between others, one of which has missing points.
fn group() -> Vec<Vec<u8>> {
    let mut steps: Vec<_> = (0..4).map(|t| wave([24, 16, 16], 0.3 * t as f64)).collect();
    steps[1] = excised(&steps[1], 1.0, f64::NAN);
    let views: Vec<_> = steps.iter().map(|step| [FieldView::of_array(step).unwrap()]).collect();
    let views: Vec<_> = views.iter().map(|view| &view[..]).collect();
    let settings = Bounded::new(Bound::Absolute(1e-4));
    let streams = compress_group(&views, &settings, &mut History::new(16)).unwrap();
    streams.into_iter().map(|(stream, _)| stream).collect()
}

/// The hash of all values that a series of streams holds, shapes included.
fn values(streams: &[Vec<u8>]) -> String {
    let mut hash = blake3::Hasher::new();
    let models = Models::built_in();
    let is_group = streams.iter().any(|s| header(s).is_ok_and(|header| header.spacing() != Spacing::NEXT));
    if is_group {
        let streams: Vec<_> = streams.iter().map(|bytes| Stream::open(&bytes[..]).unwrap()).collect();
        let steps = decompress_group(&streams, &models, &mut History::default());
        steps.expect("a golden group").iter().flatten().for_each(|field| add_field(&mut hash, field));
    } else {
        let mut history = History::default();
        streams.iter().for_each(|stream| add_values(&mut hash, stream, &models, &mut history));
    }
    hash.finalize().to_hex().to_string()
}

fn add_values(hash: &mut blake3::Hasher, stream: &[u8], models: &Models, history: &mut History) {
    for field in decode(stream, models, Some(history)).expect("a golden stream") {
        add_field(hash, &field);
    }
}

fn add_field(hash: &mut blake3::Hasher, field: &Field) {
    let mut bytes = format!("{:?}{:?}", field.dtype(), field.count()).into_bytes();
    match field {
        Field::F32(a) => a.iter().for_each(|v| v.write_le(&mut bytes)),
        Field::F64(a) => a.iter().for_each(|v| v.write_le(&mut bytes)),
    }
    hash.update(&bytes);
}

/// Holds every file of a folder against the values that it says it has; first makes those that are
/// missing, if asked to.
fn check(folder: &str, least: usize, made: fn() -> Vec<Named>, values: fn(&[Vec<u8>]) -> String) {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder);
    if std::env::var_os("SWAE_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(&dir).unwrap();
        for (name, streams) in made() {
            let path = dir.join(format!("{name}.json"));
            if !path.exists() {
                let hex = |s: &Vec<u8>| s.iter().map(|b| format!("{b:02x}")).collect::<String>();
                let file = Golden { values: values(&streams), streams: streams.iter().map(hex).collect() };
                std::fs::write(path, serde_json::to_string_pretty(&file).unwrap() + "\n").unwrap();
            }
        }
    }
    let mut found = 0;
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let file: Golden = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let bytes = |hex: &String| {
            let pair = |i: usize| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).unwrap();
            (0..hex.len() / 2).map(pair).collect::<Vec<u8>>()
        };
        let streams: Vec<_> = file.streams.iter().map(bytes).collect();
        assert_eq!(values(&streams), file.values, "{}", path.display());
        found += 1;
    }
    assert!(found >= least, "golden files are missing");
}

#[test]
fn streams_of_every_released_version_decode_to_the_values_that_they_held() {
    let network = streams().into_iter().find(|(name, _)| *name == "network").unwrap().1;
    let Kind::Bounded(preamble) = header(&network[0]).unwrap().kind else { panic!("it has a bound") };
    assert_eq!(preamble.models, [Models::built_in().by_name("gr-16").unwrap().id()]);
    check("v1", 24, streams, values);
}

/// Steps of two fields, the second predicted from the first.
fn interfield() -> Vec<Named> {
    let mut histories = [History::new(4), History::new(4)];
    let mut streams = Vec::new();
    for t in 0..5 {
        let at = |t: f64| wave([40, 24, 16], t * t / 20.0);
        let arrays = [at(t as f64 + 0.5) - at(t as f64 - 0.5), at(t as f64)];
        let views = arrays.each_ref().map(|a| [FieldView::of_array(a).unwrap()]);
        let fields = ["change", "value"].iter().zip(&views).zip(&mut histories);
        let settings = Bounded::new(Bound::Absolute(1e-5));
        let fields = fields.map(|((name, views), history)| StepField { name, views, settings, history });
        streams.extend(compress_step(fields.collect()).into_iter().map(|coded| coded.unwrap().0));
    }
    let is_predicted = |stream: &Vec<u8>| matches!(header(stream).unwrap().kind, Kind::Bounded(p) if p.reference_fields().eq(["change"]));
    assert!(
        streams.chunks(2).skip(1).take(3).all(|step| is_predicted(&step[1])),
        "the value is predicted from the change"
    );
    vec![("interfield-series", streams)]
}

/// The hash of all values of two fields.
fn values_of_interfield(streams: &[Vec<u8>]) -> String {
    let (mut histories, models) = ([History::default(), History::default()], Models::built_in());
    let mut hash = blake3::Hasher::new();
    for step in streams.chunks(2) {
        let [change, value] = &mut histories;
        add_values(&mut hash, &step[0], &models, change);
        value.add_reference("change", change);
        add_values(&mut hash, &step[1], &models, value);
    }
    hash.finalize().to_hex().to_string()
}

#[test]
fn fields_that_are_predicted_from_others_decode_to_the_values_that_they_held() {
    check("interfield-v1", 1, interfield, values_of_interfield);
}

/// Fields as simulations have them, two lumps that move, within bounds that users choose.
fn fields() -> Vec<Named> {
    let lumps = |t: f64| {
        Array3::from_shape_fn((64, 64, 64), |(z, y, x)| {
            let lump = |cx: f64, mass: f64| {
                let [x, y, z] = [x as f64 - cx - t, y as f64 - 30.4, z as f64 - 33.1];
                mass / (1.0 + 0.04 * (x * x + 1.3 * y * y + 0.8 * z * z))
            };
            lump(22.7, 1.0) + lump(43.9 - 3.0 * t, 0.6) + 1e-3 * sine(0.5 * (x + 2 * y) as f64 + t)
        })
    };
    let array = lumps(0.0);
    let single = array.mapv(|v| v as f32);
    let view = FieldView::of_array(&array).unwrap();
    let within = |bound| Method::Bounded(Bounded::new(Bound::Relative(bound)));
    let one = |bound| vec![compress_box(&view, within(bound)).unwrap()];
    let leaves: Vec<_> =
        (0..512).map(|i| view.part([i % 8 * 8, i / 8 % 8 * 8, i / 64 * 8], [8; 3])).collect();
    let mut history = History::default();
    let mut step = |t: f64| {
        let array = lumps(t);
        let view = [FieldView::of_array(&array).unwrap()];
        compress_bounded(&view, &Bounded::new(Bound::Relative(1e-3)), Some(&mut history)).unwrap().0
    };
    vec![
        ("lumps-1e-2", one(1e-2)),
        ("lumps-1e-3", one(1e-3)),
        ("lumps-1e-4", one(1e-4)),
        ("lumps-1e-5", one(1e-5)),
        ("lumps-f32-1e-4", vec![compress_box(&FieldView::of_array(&single).unwrap(), within(1e-4)).unwrap()]),
        ("lumps-boxes-1e-2", vec![compress_boxes(&leaves, within(1e-2)).unwrap()]),
        ("lumps-boxes-1e-4", vec![compress_boxes(&leaves, within(1e-4)).unwrap()]),
        ("lumps-series-1e-3", [0.0, 0.4, 0.8].map(&mut step).into()),
    ]
}

/// What the encoder writes of a field.
#[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
struct Encode {
    bytes: usize,
    /// BLAKE3 of all of them.
    hash: String,
}

impl Encode {
    fn of(parts: &[Vec<u8>]) -> Self {
        let whole = parts.concat();
        Self { bytes: whole.len(), hash: blake3::hash(&whole).to_hex().to_string() }
    }
}

#[test]
fn encodes_have_the_sizes_that_are_pinned() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/encodes.json");
    let named = |folder: &str, all: Vec<Named>| {
        let one = |(name, parts): Named| (format!("{folder}/{name}"), Encode::of(&parts));
        all.into_iter().map(one).collect::<Vec<_>>()
    };
    let all = [
        named("v1", streams()),
        named("interfield-v1", interfield()),
        named("array-v1", payloads()),
        named("fields", fields()),
    ];
    let made: BTreeMap<_, _> = all.into_iter().flatten().collect();
    if std::env::var_os("SWAE_PIN_SIZES").is_some() {
        std::fs::write(&path, serde_json::to_string_pretty(&made).unwrap() + "\n").unwrap();
    }
    let pinned: BTreeMap<String, Encode> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(made.keys().collect::<Vec<_>>(), pinned.keys().collect::<Vec<_>>());
    let changes = made.iter().filter(|(name, made)| pinned[*name] != **made);
    let change = |(name, made): (&String, &Encode)| {
        let (before, now) = (pinned[name].bytes, made.bytes);
        let percent = 100.0 * (now as f64 / before as f64 - 1.0);
        format!("{name}: {before} bytes became {now} ({percent:+.2} %)")
    };
    let changes: Vec<_> = changes.map(change).collect();
    let text = changes.join("\n");
    assert!(changes.is_empty(), "SWAE_PIN_SIZES=1 pins what the encoder writes now:\n{text}");
}

/// Model files, each with a stream of latents that names it.
fn models() -> Vec<Named> {
    let model = |channels: &[usize], dense, has_encoder| {
        let architecture = Architecture {
            channels: channels.to_vec(),
            latent: 2,
            dense,
            activation: if dense { Activation::HardSwish } else { Activation::Relu },
            ..Architecture::default()
        };
        let mut n = 0u32;
        let mut next = || {
            n = n.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            ((n >> 24) as f32 - 127.5) / 512.0
        };
        let mut side = |layers: Vec<LayerSpec>| -> Vec<Parameters> {
            let mut values = |count: usize| (0..count).map(|_| next()).collect();
            let layer = |l: &LayerSpec| {
                let weight = values(l.weight_shape().iter().product());
                Parameters { weight, bias: values(l.cout) }
            };
            layers.iter().map(layer).collect()
        };
        let (encoder, decoder) = (side(architecture.encoder()), side(architecture.decoder()));
        let metadata = Metadata::new("golden", architecture, BTreeMap::new());
        let model = Model::new(metadata, Some(encoder), decoder).unwrap();
        let smooth = wave([9, 8, 7], 0.0).mapv(|v| v as f32);
        let method = Method::Latent { model: &model, coding: LatentCoding::F32 };
        let stream = compress_box(&FieldView::of_array(&smooth).unwrap(), method).unwrap();
        let file = if has_encoder { model.to_bytes() } else { model.decoder_only().to_bytes() };
        vec![file, stream]
    };
    vec![("convolutional", model(&[2, 1, 1], false, true)), ("dense", model(&[2], true, false))]
}

#[test]
fn model_files_of_every_released_version_have_the_ids_and_give_the_values_that_they_had() {
    check("model-v1", 2, models, |parts| {
        let [file, stream] = parts else { panic!("a model and a stream") };
        let mut models = Models::built_in();
        models.add(Model::from_bytes(file).expect("a golden model"));
        let mut hash = blake3::Hasher::new();
        add_values(&mut hash, stream, &models, &mut History::default());
        hash.finalize().to_hex().to_string()
    });
}

/// Payloads of arrays by name.
fn payloads() -> Vec<Named> {
    let models = Models::built_in();
    let model = models.by_name("gr-16").unwrap();
    let smooth: Vec<f64> = wave([30, 12, 24], 0.0).into_iter().collect();
    let single: Vec<f32> = smooth.iter().map(|&v| v as f32).collect();
    let bounded = |bound| Method::Bounded(Bounded::new(bound));
    let latent = Method::Latent { model: &model, coding: LatentCoding::F16 };
    let grid = |shape: &[usize], mode| array::compress(&smooth, shape, mode, Layout::Grid).unwrap();
    let series =
        array::compress(&single, &[4, 6, 12, 30], bounded(Bound::Relative(1e-3)), Layout::Series).unwrap();
    vec![
        ("line", vec![grid(&[8640], bounded(Bound::Absolute(1e-3)))]),
        ("plane", vec![grid(&[90, 1, 96], bounded(Bound::Absolute(1e-3)))]),
        ("volume", vec![grid(&[24, 12, 30], bounded(Bound::PointwiseRelative(1e-3)))]),
        ("boxes", vec![grid(&[2, 12, 12, 30], bounded(Bound::Psnr(60.0)))]),
        ("series", vec![series]),
        ("latents", vec![grid(&[2, 12, 12, 30], latent)]),
        ("raw", vec![array::compress(&single[..40], &[5, 8], Method::Raw, Layout::Grid).unwrap()]),
        ("bytes", vec![array::store(b"of any other type").unwrap()]),
        ("empty", vec![array::compress::<f64>(&[], &[3, 0], Method::Raw, Layout::Grid).unwrap()]),
    ]
}

#[test]
fn arrays_of_every_released_version_decode_to_the_values_that_they_held() {
    check("array-v1", 9, payloads, |payloads| {
        let array = array::decompress(&payloads[0], &Models::built_in()).expect("a golden payload");
        let mut bytes = vec![0; array.values.size()];
        array.values.write(&mut bytes);
        let mut hash = blake3::Hasher::new();
        hash.update(format!("{:?}", array.shape).as_bytes()).update(&bytes);
        hash.finalize().to_hex().to_string()
    });
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Golden {
    /// BLAKE3 of all decoded values.
    values: String,
    /// In hexadecimal, each step's.
    streams: Vec<String>,
}
