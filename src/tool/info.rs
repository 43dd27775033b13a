//! `swae info`: what a file holds.

use crate::{bytes, winners};
use anyhow::Result;
use std::path::Path;
use swae_codec::statistics::BlockStatistics;
use swae_store::{Decoder, Reader, StepInfo, open, size_on_disk};

/// Prints the steps and fields of a file, with sizes and ratios; with `winners` also who won the blocks of bounded fields.
///
/// # Errors
/// Where the file cannot be opened.
pub fn info(path: &Path, json: bool, winners: bool) -> Result<()> {
    let mut reader = open(path)?;
    let steps = reader.steps();
    if json {
        println!("{}", serde_json::to_string_pretty(steps)?);
        return Ok(());
    }
    println!("{}: {} step(s), {} on disk", path.display(), steps.len(), bytes(size_on_disk(path)?));
    for step in steps {
        print_step(step);
    }
    if winners {
        let tally = tally(reader.as_mut())?;
        println!("who won the blocks:");
        winners::print(&tally);
    }
    Ok(())
}

/// Of all steps and fields together.
fn tally(reader: &mut dyn Reader) -> Result<BlockStatistics> {
    let mut sum = BlockStatistics::default();
    let mut decoder = Decoder::remembering();
    for index in 0..reader.steps().len() {
        for (info, _) in reader.steps()[index].fields.clone() {
            sum = sum.and(&decoder.tally(reader, index, &info.name)?);
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
