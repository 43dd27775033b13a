//! swae on all fields of a run, with inter-field prediction. A field's time is its share of the time
//! of all.

use super::measure::{Case, Distortion, Name, Row, Task};
use super::own::{copy_box, groups};
use super::plan::{Layout, Plan};
use super::sample::Sample;
use super::timing::{Coder, in_turns};
use anyhow::Result;
use swae_codec::config::Effort;
use swae_codec::group::{GroupField, GroupStreams, compress_groups, decompress_groups};
use swae_codec::history::History;
use swae_codec::stream::Stream;
use swae_codec::{Element, FieldView};

/// Measures fields of one type together, those of one shape at a time.
///
/// # Errors
/// Those of the codec.
pub fn measure<T: Element>(samples: &[Sample<T>], plan: &Plan<'_>, add: &mut impl FnMut(Row)) -> Result<()> {
    for samples in samples.chunk_by(|a, b| (a.count, a.steps()) == (b.count, b.steps())) {
        for &bound in &plan.arguments.rel {
            let run = |&effort| Run { samples, bound, effort, plan };
            let runs: Vec<_> = plan.arguments.effort.iter().map(run).collect();
            for &threads in &plan.arguments.threads {
                measure_runs(&runs, threads)?.into_iter().for_each(&mut *add);
            }
        }
    }
    Ok(())
}

/// Measures a run with all efforts.
fn measure_runs<T: Element>(runs: &[Run<'_, T>], threads: usize) -> Result<Vec<Row>> {
    let Some(Run { samples, bound, plan, .. }) = runs.first() else { return Ok(Vec::new()) };
    let raw = samples.iter().map(|sample| size_of_val(&sample.values[..])).sum();
    let timed = in_turns(runs, threads, plan.arguments.repeat, |run, streams, decoded| {
        run.distortions(streams, decoded)
    })?;
    let mut rows = Vec::new();
    for (run, timed) in runs.iter().zip(timed) {
        let (results, cost) = timed?;
        let row = |(sample, result): (&Sample<T>, Distortion)| {
            let case = Case { field: sample.name.clone(), layout: Layout::Run, bound: *bound, threads };
            Row { case, name: Name::own(run.effort), result, speed: cost.of(raw) }
        };
        rows.extend(samples.iter().zip(results).map(row));
    }
    Ok(rows)
}

/// Fields of one shape, all their steps.
struct Run<'a, T> {
    samples: &'a [Sample<T>],
    bound: f64,
    effort: Effort,
    plan: &'a Plan<'a>,
}

impl<T: Element> Run<'_, T> {
    fn steps(&self) -> usize {
        self.samples.first().map_or(0, Sample::steps)
    }

    /// What each field took, and its errors.
    fn distortions(&self, streams: &[Vec<Vec<u8>>], decoded: &[T]) -> Result<Vec<Distortion>> {
        let distortion = |(i, (sample, decoded)): (usize, (&Sample<T>, &[T]))| {
            let bounds = sample.widths.iter().map(|width| width * self.bound).collect();
            let stored = streams.iter().map(|step| step[i].len()).sum();
            Task { values: &sample.values, count: sample.count, bounds }.distortion(stored, decoded)
        };
        let each = self.values() / self.samples.len().max(1);
        self.samples.iter().zip(decoded.chunks(each)).enumerate().map(distortion).collect()
    }
}

impl<T: Element> Coder for Run<'_, T> {
    /// `[step][field]`.
    type Streams = Vec<Vec<Vec<u8>>>;
    /// Field by field, each step by step.
    type Value = T;

    fn values(&self) -> usize {
        self.samples.iter().map(|sample| sample.values.len()).sum()
    }

    fn compress(&self) -> Result<Self::Streams> {
        let mut histories: Vec<_> = self.samples.iter().map(|_| History::default()).collect();
        let mut streams = Vec::new();
        for group in groups(self.steps(), self.plan.arguments.group) {
            let views = self.samples.iter().map(|sample| {
                let step = |t: usize| Ok([FieldView::dense(sample.step(t), sample.count)?]);
                group.clone().map(step).collect::<Result<Vec<_>>>()
            });
            let views = views.collect::<Result<Vec<_>>>()?;
            let fields = self.samples.iter().zip(&views).zip(&mut histories);
            let fields = fields.map(|((sample, views), history)| {
                let settings = |t: usize| self.plan.bounded(self.effort, sample.widths[t] * self.bound);
                let steps = views.iter().zip(group.clone()).map(|(views, t)| (&views[..], settings(t)));
                GroupField { name: &sample.name, steps: steps.collect(), history }
            });
            let coded = compress_groups(fields.collect())?.into_iter();
            streams.extend(coded.map(|step| step.into_iter().map(|(stream, _)| stream).collect()));
        }
        Ok(streams)
    }

    fn decompress(&self, streams: &Self::Streams, out: &mut [T]) -> Result<()> {
        let models = self.plan.models();
        let mut histories: Vec<_> = self.samples.iter().map(|_| History::default()).collect();
        let mut parts: Vec<_> = Vec::new();
        let mut rest = out;
        for sample in self.samples {
            let (of_field, behind) = rest.split_at_mut(sample.values.len());
            parts.push(of_field.chunks_exact_mut(sample.count.iter().product()));
            rest = behind;
        }
        for group in groups(streams.len(), self.plan.arguments.group) {
            let fields = self.samples.iter().zip(&mut histories).enumerate().map(|(i, (sample, history))| {
                let streams = streams[group.clone()].iter().map(|step| Ok(Stream::open(&step[i][..])?));
                Ok(GroupStreams { name: &sample.name, streams: streams.collect::<Result<_>>()?, history })
            });
            for step in decompress_groups(fields.collect::<Result<Vec<_>>>()?, &models)? {
                for (parts, boxes) in parts.iter_mut().zip(step) {
                    copy_box(boxes, parts.next())?;
                }
            }
        }
        Ok(())
    }
}
