//! `swae compress` of runs: the steps of files, fields and levels, into one `.h5` or `.bp`.
//!
//! A field of the whole grid becomes one box, whatever boxes its ranks wrote; the boxes of a level
//! share a stream.

use crate::selection::Selection;
use crate::summary::Summary;
use anyhow::{Result, bail};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use swae_codec::config::Mode;
use swae_codec::encode::{Bounded, Method, compress_boxes};
use swae_codec::group::{Coded, GroupField, compress_groups};
use swae_codec::history::History;
use swae_codec::predict::PredictorSet;
use swae_codec::{Compression, Dtype, Element, Field, FieldView, Model, Models};
use swae_store::{
    BoxRow, Boxes, Decoder, FieldInfo, FieldPart, NewRun, Reader, StepInfo, create_run, find, open,
};

/// How a run is compressed.
pub struct Transcoding<'a> {
    /// How each field is.
    pub compression: &'a Compression,
    /// Of latents, or one more predictor.
    pub model: Option<&'a Arc<Model>>,
    /// What the mode decision chooses from.
    pub predictors: PredictorSet,
    /// Steps of a group.
    pub group: usize,
    /// Whether fields are predicted from one another.
    pub inter_field: bool,
}

/// What was written.
#[derive(Default)]
pub struct Written {
    /// Steps.
    pub steps: usize,
    /// Values.
    pub values: u64,
    /// Bytes of them.
    pub raw: u64,
    /// What encoding within a bound reports.
    pub summary: Summary,
}

/// Compresses the selected steps and fields of some files, which follow one another in time.
///
/// # Errors
/// Where the files have no order, hold nothing that is selected, or cannot be read; where a field cannot
/// be compressed in this way; where the output cannot be written.
pub fn transcode(
    inputs: &[PathBuf],
    selection: &Selection,
    output: &Path,
    how: &Transcoding<'_>,
) -> Result<Written> {
    let same = |input: &&PathBuf| {
        input.canonicalize().is_ok_and(|from| output.canonicalize().is_ok_and(|to| from == to))
    };
    if let Some(input) = inputs.iter().find(same) {
        bail!("{}: input and output are the same file", input.display());
    }
    let timelines = timelines(inputs)?;
    let mut run = RunEncoder {
        how,
        file: create_run(output)?,
        histories: BTreeMap::new(),
        held: Vec::new(),
        written: Written::default(),
    };
    let all: Vec<_> = timelines.iter().flatten().map(|(number, _)| *number).collect();
    let selected = selection.numbers(&all);
    if selected.is_empty() {
        let have = all.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        bail!("no step is selected; there are {have}");
    }
    let common = common_name(inputs);
    let mut names = BTreeSet::new();
    for (input, timeline) in inputs.iter().zip(&timelines) {
        let mut reader = open(input)?;
        let mut decoder = Decoder::remembering();
        for (index, &(number, time)) in timeline.iter().enumerate() {
            if selected.binary_search(&number).is_ok() {
                let mut fields = read_step(reader.as_mut(), &mut decoder, index, selection)?;
                if let ([field], Some(name)) = (&mut fields[..], &common) {
                    field.info.name.clone_from(name);
                }
                names.extend(fields.iter().map(|field| field.info.name.clone()));
                run.take(RunStep { number, time, fields })?;
            }
        }
    }
    if let Some(name) = selection.missing(names.iter().map(String::as_str)).filter(|_| common.is_none()) {
        bail!("no step that is selected has a field '{name}'");
    }
    run.finish()
}

/// The numbers and times of the steps of each file: as the file says, or, where each holds one step of
/// the same number, its place among the files.
fn timelines(inputs: &[PathBuf]) -> Result<Vec<Vec<(i64, f64)>>> {
    let mut timelines = Vec::new();
    for input in inputs {
        let timeline: Vec<_> =
            open(input)?.steps().iter().map(|StepInfo { step, time, .. }| (*step, *time)).collect();
        timelines.push(timeline);
    }
    if timelines.concat().is_sorted_by(|(before, _), (next, _)| before < next) {
        return Ok(timelines);
    }
    let numbers: BTreeSet<_> = timelines.iter().flatten().map(|(number, _)| number).collect();
    if timelines.iter().all(|timeline| timeline.len() == 1) && numbers.len() == 1 {
        return Ok((0..timelines.len()).map(|place| vec![(place as i64, place as f64)]).collect());
    }
    let last = |timeline: &Vec<(i64, f64)>| timeline.last().map(|(number, _)| *number);
    let first = |timeline: &Vec<(i64, f64)>| timeline.first().map(|(number, _)| *number);
    let wrong = (1..inputs.len()).find(|&i| first(&timelines[i]) <= last(&timelines[i - 1])).unwrap_or(0);
    bail!("{}: its steps do not come after those of the files before it", inputs[wrong].display())
}

/// The name of the field that several arrays are steps of: what their files' names begin with. One array,
/// or fields that have names of their own, need none.
fn common_name(inputs: &[PathBuf]) -> Option<String> {
    let is_array = |input: &PathBuf| input.extension().is_some_and(|ending| ending == "npy");
    let (first, others) = inputs.split_first().filter(|(_, others)| !others.is_empty())?;
    if !inputs.iter().all(is_array) {
        return None;
    }
    let stem = |input: &PathBuf| input.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let mut name = stem(first);
    let is_common = |name: &str| others.iter().all(|other| stem(other).starts_with(name));
    let are_numbered = !is_common(&name);
    while !is_common(&name) {
        name.pop();
    }
    if are_numbered {
        name.truncate(name.trim_end_matches(|c: char| c.is_ascii_digit() || "_-.".contains(c)).len());
    }
    Some(if name.is_empty() { "field".into() } else { name })
}

/// The boxes of a field, each with its first point.
struct RunField {
    info: FieldInfo,
    boxes: Vec<([usize; 3], Field)>,
}

impl RunField {
    fn places(&self) -> Boxes {
        self.boxes.iter().map(|(start, field)| (*start, field.count())).collect()
    }

    fn values(&self) -> u64 {
        self.boxes.iter().map(|(_, field)| field.count().iter().product::<usize>() as u64).sum()
    }

    fn views<T: Element>(&self) -> Result<Vec<FieldView<'_, T>>> {
        let arrays = self.boxes.iter().filter_map(|(_, field)| field.as_array::<T>());
        arrays.map(|array| Ok(FieldView::of_array(array)?)).collect()
    }
}

struct RunStep {
    number: i64,
    time: f64,
    fields: Vec<RunField>,
}

/// What steps of a group have in common.
type Signature = Vec<(String, Dtype, Boxes)>;

impl RunStep {
    fn signature(&self) -> Signature {
        self.fields.iter().map(|f| (f.info.name.clone(), f.info.dtype, f.places())).collect()
    }
}

fn read_step(
    reader: &mut dyn Reader,
    decoder: &mut Decoder,
    index: usize,
    selection: &Selection,
) -> Result<Vec<RunField>> {
    let names = reader.steps()[index].fields.iter().map(|(info, _)| info.name.clone());
    let names: Vec<_> = names.filter(|name| selection.has_field(name)).collect();
    let read = |name: &String| {
        let info = find(reader, index, name)?;
        let mut boxes = decoder.read_boxes(reader, index, name)?;
        boxes.retain(|(_, field)| !field.count().contains(&0));
        boxes.sort_by_key(|(start, _)| [start[2], start[1], start[0]]);
        Ok(RunField { info, boxes })
    };
    names.iter().map(read).collect()
}

/// The streams of a field of a step, and its boxes in them.
type FieldStreams = (Vec<BoxRow>, Vec<u8>);

struct RunEncoder<'a> {
    how: &'a Transcoding<'a>,
    file: NewRun,
    /// Of the boxes of each field in the last step.
    histories: BTreeMap<(String, Boxes), History>,
    /// Steps of a group that is not whole.
    held: Vec<RunStep>,
    written: Written,
}

impl RunEncoder<'_> {
    fn take(&mut self, step: RunStep) -> Result<()> {
        // Before boxes change, a group ends.
        if self.held.first().is_some_and(|held| held.signature() != step.signature()) {
            self.write_held()?;
        }
        self.held.push(step);
        let is_first = self.histories.is_empty();
        if is_first || self.held.len() >= self.how.group { self.write_held() } else { Ok(()) }
    }

    fn write_held(&mut self) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let streams = match Method::new(self.how.compression, self.how.model.map(|model| &**model))? {
            Method::Bounded(settings) => self.bounded(&held, &settings)?,
            method => boxes_one_by_one(&held, method)?,
        };
        let models: Vec<_> =
            self.how.model.filter(|m| !Models::is_built_in(m.id())).into_iter().cloned().collect();
        for (step, streams) in held.iter().zip(streams) {
            let infos: Vec<_> = step.fields.iter().map(|field| self.info(&field.info)).collect();
            let parts = infos.iter().zip(&streams);
            let parts: Vec<_> =
                parts.map(|(info, (rows, bytes))| FieldPart::alone(info, rows.clone(), bytes)).collect();
            self.file.write_step(step.number, step.time, &parts, &models)?;
            self.written.steps += 1;
            for field in &step.fields {
                self.written.values += field.values();
                self.written.raw += field.values() * field.info.dtype.size() as u64;
            }
        }
        Ok(())
    }

    /// What the output says of a field.
    fn info(&self, info: &FieldInfo) -> FieldInfo {
        let encoding = match (self.how.compression.mode, self.how.model) {
            (Mode::Latent(coding), Some(model)) => {
                format!("latent {} {}", model.metadata.name, coding.name())
            }
            (Mode::Bounded(bound), _) => bound.to_string(),
            _ => "raw".into(),
        };
        FieldInfo { encoding, ..info.clone() }
    }

    /// All boxes of a field in one stream, within a bound.
    fn bounded(&mut self, held: &[RunStep], settings: &Bounded<'_>) -> Result<Vec<Vec<FieldStreams>>> {
        let mut out: Vec<Vec<FieldStreams>> = Vec::new();
        for step in held {
            out.push(step.fields.iter().map(|_| FieldStreams::default()).collect());
        }
        let settings = Bounded { predictors: self.how.predictors, ..*settings };
        let mut before = std::mem::take(&mut self.histories);
        for set in self.sets(held) {
            let places = held[0].fields[set[0]].places();
            if places.is_empty() {
                continue;
            }
            let name = |field: usize| held[0].fields[field].info.name.clone();
            let new = || History::new(self.how.compression.keyframe_interval);
            let key = |field: usize| (name(field), places.clone());
            let mut histories: Vec<_> =
                set.iter().map(|&field| before.remove(&key(field)).unwrap_or_else(new)).collect();
            let coded = match held[0].fields[set[0]].info.dtype {
                Dtype::F32 => encode::<f32>(held, settings, &set, &mut histories),
                Dtype::F64 => encode::<f64>(held, settings, &set, &mut histories),
            }?;
            for (step, coded) in out.iter_mut().zip(coded) {
                for (&field, (stream, report)) in set.iter().zip(coded) {
                    self.written.summary.add(&report);
                    let row =
                        |&(start, count)| BoxRow { start, count, offset: 0, length: stream.len() as u64 };
                    step[field] = (places.iter().map(row).collect(), stream);
                }
            }
            self.histories.extend(set.iter().map(|&field| key(field)).zip(histories));
        }
        Ok(out)
    }

    /// Fields that are encoded together: those of the same boxes, where they predict one another.
    fn sets(&self, held: &[RunStep]) -> Vec<Vec<usize>> {
        let Some(step) = held.first() else { return Vec::new() };
        if !self.how.inter_field {
            return (0..step.fields.len()).map(|field| vec![field]).collect();
        }
        let mut sets = BTreeMap::<_, Vec<usize>>::new();
        for (number, field) in step.fields.iter().enumerate() {
            sets.entry((field.info.dtype.size(), field.places())).or_default().push(number);
        }
        sets.into_values().collect()
    }

    fn finish(mut self) -> Result<Written> {
        self.write_held()?;
        self.file.finish()?;
        Ok(self.written)
    }
}

/// Encodes some fields of steps within a bound, which have the same boxes: gives for each step their
/// streams. The range of a field is that of its level.
fn encode<T: Element>(
    steps: &[RunStep],
    settings: Bounded<'_>,
    set: &[usize],
    histories: &mut [History],
) -> Result<Vec<Vec<Coded>>> {
    let mut views = Vec::new();
    for &field in set {
        let of_steps = steps.iter().map(|step| step.fields[field].views::<T>());
        views.push(of_steps.collect::<Result<Vec<_>>>()?);
    }
    let fields = set.iter().zip(&views).zip(histories).map(|((&field, views), history)| {
        let steps_of_field = views.iter().map(|views| (&views[..], settings)).collect();
        GroupField { name: &steps[0].fields[field].info.name, steps: steps_of_field, history }
    });
    Ok(compress_groups(fields.collect())?)
}

/// Encodes each box by itself.
fn boxes_one_by_one(steps: &[RunStep], method: Method<'_>) -> Result<Vec<Vec<FieldStreams>>> {
    let field = |field: &RunField| {
        let (mut rows, mut bytes) = (Vec::new(), Vec::new());
        for (start, values) in &field.boxes {
            let stream = match values {
                Field::F32(a) => compress_boxes(&[FieldView::of_array(a)?], method),
                Field::F64(a) => compress_boxes(&[FieldView::of_array(a)?], method),
            }?;
            let (offset, length) = (bytes.len() as u64, stream.len() as u64);
            rows.push(BoxRow { start: *start, count: values.count(), offset, length });
            bytes.extend(stream);
        }
        Ok((rows, bytes))
    };
    steps.iter().map(|step| step.fields.iter().map(field).collect()).collect()
}
