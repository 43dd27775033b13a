//! The reference compressors, in each of their settings and in each way to hand a task over.

use super::measure::{Compressor, Name, Task};
use super::plan::Layout;
use anyhow::{Error, Result};
use swae_codec::Element;
use swae_reference::ReferenceCompressor;

/// Those of these names, for parts so many at a time.
///
/// # Errors
/// Where one of them is not installed.
pub fn compressors<T: Element>(
    names: &[String],
    layout: Layout,
    parts: usize,
) -> Result<Vec<Box<dyn Compressor<T>>>> {
    let mut all: Vec<Box<dyn Compressor<T>>> = Vec::new();
    for name in names.iter().filter(|name| *name != "none") {
        for way in Way::of(layout, parts) {
            let libraries = swae_reference::named::<T>(name).map_err(Error::msg)?.into_iter();
            let taken = libraries.filter(|library| way != Way::FourAxes || library.four_axes());
            all.extend(taken.map(|library| Box::new(Reference { library, way }) as _));
        }
    }
    Ok(all)
}

/// How a task is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Each part by itself
    Single,
    /// All parts at once, stacked along z
    Stacked,
    /// All parts at once, on a fourth axis
    FourAxes,
}

impl Way {
    /// All that there are of a layout. Boxes of 8³ by themselves would be nothing but headers.
    fn of(layout: Layout, parts: usize) -> Vec<Self> {
        match layout {
            _ if parts == 1 => vec![Self::Single],
            Layout::Boxes => vec![Self::Stacked, Self::FourAxes],
            Layout::Grid | Layout::Series | Layout::Run => vec![Self::Single, Self::FourAxes],
        }
    }
}

/// A reference compressor, and how it is given what it is given.
struct Reference<T> {
    library: Box<dyn ReferenceCompressor<T>>,
    way: Way,
}

impl<T: Element> Reference<T> {
    /// The number of parts in each call, and their common shape.
    fn call(&self, task: &Task<'_, T>) -> (usize, Vec<usize>) {
        let ([nx, ny, nz], n) = (task.count, task.parts().len());
        match self.way {
            Way::Single => (1, vec![nz, ny, nx]),
            Way::Stacked => (n, vec![n * nz, ny, nx]),
            Way::FourAxes => (n, vec![n, nz, ny, nx]),
        }
    }
}

impl<T: Element> Compressor<T> for Reference<T> {
    fn name(&self) -> Name {
        let setting = self.library.setting();
        let setting = match self.way {
            Way::Single | Way::Stacked => setting.into(),
            Way::FourAxes => format!("{setting}, 4-D"),
        };
        Name { codec: self.library.name().into(), version: self.library.version(), setting }
    }

    fn compress(&self, task: &Task<'_, T>, threads: usize) -> Result<Vec<Vec<u8>>> {
        let (parts, shape) = self.call(task);
        let values = task.values.chunks(shape.iter().product());
        let compress = |(values, bounds): (&[T], &[f64])| {
            let bound = bounds.iter().copied().fold(f64::INFINITY, f64::min);
            self.library.compress(values, &shape, bound, threads).map_err(Error::msg)
        };
        values.zip(task.bounds.chunks(parts)).map(compress).collect()
    }

    fn decompress(
        &self,
        streams: &[Vec<u8>],
        task: &Task<'_, T>,
        threads: usize,
        out: &mut [T],
    ) -> Result<()> {
        let (_, shape) = self.call(task);
        let mut parts = streams.iter().zip(out.chunks_exact_mut(shape.iter().product()));
        let decompress =
            |(stream, out): (&Vec<u8>, &mut [T])| self.library.decompress(stream, &shape, threads, out);
        parts.try_for_each(decompress).map_err(Error::msg)
    }
}
