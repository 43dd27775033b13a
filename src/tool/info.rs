//! `swae info`: the steps and fields of a file, their sizes and ratios, and the block statistics of
//! fields within a bound.

use crate::{bytes, predictors};
use anyhow::Result;
use std::path::PathBuf;
use swae_codec::statistics::BlockStatistics;
use swae_store::{Decoder, Reader, StepInfo, open, size_on_disk};

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
    for step in steps {
        print_step(step);
    }
    if arguments.predictors {
        let statistics = block_statistics(reader.as_mut())?;
        println!("selected predictors:");
        predictors::print(&statistics);
        let fields = reader.steps().iter().flat_map(|step| &step.fields);
        let points = fields.map(|(info, _)| info.shape.iter().product::<usize>() as u64).sum();
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

fn print_step(step: &StepInfo) {
    let raw: u64 = step.fields.iter().map(|(f, _)| f.raw_bytes()).sum();
    let stored: u64 = step.fields.iter().map(|(_, stored)| stored).sum();
    println!(
        "step {}  time {}  {} field(s)  {} of {}  ratio {:.1}",
        step.step,
        step.time,
        step.fields.len(),
        bytes(stored),
        bytes(raw),
        raw as f64 / stored.max(1) as f64
    );
    for (field, stored) in &step.fields {
        let [nx, ny, nz] = field.shape;
        println!(
            "    {:<12} {} {nx}×{ny}×{nz}  {:>10}  ratio {:>7.1}  {}",
            field.name,
            field.dtype.name(),
            bytes(*stored),
            field.raw_bytes() as f64 / (*stored).max(1) as f64,
            field.encoding
        );
    }
}
