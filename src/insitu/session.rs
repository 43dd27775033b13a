//! A session: one output, step by step.

use crate::background::{Coding as CodingStep, Writing, of_step};
use crate::claim::{Claim, folder_of};
use crate::collective::{Ranks, mpi_is_over};
use crate::devices::Crew;
use crate::encoder::{Copied, Encoder, Step};
use crate::options::{Asynchronous, Coding, DEFAULT_MODEL, Layout, Options};
use crate::output::{File, Output, Written, complete, lock, publish, same_as_before};
use crate::turn::Turn;
use crate::{Error, Result};
use mpi::environment::{Threading, threading_support};
use mpi::ffi::MPI_Comm;
use mpi::traits::*;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use swae_codec::predict::mixing::is_mixing_model;
use swae_codec::{Element, FieldView, Model, Models};
use swae_store::FieldInfo;

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

/// What a session has done so far, on this rank.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Statistics {
    /// Steps that are in the file.
    pub steps: u64,
    /// Bytes of the values that were handed over and not left out.
    pub raw_bytes: u64,
    /// Bytes of the streams in the file.
    pub stored_bytes: u64,
    /// Threads that encode.
    pub threads: usize,
    /// Time that the program spent inside the session's functions.
    pub inside: Duration,
    /// Time that encoding took, wherever it ran.
    pub encoding: Duration,
    /// Time that the ranks took to agree, wherever, waiting for one another included.
    pub communication: Duration,
    /// Time that writing took, wherever, waiting for one another included.
    pub writing: Duration,
}

/// One output of a simulation, open on every rank of a communicator.
///
/// `open`, `begin_step`, `end_step` and `close` are collective; `put` is not. After an error the session goes on:
/// a failed step is left out of the file, the steps before and after it are not touched.
pub struct Session {
    options: Options,
    /// How latents are named in files.
    model: Option<Arc<Model>>,
    background: Background,
    encoder: Arc<Mutex<Encoder>>,
    output: Arc<Mutex<Output>>,
    /// Whether the library that writes the file lets one thread in at a time.
    exclusive: bool,
    _claim: Claim,
    written: Arc<Mutex<Written>>,
    step: Option<Step>,
    /// What became of steps in the background, for `end_step` to say once more: programs may look at that alone.
    late: Result<()>,
    /// Steps that have begun, this one included.
    begun: u64,
    /// The last one that was handed to another thread.
    last_sent: Option<i64>,
    raw_bytes: u64,
    inside: Duration,
}

/// Where steps are encoded and written.
enum Background {
    /// Nothing happens behind the program's back.
    None,
    /// A step is encoded between two steps, and written when the next one begins.
    Coding(Option<CodingStep>),
    /// Steps are encoded and written at any time.
    Writing(Writing),
}

impl Session {
    /// Opens an output; an existing file of this name is replaced, or, if the options say so, continued: then its steps before
    /// the first one of this session are kept. A rank that could not even read its arguments
    /// passes that error, so that the others hear of it instead of waiting.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Model`], [`Error::Io`]; the same on all ranks.
    ///
    /// # Safety
    /// `comm` is a valid communicator of an initialised MPI; it is duplicated, and stays the caller's. The session must be
    /// closed before `MPI_Finalize`.
    pub unsafe fn open(comm: MPI_Comm, arguments: Result<(&Path, &Options)>) -> Result<Self> {
        // SAFETY: the caller's promise.
        let ranks = unsafe { Ranks::duplicate(comm)? };
        let options =
            arguments.as_ref().map_or_else(|_| Options::default(), |(_, options)| (*options).clone());
        let node = ranks.of_node();
        let shares = (vec![1; node.size() as usize], node.rank() as usize);
        let same = same(&ranks, &arguments);
        let prepared = arguments.and_then(|(path, options)| {
            if !same {
                return Err(Error::Disagreement("the ranks pass different paths or options".into()));
            }
            let (model, crew) = prepare(path, options, &shares)?;
            Ok((path, model, crew, Claim::of(path)?))
        });
        let (path, model, crew, claim) = ranks.agreed(prepared)?;
        let exclusive = swae_store::is_exclusive(path);
        let turn = exclusive.then(Turn::take);
        turn.iter().for_each(Turn::wait);
        let written = Arc::<Mutex<Written>>::default();
        let there = match options.append {
            true => ranks.told(|| fields_of(path))?,
            false => None,
        };
        let file = match there {
            Some(fields) => {
                lock(&written).fields = fields;
                File::Continued(path.into())
            }
            None => {
                // SAFETY: the duplicate lives as long as the output, and the writer is dropped before it.
                let made = unsafe { swae_store::create(path, ranks.as_raw()) }.map_err(Error::from);
                File::Open(ranks.agreed(made)?)
            }
        };
        lock(&written).threads = crew.threads();
        let raw = options.layout == Layout::Datasets;
        let encoder =
            Arc::new(Mutex::new(Encoder::new(model.clone(), crew, (raw, options.couple), written.clone())));
        let models = model.iter().cloned().collect();
        let second = match options.asynchronous {
            // SAFETY: it is ours, and valid.
            Asynchronous::Writing if allows_threads(&ranks) => {
                Some(unsafe { Ranks::duplicate(ranks.as_raw())? })
            }
            _ => None,
        };
        let output = Output::new(ranks, node, (file, exclusive), models, options.clone(), written.clone());
        let output = Arc::new(Mutex::new(output));
        let background = match (options.asynchronous, second) {
            (Asynchronous::Off, _) => Background::None,
            (_, Some(ranks)) => Background::Writing(Writing::start(ranks, encoder.clone(), output.clone())),
            _ => Background::Coding(None),
        };
        Ok(Self {
            options,
            model,
            background,
            encoder,
            output,
            exclusive,
            _claim: claim,
            written,
            step: None,
            late: Ok(()),
            begun: 0,
            last_sent: None,
            raw_bytes: 0,
            inside: Duration::ZERO,
        })
    }

    /// Runs a call, and counts its time.
    fn timed<T>(&mut self, call: impl FnOnce(&mut Self) -> T) -> T {
        let begun = Instant::now();
        let outcome = call(self);
        self.inside += begun.elapsed();
        outcome
    }

    /// Begins a step.
    ///
    /// # Errors
    /// [`Error::State`] inside a step, which goes on. In two cases the step is begun all the same: where its number is not
    /// above the last one's, [`Error::State`], and `end_step` fails on all ranks; where an earlier step that went on in the
    /// background has failed, its error.
    pub fn begin_step(&mut self, step: i64, time: f64) -> Result<()> {
        self.timed(|session| session.begin(step, time))
    }

    fn begin(&mut self, step: i64, time: f64) -> Result<()> {
        if let Some(open) = &self.step {
            return Err(Error::State(format!(
                "step {} has not ended; call end_step before the next",
                open.number
            )));
        }
        self.late = self.catch_up();
        let last = self.last_sent.max(lock(&self.written).last_step);
        let risen = last.is_none_or(|last| step > last) && step >= 0;
        let failure = (!risen).then(|| {
            Error::State(format!(
                "step {step} does not come after step {}; numbers of steps start at 0 or more and rise",
                last.map_or("-1".into(), |s| s.to_string())
            ))
        });
        self.begun += 1;
        self.step = Some(Step::new(step, time, failure.clone()));
        failure.map_or(self.late.clone(), Err)
    }

    /// Hears of the steps before, and writes what waits for it. Collective, once a step.
    fn catch_up(&mut self) -> Result<()> {
        match &mut self.background {
            Background::None | Background::Coding(None) => Ok(()),
            Background::Coding(coding) => {
                let Some(step) = coding.take().map(CodingStep::finish) else { return Ok(()) };
                of_step(step.number, publish(&self.encoder, &self.output, &step))
            }
            Background::Writing(writing) => writing.news(),
        }
    }

    /// Hands over boxes of a field on one level; the caller's memory is free again when this returns. They share a stream (in
    /// latent mode each has its own), so small boxes belong in one call; more calls for the same field are allowed. They are
    /// encoded now, or copied and encoded later: in the background, or, where the bound depends on the range that the field has
    /// on all ranks, when the step ends. What the options leave out of the file is only checked.
    ///
    /// # Errors
    /// [`Error::State`] outside a step; [`Error::Argument`] where a box does not fit the grid or the field changed.
    /// The step then fails on all ranks.
    pub fn put<T: Element>(&mut self, name: &str, grid: &Grid, boxes: &[Placed<'_, T>]) -> Result<()> {
        self.timed(|session| {
            let Some(mut step) = session.step.take() else {
                return Err(Error::State(format!(
                    "field '{name}' was put outside a step; call begin_step first"
                )));
            };
            let done = session.take(&mut step, name, grid, boxes);
            if let Err(e) = &done {
                step.fail(e.clone());
            }
            session.step = Some(step);
            done
        })
    }

    /// Lets the step fail on all ranks: what the ABI does with a field that it could not even read.
    pub fn fail_step(&mut self, error: Error) {
        if let Some(step) = &mut self.step {
            step.fail(error);
        }
    }

    fn take<T: Element>(
        &mut self,
        step: &mut Step,
        name: &str,
        grid: &Grid,
        boxes: &[Placed<'_, T>],
    ) -> Result<()> {
        let options = self.options.of(name);
        let listed = options.levels.as_ref().is_none_or(|levels| levels.contains(&grid.level));
        let written = listed && (self.begun - 1).is_multiple_of(options.every);
        let coding = options.coding.filter(|_| written);
        let info = self.check(name, grid, boxes, coding)?;
        let Some(coding) = coding else { return Ok(()) };
        let points: usize = boxes.iter().map(|(_, view)| view.count().iter().product::<usize>()).sum();
        let bytes = points * size_of::<T>();
        self.raw_bytes += bytes as u64;
        let waits = coding.needs_range() || self.options.couple && matches!(coding, Coding::Bounded { .. });
        let room = match &mut self.background {
            Background::None => waits,
            Background::Coding(_) => step.copied() + bytes <= self.options.memory,
            Background::Writing(writing) => writing.make_room(step.copied() + bytes, self.options.memory),
        };
        if waits || room {
            step.copies.push(Copied::new(info, coding, boxes));
            return Ok(());
        }
        // No step is on its way now. What was put before comes first.
        let mut encoder = lock(&self.encoder);
        encoder.encode_copies(step, false);
        encoder.encode(step, &info, coding, boxes)
    }

    fn check<T: Element>(
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
        if let Err(e) = swae_codec::view::check_shape(grid.shape) {
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
        if coding.is_some() {
            same_as_before(&lock(&self.written).fields, &info)?;
        }
        Ok(info)
    }

    /// Ends the step: all ranks write it, or, where anything is wrong on any rank, none does. In the background that happens
    /// later, and its errors come with the next step, from `begin_step` and once more from here, or from `close`.
    ///
    /// # Errors
    /// [`Error::State`] outside a step; [`Error::Disagreement`] where ranks, fields or boxes do not fit together; the
    /// first failed put of any rank; [`Error::Io`]. The same on all ranks.
    pub fn end_step(&mut self) -> Result<()> {
        self.timed(Self::end)
    }

    fn end(&mut self) -> Result<()> {
        // A rank without a step takes part all the same: others may be waiting in the exchange.
        let mut step = self.step.take().unwrap_or_else(|| {
            let outside = Error::State("end_step without begin_step".into());
            self.late = self.catch_up().and(Err(outside.clone()));
            Step::new(-1, 0.0, Some(outside))
        });
        let late = std::mem::replace(&mut self.late, Ok(()));
        match &mut self.background {
            Background::None => complete(&self.encoder, &self.output, step),
            Background::Coding(coding) => {
                lock(&self.output).range(&mut step);
                *coding = Some(CodingStep::start(self.encoder.clone(), step));
                late
            }
            Background::Writing(writing) => {
                self.last_sent = self.last_sent.max(Some(step.number));
                step.turn = self.exclusive.then(Turn::take);
                writing.take(step);
                late
            }
        }
    }

    /// Waits until all steps that have ended are in the file. Collective, between steps.
    ///
    /// # Errors
    /// [`Error::State`] inside a step; the first error of a step in the background that nobody has been told of.
    pub fn flush(&mut self) -> Result<()> {
        self.timed(|session| {
            if let Some(open) = &session.step {
                return Err(Error::State(format!("step {} has not ended; flush between steps", open.number)));
            }
            if let Background::Writing(writing) = &mut session.background {
                writing.wait();
            }
            session.catch_up()
        })
    }

    /// What has been done so far.
    pub fn statistics(&self) -> Statistics {
        let written = lock(&self.written);
        Statistics {
            steps: written.steps,
            raw_bytes: self.raw_bytes,
            stored_bytes: written.bytes,
            threads: written.threads,
            inside: self.inside,
            encoding: written.encoding,
            communication: written.communication,
            writing: written.writing,
        }
    }

    /// Closes the output. A step that has not ended is left out.
    ///
    /// # Errors
    /// [`Error::Io`], the same on all ranks; [`Error::State`] after `MPI_Finalize`; the error of a step that failed in the
    /// background, and that nobody has been told of.
    pub fn close(mut self) -> Result<()> {
        if mpi_is_over() {
            return Err(Error::State("the session was closed after MPI_Finalize; close it before".into()));
        }
        let unfinished = self.step.take();
        let late = match &mut self.background {
            Background::Writing(writing) => writing.finish(),
            _ => self.catch_up(),
        };
        let closed = lock(&self.output).close();
        late.and(closed)?;
        match unfinished {
            Some(step) => {
                Err(Error::State(format!("step {} had not ended and is not in the file", step.number)))
            }
            None => Ok(()),
        }
    }
}

/// What each rank can do on its own before the file is made.
fn prepare(
    path: &Path,
    options: &Options,
    (loads, at): &(Vec<u64>, usize),
) -> Result<(Option<Arc<Model>>, Crew)> {
    swae_store::check_ending(path)?;
    if options.layout == Layout::Datasets && path.extension().is_some_and(|e| e == "bp") {
        let text = "layout = datasets is one of HDF5; ADIOS2 programs read through the operator plugin";
        return Err(Error::Unsupported(format!("{}: {text}", path.display())));
    }
    let folder = folder_of(path);
    if !folder.is_dir() {
        return Err(Error::Io(format!("{}: the folder {} does not exist", path.display(), folder.display())));
    }
    let mut model = None;
    let latent = options.codings().any(|coding| matches!(coding, Coding::Latent(_)));
    let bounded = options.codings().any(|coding| matches!(coding, Coding::Bounded { .. }));
    // Within a bound, a model takes part where one is asked for.
    if latent || (bounded && options.model != DEFAULT_MODEL) {
        let found = Models::named_or_file(&options.model)?;
        if latent && found.encoder.is_none() {
            return Err(Error::Model(format!(
                "{}: it holds a decoder alone and cannot encode",
                options.model
            )));
        }
        // An autoencoder does nothing for a bound, and need not travel.
        model = Some(found).filter(|m| latent || is_mixing_model(m));
    }
    // Nobody knows yet who has how much to do.
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let encoding = model.clone().filter(|m| m.encoder.is_some());
    let crew = Crew::new(&options.devices, encoding, (cores, options.threads), loads, *at)?;
    Ok((model, crew))
}

/// The fields of a file, if there is one.
fn fields_of(path: &Path) -> Result<Option<BTreeMap<String, FieldInfo>>> {
    if !path.exists() {
        return Ok(None);
    }
    let kept = swae_store::kept(path, i64::MAX)?;
    Ok(Some(kept.fields.into_iter().map(|info| (info.name.clone(), info)).collect()))
}

/// Whether all ranks ask for the same; the threads are each one's own business. Collective.
fn same(ranks: &Ranks, arguments: &Result<(&Path, &Options)>) -> bool {
    let digest = |(path, options): &(&Path, &Options)| {
        let mut digest = DefaultHasher::new();
        (path, format!("{:?}", Options { threads: 0, ..(*options).clone() })).hash(&mut digest);
        (digest.finish() >> 1) as i64
    };
    // A rank that could not read its arguments has an error of its own, which counts more.
    let digest = arguments.as_ref().map(digest);
    let least = ranks.least(digest.as_ref().copied().unwrap_or(i64::MAX));
    let greatest = -ranks.least(digest.map_or(i64::MAX, |d| -d));
    least == greatest
}

/// Whether MPI may be called from other threads, on all ranks. Collective.
fn allows_threads(ranks: &Ranks) -> bool {
    let allowed = ranks.least((threading_support() == Threading::Multiple).into()) == 1;
    if !allowed {
        log::warn!(
            "MPI was initialised without MPI_THREAD_MULTIPLE: steps are encoded in the background, but written in begin_step"
        );
    }
    allowed
}
