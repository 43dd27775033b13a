//! What a reference compressor does, whichever library does it.

use swae_codec::Element;

/// An error-bounded compressor. Shapes have their slowest axis first; two to four axes are longer
/// than 1.
pub trait ReferenceCompressor<T: Element>: Sync {
    /// Its name in the literature.
    fn name(&self) -> &'static str;
    /// The version of the library.
    fn version(&self) -> String;
    /// What of the library it is: an algorithm or a mode.
    fn setting(&self) -> &'static str;
    /// Whether it takes arrays of four axes.
    fn four_axes(&self) -> bool;
    /// Compresses within an absolute error bound. 0 threads are all that there
    /// are; a library without threads ignores them.
    ///
    /// # Errors
    /// The library's error, or that it does not take this shape.
    fn compress(&self, values: &[T], shape: &[usize], bound: f64, threads: usize) -> Result<Vec<u8>, String>;
    /// Decompresses the values of that shape into as many.
    ///
    /// # Errors
    /// The library's error.
    fn decompress(&self, bytes: &[u8], shape: &[usize], threads: usize, out: &mut [T]) -> Result<(), String>;
}

/// The axes that are longer than 1.
pub(crate) fn long(shape: &[usize]) -> Vec<usize> {
    shape.iter().copied().filter(|&n| n > 1).collect()
}
