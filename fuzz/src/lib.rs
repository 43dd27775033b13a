//! What fuzz targets share: checksums made right, so that what stands behind them is reached, and a
//! measure of the memory that a decoder takes.

use arbitrary::Arbitrary;
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use swae_codec::stream::{Header, reseal};

pub mod mutate;

/// The beginning of a stream: magic, version, and that one checksum is that of all bytes.
pub const STREAM: &[u8] = b"SWAE\x01\x00\x00";

/// The bytes after this beginning and before their checksum.
pub fn sealed(beginning: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut out = beginning.to_vec();
    out.extend_from_slice(bytes);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

/// A stream of any bytes, of which so many are the head; none where one checksum is that of all.
pub fn any_stream(head: u8, bytes: &[u8]) -> Vec<u8> {
    let (head, tiles) = bytes.split_at(bytes.len().min(usize::from(head % 0x80)));
    if head.is_empty() {
        return sealed(STREAM, tiles);
    }
    let mut out = [&STREAM[..6], &[head.len() as u8], head, &[0; 4], tiles].concat();
    reseal(&mut out);
    out
}

/// A change to a whole stream.
#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Change {
    /// To a byte among the first 64 of the rest, where headers and lengths are.
    Front(u8, u8),
    /// To a byte anywhere.
    Byte(u16, u8),
    /// Bytes in a row become others, so that a number can grow.
    Insert(u16, [u8; 3]),
    /// Bytes are left out.
    Cut(u16, u8),
}

/// A stream with changes behind its first `keep` bytes, and the checksums made right.
pub fn changed(stream: &[u8], keep: usize, changes: &[Change]) -> Vec<u8> {
    let is_one = checksum_at(stream) + 4 == stream.len();
    let mut body = stream[..stream.len() - if is_one { 4 } else { 0 }].to_vec();
    for &change in changes {
        let rest = body.len() - keep;
        if rest == 0 {
            break;
        }
        match change {
            Change::Front(at, by) => body[keep + usize::from(at % 64) % rest] ^= by,
            Change::Byte(at, by) => body[keep + usize::from(at) % rest] ^= by,
            Change::Insert(at, bytes) => {
                let at = keep + usize::from(at) % rest;
                body.splice(at..at, bytes);
            }
            Change::Cut(at, count) => {
                let at = keep + usize::from(at) % rest;
                body.drain(at..(at + usize::from(count)).min(body.len()));
            }
        }
    }
    if is_one {
        body.extend_from_slice(&[0; 4]);
    }
    reseal(&mut body);
    body
}

/// Where the checksum of a stream is that names it: at its end, or behind a head of less than 128
/// bytes.
fn checksum_at(stream: &[u8]) -> usize {
    match stream[6] {
        0 => stream.len() - 4,
        head => (7 + usize::from(head)).min(stream.len() - 4),
    }
}

/// The checksum that names a stream.
pub fn checksum(stream: &[u8]) -> [u8; 4] {
    *stream[checksum_at(stream)..].first_chunk().expect("a stream has a checksum")
}

/// Puts the checksum of a changed stream in place of that of the whole one, where the next step or
/// another field names it.
pub fn relink(stream: &mut [u8], before: [u8; 4], now: [u8; 4]) {
    if let Some(at) = stream.windows(4).position(|found| found == before) {
        stream[at..at + 4].copy_from_slice(&now);
    }
}

/// Counts what is allocated.
struct Counting;

static TAKEN: AtomicUsize = AtomicUsize::new(0);
static MOST: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static MEMORY: Counting = Counting;

impl Counting {
    /// What the system does not have is not taken.
    fn count(memory: *mut u8, layout: Layout) -> *mut u8 {
        if !memory.is_null() {
            MOST.fetch_max(TAKEN.fetch_add(layout.size(), Relaxed) + layout.size(), Relaxed);
        }
        memory
    }
}

// SAFETY: every call goes to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        Self::count(unsafe { System.alloc(layout) }, layout)
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as above.
        Self::count(unsafe { System.alloc_zeroed(layout) }, layout)
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        TAKEN.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// The most memory that a call takes at a time.
pub fn memory_of<A>(call: impl FnOnce() -> A) -> (A, usize) {
    let before = TAKEN.load(Relaxed);
    MOST.store(before, Relaxed);
    let result = call();
    (result, MOST.load(Relaxed).saturating_sub(before))
}

/// Memory that decoding a stream may take: a decoder keeps what it works with of each block, tables
/// for each thread, and a list of what a few bytes declare.
pub fn allowed_memory(header: &Header, bytes: usize) -> usize {
    let blocks = |count: &[usize; 3]| count.iter().map(|n| n.div_ceil(8)).product::<usize>();
    let blocks: usize = header.boxes.iter().map(blocks).sum();
    (64 << 20) + (blocks << 15) + (header.boxes.len() << 9) + (bytes << 13)
}

/// The values of a stream, padded to whole blocks: what a fuzzer has time and memory for.
pub fn is_small(header: &Header) -> bool {
    let padded = |count: &[usize; 3]| count.iter().fold(1usize, |n, c| n.saturating_mul(c.div_ceil(8) * 8));
    header.boxes.iter().fold(0usize, |n, count| n.saturating_add(padded(count))) <= 1 << 20
}
