//! A session: one output, step by step. The program's calls are here, behind `owner`; what a call does to a step is
//! `encoder`'s and `output`'s, in this thread or in the background.

use crate::background::{Encoding, Writing, of_step};
use crate::collective::mpi_is_over;
use crate::encoder::Encoder;
use crate::file_lock::FileLock;
use crate::lock::lock;
use crate::lock_ticket::LockTicket;
use crate::open::{Opened, open};
use crate::open_files::OpenFileGuard;
use crate::options::{Asynchronous, Options, Repeat, Storage};
use crate::output::Output;
use crate::pipeline::{complete, publish};
use crate::step::{Content, Copied, Grid, Placed, Step, needs_range};
use crate::written::Written;
use crate::{Error, Result};
use mpi::ffi::MPI_Comm;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use swae_codec::config::Mode;
use swae_codec::{Compression, Element, Model};
use swae_filter::panics::caught;
use swae_store::{BoxValues, FieldInfo, check_name, with_level};

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
    /// Time that communication of the ranks took, wherever, waiting for one another included.
    pub communication: Duration,
    /// Time that writing took, wherever, waiting for one another included.
    pub writing: Duration,
    /// What goes on in the background: less than was asked for where MPI does not allow more.
    pub asynchronous: Asynchronous,
}

/// What is open: the calls are described where programs find them, in `owner.rs`.
pub(crate) struct Session {
    options: Options,
    /// How latents are named in files.
    model: Option<Arc<Model>>,
    background: Background,
    encoder: Arc<Mutex<Encoder>>,
    output: Arc<Mutex<Output>>,
    /// Whether the library that writes the file lets one thread in at a time.
    is_exclusive: bool,
    _guard: OpenFileGuard,
    _file_lock: Option<FileLock>,
    written: Arc<Mutex<Written>>,
    step: Option<Step>,
    /// The outcome of steps in the background, for `end_step` to return once more: programs may
    /// check that alone.
    late: Result<()>,
    /// Steps that have begun, this one included.
    begun: u64,
    /// The last one that was handed to another thread.
    last_sent: Option<i64>,
    raw_bytes: u64,
    /// Of those, in the step that has begun last.
    raw_bytes_of_step: u64,
    inside: Duration,
    /// Of the settings of fields, which ones have named none so far.
    is_idle: Vec<bool>,
    /// Whether those were an error already, or none.
    settings_are_checked: bool,
    /// Whether any field was put.
    has_put: bool,
}

/// Where steps are encoded and written.
enum Background {
    /// In the program's calls.
    None,
    /// A step is encoded between two steps, and written when the next one begins.
    Encode(Option<Encoding>),
    /// Steps are encoded and written at any time.
    Write(Writing),
}

impl Session {
    /// # Safety
    /// That of [`crate::Session::open`].
    pub(crate) unsafe fn open(comm: MPI_Comm, arguments: Result<(&Path, &Options)>) -> Result<Self> {
        // SAFETY: the caller's promise.
        let opened = unsafe { open(comm, arguments)? };
        let Opened { options, model, encoder, output, for_calls, is_exclusive, guard, file_lock, written } =
            opened;
        let background = match (options.asynchronous, for_calls) {
            (Asynchronous::Off, _) => Background::None,
            (_, Some(ranks)) => Background::Write(Writing::start(ranks, encoder.clone(), output.clone())?),
            _ => Background::Encode(None),
        };
        Ok(Self {
            is_idle: vec![true; options.fields.len()],
            settings_are_checked: false,
            has_put: false,
            options,
            model,
            background,
            encoder,
            output,
            is_exclusive,
            _guard: guard,
            _file_lock: file_lock,
            written,
            step: None,
            late: Ok(()),
            begun: 0,
            last_sent: None,
            raw_bytes: 0,
            raw_bytes_of_step: 0,
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

    pub(crate) fn begin_step(&mut self, step: i64, time: f64) -> Result<()> {
        self.timed(|session| session.begin(step, time))
    }

    fn begin(&mut self, step: i64, time: f64) -> Result<()> {
        // Collective, also where this rank is inside a step: the others may be right.
        let late = self.catch_up();
        if let Some(open) = &self.step {
            let number = open.number;
            self.late = self.late.clone().and(late);
            return Err(Error::State(format!("step {number} has not ended; call end_step before the next")));
        }
        self.late = late;
        let last = self.last_sent.max(lock(&self.written).last_step);
        let is_again = last == Some(step);
        if let (true, Background::Write(writing)) = (is_again, &mut self.background) {
            writing.wait();
        }
        // All ranks know the same of what was written.
        let (was_tried, is_there) = {
            let written = lock(&self.written);
            (written.last_step == Some(step), written.counts(step))
        };
        let may_repeat = is_again && self.options.repeat != Repeat::Error;
        // One that has failed is not in the file: then this is another try.
        let repeat = (may_repeat && is_there).then_some(self.options.repeat);
        let is_next = (last.is_none_or(|last| step > last) || may_repeat) && step >= 0;
        let failure = (!is_next).then(|| {
            Error::State(format!(
                "step {step} does not come after step {}; numbers of steps start at 0 or more and rise",
                last.map_or("-1".into(), |s| s.to_string())
            ))
        });
        self.begun += u64::from(!was_tried);
        let forgets_last = repeat == Some(Repeat::Replace);
        if forgets_last {
            log::warn!("step {step} is written again: it replaces the one in the file");
            self.raw_bytes -= self.raw_bytes_of_step;
        }
        self.raw_bytes_of_step = 0;
        self.step = Some(Step { repeat, forgets_last, ..Step::new(step, time, failure.clone()) });
        failure.map_or(self.late.clone(), Err)
    }

    /// Takes note of earlier steps, and writes what waits for it. Collective, once a step.
    fn catch_up(&mut self) -> Result<()> {
        match &mut self.background {
            Background::None | Background::Encode(None) => Ok(()),
            Background::Encode(encoding) => {
                let Some(step) = encoding.take().map(Encoding::finish) else { return Ok(()) };
                of_step(step.number, publish(&self.encoder, &self.output, &step))
            }
            Background::Write(writing) => writing.report(),
        }
    }

    pub(crate) fn put<T: Element>(&mut self, name: &str, grid: &Grid, boxes: &[Placed<'_, T>]) -> Result<()> {
        self.timed(|session| {
            let Some(mut step) = session.step.take() else {
                return Err(Error::State(format!(
                    "field '{name}' was put outside a step; call begin_step first"
                )));
            };
            let done = caught(|| session.take(&mut step, name, grid, boxes));
            let done = done.unwrap_or_else(|text| Err(Error::Internal(text)));
            if let Err(e) = &done {
                step.fail(e.clone());
            }
            session.step = Some(step);
            done
        })
    }

    pub(crate) fn fail_step(&mut self, error: Error) {
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
        let options = self.options.of(name, grid.level);
        let range = options.range;
        self.options.naming(name).for_each(|number| self.is_idle[number] = false);
        self.has_put = true;
        let is_listed = options.levels.as_ref().is_none_or(|levels| levels.contains(&grid.level));
        let is_written = is_listed && (self.begun - 1).is_multiple_of(options.every);
        let compression = if is_written { options.compression.clone() } else { None };
        let info = self.check(name, grid, boxes, compression.as_ref())?;
        let compression = compression.filter(|_| step.repeat != Some(Repeat::Skip));
        let Some(compression) = compression else { return Ok(()) };
        let bytes = boxes.iter().map(|(_, view)| view.len()).sum::<usize>() * size_of::<T>();
        self.raw_bytes += bytes as u64;
        self.raw_bytes_of_step += bytes as u64;
        if self.options.storage == Storage::Datasets {
            if let Background::Write(writing) = &mut self.background {
                writing.make_room(step.copied() + bytes, self.options.memory);
            }
            let put = step.put_of(&info, || Content::Values(Vec::new()))?;
            put.add_values(BoxValues::copy_of(boxes)?);
            return Ok(());
        }
        if self.is_copied(step, &compression, bytes) {
            step.copies.push(Copied::new(info, compression, range, boxes)?);
            return Ok(());
        }
        // No step is on its way now. What was put before comes first.
        let mut encoder = lock(&self.encoder);
        encoder.encode_rangeless(step);
        encoder.encode(step, &info, &compression, boxes)
    }

    /// Whether boxes of so many bytes are copied and encoded later. Where steps in the background
    /// hold too many bytes, it waits for them.
    fn is_copied(&mut self, step: &Step, compression: &Compression, bytes: usize) -> bool {
        let waits_for_end =
            needs_range(compression) || self.options.inter_field && compression.bound().is_some();
        let copies = step.copied() + bytes;
        let fits = match &mut self.background {
            Background::None => false,
            Background::Encode(_) => copies <= self.options.memory,
            Background::Write(writing) => writing.make_room(copies, self.options.memory),
        };
        waits_for_end || fits
    }

    /// Checks what is put of a field; gives what the file says of it.
    fn check<T: Element>(
        &self,
        name: &str,
        grid: &Grid,
        boxes: &[Placed<'_, T>],
        compression: Option<&Compression>,
    ) -> Result<FieldInfo> {
        check_put(name, grid, boxes).map_err(|text| Error::Argument(format!("field '{name}': {text}")))?;
        let info = FieldInfo {
            name: with_level(name, grid.level),
            dtype: T::DTYPE,
            shape: grid.shape,
            origin: grid.origin,
            spacing: grid.spacing,
            encoding: match (compression.map(|c| c.mode), &self.model) {
                (Some(Mode::Latent(coding)), Some(model)) => {
                    format!("latent {} {}", model.metadata.name, coding.name())
                }
                (Some(Mode::Bounded(bound)), _) => bound.to_string(),
                _ => "raw".into(),
            },
            partial: grid.partial || grid.level > 0,
        };
        if compression.is_some() {
            lock(&self.written).check(&info)?;
        }
        Ok(info)
    }

    pub(crate) fn end_step(&mut self) -> Result<()> {
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
        if !self.settings_are_checked {
            let idle = self.options.fields.iter().zip(&self.is_idle).filter(|(_, is_idle)| **is_idle);
            step.idle_settings = idle.map(|((pattern, _), _)| pattern.as_str().into()).collect();
            // Once: a program that goes on gets its output.
            self.settings_are_checked = self.has_put;
        }
        match &mut self.background {
            Background::None => complete(&self.encoder, &self.output, step),
            Background::Encode(encoding) => {
                lock(&self.output).gather_ranges(&mut step);
                *encoding = Some(Encoding::start(self.encoder.clone(), step));
                late
            }
            Background::Write(writing) => {
                self.last_sent = self.last_sent.max(Some(step.number));
                step.ticket = self.is_exclusive.then(LockTicket::take);
                writing.take(step);
                late
            }
        }
    }

    pub(crate) fn flush(&mut self) -> Result<()> {
        self.timed(|session| {
            let open = session.step.as_ref().map(|open| open.number);
            let between = open.map_or(Ok(()), |step| {
                Err(Error::State(format!("step {step} has not ended; flush between steps")))
            });
            // The ranks agree before any of them waits for steps of the others.
            match &mut session.background {
                Background::Write(writing) => {
                    writing.validated(between)?;
                    writing.wait();
                }
                _ => lock(&session.output).validated(between)?,
            }
            session.catch_up()
        })
    }

    pub(crate) fn statistics(&self) -> Statistics {
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
            asynchronous: match self.background {
                Background::None => Asynchronous::Off,
                Background::Encode(_) => Asynchronous::Encode,
                Background::Write(_) => Asynchronous::Write,
            },
        }
    }

    pub(crate) fn close(mut self) -> Result<()> {
        if mpi_is_over() {
            return Err(Error::State("the session was closed after MPI_Finalize; close it before".into()));
        }
        let unfinished = self.step.take();
        let late = match &mut self.background {
            Background::Write(writing) => writing.finish(),
            _ => self.catch_up(),
        };
        let ended = unfinished.map_or(Ok(()), |step| {
            Err(Error::State(format!("step {} had not ended and is not in the file", step.number)))
        });
        lock(&self.output).close(late.and(ended))
    }
}

/// Checks a field's name, grid and boxes; says what is wrong with them.
fn check_put<T: Element>(
    name: &str,
    grid: &Grid,
    boxes: &[Placed<'_, T>],
) -> std::result::Result<(), String> {
    check_name(name)?;
    swae_codec::view::check_shape(grid.shape).map_err(|e| e.to_string())?;
    for (a, axis) in ["x", "y", "z"].into_iter().enumerate() {
        for (start, view) in boxes {
            let count = view.count();
            if start[a].checked_add(count[a]).is_none_or(|end| end > grid.shape[a]) {
                return Err(format!(
                    "along {axis} the box begins at {} and has {} points, but the grid has {}",
                    start[a], count[a], grid.shape[a]
                ));
            }
        }
        if !grid.origin[a].is_finite() || !grid.spacing[a].is_finite() || grid.spacing[a] == 0.0 {
            return Err(format!("along {axis} origin or spacing is not a usable number"));
        }
    }
    Ok(())
}
