//! An ADIOS2 operator: operator.cpp is the class that ADIOS2 calls, this file does the work.
//!
//! Arrays of float and double of any rank are coded by the operator's parameters (`settings.rs`);
//! values of other types are stored verbatim. The operator sees one array at a time, and never the
//! file.
//!
//! Nothing ends the host when it writes. ADIOS2 makes operators in functions that are `noexcept`,
//! and few hosts catch what a put throws. So parameters are checked when the operator is made, and
//! where they are wrong, or an array cannot be coded, the values are stored verbatim and ADIOS2's
//! log has a warning.

#![cfg(feature = "adios2")]

mod settings;

use settings::OperatorSettings;
use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use swae_codec::Models;
use swae_codec::array;
use swae_codec::encode::Method;
use swae_filter::{called, fenced, host, threads};

/// The functions that operator.cpp calls: `swae_operator_functions` there.
#[repr(C)]
pub struct Functions {
    prepare: unsafe extern "C" fn(*const *const c_char, usize, *mut c_char, usize) -> *mut Prepared,
    release: unsafe extern "C" fn(*mut Prepared),
    compress: unsafe extern "C" fn(
        *const Prepared,
        *const HostArray,
        *mut c_void,
        usize,
        *mut c_char,
        usize,
    ) -> i64,
    decompress: unsafe extern "C" fn(*const c_void, usize, *mut c_void, *mut c_char, usize) -> i64,
    max_size: extern "C" fn(usize, usize) -> usize,
}

static FUNCTIONS: Functions = Functions { prepare, release, compress, decompress, max_size };

/// How the operator codes arrays; none where its parameters are wrong, or it only reads.
pub struct Prepared(Option<OperatorSettings>);

unsafe extern "C" {
    fn swae_operator_create(
        parameters: *const c_void,
        functions: *const Functions,
        log: *const c_void,
    ) -> *mut c_void;
    fn swae_operator_destroy(object: *mut c_void);
}

/// `adios2::helper::Log` of texts and a mode, which prints with ADIOS2's other warnings, once each.
const LOG: &[u8] =
    b"_ZN6adios26helper3LogERKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEES8_S8_S8_NS0_7LogModeE\0";

/// What ADIOS2 looks for: makes an operator of `const adios2::Params &`.
///
/// # Safety
/// ADIOS2 calls it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn OperatorCreate(parameters: *const c_void) -> *mut c_void {
    let log = fenced(std::ptr::null(), || {
        // SAFETY: it is passed on as an address.
        let found =
            host::calling().and_then(|library| unsafe { library.get::<*const c_void>(LOG).ok() }.map(|f| *f));
        found.unwrap_or(std::ptr::null())
    });
    // SAFETY: the caller's promise.
    unsafe { swae_operator_create(parameters, &FUNCTIONS, log) }
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

/// Checks the parameters of an operator. Without any the operator is one that reads.
///
/// # Safety
/// `pairs` leads to `count` pairs of strings, `message` to `message_size` bytes.
unsafe extern "C" fn prepare(
    pairs: *const *const c_char,
    count: usize,
    message: *mut c_char,
    message_size: usize,
) -> *mut Prepared {
    fenced(std::ptr::null_mut(), || {
        // SAFETY: the caller's promise.
        let text = |i| unsafe { CStr::from_ptr(*pairs.add(i)).to_string_lossy() };
        let texts: Vec<_> = (0..2 * count).map(text).collect();
        let pairs = texts.chunks_exact(2).map(|pair| (&*pair[0], &*pair[1]));
        let settings = if count == 0 {
            None
        } else {
            let checked = OperatorSettings::from_key_values(pairs).map_err(|e| e.to_string());
            reported(checked, message, message_size)
        };
        Box::into_raw(Box::new(Prepared(settings)))
    })
}

/// # Safety
/// `prepared` came from [`prepare`], or is NULL.
unsafe extern "C" fn release(prepared: *mut Prepared) {
    if !prepared.is_null() {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(prepared) });
    }
}

/// An array of the host: `swae_operator_array` of operator.cpp.
#[repr(C)]
pub struct HostArray {
    data: *const c_void,
    /// The axes, the last one fastest.
    shape: *const usize,
    axes: usize,
    /// 0 for float, 1 for double, 2 for any other type.
    kind: c_int,
    /// Bytes of a value.
    size: usize,
}

impl HostArray {
    /// # Safety
    /// `shape` leads to as many axes as it says, `data` to as many values as the shape has, of
    /// `size` bytes each.
    unsafe fn coded(&self, settings: &OperatorSettings) -> Result<Vec<u8>, String> {
        let threads = settings.threads.unwrap_or_else(threads);
        // SAFETY: the caller's promise.
        unsafe {
            let (shape, points) = (values::<usize>(self.shape, self.axes), self.points());
            macro_rules! coded {
                ($type:ty) => {{
                    let values = values::<$type>(self.data.cast(), points);
                    called(threads, || {
                        let (compression, model) = (&settings.compression, settings.model.as_deref());
                        array::compress(&values, &shape, Method::new(compression, model)?, compression.layout)
                    })
                }};
            }
            match self.kind {
                0 => coded!(f32),
                1 => coded!(f64),
                _ => self.stored(),
            }
        }
    }

    /// The payload of its bytes as they are.
    ///
    /// # Safety
    /// As of [`HostArray::coded`].
    unsafe fn stored(&self) -> Result<Vec<u8>, String> {
        // SAFETY: the caller's promise.
        let bytes = unsafe { values::<u8>(self.data.cast(), self.points() * self.size) };
        array::store(&bytes).map_err(|e| e.to_string())
    }

    /// # Safety
    /// As of [`HostArray::coded`]. The host has the values in memory, so their number fits.
    unsafe fn points(&self) -> usize {
        // SAFETY: the caller's promise.
        unsafe { values::<usize>(self.shape, self.axes) }.iter().product()
    }
}

/// Codes an array, or stores it as it is; then `message` says why.
///
/// # Safety
/// `prepared` came from [`prepare`], `array` is as [`HostArray::coded`] says, `out` leads to
/// `capacity` bytes, `message` to `message_size` bytes.
unsafe extern "C" fn compress(
    prepared: *const Prepared,
    array: *const HostArray,
    out: *mut c_void,
    capacity: usize,
    message: *mut c_char,
    message_size: usize,
) -> i64 {
    fenced(-1, || {
        // SAFETY: the caller's promise.
        let payload = unsafe {
            let (prepared, array) = (prepared.as_ref(), &*array);
            let coded = prepared.and_then(|p| p.0.as_ref()).and_then(|settings| {
                let coded = array.coded(settings).and_then(|payload| {
                    let larger = "an internal error of swae: the payload is larger than its limit";
                    if payload.len() > capacity { Err(larger.into()) } else { Ok(payload) }
                });
                reported(coded, message, message_size)
            });
            coded.or_else(|| reported(array.stored(), message, message_size))
        };
        let Some(payload) = payload.filter(|payload| payload.len() <= capacity) else { return -1 };
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
    fenced(-1, || {
        // SAFETY: the caller's promise.
        let payload = unsafe { values::<u8>(payload.cast(), size) };
        let decoded = called(threads(), || Ok(array::decompress(&payload, &Models::built_in())?.values));
        reported(decoded, message, message_size).map_or(-1, |values| {
            if values.size() > 0 {
                // SAFETY: ADIOS2 gives memory for the array that was coded, and the checksum says
                // that this is it.
                values.write(unsafe { std::slice::from_raw_parts_mut(out.cast(), values.size()) });
            }
            values.size() as i64
        })
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
