//! The reference compressors SZ3, ZFP and SPERR behind one trait, in their authors' own code: what
//! `swae bench` measures beside swae, on the same data, in the same run.
//!
//! Each file wraps one library. Nothing here knows of swae's streams.

mod compressor;
mod sperr;
mod sz3;
mod zfp;

pub use compressor::{ReferenceCompressor, ReferenceElement};
pub use sperr::Sperr;
pub use sz3::Sz3;
pub use zfp::Zfp;

/// All reference compressors.
pub fn all<T: ReferenceElement>() -> Vec<Box<dyn ReferenceCompressor<T>>> {
    vec![Box::new(Sz3), Box::new(Zfp), Box::new(Sperr)]
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
