//! What every store takes from writers: steps, each whole, from all ranks; and what is kept of a
//! file that is continued.

use crate::error::{Result, io};
use crate::free_space;
use crate::step::{FieldInfo, FieldPart, StepInfo};
use mpi_sys::MPI_Comm;
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use swae_codec::Model;

/// What is stored of fields in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// Streams of boxes: the smallest, and steps are predicted from previous ones.
    #[default]
    Streams,
    /// Ordinary datasets behind the HDF5 filter, which every HDF5 program opens that finds the
    /// filter; HDF5 only.
    Datasets,
}

/// A file that takes steps. Every call is collective over the communicator with which the file was
/// created.
pub trait Writer: Send {
    /// Writes a step whole, so that it survives a loss of power, and gives how many of its bytes
    /// this rank counts. `all` says whether something holds on all ranks; each rank calls it as
    /// often as the others. Where a rank fails, readers see nothing of the step, though other ranks
    /// may return without an error.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn write_step(
        &mut self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        models: &[Arc<Model>],
        all: &dyn Fn(bool) -> bool,
    ) -> Result<u64>;

    /// The file.
    fn path(&self) -> &Path;

    /// Checks that the step fits on the disk. One rank calls it before all write, because the I/O
    /// libraries do not survive a full disk.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn check_free_space(&self, fields: &[FieldPart<'_>]) -> Result<()> {
        free_space::reserve(self.path(), fields).map_err(|e| io(self.path(), e))
    }

    /// Called on all ranks where a step has failed on one. Gives the writer back where steps can
    /// follow; else it lets go of the file, which is then continued behind the steps that are whole.
    fn after_failure(self: Box<Self>) -> Option<Box<dyn Writer>>;

    /// Closes the file; what was written is safe when it returns.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io).
    fn close(self: Box<Self>) -> Result<()>;
}

/// What is kept of a file that is continued.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Fields of its steps.
    pub fields: Vec<FieldInfo>,
    /// How many steps.
    pub(crate) steps: usize,
    /// The name of the last of them.
    pub(crate) last: Option<String>,
    /// Names of the steps that are removed.
    pub(crate) dropped: Vec<String>,
}

impl Kept {
    pub(crate) fn of(steps: &[StepInfo]) -> Self {
        let mut fields: Vec<_> = steps.iter().flat_map(|s| &s.fields).map(|(info, _)| info.clone()).collect();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        fields.dedup_by(|a, b| a.name == b.name);
        Self { fields, steps: steps.len(), ..Self::default() }
    }
}

/// Whether this rank is the first one.
///
/// # Safety
/// `comm` is a valid communicator.
pub(crate) unsafe fn is_first(comm: MPI_Comm) -> bool {
    let mut rank = 0;
    // SAFETY: the caller's promise.
    unsafe { mpi_sys::MPI_Comm_rank(comm, &mut rank) };
    rank == 0
}

/// Gives all ranks the numbers of the first one. Collective.
///
/// # Safety
/// `comm` is a valid communicator, and all ranks pass as many numbers.
pub(crate) unsafe fn broadcast(comm: MPI_Comm, numbers: &mut [u64]) {
    // SAFETY: the caller's promise; a step has fewer numbers than an int counts.
    unsafe {
        let (data, count) = (numbers.as_mut_ptr().cast(), numbers.len() as i32);
        mpi_sys::MPI_Bcast(data, count, mpi_sys::RSMPI_UINT64_T, 0, comm);
    }
}
