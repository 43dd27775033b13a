//! `swae compress`: one field from a file into a `.swae` file.

use crate::bytes;
use anyhow::{Result, bail, ensure};
use std::path::Path;
use swae_codec::{Field, FieldView, LatentCoding, Mode, Models, compress};
use swae_store::{open, plain, read_field};

/// Compresses the only field of `input` in latent mode.
///
/// # Errors
/// Where `input` has no single field, or `output` cannot be written.
pub fn compress_file(input: &Path, output: &Path, model: &str, coding: LatentCoding) -> Result<()> {
    ensure!(
        output.extension().is_some_and(|e| e == "swae"),
        "{}: compress writes .swae files",
        output.display()
    );
    let model = Models::named_or_file(model)?;
    let mut reader = open(input)?;
    let [step] = reader.steps() else { bail!("{} holds several steps; convert one first", input.display()) };
    let [(info, _)] = &step.fields[..] else {
        bail!("{} holds several fields; convert one first", input.display())
    };
    let (name, raw) = (info.name.clone(), info.raw_bytes());
    let field = read_field(reader.as_mut(), 0, &name)?;
    let mode = Mode::Latent { model: &model, coding };
    let stream = match &field {
        Field::F32(a) => compress(&FieldView::of_array(a)?, mode)?,
        Field::F64(a) => compress(&FieldView::of_array(a)?, mode)?,
    };
    plain::write_swae(output, &stream, Some(&model))?;
    let stored = std::fs::metadata(output)?.len();
    println!("{} -> {}, ratio {:.1}", bytes(raw), bytes(stored), raw as f64 / stored as f64);
    Ok(())
}
