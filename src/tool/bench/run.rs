//! swae on all fields of a run, with inter-field prediction. A field's time is its share of the time
//! of all.

use super::measure::{Label, Row, Task, Timed, timed};
use super::plan::{Layout, Plan};
use super::sample::{Sample, width};
use anyhow::{Context, Result};
use swae_codec::history::History;
use swae_codec::step::{StepField, StepStream, compress_step, decompress_step};
use swae_codec::stream::Stream;
use swae_codec::{Element, FieldView};

/// Measures fields of one type together, those of one shape at a time.
///
/// # Errors
/// Those of the codec.
pub fn measure<T: Element>(samples: &[Sample<T>], plan: &Plan<'_>, add: &mut impl FnMut(Row)) -> Result<()> {
    for samples in samples.chunk_by(|a, b| (a.count, a.steps.len()) == (b.count, b.steps.len())) {
        for &bound in &plan.arguments.rel {
            for &threads in &plan.arguments.threads {
                Run { samples, bound, plan }.measure(threads)?.into_iter().for_each(&mut *add);
            }
        }
    }
    Ok(())
}

/// Fields of one shape, all their steps.
struct Run<'a, T> {
    samples: &'a [Sample<T>],
    bound: f64,
    plan: &'a Plan<'a>,
}

impl<T: Element> Run<'_, T> {
    fn measure(&self, threads: usize) -> Result<Vec<Row>> {
        let raw = self.samples.iter().flat_map(|s| &s.steps).map(|step| size_of_val(&step[..])).sum();
        let repeat = self.plan.arguments.repeat;
        let Timed { streams, decoded, cost } =
            timed(threads, repeat, || self.compress(), |streams| self.decompress(streams))?;
        let row = |(i, sample): (usize, &Sample<T>)| {
            let parts = sample.steps.iter().map(|step| &step[..]).collect();
            let bounds = sample.widths().into_iter().map(|width| width * self.bound).collect();
            let stored = streams.iter().map(|step| step[i].len()).sum();
            let (field, layout, bound) = (&sample.name[..], Layout::Run, self.bound);
            let label = Label { field, layout, bound, codec: "swae", threads };
            Task { parts, count: sample.count, bounds }.row(&decoded[i], stored, cost.of(raw), label)
        };
        self.samples.iter().enumerate().map(row).collect()
    }

    /// Streams, `[step][field]`.
    fn compress(&self) -> Result<Vec<Vec<Vec<u8>>>> {
        let mut histories: Vec<_> = self.samples.iter().map(|_| History::default()).collect();
        let steps = self.samples.first().map_or(0, |s| s.steps.len());
        let mut step = |t: usize| {
            let views = self.samples.iter().map(|s| Ok([FieldView::dense(&s.steps[t], s.count)?]));
            let views = views.collect::<Result<Vec<_>>>()?;
            let fields = self.samples.iter().zip(&views).zip(&mut histories);
            let fields = fields.map(|((sample, views), history)| StepField {
                name: &sample.name,
                views,
                settings: self.plan.bounded(width(&sample.steps[t]) * self.bound),
                history,
            });
            let encoded = compress_step(fields.collect());
            encoded.into_iter().map(|encoded| Ok(encoded?.0)).collect::<Result<Vec<_>>>()
        };
        (0..steps).map(&mut step).collect()
    }

    /// Values, `[field][step]`.
    fn decompress(&self, streams: &[Vec<Vec<u8>>]) -> Result<Vec<Vec<Vec<T>>>> {
        let models = self.plan.models();
        let mut histories: Vec<_> = self.samples.iter().map(|_| History::default()).collect();
        let mut out: Vec<Vec<Vec<T>>> = self.samples.iter().map(|_| Vec::new()).collect();
        for step in streams {
            let fields = self.samples.iter().zip(step).zip(&mut histories);
            let fields = fields.map(|((sample, stream), history)| {
                Ok(StepStream { name: &sample.name, stream: Stream::open(stream)?, history })
            });
            let decoded = decompress_step(fields.collect::<Result<Vec<_>>>()?, &models);
            for (steps, boxes) in out.iter_mut().zip(decoded) {
                let array = boxes?.pop().and_then(|field| field.into_array()).context("an empty stream")?;
                steps.push(array.into_raw_vec_and_offset().0);
            }
        }
        Ok(out)
    }
}
