//! swae itself, on one field: in a layout of its own for grids, series and boxes.

use super::measure::{Compressor, Name, Task};
use super::plan::{Layout, Plan};
use anyhow::{Context, Result};
use std::ops::Range;
use std::slice::ChunksExactMut;
use swae_codec::config::Effort;
use swae_codec::decode::decompress_regions_into;
use swae_codec::encode::compress_bounded;
use swae_codec::group::{GroupField, compress_groups, decompress_group};
use swae_codec::history::History;
use swae_codec::stream::Stream;
use swae_codec::{Element, Field, FieldView, Models};

/// This library.
pub struct Own<'a> {
    /// How long it looks for small streams.
    pub effort: Effort,
    /// What is handed over.
    pub layout: Layout,
    /// Predictors and model.
    pub plan: &'a Plan<'a>,
}

impl<T: Element> Compressor<T> for Own<'_> {
    fn name(&self) -> Name {
        Name::own(self.effort)
    }

    fn compress(&self, task: &Task<'_, T>, _: usize) -> Result<Vec<Vec<u8>>> {
        let views = task.parts().map(|part| Ok(FieldView::dense(part, task.count)?));
        let views = views.collect::<Result<Vec<_>>>()?;
        let settings = |bound| self.plan.bounded(self.effort, bound);
        if self.layout != Layout::Series {
            return Ok(vec![compress_bounded(&views, &settings(task.bounds[0]), None)?.0]);
        }
        let steps: Vec<_> = views.chunks(1).zip(&task.bounds).map(|(view, &b)| (view, settings(b))).collect();
        let (mut history, mut streams) = (History::default(), Vec::new());
        for group in groups(steps.len(), self.plan.arguments.group) {
            let field = GroupField { name: "", steps: steps[group].to_vec(), history: &mut history };
            streams.extend(compress_groups(vec![field])?.into_iter().flatten().map(|(stream, _)| stream));
        }
        Ok(streams)
    }

    fn decompress(&self, streams: &[Vec<u8>], task: &Task<'_, T>, _: usize, out: &mut [T]) -> Result<()> {
        let models = self.plan.models();
        let mut parts = out.chunks_exact_mut(task.count.iter().product());
        if self.layout == Layout::Series && self.plan.arguments.group > 1 {
            return self.decompress_groups(streams, &models, parts);
        }
        let mut history = (self.layout == Layout::Series).then(History::default);
        for stream in streams {
            let stream = Stream::open(stream)?;
            let whole = stream.whole();
            let mut parts: Vec<_> = parts.by_ref().take(whole.len()).collect();
            decompress_regions_into(&stream, &models, &whole, history.as_mut(), &mut parts)?;
        }
        Ok(())
    }
}

impl Own<'_> {
    fn decompress_groups<T: Element>(
        &self,
        streams: &[Vec<u8>],
        models: &Models,
        mut parts: ChunksExactMut<'_, T>,
    ) -> Result<()> {
        let mut history = History::default();
        for group in groups(streams.len(), self.plan.arguments.group) {
            let streams = streams[group].iter().map(|stream| Ok(Stream::open(&stream[..])?));
            for boxes in decompress_group(&streams.collect::<Result<Vec<_>>>()?, models, &mut history)? {
                copy_box(boxes, parts.next())?;
            }
        }
        Ok(())
    }
}

/// The groups of so many steps: the first step is by itself.
pub fn groups(steps: usize, size: u32) -> impl Iterator<Item = Range<usize>> {
    let first = 0..1.min(steps);
    let others = (1..steps).step_by(size as usize).map(move |begin| begin..steps.min(begin + size as usize));
    std::iter::once(first).chain(others)
}

/// Copies the only box of a stream.
///
/// # Errors
/// Where it holds another.
pub fn copy_box<T: Element>(mut boxes: Vec<Field>, out: Option<&mut [T]>) -> Result<()> {
    let array = boxes.pop().and_then(|field| field.into_array()).context("an empty stream")?;
    let values = array.as_slice().context("values in another order")?;
    out.context("a step too many")?.copy_from_slice(values);
    Ok(())
}
