//! Files of format versions, which every later version must read as the values that they held.
//! `SWAE_WRITE_GOLDEN=1` writes those that are missing, never over one that is there.

#[allow(dead_code, reason = "each test uses a part")]
mod inputs;

use inputs::ENDINGS;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use swae_codec::config::LatentCoding;
use swae_codec::encode::{Bounded, Method, compress_box, compress_boxes};
use swae_codec::history::History;
use swae_codec::model::{Architecture, LayerSpec, Metadata, Parameters};
use swae_codec::step::{StepField, compress_step};
use swae_codec::stream::header;
use swae_codec::{Bound, Compression, Dtype, Element, Field, FieldView, Model};
use swae_store::{BoxRow, BoxValues, Decoder, FieldInfo, FieldPart, Payload, Storage, create_alone, plain};

const SHAPE: [usize; 3] = [32, 32, 16];
const STEPS: usize = 4;

/// A lump that moves, faster with each step.
fn values(t: f64) -> Vec<f64> {
    let [nx, ny, _] = SHAPE;
    let at = |i: usize| [i % nx, i / nx % ny, i / (nx * ny)].map(|c| c as f64 - 6.0 - 0.1 * t * t);
    let lump = |[x, y, z]: [f64; 3]| (0.4 * x).sin() / (1.0 + 0.02 * (x * x + 2.0 * y * y + z * z));
    (0..SHAPE.iter().product()).map(at).map(lump).collect()
}

/// A model that is not built in.
fn model() -> Model {
    let architecture = Architecture { channels: vec![1; 3], latent: 2, ..Architecture::default() };
    let layer = |l: &LayerSpec| Parameters {
        weight: (0..l.weight_shape().iter().product::<usize>())
            .map(|i| 0.1 - (i % 7) as f32 / 32.0)
            .collect(),
        bias: vec![0.25; l.cout],
    };
    let [encoder, decoder] =
        [architecture.encoder(), architecture.decoder()].map(|side| side.iter().map(layer).collect());
    Model::new(Metadata::new("golden", architecture, BTreeMap::new()), Some(encoder), decoder).unwrap()
}

/// A field of a step: its rows and streams.
struct Coded {
    info: FieldInfo,
    rows: Vec<BoxRow>,
    bytes: Vec<u8>,
}

fn coded(name: &str, dtype: Dtype, starts: &[[usize; 3]], bytes: Vec<u8>) -> Coded {
    let header = header(&bytes).unwrap();
    let row = |(&start, &count): (&[usize; 3], &[usize; 3])| BoxRow {
        start,
        count,
        offset: 0,
        length: bytes.len() as u64,
    };
    let rows: Vec<_> = starts.iter().zip(&header.boxes).map(row).collect();
    let partial = header.boxes != [SHAPE];
    let info = FieldInfo { dtype, partial, shape: SHAPE, ..inputs::info(name) };
    Coded { info, rows, bytes }
}

/// The fields of each step: two of which one is predicted from the other, boxes of a level, latents,
/// and values as they are.
fn steps(model: &Model) -> Vec<Vec<Coded>> {
    let mut histories = [History::new(3), History::new(3)];
    let mut step = |t: usize| {
        let t = t as f64;
        let lump = values(t);
        let change: Vec<f64> = values(t + 0.5).iter().zip(values(t - 0.5)).map(|(a, b)| a - b).collect();
        let views = [&change, &lump].map(|values| [FieldView::dense(values, SHAPE).unwrap()]);
        let settings = Bounded::new(Bound::Absolute(1e-5));
        let fields = ["K", "chi"].iter().zip(&views).zip(&mut histories);
        let fields = fields.map(|((name, views), history)| StepField { name, views, settings, history });
        let streams = compress_step(fields.collect()).into_iter().map(|made| made.unwrap().0);
        let whole = |name, bytes| coded(name, Dtype::F64, &[[0; 3]], bytes);
        let mut fields: Vec<_> = ["K", "chi"].into_iter().zip(streams).map(|(n, s)| whole(n, s)).collect();
        let [view] = views[1];
        let leaves = [[0, 0, 0], [8, 0, 0], [8, 0, 8]];
        let boxes = leaves.map(|start| view.part(start, [8; 3]));
        let bounded = Method::Bounded(settings);
        fields.push(coded("At_xx@1", Dtype::F64, &leaves, compress_boxes(&boxes, bounded).unwrap()));
        let latent = Method::Latent { model, coding: LatentCoding::F16 };
        fields.push(whole("phi", compress_box(&view, latent).unwrap()));
        let single: Vec<f32> = lump.iter().map(|&v| v as f32).collect();
        let corner = FieldView::dense(&single, SHAPE).unwrap().part([0; 3], [7, 6, 5]);
        let raw = compress_box(&corner, Method::Raw).unwrap();
        fields.push(coded("ADMBASE::α/β", Dtype::F32, &[[0; 3]], raw));
        fields
    };
    let steps: Vec<_> = (0..STEPS).map(&mut step).collect();
    let is_predicted = |fields: &Vec<Coded>| header(&fields[1].bytes).unwrap().reference_fields() == ["K"];
    assert!(steps.iter().any(is_predicted), "chi is predicted from K");
    steps
}

fn write_run(path: &Path) {
    let model = Arc::new(model());
    let mut writer = create_alone(path, Storage::Streams).unwrap();
    for (number, fields) in steps(&model).iter().enumerate() {
        let part = |field: &'_ Coded| (field.info.clone(), field.rows.clone(), field.bytes.clone());
        let parts: Vec<_> = fields.iter().map(part).collect();
        let parts: Vec<_> = parts
            .iter()
            .map(|(info, rows, bytes)| FieldPart {
                info,
                all_boxes: rows.len(),
                all_bytes: bytes.len() as u64,
                first_box: 0,
                boxes: rows.clone(),
                payload: Payload::Streams(bytes),
            })
            .collect();
        let models = std::slice::from_ref(&model);
        writer.write_step(10 * number as i64, 0.5 * number as f64, &parts, models, &|fits| fits).unwrap();
    }
    writer.close().unwrap();
    // Of a BP5 output: how long this took, of which no reader takes notice.
    drop(std::fs::remove_file(path.join("profiling.json")));
}

fn write_datasets(path: &Path) {
    let mut writer = create_alone(path, Storage::Datasets).unwrap();
    for number in 0..2 {
        let values = values(f64::from(number));
        let view = FieldView::dense(&values, SHAPE).unwrap();
        let copies = [BoxValues::copy_of(&[([0; 3], view)]).unwrap()];
        let info = FieldInfo { shape: SHAPE, ..inputs::info("chi") };
        let compression = Compression::absolute(1e-3);
        let row = BoxRow { start: [0; 3], count: SHAPE, offset: 0, length: 0 };
        let part = FieldPart {
            info: &info,
            all_boxes: 1,
            all_bytes: 0,
            first_box: 0,
            boxes: vec![row],
            payload: Payload::Values { copies: &copies, compression },
        };
        writer.write_step(number.into(), 0.0, &[part], &[], &|fits| fits).unwrap();
    }
    writer.close().unwrap();
}

/// A field of each step as a `.swae` file.
fn write_swae(path: &Path, field: usize) {
    let model = model();
    let streams: Vec<_> = steps(&model).into_iter().map(|mut fields| fields.remove(field).bytes).collect();
    plain::write_swae(path, &streams, Some(&model)).unwrap();
}

type Write = Box<dyn Fn(&Path)>;

/// The files by name, and what writes them.
fn files() -> Vec<(String, Write)> {
    let runs = ENDINGS.iter().map(|ending| (format!("run.{ending}"), Box::new(write_run) as Write));
    let mut files: Vec<_> = runs.collect();
    files.push(("datasets.h5".into(), Box::new(write_datasets)));
    for (name, field) in [("leaves", 2), ("latents", 3), ("raw", 4)] {
        files.push((format!("{name}.swae"), Box::new(move |path| write_swae(path, field))));
    }
    files
}

/// A hash of all that a file says and holds.
fn hash(path: &Path) -> String {
    let mut reader = swae_store::open(path).unwrap();
    let mut decoder = Decoder::remembering();
    let mut hash = blake3::Hasher::new();
    for index in 0..reader.steps().len() {
        let step = reader.steps()[index].clone();
        hash.update(format!("{} {}", step.step, step.time).as_bytes());
        for (info, _) in step.fields {
            hash.update(format!("{info:?}").as_bytes());
            let mut bytes = Vec::new();
            match decoder.read_field(reader.as_mut(), index, &info.name, None).unwrap() {
                Field::F32(values) => values.iter().for_each(|v| v.write_le(&mut bytes)),
                Field::F64(values) => values.iter().for_each(|v| v.write_le(&mut bytes)),
            }
            hash.update(&bytes);
        }
    }
    hash.finalize().to_hex().to_string()
}

#[test]
fn files_of_every_released_version_hold_what_they_held() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    let list = dir.join("values.json");
    let mut known: BTreeMap<String, String> =
        std::fs::read(&list).map(|text| serde_json::from_slice(&text).unwrap()).unwrap_or_default();
    if std::env::var_os("SWAE_WRITE_GOLDEN").is_some() {
        std::fs::create_dir_all(&dir).unwrap();
        for (name, write) in files() {
            let path = dir.join(&name);
            if !path.exists() {
                write(&path);
                known.insert(name, hash(&path));
            }
        }
        std::fs::write(&list, serde_json::to_string_pretty(&known).unwrap() + "\n").unwrap();
    }
    for (name, _) in files() {
        assert_eq!(Some(hash(&dir.join(&name))).as_ref(), known.get(&name), "{name}");
    }
}
