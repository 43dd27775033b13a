//! What the ranks do together: a step that each has encoded is made one, and written by all or by none.

use crate::agreement::{Agreed, Part, Plan, Report, agree, describe};
use crate::collective::{Ranks, mpi_is_over};
use crate::encoder::{Encoder, Ranges, Step, base_name, widen};
use crate::options::{Coding, Layout, Options};
use crate::turn::Turn;
use crate::{Error, Result};
use mpi::collective::SystemOperation;
use mpi::traits::*;
use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use swae_codec::Model;
use swae_store::{FieldInfo, FieldPart, Writer};

/// What is in the file, for those who prepare what comes next.
#[derive(Default)]
pub(crate) struct Written {
    /// The fields of all steps: a field keeps its shape, type and grid.
    pub fields: BTreeMap<String, FieldInfo>,
    pub last_step: Option<i64>,
    pub steps: u64,
    /// Of this rank.
    pub bytes: u64,
    /// Threads that encode.
    pub threads: usize,
    /// Time that went into encoding, into telling each other, and into writing.
    pub encoding: Duration,
    pub communication: Duration,
    pub writing: Duration,
}

/// The file of a session.
pub(crate) enum File {
    Open(Box<dyn Writer>),
    /// It is there, and its steps before the next one are kept.
    Continued(PathBuf),
    Closed,
}

pub(crate) struct Output {
    ranks: Ranks,
    /// Those of this rank's node.
    node: Ranks,
    /// How much work each of them has in a step, where that has changed.
    loads: Option<Vec<u64>>,
    file: File,
    /// Whether the library that writes it lets one thread in at a time.
    exclusive: bool,
    models: Vec<Arc<Model>>,
    options: Options,
    /// What all ranks have agreed on before, the last first.
    plans: VecDeque<Plan>,
    agreements: i64,
    written: Arc<Mutex<Written>>,
}

/// What two threads share; each leaves it whole, whatever happens to it.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Encodes what is left of a step, and writes it. Collective.
pub(crate) fn complete(encoder: &Mutex<Encoder>, output: &Mutex<Output>, mut step: Step) -> Result<()> {
    lock(output).range(&mut step);
    lock(encoder).encode_copies(&mut step, true);
    publish(encoder, output, &step)
}

/// Writes a step that is encoded. Collective.
pub(crate) fn publish(encoder: &Mutex<Encoder>, output: &Mutex<Output>, step: &Step) -> Result<()> {
    let mut output = lock(output);
    let here = if step.turn.is_none() { output.turn() } else { None };
    here.as_ref().or(step.turn.as_ref()).into_iter().for_each(Turn::wait);
    let outcome = output.publish(step);
    let mut encoder = lock(encoder);
    encoder.settle(&outcome);
    if let Some(loads) = output.loads.take() {
        encoder.crew.share(&loads, output.node.rank() as usize)?;
        lock(&output.written).threads = encoder.crew.threads();
    }
    outcome.map(|_| ())
}

impl Output {
    /// How many sets of fields and boxes are remembered: fields may be put every second or third step only.
    const PLANS: usize = 8;

    pub(crate) fn new(
        ranks: Ranks,
        node: Ranks,
        (file, exclusive): (File, bool),
        models: Vec<Arc<Model>>,
        options: Options,
        written: Arc<Mutex<Written>>,
    ) -> Self {
        let plans = VecDeque::new();
        Self { ranks, node, loads: None, file, exclusive, models, options, plans, agreements: 0, written }
    }

    /// Finds the ranges, on all ranks, of the fields of a step that need one; nothing is said where no field ever does.
    /// Collective.
    pub(crate) fn range(&self, step: &mut Step) {
        if !self.options.codings().any(Coding::needs_range) {
            return;
        }
        let begun = Instant::now();
        let together = |all: Vec<Ranges>| {
            let mut ranges = Ranges::new();
            all.into_iter().flatten().for_each(|(name, range)| widen(&mut ranges, name, range));
            Ok(ranges)
        };
        let ranges = self.ranks.judged(&step.own_ranges(), together);
        lock(&self.written).communication += begun.elapsed();
        match ranges {
            Ok(ranges) => step.ranges = ranges,
            Err(e) => step.fail(e),
        }
    }

    /// Writes a step that is encoded, on all ranks or on none. Collective.
    fn publish(&mut self, step: &Step) -> Result<Agreed> {
        let begun = Instant::now();
        let agreed = self.agree(step);
        lock(&self.written).communication += begun.elapsed();
        let agreed = agreed?;
        let begun = Instant::now();
        let filtered = self.options.layout == Layout::Datasets;
        let filter = |info: &FieldInfo| {
            let name = base_name(&info.name);
            filtered.then(|| self.options.filter(name, step.ranges.get(name).copied()))
        };
        let parts: Vec<FieldPart<'_>> = agreed
            .iter()
            .map(|(info, part)| FieldPart {
                info,
                all_boxes: part.all[0] as usize,
                all_bytes: part.all[1],
                first_box: part.before[0] as usize,
                boxes: part.boxes.clone(),
                bytes: step.puts.iter().find(|p| p.info.name == info.name).map_or(&[], |p| &p.bytes),
                filter: filter(info),
            })
            .collect();
        if let File::Continued(path) = &self.file {
            let kept = self.ranks.told(|| Ok(swae_store::kept(path, step.number)?))?;
            // SAFETY: the communicator is our own, and dropped after the writer.
            let made = unsafe { swae_store::append(path, self.ranks.as_raw(), &kept) };
            self.file = File::Open(self.ranks.agreed(made.map_err(Error::from))?);
        }
        let File::Open(writer) = &mut self.file else {
            return Err(Error::State("the session is closed".into()));
        };
        let room = if self.ranks.rank() == 0 { writer.check_free_space(&parts).map_err(Error::from) } else { Ok(()) };
        self.ranks.agreed(room)?;
        let all = |holds: bool| self.ranks.least(i64::from(holds)) == 1;
        let done = writer.write_step(step.number, step.time, &parts, &self.models, &all).map_err(Error::from);
        lock(&self.written).last_step = Some(step.number);
        let stored = self.ranks.agreed(done)?;
        // One rank's note for readers; the step is whole without it, so no other rank waits for it.
        if let Err(e) = writer.finalise() {
            log::warn!("{e}");
        }
        let mut written = lock(&self.written);
        written.writing += begun.elapsed();
        written.steps += 1;
        written.bytes += stored;
        for (info, _) in &agreed {
            written.fields.entry(info.name.clone()).or_insert_with(|| info.clone());
        }
        drop(written);
        Ok(agreed)
    }

    /// What all ranks agree on, with this rank's part. Where nothing has changed since they last did, as is so in most steps,
    /// each rank's word is enough; else rank 0 looks at what all of them have.
    fn agree(&mut self, step: &Step) -> Result<Agreed> {
        let report = Report::of(step);
        let known = self.plans.iter().find(|plan| plan.report.same_fields(&report));
        let known = known.filter(|_| step.failure.is_none()).map_or(-1, |plan| plan.number);
        let time = step.time.to_bits() as i64;
        // Least and greatest of each at once.
        let mine = [known, !known, step.number, !step.number, time, !time];
        let mut least = mine;
        self.ranks.all_reduce_into(&mine[..], &mut least[..], SystemOperation::min());
        let plan = match self.plans.iter().position(|plan| plan.number == known) {
            Some(at) if least == mine => &self.plans[at],
            _ => {
                let infos = self.ranks.judged(&report, |reports| agree(&reports))?;
                self.check(&infos)?;
                self.plans.push_front(Plan { number: self.agreements, infos, report });
                self.plans.truncate(Self::PLANS);
                self.agreements += 1;
                let work = step.puts.iter().flat_map(|p| &p.boxes);
                let work = work.map(|b| b.count.iter().product::<usize>() as u64).sum::<u64>();
                let mut loads = vec![0; self.node.size() as usize];
                self.node.all_gather_into(&work, &mut loads[..]);
                self.loads = Some(loads);
                &self.plans[0]
            }
        };
        self.parts(step, &plan.infos)
    }

    /// Whether fields are still what they were.
    fn check(&self, infos: &[FieldInfo]) -> Result<()> {
        let written = lock(&self.written);
        infos.iter().try_for_each(|info| same_as_before(&written.fields, info))
    }

    /// Where this rank's boxes and bytes of each field lie among those of all ranks: two collectives, of two numbers a field.
    fn parts(&self, step: &Step, infos: &[FieldInfo]) -> Result<Agreed> {
        let boxes = |info: &FieldInfo| {
            step.puts.iter().find(|p| p.info.name == info.name).map_or(&[][..], |p| &p.boxes[..])
        };
        let mine: Vec<u64> = infos.iter().flat_map(|info| Part::size(boxes(info))).collect();
        let (mut before, mut all) = (vec![0u64; mine.len()], vec![0u64; mine.len()]);
        self.ranks.exclusive_scan_into(&mine[..], &mut before[..], SystemOperation::sum());
        if self.ranks.rank() == 0 {
            // MPI leaves it as it likes.
            before.fill(0);
        }
        self.ranks.all_reduce_into(&mine[..], &mut all[..], SystemOperation::sum());
        let part = |(i, info): (usize, &FieldInfo)| {
            let of = |sizes: &[u64]| [sizes[2 * i], sizes[2 * i + 1]];
            (info.clone(), Part::new(of(&all), of(&before), boxes(info)))
        };
        Ok(infos.iter().enumerate().map(part).collect())
    }

    /// A place among those who use the library that writes the file, where it matters.
    pub(crate) fn turn(&self) -> Option<Turn> {
        self.exclusive.then(Turn::take)
    }

    /// Closes the file. Collective.
    pub(crate) fn close(&mut self) -> Result<()> {
        let turn = self.turn();
        turn.iter().for_each(Turn::wait);
        let closed = match std::mem::replace(&mut self.file, File::Closed) {
            File::Open(writer) => writer.close().map_err(Error::from),
            _ => Ok(()),
        };
        self.ranks.agreed(closed)
    }
}

/// Whether a field is what it was in the steps before.
pub(crate) fn same_as_before(before: &BTreeMap<String, FieldInfo>, info: &FieldInfo) -> Result<()> {
    match before.get(&info.name) {
        Some(known) if known != info => Err(Error::Argument(format!(
            "field '{}': it was {} in an earlier step, now it is {}; use another name",
            info.name,
            describe(known),
            describe(info)
        ))),
        _ => Ok(()),
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if mpi_is_over() {
            // Closing would call MPI, which aborts the program now; the operating system takes what is left.
            std::mem::forget(std::mem::replace(&mut self.file, File::Closed));
        } else {
            // Before the communicator that it uses.
            self.file = File::Closed;
        }
    }
}
