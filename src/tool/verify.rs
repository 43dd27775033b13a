//! `swae verify`: whether every value of a file keeps the bound that the file states.

use anyhow::{Result, bail, ensure};
use ndarray::{Array3, ArrayView3, Zip, s};
use std::path::Path;
use swae_codec::bound::Tolerance;
use swae_codec::stream::Kind;
use swae_codec::stream::header;
use swae_codec::{Bound, Field};
use swae_plugins::parameters::Coding;
use swae_store::{Decoder, Reader, StoredStream, open, plain};

/// Compares all steps and fields of `compressed` with `original`, value by value, and prints the largest errors. An original
/// is a file of the same steps and fields, or a `.npy` file of three axes or (a series, a list of boxes) four.
///
/// # Errors
/// Where any value misses its bound or any NaN its bits, shapes differ, or a stream states no bound.
pub fn verify(original: &Path, compressed: &Path) -> Result<()> {
    let mut right = open(compressed)?;
    let mut decoder = Decoder::remembering();
    let mut list = match original.extension().is_some_and(|e| e == "npy") {
        true => plain::read_npy_list(original).ok().map(Vec::into_iter),
        false => None,
    };
    let mut left = if list.is_none() { Some(open(original)?) } else { None };
    let mut originals = Decoder::remembering();
    let mut misses = 0;
    for index in 0..right.steps().len() {
        let step = right.steps()[index].clone();
        for (info, _) in &step.fields {
            let decoded = decoder.read_field(right.as_mut(), index, &info.name, None)?;
            let truth = match (&mut list, &mut left) {
                (Some(fields), _) => next_of(fields, decoded.count())?,
                (None, Some(reader)) => same_field(reader.as_mut(), &mut originals, step.step, &info.name)?,
                (None, None) => bail!("{}: nothing to compare with", original.display()),
            };
            ensure!(
                truth.count() == decoded.count(),
                "{} has shape {:?}, {} {:?}",
                original.display(),
                truth.count(),
                compressed.display(),
                decoded.count()
            );
            let (truth, decoded) = (truth.to_f64(), decoded.to_f64());
            // Each box has its own tolerance: of a PSNR, whatever was enough there.
            let (mut worst, mut missed) = (0.0f64, 0);
            for stream in right.read_streams(index, &info.name)? {
                let tolerance = tolerance(&stream)?;
                for row in stream.rows {
                    let [x, y, z] = std::array::from_fn(|a| row.start[a]..row.start[a] + row.count[a]);
                    let part = s![z, y, x];
                    let found = compare(truth.slice(part), decoded.slice(part), tolerance);
                    worst = worst.max(found.0);
                    missed += found.1;
                }
            }
            misses += missed;
            println!(
                "step {}  {:<12} largest error {worst:.4} of what is allowed: {}",
                step.step,
                info.name,
                if missed == 0 { "kept".into() } else { format!("MISSED by {missed} values") }
            );
        }
    }
    ensure!(misses == 0, "{misses} values miss their bound");
    Ok(())
}

fn tolerance(stream: &StoredStream) -> Result<Tolerance> {
    if let Some(parameters) = &stream.filter {
        return match parameters.coding {
            Coding::Bounded(Bound::Absolute(e)) => Ok(Tolerance::Absolute(e)),
            Coding::Bounded(Bound::PointwiseRelative(r)) => Ok(Tolerance::PointwiseRelative(r)),
            Coding::Raw => Ok(Tolerance::Absolute(0.0)),
            Coding::Bounded(bound) => bail!("the filter has kept {bound} in each chunk; see swae compare"),
            Coding::Latent => bail!("latents promise no bound; see swae compare"),
        };
    }
    match header(&stream.bytes)?.kind {
        Kind::Bounded(preamble) => Ok(preamble.tolerance),
        Kind::Raw => Ok(Tolerance::Absolute(0.0)),
        Kind::Latent(..) => bail!("latents promise no bound; see swae compare"),
    }
}

/// As many of a list's fields, one behind the other along z, as make the shape.
fn next_of(fields: &mut impl Iterator<Item = Field>, count: [usize; 3]) -> Result<Field> {
    let (mut parts, mut nz) = (Vec::new(), 0);
    while nz < count[2] {
        let Some(field) = fields.next() else { bail!("the original has fewer steps or boxes") };
        nz += field.count()[2];
        parts.push(field.to_f64());
    }
    let views: Vec<_> = parts.iter().map(|a| a.view()).collect();
    if views.is_empty() {
        return Ok(Field::F64(Array3::zeros((count[2], count[1], count[0]))));
    }
    Ok(Field::F64(ndarray::concatenate(ndarray::Axis(0), &views)?))
}

fn same_field(reader: &mut dyn Reader, decoder: &mut Decoder, step: i64, field: &str) -> Result<Field> {
    let steps = reader.steps();
    let Some(index) = steps.iter().position(|s| s.step == step) else {
        bail!("the original has no step {step}")
    };
    let name = match &steps[index].fields[..] {
        [(only, _)] => only.name.clone(),
        _ => field.into(),
    };
    Ok(decoder.read_field(reader, index, &name, None)?)
}

/// The largest error as a part of the tolerance, and the number of values that miss it.
fn compare(truth: ArrayView3<'_, f64>, decoded: ArrayView3<'_, f64>, tolerance: Tolerance) -> (f64, usize) {
    let (mut worst, mut misses) = (0.0f64, 0);
    Zip::from(truth).and(decoded).for_each(|&t, &d| {
        if t.to_bits() == d.to_bits() {
            return;
        }
        let (error, allowed) = match tolerance {
            Tolerance::Absolute(e) => ((t - d).abs(), e),
            Tolerance::PointwiseRelative(r) => ((t - d).abs(), r * t.abs()),
        };
        // NaN and −0 differ in bits alone, and must not.
        let kept = error <= allowed && t.is_finite() && !(t == 0.0 && t.is_sign_negative());
        misses += usize::from(!kept);
        worst = if error.is_nan() { f64::INFINITY } else { worst.max(error / allowed) };
    });
    (worst, misses)
}
