//! SZ3 (Liang et al., IEEE TBD 2023): interpolation and Lorenzo prediction, quantisation, Huffman,
//! zstd. With an absolute error bound.

use crate::compressor::{ReferenceCompressor, ReferenceElement, long};
use sz3::{Config, DimensionedData, ErrorBound, compress_with_config, decompress};

/// SZ3 with its default algorithm, `interpolation_lorenzo`.
pub struct Sz3;

impl<T: ReferenceElement> ReferenceCompressor<T> for Sz3 {
    fn name(&self) -> &'static str {
        "SZ3"
    }

    fn four_axes(&self) -> bool {
        true
    }

    fn compress(&self, values: &[T], shape: &[usize], bound: f64, threads: usize) -> Result<Vec<u8>, String> {
        let text = |e: sz3::SZ3Error| e.to_string();
        let axes = long(shape);
        let Some((last, others)) = axes.split_last() else { return Err("SZ3 takes no single value".into()) };
        let mut data = DimensionedData::<T, _>::build(&values);
        for &n in others {
            data = data.dim(n).map_err(text)?;
        }
        let data = data.dim(*last).and_then(|d| d.finish()).map_err(text)?;
        let config = Config::new(ErrorBound::Absolute(bound)).openmp(threads != 1);
        compress_with_config(&data, &config).map_err(text)
    }

    fn decompress(&self, bytes: &[u8], _: &[usize], _: usize) -> Result<Vec<T>, String> {
        decompress::<T, _>(bytes).map(|(_, data)| data.into_data()).map_err(|e| e.to_string())
    }
}
