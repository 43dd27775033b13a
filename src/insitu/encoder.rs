//! What a rank does on its own: boxes of a step become streams, on the devices that the rank
//! shares. Values that the store compresses (datasets) do not come here, nor does what other ranks
//! have.

use crate::device_pool::DevicePool;
use crate::lock::lock;
use crate::step::{Content, Copied, Placed, Put, Step, needs_range};
use crate::validation::ValidatedStep;
use crate::written::Written;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;
use swae_codec::bound::ValueRange;
use swae_codec::config::Mode;
use swae_codec::device::Device;
use swae_codec::encode::{Bounded, Method, compress_bounded, compress_boxes_on};
use swae_codec::history::History;
use swae_codec::predict::mixing::is_mixing_model;
use swae_codec::step::{StepField, compress_step};
use swae_codec::{Compression, Dtype, Element, FieldView, Model, memory};
use swae_filter::panics::caught;
use swae_store::{BoxRow, Boxes, FieldInfo};

/// Boxes of a field that share a stream: as long as they are put in every step, each step is
/// predicted from the previous one.
type StreamId = (String, Boxes);

pub(crate) struct Encoder {
    /// None where no field needs one.
    model: Option<Arc<Model>>,
    pub pool: DevicePool,
    /// Whether fields are predicted from one another.
    inter_field: bool,
    /// What the next step of each stream is predicted from.
    histories: BTreeMap<StreamId, History>,
    written: Arc<Mutex<Written>>,
}

/// Boxes that are to share a stream.
struct Job<'a, T> {
    /// Its place in the order of the puts.
    number: usize,
    info: &'a FieldInfo,
    compression: &'a Compression,
    boxes: Vec<Placed<'a, T>>,
    range: Option<ValueRange>,
    history: Option<History>,
}

/// A job, and its stream.
struct Encoded<'a, T> {
    job: Job<'a, T>,
    stream: Result<Vec<u8>>,
}

impl<'a, T: Element> Job<'a, T> {
    fn places(&self) -> Boxes {
        self.boxes.iter().map(|(start, view)| (*start, view.count())).collect()
    }

    fn points(&self) -> u64 {
        self.boxes.iter().map(|(_, view)| view.len() as u64).sum()
    }

    /// How it is encoded within a bound; none in other modes.
    fn bounded<'m>(&self, model: Option<&'m Model>) -> Option<Bounded<'m>> {
        let bound = self.compression.bound()?;
        let model = model.filter(|m| is_mixing_model(m));
        let Compression { fill, effort, .. } = *self.compression;
        Some(Bounded { range: self.range, model, fill, effort, ..Bounded::new(bound) })
    }

    fn stream(&mut self, device: &Device, model: Option<&Model>) -> Result<Vec<u8>> {
        let views: Vec<_> = self.boxes.iter().map(|(_, view)| *view).collect();
        if let Some(settings) = self.bounded(model) {
            return Ok(compress_bounded(&views, &settings, self.history.as_mut())?.0);
        }
        Ok(compress_boxes_on(device, &views, Method::new(self.compression, model)?)?)
    }

    fn encode(mut self, device: &Device, model: Option<&Model>) -> Encoded<'a, T> {
        let stream = self.stream(device, model);
        Encoded { job: self, stream }
    }
}

/// Encodes jobs; where there are many, they are bounded ones of the same boxes, with histories,
/// that are predicted from one another.
fn encode_group<'a, T: Element>(
    device: &Device,
    mut group: Vec<Job<'a, T>>,
    model: Option<&Model>,
) -> Vec<Encoded<'a, T>> {
    if group.len() == 1 {
        return group.into_iter().map(|job| job.encode(device, model)).collect();
    }
    let views: Vec<Vec<_>> =
        group.iter().map(|job| job.boxes.iter().map(|(_, view)| *view).collect()).collect();
    let fields = group.iter_mut().zip(&views).filter_map(|(job, views)| {
        let settings = job.bounded(model)?;
        Some(StepField { name: &job.info.name, views, settings, history: job.history.as_mut()? })
    });
    let results = compress_step(fields.collect());
    let encoded = |(job, result): (_, swae_codec::Result<_>)| Encoded {
        job,
        stream: result.map(|(stream, _)| stream).map_err(Error::from),
    };
    group.into_iter().zip(results).map(encoded).collect()
}

/// Jobs by the device that they go to: those that may be predicted from one another, being of the
/// same boxes, stay together.
fn groups<T: Element>(jobs: Vec<Job<'_, T>>, inter_field: bool) -> Vec<Vec<Job<'_, T>>> {
    let mut groups: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for job in jobs {
        let joins = inter_field && job.history.is_some();
        let group = if joins { Ok(job.places()) } else { Err(job.number) };
        groups.entry(group).or_default().push(job);
    }
    let mut groups: Vec<_> = groups.into_values().collect();
    groups.sort_by_key(|group| group[0].number);
    groups
}

impl Put {
    /// Adds a stream behind those that are there.
    fn add_stream(&mut self, places: &Boxes, stream: &[u8]) -> Result<()> {
        let Content::Streams(bytes) = &mut self.content else { return Ok(()) };
        memory::reserve_growing(bytes, stream.len())?;
        let (offset, length) = (bytes.len() as u64, stream.len() as u64);
        self.boxes.extend(places.iter().map(|&(start, count)| BoxRow { start, count, offset, length }));
        bytes.extend_from_slice(stream);
        Ok(())
    }
}

/// What a put begins with.
fn no_streams() -> Content {
    Content::Streams(Vec::new())
}

/// How a session encodes.
pub(crate) struct EncoderSettings {
    /// None where no field needs one.
    pub model: Option<Arc<Model>>,
    /// Whether fields are predicted from one another.
    pub inter_field: bool,
}

impl Encoder {
    pub(crate) fn new(settings: EncoderSettings, pool: DevicePool, written: Arc<Mutex<Written>>) -> Self {
        let EncoderSettings { model, inter_field } = settings;
        Self { model, pool, inter_field, histories: BTreeMap::new(), written }
    }

    /// Encodes boxes into one stream, or, where a mode has streams of one box only, into one each.
    pub(crate) fn encode<T: Element>(
        &mut self,
        step: &mut Step,
        info: &FieldInfo,
        compression: &Compression,
        boxes: &[Placed<'_, T>],
    ) -> Result<()> {
        let begun = Instant::now();
        self.forget_repeated(step);
        // A rank without a box has put the field all the same.
        step.put_of(info, no_streams)?;
        for job in self.jobs(info, compression, boxes, None) {
            let encoded = self.pool.once(|device| job.encode(device, self.model.as_deref()));
            self.keep(step, encoded)?;
        }
        lock(&self.written).encoding += begun.elapsed();
        Ok(())
    }

    /// Before the first boxes of a step that replaces the last one: that is not in the file then.
    fn forget_repeated(&mut self, step: &mut Step) {
        if std::mem::replace(&mut step.forgets_last, false) {
            self.histories.clear();
        }
    }

    /// The streams that boxes make.
    fn jobs<'a, T: Element>(
        &mut self,
        info: &'a FieldInfo,
        compression: &'a Compression,
        boxes: &[Placed<'a, T>],
        range: Option<ValueRange>,
    ) -> Vec<Job<'a, T>> {
        let boxes_per_stream =
            if matches!(compression.mode, Mode::Latent(_)) { 1 } else { boxes.len().max(1) };
        let job = |boxes: &[Placed<'a, T>]| {
            let mut job = Job { number: 0, info, compression, boxes: boxes.to_vec(), range, history: None };
            let interval = compression.keyframe_interval;
            if compression.bound().is_some() && interval > 1 {
                let known = self.histories.remove(&(info.name.clone(), job.places()));
                job.history = Some(known.unwrap_or_else(|| History::new(interval)));
            }
            job
        };
        boxes.chunks(boxes_per_stream).map(job).collect()
    }

    /// Puts a stream behind those of its field.
    fn keep<T: Element>(&mut self, step: &mut Step, encoded: Encoded<'_, T>) -> Result<()> {
        let Encoded { job, stream } = encoded;
        let places = job.places();
        step.put_of(job.info, no_streams)?.add_stream(&places, &stream?)?;
        if let Some(history) = job.history {
            self.histories.insert((job.info.name.clone(), places), history);
        }
        Ok(())
    }

    /// Encodes the copies of a step whose bounds need no range.
    pub(crate) fn encode_rangeless(&mut self, step: &mut Step) {
        self.forget_repeated(step);
        let copies = std::mem::take(&mut step.copies);
        let (later, now) = copies.into_iter().partition(|copied| needs_range(&copied.compression));
        step.copies = later;
        self.encode_copies(step, now);
    }

    /// Encodes all copies of a step, whose ranges are known.
    pub(crate) fn encode_rest(&mut self, step: &mut Step) {
        self.forget_repeated(step);
        let copies = std::mem::take(&mut step.copies);
        self.encode_copies(step, copies);
    }

    /// Encodes copies, on all devices. What goes wrong fails the step, even a panic: the other
    /// ranks wait for this one in the exchange.
    fn encode_copies(&mut self, step: &mut Step, copies: Vec<Copied>) {
        let begun = Instant::now();
        // Boxes of one field follow one another in the order of the puts.
        let (floats, doubles): (Vec<_>, Vec<_>) =
            copies.into_iter().partition(|copied| copied.info.dtype == Dtype::F32);
        for (dtype, copies) in [(Dtype::F32, floats), (Dtype::F64, doubles)] {
            let encode = || match dtype {
                Dtype::F32 => self.encode_all::<f32>(step, &copies),
                Dtype::F64 => self.encode_all::<f64>(step, &copies),
            };
            if let Err(e) = caught(encode).unwrap_or_else(|text| Err(Error::Internal(text))) {
                step.fail(e);
            }
        }
        lock(&self.written).encoding += begun.elapsed();
    }

    fn encode_all<T: Element>(&mut self, step: &mut Step, copies: &[Copied]) -> Result<()> {
        let mut jobs = Vec::new();
        for Copied { info, compression, range, boxes } in copies {
            step.put_of(info, no_streams)?;
            let range = step.range(&info.name, *range);
            let views = boxes.iter().filter_map(|(start, field)| Some((*start, field.as_array::<T>()?)));
            let views = views.map(|(start, array)| Ok((start, FieldView::of_array(array)?)));
            jobs.extend(self.jobs(info, compression, &views.collect::<Result<Vec<_>>>()?, range));
        }
        jobs.iter_mut().enumerate().for_each(|(number, job)| job.number = number);
        let groups = groups(jobs, self.inter_field);
        let size = |group: &Vec<Job<'_, T>>| group.iter().map(Job::points).sum();
        let model = self.model.clone();
        let encode = |device: &Device, group| encode_group(device, group, model.as_deref());
        let mut encoded: Vec<_> = self.pool.each(groups, size, encode).into_iter().flatten().collect();
        encoded.sort_by_key(|encoded| encoded.job.number);
        encoded.into_iter().try_for_each(|encoded| self.keep(step, encoded))
    }

    /// Takes note of the outcome of a step: the next one is predicted only from what is in the
    /// file.
    pub(crate) fn settle(&mut self, outcome: &Result<ValidatedStep>) {
        let Ok(fields) = outcome else { return self.histories.clear() };
        // Boxes that were not put again with their field are gone, as after a regrid; none will be
        // predicted from them.
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
