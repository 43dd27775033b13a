//! A session as programs hold it: it belongs to the process that opened it. A forked child has a
//! copy, without the threads, and on no communicator: its calls are errors, and dropping it does
//! nothing.

use crate::session::{Session as OpenSession, Statistics};
use crate::step::{Grid, Placed};
use crate::{Error, Options, Result};
use mpi::ffi::MPI_Comm;
use std::path::Path;
use swae_codec::Element;
use swae_codec::process::Owned;

/// One output of a simulation, open on every rank of a communicator.
///
/// `open`, `begin_step`, `end_step` and `close` are collective; `put` is not. After an error the
/// session goes on: a failed step is left out of the file, the steps before and after it are not
/// touched. In a forked child every call gives [`Error::State`].
pub struct Session(Owned<OpenSession>);

fn elsewhere() -> Error {
    Error::State("the session was opened before this process was forked, and stays its parent's".into())
}

impl Session {
    /// Opens an output; an existing file of this name is replaced, or, if the options say so,
    /// continued: then its steps before the first one of this session are kept. A rank that could
    /// not even read its arguments passes that error, so that the others get it instead of waiting.
    ///
    /// # Errors
    /// [`Error::Unsupported`], [`Error::Model`], [`Error::Io`]; the same on all ranks.
    ///
    /// # Safety
    /// `comm` is a valid communicator of an initialised MPI; it is duplicated, and stays the
    /// caller's. The session must be closed before `MPI_Finalize`.
    pub unsafe fn open(comm: MPI_Comm, arguments: Result<(&Path, &Options)>) -> Result<Self> {
        // SAFETY: the caller's promise.
        unsafe { OpenSession::open(comm, arguments) }.map(|open| Self(Owned::new(open)))
    }

    fn session(&mut self) -> Result<&mut OpenSession> {
        self.0.get_mut().ok_or_else(elsewhere)
    }

    /// Begins a step.
    ///
    /// # Errors
    /// [`Error::State`] inside a step, which goes on. In two cases the step is begun all the same:
    /// where its number is not above the last one's (nor the same, as [`crate::Repeat`] allows),
    /// [`Error::State`], and `end_step` fails on all ranks; where an earlier step that went on in the background has failed, its error.
    pub fn begin_step(&mut self, step: i64, time: f64) -> Result<()> {
        self.session()?.begin_step(step, time)
    }

    /// Hands over boxes of a field on one level; the caller's memory is free again when this
    /// returns. They share a stream (in latent mode each has its own), so small boxes belong in one
    /// call; more calls for the same field are allowed. They are encoded now, or copied and encoded
    /// later: in the background, or, where the bound depends on the range that the field has on all
    /// ranks, when the step ends. What the options leave out of the file is only checked.
    ///
    /// # Errors
    /// [`Error::State`] outside a step; [`Error::Argument`] where a box does not fit the grid or
    /// the field changed; [`Error::Memory`]. The step then fails on all ranks.
    pub fn put<T: Element>(&mut self, name: &str, grid: &Grid, boxes: &[Placed<'_, T>]) -> Result<()> {
        self.session()?.put(name, grid, boxes)
    }

    /// Lets the step fail on all ranks: what the ABI does with a field that it could not even read.
    pub fn fail_step(&mut self, error: Error) {
        if let Ok(session) = self.session() {
            session.fail_step(error);
        }
    }

    /// Ends the step: all ranks write it, or, where anything is wrong on any rank, none does. In
    /// the background that happens later, and its errors come with the next step, from `begin_step`
    /// and once more from here, or from `close`.
    ///
    /// # Errors
    /// [`Error::State`] outside a step; [`Error::Mismatch`] where ranks, fields or boxes do not fit
    /// together; the first failed put of any rank; [`Error::Io`]. The same on all ranks.
    pub fn end_step(&mut self) -> Result<()> {
        self.session()?.end_step()
    }

    /// Waits until all steps that have ended are in the file. Collective, between steps.
    ///
    /// # Errors
    /// [`Error::State`] where a rank is inside a step; the first error of a step in the background
    /// that no call has reported yet. The same on all ranks.
    pub fn flush(&mut self) -> Result<()> {
        self.session()?.flush()
    }

    /// What has been done so far.
    ///
    /// # Errors
    /// [`Error::State`] in a forked child.
    pub fn statistics(&self) -> Result<Statistics> {
        self.0.get().map(OpenSession::statistics).ok_or_else(elsewhere)
    }

    /// Closes the output. A step that has not ended is left out.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::State`] after `MPI_Finalize`, or where a step had not ended on a rank;
    /// the error of a step that failed in the background, and that no call has reported yet. The
    /// same on all ranks.
    pub fn close(self) -> Result<()> {
        self.0.into_inner().ok_or_else(elsewhere)?.close()
    }
}
