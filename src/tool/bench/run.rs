//! All fields of a run together, which lean on one another.

use super::{Layout, Plan, Row, Sample, Timed, score, timed, width};
use anyhow::{Context, Result, ensure};
use rayon::prelude::*;
use swae_codec::decode::decompress_boxes;
use swae_codec::encode::Bounded;
use swae_codec::history::History;
use swae_codec::step::{StepField, compress_step};
use swae_codec::stream::Kind;
use swae_codec::stream::header;
use swae_codec::{Bound, Element, FieldView, Models};

/// Measures fields of one type together, those of one shape at a time.
pub(super) fn measure<T: Element>(
    samples: &[Sample<T>],
    plan: &Plan,
    add: &mut impl FnMut(Row),
) -> Result<()> {
    for samples in samples.chunk_by(|a, b| (a.count, a.steps.len()) == (b.count, b.steps.len())) {
        for &bound in &plan.bounds {
            for &threads in &plan.threads {
                Run { samples, bound, plan }.race(threads)?.into_iter().for_each(&mut *add);
            }
        }
    }
    Ok(())
}

/// Fields of one shape, all their steps.
struct Run<'a, T> {
    samples: &'a [Sample<T>],
    bound: f64,
    plan: &'a Plan,
}

impl<T: Element> Run<'_, T> {
    fn race(&self, threads: usize) -> Result<Vec<Row>> {
        let raw =
            self.samples.iter().flat_map(|s| &s.steps).map(|s| size_of_val(&s[..])).sum::<usize>() as f64;
        let Timed { streams, decoded, compress, decompress, peak } =
            timed(threads, self.plan.repeat, || self.compress(), |streams| self.decompress(streams))?;
        let row = |(i, sample): (usize, &Sample<T>)| {
            let bounds: Vec<_> = sample.steps.iter().map(|s| width(s) * self.bound).collect();
            let parts = sample.steps.iter().map(|s| &s[..]).collect::<Vec<_>>();
            let score = score(&parts, &decoded[i], &bounds)?;
            let stored = streams.iter().map(|step| step[i].len()).sum::<usize>() as f64;
            let values = parts.iter().map(|p| p.len()).sum::<usize>() as f64;
            Ok(Row {
                field: sample.name.clone(),
                layout: Layout::Run,
                bound: self.bound,
                codec: "swae".into(),
                threads,
                bits: 8.0 * stored / values,
                ratio: values * size_of::<T>() as f64 / stored,
                psnr: score.psnr,
                error: score.error,
                compress_mb_s: raw / compress / 1e6,
                decompress_mb_s: raw / decompress / 1e6,
                peak_memory: peak as f64 / raw,
            })
        };
        self.samples.iter().enumerate().map(row).collect()
    }

    /// Streams, `[step][field]`.
    fn compress(&self) -> Result<Vec<Vec<Vec<u8>>>> {
        let Plan { candidates, model, .. } = self.plan;
        let mut histories: Vec<_> = self.samples.iter().map(|_| History::default()).collect();
        let steps = self.samples.first().map_or(0, |s| s.steps.len());
        let mut step = |t: usize| {
            let views = self.samples.iter().map(|s| Ok([FieldView::dense(&s.steps[t], s.count)?]));
            let views = views.collect::<Result<Vec<_>>>()?;
            let together = self.samples.iter().zip(&views).zip(&mut histories);
            let together = together.map(|((sample, views), history)| StepField {
                name: &sample.name,
                views,
                settings: Bounded {
                    candidates: *candidates,
                    model: model.as_deref(),
                    ..Bounded::new(Bound::Absolute(width(&sample.steps[t]) * self.bound))
                },
                history,
            });
            let coded = compress_step(together.collect());
            coded.into_iter().map(|coded| Ok(coded?.0)).collect::<Result<Vec<_>>>()
        };
        (0..steps).map(&mut step).collect()
    }

    /// Values, `[field][step]`.
    fn decompress(&self, streams: &[Vec<Vec<u8>>]) -> Result<Vec<Vec<Vec<T>>>> {
        let mut models = Models::built_in();
        if let Some(model) = &self.plan.model {
            models.add(model.decoder_only());
        }
        let mut histories: Vec<_> = self.samples.iter().map(|_| Some(History::default())).collect();
        let mut out: Vec<Vec<Vec<T>>> = self.samples.iter().map(|_| Vec::new()).collect();
        for step in streams {
            let companions = |stream: &Vec<u8>| -> Result<Vec<usize>> {
                let Kind::Bounded(preamble) = header(stream)?.kind else { return Ok(Vec::new()) };
                let named = |name: &str| self.samples.iter().position(|s| s.name == name);
                preamble.reference_fields().map(|name| named(name).context("an unknown companion")).collect()
            };
            let companions = step.iter().map(companions).collect::<Result<Vec<_>>>()?;
            let mut done = vec![false; step.len()];
            while done.contains(&false) {
                let ready = |&i: &usize| !done[i] && companions[i].iter().all(|&c| done[c]);
                let mut wave = Vec::new();
                for i in (0..step.len()).filter(ready) {
                    let mut history =
                        histories[i].take().context("fields lean on one another in a circle")?;
                    for &c in &companions[i] {
                        let companion = histories[c].as_ref().context("a companion is not decoded")?;
                        history.add_reference(&self.samples[c].name, companion);
                    }
                    wave.push((i, history));
                }
                ensure!(!wave.is_empty(), "fields lean on one another in a circle");
                let decode = |(i, mut history): (usize, History)| -> Result<_> {
                    let mut fields = decompress_boxes(&step[i], &models, Some(&mut history))?;
                    let array = fields.pop().and_then(T::into_array).context("an empty stream")?;
                    Ok((i, history, array.into_raw_vec_and_offset().0))
                };
                for (i, history, values) in wave.into_par_iter().map(decode).collect::<Result<Vec<_>>>()? {
                    histories[i] = Some(history);
                    out[i].push(values);
                    done[i] = true;
                }
            }
        }
        Ok(out)
    }
}
