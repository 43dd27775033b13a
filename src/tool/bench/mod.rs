//! `swae bench`: swae beside SZ3, ZFP and SPERR, on the same data, with the same bounds, in one run.
//!
//! `plan` holds the flags, `settings` those of swae that are measured, `sample` the fields; `measure`
//! measures compressors on a field: swae (`own`) and reference compressors (`reference`), `run` swae
//! on all fields of a run; `timing` times both. `summary` takes means over the fields, which `table`
//! prints, `plot` draws and `advice` turns into a recommendation.

mod advice;
mod measure;
mod own;
mod plan;
mod plot;
#[cfg_attr(not(feature = "references"), path = "no_reference.rs")]
mod reference;
mod run;
mod sample;
mod summary;
mod table;
mod timing;

pub use plan::Arguments;

use anyhow::{Result, ensure};
use measure::{Case, Compressor, Row, Task};
use own::Own;
use plan::{Layout, Plan};
use sample::{AnySample, Sample, blocks};
use std::path::Path;
use swae_codec::Element;
use swae_metrics::chart::{self, Chart};
use swae_store::{NewFile, write_file};

/// Measures what the flags say, and prints, writes and draws the results.
///
/// # Errors
/// Where an input cannot be read or holds nothing to measure, a reference compressor is not
/// installed, or an output cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let plan = Plan::new(arguments)?;
    if !cfg!(feature = "references") && arguments.references.iter().any(|name| name != "none") {
        log::warn!("built without reference compressors: `make bench FILE=…` measures beside them");
    }
    let mut rows = Vec::new();
    let mut add = |row: Row| {
        let Row { case, name, result, .. } = &row;
        log::info!("{case:?} {name:?}: {:.4} bits", result.bits);
        rows.push(row);
    };
    for input in &arguments.inputs {
        // Those that are measured together.
        let (mut floats, mut doubles) = (Vec::new(), Vec::new());
        for field in sample::names(input, &plan)? {
            match AnySample::load(input, &field, &plan)? {
                AnySample::F32(sample) => floats.extend(measure_sample(sample, &plan, &mut add)?),
                AnySample::F64(sample) => doubles.extend(measure_sample(sample, &plan, &mut add)?),
            }
        }
        run::measure(&floats, &plan, &mut add)?;
        run::measure(&doubles, &plan, &mut add)?;
    }
    ensure!(!rows.is_empty(), "nothing was measured: every field is constant, or none was asked for");
    let tables = summary::tables(&rows);
    for table in &tables {
        table::print(table);
        advice::print(table);
    }
    if let Some(path) = &arguments.json {
        write_file(path, serde_json::to_string_pretty(&rows)?.as_bytes())?;
    }
    draw(arguments.png.as_deref(), || plot::rate_distortion(&tables))?;
    draw(arguments.speed_png.as_deref(), || plot::speed_against_ratio(&tables))
}

/// Draws charts into a file, if there is to be one.
fn draw(path: Option<&Path>, charts: impl FnOnce() -> Vec<Vec<Chart>>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let new = NewFile::at(path)?;
    chart::draw(new.path(), &charts())?;
    Ok(new.finish()?)
}

/// Measures a field by itself, and gives it back where it is measured with others too.
fn measure_sample<T: Element>(
    sample: Sample<T>,
    plan: &Plan<'_>,
    add: &mut impl FnMut(Row),
) -> Result<Option<Sample<T>>> {
    let arguments = plan.arguments;
    let blocks = match sample.steps().checked_sub(1) {
        Some(last) if arguments.layout.contains(&Layout::Boxes) => blocks(sample.step(last), sample.count),
        _ => Vec::new(),
    };
    for &layout in &arguments.layout {
        for &bound in &arguments.rel {
            let Some(task) = task(&sample, &blocks, layout, bound) else { continue };
            let compressors = compressors(layout, task.parts().len(), plan)?;
            for &threads in &arguments.threads {
                let case = Case { field: sample.name.clone(), layout, bound, threads };
                task.measure(&compressors, &case, arguments.repeat)?.into_iter().for_each(&mut *add);
            }
        }
    }
    let is_constant = sample.widths.contains(&0.0);
    Ok((arguments.layout.contains(&Layout::Run) && !is_constant).then_some(sample))
}

/// A field in a layout; `blocks` are its blocks, where the layout is of boxes. None where nothing can
/// be measured: a step is constant, or there is no whole block.
fn task<'a, T: Element>(
    sample: &'a Sample<T>,
    blocks: &'a [T],
    layout: Layout,
    relative: f64,
) -> Option<Task<'a, T>> {
    let last = sample.steps().checked_sub(1)?;
    let (values, count, widths) = match layout {
        Layout::Grid => (sample.step(last), sample.count, vec![sample.widths[last]]),
        Layout::Boxes => (blocks, [8; 3], vec![sample.widths[last]; blocks.len() / 512]),
        Layout::Series | Layout::Run => (&sample.values[..], sample.count, sample.widths.clone()),
    };
    let is_constant = values.is_empty() || widths.contains(&0.0);
    let bounds = widths.into_iter().map(|width| width * relative).collect();
    (!is_constant).then_some(Task { values, count, bounds })
}

/// swae in its settings, and the reference compressors, for so many parts. On a run, swae is measured
/// on all fields together, and for reference compressors it is nothing but a series.
fn compressors<'a, T: Element>(
    layout: Layout,
    parts: usize,
    plan: &'a Plan<'a>,
) -> Result<Vec<Box<dyn Compressor<T> + 'a>>> {
    let mut all: Vec<Box<dyn Compressor<T> + 'a>> = Vec::new();
    if layout != Layout::Run {
        all.extend(plan.arguments.effort.iter().map(|&effort| Box::new(Own { effort, layout, plan }) as _));
    } else if plan.arguments.layout.contains(&Layout::Series) {
        return Ok(all);
    }
    let references = reference::compressors(&plan.arguments.references, layout, parts)?;
    all.extend(references.into_iter().map(|reference| reference as _));
    Ok(all)
}
