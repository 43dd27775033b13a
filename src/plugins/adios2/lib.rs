//! An ADIOS2 operator: `operator.cpp` is what ADIOS2 sees of it, this file what it does.
//!
//! Arrays of float and double of any rank are coded as the parameters say (see [`Parameters::of_words`]); values of other types
//! are kept as they are.

#![cfg(feature = "adios2")]

use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use swae_codec::Models;
use swae_codec::array;
use swae_plugins::parameters::Parameters;
use swae_plugins::{called, threads};

/// As in operator.cpp.
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
    most: extern "C" fn(usize, usize) -> usize,
}

static FUNCTIONS: Functions = Functions { compress, decompress, most };

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

extern "C" fn most(bytes: usize, axes: usize) -> usize {
    array::most(bytes, axes.max(1))
}

/// ADIOS2's own words among an operator's parameters.
const OTHERS: [&str; 3] = ["pluginname", "pluginlibrary", "verbose"];

/// # Safety
/// `words` leads to `count` pairs of strings, `data` to as many values as `shape` says, of `size` bytes each, `out` to
/// `capacity` bytes, `message` to `room` bytes.
unsafe extern "C" fn compress(
    words: *const *const c_char,
    count: usize,
    data: *const c_void,
    shape: *const usize,
    axes: usize,
    kind: c_int,
    size: usize,
    out: *mut c_void,
    capacity: usize,
    message: *mut c_char,
    room: usize,
) -> i64 {
    // SAFETY: the caller's promise.
    let (words, shape) = unsafe {
        let words: Vec<_> = (0..2 * count).map(|i| CStr::from_ptr(*words.add(i)).to_string_lossy()).collect();
        (words, if axes == 0 { &[] } else { std::slice::from_raw_parts(shape, axes) })
    };
    let pairs = words.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1]));
    let coded = Parameters::of_words(pairs, &OTHERS).and_then(|parameters| {
        let points = shape.iter().try_fold(1usize, |n, &a| n.checked_mul(a)).unwrap_or(usize::MAX);
        let threads = parameters.threads.unwrap_or_else(threads);
        // SAFETY: as above.
        unsafe {
            match kind {
                0 => {
                    let values = values::<f32>(data.cast(), points);
                    called(threads, || parameters.compress(&values, shape))
                }
                1 => {
                    let values = values::<f64>(data.cast(), points);
                    called(threads, || parameters.compress(&values, shape))
                }
                _ => {
                    let bytes = values::<u8>(data.cast(), points.saturating_mul(size));
                    called(1, || Ok(array::store(&bytes)))
                }
            }
        }
    });
    let fits = coded.and_then(|payload| match payload.len() <= capacity {
        true => Ok(payload),
        false => Err("a defect of swae: the payload is larger than it can be".into()),
    });
    settled(fits, message, room).map_or(-1, |payload| {
        // SAFETY: as above; it fits.
        unsafe { out.cast::<u8>().copy_from_nonoverlapping(payload.as_ptr(), payload.len()) };
        payload.len() as i64
    })
}

/// Values at any address: those that do not lie as their type should are copied.
///
/// # Safety
/// There are so many.
unsafe fn values<'a, T: Copy>(data: *const T, count: usize) -> Cow<'a, [T]> {
    if count == 0 {
        return Cow::Borrowed(&[]);
    }
    // SAFETY: the caller's promise.
    unsafe {
        match data.is_aligned() {
            true => Cow::Borrowed(std::slice::from_raw_parts(data, count)),
            false => Cow::Owned((0..count).map(|i| data.add(i).read_unaligned()).collect()),
        }
    }
}

/// # Safety
/// `payload` leads to `size` bytes, `out` to memory for the array that was coded, `message` to `room` bytes.
unsafe extern "C" fn decompress(
    payload: *const c_void,
    size: usize,
    out: *mut c_void,
    message: *mut c_char,
    room: usize,
) -> i64 {
    // SAFETY: the caller's promise.
    let payload = unsafe { values::<u8>(payload.cast(), size) };
    let decoded = called(threads(), || Ok(array::decompress(&payload, &Models::built_in())?.values));
    settled(decoded, message, room).map_or(-1, |values| {
        // SAFETY: ADIOS2 gives as much memory as the array has that the payload, whole by its checksum, was made of.
        values.write(unsafe { std::slice::from_raw_parts_mut(out.cast(), values.size()) });
        values.size() as i64
    })
}

/// Leaves what went wrong where operator.cpp finds it.
fn settled<T>(outcome: Result<T, String>, message: *mut c_char, room: usize) -> Option<T> {
    outcome
        .inspect_err(|text| {
            let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
            let bytes = &text.as_bytes()[..text.as_bytes().len().min(room - 1)];
            // SAFETY: operator.cpp has so much room, and it is zeroed.
            unsafe { message.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
        })
        .ok()
}
