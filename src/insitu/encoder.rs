//! What a rank does on its own: boxes of a step become streams.

use crate::agreement::Agreed;
use crate::options::Coding;
use crate::output::{Written, lock};
use crate::session::Placed;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use swae_codec::{
    Bounded, Dtype, Field, FieldView, History, Mode, Model, Remembered, Spread, compress_bounded,
    compress_boxes,
};
use swae_store::{BoxRow, Boxes, FieldInfo};

/// A rank's part of a step, on its way from the program's memory to the file.
pub(crate) struct Step {
    pub number: i64,
    pub time: f64,
    /// The first thing that went wrong.
    pub failure: Option<Error>,
    /// What is encoded, in the order of the puts.
    pub puts: Vec<Put>,
    /// What is not.
    pub copies: Vec<Copied>,
}

/// A rank's boxes of one field, encoded.
pub(crate) struct Put {
    pub info: FieldInfo,
    pub boxes: Vec<BoxRow>,
    pub bytes: Vec<u8>,
}

/// Boxes of a field that are encoded later: because their bound depends on the range that the field has on all ranks, or
/// because the simulation goes on meanwhile.
pub(crate) struct Copied {
    pub info: FieldInfo,
    pub coding: Coding,
    pub boxes: Vec<([usize; 3], Field)>,
}

/// The range of each field on all ranks and levels.
pub(crate) type Ranges = BTreeMap<String, Spread>;

impl Step {
    pub(crate) fn new(number: i64, time: f64, failure: Option<Error>) -> Self {
        Self { number, time, failure, puts: Vec::new(), copies: Vec::new() }
    }

    /// Notes an error, if it is the first.
    pub(crate) fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Bytes of the copies.
    pub(crate) fn copied(&self) -> usize {
        self.copies.iter().map(Copied::bytes).sum()
    }

    /// This rank's ranges of the fields that need one.
    pub(crate) fn ranges(&self) -> Ranges {
        let mut ranges = Ranges::new();
        for Copied { info, boxes, .. } in self.copies.iter().filter(|c| c.coding.needs_range()) {
            for (_, field) in boxes {
                let range = match field {
                    Field::F32(a) => FieldView::of_array(a).map(|v| Spread::of(&v)),
                    Field::F64(a) => FieldView::of_array(a).map(|v| Spread::of(&v)),
                };
                // A copy is contiguous; whatever happens, the others wait for this rank in the exchange.
                widen(&mut ranges, base_name(&info.name).into(), range.unwrap_or(Spread::EMPTY));
            }
        }
        ranges
    }

    /// This rank's part of a field, to which boxes are added.
    fn part_of(&mut self, info: &FieldInfo) -> Result<&mut Put> {
        let at = match self.puts.iter().position(|p| p.info.name == info.name) {
            Some(at) => at,
            None => {
                self.puts.push(Put { info: info.clone(), boxes: Vec::new(), bytes: Vec::new() });
                self.puts.len() - 1
            }
        };
        let put = &mut self.puts[at];
        if &put.info != info {
            return Err(Error::Argument(format!(
                "field '{}': its boxes of one step have different grids",
                info.name
            )));
        }
        Ok(put)
    }
}

impl Copied {
    pub(crate) fn new<T: Remembered>(info: FieldInfo, coding: Coding, boxes: &[Placed<'_, T>]) -> Self {
        let copy = |(start, view): &Placed<'_, T>| {
            let [nx, ny, nz] = view.count();
            let copy = ndarray::Array3::from_shape_vec((nz, ny, nx), view.values().collect());
            (*start, T::field(copy.expect("a view has as many values as its shape says")))
        };
        Self { info, coding, boxes: boxes.iter().map(copy).collect() }
    }

    fn bytes(&self) -> usize {
        let of = |field: &Field| match field {
            Field::F32(a) => size_of_val(a.as_slice().unwrap_or_default()),
            Field::F64(a) => size_of_val(a.as_slice().unwrap_or_default()),
        };
        self.boxes.iter().map(|(_, field)| of(field)).sum()
    }
}

pub(crate) fn widen(ranges: &mut Ranges, name: String, range: Spread) {
    let entry = ranges.entry(name).or_insert(Spread::EMPTY);
    *entry = entry.and(range);
}

/// A field's name without its level: its range is that of all levels.
fn base_name(stored: &str) -> &str {
    stored.split('@').next().unwrap_or(stored)
}

/// Boxes of a field that share a stream: as long as they are put in every step, they lean on themselves.
type StreamId = (String, Boxes);

pub(crate) struct Encoder {
    /// None where no field needs one.
    model: Option<Arc<Model>>,
    pool: rayon::ThreadPool,
    /// What each stream's next step can lean on.
    histories: BTreeMap<StreamId, History>,
    written: Arc<Mutex<Written>>,
}

impl Encoder {
    pub(crate) fn new(
        model: Option<Arc<Model>>,
        pool: rayon::ThreadPool,
        written: Arc<Mutex<Written>>,
    ) -> Self {
        Self { model, pool, histories: BTreeMap::new(), written }
    }

    /// Encodes boxes into one stream, or, where a mode has streams of one box only, into one each.
    pub(crate) fn encode<T: Remembered>(
        &mut self,
        step: &mut Step,
        info: &FieldInfo,
        coding: Coding,
        boxes: &[Placed<'_, T>],
        range: Option<Spread>,
    ) -> Result<()> {
        // A rank without a box has put the field all the same.
        step.part_of(info)?;
        let some = if matches!(coding, Coding::Latent(_)) { 1 } else { boxes.len().max(1) };
        boxes.chunks(some).try_for_each(|boxes| self.encode_stream(step, info, coding, boxes, range))
    }

    fn encode_stream<T: Remembered>(
        &mut self,
        step: &mut Step,
        info: &FieldInfo,
        coding: Coding,
        boxes: &[Placed<'_, T>],
        range: Option<Spread>,
    ) -> Result<()> {
        let begun = Instant::now();
        let places: Boxes = boxes.iter().map(|(start, view)| (*start, view.count())).collect();
        let views: Vec<_> = boxes.iter().map(|(_, view)| *view).collect();
        let bytes = match (coding, &self.model) {
            (Coding::Bounded { bound, keyframe_every }, _) => {
                let settings = Bounded { range, ..Bounded::new(bound) };
                let id = (info.name.clone(), places.clone());
                let history = self.histories.entry(id).or_insert_with(|| History::new(keyframe_every));
                let history = (keyframe_every > 1).then_some(history);
                self.pool.install(|| compress_bounded(&views, &settings, history))?.0
            }
            (Coding::Latent(coding), Some(model)) => {
                self.pool.install(|| compress_boxes(&views, Mode::Latent { model, coding }))?
            }
            _ => self.pool.install(|| compress_boxes(&views, Mode::Raw))?,
        };
        let put = step.part_of(info)?;
        let (offset, length) = (put.bytes.len() as u64, bytes.len() as u64);
        put.boxes.extend(places.into_iter().map(|(start, count)| BoxRow { start, count, offset, length }));
        put.bytes.extend_from_slice(&bytes);
        lock(&self.written).encoding += begun.elapsed();
        Ok(())
    }

    /// Encodes the copies of a step; those that need a range only where ranges are given. What goes wrong fails the step, even
    /// a panic: the other ranks wait for this one in the exchange.
    pub(crate) fn encode_copies(&mut self, step: &mut Step, ranges: Option<&Ranges>) {
        let (now, later) = std::mem::take(&mut step.copies)
            .into_iter()
            .partition(|copied| ranges.is_some() || !copied.coding.needs_range());
        step.copies = later;
        // Each copy is freed as soon as it is encoded.
        for copied in Vec::into_iter(now) {
            let range = ranges.and_then(|r| r.get(base_name(&copied.info.name))).copied();
            let encode = || match copied.info.dtype {
                Dtype::F32 => self.encode_copy::<f32>(step, &copied, range),
                Dtype::F64 => self.encode_copy::<f64>(step, &copied, range),
            };
            let defect = || Error::State(format!("field '{}': a defect of swae", copied.info.name));
            if let Err(e) = catch_unwind(AssertUnwindSafe(encode)).unwrap_or_else(|_| Err(defect())) {
                step.fail(e);
            }
        }
    }

    fn encode_copy<T: Remembered>(
        &mut self,
        step: &mut Step,
        copied: &Copied,
        range: Option<Spread>,
    ) -> Result<()> {
        let views = copied.boxes.iter().filter_map(|(start, field)| Some((*start, T::array(field)?)));
        let views = views.map(|(start, array)| Ok((start, FieldView::of_array(array)?)));
        let views = views.collect::<Result<Vec<_>>>()?;
        self.encode(step, &copied.info, copied.coding, &views, range)
    }

    /// Learns what became of a step: the next one may lean only on what is in the file.
    pub(crate) fn settle(&mut self, outcome: &Result<Agreed>) {
        let Ok(fields) = outcome else { return self.histories.clear() };
        // Boxes that were not put again with their field are gone, as after a regrid; none will lean on them.
        let mut put = BTreeSet::<StreamId>::new();
        for (info, part) in fields {
            let streams = part.boxes.chunk_by(|a, b| a.offset == b.offset);
            put.extend(streams.map(|rows| {
                (info.name.clone(), rows.iter().map(|row| (row.start, row.count)).collect::<Boxes>())
            }));
        }
        let names: BTreeSet<_> = fields.iter().map(|(info, _)| &info.name).collect();
        self.histories.retain(|id, _| !names.contains(&id.0) || put.contains(id));
    }
}
