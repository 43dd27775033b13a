//! The reference compressors, each in the layout that suits it best; none where the program was
//! built without them.

#[cfg(not(feature = "references"))]
use super::measure::Compressor;
#[cfg(not(feature = "references"))]
use super::plan::{Layout, Plan};

#[cfg(not(feature = "references"))]
pub use swae_codec::Element as ReferenceElement;
#[cfg(feature = "references")]
pub use swae_reference::ReferenceElement;

/// Those that the flags name.
#[cfg(not(feature = "references"))]
pub fn compressors<T: ReferenceElement>(_: Layout, _: &Plan<'_>) -> Vec<Box<dyn Compressor<T>>> {
    Vec::new()
}

#[cfg(feature = "references")]
pub use linked::compressors;

#[cfg(feature = "references")]
mod linked {
    use super::super::measure::{Compressor, Task};
    use super::super::plan::{Layout, Plan};
    use anyhow::{Context, Result};
    use swae_reference::{ReferenceCompressor, ReferenceElement};

    /// Those that the flags name.
    pub fn compressors<T: ReferenceElement>(layout: Layout, plan: &Plan<'_>) -> Vec<Box<dyn Compressor<T>>> {
        let names = &plan.arguments.references;
        let all = swae_reference::all::<T>().into_iter();
        let named = all.filter(|library| names.iter().any(|name| name.eq_ignore_ascii_case(library.name())));
        named.map(|library| Box::new(Reference { library, layout }) as _).collect()
    }

    /// A reference compressor in a layout.
    struct Reference<T> {
        library: Box<dyn ReferenceCompressor<T>>,
        layout: Layout,
    }

    /// How a task is handed over: the number of parts in each call, and their common shape.
    struct Call {
        parts: usize,
        shape: Vec<usize>,
    }

    impl<T: ReferenceElement> Reference<T> {
        /// All ways to hand a task over: a series as single steps or, to a library of four axes,
        /// whole; boxes stacked along z, or on a fourth axis.
        fn calls(&self, task: &Task<'_, T>) -> Vec<Call> {
            let [nx, ny, nz] = task.count;
            let n = task.parts.len();
            let mut calls = vec![match self.layout {
                Layout::Boxes => Call { parts: n, shape: vec![n * nz, ny, nx] },
                Layout::Grid | Layout::Series | Layout::Run => Call { parts: 1, shape: vec![nz, ny, nx] },
            }];
            if self.library.four_axes() && self.layout != Layout::Grid {
                calls.push(Call { parts: n, shape: vec![n, nz, ny, nx] });
            }
            calls
        }

        fn compress_as(&self, call: &Call, task: &Task<'_, T>, threads: usize) -> Result<Vec<Vec<u8>>> {
            let parts = task.parts.chunks(call.parts).zip(task.bounds.chunks(call.parts));
            let compress = |(parts, bounds): (&[&[T]], &[f64])| {
                let joined;
                let values = match parts {
                    [one] => *one,
                    _ => {
                        joined = parts.concat();
                        &joined
                    }
                };
                let bound = bounds.iter().copied().fold(f64::INFINITY, f64::min);
                self.library.compress(values, &call.shape, bound, threads).map_err(anyhow::Error::msg)
            };
            parts.map(compress).collect()
        }
    }

    impl<T: ReferenceElement> Compressor<T> for Reference<T> {
        fn name(&self) -> String {
            self.library.name().into()
        }

        /// The smallest of all ways; the last byte of the first stream says which one it is.
        fn compress(&self, task: &Task<'_, T>, threads: usize) -> Result<Vec<Vec<u8>>> {
            let size = |streams: &[Vec<u8>]| streams.iter().map(Vec::len).sum::<usize>();
            let mut best: Option<Vec<Vec<u8>>> = None;
            for (number, call) in (0u8..).zip(self.calls(task)) {
                let Ok(mut streams) = self.compress_as(&call, task, threads) else { continue };
                if best.as_ref().is_none_or(|best| size(&streams) + 1 < size(best)) {
                    streams[0].push(number);
                    best = Some(streams);
                }
            }
            best.context("it takes no such data")
        }

        fn decompress(&self, streams: &[Vec<u8>], task: &Task<'_, T>, threads: usize) -> Result<Vec<Vec<T>>> {
            let (number, first) = streams[0].split_last().context("an empty stream")?;
            let call = self.calls(task).remove(usize::from(*number));
            let bytes = |i: usize| if i == 0 { first } else { &streams[i][..] };
            let mut out = Vec::new();
            for i in 0..streams.len() {
                let values = self.library.decompress(bytes(i), &call.shape, threads);
                let values = values.map_err(anyhow::Error::msg)?;
                match task.count.iter().product() {
                    // A copy would count as time of the compressor.
                    n if n == values.len() => out.push(values),
                    n => out.extend(values.chunks(n).map(<[T]>::to_vec)),
                }
            }
            Ok(out)
        }
    }
}
