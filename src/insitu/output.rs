//! What the ranks do together with a step that each has encoded: it is validated, and written by
//! all or by none. The number of collective operations depends neither on fields nor on boxes. How
//! values are encoded is `encoder`'s.

use crate::collective::{Ranks, mpi_is_over};
use crate::lock::lock;
use crate::lock_ticket::LockTicket;
use crate::options::{Options, Repeat, Storage};
use crate::step::{Content, Put, Ranges, Step, needs_range, widen};
use crate::validation::{Part, Report, ValidatedLayout, ValidatedStep, validate};
use crate::written::Written;
use crate::{Error, Result};
use mpi::collective::SystemOperation;
use mpi::traits::*;
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use swae_codec::Model;
use swae_store::{FieldInfo, FieldPart, Payload, Writer};

/// The file of a session.
pub(crate) enum File {
    Open(Box<dyn Writer>),
    /// It is there, and its steps before the next one are kept.
    Continued(PathBuf),
    /// It is made anew: no step of it is whole.
    Anew(PathBuf),
    Closed,
}

/// The communicators of a session.
pub(crate) struct Communicators {
    /// All ranks.
    pub ranks: Ranks,
    /// Those of this rank's node.
    pub node: Ranks,
}

pub(crate) struct Output {
    communicators: Communicators,
    /// How much work each rank of the node has in a step, where that has changed.
    loads: Option<Vec<u64>>,
    file: File,
    /// Whether the file was there before.
    continues: bool,
    /// Whether the library that writes the file lets one thread in at a time.
    is_exclusive: bool,
    models: Vec<Arc<Model>>,
    options: Options,
    /// Earlier validations, the last first.
    layouts: VecDeque<ValidatedLayout>,
    /// How many validations there were.
    validations: i64,
    written: Arc<Mutex<Written>>,
}

impl Output {
    /// How many sets of fields and boxes are kept: fields may be put every second or third step
    /// only.
    const LAYOUTS: usize = 8;

    pub(crate) fn new(
        communicators: Communicators,
        file: File,
        is_exclusive: bool,
        models: Vec<Arc<Model>>,
        options: Options,
        written: Arc<Mutex<Written>>,
    ) -> Self {
        Self {
            communicators,
            loads: None,
            continues: matches!(file, File::Continued(_)),
            file,
            is_exclusive,
            models,
            options,
            layouts: VecDeque::new(),
            validations: 0,
            written,
        }
    }

    fn ranks(&self) -> &Ranks {
        &self.communicators.ranks
    }

    /// The work of each rank of the node, where it has changed since the last call.
    pub(crate) fn take_loads(&mut self) -> Option<Vec<u64>> {
        self.loads.take()
    }

    pub(crate) fn node_rank(&self) -> usize {
        self.communicators.node.rank() as usize
    }

    pub(crate) fn note_threads(&self, threads: usize) {
        lock(&self.written).threads = threads;
    }

    /// Gathers the ranges, on all ranks, of the fields of a step that need one; not where no field
    /// ever does. Collective.
    pub(crate) fn gather_ranges(&self, step: &mut Step) {
        if !self.options.compressions().any(needs_range) {
            return;
        }
        let begun = Instant::now();
        let compression = |stored: &str| self.options.of_stored(stored).compression.as_ref();
        let union = |all: Vec<Ranges>| {
            let mut ranges = Ranges::new();
            all.into_iter().flatten().for_each(|(name, range)| widen(&mut ranges, name, range));
            Ok(ranges)
        };
        let ranges = self.ranks().gathered(&step.own_ranges(compression), union);
        lock(&self.written).communication += begun.elapsed();
        match ranges {
            Ok(ranges) => step.ranges = ranges,
            Err(e) => step.fail(e),
        }
    }

    /// Writes a step that is encoded, on all ranks or on none. Collective.
    pub(crate) fn publish(&mut self, step: &Step) -> Result<ValidatedStep> {
        let begun = Instant::now();
        let validated = self.validate(step);
        lock(&self.written).communication += begun.elapsed();
        let validated = validated?;
        // Nothing takes the place of something.
        if step.repeat == Some(Repeat::Skip) || step.repeat.is_some() && validated.is_empty() {
            return Ok(validated);
        }
        let begun = Instant::now();
        let stored = self.write(step, &validated)?;
        let mut written = lock(&self.written);
        written.writing += begun.elapsed();
        written.count(step.number, stored);
        for (info, _) in &validated {
            written.fields.entry(info.name.clone()).or_insert_with(|| info.clone());
        }
        drop(written);
        Ok(validated)
    }

    /// Writes a validated step; gives the bytes that this rank answers for. Collective.
    fn write(&mut self, step: &Step, validated: &ValidatedStep) -> Result<u64> {
        if step.repeat.is_some() {
            // Before the last one is taken away.
            self.check_free_space(step, validated)?;
            self.take_last_away()?;
        }
        self.continue_file(step.number)?;
        self.check_free_space(step, validated)?;
        let parts: Vec<_> = validated.iter().map(|(info, part)| self.field_part(step, info, part)).collect();
        let ranks = &self.communicators.ranks;
        let File::Open(writer) = &mut self.file else {
            return Err(Error::State("the session is closed".into()));
        };
        let all = |holds: bool| ranks.reduced_min(i64::from(holds)) == 1;
        let done = writer.write_step(step.number, step.time, &parts, &self.models, &all).map_err(Error::from);
        lock(&self.written).last_step = Some(step.number);
        ranks.validated(done).inspect_err(|_| self.reopen_later())
    }

    /// Checks on rank 0 that a step fits on the disk, where the file is open. Collective.
    fn check_free_space(&self, step: &Step, validated: &ValidatedStep) -> Result<()> {
        let File::Open(writer) = &self.file else { return Ok(()) };
        let parts = validated.iter().map(|(info, part)| self.field_part(step, info, part));
        let space = match self.ranks().rank() {
            0 => writer.check_free_space(&parts.collect::<Vec<_>>()).map_err(Error::from),
            _ => Ok(()),
        };
        self.ranks().validated(space)
    }

    /// What this rank hands to the store of a field.
    fn field_part<'a>(&self, step: &'a Step, info: &'a FieldInfo, part: &Part) -> FieldPart<'a> {
        let content = step.put(&info.name).map(|put| &put.content);
        let payload = match self.options.storage {
            Storage::Streams => Payload::Streams(content.map_or(&[], Content::streams)),
            Storage::Datasets => {
                let range = step.range(&info.name, self.options.of_stored(&info.name).range);
                let compression = self.options.chunk_compression(&info.name, range);
                Payload::Values { copies: content.map_or(&[], Content::values), compression }
            }
        };
        FieldPart {
            info,
            all_boxes: part.all[0] as usize,
            all_bytes: part.all[1],
            first_box: part.before[0] as usize,
            boxes: part.boxes.clone(),
            payload,
        }
    }

    /// Closes the file, to be continued without the last step that was written. Collective.
    fn take_last_away(&mut self) -> Result<()> {
        lock(&self.written).uncount_last();
        let File::Open(writer) = std::mem::replace(&mut self.file, File::Closed) else {
            return Err(Error::State("the session is closed".into()));
        };
        self.file = self.to_be_continued(writer.path().to_owned());
        self.ranks().validated(writer.close().map_err(Error::from))
    }

    /// A file to which the next step is added, once it is known.
    fn to_be_continued(&self, path: PathBuf) -> File {
        let is_empty = lock(&self.written).steps == 0 && !self.continues;
        if is_empty { File::Anew(path) } else { File::Continued(path) }
    }

    /// Lets go of a file to which no step can be added after one has failed; the next step opens it
    /// again.
    fn reopen_later(&mut self) {
        let File::Open(writer) = std::mem::replace(&mut self.file, File::Closed) else { return };
        let path = writer.path().to_owned();
        self.file = match writer.after_failure() {
            Some(writer) => File::Open(writer),
            None => self.to_be_continued(path),
        };
    }

    /// Opens a file that is continued, now that its next step is known. Collective.
    fn continue_file(&mut self, step: i64) -> Result<()> {
        let (ranks, storage) = (&self.communicators.ranks, self.options.storage);
        let made = match &self.file {
            File::Open(_) | File::Closed => return Ok(()),
            File::Continued(path) => {
                let kept = ranks.broadcast(|| Ok(swae_store::kept(path, step)?))?;
                // SAFETY: the communicator is our own, and dropped after the writer.
                unsafe { swae_store::append(path, ranks.as_raw(), &kept, storage) }
            }
            // SAFETY: as above.
            File::Anew(path) => unsafe { swae_store::create(path, ranks.as_raw(), storage) },
        };
        self.file = File::Open(ranks.validated(made.map_err(Error::from))?);
        Ok(())
    }

    /// The fields of a step that all ranks' reports fit to, with this rank's part. Where nothing
    /// has changed since an earlier validation, as is so in most steps, a reduction is enough; else
    /// rank 0 checks what all of them have.
    fn validate(&mut self, step: &Step) -> Result<ValidatedStep> {
        let report = Report::of(step);
        let known = self.layouts.iter().find(|layout| layout.report.same_fields(&report));
        let known = known.filter(|_| step.failure.is_none()).map_or(-1, |layout| layout.number);
        let time = step.time.to_bits() as i64;
        // Minimum and maximum of each at once.
        let mine = [known, !known, step.number, !step.number, time, !time];
        let mut min = mine;
        self.ranks().all_reduce_into(&mine[..], &mut min[..], SystemOperation::min());
        let layout = match self.layouts.iter().position(|layout| layout.number == known) {
            Some(at) if min == mine => &self.layouts[at],
            _ => {
                let infos = self.ranks().gathered(&report, |reports| validate(&reports))?;
                self.check(&infos)?;
                self.gather_loads(step);
                self.layouts.push_front(ValidatedLayout { number: self.validations, infos, report });
                self.layouts.truncate(Self::LAYOUTS);
                self.validations += 1;
                &self.layouts[0]
            }
        };
        self.parts(step, &layout.infos)
    }

    /// Gathers the work of each rank of the node. Collective.
    fn gather_loads(&mut self, step: &Step) {
        let boxes = step.puts.iter().flat_map(|put| &put.boxes);
        let work = boxes.map(|b| b.count.iter().product::<usize>() as u64).sum::<u64>();
        let node = &self.communicators.node;
        let mut loads = vec![0; node.size() as usize];
        node.all_gather_into(&work, &mut loads[..]);
        // A step without any says nothing of the others.
        if loads.iter().any(|load| *load > 0) {
            self.loads = Some(loads);
        }
    }

    /// Checks that fields are still what they were.
    fn check(&self, infos: &[FieldInfo]) -> Result<()> {
        let written = lock(&self.written);
        infos.iter().try_for_each(|info| written.check(info))
    }

    /// Where this rank's boxes and bytes of each field lie among those of all ranks: two
    /// collectives, of two numbers a field.
    fn parts(&self, step: &Step, infos: &[FieldInfo]) -> Result<ValidatedStep> {
        let boxes = |info: &FieldInfo| step.put(&info.name).map_or(&[][..], |put: &Put| &put.boxes[..]);
        let mine: Vec<u64> = infos.iter().flat_map(|info| Part::size(boxes(info))).collect();
        let (mut before, mut all) = (vec![0u64; mine.len()], vec![0u64; mine.len()]);
        self.ranks().exclusive_scan_into(&mine[..], &mut before[..], SystemOperation::sum());
        if self.ranks().rank() == 0 {
            // MPI leaves it undefined there.
            before.fill(0);
        }
        self.ranks().all_reduce_into(&mine[..], &mut all[..], SystemOperation::sum());
        let part = |(i, info): (usize, &FieldInfo)| {
            let of = |sizes: &[u64]| [sizes[2 * i], sizes[2 * i + 1]];
            (info.clone(), Part::new(of(&all), of(&before), boxes(info)))
        };
        Ok(infos.iter().enumerate().map(part).collect())
    }

    /// A ticket for the library that writes the file, where it needs one.
    pub(crate) fn ticket(&self) -> Option<LockTicket> {
        self.is_exclusive.then(LockTicket::take)
    }

    /// Success only where all ranks succeeded. Collective.
    pub(crate) fn validated(&self, outcome: Result<()>) -> Result<()> {
        self.ranks().validated(outcome)
    }

    /// Closes the file, and gives the outcome of what was before, or of that. Collective.
    pub(crate) fn close(&mut self, before: Result<()>) -> Result<()> {
        let ticket = self.ticket();
        ticket.iter().for_each(LockTicket::wait);
        let closed = match std::mem::replace(&mut self.file, File::Closed) {
            File::Open(writer) => writer.close().map_err(Error::from),
            _ => Ok(()),
        };
        self.validated(before.and(closed))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if mpi_is_over() {
            // Closing would call MPI, which aborts the program now; the operating system takes what
            // is left.
            std::mem::forget(std::mem::replace(&mut self.file, File::Closed));
        } else {
            // Before the communicator that it uses.
            self.file = File::Closed;
        }
    }
}
