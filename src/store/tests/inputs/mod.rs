//! A run of some fields and steps, each field in two boxes along z, and files of it.

use std::path::Path;
use swae_codec::bound::Bound;
use swae_codec::encode::{Bounded, compress_bounded};
use swae_codec::history::History;
use swae_codec::{Dtype, FieldView};
use swae_store::{BoxRow, FieldInfo, FieldPart, Payload, Storage, create_alone};

/// Points of a field.
pub const SHAPE: [usize; 3] = [16, 8, 16];
/// Steps from keyframe to keyframe.
pub const KEYFRAMES: u32 = 3;

/// The streams of the two boxes of each field of each step.
pub struct Run {
    pub infos: Vec<FieldInfo>,
    pub steps: Vec<Vec<[Vec<u8>; 2]>>,
}

pub fn info(name: &str) -> FieldInfo {
    FieldInfo {
        name: name.into(),
        dtype: Dtype::F64,
        shape: SHAPE,
        origin: [-1.0, 0.0, 0.5],
        spacing: [0.25; 3],
        encoding: "abs 1e-4".into(),
        partial: false,
    }
}

/// A step of a wave that moves.
fn values(field: usize, step: usize) -> Vec<f64> {
    let wave = |i: usize| (0.03 * i as f64 + 0.2 * step as f64 + field as f64).sin();
    (0..SHAPE.iter().product()).map(wave).collect()
}

pub fn run(names: &[&str], steps: usize) -> Run {
    let settings = Bounded::new(Bound::Absolute(1e-4));
    let mut histories: Vec<_> = names.iter().map(|_| [(); 2].map(|()| History::new(KEYFRAMES))).collect();
    let mut step = |step: usize| {
        let field = |(field, histories): (usize, &mut [History; 2])| {
            let values = values(field, step);
            let view = FieldView::dense(&values, SHAPE).unwrap();
            let [x, y, z] = SHAPE;
            let halves = [0, z / 2].map(|first| view.part([0, 0, first], [x, y, z / 2]));
            let mut histories = histories.iter_mut();
            halves.map(|half| compress_bounded(&[half], &settings, histories.next()).unwrap().0)
        };
        histories.iter_mut().enumerate().map(field).collect()
    };
    let steps = (0..steps).map(&mut step).collect();
    Run { infos: names.iter().map(|name| info(name)).collect(), steps }
}

impl Run {
    /// Writes a file of steps 0, 10, 20, …
    pub fn write(&self, path: &Path) {
        let mut writer = create_alone(path, Storage::Streams).unwrap();
        for (number, streams) in self.steps.iter().enumerate() {
            let bytes: Vec<_> = streams.iter().map(|boxes| boxes.concat()).collect();
            let part = |((info, boxes), bytes): ((_, &[Vec<u8>; 2]), &'_ Vec<u8>)| {
                let length = boxes.each_ref().map(|stream| stream.len() as u64);
                let count = [SHAPE[0], SHAPE[1], SHAPE[2] / 2];
                let row = |i: usize, offset| BoxRow {
                    start: [0, 0, i * count[2]],
                    count,
                    offset,
                    length: length[i],
                };
                let boxes = vec![row(0, 0), row(1, length[0])];
                (info, boxes, bytes.clone())
            };
            let parts: Vec<_> = self.infos.iter().zip(streams).zip(&bytes).map(part).collect();
            let parts: Vec<_> = parts
                .iter()
                .map(|(info, boxes, bytes)| FieldPart {
                    info,
                    all_boxes: boxes.len(),
                    all_bytes: bytes.len() as u64,
                    first_box: 0,
                    boxes: boxes.clone(),
                    payload: Payload::Streams(bytes),
                })
                .collect();
            writer.write_step(10 * number as i64, 0.5 * number as f64, &parts, &[], &|fits| fits).unwrap();
        }
        writer.close().unwrap();
    }
}

/// The stores of steps that this build has.
pub const ENDINGS: &[&str] = if cfg!(feature = "adios2") { &["h5", "bp"] } else { &["h5"] };
