//! `swae compare`: quality metrics of a reconstruction, field by field, and pictures of slices.

use crate::Selection;
use crate::source::{boxes, hull, raw_bytes};
use anyhow::{Context, Result, ensure};
use ndarray::{Array3, Zip};
use serde::Serialize;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use swae_codec::Dtype;
use swae_metrics::picture::{self, Row};
use swae_metrics::quality::{Quality, middle_slice, quality};
use swae_store::{Decoder, NewFile, Reader, find, missing_value, open};

/// Flags of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// The original
    original: PathBuf,
    /// The reconstruction
    reconstruction: PathBuf,
    #[command(flatten)]
    selection: Selection,
    /// The value that missing points of the original hold: they are left out, but for whether they
    /// come back to the bit [default: what the reconstruction's streams state, and NaN]
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    fill: Option<f64>,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Draws the middle slices of up to six fields of the last step
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
    /// The fields to draw, with commas between them [default: the first six]
    #[arg(long, value_delimiter = ',', requires = "png", value_name = "FIELDS")]
    png_fields: Vec<String>,
}

/// One field of one step, compared.
#[derive(Debug, Serialize)]
struct Comparison {
    /// The simulation's number of the step.
    step: i64,
    /// Its name in the original.
    field: String,
    /// Bytes of the values.
    raw_bytes: u64,
    /// Bytes that the reconstruction's file takes for it.
    stored_bytes: u64,
    #[serde(flatten)]
    quality: Quality,
}

/// A field of the original and the same one of the reconstruction.
struct Pair {
    original: (usize, String),
    reconstruction: (usize, String),
}

/// Compares all steps and fields that both files have, and prints the metrics.
///
/// # Errors
/// Where the files have nothing in common, or shapes differ.
pub fn run(arguments: &Arguments) -> Result<()> {
    let comparisons = compare(arguments)?;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&comparisons)?);
    } else {
        print(&comparisons);
    }
    Ok(())
}

fn compare(arguments: &Arguments) -> Result<Vec<Comparison>> {
    let Arguments { original, reconstruction, selection, fill, png, png_fields, .. } = arguments;
    let (mut left, mut right) = (open(original)?, open(reconstruction)?);
    let pairs = pairs(left.as_ref(), right.as_ref(), selection);
    ensure!(
        !pairs.is_empty(),
        "{} and {} have no step and field in common (or not the one that was asked for)",
        original.display(),
        reconstruction.display()
    );
    let last = pairs.iter().map(|pair| pair.original.0).max();
    let (mut left_decoder, mut right_decoder) = (Decoder::remembering(), Decoder::remembering());
    let (mut rows, mut out) = (Vec::new(), Vec::new());
    for Pair { original: (step, name), reconstruction: (other_step, other_name) } in pairs {
        let info = find(right.as_ref(), other_step, &other_name)?;
        let left_info = find(left.as_ref(), step, &name)?;
        let shape = left_info.shape;
        ensure!(shape == info.shape, "field {name}: shapes {shape:?} and {:?} [x, y, z] differ", info.shape);
        let mut all_boxes = boxes(left.as_mut(), step, &left_info)?;
        all_boxes.extend(boxes(right.as_mut(), other_step, &info)?);
        let Some(region) = hull(&all_boxes) else { continue };
        let original = left_decoder.read_field(left.as_mut(), step, &name, Some(region.clone()))?;
        let reconstruction =
            right_decoder.read_field(right.as_mut(), other_step, &other_name, Some(region))?;
        let dtype = original.dtype();
        let (mut original, mut reconstruction) = (original.to_f64(), reconstruction.to_f64());
        let streams = right.read_streams(other_step, &other_name)?;
        let stated = fill.map(|fill| if dtype == Dtype::F32 { f64::from(fill as f32) } else { fill });
        for missing in streams.iter().filter_map(missing_value).chain(stated) {
            leave_out(&mut original, &mut reconstruction, missing);
        }
        let stored = right.steps()[other_step].fields.iter().find(|(info, _)| info.name == other_name);
        let stored_bytes = stored.map_or(0, |(_, bytes)| *bytes);
        let is_drawn = png_fields.is_empty() || png_fields.contains(&name);
        if png.is_some() && Some(step) == last && is_drawn {
            let slices = (middle_slice(&original), middle_slice(&reconstruction));
            rows.push(Row { name: name.clone(), original: slices.0, reconstruction: slices.1 });
        }
        out.push(Comparison {
            step: left.steps()[step].step,
            field: name,
            raw_bytes: raw_bytes(right.as_mut(), other_step, &info)?,
            stored_bytes,
            quality: quality(&original, &reconstruction),
        });
    }
    png.as_deref().map_or(Ok(()), |path| draw(path, &rows))?;
    Ok(out)
}

/// Makes points that are missing in the original NaN, and in the reconstruction, too, where it has
/// them: metrics leave out what is not finite, and count what of it is lost.
fn leave_out(original: &mut Array3<f64>, reconstruction: &mut Array3<f64>, missing: f64) {
    Zip::from(original).and(reconstruction).for_each(|original, reconstruction| {
        if original.to_bits() == missing.to_bits() {
            if reconstruction.to_bits() == missing.to_bits() {
                *reconstruction = f64::NAN;
            }
            *original = f64::NAN;
        }
    });
}

fn draw(path: &Path, rows: &[Row]) -> Result<()> {
    let new = NewFile::at(path)?;
    picture::draw(new.path(), rows).with_context(|| path.display().to_string())?;
    Ok(new.finish()?)
}

/// Fields of the same step and name; where the original is a single field, whatever its name, the only
/// one that is selected of the reconstruction.
fn pairs(original: &dyn Reader, reconstruction: &dyn Reader, selection: &Selection) -> Vec<Pair> {
    let mut candidates = Vec::new();
    for index in selection.steps_of(reconstruction) {
        let fields = reconstruction.steps()[index].fields.iter().map(|(info, _)| &info.name);
        candidates.extend(fields.filter(|name| selection.has_field(name)).map(|name| (index, name.clone())));
    }
    if let ([step], [only]) = (original.steps(), &candidates[..])
        && let [(info, _)] = &step.fields[..]
    {
        return vec![Pair { original: (0, info.name.clone()), reconstruction: only.clone() }];
    }
    let places: HashMap<_, _> =
        reconstruction.steps().iter().enumerate().map(|(index, step)| (step.step, index)).collect();
    // The last step is the last one of both.
    let common: Vec<_> = original.steps().iter().map(|step| step.step).collect();
    let common: Vec<_> = common.into_iter().filter(|number| places.contains_key(number)).collect();
    let selected = selection.numbers(&common);
    let mut found = Vec::new();
    for (index, step) in original.steps().iter().enumerate().filter(|(_, s)| selected.contains(&s.step)) {
        let at = places[&step.step];
        let others = &reconstruction.steps()[at].fields;
        for (info, _) in &step.fields {
            let name = &info.name;
            if selection.has_field(name) && others.iter().any(|(other, _)| other.name == *name) {
                found.push(Pair { original: (index, name.clone()), reconstruction: (at, name.clone()) });
            }
        }
    }
    found
}

/// Prints a line for each field of each step, and the means.
fn print(comparisons: &[Comparison]) {
    println!(
        "{:>6} {:<10} {:>12} {:>12} {:>7} {:>9} {:>10} {:>10} {:>10} {:>10} {:>8}",
        "step",
        "field",
        "raw bytes",
        "stored",
        "ratio",
        "PSNR/dB",
        "max error",
        "MSE",
        "MAE",
        "correl.",
        "SSIM"
    );
    comparisons.iter().for_each(print_line);
    let finite: Vec<f64> = comparisons.iter().map(|c| c.quality.psnr).filter(|p| p.is_finite()).collect();
    let raw: u64 = comparisons.iter().map(|c| c.raw_bytes).sum();
    let stored: u64 = comparisons.iter().map(|c| c.stored_bytes).sum();
    if !finite.is_empty() {
        println!(
            "ratio of all {:.1}; mean PSNR {:.2} dB over the {} fields that are not exact (peak: the value range of the original)",
            raw as f64 / stored.max(1) as f64,
            finite.iter().sum::<f64>() / finite.len() as f64,
            finite.len()
        );
    }
}

fn print_line(c: &Comparison) {
    let q = &c.quality;
    println!(
        "{:>6} {:<10} {:>12} {:>12} {:>7.1} {:>9.2} {:>10.3e} {:>10.3e} {:>10.3e} {:>10.6} {:>8.5}",
        c.step,
        c.field,
        c.raw_bytes,
        c.stored_bytes,
        c.raw_bytes as f64 / c.stored_bytes.max(1) as f64,
        q.psnr,
        q.max_error,
        q.mse,
        q.mae,
        q.correlation,
        q.ssim
    );
    if q.non_finite > 0 {
        println!(
            "       {} values are missing or not finite, {} of them lost",
            q.non_finite, q.non_finite_lost
        );
    }
}
