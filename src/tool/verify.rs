//! `swae verify`: whether a file is sound and, where the original is given, whether every value keeps
//! the bound that the file states.

use crate::Selection;
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
    /// With an original: which fields and steps of the file
    #[command(flatten)]
    selection: Selection,
}

/// Verifies a file by itself, or with its original.
///
/// # Errors
/// Where anything is damaged, or a value misses its bound.
pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.files[..] {
        [original, compressed] => compare(original, compressed, &arguments.selection),
        [file] => {
            let all = arguments.selection.variables.is_empty() && arguments.selection.step.is_none();
            ensure!(all, "--var and --step need an original; without one all of a file is verified");
            check(file)
        }
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

/// Compares the selected steps and fields with the original, value by value, and prints the largest
/// errors.
///
/// # Errors
/// Where any value exceeds its bound, any NaN or missing value loses its bits, shapes differ, or
/// nothing states a bound.
fn compare(original: &Path, compressed: &Path, selection: &Selection) -> Result<()> {
    let mut reader = open(compressed)?;
    if compressed.extension().is_some_and(|ending| ending == "npy" || ending == "vti") {
        bail!("{}: it states no bound, for it is not compressed; see swae compare", compressed.display());
    }
    let mut decoder = Decoder::remembering();
    let mut originals = Original::open(original)?;
    let steps = selection.steps_of(reader.as_ref());
    let mut fields = Vec::new();
    for (index, step) in reader.steps().iter().enumerate() {
        let of_step = steps.contains(&index);
        let field = |(info, _): &(FieldInfo, u64)| {
            let is_selected = of_step && selection.has_field(&info.name);
            (index, step.step, info.clone(), is_selected)
        };
        fields.extend(step.fields.iter().map(field));
    }
    let selected = fields.iter().filter(|(.., is_selected)| *is_selected).count();
    ensure!(selected > 0, "{}: it has no such step and field", compressed.display());
    if originals.is_one_field() && selected > 1 {
        let (original, file) = (original.display(), compressed.display());
        bail!("{original} holds one field of one step: --var and --step say which one of {file} it is");
    }
    let (mut misses, mut verified) = (0, 0);
    for (index, number, info, is_selected) in &fields {
        if !is_selected {
            originals.pass_over(info)?;
            continue;
        }
        let Some(region) = hull(&boxes(reader.as_mut(), *index, info)?) else {
            println!("step {number}  {:<12} has no boxes", info.name);
            continue;
        };
        let truth = originals.read(*number, info, region.clone());
        let truth = truth.with_context(|| original.display().to_string())?;
        let first = region.each_ref().map(|range| range.start);
        let decoded = decoder.read_field(reader.as_mut(), *index, &info.name, Some(region))?;
        ensure!(truth.count() == decoded.count(), "{}: it has another shape", original.display());
        let stored = reader.read_streams(*index, &info.name)?;
        let found = verify_field(&truth.to_f64(), &decoded.to_f64(), first, &stored)?;
        let Some(Errors { largest, misses: missed }) = found else {
            println!("step {number}  {:<12} promises no bound: {}", info.name, info.encoding);
            continue;
        };
        verified += 1;
        misses += missed;
        let outcome = match missed {
            0 => "kept".into(),
            n => format!("MISSED by {n} values"),
        };
        println!("step {number}  {:<12} largest error {largest:.4} of the bound: {outcome}", info.name);
    }
    ensure!(misses == 0, "{misses} values miss their bound");
    ensure!(verified > 0, "{}: nothing in it promises a bound; see swae compare", compressed.display());
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

    fn is_one_field(&self) -> bool {
        let Self::File(reader, _) = self else { return false };
        matches!(reader.steps(), [only] if only.fields.len() == 1)
    }

    /// Goes on behind a field that is not verified.
    fn pass_over(&mut self, field: &FieldInfo) -> Result<()> {
        match self {
            Self::List(fields) => stacked(fields, field.shape).map(|_| ()),
            Self::File(..) => Ok(()),
        }
    }

    /// The original of a field of a step, in a region; a list has no regions. A single field is that
    /// of any name and step.
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
    let (index, name) = match steps {
        [only] if only.fields.len() == 1 => (0, only.fields[0].0.name.clone()),
        _ => {
            let index = steps.iter().position(|s| s.step == step);
            (index.with_context(|| format!("it has no step {step}"))?, field.name.clone())
        }
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
/// tolerance. None where one promises no bound.
fn verify_field(
    truth: &Array3<f64>,
    decoded: &Array3<f64>,
    first: [usize; 3],
    stored: &[Stored],
) -> Result<Option<Errors>> {
    let mut all = Errors::default();
    for stored in stored {
        let Some(tolerance) = tolerance(stored)? else { return Ok(None) };
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
    Ok(Some(all))
}

/// The tolerance that what is stored promises; none without a bound.
fn tolerance(stored: &Stored) -> Result<Option<Tolerance>> {
    match stored {
        Stored::Stream { stream, .. } => of_stream(stream.header()),
        Stored::Values { compression: Some(compression), .. } => Ok(of_filter(compression)),
        Stored::Values { compression: None, .. } => Ok(Some(Tolerance::Absolute(0.0))),
    }
}

/// The tolerance that a stream states.
fn of_stream(header: &Header) -> Result<Option<Tolerance>> {
    match &header.kind {
        Kind::Bounded(preamble) => Ok(Some(preamble.tolerance)),
        Kind::Raw => Ok(Some(Tolerance::Absolute(0.0))),
        Kind::Latent(..) => Ok(None),
        _ => bail!("this program does not know the stream's mode"),
    }
}

/// The tolerance of all chunks that the HDF5 filter compressed; none where each has its own, or there
/// is no bound.
fn of_filter(compression: &Compression) -> Option<Tolerance> {
    match compression.mode {
        Mode::Bounded(Bound::Absolute(e)) => Some(Tolerance::Absolute(e)),
        Mode::Bounded(Bound::PointwiseRelative(r)) => Some(Tolerance::PointwiseRelative(r)),
        Mode::Raw => Some(Tolerance::Absolute(0.0)),
        Mode::Bounded(_) | Mode::Latent(_) => None,
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
