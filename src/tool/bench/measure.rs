//! How a compressor is measured: time, memory, bits and errors of one task.

use super::plan::Layout;
use crate::memory::peak_of;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::time::Instant;
use swae_codec::Element;
use swae_codec::bound::ValueRange;
use swae_metrics::quality::psnr;

/// One compressor on one field.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// File and name of the field.
    pub field: String,
    /// How it was handed over.
    pub layout: Layout,
    /// The bound, relative to the value range.
    pub bound: f64,
    /// The compressor.
    pub codec: String,
    /// Threads; 0 is all there are.
    pub threads: usize,
    /// Stored bits per value.
    pub bits: f64,
    /// Bytes as handed over, divided by bytes stored.
    pub ratio: f64,
    /// Of all steps or boxes together, in dB; the peak is the value range.
    pub psnr: f64,
    /// Largest error in units of the bound; above 1 it was violated.
    pub error: f64,
    /// Of uncompressed data.
    pub compress_mb_s: f64,
    /// Of uncompressed data.
    pub decompress_mb_s: f64,
    /// Peak memory of compressing, in units of the data.
    pub peak_memory: f64,
}

/// What names a row.
#[derive(Clone, Copy, Debug)]
pub struct Label<'a> {
    /// File and name of the field.
    pub field: &'a str,
    /// How it is handed over.
    pub layout: Layout,
    /// The bound, relative to the value range.
    pub bound: f64,
    /// The compressor.
    pub codec: &'a str,
    /// Threads; 0 is all there are.
    pub threads: usize,
}

/// What a compressor is given: parts of one shape, and the absolute bound of each.
pub struct Task<'a, T> {
    /// Steps or boxes.
    pub parts: Vec<&'a [T]>,
    /// `[nx, ny, nz]` of each part.
    pub count: [usize; 3],
    /// A bound for each part.
    pub bounds: Vec<f64>,
}

/// Compresses a task into streams and back.
pub trait Compressor<T>: Sync {
    /// Its name in the tables.
    fn name(&self) -> String;
    /// Compresses all parts.
    ///
    /// # Errors
    /// The compressor's error.
    fn compress(&self, task: &Task<'_, T>, threads: usize) -> Result<Vec<Vec<u8>>>;
    /// Decompresses all parts.
    ///
    /// # Errors
    /// The compressor's error.
    fn decompress(&self, streams: &[Vec<u8>], task: &Task<'_, T>, threads: usize) -> Result<Vec<Vec<T>>>;
}

impl<T: Element> Task<'_, T> {
    /// Bytes of all parts.
    fn raw(&self) -> usize {
        self.parts.iter().map(|part| size_of_val(*part)).sum()
    }

    /// Measures a compressor.
    ///
    /// # Errors
    /// Those of the compressor.
    pub fn measure(&self, compressor: &dyn Compressor<T>, repeat: usize, label: Label<'_>) -> Result<Row> {
        let threads = label.threads;
        let runs = timed(
            threads,
            repeat,
            || compressor.compress(self, threads),
            |streams| compressor.decompress(streams, self, threads),
        )?;
        let stored = runs.streams.iter().map(Vec::len).sum();
        self.row(&runs.decoded, stored, runs.cost.of(self.raw()), label)
    }

    /// The row of decoded parts that took `stored` bytes.
    ///
    /// # Errors
    /// Where there are other parts or values than in the task.
    pub fn row(
        &self,
        decoded: &[Vec<T>],
        stored: usize,
        cost: RelativeCost,
        label: Label<'_>,
    ) -> Result<Row> {
        let Distortion { error, psnr, values } = self.distortion(decoded)?;
        let Label { field, layout, bound, codec, threads } = label;
        let RelativeCost { compress_mb_s, decompress_mb_s, peak_memory } = cost;
        Ok(Row {
            field: field.into(),
            layout,
            bound,
            codec: codec.into(),
            threads,
            bits: 8.0 * stored as f64 / values as f64,
            ratio: self.raw() as f64 / stored as f64,
            psnr,
            error,
            compress_mb_s,
            decompress_mb_s,
            peak_memory,
        })
    }

    fn distortion(&self, decoded: &[Vec<T>]) -> Result<Distortion> {
        let (mut error, mut squares, mut values) = (0.0f64, 0.0, 0usize);
        let mut range = ValueRange::EMPTY;
        ensure!(decoded.len() == self.parts.len(), "it gave {} parts", decoded.len());
        for ((truth, back), bound) in self.parts.iter().zip(decoded).zip(&self.bounds) {
            ensure!(truth.len() == back.len(), "it gave {} values", back.len());
            for (t, b) in truth.iter().zip(back) {
                let (t, b) = (t.to_f64(), b.to_f64());
                let off = distance(t, b);
                error = if off.is_nan() { f64::INFINITY } else { error.max(off / bound) };
                squares += off * off;
                values += 1;
                if t.is_finite() {
                    range = range.union(ValueRange { min: t, max: t });
                }
            }
        }
        Ok(Distortion { error, psnr: psnr(range.width(), squares / values as f64), values })
    }
}

/// The errors of decoded parts.
struct Distortion {
    /// Largest error in units of the bound.
    error: f64,
    psnr: f64,
    values: usize,
}

/// The error of a value; what is not finite has to keep its bits.
fn distance(truth: f64, decoded: f64) -> f64 {
    if truth.is_finite() {
        (truth - decoded).abs()
    } else if truth.to_bits() == decoded.to_bits() {
        0.0
    } else {
        f64::INFINITY
    }
}

/// Seconds and bytes that compressing and decompressing took.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Seconds, the best of all repetitions.
    pub compress: f64,
    /// Seconds, the best of all repetitions.
    pub decompress: f64,
    /// Bytes of memory that compressing took.
    pub peak: u64,
}

/// The same in units of the data.
#[derive(Clone, Copy, Debug)]
pub struct RelativeCost {
    compress_mb_s: f64,
    decompress_mb_s: f64,
    peak_memory: f64,
}

impl Cost {
    /// In units of so many bytes.
    pub fn of(self, raw: usize) -> RelativeCost {
        let raw = raw as f64;
        RelativeCost {
            compress_mb_s: raw / self.compress / 1e6,
            decompress_mb_s: raw / self.decompress / 1e6,
            peak_memory: self.peak as f64 / raw,
        }
    }
}

/// The result of compressing and decompressing.
pub struct Timed<S, D> {
    /// Of the last repetition.
    pub streams: S,
    /// Of the last repetition.
    pub decoded: D,
    /// What it took.
    pub cost: Cost,
}

/// Compresses and decompresses on so many threads, so many times.
///
/// # Errors
/// Those of both.
pub fn timed<S: Send + Sync, D: Send>(
    threads: usize,
    repeat: usize,
    compress: impl Fn() -> Result<S> + Sync,
    decompress: impl Fn(&S) -> Result<D> + Sync,
) -> Result<Timed<S, D>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let peak = peak_of(|| pool.install(&compress).map(drop))?;
    let mut cost = Cost { compress: f64::INFINITY, decompress: f64::INFINITY, peak };
    let mut last = None;
    for _ in 0..repeat.max(1) {
        let start = Instant::now();
        let streams = pool.install(&compress)?;
        cost.compress = cost.compress.min(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let decoded = pool.install(|| decompress(&streams))?;
        cost.decompress = cost.decompress.min(start.elapsed().as_secs_f64());
        last = Some((streams, decoded));
    }
    let (streams, decoded) = last.context("it was never timed")?;
    Ok(Timed { streams, decoded, cost })
}
