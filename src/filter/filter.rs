//! The HDF5 filter: a chunk is an array, its payload what HDF5 stores.
//!
//! The numbers that a user gives (`cd_values`) are [`Compression::to_cd_values`]. When a dataset is
//! made, HDF5 lets the filter add what it must know of the chunks: bytes of a value, their byte
//! order, and the chunk's shape. The filter sees one chunk at a time, and never the dataset.

use crate::hdf5_host::{Chunk, Hid, Host};
use crate::{called, threads};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use swae_codec::array::{self, Values};
use swae_codec::floats::with_default_floats;
use swae_codec::{Compression, Error, Models};

/// The filter's number, out of the range that HDF5 leaves to tests, until the HDF Group registers
/// one.
pub const ID: c_int = 397;

/// H5Z_class2_t.
#[repr(C)]
#[derive(Debug)]
pub struct Class {
    version: c_int,
    id: c_int,
    encoder_present: c_uint,
    decoder_present: c_uint,
    name: *const c_char,
    can_apply: unsafe extern "C" fn(Hid, Hid, Hid) -> c_int,
    set_local: unsafe extern "C" fn(Hid, Hid, Hid) -> c_int,
    filter: unsafe extern "C" fn(c_uint, usize, *const c_uint, usize, *mut usize, *mut *mut c_void) -> usize,
}

// SAFETY: its pointers lead to what never changes.
unsafe impl Sync for Class {}

/// The filter as HDF5 takes it, from the plugin or by `H5Zregister`.
pub static CLASS: Class = Class {
    version: 1,
    id: ID,
    encoder_present: 1,
    decoder_present: 1,
    name: c"swae: error-bounded compression of fields".as_ptr(),
    can_apply,
    set_local,
    filter,
};

/// H5Z_FLAG_REVERSE.
const REVERSE: c_uint = 0x100;

/// What the filter knows of a chunk: the user's settings, and what [`set_local`] has added.
struct ChunkSettings {
    compression: Compression,
    /// Bytes of a value.
    size: usize,
    /// Whether the values are in the other byte order than this machine's.
    swapped: bool,
    shape: Vec<usize>,
}

impl ChunkSettings {
    fn from_cd_values(numbers: &[u32]) -> Result<Self, String> {
        let compression = compression(numbers)?;
        let [size, order, shape @ ..] = &numbers[Compression::CD_COUNT..] else {
            return Err("the filter does not know its chunks; was it set up by HDF5?".into());
        };
        let swapped = (*order == 1) != cfg!(target_endian = "big");
        let shape = shape.iter().map(|&n| n as usize).collect();
        Ok(Self { compression, size: *size as usize, swapped, shape })
    }
}

fn compression(numbers: &[u32]) -> Result<Compression, String> {
    Compression::from_cd_values(numbers).map_err(|e| e.to_string())
}

/// Puts an error on HDF5's stack, and gives the value where there is none.
fn reported<T>(function: &CStr, outcome: Result<T, String>) -> Option<T> {
    outcome
        .inspect_err(|message| {
            if let Some(host) = Host::calling() {
                host.fail(function, message);
            }
        })
        .ok()
}

fn chunk(list: Hid, datatype: Hid) -> Result<(Host, Chunk), String> {
    let host = Host::calling().ok_or("cannot find the HDF5 library that uses the filter")?;
    let chunk = host.chunk(list, datatype).ok_or("HDF5 does not say what the chunks are")?;
    Ok((host, chunk))
}

/// Floats only: HDF5 leaves an optional filter out of other datasets.
unsafe extern "C" fn can_apply(list: Hid, datatype: Hid, _space: Hid) -> c_int {
    let check = || {
        chunk(list, datatype).and_then(|(host, chunk)| {
            let float =
                chunk.class == 1 && (chunk.size == 4 || chunk.size == 8) && matches!(chunk.order, 0 | 1);
            if !float {
                return Err("the filter takes only datasets of 32- and 64-bit floats".into());
            }
            let (_, numbers) = host.cd_values(list, ID).ok_or("HDF5 does not say the filter's parameters")?;
            compression(&numbers)
        })
    };
    reported(c"can_apply", with_default_floats(check)).is_some().into()
}

unsafe extern "C" fn set_local(list: Hid, datatype: Hid, _space: Hid) -> c_int {
    let set = || {
        chunk(list, datatype).and_then(|(host, chunk)| {
            let (flags, mut numbers) =
                host.cd_values(list, ID).ok_or("HDF5 does not say the filter's parameters")?;
            compression(&numbers)?;
            numbers.truncate(Compression::CD_COUNT);
            numbers.extend([chunk.size as u32, chunk.order as u32]);
            // A chunk has less than 2³² bytes.
            numbers.extend(chunk.shape.iter().map(|&n| n as u32));
            host.set_cd_values(list, ID, flags, &numbers)
                .ok_or_else(|| "HDF5 does not take its parameters".into())
        })
    };
    reported(c"set_local", with_default_floats(set)).map_or(-1, |()| 1)
}

unsafe extern "C" fn filter(
    flags: c_uint,
    count: usize,
    numbers: *const c_uint,
    bytes: usize,
    capacity: *mut usize,
    buffer: *mut *mut c_void,
) -> usize {
    // SAFETY: HDF5 passes as many numbers and bytes as it says.
    let (numbers, input) = unsafe {
        let numbers = if count == 0 { &[] } else { std::slice::from_raw_parts(numbers, count) };
        (numbers, std::slice::from_raw_parts((*buffer).cast::<u8>(), bytes))
    };
    let code = || {
        ChunkSettings::from_cd_values(numbers).and_then(|chunk| {
            called(threads(), || {
                if flags & REVERSE == 0 { encode(&chunk, input) } else { decode(&chunk, input) }
            })
        })
    };
    let Some(output) = reported(c"filter", with_default_floats(code)) else { return 0 };
    // SAFETY: HDF5's buffers are malloc's, and it frees ours so.
    unsafe {
        let made = libc::malloc(output.len().max(1));
        if made.is_null() {
            return 0;
        }
        made.cast::<u8>().copy_from_nonoverlapping(output.as_ptr(), output.len());
        libc::free(*buffer);
        (*buffer, *capacity) = (made, output.len());
    }
    output.len()
}

fn encode(chunk: &ChunkSettings, input: &[u8]) -> Result<Vec<u8>, Error> {
    let points = chunk.shape.iter().try_fold(chunk.size, |n, &a| n.checked_mul(a));
    if points != Some(input.len()) {
        let text = format!("{} bytes make no chunk of {:?}", input.len(), chunk.shape);
        return Err(Error::Shape(text));
    }
    macro_rules! values {
        ($type:ty, $bits:ty) => {{
            let bits = input
                .chunks_exact(size_of::<$bits>())
                .map(|b| <$bits>::from_ne_bytes(b.try_into().unwrap_or_default()));
            bits.map(|b| <$type>::from_bits(if chunk.swapped { b.swap_bytes() } else { b }))
                .collect::<Vec<_>>()
        }};
    }
    match chunk.size {
        4 => array::compress_with(&values!(f32, u32), &chunk.shape, &chunk.compression),
        _ => array::compress_with(&values!(f64, u64), &chunk.shape, &chunk.compression),
    }
}

fn decode(chunk: &ChunkSettings, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let array = array::decompress(payload, &Models::built_in())?;
    let size = match array.values {
        Values::F32(_) => 4,
        Values::F64(_) => 8,
        Values::Bytes(_) => 1,
    };
    if (size, &array.shape) != (chunk.size, &chunk.shape) {
        let text = format!("it holds a chunk of {:?}, not of {:?}", array.shape, chunk.shape);
        return Err(Error::Stream(text));
    }
    let mut bytes = vec![0; array.values.size()];
    array.values.write(&mut bytes);
    if chunk.swapped {
        bytes.chunks_exact_mut(chunk.size).for_each(<[u8]>::reverse);
    }
    Ok(bytes)
}
