//! swae itself, on one field: in a layout of its own for grids, series and boxes.

use super::measure::{Compressor, Name, Task};
use super::plan::{Layout, Plan};
use anyhow::Result;
use swae_codec::config::Effort;
use swae_codec::decode::decompress_regions_into;
use swae_codec::encode::compress_bounded;
use swae_codec::history::History;
use swae_codec::stream::Stream;
use swae_codec::{Element, FieldView};

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
        let mut history = History::default();
        let step = |(view, &bound): (&FieldView<'_, T>, &f64)| {
            Ok(compress_bounded(&[*view], &settings(bound), Some(&mut history))?.0)
        };
        views.iter().zip(&task.bounds).map(step).collect()
    }

    fn decompress(&self, streams: &[Vec<u8>], task: &Task<'_, T>, _: usize, out: &mut [T]) -> Result<()> {
        let models = self.plan.models();
        let mut history = (self.layout == Layout::Series).then(History::default);
        let mut parts = out.chunks_exact_mut(task.count.iter().product());
        for stream in streams {
            let stream = Stream::open(stream)?;
            let whole = stream.whole();
            let mut parts: Vec<_> = parts.by_ref().take(whole.len()).collect();
            decompress_regions_into(&stream, &models, &whole, history.as_mut(), &mut parts)?;
        }
        Ok(())
    }
}
