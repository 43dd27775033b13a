//! SZ3 (Liang et al., IEEE TBD 2023): interpolation and Lorenzo prediction, quantisation, Huffman,
//! zstd. With an absolute error bound, in each of its algorithms for fields. `setup/sz3.sh` puts the
//! library where it is looked for.

use crate::compressor::{ReferenceCompressor, long};
use libloading::{Library, Symbol};
use std::ffi::{CStr, c_char, c_void};
use std::path::PathBuf;
use std::sync::OnceLock;
use swae_codec::{Dtype, Element};

/// SZ3 with one of its algorithms.
pub struct Sz3 {
    library: &'static Sz3Library,
    /// Its number in SZ3, and its name.
    algorithm: (u8, &'static str),
}

/// The functions of `sz3.cpp`.
struct Sz3Library {
    size_bound: Symbol<'static, SizeBound>,
    compress: Symbol<'static, Compress>,
    decompress: Symbol<'static, Decompress>,
    version: String,
}

type SizeBound = unsafe extern "C" fn(*const usize, usize) -> usize;
type Compress = unsafe extern "C" fn(
    *const c_void,
    bool,
    *const usize,
    usize,
    f64,
    u8,
    *mut u8,
    usize,
    *mut c_char,
) -> usize;
type Decompress = unsafe extern "C" fn(*const u8, usize, *mut c_void, bool, *mut c_char) -> bool;
type Version = unsafe extern "C" fn(*mut c_char);

/// Bytes of the buffer for a message, and of that for the version.
const MESSAGE: usize = 256;
const VERSION: usize = 32;

impl Sz3Library {
    /// The library, opened once.
    fn get() -> Result<&'static Self, String> {
        static LIBRARY: OnceLock<Result<Sz3Library, String>> = OnceLock::new();
        LIBRARY.get_or_init(Self::open).as_ref().map_err(Clone::clone)
    }

    fn open() -> Result<Self, String> {
        let home = || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cache/swae");
        let dependencies = std::env::var_os("SWAE_DEPS").map_or_else(home, PathBuf::from);
        let path = dependencies.join("sz3-3.4.0/libsz3.so");
        let failed = |e: libloading::Error| format!("SZ3 does not load: {e}; setup/sz3.sh installs it");
        // SAFETY: the library is ours: opening it runs nothing but the constructors of SZ3's tables, and
        // its functions have the types that sz3.cpp gives them. It stays open for ever.
        unsafe {
            let library: &'static Library = Box::leak(Box::new(Library::new(path).map_err(failed)?));
            let mut text = [0; VERSION];
            library.get::<Version>(c"sz3_version").map_err(failed)?(text.as_mut_ptr());
            Ok(Self {
                size_bound: library.get(c"sz3_size_bound").map_err(failed)?,
                compress: library.get(c"sz3_compress").map_err(failed)?,
                decompress: library.get(c"sz3_decompress").map_err(failed)?,
                version: message(&text),
            })
        }
    }
}

fn message(text: &[c_char]) -> String {
    // SAFETY: sz3.cpp ends its texts with a zero, and the buffers are of zeros.
    unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned()
}

impl Sz3 {
    /// Its algorithms for fields; those without prediction and for molecules are left out.
    const ALGORITHMS: [(u8, &'static str); 3] =
        [(1, "interpolation-Lorenzo"), (2, "interpolation"), (0, "Lorenzo-regression")];

    /// One for each algorithm.
    ///
    /// # Errors
    /// Where the library is not installed.
    pub fn all() -> Result<Vec<Self>, String> {
        let library = Sz3Library::get()?;
        Ok(Self::ALGORITHMS.map(|algorithm| Self { library, algorithm }).into())
    }

    fn compress_slab<T: Element>(
        &self,
        values: &[T],
        shape: &[usize],
        bound: f64,
    ) -> Result<Vec<u8>, String> {
        let shape = long(shape);
        if !(1..=4).contains(&shape.len()) {
            return Err("SZ3 takes one to four axes".into());
        }
        let mut error = [0; MESSAGE];
        // SAFETY: the slice holds what the shape says; the stream has at most the size that is its bound,
        // and as many bytes as are returned.
        unsafe {
            let capacity = (self.library.size_bound)(shape.as_ptr(), shape.len());
            let mut stream = Vec::with_capacity(capacity);
            let size = (self.library.compress)(
                values.as_ptr().cast(),
                T::DTYPE == Dtype::F64,
                shape.as_ptr(),
                shape.len(),
                bound,
                self.algorithm.0,
                stream.as_mut_ptr(),
                capacity,
                error.as_mut_ptr(),
            );
            stream.set_len(size);
            if size > 0 { Ok(stream) } else { Err(message(&error)) }
        }
    }

    fn decompress_slab<T: Element>(&self, stream: &[u8], values: &mut [T]) -> Result<(), String> {
        let mut error = [0; MESSAGE];
        // SAFETY: the stream is one that `compress` wrote of as many values.
        let good = unsafe {
            (self.library.decompress)(
                stream.as_ptr(),
                stream.len(),
                values.as_mut_ptr().cast(),
                T::DTYPE == Dtype::F64,
                error.as_mut_ptr(),
            )
        };
        if good { Ok(()) } else { Err(message(&error)) }
    }
}

/// The wheel is built without OpenMP. Several threads compress what SZ3's own threads would: each a
/// slab of the slowest axis, by itself. The lengths of their streams follow the last one.
impl<T: Element> ReferenceCompressor<T> for Sz3 {
    fn name(&self) -> &'static str {
        "SZ3"
    }

    fn version(&self) -> String {
        self.library.version.clone()
    }

    fn setting(&self) -> &'static str {
        self.algorithm.1
    }

    fn four_axes(&self) -> bool {
        true
    }

    fn compress(&self, values: &[T], shape: &[usize], bound: f64, threads: usize) -> Result<Vec<u8>, String> {
        let shape = long(shape);
        let [planes, plane @ ..] = &shape[..] else { return Err("SZ3 takes no single value".into()) };
        let size: usize = plane.iter().product();
        let mut rest = values;
        let slab = |planes: usize| {
            let (slab, behind) = rest.split_at(planes * size);
            rest = behind;
            let shape: Vec<usize> = [planes].iter().chain(plane).copied().collect();
            move || self.compress_slab(slab, &shape, bound)
        };
        let mut streams = side_by_side(slabs(*planes, threads).into_iter().map(slab).collect())?;
        if let [_] = streams[..] {
            return Ok(streams.remove(0));
        }
        let lengths = streams.iter().flat_map(|stream| (stream.len() as u64).to_le_bytes()).collect();
        streams.push(lengths);
        Ok(streams.concat())
    }

    fn decompress(
        &self,
        bytes: &[u8],
        shape: &[usize],
        threads: usize,
        values: &mut [T],
    ) -> Result<(), String> {
        let planes = long(shape).first().copied().unwrap_or(1);
        let slabs = slabs(planes, threads);
        if let [_] = slabs[..] {
            return self.decompress_slab(bytes, values);
        }
        let plane = values.len() / planes;
        let lengths = bytes.len().checked_sub(8 * slabs.len()).ok_or("the payload is too short")?;
        let (mut streams, lengths) = bytes.split_at(lengths);
        let mut rest = values;
        let slab = |(planes, length): (usize, &[u8; 8])| {
            let (stream, behind) = streams.split_at_checked(u64::from_le_bytes(*length) as usize)?;
            let (slab, others) = std::mem::take(&mut rest).split_at_mut(planes * plane);
            (streams, rest) = (behind, others);
            Some(move || self.decompress_slab(stream, slab))
        };
        let work: Option<Vec<_>> = slabs.into_iter().zip(lengths.as_chunks().0).map(slab).collect();
        side_by_side(work.ok_or("the payload is too short")?).map(drop)
    }
}

/// The planes of the slabs that so many threads share; 0 threads are all that there are.
fn slabs(planes: usize, threads: usize) -> Vec<usize> {
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if threads == 0 { all() } else { threads };
    let count = threads.min(planes).max(1);
    (0..count).map(|i| (i + 1) * planes / count - i * planes / count).collect()
}

/// Does all of the work, each piece on a thread of its own; one piece on this one.
fn side_by_side<R: Send>(mut work: Vec<impl FnOnce() -> Result<R, String> + Send>) -> Result<Vec<R>, String> {
    let last = work.pop();
    std::thread::scope(|scope| {
        let threads: Vec<_> = work.into_iter().map(|piece| scope.spawn(piece)).collect();
        let last = last.map(|piece| piece());
        let panicked = |_| Err("a thread panicked".to_owned());
        let done = threads.into_iter().map(|thread| thread.join().unwrap_or_else(panicked));
        done.chain(last).collect()
    })
}
