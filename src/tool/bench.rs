//! `swae bench`: us beside SZ3, ZFP and SPERR, on the same data, with the same bounds, in one run.
//!
//! A field is measured as a *grid* (its last step), as a *series* of steps that lean on one another, and cut into a list of
//! 8³ *boxes*, as an octree owns them. Peers get every layout that they take, and their best counts: a series as steps
//! alone or, where a peer takes four axes, whole; boxes stacked or on a fourth axis. All fields together are a *run*: a field's
//! time is then its share of everybody's.

mod run;

use crate::memory::peak_of;
use crate::{Steps, quality::psnr};
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;
use swae_codec::bound::ValueRange;
use swae_codec::decode::decompress_boxes;
use swae_codec::encode::{Bounded, compress_bounded};
use swae_codec::history::History;
use swae_codec::predict::PredictorSet;
use swae_codec::{Bound, Element, Field, FieldView, Model, Models};
use swae_store::{Decoder, open};

#[cfg(feature = "peers")]
use swae_peers::{Compared, Peer};
#[cfg(not(feature = "peers"))]
/// A type that can be measured.
pub trait Compared: Element {}
#[cfg(not(feature = "peers"))]
impl<T: Element> Compared for T {}

/// How a field is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// The last step alone
    Grid,
    /// All steps
    Series,
    /// The last step, cut into boxes of 8³
    Boxes,
    /// All steps, and fields that lean on one another
    Run,
}

impl Layout {
    /// Whether it is of all steps.
    fn is_series(self) -> bool {
        matches!(self, Self::Series | Self::Run)
    }
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Files with fields of float32 or float64 values.
    pub inputs: Vec<PathBuf>,
    /// Bounds relative to the range of each field and step.
    pub bounds: Vec<f64>,
    /// Layouts.
    pub layouts: Vec<Layout>,
    /// Peers by name; others are left out.
    pub peers: Vec<String>,
    /// Threads; 0 is all there are.
    pub threads: Vec<usize>,
    /// These fields alone; all where it is empty.
    pub variables: Vec<String>,
    /// These steps alone.
    pub steps: Option<Steps>,
    /// PredictorSet that take no part.
    pub candidates: PredictorSet,
    /// The network that takes part; none leaves it out.
    pub model: Option<Arc<Model>>,
    /// Each timing is the best of so many.
    pub repeat: usize,
}

/// One compressor on one field.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// File and name of the field.
    pub field: String,
    /// How it was handed over.
    pub layout: Layout,
    /// Bound relative to the range.
    pub bound: f64,
    /// Who.
    pub codec: String,
    /// Threads; 0 is all there are.
    pub threads: usize,
    /// Stored bits per value.
    pub bits: f64,
    /// Bytes as handed over, divided by bytes stored.
    pub ratio: f64,
    /// Of all steps or boxes together, against the range.
    pub psnr: f64,
    /// Largest error in units of the bound; above 1 it was violated.
    pub error: f64,
    /// Of uncompressed data.
    pub compress_mb_s: f64,
    /// Of uncompressed data.
    pub decompress_mb_s: f64,
    /// Most memory that compressing took, beyond what there was, in units of the data.
    pub peak_memory: f64,
}

/// One field: `[step][value]`, with the shape of a step.
struct Sample<T> {
    name: String,
    steps: Vec<Vec<T>>,
    /// `[nx, ny, nz]`.
    count: [usize; 3],
}

/// What a compressor is given: parts of one shape, and the bound of each.
struct Task<'a, T> {
    parts: Vec<&'a [T]>,
    count: [usize; 3],
    bounds: Vec<f64>,
}

/// Something that compresses a task into streams and back.
trait Contestant<T>: Sync {
    fn name(&self) -> String;
    fn compress(&self, task: &Task<'_, T>, threads: usize) -> Result<Vec<Vec<u8>>>;
    fn decompress(&self, streams: &[Vec<u8>], task: &Task<'_, T>, threads: usize) -> Result<Vec<Vec<T>>>;
}

/// Runs the plan, telling `report` every row as soon as it is known.
///
/// # Errors
/// Where an input cannot be read or holds nothing to measure.
pub fn run(plan: &Plan, mut report: impl FnMut(&Row)) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for input in &plan.inputs {
        let mut add = |row: Row| {
            report(&row);
            rows.push(row);
        };
        let (mut floats, mut doubles) = (Vec::new(), Vec::new());
        for name in names(input, plan)? {
            let steps = load(input, &name, plan)?;
            let name = match plan.inputs.len() {
                1 => name,
                _ => format!("{}:{name}", input.file_stem().unwrap_or_default().to_string_lossy()),
            };
            match steps.first() {
                Some(Field::F32(_)) => {
                    let of =
                        |f| if let Field::F32(a) = f { Some(a.into_raw_vec_and_offset().0) } else { None };
                    floats.extend(measure::<f32>(sample(name, steps, of)?, plan, &mut add)?);
                }
                Some(Field::F64(_)) => {
                    let of =
                        |f| if let Field::F64(a) = f { Some(a.into_raw_vec_and_offset().0) } else { None };
                    doubles.extend(measure::<f64>(sample(name, steps, of)?, plan, &mut add)?);
                }
                None => bail!("{}: no such step", input.display()),
            }
        }
        run::measure(&floats, plan, &mut add)?;
        run::measure(&doubles, plan, &mut add)?;
    }
    ensure!(!rows.is_empty(), "nothing was measured: every field is constant, or none was asked for");
    Ok(rows)
}

fn names(input: &Path, plan: &Plan) -> Result<Vec<String>> {
    let reader = open(input)?;
    let last = reader.steps().last().context("it holds no step")?;
    let names = last.fields.iter().map(|(info, _)| info.name.clone());
    Ok(names.filter(|n| plan.variables.is_empty() || plan.variables.contains(n)).collect())
}

fn load(input: &Path, name: &str, plan: &Plan) -> Result<Vec<Field>> {
    let mut reader = open(input)?;
    let mut decoder = Decoder::remembering();
    let series = plan.layouts.iter().any(|layout| layout.is_series());
    let mut chosen: Vec<usize> =
        (0..reader.steps().len()).filter(|&i| Steps::holds(plan.steps, reader.steps()[i].step)).collect();
    if !series {
        chosen = chosen.split_off(chosen.len().saturating_sub(1));
    }
    chosen.into_iter().map(|i| Ok(decoder.read_field(reader.as_mut(), i, name, None)?)).collect()
}

fn sample<T>(name: String, steps: Vec<Field>, of: impl Fn(Field) -> Option<Vec<T>>) -> Result<Sample<T>> {
    let count = steps[0].count();
    ensure!(steps.iter().all(|f| f.count() == count), "{name}: the shape changes from step to step");
    Ok(Sample { name, count, steps: steps.into_iter().filter_map(of).collect() })
}

fn width<T: Element>(values: &[T]) -> f64 {
    FieldView::dense(values, [values.len(), 1, 1]).map_or(0.0, |v| ValueRange::of(&v).width())
}

/// Measures a field by itself, and gives it back where it takes part in a run.
fn measure<T: Compared + Element>(
    sample: Sample<T>,
    plan: &Plan,
    add: &mut impl FnMut(Row),
) -> Result<Option<Sample<T>>> {
    let last = sample.steps.last().context("a sample has steps")?;
    let widths: Vec<f64> = sample.steps.iter().map(|s| width(s)).collect();
    let cut = if plan.layouts.contains(&Layout::Boxes) { cut(last, sample.count) } else { Vec::new() };
    for &layout in &plan.layouts {
        let (parts, count, widths): (Vec<&[T]>, _, Vec<f64>) = match layout {
            Layout::Grid => (vec![&last[..]], sample.count, vec![widths[widths.len() - 1]]),
            Layout::Series | Layout::Run => {
                (sample.steps.iter().map(|s| &s[..]).collect(), sample.count, widths.clone())
            }
            Layout::Boxes => {
                let parts: Vec<&[T]> = cut.chunks(512).collect();
                let width = widths[widths.len() - 1];
                let n = parts.len();
                (parts, [8; 3], vec![width; n])
            }
        };
        // A field that is constant is no match.
        if parts.is_empty() || widths.contains(&0.0) {
            continue;
        }
        for &bound in &plan.bounds {
            let bounds = widths.iter().map(|w| w * bound).collect();
            let task = Task { parts: parts.clone(), count, bounds };
            for contestant in contestants::<T>(layout, plan) {
                for &threads in &plan.threads {
                    match race(contestant.as_ref(), &task, threads, plan.repeat) {
                        Ok(row) => add(Row { field: sample.name.clone(), layout, bound, ..row }),
                        Err(e) => log::warn!("{} on {}: {e}", contestant.name(), sample.name),
                    }
                }
            }
        }
    }
    let whole = plan.layouts.contains(&Layout::Run) && !widths.contains(&0.0);
    Ok(whole.then_some(sample))
}

/// The whole blocks of a field in the order of an octree's leaves, along a Morton curve.
fn cut<T: Copy>(values: &[T], [nx, ny, nz]: [usize; 3]) -> Vec<T> {
    let grid = [nx / 8, ny / 8, nz / 8];
    let spread = |n: usize| (0..20).map(|bit| (n >> bit & 1) << (3 * bit)).sum::<usize>();
    let mut blocks: Vec<_> = (0..grid.iter().product())
        .map(|i: usize| [i % grid[0], i / grid[0] % grid[1], i / (grid[0] * grid[1])])
        .collect();
    blocks.sort_by_key(|b| spread(b[0]) | spread(b[1]) << 1 | spread(b[2]) << 2);
    let mut out = Vec::with_capacity(values.len());
    for [bx, by, bz] in blocks {
        for line in 0..64 {
            let (y, z) = (by * 8 + line % 8, bz * 8 + line / 8);
            let first = (z * ny + y) * nx + bx * 8;
            out.extend_from_slice(&values[first..first + 8]);
        }
    }
    out
}

fn contestants<T: Compared + Element>(layout: Layout, plan: &Plan) -> Vec<Box<dyn Contestant<T>>> {
    // A run is measured elsewhere.
    let us = (layout != Layout::Run)
        .then(|| Box::new(Us { layout, candidates: plan.candidates, model: plan.model.clone() }) as _);
    #[cfg(feature = "peers")]
    {
        let asked = |peer: &Box<dyn Peer<T>>| plan.peers.iter().any(|p| p.eq_ignore_ascii_case(peer.name()));
        let peers = swae_peers::all::<T>().into_iter().filter(asked);
        us.into_iter().chain(peers.map(|peer| Box::new(Them { peer, layout }) as _)).collect()
    }
    #[cfg(not(feature = "peers"))]
    us.into_iter().collect()
}

fn race<T: Element>(
    contestant: &dyn Contestant<T>,
    task: &Task<'_, T>,
    threads: usize,
    repeat: usize,
) -> Result<Row> {
    let raw = task.parts.iter().map(|p| size_of_val(*p)).sum::<usize>() as f64;
    let Timed { streams, decoded, compress, decompress, peak } = timed(
        threads,
        repeat,
        || contestant.compress(task, threads),
        |streams| contestant.decompress(streams, task, threads),
    )?;
    let Score { error, psnr, values } = score(&task.parts, &decoded, &task.bounds)?;
    let stored = streams.iter().map(Vec::len).sum::<usize>() as f64;
    Ok(Row {
        field: String::new(),
        layout: Layout::Grid,
        bound: 0.0,
        codec: contestant.name(),
        threads,
        bits: 8.0 * stored / values as f64,
        ratio: raw / stored,
        psnr,
        error,
        compress_mb_s: raw / compress / 1e6,
        decompress_mb_s: raw / decompress / 1e6,
        peak_memory: peak as f64 / raw,
    })
}

/// What came of compressing and decompressing.
struct Timed<S, D> {
    streams: S,
    decoded: D,
    /// Seconds, the best of all.
    compress: f64,
    decompress: f64,
    /// Bytes that compressing took.
    peak: u64,
}

fn timed<S: Send + Sync, D: Send>(
    threads: usize,
    repeat: usize,
    compress: impl Fn() -> Result<S> + Sync,
    decompress: impl Fn(&S) -> Result<D> + Sync,
) -> Result<Timed<S, D>> {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build()?;
    let peak = peak_of(|| pool.install(&compress).map(drop))?;
    let mut best: Option<Timed<S, D>> = None;
    for _ in 0..repeat.max(1) {
        let start = Instant::now();
        let streams = pool.install(&compress)?;
        let compressed = start.elapsed().as_secs_f64();
        let start = Instant::now();
        let decoded = pool.install(|| decompress(&streams))?;
        let decompressed = start.elapsed().as_secs_f64();
        let (a, b) = best.map_or((compressed, decompressed), |t| (t.compress, t.decompress));
        best = Some(Timed {
            streams,
            decoded,
            compress: a.min(compressed),
            decompress: b.min(decompressed),
            peak,
        });
    }
    best.context("it was never timed")
}

/// How good decoded parts are.
struct Score {
    /// Largest error in units of the bound.
    error: f64,
    psnr: f64,
    values: usize,
}

fn score<T: Element>(parts: &[&[T]], decoded: &[Vec<T>], bounds: &[f64]) -> Result<Score> {
    let (mut error, mut squares, mut values) = (0.0f64, 0.0, 0usize);
    let mut range = ValueRange::EMPTY;
    ensure!(decoded.len() == parts.len(), "it gave {} parts", decoded.len());
    for ((truth, back), bound) in parts.iter().zip(decoded).zip(bounds) {
        ensure!(truth.len() == back.len(), "it gave {} values", back.len());
        for (t, b) in truth.iter().zip(back) {
            let (t, b) = (t.to_f64(), b.to_f64());
            // What is not finite has to come back as it is.
            let off = if t.is_finite() {
                (t - b).abs()
            } else if t.to_bits() == b.to_bits() {
                0.0
            } else {
                f64::INFINITY
            };
            error = if off.is_nan() { f64::INFINITY } else { error.max(off / bound) };
            squares += off * off;
            values += 1;
            range = if t.is_finite() { range.and(ValueRange { least: t, greatest: t }) } else { range };
        }
    }
    Ok(Score { error, psnr: psnr(range.width(), squares / values as f64), values })
}

/// This library.
struct Us {
    layout: Layout,
    candidates: PredictorSet,
    model: Option<Arc<Model>>,
}

impl<T: Element> Contestant<T> for Us {
    fn name(&self) -> String {
        "swae".into()
    }

    fn compress(&self, task: &Task<'_, T>, _: usize) -> Result<Vec<Vec<u8>>> {
        let views =
            task.parts.iter().map(|p| Ok(FieldView::dense(p, task.count)?)).collect::<Result<Vec<_>>>()?;
        let (candidates, model) = (self.candidates, self.model.as_deref());
        let settings = |e| Bounded { candidates, model, ..Bounded::new(Bound::Absolute(e)) };
        if self.layout != Layout::Series {
            return Ok(vec![compress_bounded(&views, &settings(task.bounds[0]), None)?.0]);
        }
        let mut history = History::default();
        let step = |(view, &e): (&FieldView<'_, T>, &f64)| {
            Ok(compress_bounded(&[*view], &settings(e), Some(&mut history))?.0)
        };
        views.iter().zip(&task.bounds).map(step).collect()
    }

    fn decompress(&self, streams: &[Vec<u8>], _: &Task<'_, T>, _: usize) -> Result<Vec<Vec<T>>> {
        let mut models = Models::built_in();
        if let Some(model) = &self.model {
            models.add(model.decoder_only());
        }
        let mut history = (self.layout == Layout::Series).then(History::default);
        let mut out = Vec::new();
        for stream in streams {
            let fields = decompress_boxes(stream, &models, history.as_mut())?;
            out.extend(fields.into_iter().filter_map(T::into_array).map(|a| a.into_raw_vec_and_offset().0));
        }
        Ok(out)
    }
}

/// A peer, with the layout that suits it best.
#[cfg(feature = "peers")]
struct Them<T> {
    peer: Box<dyn Peer<T>>,
    layout: Layout,
}

#[cfg(feature = "peers")]
impl<T: Compared + Element> Them<T> {
    /// Ways to hand a task over: the parts of each call, and their shape.
    fn ways(&self, task: &Task<'_, T>) -> Vec<(usize, Vec<usize>)> {
        let [nx, ny, nz] = task.count;
        let n = task.parts.len();
        let four = (n, vec![n, nz, ny, nx]);
        match self.layout {
            Layout::Grid => vec![(1, vec![nz, ny, nx])],
            Layout::Series | Layout::Run if self.peer.four_axes() => vec![(1, vec![nz, ny, nx]), four],
            Layout::Series | Layout::Run => vec![(1, vec![nz, ny, nx])],
            Layout::Boxes if self.peer.four_axes() => vec![(n, vec![n * nz, ny, nx]), four],
            Layout::Boxes => vec![(n, vec![n * nz, ny, nx])],
        }
    }
}

#[cfg(feature = "peers")]
impl<T: Compared + Element> Contestant<T> for Them<T> {
    fn name(&self) -> String {
        self.peer.name().into()
    }

    /// The last byte of the first stream says which way was taken.
    fn compress(&self, task: &Task<'_, T>, threads: usize) -> Result<Vec<Vec<u8>>> {
        let mut best: Option<Vec<Vec<u8>>> = None;
        for (way, (together, shape)) in self.ways(task).into_iter().enumerate() {
            let calls = task.parts.chunks(together).zip(task.bounds.chunks(together));
            let call = |(parts, bounds): (&[&[T]], &[f64])| {
                let joined;
                let values = match parts {
                    [one] => *one,
                    _ => {
                        joined = parts.concat();
                        &joined
                    }
                };
                let bound = bounds.iter().copied().fold(f64::INFINITY, f64::min);
                self.peer.compress(values, &shape, bound, threads).map_err(anyhow::Error::msg)
            };
            let Ok(mut streams) = calls.map(call).collect::<Result<Vec<_>>>() else { continue };
            let size = |s: &Vec<Vec<u8>>| s.iter().map(Vec::len).sum::<usize>();
            if best.as_ref().is_none_or(|b| size(&streams) + 1 < size(b)) {
                streams[0].push(way as u8);
                best = Some(streams);
            }
        }
        best.context("it takes no such data")
    }

    fn decompress(&self, streams: &[Vec<u8>], task: &Task<'_, T>, threads: usize) -> Result<Vec<Vec<T>>> {
        let (way, first) = streams[0].split_last().context("an empty stream")?;
        let (_, shape) = self.ways(task).remove(usize::from(*way));
        let bytes = |i: usize| if i == 0 { first } else { &streams[i][..] };
        let mut out = Vec::new();
        for i in 0..streams.len() {
            let values = self.peer.decompress(bytes(i), &shape, threads).map_err(anyhow::Error::msg)?;
            match task.count.iter().product() {
                // Nobody pays for a copy that is not needed.
                n if n == values.len() => out.push(values),
                n => out.extend(values.chunks(n).map(<[T]>::to_vec)),
            }
        }
        Ok(out)
    }
}

/// The mean of a measure over the fields that all contestants of a group have.
fn mean(rows: &[&Row], of: impl Fn(&Row) -> f64) -> f64 {
    rows.iter().map(|r| of(r)).sum::<f64>() / rows.len().max(1) as f64
}

/// Prints a table for each layout and number of threads: means over all fields, and how many times smaller than the best
/// peer's our files are.
pub fn print(rows: &[Row]) {
    let mut groups: BTreeMap<(Layout, usize), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        groups.entry((row.layout, row.threads)).or_default().push(row);
    }
    for ((layout, threads), rows) in groups {
        let threads = if threads == 0 { "all threads".into() } else { format!("{threads} thread(s)") };
        println!("\n{layout:?}, {threads}: means over the fields; MB/s of uncompressed data");
        println!(
            "    bound   codec  fields  bits/value     ratio  PSNR/dB  error÷bound  compress  decompress  memory"
        );
        let mut bounds: Vec<f64> = rows.iter().map(|r| r.bound).collect();
        bounds.sort_by(|a, b| b.total_cmp(a));
        bounds.dedup();
        for bound in bounds {
            let mut codecs: Vec<(&str, Vec<&Row>)> = Vec::new();
            for row in rows.iter().filter(|r| r.bound == bound) {
                match codecs.iter_mut().find(|(name, _)| *name == row.codec) {
                    Some((_, of)) => of.push(row),
                    None => codecs.push((&row.codec, vec![row])),
                }
            }
            for (codec, of) in &codecs {
                let worst = of.iter().map(|r| r.error).fold(0.0, f64::max);
                let broken = of.iter().filter(|r| r.error > 1.0).count();
                println!(
                    "    {bound:<7.0e} {codec:<6} {:>6} {:>11.4} {:>9.1} {:>8.1} {:>12.4} {:>9.0} {:>11.0} {:>7.2}{}",
                    of.len(),
                    mean(of, |r| r.bits),
                    // All fields take the same memory: the ratio of all together.
                    of.len() as f64 / of.iter().map(|r| 1.0 / r.ratio).sum::<f64>(),
                    mean(of, |r| r.psnr.min(999.0)),
                    worst,
                    of.len() as f64 / of.iter().map(|r| 1.0 / r.compress_mb_s).sum::<f64>(),
                    of.len() as f64 / of.iter().map(|r| 1.0 / r.decompress_mb_s).sum::<f64>(),
                    of.iter().map(|r| r.peak_memory).fold(0.0, f64::max),
                    if broken > 0 { format!("  BOUND BROKEN on {broken} field(s)") } else { String::new() }
                );
            }
            let bits = |of: &Vec<&Row>| mean(of, |r| r.bits);
            let ours = codecs.iter().find(|(name, _)| *name == "swae").map(|(_, of)| bits(of));
            let best = codecs.iter().filter(|(name, _)| *name != "swae").map(|(name, of)| (bits(of), *name));
            if let (Some(ours), Some((best, name))) = (ours, best.min_by(|a, b| a.0.total_cmp(&b.0))) {
                println!("            {:.2} times smaller than {name}", best / ours);
            }
        }
    }
}
