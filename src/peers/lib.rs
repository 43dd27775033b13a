//! Other compressors of floating-point fields, as their authors' own code does it, behind one trait: what `swae bench`
//! measures in the same run as us.

mod sperr;
mod sz3;
mod zfp;

pub use sperr::Sperr;
pub use sz3::Sz3;
pub use zfp::Zfp;

use swae_codec::Element;

/// What a peer does. Shapes are given slowest axis first, two to four of them longer than 1.
pub trait Peer<T: Element>: Sync {
    /// As people call it.
    fn name(&self) -> &'static str;
    /// Whether it takes arrays of four axes.
    fn four_axes(&self) -> bool;
    /// Compresses with a largest absolute error. `threads` may be ignored.
    ///
    /// # Errors
    /// What the library says, or that it cannot do this.
    fn compress(&self, values: &[T], shape: &[usize], bound: f64, threads: usize) -> Result<Vec<u8>, String>;
    /// The values again.
    ///
    /// # Errors
    /// What the library says.
    fn decompress(&self, bytes: &[u8], shape: &[usize], threads: usize) -> Result<Vec<T>, String>;
}

/// A type that all peers take.
pub trait Compared: Element + ::sz3::SZ3Compressible {}
impl Compared for f32 {}
impl Compared for f64 {}

/// All peers.
pub fn all<T: Compared>() -> Vec<Box<dyn Peer<T>>> {
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
    fn every_peer_gives_a_smooth_field_back() {
        let values: Vec<f64> = (0..4096).map(|i| (0.1 * (i % 16) as f64).sin() + (i / 256) as f64).collect();
        for peer in all::<f64>() {
            for threads in [1, 2] {
                let bytes = peer.compress(&values, &[16, 16, 16], 1e-3, threads).unwrap();
                let back = peer.decompress(&bytes, &[16, 16, 16], threads).unwrap();
                let off = values.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
                assert!(bytes.len() < 8 * 4096 && off <= 1e-3, "{}: {off}", peer.name());
            }
        }
    }
}
