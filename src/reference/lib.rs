//! The reference compressors SZ3, ZFP and SPERR behind one trait, in their authors' own code: what
//! `swae bench` measures beside swae, on the same data, in the same run.
//!
//! Each file wraps one library. Nothing here knows of swae's streams.

mod compressor;
mod sperr;
mod sz3;
mod zfp;

pub use compressor::ReferenceCompressor;
pub use sperr::Sperr;
pub use sz3::Sz3;
pub use zfp::Zfp;

use swae_codec::Element;

/// What [`named`] knows.
pub const NAMES: [&str; 3] = ["sz3", "zfp", "sperr"];

/// A reference compressor, in each of its settings.
///
/// # Errors
/// Where there is none of this name, or its library is not installed.
pub fn named<T: Element>(name: &str) -> Result<Vec<Box<dyn ReferenceCompressor<T>>>, String> {
    match name {
        "sz3" => Ok(Sz3::all()?.into_iter().map(|sz3| Box::new(sz3) as _).collect()),
        "zfp" => Ok(vec![Box::new(Zfp)]),
        "sperr" => Ok(vec![Box::new(Sperr)]),
        _ => Err(format!("'{name}' is none of {}", NAMES.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all<T: Element>() -> Vec<Box<dyn ReferenceCompressor<T>>> {
        NAMES.into_iter().flat_map(|name| named(name).unwrap()).collect()
    }

    fn keeps_its_bound<T: Element>(compressor: &dyn ReferenceCompressor<T>, values: &[T], shape: &[usize]) {
        for threads in [1, 2, 3, 0] {
            let bytes = compressor.compress(values, shape, 1e-3, threads).unwrap();
            let mut decoded = vec![T::default(); shape.iter().product()];
            compressor.decompress(&bytes, shape, threads, &mut decoded).unwrap();
            let errors = values.iter().zip(&decoded).map(|(a, b)| (a.to_f64() - b.to_f64()).abs());
            let (error, name) = (errors.fold(0.0, f64::max), compressor.name());
            assert_eq!(values.len(), decoded.len(), "{name}");
            assert!(bytes.len() < size_of_val(values) && error <= 1e-3, "{name}: {error}");
        }
    }

    #[test]
    fn every_compressor_keeps_the_bound_on_a_smooth_field() {
        let doubles: Vec<f64> = (0..4096).map(|i| (0.1 * (i % 16) as f64).sin() + (i / 256) as f64).collect();
        let floats: Vec<f32> = doubles.iter().map(|&v| v as f32).collect();
        all().iter().for_each(|compressor| keeps_its_bound(&**compressor, &doubles, &[16, 16, 16]));
        all().iter().for_each(|compressor| keeps_its_bound(&**compressor, &floats, &[16, 16, 16]));
        for compressor in all().iter().filter(|compressor| compressor.four_axes()) {
            keeps_its_bound(&**compressor, &doubles, &[4, 4, 16, 16]);
        }
    }

    #[test]
    fn the_versions_are_those_that_are_wanted() {
        let mut versions: Vec<_> = all::<f64>().iter().map(|c| (c.name(), c.version())).collect();
        versions.dedup();
        let expected = [("SZ3", "3.4.0"), ("ZFP", "1.0.1"), ("SPERR", "0.8.5")];
        assert_eq!(versions, expected.map(|(name, version)| (name, version.to_owned())));
        // SPERR does not say its version; its crate does.
        assert!(include_str!("../../Cargo.lock").contains("+sperr.0.8.5\""));
    }
}
