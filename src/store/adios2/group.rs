//! Which ranks write to a BP5 output, and what the others hand to them.
//!
//! ADIOS2 does not return on the other ranks of an engine where a write fails on one. So an engine
//! has few ranks: where all are on one node, the first one alone, for which nobody waits. On several
//! nodes it has one rank of each, which writes to a file of its own for all of the node, and the
//! first rank of all, which writes no data but the metadata: then each can say by itself which part
//! of a step has failed.

use crate::error::Result;
use crate::step::{BoxRow, FieldPart};
use mpi_sys::*;
use std::borrow::Cow;
use std::ptr;
use swae_codec::memory;

/// How many ranks of a node share a file at most; all of them where it is not set.
const RANKS_PER_FILE: &str = "SWAE_BP5_RANKS_PER_FILE";
/// Bytes of a message, at most: a rank that has no room for all of them can still take one.
const MESSAGE: usize = 1 << 20;

/// The part of one rank in a field of a step.
pub(super) struct Part<'a> {
    /// First byte in the field's stream.
    pub(super) offset: usize,
    pub(super) streams: Cow<'a, [u8]>,
    /// First row in the field's table of boxes.
    pub(super) first_box: usize,
    pub(super) table: Vec<u64>,
}

impl<'a> Part<'a> {
    pub(super) fn of(field: &FieldPart<'a>) -> Self {
        Self {
            offset: field.boxes.first().map_or(0, |b| b.offset as usize),
            streams: Cow::Borrowed(field.streams()),
            first_box: field.first_box,
            table: BoxRow::to_table(&field.boxes),
        }
    }

    pub(super) fn boxes(&self) -> usize {
        self.table.len() / BoxRow::COLUMNS
    }
}

/// The ranks whose bytes one of them writes.
pub(super) struct Group {
    /// All of them; the one that writes is the first.
    comm: MPI_Comm,
    rank: i32,
    size: i32,
    /// The ranks of the engine, on these.
    writers: Option<MPI_Comm>,
    writer_rank: i32,
    writer_count: i32,
}

impl Group {
    /// Collective.
    ///
    /// # Safety
    /// `comm` is a valid communicator.
    pub(super) unsafe fn of(comm: MPI_Comm) -> Self {
        // SAFETY: the caller's promise, and communicators that are made of it.
        unsafe {
            let (rank, all) = rank_and_size(comm);
            let mut node = comm;
            MPI_Comm_split_type(comm, RSMPI_COMM_TYPE_SHARED, rank, RSMPI_INFO_NULL, &mut node);
            let (node_rank, node_size) = rank_and_size(node);
            let shared = std::env::var(RANKS_PER_FILE).ok().and_then(|n| n.parse().ok()).filter(|&n| n > 0);
            let per_file: i32 = shared.unwrap_or(node_size);
            // The first rank of each set of ranks that share a file tells it to them.
            let mut firsts = vec![0; all as usize];
            let mut set = node;
            MPI_Comm_split(node, node_rank / per_file, rank, &mut set);
            let mut first = rank;
            MPI_Bcast(ptr::from_mut(&mut first).cast(), 1, RSMPI_INT32_T, 0, set);
            free([node, set]);
            let (send, receive) = (ptr::from_ref(&first).cast(), firsts.as_mut_ptr().cast());
            MPI_Allgather(send, 1, RSMPI_INT32_T, receive, 1, RSMPI_INT32_T, comm);
            let is_one = firsts.iter().all(|f| *f == firsts[0]);
            let is_writer = rank == 0 || !is_one && is_first(&firsts, rank);
            let color = color(&firsts, rank);
            // Where there are several files, the first rank is the last of its group.
            let key = if rank == 0 && !is_one { all } else { rank };
            let (mut own, mut writers) = (comm, comm);
            MPI_Comm_split(comm, color, key, &mut own);
            MPI_Comm_split(comm, if is_writer { 0 } else { RSMPI_UNDEFINED }, rank, &mut writers);
            let (rank, size) = rank_and_size(own);
            let writers = is_writer.then_some(writers);
            let (writer_rank, writer_count) = writers.map_or((0, 0), |comm| rank_and_size(comm));
            Self { comm: own, rank, size, writers, writer_rank, writer_count }
        }
    }

    /// The ranks of the engine, on these.
    pub(super) fn writers(&self) -> Option<MPI_Comm> {
        self.writers
    }

    pub(super) fn writer_count(&self) -> i32 {
        self.writer_count
    }

    /// Whether this is the first of the ranks that write data.
    pub(super) fn writes_data_first(&self) -> bool {
        self.writers.is_some() && self.writer_rank == i32::from(self.writer_count > 1)
    }

    /// Gives the rank that writes the parts of all ranks of the group, by rank and field, and the
    /// others none. All of the group call it.
    ///
    /// # Errors
    /// [`swae_codec::Error::Memory`] where this rank has no room for those of the others.
    pub(super) fn gather<'a>(&self, fields: &[FieldPart<'a>]) -> Result<Vec<Vec<Part<'a>>>> {
        let own: Vec<_> = fields.iter().map(Part::of).collect();
        if self.rank > 0 {
            self.send(&own);
            return Ok(Vec::new());
        }
        // All are received, whatever becomes of one: the others wait until they are.
        let others: Vec<_> = (1..self.size).map(|rank| self.receive(rank, fields.len())).collect();
        std::iter::once(Ok(own)).chain(others).collect()
    }

    fn send(&self, parts: &[Part<'_>]) {
        let sizes = parts.iter().flat_map(|p| [p.offset, p.streams.len(), p.first_box, p.table.len()]);
        let mut sizes: Vec<u64> = sizes.map(|n| n as u64).collect();
        let mut message: Vec<u8> = Vec::new();
        for part in parts {
            message.extend(part.table.iter().flat_map(|n| n.to_ne_bytes()));
            message.extend_from_slice(&part.streams);
        }
        for bytes in [as_bytes(&mut sizes), &mut message] {
            for piece in bytes.chunks(MESSAGE) {
                // SAFETY: the communicator is valid, and the bytes are there.
                unsafe {
                    MPI_Send(piece.as_ptr().cast(), piece.len() as i32, RSMPI_UINT8_T, 0, 0, self.comm)
                };
            }
        }
    }

    fn receive(&self, from: i32, fields: usize) -> Result<Vec<Part<'static>>> {
        let mut sizes = vec![0u64; 4 * fields];
        self.receive_bytes(from, as_bytes(&mut sizes));
        let sizes: Vec<_> = sizes.into_iter().map(|n| n as usize).collect();
        let all = sizes.chunks_exact(4).map(|s| s[1] + s[3] * size_of::<u64>()).sum();
        // The message, and the parts that are copied from it.
        if let Err(e) = memory::room(2 * all) {
            self.receive_nothing(from, all);
            return Err(e.into());
        }
        let mut message = vec![0u8; all];
        self.receive_bytes(from, &mut message);
        let mut rest = &message[..];
        let part = |s: &[usize]| {
            let (table, behind) = rest.split_at(s[3] * size_of::<u64>());
            let (streams, behind) = behind.split_at(s[1]);
            rest = behind;
            let numbers = table.chunks_exact(8).map(|n| u64::from_ne_bytes(n.try_into().unwrap_or_default()));
            let streams = Cow::Owned(streams.to_vec());
            Part { offset: s[0], streams, first_box: s[2], table: numbers.collect() }
        };
        Ok(sizes.chunks_exact(4).map(part).collect())
    }

    /// Takes a message of so many bytes, and keeps nothing of it.
    fn receive_nothing(&self, from: i32, bytes: usize) {
        let mut piece = vec![0; bytes.min(MESSAGE)];
        for first in (0..bytes).step_by(MESSAGE) {
            let count = piece.len().min(bytes - first);
            self.receive_bytes(from, &mut piece[..count]);
        }
    }

    fn receive_bytes(&self, from: i32, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(MESSAGE) {
            // SAFETY: the communicator is valid, and there is room for as many bytes as are sent.
            unsafe {
                let (data, count) = (piece.as_mut_ptr().cast(), piece.len() as i32);
                MPI_Recv(data, count, RSMPI_UINT8_T, from, 0, self.comm, RSMPI_STATUS_IGNORE);
            }
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let mut over = 0;
        // SAFETY: allowed at any time; the communicators are ours, and freed once.
        unsafe {
            MPI_Finalized(&mut over);
            if over == 0 {
                free([Some(self.comm), self.writers].into_iter().flatten());
            }
        }
    }
}

/// Whether a rank writes data, where there are several files. `firsts` has the first rank of the
/// set of each; the first rank of all leaves its set to the next one in it.
fn is_first(firsts: &[i32], rank: i32) -> bool {
    let color = color(firsts, rank);
    let mut group = (1..firsts.len() as i32).filter(|&r| self::color(firsts, r) == color);
    group.next() == Some(rank)
}

/// The group of a rank: its set, or, where the first rank is alone in its own, that of the second.
fn color(firsts: &[i32], rank: i32) -> i32 {
    let is_alone = rank == 0 && firsts.len() > 1 && !firsts[1..].contains(&0);
    if is_alone { firsts[1] } else { firsts[rank as usize] }
}

/// # Safety
/// The communicator is valid.
unsafe fn rank_and_size(comm: MPI_Comm) -> (i32, i32) {
    let (mut rank, mut size) = (0, 0);
    // SAFETY: the caller's promise.
    unsafe {
        MPI_Comm_rank(comm, &mut rank);
        MPI_Comm_size(comm, &mut size);
    }
    (rank, size)
}

/// # Safety
/// The communicators are valid, and used no more.
unsafe fn free(comms: impl IntoIterator<Item = MPI_Comm>) {
    for mut comm in comms {
        // SAFETY: the caller's promise.
        unsafe { MPI_Comm_free(&mut comm) };
    }
}

fn as_bytes(numbers: &mut [u64]) -> &mut [u8] {
    // SAFETY: every byte of a number is one.
    unsafe { std::slice::from_raw_parts_mut(numbers.as_mut_ptr().cast(), size_of_val(numbers)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The ranks that write data, and the group of each rank.
    fn groups(firsts: &[i32]) -> (Vec<i32>, Vec<i32>) {
        let ranks = 0..firsts.len() as i32;
        let writers = ranks.clone().skip(1).filter(|&r| is_first(firsts, r)).collect();
        (writers, ranks.map(|r| color(firsts, r)).collect())
    }

    #[test]
    fn every_rank_has_one_that_writes_for_it_and_the_first_writes_no_data() {
        // Two nodes of two ranks; one alone beside a node of three; nodes of one; interleaved.
        assert_eq!(groups(&[0, 0, 2, 2]), (vec![1, 2], vec![0, 0, 2, 2]));
        assert_eq!(groups(&[0, 1, 1, 1]), (vec![1], vec![1, 1, 1, 1]));
        assert_eq!(groups(&[0, 1, 2]), (vec![1, 2], vec![1, 1, 2]));
        assert_eq!(groups(&[0, 1, 0, 1]), (vec![1, 2], vec![0, 1, 0, 1]));
    }
}
