//! Streams in the caller's memory: no session, no file, no MPI. These functions may be called from any thread.

use crate::field::{dtype, name, sized, swae_box, swae_field};
use crate::session::{read_options, swae_options, text};
use crate::status::{Failure, argument, fenced, swae_status};
use std::ffi::{c_char, c_void};
use swae_codec::decode::decompress_box;
use swae_codec::stream::header;
use swae_codec::{Compression, Dtype, Element, Field, FieldView, Models, compress};
use swae_insitu::Options;

/// What went wrong in a call without a session, as text that ends with NUL.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct swae_message {
    /// Empty where nothing went wrong.
    pub text: [c_char; 512],
}

/// Tells what came of a call.
///
/// # Safety
/// `message` is NULL or valid.
unsafe fn tell(message: *mut swae_message, outcome: Result<(), Failure>) -> swae_status {
    let (status, said) = match outcome {
        Ok(()) => (swae_status::SWAE_OK, String::new()),
        Err(Failure(status, said)) => (status, said),
    };
    // SAFETY: the caller's promise.
    if let Some(message) = unsafe { message.as_mut() } {
        message.text.fill(0);
        let fits = (0..message.text.len().min(said.len() + 1)).rev().find(|&n| said.is_char_boundary(n));
        for (to, from) in message.text.iter_mut().zip(said.bytes().take(fits.unwrap_or(0))) {
            *to = from as c_char;
        }
    }
    status
}

/// Bytes that swae_compress never exceeds for this field; 0 where the field says something impossible.
///
/// # Safety
/// `field` is NULL or valid; its data are not read.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_compress_bound(field: *const swae_field) -> usize {
    let bound = fenced(|| {
        // SAFETY: the caller's promise.
        let field = unsafe { sized(field, "swae_field")? };
        let size = dtype(field.dtype)?.size();
        let bytes = field.count.iter().try_fold(size, |n, &c| n.checked_mul(c));
        Ok(bytes.and_then(most).unwrap_or(0))
    });
    bound.unwrap_or(0)
}

/// The most that a stream of so many bytes of values takes: they themselves, and a header.
fn most(bytes: usize) -> Option<usize> {
    bytes.checked_add(64)
}

/// Compresses a box into `out`, by the options (NULL for the default). Of the field, `shape` and `start` do not matter; a
/// relative bound is one of the box's own range. Threads of the options: 0 for all cores.
///
/// # Safety
/// `field` is valid and its data as large as it says, `options` NULL or valid, `out` has `capacity` bytes, `length` is valid,
/// `message` NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_compress(
    field: *const swae_field,
    options: *const swae_options,
    out: *mut c_void,
    capacity: usize,
    length: *mut usize,
    message: *mut swae_message,
) -> swae_status {
    let outcome = fenced(|| {
        // SAFETY: the caller's promise.
        let (field, options) = unsafe { (sized(field, "swae_field")?, read_options(options)?) };
        if out.is_null() || length.is_null() {
            return Err(argument("out or length is NULL"));
        }
        // SAFETY: the caller's promise.
        let bytes = unsafe {
            match dtype(field.dtype)? {
                Dtype::F32 => encode::<f32>(field, &options)?,
                Dtype::F64 => encode::<f64>(field, &options)?,
            }
        };
        if bytes.len() > capacity {
            return Err(argument(format!(
                "{} bytes do not fit into {capacity}; swae_compress_bound says how many always do",
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
    // SAFETY: the caller's promise.
    unsafe { tell(message, outcome) }
}

/// # Safety
/// The field's data are as large as it says.
unsafe fn encode<T: Element>(field: &swae_field, options: &Options) -> Result<Vec<u8>, Failure> {
    let name = if field.name.is_null() {
        ""
    } else {
        // SAFETY: a string, by the caller's promise.
        unsafe { name(field.name)? }
    };
    // SAFETY: the caller's promise.
    let view = unsafe { field.place().view::<T>(field.order, field.data) }.map_err(argument)?;
    let mut compression = options.of(name).compression.clone().unwrap_or_else(Compression::raw);
    if compression.bound().is_some() {
        // A mixing model mixes predictions from previous steps, which a box alone does not have.
        compression.model = None;
    }
    let code = || -> Result<Vec<u8>, swae_codec::Error> {
        let bytes = compress(&view, &compression)?;
        // What cannot be compressed is kept as it is.
        let limit = most(view.count().iter().product::<usize>() * T::DTYPE.size());
        if limit.is_some_and(|limit| bytes.len() > limit) {
            return compress(&view, &Compression::raw());
        }
        Ok(bytes)
    };
    let coded = match options.threads {
        0 => code(),
        threads => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
            pool.map_err(|e| argument(format!("cannot start {threads} threads: {e}")))?.install(code)
        }
    };
    coded.map_err(|e| swae_insitu::Error::from(e).into())
}

/// What a stream holds: a swae_dtype, and the points of its box along x, y, z.
///
/// # Safety
/// `stream` has `length` bytes; `dtype`, `count` and `message` are NULL or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_stream_shape(
    stream: *const c_void,
    length: usize,
    dtype: *mut i32,
    count: *mut [usize; 3],
    message: *mut swae_message,
) -> swae_status {
    let outcome = fenced(|| {
        // SAFETY: the caller's promise.
        let header = header(unsafe { bytes(stream, length)? }).map_err(swae_insitu::Error::from)?;
        let [only] = header.boxes[..] else {
            return Err(argument(format!("the stream holds {} boxes, not one", header.boxes.len())));
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
    // SAFETY: the caller's promise.
    unsafe { tell(message, outcome) }
}

/// Decompresses a stream into the memory that `field` describes: `data`, `dtype`, `count` as in the stream, ghost zones,
/// order and strides as in swae_put; ghost zones are left alone. `model` is the path of the model's file where the stream
/// needs one that is not built in, or NULL.
///
/// # Safety
/// `stream` has `length` bytes, `model` is NULL or a string, `field` is valid and its memory can be written, `message` is NULL
/// or valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_decompress(
    stream: *const c_void,
    length: usize,
    model: *const c_char,
    field: *const swae_field,
    message: *mut swae_message,
) -> swae_status {
    let outcome = fenced(|| {
        // SAFETY: the caller's promise.
        let (field, stream) = unsafe { (sized(field, "swae_field")?, bytes(stream, length)?) };
        let mut models = Models::built_in();
        // SAFETY: the caller's promise.
        if let Some(path) = unsafe { text(model) } {
            models.add((*Models::named_or_file(path).map_err(swae_insitu::Error::from)?).clone());
        }
        let decoded = decompress_box(stream, &models).map_err(swae_insitu::Error::from)?;
        // SAFETY: the caller's promise.
        unsafe { give(&decoded, field) }
    });
    // SAFETY: the caller's promise.
    unsafe { tell(message, outcome) }
}

/// Writes a decoded box into the caller's memory.
///
/// # Safety
/// The field's memory can be written.
pub(crate) unsafe fn give(decoded: &Field, field: &swae_field) -> Result<(), Failure> {
    let wanted = dtype(field.dtype)?;
    if (decoded.dtype(), decoded.count()) != (wanted, field.count) {
        return Err(argument(format!(
            "the values are {} {:?}, asked for are {} {:?}",
            decoded.dtype().name(),
            decoded.count(),
            wanted.name(),
            field.count
        )));
    }
    let (place, data): (swae_box, *mut c_void) = (field.place(), field.data.cast_mut());
    // SAFETY: the caller's promise.
    let filled = unsafe {
        match decoded {
            Field::F32(a) => {
                place.fill(field.order, data, FieldView::of_array(a).into_iter().flat_map(values))
            }
            Field::F64(a) => {
                place.fill(field.order, data, FieldView::of_array(a).into_iter().flat_map(values))
            }
        }
    };
    filled.map_err(argument)
}

fn values<T: Element>(view: FieldView<'_, T>) -> Vec<T> {
    view.values().collect()
}

/// # Safety
/// `stream` is NULL or has `length` bytes.
unsafe fn bytes<'a>(stream: *const c_void, length: usize) -> Result<&'a [u8], Failure> {
    if stream.is_null() {
        return Err(argument("stream is NULL"));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(stream.cast(), length) })
}
