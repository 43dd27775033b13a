//! Streams in the caller's memory: no session, no file, no MPI. These functions may be called from
//! any thread.

use crate::extensible;
use crate::field::{dtype, name, swae_box, swae_field};
use crate::session::{read_options, swae_options, text};
use crate::status::{Failure, argument, catch_panics, swae_status};
use std::ffi::{c_char, c_void};
use swae_codec::decode::decompress_box;
use swae_codec::stream::{header, max_raw_size};
use swae_codec::threads::with_limit;
use swae_codec::{Compression, Dtype, Element, Field, Models, compress};
use swae_insitu::Options;

/// @brief Error message of a call without a session.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct swae_message {
    /// The text, which ends with NUL; empty where the call succeeded.
    pub text: [c_char; 512],
}

/// The status of a call, whose message the caller gets.
///
/// # Safety
/// `message` is NULL or valid.
unsafe fn report(message: *mut swae_message, outcome: Result<(), Failure>) -> swae_status {
    let (status, text) = match outcome {
        Ok(()) => (swae_status::SWAE_OK, String::new()),
        Err(Failure(status, text)) => (status, text),
    };
    // SAFETY: the caller's contract.
    if let Some(message) = unsafe { message.as_mut() } {
        message.text.fill(0);
        let fits = (0..message.text.len().min(text.len() + 1)).rev().find(|&n| text.is_char_boundary(n));
        for (to, from) in message.text.iter_mut().zip(text.bytes().take(fits.unwrap_or(0))) {
            *to = from as c_char;
        }
    }
    status
}

/// @brief The largest size of a stream that swae_compress makes of a field.
///
/// @param field  the field; its data are not read
/// @return bytes; 0 where the field is NULL or invalid
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_compress_bound(field: *const swae_field) -> usize {
    let bound = catch_panics(|| {
        // SAFETY: the caller's contract.
        let field = unsafe { extensible::read(field)? };
        // What cannot be compressed is stored as it is.
        Ok(max_raw_size(field.count, dtype(field.dtype)?).unwrap_or(0))
    });
    bound.unwrap_or(0)
}

/// @brief Compresses a box into the caller's memory. It may be called from any thread.
///
/// @param field         the box, whose data are as large as it says; shape and start are ignored
/// @param options       the options, NULL for the defaults, a relative bound of 1e-4; a relative
///                      bound refers to the value range of the box, and threads = 0 means all cores
/// @param[out] out      the stream
/// @param capacity      bytes of `out`; swae_compress_bound is always enough
/// @param[out] length   bytes of the stream
/// @param[out] message  the error message; may be NULL
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT, _MODEL, _UNSUPPORTED or _MEMORY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_compress(
    field: *const swae_field,
    options: *const swae_options,
    out: *mut c_void,
    capacity: usize,
    length: *mut usize,
    message: *mut swae_message,
) -> swae_status {
    let outcome = catch_panics(|| {
        // SAFETY: the caller's contract.
        let (field, options) = unsafe { (extensible::read(field)?, read_options(options)?) };
        if out.is_null() || length.is_null() {
            return Err(argument("out or length is NULL"));
        }
        // SAFETY: the caller's contract.
        let bytes = unsafe {
            match dtype(field.dtype)? {
                Dtype::F32 => encode::<f32>(&field, &options)?,
                Dtype::F64 => encode::<f64>(&field, &options)?,
            }
        };
        if bytes.len() > capacity {
            return Err(argument(format!(
                "{} bytes exceed the capacity of {capacity}; swae_compress_bound is always enough",
                bytes.len()
            )));
        }
        // SAFETY: not NULL, large enough, and the caller's.
        unsafe {
            out.cast::<u8>().copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            *length = bytes.len();
        }
        Ok(())
    });
    // SAFETY: the caller's contract.
    unsafe { report(message, outcome) }
}

/// # Safety
/// The field's data are as large as it says.
unsafe fn encode<T: Element>(field: &swae_field, options: &Options) -> Result<Vec<u8>, Failure> {
    let name = if field.name.is_null() {
        ""
    } else {
        // SAFETY: a string, by the caller's contract.
        unsafe { name(field.name)? }
    };
    // SAFETY: the caller's contract.
    let view = unsafe { field.as_box().view::<T>(field.order, field.data) }.map_err(argument)?;
    let mut compression = options.of(name, 0).compression.clone().unwrap_or_else(Compression::raw);
    if compression.bound().is_some() {
        // A mixing model mixes predictions from previous steps, which a box alone does not have.
        compression.model = None;
    }
    let code = || -> Result<Vec<u8>, swae_codec::Error> {
        let bytes = compress(&view, &compression)?;
        // What cannot be compressed is stored uncompressed.
        if max_raw_size(view.count(), T::DTYPE).is_some_and(|most| bytes.len() > most) {
            return compress(&view, &Compression::raw());
        }
        Ok(bytes)
    };
    with_limit(options.threads, code).map_err(|e| swae_insitu::Error::from(e).into())
}

/// @brief Type and shape of a stream, of which the head is verified. It may be called from any
/// thread.
///
/// @param stream        the stream
/// @param length        its bytes
/// @param[out] dtype    a swae_dtype; may be NULL
/// @param[out] count    points of its box along x, y, z; may be NULL
/// @param[out] message  the error message; may be NULL
/// @return SWAE_OK; SWAE_ERROR_CORRUPT where the head is damaged or the stream is none of swae;
///         SWAE_ERROR_VERSION where a later library has written it; SWAE_ERROR_ARGUMENT where it is
///         NULL; SWAE_ERROR_UNSUPPORTED where it holds more than one box
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_stream_shape(
    stream: *const c_void,
    length: usize,
    dtype: *mut i32,
    count: *mut [usize; 3],
    message: *mut swae_message,
) -> swae_status {
    let outcome = catch_panics(|| {
        // SAFETY: the caller's contract.
        let header = header(unsafe { bytes(stream, length)? }).map_err(swae_insitu::Error::from)?;
        let [only] = header.boxes[..] else {
            let text = format!("the stream holds {} boxes, not one", header.boxes.len());
            return Err(Failure(swae_status::SWAE_ERROR_UNSUPPORTED, text));
        };
        // SAFETY: NULL or valid.
        unsafe {
            if let Some(dtype) = dtype.as_mut() {
                *dtype = header.dtype as i32;
            }
            if let Some(count) = count.as_mut() {
                *count = only;
            }
        }
        Ok(())
    });
    // SAFETY: the caller's contract.
    unsafe { report(message, outcome) }
}

/// @brief Decompresses a stream into the caller's memory. It may be called from any thread.
///
/// @param stream        the stream
/// @param length        its bytes
/// @param model         path of a model file where the stream needs a model that is not built in;
///                      may be NULL
/// @param field         dtype and count as in the stream; data, ghost zones, order and strides
///                      describe the memory that the values are written to. Ghost zones are not
///                      written
/// @param[out] message  the error message; may be NULL
/// @return SWAE_OK; SWAE_ERROR_CORRUPT or _VERSION as swae_stream_shape; SWAE_ERROR_MODEL where the
///         model is missing or damaged; SWAE_ERROR_ARGUMENT where the field does not fit;
///         SWAE_ERROR_MEMORY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_decompress(
    stream: *const c_void,
    length: usize,
    model: *const c_char,
    field: *const swae_field,
    message: *mut swae_message,
) -> swae_status {
    let outcome = catch_panics(|| {
        // SAFETY: the caller's contract.
        let (field, stream) = unsafe { (extensible::read(field)?, bytes(stream, length)?) };
        let mut models = Models::built_in();
        // SAFETY: the caller's contract.
        if let Some(path) = unsafe { text(model) } {
            models.add((*Models::named_or_file(path).map_err(swae_insitu::Error::from)?).clone());
        }
        let decoded = decompress_box(stream, &models).map_err(swae_insitu::Error::from)?;
        // SAFETY: the caller's contract.
        unsafe { copy_out(&decoded, &field) }
    });
    // SAFETY: the caller's contract.
    unsafe { report(message, outcome) }
}

/// Writes a decoded box into the caller's memory.
///
/// # Safety
/// The field's memory can be written.
pub(crate) unsafe fn copy_out(decoded: &Field, field: &swae_field) -> Result<(), Failure> {
    let wanted = dtype(field.dtype)?;
    if (decoded.dtype(), decoded.count()) != (wanted, field.count) {
        return Err(argument(format!(
            "the values are {} {:?}, not {} {:?}",
            decoded.dtype().name(),
            decoded.count(),
            wanted.name(),
            field.count
        )));
    }
    let (part, data): (swae_box, *mut c_void) = (field.as_box(), field.data.cast_mut());
    // SAFETY: the caller's contract.
    let filled = unsafe {
        match decoded {
            Field::F32(a) => part.fill(field.order, data, a.iter().copied()),
            Field::F64(a) => part.fill(field.order, data, a.iter().copied()),
        }
    };
    filled.map_err(argument)
}

/// # Safety
/// `stream` is NULL or has `length` bytes.
unsafe fn bytes<'a>(stream: *const c_void, length: usize) -> Result<&'a [u8], Failure> {
    if stream.is_null() {
        return Err(argument("stream is NULL"));
    }
    // SAFETY: the caller's contract.
    Ok(unsafe { std::slice::from_raw_parts(stream.cast(), length) })
}
