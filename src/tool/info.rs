//! `swae info`: the steps and fields of a file, their sizes and ratios, and the block statistics of
//! fields within a bound.

use crate::source::{boxes, raw_bytes};
use crate::{bytes, predictors};
use anyhow::Result;
use std::collections::HashMap;
use std::path::PathBuf;
use swae_codec::statistics::BlockStatistics;
use swae_store::{Decoder, FieldInfo, Reader, open, size_on_disk};

/// Flags of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// .h5, .bp, .swae, .npy or .vti
    file: PathBuf,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Also prints each step with its fields, where there are several
    #[arg(long, conflicts_with = "json")]
    steps: bool,
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
    let steps = (0..steps.len()).map(|index| rows(reader.as_mut(), index)).collect::<Result<Vec<_>>>()?;
    if let [first, .., last] = reader.steps() {
        let times = format!("time {} to {}", first.time, last.time);
        print(&format!("steps {} to {}  {times}", first.step, last.step), &together(&steps));
    }
    if arguments.steps || steps.len() == 1 {
        for (step, rows) in reader.steps().iter().zip(&steps) {
            print(&format!("step {}  time {}", step.step, step.time), rows);
        }
    }
    if arguments.predictors {
        let statistics = block_statistics(reader.as_mut())?;
        println!("selected predictors:");
        predictors::print(&statistics);
        let rows = steps.iter().flatten();
        let points = rows.map(|row| row.raw / row.info.dtype.size() as u64).fold(0, u64::saturating_add);
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

/// What is printed of a field.
#[derive(Clone)]
struct Row {
    info: FieldInfo,
    /// Boxes, where they need not cover the grid.
    boxes: Option<usize>,
    raw: u64,
    stored: u64,
}

/// Those of a step.
fn rows(reader: &mut dyn Reader, index: usize) -> Result<Vec<Row>> {
    let fields = reader.steps()[index].fields.clone();
    let row = |(info, stored): (FieldInfo, u64)| {
        let raw = raw_bytes(reader, index, &info)?;
        let boxes = if info.partial { Some(boxes(reader, index, &info)?.len()) } else { None };
        Ok(Row { info, boxes, raw, stored })
    };
    fields.into_iter().map(row).collect()
}

/// Each field in all steps together, in the order in which they first appear.
fn together(steps: &[Vec<Row>]) -> Vec<Row> {
    let mut all: Vec<Row> = Vec::new();
    let mut places = HashMap::new();
    for row in steps.iter().flatten() {
        match places.get(&row.info.name) {
            None => {
                places.insert(&row.info.name, all.len());
                all.push(row.clone());
            }
            Some(&place) => {
                let sum: &mut Row = &mut all[place];
                sum.raw = sum.raw.saturating_add(row.raw);
                sum.stored = sum.stored.saturating_add(row.stored);
                sum.boxes = sum.boxes.zip(row.boxes).map(|(a, b)| a + b);
            }
        }
    }
    all
}

fn print(what: &str, rows: &[Row]) {
    let raw = rows.iter().map(|row| row.raw).fold(0, u64::saturating_add);
    let stored = rows.iter().map(|row| row.stored).fold(0, u64::saturating_add);
    let ratio = |raw: u64, stored: u64| raw as f64 / stored.max(1) as f64;
    println!(
        "{what}  {} field(s)  {} of {}  ratio {:.1}",
        rows.len(),
        bytes(stored),
        bytes(raw),
        ratio(raw, stored)
    );
    for Row { info, boxes, raw, stored } in rows {
        let [nx, ny, nz] = info.shape;
        println!(
            "    {:<12} {} {nx}×{ny}×{nz}{}  {:>10}  ratio {:>7.1}  {}",
            info.name,
            info.dtype.name(),
            boxes.map_or(String::new(), |boxes| format!(" in {boxes} boxes")),
            bytes(*stored),
            ratio(*raw, *stored),
            info.encoding
        );
    }
}
