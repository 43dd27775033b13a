//! `swae compare`: how good a reconstruction is.

use crate::Steps;
use crate::picture::{self, Row};
use crate::quality::{Quality, middle_slice, quality};
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use std::path::Path;
use swae_store::{Reader, open, read_field};

/// One field of one step, compared.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The simulation's number of the step.
    pub step: i64,
    /// Its name in the first file.
    pub field: String,
    /// Bytes of the values.
    pub raw_bytes: u64,
    /// Bytes that the second file takes for it.
    pub stored_bytes: u64,
    /// How alike they are; the first file is the original.
    #[serde(flatten)]
    pub quality: Quality,
}

/// The (index in a, index in b, field in a, field in b) that belong together: same step, same name; two files
/// of a single field are compared whatever its name.
fn pairs(
    a: &dyn Reader,
    b: &dyn Reader,
    variables: &[String],
    steps: Option<Steps>,
) -> Vec<(usize, usize, String, String)> {
    if let ([x], [y]) = (a.steps(), b.steps())
        && let ([(f, _)], [(g, _)]) = (&x.fields[..], &y.fields[..])
    {
        return vec![(0, 0, f.name.clone(), g.name.clone())];
    }
    let mut found = Vec::new();
    for (i, x) in a.steps().iter().enumerate().filter(|(_, x)| Steps::holds(steps, x.step)) {
        let Some(j) = b.steps().iter().position(|y| y.step == x.step) else { continue };
        for (info, _) in &x.fields {
            let wanted = variables.is_empty() || variables.contains(&info.name);
            if wanted && b.steps()[j].fields.iter().any(|(other, _)| other.name == info.name) {
                found.push((i, j, info.name.clone(), info.name.clone()));
            }
        }
    }
    found
}

/// Compares all steps and fields that both files have; `png` gets a picture of the middle slices of the last step,
/// of the fields in `drawn` or, where that is empty, of the first few.
///
/// # Errors
/// Where the files have nothing in common, or shapes differ.
pub fn compare(
    a: &Path,
    b: &Path,
    variables: &[String],
    steps: Option<Steps>,
    png: Option<&Path>,
    drawn: &[String],
) -> Result<Vec<Comparison>> {
    let (mut left, mut right) = (open(a)?, open(b)?);
    let pairs = pairs(left.as_ref(), right.as_ref(), variables, steps);
    ensure!(
        !pairs.is_empty(),
        "{} and {} have no step and field in common (or not the one that was asked for)",
        a.display(),
        b.display()
    );
    let last = pairs.iter().map(|p| p.0).max();
    let (mut rows, mut out) = (Vec::new(), Vec::new());
    for (i, j, field, other) in pairs {
        let original = read_field(left.as_mut(), i, &field)?.to_f64();
        let reconstruction = read_field(right.as_mut(), j, &other)?.to_f64();
        ensure!(
            original.dim() == reconstruction.dim(),
            "field {field}: shapes {:?} and {:?} [z, y, x] differ",
            original.dim(),
            reconstruction.dim()
        );
        let stored = right.steps()[j].fields.iter().find(|(f, _)| f.name == other);
        let (info, stored) = stored.context("a field that was found is gone")?;
        if png.is_some() && Some(i) == last && (drawn.is_empty() || drawn.contains(&field)) {
            let slices = (middle_slice(&original), middle_slice(&reconstruction));
            rows.push(Row { name: field.clone(), original: slices.0, reconstruction: slices.1 });
        }
        out.push(Comparison {
            step: left.steps()[i].step,
            field,
            raw_bytes: info.raw_bytes(),
            stored_bytes: *stored,
            quality: quality(&original, &reconstruction),
        });
    }
    if let Some(png) = png {
        picture::draw(png, &rows).with_context(|| png.display().to_string())?;
    }
    Ok(out)
}

/// The table that people read.
pub fn print(comparisons: &[Comparison]) {
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
    for c in comparisons {
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
            println!("       {} values are not finite, {} of them lost", q.non_finite, q.non_finite_lost);
        }
    }
    let finite: Vec<f64> = comparisons.iter().map(|c| c.quality.psnr).filter(|p| p.is_finite()).collect();
    let raw: u64 = comparisons.iter().map(|c| c.raw_bytes).sum();
    let stored: u64 = comparisons.iter().map(|c| c.stored_bytes).sum();
    if !finite.is_empty() {
        println!(
            "ratio of all {:.1}; mean PSNR {:.2} dB over the {} fields that are not exact (peak: the range of the original)",
            raw as f64 / stored.max(1) as f64,
            finite.iter().sum::<f64>() / finite.len() as f64,
            finite.len()
        );
    }
}
