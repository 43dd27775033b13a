//! A session: one output, step by step.

use crate::agreement::{Part, Report, agree};
use crate::options::{Coding, Options};
use crate::{Error, Result};
use mpi::collective::SystemOperation;
use mpi::ffi::{self, MPI_Comm};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use ndarray::Array3;
use serde::{Serialize, de::DeserializeOwned};
use std::collections::{BTreeMap, BTreeSet};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use swae_codec::{
    Bounded, Dtype, Field, FieldView, History, Mode, Model, Models, Remembered, Spread, compress_bounded,
    compress_boxes,
};
use swae_store::{BoxRow, Boxes, FieldInfo, FieldPart, Writer};

/// A field's grid, or one level of it. All triples are `[x, y, z]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Level of refinement; the field of a level above 0 is called `name@level` in the file.
    pub level: u32,
    /// Whether boxes need not cover the grid; above level 0 they never need.
    pub partial: bool,
    /// Points of the whole grid.
    pub shape: [usize; 3],
    /// Coordinates of the grid's point 0.
    pub origin: [f64; 3],
    /// Distance between points.
    pub spacing: [f64; 3],
}

/// A box of values, and the point of the grid where it begins.
pub type Placed<'a, T> = ([usize; 3], FieldView<'a, T>);

/// A rank's boxes of one field of the step.
struct Put {
    info: FieldInfo,
    boxes: Vec<BoxRow>,
    bytes: Vec<u8>,
}

/// Boxes whose bound is not known before all ranks have told the range of theirs: their values, until then.
struct Waiting {
    info: FieldInfo,
    coding: Coding,
    boxes: Vec<([usize; 3], Field)>,
}

/// Boxes of a field that share a stream: as long as they are put in every step, they lean on themselves.
type StreamId = (String, Boxes);

struct Step {
    step: i64,
    time: f64,
    failure: Option<Error>,
    /// In the order of the puts.
    puts: Vec<Put>,
    waiting: Vec<Waiting>,
}

impl Step {
    fn new(step: i64, time: f64, failure: Option<Error>) -> Self {
        Self { step, time, failure, puts: Vec::new(), waiting: Vec::new() }
    }
}

fn widen(ranges: &mut BTreeMap<String, Spread>, name: String, range: Spread) {
    let entry = ranges.entry(name).or_insert(Spread::EMPTY);
    *entry = entry.and(range);
}

/// One output of a simulation, open on every rank of a communicator.
///
/// `open`, `begin_step`, `end_step` and `close` are collective; `put` is not. After an error the session goes on:
/// a failed step is left out of the file, the steps before and after it are not touched.
pub struct Session {
    comm: ManuallyDrop<SimpleCommunicator>,
    writer: Option<Box<dyn Writer>>,
    options: Options,
    /// None where no field needs one.
    model: Option<Arc<Model>>,
    /// What each stream's next step can lean on.
    histories: BTreeMap<StreamId, History>,
    pool: rayon::ThreadPool,
    step: Option<Step>,
    /// Steps that have begun, this one included.
    begun: u64,
    last_step: Option<i64>,
    /// The fields of the steps before: a field keeps its shape, type and grid.
    known: BTreeMap<String, FieldInfo>,
}

impl Session {
    /// Opens an output; an existing file of this name is replaced. A rank that could not even read its arguments
    /// passes that error, so that the others hear of it instead of waiting.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Model`], [`Error::Io`]; the same on all ranks.
    ///
    /// # Safety
    /// `comm` is a valid communicator of an initialised MPI; it is duplicated, and stays the caller's. The session must be
    /// closed before `MPI_Finalize`.
    pub unsafe fn open(comm: MPI_Comm, arguments: Result<(&Path, &Options)>) -> Result<Self> {
        let mut own = comm;
        // SAFETY: the caller's promise; the duplicate is ours, so the wrapper may free it.
        let comm = unsafe {
            if ffi::MPI_Comm_dup(comm, &mut own) != 0 {
                return Err(Error::Argument("MPI_Comm_dup failed on the communicator".into()));
            }
            SimpleCommunicator::from_raw(own)
        };
        let asked = arguments.as_ref().map_or(0, |(_, options)| options.threads);
        let options =
            arguments.as_ref().map_or_else(|_| Options::default(), |(_, options)| (*options).clone());
        let threads = threads(&comm, asked);
        let prepared = arguments.and_then(|(path, options)| {
            let (model, pool) = prepare(path, options, threads)?;
            Ok((path, model, pool))
        });
        let (path, model, pool) = agreed(&comm, prepared)?;
        // SAFETY: the duplicate lives as long as the session, and the writer is dropped before it.
        let made = unsafe { swae_store::create(path, comm.as_raw()) }.map_err(Error::from);
        let writer = agreed(&comm, made)?;
        Ok(Self {
            comm: ManuallyDrop::new(comm),
            writer: Some(writer),
            options,
            model,
            histories: BTreeMap::new(),
            pool,
            step: None,
            begun: 0,
            last_step: None,
            known: BTreeMap::new(),
        })
    }

    /// Begins a step.
    ///
    /// # Errors
    /// [`Error::State`] inside a step, which goes on; or where the number is not above the last one's: the step is
    /// then begun all the same, for `end_step` to fail on all ranks.
    pub fn begin_step(&mut self, step: i64, time: f64) -> Result<()> {
        if let Some(open) = &self.step {
            return Err(Error::State(format!(
                "step {} has not ended; call end_step before the next",
                open.step
            )));
        }
        let risen = self.last_step.is_none_or(|last| step > last) && step >= 0;
        let failure = (!risen).then(|| {
            Error::State(format!(
                "step {step} does not come after step {}; numbers of steps start at 0 or more and rise",
                self.last_step.map_or("-1".into(), |s| s.to_string())
            ))
        });
        self.begun += 1;
        self.step = Some(Step::new(step, time, failure.clone()));
        failure.map_or(Ok(()), Err)
    }

    /// Hands over boxes of a field on one level; the caller's memory is free again when this returns. They share a stream (in
    /// latent mode each has its own), so small boxes belong in one call; more calls for the same field are allowed. They are
    /// encoded now, or, where the bound depends on the range that the field has on all ranks, copied and encoded when the step
    /// ends. What the options leave out of the file is only checked.
    ///
    /// # Errors
    /// [`Error::State`] outside a step; [`Error::Argument`] where a box does not fit the grid or the field changed.
    /// `end_step` then fails on all ranks.
    pub fn put<T: Remembered>(&mut self, name: &str, grid: &Grid, boxes: &[Placed<'_, T>]) -> Result<()> {
        if self.step.is_none() {
            return Err(Error::State(format!(
                "field '{name}' was put outside a step; call begin_step first"
            )));
        }
        let done = self.take(name, grid, boxes);
        if let (Err(e), Some(step)) = (&done, &mut self.step) {
            step.failure.get_or_insert_with(|| e.clone());
        }
        done
    }

    /// Lets the step fail on all ranks: what the ABI does with a field that it could not even read.
    pub fn fail_step(&mut self, error: Error) {
        if let Some(step) = &mut self.step {
            step.failure.get_or_insert(error);
        }
    }

    fn take<T: Remembered>(&mut self, name: &str, grid: &Grid, boxes: &[Placed<'_, T>]) -> Result<()> {
        let options = self.options.of(name);
        let listed = options.levels.as_ref().is_none_or(|levels| levels.contains(&grid.level));
        let written = listed && (self.begun - 1).is_multiple_of(options.every);
        let coding = options.coding.filter(|_| written);
        let info = self.check(name, grid, boxes, coding)?;
        let Some(coding) = coding else { return Ok(()) };
        if coding.needs_range() {
            let copy = |(start, view): &Placed<'_, T>| {
                let [nx, ny, nz] = view.count();
                let copy = Array3::from_shape_vec((nz, ny, nx), view.values().collect());
                (*start, T::field(copy.expect("a view has as many values as its shape says")))
            };
            let waiting = Waiting { info, coding, boxes: boxes.iter().map(copy).collect() };
            self.step.as_mut().expect("put checks for a step").waiting.push(waiting);
            return Ok(());
        }
        self.encode(&info, coding, boxes, None)
    }

    /// Encodes boxes into one stream, or, where a mode has streams of one box only, into one each.
    fn encode<T: Remembered>(
        &mut self,
        info: &FieldInfo,
        coding: Coding,
        boxes: &[Placed<'_, T>],
        range: Option<Spread>,
    ) -> Result<()> {
        // A rank without a box has put the field all the same.
        self.part_of(info)?;
        let some = if matches!(coding, Coding::Latent(_)) { 1 } else { boxes.len().max(1) };
        boxes.chunks(some).try_for_each(|boxes| self.encode_stream(info, coding, boxes, range))
    }

    fn encode_stream<T: Remembered>(
        &mut self,
        info: &FieldInfo,
        coding: Coding,
        boxes: &[Placed<'_, T>],
        range: Option<Spread>,
    ) -> Result<()> {
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
        let put = self.part_of(info)?;
        let (offset, length) = (put.bytes.len() as u64, bytes.len() as u64);
        put.boxes.extend(places.into_iter().map(|(start, count)| BoxRow { start, count, offset, length }));
        put.bytes.extend_from_slice(&bytes);
        Ok(())
    }

    /// This rank's part of a field of the step, to which boxes are added.
    fn part_of(&mut self, info: &FieldInfo) -> Result<&mut Put> {
        let puts = &mut self.step.as_mut().expect("put checks for a step").puts;
        let at = match puts.iter().position(|p| p.info.name == info.name) {
            Some(at) => at,
            None => {
                puts.push(Put { info: info.clone(), boxes: Vec::new(), bytes: Vec::new() });
                puts.len() - 1
            }
        };
        let put = &mut puts[at];
        if &put.info != info {
            return Err(Error::Argument(format!(
                "field '{}': its boxes of one step have different grids",
                info.name
            )));
        }
        Ok(put)
    }

    fn check<T: Remembered>(
        &self,
        name: &str,
        grid: &Grid,
        boxes: &[Placed<'_, T>],
        coding: Option<Coding>,
    ) -> Result<FieldInfo> {
        let wrong = |text: String| Err(Error::Argument(format!("field '{name}': {text}")));
        let allowed = |c: char| c.is_ascii_alphanumeric() || "_-+.".contains(c);
        if name.is_empty() || name.len() > 200 || !name.chars().all(allowed) || name.starts_with('.') {
            return wrong(
                "names have 1 to 200 letters, digits, '_', '-', '+' or '.', and no '.' in front".into(),
            );
        }
        if let Err(e) = swae_codec::check_shape(grid.shape) {
            return wrong(e.to_string());
        }
        for (a, axis) in ["x", "y", "z"].into_iter().enumerate() {
            for (start, view) in boxes {
                let count = view.count();
                if start[a].checked_add(count[a]).is_none_or(|end| end > grid.shape[a]) {
                    return wrong(format!(
                        "along {axis} the box begins at {} and has {} points, but the grid has {}",
                        start[a], count[a], grid.shape[a]
                    ));
                }
            }
            if !grid.origin[a].is_finite() || !grid.spacing[a].is_finite() || grid.spacing[a] == 0.0 {
                return wrong(format!("along {axis} origin or spacing is not a usable number"));
            }
        }
        let info = FieldInfo {
            name: if grid.level == 0 { name.into() } else { format!("{name}@{}", grid.level) },
            dtype: T::DTYPE,
            shape: grid.shape,
            origin: grid.origin,
            spacing: grid.spacing,
            encoding: match (coding, &self.model) {
                (Some(Coding::Latent(coding)), Some(model)) => {
                    format!("latent {} {}", model.metadata.name, coding.name())
                }
                (Some(Coding::Bounded { bound, .. }), _) => bound.to_string(),
                _ => "raw".into(),
            },
            partial: grid.partial || grid.level > 0,
        };
        if coding.is_none() {
            return Ok(info);
        }
        match self.known.get(&info.name) {
            Some(known) if known != &info => wrong(format!(
                "it was {} {:?} in an earlier step, now it is {} {:?} (or its grid moved); use another name",
                known.dtype.name(),
                known.shape,
                info.dtype.name(),
                info.shape
            )),
            _ => Ok(info),
        }
    }

    /// Ends the step: all ranks write it, or, where anything is wrong on any rank, none does.
    ///
    /// # Errors
    /// [`Error::State`] outside a step; [`Error::Disagreement`] where ranks, fields or boxes do not fit together; the
    /// first failed put of any rank; [`Error::Io`]. The same on all ranks.
    pub fn end_step(&mut self) -> Result<()> {
        if self.options.codings().any(Coding::needs_range) {
            let encoded = self.encode_waiting();
            if let (Err(e), Some(step)) = (encoded, &mut self.step) {
                step.failure.get_or_insert(e);
            }
        }
        // A rank without a step takes part all the same: others may be waiting in the exchange.
        let Step { step, time, failure, puts, .. } = self.step.take().unwrap_or_else(|| {
            let failure = Some(Error::State("end_step without begin_step".into()));
            Step::new(-1, 0.0, failure)
        });
        let fields = puts.iter().map(|p| (p.info.clone(), p.boxes.clone())).collect();
        let ended = self.write(step, time, failure, fields, puts);
        if ended.is_err() {
            // Nothing can lean on a step that is not in the file.
            self.histories.clear();
        }
        ended
    }

    /// Encodes the boxes that waited for the range of their fields. Collective.
    fn encode_waiting(&mut self) -> Result<()> {
        let waiting = self.step.as_mut().map_or_else(Vec::new, |s| std::mem::take(&mut s.waiting));
        let mut ranges = BTreeMap::new();
        for Waiting { info, boxes, .. } in &waiting {
            for (_, field) in boxes {
                let range = match field {
                    Field::F32(a) => FieldView::of_array(a).map(|v| Spread::of(&v)),
                    Field::F64(a) => FieldView::of_array(a).map(|v| Spread::of(&v)),
                };
                // A copy is contiguous; whatever happens, the others wait for this rank in the exchange.
                widen(&mut ranges, base_name(&info.name).into(), range.unwrap_or(Spread::EMPTY));
            }
        }
        let mut all = BTreeMap::new();
        for (name, range) in exchange(&self.comm, &ranges)?.into_iter().flatten() {
            widen(&mut all, name, range);
        }
        for waiting in waiting {
            let range = all.get(base_name(&waiting.info.name)).copied();
            let done = match waiting.info.dtype {
                Dtype::F32 => self.encode_copies::<f32>(&waiting, range),
                Dtype::F64 => self.encode_copies::<f64>(&waiting, range),
            };
            if let (Err(e), Some(step)) = (done, &mut self.step) {
                step.failure.get_or_insert(e);
            }
        }
        Ok(())
    }

    fn encode_copies<T: Remembered>(&mut self, waiting: &Waiting, range: Option<Spread>) -> Result<()> {
        let views = waiting.boxes.iter().filter_map(|(start, field)| Some((*start, T::array(field)?)));
        let views = views.map(|(start, array)| Ok((start, FieldView::of_array(array)?)));
        let views = views.collect::<Result<Vec<_>>>()?;
        self.encode(&waiting.info, waiting.coding, &views, range)
    }

    fn write(
        &mut self,
        step: i64,
        time: f64,
        failure: Option<Error>,
        fields: Vec<(FieldInfo, Vec<BoxRow>)>,
        puts: Vec<Put>,
    ) -> Result<()> {
        let reports = exchange(&self.comm, &Report { step, time, failure, fields })?;
        let agreed_fields = agree(&reports, self.comm.rank() as usize)?;
        let parts: Vec<FieldPart<'_>> = agreed_fields
            .iter()
            .map(|(info, part)| FieldPart {
                info,
                all_boxes: part.all.0,
                all_bytes: part.all.1,
                first_box: part.before.0,
                boxes: part.boxes.clone(),
                bytes: puts.iter().find(|p| p.info.name == info.name).map_or(&[], |p| &p.bytes),
            })
            .collect();
        let models: Vec<Arc<Model>> = self.model.iter().cloned().collect();
        let writer = self.writer.as_mut().ok_or_else(|| Error::State("the session is closed".into()))?;
        let written = writer.write_step(step, time, &parts, &models).map_err(Error::from);
        self.last_step = Some(step);
        agreed(&self.comm, written)?;
        // One rank's note for readers; the step is whole without it, so no other rank waits for it.
        if let Err(e) = writer.seal() {
            log::warn!("{e}");
        }
        // Boxes that were not put again with their field are gone, as after a regrid; none will lean on them.
        let streams = |(info, part): &(FieldInfo, Part)| {
            let streams = part.boxes.chunk_by(|a, b| a.offset == b.offset);
            let boxes = streams.map(|rows| rows.iter().map(|row| (row.start, row.count)).collect());
            boxes.map(|boxes: Boxes| (info.name.clone(), boxes)).collect::<Vec<_>>()
        };
        let put: BTreeSet<StreamId> = agreed_fields.iter().flat_map(streams).collect();
        let names: BTreeSet<_> = agreed_fields.iter().map(|(info, _)| &info.name).collect();
        self.histories.retain(|id, _| !names.contains(&id.0) || put.contains(id));
        for (info, _) in agreed_fields {
            self.known.entry(info.name.clone()).or_insert(info);
        }
        Ok(())
    }

    /// Closes the output. A step that has not ended is left out.
    ///
    /// # Errors
    /// [`Error::Io`], the same on all ranks; [`Error::State`] after `MPI_Finalize`.
    pub fn close(mut self) -> Result<()> {
        if mpi_is_over() {
            return Err(Error::State("the session was closed after MPI_Finalize; close it before".into()));
        }
        let unfinished = self.step.take();
        let closed = self.writer.take().map_or(Ok(()), |w| w.close().map_err(Error::from));
        agreed(&self.comm, closed)?;
        match unfinished {
            Some(step) => {
                Err(Error::State(format!("step {} had not ended and is not in the file", step.step)))
            }
            None => Ok(()),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if mpi_is_over() {
            // Closing would call MPI, which aborts the program now; the operating system takes what is left.
            std::mem::forget(self.writer.take());
        } else {
            self.writer = None;
            // SAFETY: dropped once, here, after the writer that used it.
            unsafe { ManuallyDrop::drop(&mut self.comm) };
        }
    }
}

/// A field's name without its level: its range is that of all levels.
fn base_name(stored: &str) -> &str {
    stored.split('@').next().unwrap_or(stored)
}

fn mpi_is_over() -> bool {
    let mut finalized = 0;
    // SAFETY: allowed at any time.
    unsafe { ffi::MPI_Finalized(&mut finalized) };
    finalized != 0
}

/// What each rank can do on its own before the file is made.
fn prepare(
    path: &Path,
    options: &Options,
    threads: usize,
) -> Result<(Option<Arc<Model>>, rayon::ThreadPool)> {
    swae_store::check_ending(path)?;
    let folder = match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p.to_owned(),
        _ => PathBuf::from("."),
    };
    if !folder.is_dir() {
        return Err(Error::Io(format!("{}: the folder {} does not exist", path.display(), folder.display())));
    }
    let mut model = None;
    if options.codings().any(|coding| matches!(coding, Coding::Latent(_))) {
        let found = Models::named_or_file(&options.model)?;
        if found.encoder.is_none() {
            return Err(Error::Model(format!(
                "{}: it holds a decoder alone and cannot encode",
                options.model
            )));
        }
        model = Some(found);
    }
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
    Ok((model, pool.map_err(|e| Error::Argument(format!("cannot start {threads} threads: {e}")))?))
}

/// This rank's share of the node's cores. Collective.
fn threads(comm: &SimpleCommunicator, asked: usize) -> usize {
    let node = comm.split_shared(comm.rank());
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if asked > 0 { asked } else { (cores / node.size() as usize).max(1) }
}

/// What all ranks have to say, in rank order: two collectives, however many fields there are.
fn exchange<R: Serialize + DeserializeOwned>(comm: &SimpleCommunicator, report: &R) -> Result<Vec<R>> {
    let internal = |e: postcard::Error| Error::State(format!("a report cannot be sent: {e}"));
    let mine = postcard::to_stdvec(report).map_err(internal)?;
    let mut counts = vec![0i32; comm.size() as usize];
    comm.all_gather_into(&(mine.len() as i32), &mut counts[..]);
    let starts: Vec<i32> = counts
        .iter()
        .scan(0, |at, n| {
            *at += n;
            Some(*at - n)
        })
        .collect();
    let mut all = vec![0u8; counts.iter().map(|&n| n as usize).sum()];
    {
        let mut gathered = mpi::datatype::PartitionMut::new(&mut all[..], &counts[..], &starts[..]);
        comm.all_gather_varcount_into(&mine[..], &mut gathered);
    }
    let report = |(&start, &n): (&i32, &i32)| {
        postcard::from_bytes(&all[start as usize..(start + n) as usize]).map_err(internal)
    };
    starts.iter().zip(&counts).map(report).collect()
}

/// Success only where all ranks succeeded; a rank that did hears of one that did not.
fn agreed<T>(comm: &SimpleCommunicator, outcome: Result<T>) -> Result<T> {
    let (mine, mut worst) = (if outcome.is_err() { comm.rank() } else { i32::MAX }, 0i32);
    comm.all_reduce_into(&mine, &mut worst, SystemOperation::min());
    if worst == i32::MAX {
        return outcome;
    }
    let mut text = match &outcome {
        Err(e) if comm.rank() == worst => postcard::to_stdvec(e).unwrap_or_default(),
        _ => Vec::new(),
    };
    let root = comm.process_at_rank(worst);
    let mut length = text.len() as u64;
    root.broadcast_into(&mut length);
    text.resize(length as usize, 0);
    root.broadcast_into(&mut text[..]);
    let unknown = Error::Io(format!("rank {worst} failed"));
    Err(postcard::from_bytes(&text).unwrap_or(unknown))
}
