//! Collective operations of the ranks of a session: gather, broadcast, reduce, validate.
//! It holds the communicator, and knows nothing of steps and fields.

use crate::{Error, Result};
use mpi::collective::SystemOperation;
use mpi::ffi::{self, MPI_Comm};
use mpi::topology::SimpleCommunicator;
use mpi::traits::*;
use serde::{Serialize, de::DeserializeOwned};
use std::mem::ManuallyDrop;
use std::ops::Deref;
use swae_filter::panics::caught;

/// The ranks of a communicator of our own, which leaves MPI alone once that is over.
pub(crate) struct Ranks(ManuallyDrop<SimpleCommunicator>);

// SAFETY: a handle, which MPI allows to be used from any thread where it allows threads at all; a
// session that sends one to another thread has asked MPI first.
unsafe impl Send for Ranks {}

impl Ranks {
    /// The duplicate of another. Collective.
    ///
    /// # Errors
    /// [`Error::State`] before and after MPI; [`Error::Argument`] for no communicator at all.
    ///
    /// # Safety
    /// `comm` is MPI_COMM_NULL or valid.
    pub(crate) unsafe fn duplicate(comm: MPI_Comm) -> Result<Self> {
        // What MPI itself would end the program for.
        let mut begun = 0;
        // SAFETY: allowed at any time.
        unsafe { ffi::MPI_Initialized(&mut begun) };
        if begun == 0 || mpi_is_over() {
            let when = if begun == 0 { "has not begun; call MPI_Init first" } else { "is over" };
            return Err(Error::State(format!("MPI {when}")));
        }
        // SAFETY: a constant.
        if comm == unsafe { ffi::RSMPI_COMM_NULL } {
            return Err(Error::Argument("the communicator is MPI_COMM_NULL".into()));
        }
        let mut own = comm;
        // SAFETY: the caller's promise; the duplicate is ours, so the wrapper may free it.
        unsafe {
            if ffi::MPI_Comm_dup(comm, &mut own) != 0 {
                return Err(Error::Argument("MPI_Comm_dup failed on the communicator".into()));
            }
            Ok(Self(ManuallyDrop::new(SimpleCommunicator::from_raw(own))))
        }
    }

    /// Those that share this rank's node. Collective.
    pub(crate) fn of_node(&self) -> Self {
        Self(ManuallyDrop::new(self.split_shared(self.rank())))
    }

    /// Gathers the reports of all ranks on rank 0, in rank order, and broadcasts what it makes of
    /// them. No other rank sees more than that, so that it stays cheap on many.
    pub(crate) fn gathered<R, V>(&self, report: &R, combine: impl FnOnce(Vec<R>) -> Result<V>) -> Result<V>
    where
        R: Serialize + DeserializeOwned,
        V: Serialize + DeserializeOwned,
    {
        // Never empty: the address of an empty vector means something else to MPI.
        let mut mine = postcard::to_stdvec(report).unwrap_or_default();
        mine.push(0);
        let mut counts = vec![0i64; self.size() as usize];
        self.all_gather_into(&(mine.len() as i64), &mut counts[..]);
        if counts.iter().sum::<i64>() > i32::MAX.into() {
            return Err(Error::Unsupported(
                "the ranks have too many boxes to describe a step in 2 GiB".into(),
            ));
        }
        let counts: Vec<i32> = counts.into_iter().map(|n| n as i32).collect();
        let root = self.process_at_rank(0);
        let mut reports = Ok(Vec::new());
        if self.rank() == 0 {
            let starts = counts.iter().scan(0, |at, n| {
                *at += n;
                Some(*at - n)
            });
            let starts: Vec<i32> = starts.collect();
            let mut all = vec![0u8; counts.iter().map(|&n| n as usize).sum()];
            let mut gathered = mpi::datatype::PartitionMut::new(&mut all[..], &counts[..], &starts[..]);
            root.gather_varcount_into_root(&mine[..], &mut gathered);
            let report = |(&start, &n): (&i32, &i32)| {
                postcard::from_bytes(&all[start as usize..(start + n) as usize]).map_err(internal)
            };
            reports = starts.iter().zip(&counts).map(report).collect::<Result<Vec<R>>>();
        } else {
            root.gather_varcount_into(&mine[..]);
        }
        self.broadcast(|| combine(reports?))
    }

    /// Broadcasts what rank 0 finds out.
    pub(crate) fn broadcast<V>(&self, find: impl FnOnce() -> Result<V>) -> Result<V>
    where
        V: Serialize + DeserializeOwned,
    {
        let mut found = Vec::new();
        if self.rank() == 0 {
            // The others wait, whatever happens here.
            let outcome = caught(find).unwrap_or_else(|text| Err(Error::Internal(text)));
            found = postcard::to_stdvec(&outcome).unwrap_or_default();
        }
        self.broadcast_from(0, &mut found);
        postcard::from_bytes::<Result<V>>(&found).map_err(internal)?
    }

    /// Success only where all ranks succeeded; else all get the error of the first one that failed.
    pub(crate) fn validated<T>(&self, outcome: Result<T>) -> Result<T> {
        let worst = self.reduced_min(if outcome.is_err() { self.rank().into() } else { i64::MAX });
        if worst == i64::MAX {
            return outcome;
        }
        let mut text = match &outcome {
            Err(e) if i64::from(self.rank()) == worst => postcard::to_stdvec(e).unwrap_or_default(),
            _ => Vec::new(),
        };
        self.broadcast_from(worst as i32, &mut text);
        let unknown = Error::Io(format!("rank {worst} failed"));
        Err(postcard::from_bytes(&text).unwrap_or(unknown))
    }

    /// Broadcasts the bytes that one rank has.
    fn broadcast_from(&self, rank: i32, bytes: &mut Vec<u8>) {
        let root = self.process_at_rank(rank);
        let mut length = bytes.len() as u64;
        root.broadcast_into(&mut length);
        bytes.resize(length as usize, 0);
        root.broadcast_into(&mut bytes[..]);
    }

    /// Reduces the numbers of all ranks to their minimum.
    pub(crate) fn reduced_min(&self, mine: i64) -> i64 {
        let mut min = mine;
        self.all_reduce_into(&mine, &mut min, SystemOperation::min());
        min
    }
}

impl Deref for Ranks {
    type Target = SimpleCommunicator;

    fn deref(&self) -> &SimpleCommunicator {
        &self.0
    }
}

impl Drop for Ranks {
    fn drop(&mut self) {
        if !mpi_is_over() {
            // SAFETY: dropped once, here.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

fn internal(e: postcard::Error) -> Error {
    Error::State(format!("a report cannot be sent: {e}"))
}

pub(crate) fn mpi_is_over() -> bool {
    let mut finalized = 0;
    // SAFETY: allowed at any time.
    unsafe { ffi::MPI_Finalized(&mut finalized) };
    finalized != 0
}
