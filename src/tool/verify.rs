//! `swae verify`: whether a file is sound and, where the original is given, whether every value keeps
//! the bound that the file states.

use crate::soundness::examine;
use crate::source::{boxes, hull};
use anyhow::{Context, Result, bail, ensure};
use ndarray::{Array3, ArrayView3, Zip, s};
use std::ops::Range;
use std::path::{Path, PathBuf};
use swae_codec::bound::Tolerance;
use swae_codec::config::Mode;
use swae_codec::stream::{Header, Kind};
use swae_codec::{Bound, Compression, Field};
use swae_store::{Decoder, FieldInfo, Reader, Stored, find, missing_value, open, open_damaged, plain};

/// Flags of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The compressed file (.swae, .h5, .bp); with another one in front of it, that is the original:
    /// steps and fields of the same names, or .npy
    #[arg(required = true, num_args = 1..=2, value_name = "[ORIGINAL] FILE")]
    files: Vec<PathBuf>,
}

/// Verifies a file by itself, or with its original.
///
/// # Errors
/// Where anything is damaged, or a value misses its bound.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.files[..] {
        [original, compressed] => compare(original, compressed),
        [file] => check(file),
        _ => bail!("one file, or an original and its compressed file"),
    }
}

/// Reads and decodes all that a file holds, and prints which steps and fields are sound.
fn check(path: &Path) -> Result<()> {
    let mut reader = open_damaged(path)?;
    let found = examine(reader.as_mut());
    for (step, sound) in reader.steps().iter().zip(&found.sound) {
        let all = step.fields.len();
        let outcome = if sound.len() == all { "sound".into() } else { format!("{} sound", sound.len()) };
        println!("step {}  time {}  {all} field(s): {outcome}", step.step, step.time);
    }
    for line in &found.damaged {
        println!("damaged: {line}");
    }
    ensure!(
        found.damaged.is_empty(),
        "{}: it is damaged; swae repair writes what is sound to a new file",
        path.display()
    );
    Ok(())
}

/// Compares all steps and fields with the original, value by value, and prints the largest errors.
///
/// # Errors
/// Where any value exceeds its bound, any NaN or missing value loses its bits, shapes differ, or a
/// stream states no bound.
fn compare(original: &Path, compressed: &Path) -> Result<()> {
    let mut reader = open(compressed)?;
    let mut decoder = Decoder::remembering();
    let mut originals = Original::open(original)?;
    let mut misses = 0;
    for index in 0..reader.steps().len() {
        let step = reader.steps()[index].clone();
        for (info, _) in &step.fields {
            let Some(region) = hull(&boxes(reader.as_mut(), index, info)?) else { continue };
            let truth = originals.read(step.step, info, region.clone());
            let truth = truth.with_context(|| original.display().to_string())?;
            let first = region.each_ref().map(|range| range.start);
            let decoded = decoder.read_field(reader.as_mut(), index, &info.name, Some(region))?;
            ensure!(truth.count() == decoded.count(), "{}: it has another shape", original.display());
            let stored = reader.read_streams(index, &info.name)?;
            let errors = verify_field(&truth.to_f64(), &decoded.to_f64(), first, &stored)?;
            misses += errors.misses;
            let outcome = match errors.misses {
                0 => "kept".into(),
                n => format!("MISSED by {n} values"),
            };
            let (number, largest) = (step.step, errors.largest);
            println!("step {number}  {:<12} largest error {largest:.4} of the bound: {outcome}", info.name);
        }
    }
    ensure!(misses == 0, "{misses} values miss their bound");
    Ok(())
}

/// Where the original values come from.
enum Original {
    /// The arrays of a `.npy` file of four axes (a series, or a list of boxes), one after the other.
    List(std::vec::IntoIter<Field>),
    /// A file of the same steps and fields, or a `.npy` file of three axes.
    File(Box<dyn Reader>, Decoder),
}

impl Original {
    fn open(path: &Path) -> Result<Self> {
        if path.extension().is_some_and(|e| e == "npy")
            && let Ok(list) = plain::read_npy_list(path)
        {
            return Ok(Self::List(list.into_iter()));
        }
        Ok(Self::File(open(path)?, Decoder::remembering()))
    }

    /// The original of a field of a step, in a region; a list has no regions.
    fn read(&mut self, step: i64, field: &FieldInfo, region: [Range<usize>; 3]) -> Result<Field> {
        match self {
            Self::List(fields) => stacked(fields, field.shape),
            Self::File(reader, decoder) => same_field(reader.as_mut(), decoder, step, field, region),
        }
    }
}

/// As many fields of a list, stacked along z, as make the shape.
fn stacked(fields: &mut impl Iterator<Item = Field>, count: [usize; 3]) -> Result<Field> {
    let (mut parts, mut nz) = (Vec::new(), 0);
    while nz < count[2] {
        let Some(field) = fields.next() else { bail!("the original has fewer steps or boxes") };
        nz += field.count()[2];
        parts.push(field.to_f64());
    }
    let views: Vec<_> = parts.iter().map(|a| a.view()).collect();
    if views.is_empty() {
        return Ok(Field::F64(Array3::from_shape_vec((count[2], count[1], count[0]), Vec::new())?));
    }
    Ok(Field::F64(ndarray::concatenate(ndarray::Axis(0), &views)?))
}

fn same_field(
    reader: &mut dyn Reader,
    decoder: &mut Decoder,
    step: i64,
    field: &FieldInfo,
    region: [Range<usize>; 3],
) -> Result<Field> {
    let steps = reader.steps();
    let Some(index) = steps.iter().position(|s| s.step == step) else {
        bail!("the original has no step {step}")
    };
    let name = match &steps[index].fields[..] {
        [(only, _)] => only.name.clone(),
        _ => field.name.clone(),
    };
    let shape = find(reader, index, &name)?.shape;
    ensure!(shape == field.shape, "it has shape {shape:?}, the compressed file {:?}", field.shape);
    Ok(decoder.read_field(reader, index, &name, Some(region))?)
}

/// The errors of a field.
#[derive(Clone, Copy, Default)]
struct Errors {
    /// The largest one, in units of the bound.
    largest: f64,
    /// Values that miss the bound.
    misses: usize,
}

/// The errors of a field, of which a region that begins at `first` is given; each stream has its own
/// tolerance.
fn verify_field(
    truth: &Array3<f64>,
    decoded: &Array3<f64>,
    first: [usize; 3],
    stored: &[Stored],
) -> Result<Errors> {
    let mut all = Errors::default();
    for stored in stored {
        let tolerance = tolerance(stored)?;
        let missing = missing_value(stored);
        for row in stored.rows() {
            // One without points may lie outside.
            if row.count.contains(&0) {
                continue;
            }
            let begin = |a: usize| row.start[a] - first[a];
            let [x, y, z] = std::array::from_fn(|a| begin(a)..begin(a) + row.count[a]);
            let part = s![z, y, x];
            let found = errors(truth.slice(part), decoded.slice(part), tolerance, missing);
            all.largest = all.largest.max(found.largest);
            all.misses += found.misses;
        }
    }
    Ok(all)
}

fn tolerance(stored: &Stored) -> Result<Tolerance> {
    match stored {
        Stored::Stream { stream, .. } => of_stream(stream.header()),
        Stored::Values { compression: Some(compression), .. } => of_filter(compression),
        Stored::Values { compression: None, .. } => Ok(Tolerance::Absolute(0.0)),
    }
}

/// The tolerance that a stream states.
fn of_stream(header: &Header) -> Result<Tolerance> {
    match &header.kind {
        Kind::Bounded(preamble) => Ok(preamble.tolerance),
        Kind::Raw => Ok(Tolerance::Absolute(0.0)),
        Kind::Latent(..) => bail!("latents promise no bound; see swae compare"),
        _ => bail!("this program does not know the stream's mode"),
    }
}

/// The tolerance of all chunks that the HDF5 filter compressed.
fn of_filter(compression: &Compression) -> Result<Tolerance> {
    match compression.mode {
        Mode::Bounded(Bound::Absolute(e)) => Ok(Tolerance::Absolute(e)),
        Mode::Bounded(Bound::PointwiseRelative(r)) => Ok(Tolerance::PointwiseRelative(r)),
        Mode::Bounded(bound) => bail!("the filter has kept {bound} in each chunk; see swae compare"),
        Mode::Raw => Ok(Tolerance::Absolute(0.0)),
        Mode::Latent(_) => bail!("latents promise no bound; see swae compare"),
    }
}

fn errors(
    truth: ArrayView3<'_, f64>,
    decoded: ArrayView3<'_, f64>,
    tolerance: Tolerance,
    missing: Option<f64>,
) -> Errors {
    let mut all = Errors::default();
    Zip::from(truth).and(decoded).for_each(|&t, &d| {
        if t.to_bits() == d.to_bits() {
            return;
        }
        let (error, allowed) = match tolerance {
            Tolerance::Absolute(e) => ((t - d).abs(), e),
            Tolerance::PointwiseRelative(r) => ((t - d).abs(), r * t.abs()),
        };
        // NaN, −0 and missing values must keep their bits.
        let is_missing = missing.is_some_and(|missing| t.to_bits() == missing.to_bits());
        let is_exact = is_missing || !t.is_finite() || (t == 0.0 && t.is_sign_negative());
        let is_kept = error <= allowed && !is_exact;
        all.misses += usize::from(!is_kept);
        if is_missing {
            return;
        }
        all.largest = if error.is_nan() { f64::INFINITY } else { all.largest.max(error / allowed) };
    });
    all
}
