//! The metrics of a training beside its model: a CSV file, events of TensorBoard, a picture of some
//! blocks beside their reconstructions.

use crate::checkpoint::whole;
use anyhow::{Context, Result};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use swae_codec::blocks::{EDGE, VALUES};
use swae_metrics::picture::{self, Row};
use tch::Tensor;

/// The metrics after some steps.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Steps done.
    pub step: usize,
    /// Mean squared error of the normalised blocks since the last line.
    pub mse: f64,
    /// Sliced-Wasserstein distance of the last batch, squared.
    pub swd: f64,
    /// Bits that a block's latents take.
    pub bits: f64,
    /// Learning rate.
    pub rate: f64,
    /// Mean squared error of the validation blocks.
    pub validation: Option<f64>,
}

impl Line {
    const NAMES: [&str; 5] = ["mse", "sliced_wasserstein", "bits", "rate", "validation_mse"];

    fn values(&self) -> [Option<f64>; 5] {
        [Some(self.mse), Some(self.swd), Some(self.bits), Some(self.rate), self.validation]
    }
}

/// The files beside a model with the metrics of its training: `.csv`, `.png`, and a folder
/// `.tensorboard`.
pub struct Metrics {
    csv: File,
    events: Events,
    picture: PathBuf,
}

impl Metrics {
    /// Opens the files; lines of steps that are done again are dropped.
    ///
    /// # Errors
    /// Where one cannot be written.
    pub fn open(output: &Path, step: usize) -> Result<Self> {
        let path = output.with_extension("csv");
        let what = || path.display().to_string();
        let old = if step > 0 { std::fs::read_to_string(&path).unwrap_or_default() } else { String::new() };
        let kept = |line: &&str| {
            line.split(',').next().and_then(|s| s.parse().ok()).is_some_and(|s: usize| s <= step)
        };
        let mut text = format!("step,{}\n", Line::NAMES.join(","));
        old.lines().filter(kept).for_each(|line| text.extend([line, "\n"]));
        // A reader sees the old file or the new one, both whole.
        whole(&path, |file| Ok(std::fs::write(file, &text)?))?;
        let csv = File::options().append(true).open(&path).with_context(what)?;
        let events = Events::open(&output.with_extension("tensorboard"), step)?;
        Ok(Self { csv, events, picture: output.with_extension("png") })
    }

    /// Adds a line.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn write(&mut self, line: &Line) -> Result<()> {
        let text = line.values().map(|v| v.map_or_else(String::new, |v| format!("{v:e}")));
        let row = format!("{},{}\n", line.step, text.join(","));
        self.csv.write_all(row.as_bytes()).context("metrics")?;
        let known = Line::NAMES.into_iter().zip(line.values()).filter_map(|(name, v)| Some((name, v?)));
        self.events.write(line.step, known)
    }

    /// Draws middle slices `z = 4` of the first blocks `[n, 1, 8, 8, 8]` beside their
    /// reconstructions.
    ///
    /// # Errors
    /// Where the picture cannot be written.
    pub fn draw(&self, blocks: &Tensor, decoded: &Tensor) -> Result<()> {
        let slices = |t: &Tensor| -> Result<Vec<_>> {
            let values = Vec::<f32>::try_from(t.to_device(tch::Device::Cpu).reshape([-1]))?;
            let slice = |block: &[f32]| {
                let at = |(y, x)| f64::from(block[(EDGE / 2 * EDGE + y) * EDGE + x]);
                ndarray::Array2::from_shape_fn((EDGE, EDGE), at)
            };
            Ok(values.chunks_exact(VALUES).take(6).map(slice).collect())
        };
        let pairs = slices(blocks)?.into_iter().zip(slices(decoded)?);
        let row =
            |(i, (original, reconstruction))| Row { name: format!("block {i}"), original, reconstruction };
        picture::draw(&self.picture, &pairs.enumerate().map(row).collect::<Vec<_>>())
    }
}

/// An event file of TensorBoard: records of protocol buffers (tensorflow/core/util/event.proto),
/// each with its length and two checksums (the format TFRecord).
struct Events(File);

impl Events {
    /// A new file in this folder. The reader puts files one after the other by their names, and
    /// forgets what older ones say of steps beyond `step`.
    fn open(folder: &Path, step: usize) -> Result<Self> {
        let what = || folder.display().to_string();
        if step == 0 && folder.exists() {
            std::fs::remove_dir_all(folder).with_context(what)?;
        }
        std::fs::create_dir_all(folder).with_context(what)?;
        let now = now();
        let name = format!("events.out.tfevents.{:010}.{:09}.swae", now.as_secs(), now.subsec_nanos());
        let mut events = Self(File::create(folder.join(name)).with_context(what)?);
        events.record(&[wall_time(), bytes(3, b"brain.Event:2")].concat())?;
        // SessionLog { status: START }: what follows supersedes what was after this step.
        let start = bytes(7, &number(1, 1));
        events.record(&[wall_time(), number(2, step as u64 + 1), start].concat())?;
        Ok(events)
    }

    fn write(&mut self, step: usize, values: impl Iterator<Item = (&'static str, f64)>) -> Result<()> {
        let value = |(tag, v): (&str, f64)| {
            let simple = [&[2 << 3 | 5][..], &(v as f32).to_le_bytes()].concat();
            bytes(1, &[bytes(1, tag.as_bytes()), simple].concat())
        };
        let summary: Vec<u8> = values.flat_map(value).collect();
        self.record(&[wall_time(), number(2, step as u64), bytes(5, &summary)].concat())
    }

    fn record(&mut self, event: &[u8]) -> Result<()> {
        let masked =
            |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
        let length = (event.len() as u64).to_le_bytes();
        let record = [&length[..], &masked(&length), event, &masked(event)].concat();
        self.0.write_all(&record).context("metrics for TensorBoard")
    }
}

fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Field 1 of an event, a double.
fn wall_time() -> Vec<u8> {
    [&[1 << 3 | 1][..], &now().as_secs_f64().to_le_bytes()].concat()
}

/// A field that is a number.
fn number(field: u8, value: u64) -> Vec<u8> {
    [vec![field << 3], varint(value)].concat()
}

/// A field that is a string or a message.
fn bytes(field: u8, value: &[u8]) -> Vec<u8> {
    [&[field << 3 | 2][..], &varint(value.len() as u64), value].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
