//! `swae bench`: swae beside SZ3, ZFP and SPERR, on the same data, with the same bounds, in one run.
//!
//! `plan` holds the flags, `sample` the fields; `measure` measures a compressor: swae on one field
//! (`own`), on all fields of a run (`run`), or a reference compressor (`reference`). `table` prints.

mod measure;
mod own;
mod plan;
mod reference;
mod run;
mod sample;
mod table;

pub use plan::Arguments;

use anyhow::{Result, ensure};
use measure::{Compressor, Label, Row, Task};
use own::Own;
use plan::{Layout, Plan};
use reference::ReferenceElement;
use sample::{AnySample, Sample, blocks};
use swae_codec::Element;
use swae_metrics::chart;
use swae_store::{NewFile, write_file};

/// Measures what the flags say, and prints, writes and draws the results.
///
/// # Errors
/// Where an input cannot be read or holds nothing to measure, or an output cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let plan = Plan::new(arguments)?;
    let mut rows = Vec::new();
    let mut add = |row: Row| {
        let Row { field, layout, bound, codec, bits, .. } = &row;
        log::info!("{field} {layout:?} {bound:e} {codec}: {bits:.4} bits");
        rows.push(row);
    };
    for input in &arguments.inputs {
        // Those that are measured together.
        let (mut floats, mut doubles) = (Vec::new(), Vec::new());
        for field in sample::names(input, &plan)? {
            match AnySample::load(input, &field, &plan)? {
                AnySample::F32(sample) => floats.extend(measure_sample(sample, &plan, &mut add)),
                AnySample::F64(sample) => doubles.extend(measure_sample(sample, &plan, &mut add)),
            }
        }
        run::measure(&floats, &plan, &mut add)?;
        run::measure(&doubles, &plan, &mut add)?;
    }
    ensure!(!rows.is_empty(), "nothing was measured: every field is constant, or none was asked for");
    table::print(&rows);
    if let Some(path) = &arguments.json {
        write_file(path, serde_json::to_string_pretty(&rows)?.as_bytes())?;
    }
    let curves = || table::curves(&rows);
    let Some(path) = &arguments.png else { return Ok(()) };
    let new = NewFile::at(path)?;
    chart::rate_distortion(new.path(), &curves())?;
    Ok(new.finish()?)
}

/// Measures a field by itself, and gives it back where it is measured with others too.
fn measure_sample<T: ReferenceElement>(
    sample: Sample<T>,
    plan: &Plan<'_>,
    add: &mut impl FnMut(Row),
) -> Option<Sample<T>> {
    let layouts = &plan.arguments.layout;
    let blocks = match sample.steps.last() {
        Some(last) if layouts.contains(&Layout::Boxes) => blocks(last, sample.count),
        _ => Vec::new(),
    };
    for &layout in layouts {
        for &relative in &plan.arguments.rel {
            if let Some(task) = task(&sample, &blocks, layout, relative) {
                let label = Label { field: &sample.name, layout, bound: relative, codec: "", threads: 0 };
                measure_task(&task, plan, label, add);
            }
        }
    }
    let is_constant = sample.widths().contains(&0.0);
    (layouts.contains(&Layout::Run) && !is_constant).then_some(sample)
}

/// Measures all compressors on all numbers of threads.
fn measure_task<T: ReferenceElement>(
    task: &Task<'_, T>,
    plan: &Plan<'_>,
    label: Label<'_>,
    add: &mut impl FnMut(Row),
) {
    for compressor in compressors(label.layout, plan) {
        let codec = compressor.name();
        for &threads in &plan.arguments.threads {
            let label = Label { codec: &codec, threads, ..label };
            match task.measure(compressor.as_ref(), plan.arguments.repeat, label) {
                Ok(row) => add(row),
                Err(e) => log::warn!("{codec} on {}: {e}", label.field),
            }
        }
    }
}

/// A field in a layout; `blocks` are its blocks, where the layout is of boxes. None where nothing can
/// be measured: a step is constant, or there is no whole block.
fn task<'a, T: Element>(
    sample: &'a Sample<T>,
    blocks: &'a [T],
    layout: Layout,
    relative: f64,
) -> Option<Task<'a, T>> {
    let (mut count, mut widths) = (sample.count, sample.widths());
    let mut parts: Vec<_> = sample.steps.iter().map(|step| &step[..]).collect();
    if !layout.is_series() {
        parts.drain(..parts.len().saturating_sub(1));
        widths.drain(..widths.len().saturating_sub(1));
    }
    if layout == Layout::Boxes {
        parts = blocks.chunks(512).collect();
        widths = vec![*widths.first()?; parts.len()];
        count = [8; 3];
    }
    let is_constant = parts.is_empty() || widths.contains(&0.0);
    let bounds = widths.into_iter().map(|width| width * relative).collect();
    (!is_constant).then_some(Task { parts, count, bounds })
}

/// swae, and the reference compressors; on a run, swae is measured on all fields together.
fn compressors<'a, T: ReferenceElement>(
    layout: Layout,
    plan: &'a Plan<'a>,
) -> Vec<Box<dyn Compressor<T> + 'a>> {
    let mut all: Vec<Box<dyn Compressor<T> + 'a>> = Vec::new();
    if layout != Layout::Run {
        all.push(Box::new(Own { layout, plan }));
    }
    all.extend(
        reference::compressors::<T>(layout, plan).into_iter().map(|c| c as Box<dyn Compressor<T> + 'a>),
    );
    all
}
