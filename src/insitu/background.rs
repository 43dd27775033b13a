//! Steps that are encoded, or encoded and written, while the simulation goes on. Threads and their
//! queues are here; what they do with a step is `pipeline`'s.

use crate::collective::{Ranks, mpi_is_over};
use crate::encoder::Encoder;
use crate::lock::lock;
use crate::output::Output;
use crate::pipeline::complete;
use crate::step::Step;
use crate::{Error, Result};
use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{Builder, JoinHandle};
use swae_filter::panics::caught;

/// The encoding of one step.
pub(crate) enum Encoding {
    /// It goes on in another thread.
    Thread(JoinHandle<Step>),
    /// It is done, where there was no thread to be had.
    Done(Step),
}

impl Encoding {
    pub(crate) fn start(encoder: Arc<Mutex<Encoder>>, mut step: Step) -> Self {
        let (hand_over, handed_over) = channel::<Step>();
        let work = {
            let encoder = encoder.clone();
            move || {
                let mut step = handed_over.recv().unwrap_or_else(|_| lost());
                encode(&encoder, &mut step);
                step
            }
        };
        let thread = Builder::new().name("swae encoding".into()).spawn(work);
        match thread {
            Ok(thread) => {
                // The thread waits for it.
                let _ = hand_over.send(step);
                Self::Thread(thread)
            }
            Err(_) => {
                encode(&encoder, &mut step);
                Self::Done(step)
            }
        }
    }

    /// The encoded step, as soon as it is.
    pub(crate) fn finish(self) -> Step {
        match self {
            Self::Thread(thread) => thread.join().unwrap_or_else(|_| lost()),
            Self::Done(step) => step,
        }
    }
}

fn encode(encoder: &Mutex<Encoder>, step: &mut Step) {
    if let Err(text) = caught(|| lock(encoder).encode_rest(step)) {
        step.fail(Error::Internal(text));
    }
}

fn lost() -> Step {
    Step::new(-1, 0.0, Some(Error::Internal("internal error: a step was lost".into())))
}

/// What became of a step.
struct Ended {
    number: i64,
    bytes: usize,
    outcome: Result<()>,
}

/// A thread that encodes and writes one step after the other.
pub(crate) struct Writing {
    steps: Option<Sender<Step>>,
    ended: Receiver<Ended>,
    thread: Option<JoinHandle<()>>,
    /// Of the thread that hands over the steps; the other one has its own.
    ranks: Ranks,
    /// Steps that are on their way, and bytes of their copies.
    pending: usize,
    in_flight: usize,
    /// Steps that have ended, on this rank.
    count: i64,
    /// Outcomes of them that no call has reported yet, the first one first.
    unreported: VecDeque<(i64, Result<()>)>,
}

impl Writing {
    /// Collective.
    ///
    /// # Errors
    /// [`Error::Memory`] where the system refuses a rank the thread; the same on all ranks.
    pub(crate) fn start(
        ranks: Ranks,
        encoder: Arc<Mutex<Encoder>>,
        output: Arc<Mutex<Output>>,
    ) -> Result<Self> {
        let (steps, todo) = channel::<Step>();
        let (done, ended) = channel();
        let work = move || {
            for step in todo {
                let (number, bytes) = (step.number, step.copied());
                let outcome = caught(|| complete(&encoder, &output, step));
                let outcome = outcome.unwrap_or_else(|text| Err(Error::Internal(text)));
                if done.send(Ended { number, bytes, outcome }).is_err() {
                    break;
                }
            }
        };
        let thread = Builder::new().name("swae writing".into()).spawn(work);
        let refused = |e| Error::Memory(format!("the thread that writes cannot be started: {e}"));
        let (thread, started) = match thread.map_err(refused) {
            Ok(thread) => (Some(thread), Ok(())),
            Err(e) => (None, Err(e)),
        };
        let (steps, unreported) = (Some(steps), VecDeque::new());
        // Dropped, it ends the thread.
        let writing = Self { steps, ended, thread, ranks, pending: 0, in_flight: 0, count: 0, unreported };
        writing.ranks.validated(started)?;
        Ok(writing)
    }

    /// Hands a step over.
    pub(crate) fn take(&mut self, step: Step) {
        let (number, bytes) = (step.number, step.copied());
        (self.pending, self.in_flight) = (self.pending + 1, self.in_flight + bytes);
        if self.steps.as_ref().is_none_or(|steps| steps.send(step).is_err()) {
            let outcome = Err(Error::Internal("internal error: the thread that writes is gone".into()));
            self.note(Ended { number, bytes, outcome });
        }
    }

    fn note(&mut self, Ended { number, bytes, outcome }: Ended) {
        (self.pending, self.in_flight) = (self.pending - 1, self.in_flight - bytes);
        self.count += 1;
        self.unreported.push_back((number, outcome));
    }

    /// Waits until so many more bytes fit under the ceiling, or nothing is on its way any more;
    /// says whether they fit.
    pub(crate) fn make_room(&mut self, bytes: usize, ceiling: usize) -> bool {
        while self.in_flight + bytes > ceiling && self.pending > 0 {
            let Ok(ended) = self.ended.recv() else { break };
            self.note(ended);
        }
        bytes <= ceiling
    }

    /// The first error of the steps that have ended on all ranks by now. Collective: every rank
    /// reports the same steps.
    pub(crate) fn report(&mut self) -> Result<()> {
        while let Ok(ended) = self.ended.try_recv() {
            self.note(ended);
        }
        let reported = self.count - self.unreported.len() as i64;
        let everywhere = self.ranks.reduced_min(self.count) - reported;
        first_error(self.unreported.drain(..everywhere.max(0) as usize))
    }

    /// Success only where all ranks succeeded. Collective.
    pub(crate) fn validated(&self, outcome: Result<()>) -> Result<()> {
        self.ranks.validated(outcome)
    }

    /// Waits until nothing is on its way any more.
    pub(crate) fn wait(&mut self) {
        while self.pending > 0 {
            let Ok(ended) = self.ended.recv() else { break };
            self.note(ended);
        }
    }

    /// Waits for the last step. The first error that no call has reported yet.
    pub(crate) fn finish(&mut self) -> Result<()> {
        self.steps = None;
        self.wait();
        let thread = self.thread.take().map_or(Ok(()), JoinHandle::join);
        let lost = |_| Err(Error::Internal("internal error: the thread that writes has died".into()));
        first_error(self.unreported.drain(..)).and(thread.or_else(lost))
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        self.steps = None;
        // After MPI's end the thread may wait for ever.
        if let (Some(thread), false) = (self.thread.take(), mpi_is_over()) {
            let _ = thread.join();
        }
    }
}

/// Of a step that ended in the background: it says which.
pub(crate) fn of_step<T>(number: i64, outcome: Result<T>) -> Result<T> {
    outcome.map_err(|e| e.with(&format!("step {number}")))
}

/// The first error of some steps; what it says ends with the others.
fn first_error(ended: impl Iterator<Item = (i64, Result<()>)>) -> Result<()> {
    let mut failed = ended.filter_map(|(number, outcome)| of_step(number, outcome).err());
    let Some(first) = failed.next() else { return Ok(()) };
    Err(failed.fold(first, |first, later| first.and(&later)))
}
