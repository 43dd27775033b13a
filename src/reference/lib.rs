//! The reference compressors SZ3, ZFP and SPERR behind one trait, in their authors' own code: what
//! `swae bench` measures beside swae, on the same data, in the same run.
//!
//! Each file wraps one library. Nothing here knows of swae's streams.

mod sperr;
mod sz3;
mod zfp;

pub use sperr::Sperr;
pub use sz3::Sz3;
pub use zfp::Zfp;

use swae_codec::Element;

/// An error-bounded compressor. Shapes have their slowest axis first; two to four axes are longer
/// than 1.
pub trait ReferenceCompressor<T: Element>: Sync {
    /// Its name in the literature.
    fn name(&self) -> &'static str;
    /// Whether it takes arrays of four axes.
    fn four_axes(&self) -> bool;
    /// Compresses within an absolute error bound. A library without threads ignores `threads`.
    ///
    /// # Errors
    /// The library's error, or that it does not take this shape.
    fn compress(&self, values: &[T], shape: &[usize], bound: f64, threads: usize) -> Result<Vec<u8>, String>;
    /// Decompresses the values of that shape.
    ///
    /// # Errors
    /// The library's error.
    fn decompress(&self, bytes: &[u8], shape: &[usize], threads: usize) -> Result<Vec<T>, String>;
}

/// An element type that all reference compressors take.
pub trait ReferenceElement: Element + ::sz3::SZ3Compressible {}
impl ReferenceElement for f32 {}
impl ReferenceElement for f64 {}

/// All reference compressors.
pub fn all<T: ReferenceElement>() -> Vec<Box<dyn ReferenceCompressor<T>>> {
    vec![Box::new(Sz3), Box::new(Zfp), Box::new(Sperr)]
}

/// The axes that are longer than 1.
fn long(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|&n| n > 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_compressor_keeps_the_bound_on_a_smooth_field() {
        let values: Vec<f64> = (0..4096).map(|i| (0.1 * (i % 16) as f64).sin() + (i / 256) as f64).collect();
        for compressor in all::<f64>() {
            for threads in [1, 2] {
                let bytes = compressor.compress(&values, &[16, 16, 16], 1e-3, threads).unwrap();
                let decoded = compressor.decompress(&bytes, &[16, 16, 16], threads).unwrap();
                let error = values.iter().zip(&decoded).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(bytes.len() < 8 * 4096 && error <= 1e-3, "{}: {error}", compressor.name());
            }
        }
    }
}
