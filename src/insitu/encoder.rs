//! What a rank does on its own: boxes of a step become streams.

use crate::agreement::Agreed;
use crate::devices::Crew;
use crate::options::Coding;
use crate::output::{Written, lock};
use crate::session::Placed;
use crate::turn::Turn;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use swae_codec::bound::ValueRange;
use swae_codec::device::Device;
use swae_codec::encode::{Bounded, Method, compress_bounded, compress_boxes, compress_boxes_on};
use swae_codec::history::History;
use swae_codec::predict::mixing::is_mixing_model;
use swae_codec::step::{StepField, compress_step};
use swae_codec::{Dtype, Element, Field, FieldView, Model};
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
    /// When it may be written, where another thread does it.
    pub turn: Option<Turn>,
    /// The ranges of those fields that need one, as soon as all ranks have told theirs.
    pub ranges: Ranges,
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
pub(crate) type Ranges = BTreeMap<String, ValueRange>;

impl Step {
    pub(crate) fn new(number: i64, time: f64, failure: Option<Error>) -> Self {
        Self {
            number,
            time,
            failure,
            puts: Vec::new(),
            copies: Vec::new(),
            turn: None,
            ranges: Ranges::new(),
        }
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
    pub(crate) fn own_ranges(&self) -> Ranges {
        let mut ranges = Ranges::new();
        for Copied { info, boxes, .. } in self.copies.iter().filter(|c| c.coding.needs_range()) {
            for (_, field) in boxes {
                let range = match field {
                    Field::F32(a) => FieldView::of_array(a).map(|v| ValueRange::of(&v)),
                    Field::F64(a) => FieldView::of_array(a).map(|v| ValueRange::of(&v)),
                };
                // A copy is contiguous; whatever happens, the others wait for this rank in the exchange.
                widen(&mut ranges, base_name(&info.name).into(), range.unwrap_or(ValueRange::EMPTY));
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
    pub(crate) fn new<T: Element>(info: FieldInfo, coding: Coding, boxes: &[Placed<'_, T>]) -> Self {
        let copy = |(start, view): &Placed<'_, T>| {
            let [nx, ny, nz] = view.count();
            let copy = ndarray::Array3::from_shape_vec((nz, ny, nx), view.values().collect());
            (*start, Field::from_array(copy.expect("a view has as many values as its shape says")))
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

pub(crate) fn widen(ranges: &mut Ranges, name: String, range: ValueRange) {
    let entry = ranges.entry(name).or_insert(ValueRange::EMPTY);
    *entry = entry.and(range);
}

/// A field's name without its level: its range is that of all levels.
pub(crate) fn base_name(stored: &str) -> &str {
    stored.split('@').next().unwrap_or(stored)
}

/// Boxes of a field that share a stream: as long as they are put in every step, they lean on themselves.
type StreamId = (String, Boxes);

pub(crate) struct Encoder {
    /// None where no field needs one.
    model: Option<Arc<Model>>,
    pub crew: Crew,
    /// Whether the store does the coding: then streams are raw.
    raw: bool,
    /// Whether fields lean on one another.
    couples: bool,
    /// What each stream's next step can lean on.
    histories: BTreeMap<StreamId, History>,
    written: Arc<Mutex<Written>>,
}

/// Boxes that are to share a stream.
struct Job<'a, T> {
    info: &'a FieldInfo,
    coding: Coding,
    boxes: Vec<Placed<'a, T>>,
    range: Option<ValueRange>,
    history: Option<History>,
}

impl<T: Element> Job<'_, T> {
    fn places(&self) -> Boxes {
        self.boxes.iter().map(|(start, view)| (*start, view.count())).collect()
    }

    /// Of one within a bound.
    fn settings<'m>(&self, model: Option<&'m Model>) -> Option<Bounded<'m>> {
        let Coding::Bounded { bound, .. } = self.coding else { return None };
        let model = model.filter(|m| is_mixing_model(m));
        Some(Bounded { range: self.range, model, ..Bounded::new(bound) })
    }

    fn encode(&mut self, device: &Device, model: Option<&Model>) -> Result<Vec<u8>> {
        let views: Vec<_> = self.boxes.iter().map(|(_, view)| *view).collect();
        if let Some(settings) = self.settings(model) {
            return Ok(compress_bounded(&views, &settings, self.history.as_mut())?.0);
        }
        let bytes = match (self.coding, model) {
            (Coding::Latent(coding), Some(model)) => {
                compress_boxes_on(device, &views, Method::Latent { model, coding })
            }
            _ => compress_boxes(&views, Method::Raw),
        };
        Ok(bytes?)
    }
}

/// A job and its number, and what came of it.
type Encoded<'a, T> = (usize, Job<'a, T>, Result<Vec<u8>>);

/// Encodes jobs; where there are many, they are bounded ones of the same boxes, with histories, that lean on one another.
fn encode_group<'a, T: Element>(
    device: &Device,
    group: Vec<(usize, Job<'a, T>)>,
    model: Option<&Model>,
) -> Vec<Encoded<'a, T>> {
    if group.len() == 1 {
        let alone = |(number, mut job): (usize, Job<'a, T>)| {
            let bytes = job.encode(device, model);
            (number, job, bytes)
        };
        return group.into_iter().map(alone).collect();
    }
    let mut group = group;
    let views: Vec<Vec<_>> =
        group.iter().map(|(_, job)| job.boxes.iter().map(|(_, view)| *view).collect()).collect();
    let together = group.iter_mut().zip(&views).filter_map(|((_, job), views)| {
        let settings = job.settings(model)?;
        Some(StepField { name: &job.info.name, views, settings, history: job.history.as_mut()? })
    });
    let coded = compress_step(together.collect());
    let results = coded.into_iter().map(|coded| Ok(coded?.0));
    group.into_iter().zip(results).map(|((number, job), bytes)| (number, job, bytes)).collect()
}

impl Encoder {
    pub(crate) fn new(
        model: Option<Arc<Model>>,
        crew: Crew,
        (raw, couples): (bool, bool),
        written: Arc<Mutex<Written>>,
    ) -> Self {
        Self { model, crew, raw, couples, histories: BTreeMap::new(), written }
    }

    /// Encodes boxes into one stream, or, where a mode has streams of one box only, into one each.
    pub(crate) fn encode<T: Element>(
        &mut self,
        step: &mut Step,
        info: &FieldInfo,
        coding: Coding,
        boxes: &[Placed<'_, T>],
    ) -> Result<()> {
        let begun = Instant::now();
        // A rank without a box has put the field all the same.
        step.part_of(info)?;
        for mut job in self.jobs(info, coding, boxes, None) {
            let bytes = self.crew.once(|device| job.encode(device, self.model.as_deref()))?;
            self.keep(step, job, &bytes)?;
        }
        lock(&self.written).encoding += begun.elapsed();
        Ok(())
    }

    /// The streams that boxes make.
    fn jobs<'a, T: Element>(
        &mut self,
        info: &'a FieldInfo,
        coding: Coding,
        boxes: &[Placed<'a, T>],
        range: Option<ValueRange>,
    ) -> Vec<Job<'a, T>> {
        let coding = if self.raw { Coding::Raw } else { coding };
        let some = if matches!(coding, Coding::Latent(_)) { 1 } else { boxes.len().max(1) };
        let job = |boxes: &[Placed<'a, T>]| {
            let mut job = Job { info, coding, boxes: boxes.to_vec(), range, history: None };
            if let Coding::Bounded { keyframe_interval, .. } = coding
                && keyframe_interval > 1
            {
                let known = self.histories.remove(&(info.name.clone(), job.places()));
                job.history = Some(known.unwrap_or_else(|| History::new(keyframe_interval)));
            }
            job
        };
        boxes.chunks(some).map(job).collect()
    }

    /// Puts a stream behind those of its field.
    fn keep<T: Element>(&mut self, step: &mut Step, job: Job<'_, T>, bytes: &[u8]) -> Result<()> {
        let (places, put) = (job.places(), step.part_of(job.info)?);
        let (offset, length) = (put.bytes.len() as u64, bytes.len() as u64);
        let row = |&(start, count): &_| BoxRow { start, count, offset, length };
        put.boxes.extend(places.iter().map(row));
        put.bytes.extend_from_slice(bytes);
        if let Some(history) = job.history {
            self.histories.insert((job.info.name.clone(), places), history);
        }
        Ok(())
    }

    /// Encodes the copies of a step, on all devices; those that need a range only where ranges are known. What goes wrong fails
    /// the step, even a panic: the other ranks wait for this one in the exchange.
    pub(crate) fn encode_copies(&mut self, step: &mut Step, ranged: bool) {
        let begun = Instant::now();
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut step.copies)
            .into_iter()
            .partition(|copied| ranged || !copied.coding.needs_range());
        step.copies = later;
        // Boxes of one field follow one another in the order of the puts.
        let (floats, doubles): (Vec<_>, Vec<_>) =
            now.into_iter().partition(|copied| copied.info.dtype == Dtype::F32);
        for (dtype, copies) in [(Dtype::F32, floats), (Dtype::F64, doubles)] {
            let encode = || match dtype {
                Dtype::F32 => self.encode_all::<f32>(step, &copies),
                Dtype::F64 => self.encode_all::<f64>(step, &copies),
            };
            let defect = |_| Err(Error::State("a defect of swae: the encoder has panicked".into()));
            if let Err(e) = catch_unwind(AssertUnwindSafe(encode)).unwrap_or_else(defect) {
                step.fail(e);
            }
        }
        lock(&self.written).encoding += begun.elapsed();
    }

    fn encode_all<T: Element>(&mut self, step: &mut Step, copies: &[Copied]) -> Result<()> {
        let mut jobs = Vec::new();
        for Copied { info, coding, boxes } in copies {
            step.part_of(info)?;
            let range = step.ranges.get(base_name(&info.name)).copied();
            let views = boxes.iter().filter_map(|(start, field)| Some((*start, field.as_array::<T>()?)));
            let views = views.map(|(start, array)| Ok((start, FieldView::of_array(array)?)));
            jobs.extend(self.jobs(info, *coding, &views.collect::<Result<Vec<_>>>()?, range));
        }
        // Those that may lean on one another are of the same boxes, and go to the same device.
        let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (number, job) in jobs.into_iter().enumerate() {
            let couples = self.couples && job.history.is_some();
            let group = if couples { Ok(job.places()) } else { Err(number) };
            groups.entry(group).or_default().push((number, job));
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort_by_key(|group| group[0].0);
        let points = |job: &Job<'_, T>| {
            job.boxes.iter().map(|(_, v)| v.count().iter().product::<usize>() as u64).sum::<u64>()
        };
        let size = |group: &Vec<(usize, Job<'_, T>)>| group.iter().map(|(_, job)| points(job)).sum();
        let model = self.model.clone();
        let encode = |device: &Device, group| encode_group(device, group, model.as_deref());
        let encoded = self.crew.each(groups, size, encode);
        let mut encoded: Vec<_> = encoded.into_iter().flatten().collect();
        encoded.sort_by_key(|(number, ..)| *number);
        encoded.into_iter().try_for_each(|(_, job, bytes)| self.keep(step, job, &bytes?))
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
