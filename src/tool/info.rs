//! `swae info`: the steps and fields of a file, their sizes and ratios, and the block statistics of
//! fields within a bound.

use crate::source::{boxes, raw_bytes};
use crate::{bytes, predictors};
use anyhow::Result;
use std::path::PathBuf;
use swae_codec::statistics::BlockStatistics;
use swae_store::{Decoder, Reader, open, size_on_disk};

/// Flags of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// .h5, .bp, .swae, .npy or .vti
    file: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Also prints block statistics: which predictors were selected in fields within a bound, the
    /// bytes that their blocks took, and how many points are missing; decodes everything
    #[arg(long, conflicts_with = "json")]
    predictors: bool,
}

/// Prints what a file holds.
///
/// # Errors
/// Where the file cannot be opened, or decoded for the block statistics.
pub fn run(arguments: &Arguments) -> Result<()> {
    let path = &arguments.file;
    let mut reader = open(path)?;
    let steps = reader.steps();
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(steps)?);
        return Ok(());
    }
    println!("{}: {} step(s), {} on disk", path.display(), steps.len(), bytes(size_on_disk(path)?));
    for index in 0..reader.steps().len() {
        print_step(reader.as_mut(), index)?;
    }
    if arguments.predictors {
        let statistics = block_statistics(reader.as_mut())?;
        println!("selected predictors:");
        predictors::print(&statistics);
        let mut points = 0;
        for (index, step) in reader.steps().to_vec().into_iter().enumerate() {
            for (info, _) in &step.fields {
                points += raw_bytes(reader.as_mut(), index, info)? / info.dtype.size() as u64;
            }
        }
        predictors::print_missing(statistics.missing, points);
    }
    Ok(())
}

/// Of all steps and fields together.
fn block_statistics(reader: &mut dyn Reader) -> Result<BlockStatistics> {
    let mut sum = BlockStatistics::default();
    let mut decoder = Decoder::remembering();
    for index in 0..reader.steps().len() {
        for (info, _) in reader.steps()[index].fields.clone() {
            sum = sum.union(&decoder.block_statistics(reader, index, &info.name)?);
        }
    }
    Ok(sum)
}

fn print_step(reader: &mut dyn Reader, index: usize) -> Result<()> {
    let step = reader.steps()[index].clone();
    let (mut lines, mut raw, mut stored) = (Vec::new(), 0, 0);
    for (field, bytes_of_field) in &step.fields {
        let of_field = raw_bytes(reader, index, field)?;
        let [nx, ny, nz] = field.shape;
        let parts = match field.partial {
            true => format!(" in {} boxes", boxes(reader, index, field)?.len()),
            false => String::new(),
        };
        lines.push(format!(
            "    {:<12} {} {nx}×{ny}×{nz}{parts}  {:>10}  ratio {:>7.1}  {}",
            field.name,
            field.dtype.name(),
            bytes(*bytes_of_field),
            of_field as f64 / (*bytes_of_field).max(1) as f64,
            field.encoding
        ));
        raw += of_field;
        stored += bytes_of_field;
    }
    println!(
        "step {}  time {}  {} field(s)  {} of {}  ratio {:.1}",
        step.step,
        step.time,
        step.fields.len(),
        bytes(stored),
        bytes(raw),
        raw as f64 / stored.max(1) as f64
    );
    lines.iter().for_each(|line| println!("{line}"));
    Ok(())
}
