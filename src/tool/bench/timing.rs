//! What compressing and decompressing take: time and memory, of several compressors in turns.

use crate::memory::peak_of;
use anyhow::{Context, Result};
use rayon::ThreadPool;
use serde::Serialize;

/// What is timed.
pub trait Coder: Sync {
    /// What compressing gives.
    type Streams: Send + Sync;
    /// What it compresses.
    type Value: Copy + Default + Send;
    /// How many values it has.
    fn values(&self) -> usize;
    /// Compresses what it has at hand.
    ///
    /// # Errors
    /// The compressor's error.
    fn compress(&self) -> Result<Self::Streams>;
    /// Decompresses what `compress` gave into as many values.
    ///
    /// # Errors
    /// The compressor's error.
    fn decompress(&self, streams: &Self::Streams, out: &mut [Self::Value]) -> Result<()>;
}

/// Seconds and bytes that compressing and decompressing took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    compress: f64,
    decompress: f64,
    peak: u64,
}

/// The same in units of the data.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Speed {
    /// Of uncompressed data.
    pub compress_mb_s: f64,
    /// Of uncompressed data.
    pub decompress_mb_s: f64,
    /// Peak memory of compressing, in units of the data.
    pub peak_memory: f64,
}

impl Cost {
    /// In units of so many bytes.
    pub fn of(self, raw: usize) -> Speed {
        let raw = raw as f64;
        Speed {
            compress_mb_s: raw / self.compress / 1e6,
            decompress_mb_s: raw / self.decompress / 1e6,
            peak_memory: self.peak as f64 / raw,
        }
    }
}

/// Times coders on so many threads, the best of so many rounds. In a round each has its turn, so what
/// else the machine does slows all of them alike; on one thread CPU time counts. Who is quick runs
/// twice in a turn, and the second run counts: what the coder before left of memory and caches would
/// matter to it. Values are decompressed into memory that is in use already. `judge` is given what
/// came of the first round.
///
/// # Errors
/// Where there can be no such threads; of each coder, its error.
pub fn in_turns<C: Coder, J>(
    coders: &[C],
    threads: usize,
    rounds: usize,
    judge: impl Fn(&C, &C::Streams, &[C::Value]) -> Result<J>,
) -> Result<Vec<Result<(J, Cost)>>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let clock = if threads == 1 { Clock::Cpu } else { Clock::Wall };
    let first = |coder: &C| {
        let mut out = vec![C::Value::default(); coder.values()];
        let (streams, cost) = turn(&pool, clock, coder, &mut out)?;
        Ok((judge(coder, &streams, &out)?, cost))
    };
    let mut all: Vec<Result<(J, Cost)>> = coders.iter().map(first).collect();
    let mut out = vec![C::Value::default(); coders.iter().map(C::values).max().unwrap_or(0)];
    for _ in 1..rounds {
        for (coder, timed) in coders.iter().zip(&mut all) {
            let Ok((_, best)) = timed else { continue };
            let (_, cost) = turn(&pool, clock, coder, &mut out[..coder.values()])?;
            best.compress = best.compress.min(cost.compress);
            best.decompress = best.decompress.min(cost.decompress);
        }
    }
    Ok(all)
}

/// Seconds that a quick coder takes to compress, at most.
const QUICK: f64 = 0.5;

fn turn<C: Coder>(
    pool: &ThreadPool,
    clock: Clock,
    coder: &C,
    out: &mut [C::Value],
) -> Result<(C::Streams, Cost)> {
    let compress = || -> Result<_> {
        let start = clock.seconds();
        let streams = pool.install(|| coder.compress())?;
        Ok((streams, clock.seconds() - start))
    };
    let mut decompress = |streams: &C::Streams| -> Result<_> {
        let start = clock.seconds();
        pool.install(|| coder.decompress(streams, out))?;
        Ok(clock.seconds() - start)
    };
    let mut first = None;
    let peak = peak_of(|| {
        first = Some(compress()?);
        Ok(())
    })?;
    let (mut streams, mut seconds) = first.context("nothing was compressed")?;
    let mut back = decompress(&streams)?;
    if seconds < QUICK {
        // It has what the first run left of memory.
        (streams, seconds) = compress()?;
        back = decompress(&streams)?;
    }
    Ok((streams, Cost { compress: seconds, decompress: back, peak }))
}

/// What time is told by.
#[derive(Clone, Copy)]
enum Clock {
    /// CPU time of the process: that of a single thread, whatever other programs take of its core.
    Cpu,
    /// Time that passes.
    Wall,
}

impl Clock {
    fn seconds(self) -> f64 {
        let id = match self {
            Self::Cpu => libc::CLOCK_PROCESS_CPUTIME_ID,
            Self::Wall => libc::CLOCK_MONOTONIC,
        };
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: it writes the time and nothing else. Both clocks exist on every POSIX system.
        unsafe { libc::clock_gettime(id, &mut time) };
        time.tv_sec as f64 + 1e-9 * time.tv_nsec as f64
    }
}
