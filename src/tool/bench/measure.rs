//! How compressors are measured on one field: bits, errors and speeds of one task.

use super::plan::Layout;
use super::timing::{Coder, Speed, in_turns};
use anyhow::{Result, ensure};
use serde::Serialize;
use swae_codec::Element;
use swae_codec::bound::ValueRange;
use swae_codec::config::Effort;
use swae_metrics::quality::psnr;

/// One compressor on one field.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it is given.
    #[serde(flatten)]
    pub case: Case,
    /// Which compressor it is.
    #[serde(flatten)]
    pub name: Name,
    /// What comes of it.
    #[serde(flatten)]
    pub result: Distortion,
    /// What it takes.
    #[serde(flatten)]
    pub speed: Speed,
}

/// What a compressor is given.
#[derive(Clone, Debug, Serialize)]
pub struct Case {
    /// File and name of the field.
    pub field: String,
    /// How it is handed over.
    pub layout: Layout,
    /// The bound, relative to the value range.
    pub bound: f64,
    /// Threads; 0 is all there are.
    pub threads: usize,
}

/// Which compressor, in which of its settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Name {
    /// Its name in the literature.
    pub codec: String,
    /// The version of the library.
    pub version: String,
    /// An algorithm or a mode of it, or how it is given what it is given.
    pub setting: String,
}

impl Name {
    /// The name of swae itself.
    pub const OWN: &str = "swae";

    /// This library, with an effort.
    pub fn own(effort: Effort) -> Self {
        let (codec, version) = (Self::OWN.into(), env!("CARGO_PKG_VERSION").into());
        Self { codec, version, setting: effort.name().into() }
    }
}

/// The size of a compressed task, and the errors of its decoded values.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Distortion {
    /// Stored bits per value.
    pub bits: f64,
    /// Bytes as handed over, divided by bytes stored.
    pub ratio: f64,
    /// Of all steps or boxes together, in dB; the peak is the value range.
    pub psnr: f64,
    /// Largest error in units of the bound; above 1 it was violated.
    pub error: f64,
}

/// What a compressor is given: parts of one shape, and the absolute bound of each.
pub struct Task<'a, T> {
    /// Steps or boxes, one behind the other.
    pub values: &'a [T],
    /// `[nx, ny, nz]` of each part.
    pub count: [usize; 3],
    /// A bound for each part.
    pub bounds: Vec<f64>,
}

/// Compresses a task into streams and back.
pub trait Compressor<T>: Sync {
    /// Its name in the tables.
    fn name(&self) -> Name;
    /// Compresses all parts.
    ///
    /// # Errors
    /// The compressor's error.
    fn compress(&self, task: &Task<'_, T>, threads: usize) -> Result<Vec<Vec<u8>>>;
    /// Decompresses all parts, one behind the other.
    ///
    /// # Errors
    /// The compressor's error.
    fn decompress(
        &self,
        streams: &[Vec<u8>],
        task: &Task<'_, T>,
        threads: usize,
        out: &mut [T],
    ) -> Result<()>;
}

/// A compressor and what it is given.
struct OnTask<'a, T> {
    compressor: &'a dyn Compressor<T>,
    task: &'a Task<'a, T>,
    threads: usize,
}

impl<T: Element> Coder for OnTask<'_, T> {
    type Streams = Vec<Vec<u8>>;
    type Value = T;

    fn values(&self) -> usize {
        self.task.values.len()
    }

    fn compress(&self) -> Result<Self::Streams> {
        self.compressor.compress(self.task, self.threads)
    }

    fn decompress(&self, streams: &Self::Streams, out: &mut [T]) -> Result<()> {
        self.compressor.decompress(streams, self.task, self.threads, out)
    }
}

impl<'a, T: Element> Task<'a, T> {
    /// The values of each part.
    pub fn parts(&self) -> std::slice::Chunks<'a, T> {
        self.values.chunks(self.count.iter().product())
    }

    /// Measures compressors beside one another; leaves out those that cannot take the task.
    ///
    /// # Errors
    /// Where there cannot be so many threads.
    pub fn measure(
        &self,
        compressors: &[Box<dyn Compressor<T> + '_>],
        case: &Case,
        rounds: usize,
    ) -> Result<Vec<Row>> {
        let threads = case.threads;
        let on_task = |compressor| OnTask { compressor, task: self, threads };
        let coders: Vec<_> = compressors.iter().map(|compressor| on_task(&**compressor)).collect();
        let timed = in_turns(&coders, threads, rounds, |_, streams, values| {
            self.distortion(streams.iter().map(Vec::len).sum(), values)
        })?;
        let mut rows = Vec::new();
        for (compressor, timed) in compressors.iter().zip(timed) {
            let name = compressor.name();
            match timed {
                Ok((result, cost)) => {
                    let speed = cost.of(size_of_val(self.values));
                    rows.push(Row { case: case.clone(), name, result, speed });
                }
                Err(e) => log::warn!("{} {} on {}: {e}", name.codec, name.setting, case.field),
            }
        }
        Ok(rows)
    }

    /// The errors of decoded values that took `stored` bytes.
    ///
    /// # Errors
    /// Where there are more or fewer than in the task.
    pub fn distortion(&self, stored: usize, decoded: &[T]) -> Result<Distortion> {
        let values = decoded.len();
        ensure!(values == self.values.len(), "it gave {values} values");
        let (mut error, mut squares) = (0.0f64, 0.0);
        let mut range = ValueRange::EMPTY;
        let mut decoded = decoded.iter();
        for (truth, bound) in self.parts().zip(&self.bounds) {
            for (t, b) in truth.iter().zip(&mut decoded) {
                let (t, b) = (t.to_f64(), b.to_f64());
                let off = distance(t, b);
                error = if off.is_nan() { f64::INFINITY } else { error.max(off / bound) };
                squares += off * off;
                if t.is_finite() {
                    range = range.union(ValueRange { min: t, max: t });
                }
            }
        }
        Ok(Distortion {
            bits: 8.0 * stored as f64 / values as f64,
            ratio: size_of_val(self.values) as f64 / stored as f64,
            psnr: psnr(range.width(), squares / values as f64),
            error,
        })
    }
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
