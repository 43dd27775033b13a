//! An ADIOS2 operator: operator.cpp is the class that ADIOS2 calls, this file does the work.
//!
//! Arrays of float and double of any rank are coded by the operator's parameters (`settings.rs`);
//! values of other types are stored verbatim. The operator sees one array at a time, and never the
//! file.

#![cfg(feature = "adios2")]

mod settings;

use settings::OperatorSettings;
use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use swae_codec::Models;
use swae_codec::array;
use swae_filter::{called, threads};

/// The functions that operator.cpp calls: `swae_operator_functions` there.
#[repr(C)]
pub struct Functions {
    compress: unsafe extern "C" fn(
        *const *const c_char,
        usize,
        *const c_void,
        *const usize,
        usize,
        c_int,
        usize,
        *mut c_void,
        usize,
        *mut c_char,
        usize,
    ) -> i64,
    decompress: unsafe extern "C" fn(*const c_void, usize, *mut c_void, *mut c_char, usize) -> i64,
    max_size: extern "C" fn(usize, usize) -> usize,
}

static FUNCTIONS: Functions = Functions { compress, decompress, max_size };

unsafe extern "C" {
    fn swae_operator_create(parameters: *const c_void, functions: *const Functions) -> *mut c_void;
    fn swae_operator_destroy(object: *mut c_void);
}

/// What ADIOS2 looks for: makes an operator of `const adios2::Params &`.
///
/// # Safety
/// ADIOS2 calls it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OperatorCreate(parameters: *const c_void) -> *mut c_void {
    // SAFETY: the caller's promise.
    unsafe { swae_operator_create(parameters, &FUNCTIONS) }
}

/// What ADIOS2 looks for: ends an operator.
///
/// # Safety
/// It came from [`OperatorCreate`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OperatorDestroy(object: *mut c_void) {
    // SAFETY: the caller's promise.
    unsafe { swae_operator_destroy(object) }
}

extern "C" fn max_size(bytes: usize, axes: usize) -> usize {
    array::max_compressed_size(bytes, axes.max(1))
}

/// An array of the host: where it lies, its axes (the last one fastest), and what its values are.
struct HostArray<'a> {
    data: *const c_void,
    shape: &'a [usize],
    /// 0 for float, 1 for double, 2 for any other type.
    kind: c_int,
    /// Bytes of a value.
    size: usize,
}

impl HostArray<'_> {
    /// # Safety
    /// `data` leads to as many values as the shape has, of `size` bytes each.
    unsafe fn coded(&self, settings: &OperatorSettings) -> Result<Vec<u8>, String> {
        let points = self.shape.iter().try_fold(1usize, |n, &a| n.checked_mul(a)).unwrap_or(usize::MAX);
        let threads = settings.threads.unwrap_or_else(threads);
        let (shape, compression) = (self.shape, &settings.compression);
        // SAFETY: the caller's promise.
        unsafe {
            match self.kind {
                0 => {
                    let values = values::<f32>(self.data.cast(), points);
                    called(threads, || array::compress_with(&values, shape, compression))
                }
                1 => {
                    let values = values::<f64>(self.data.cast(), points);
                    called(threads, || array::compress_with(&values, shape, compression))
                }
                _ => {
                    let bytes = values::<u8>(self.data.cast(), points.saturating_mul(self.size));
                    called(1, || array::store(&bytes))
                }
            }
        }
    }
}

/// # Safety
/// `pairs` leads to `count` pairs of strings, `data` to as many values as `shape` says, of `size`
/// bytes each, `out` to `capacity` bytes, `message` to `message_size` bytes.
unsafe extern "C" fn compress(
    pairs: *const *const c_char,
    count: usize,
    data: *const c_void,
    shape: *const usize,
    axes: usize,
    kind: c_int,
    size: usize,
    out: *mut c_void,
    capacity: usize,
    message: *mut c_char,
    message_size: usize,
) -> i64 {
    // SAFETY: the caller's promise.
    let (texts, shape) = unsafe {
        let texts: Vec<_> = (0..2 * count).map(|i| CStr::from_ptr(*pairs.add(i)).to_string_lossy()).collect();
        (texts, if axes == 0 { &[] } else { std::slice::from_raw_parts(shape, axes) })
    };
    let pairs = texts.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1]));
    let settings = called(1, || OperatorSettings::from_key_values(pairs));
    let array = HostArray { data, shape, kind, size };
    // SAFETY: the caller's promise.
    let payload = settings.and_then(|settings| unsafe { array.coded(&settings) });
    let payload = payload.and_then(|payload| {
        if payload.len() > capacity {
            return Err("an internal error of swae: the payload is larger than its limit".into());
        }
        Ok(payload)
    });
    reported(payload, message, message_size).map_or(-1, |payload| {
        // SAFETY: as above; it fits.
        unsafe { out.cast::<u8>().copy_from_nonoverlapping(payload.as_ptr(), payload.len()) };
        payload.len() as i64
    })
}

/// Values at any address: those that are not aligned are copied.
///
/// # Safety
/// `data` leads to `count` values.
unsafe fn values<'a, T: Copy>(data: *const T, count: usize) -> Cow<'a, [T]> {
    if count == 0 {
        return Cow::Borrowed(&[]);
    }
    // SAFETY: the caller's promise.
    unsafe {
        if data.is_aligned() {
            Cow::Borrowed(std::slice::from_raw_parts(data, count))
        } else {
            Cow::Owned((0..count).map(|i| data.add(i).read_unaligned()).collect())
        }
    }
}

/// # Safety
/// `payload` leads to `size` bytes, `out` to memory for the array that was coded, `message` to
/// `message_size` bytes.
unsafe extern "C" fn decompress(
    payload: *const c_void,
    size: usize,
    out: *mut c_void,
    message: *mut c_char,
    message_size: usize,
) -> i64 {
    // SAFETY: the caller's promise.
    let payload = unsafe { values::<u8>(payload.cast(), size) };
    let decoded = called(threads(), || Ok(array::decompress(&payload, &Models::built_in())?.values));
    reported(decoded, message, message_size).map_or(-1, |values| {
        // SAFETY: ADIOS2 gives memory for the array that was coded, and the checksum says that this
        // is it.
        values.write(unsafe { std::slice::from_raw_parts_mut(out.cast(), values.size()) });
        values.size() as i64
    })
}

/// Writes an error where operator.cpp finds it, and gives the value where there is none.
fn reported<T>(outcome: Result<T, String>, message: *mut c_char, size: usize) -> Option<T> {
    outcome
        .inspect_err(|text| {
            let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
            let bytes = &text.as_bytes()[..text.as_bytes().len().min(size - 1)];
            // SAFETY: operator.cpp has so many bytes there, and they are zeroed.
            unsafe { message.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        })
        .ok()
}
