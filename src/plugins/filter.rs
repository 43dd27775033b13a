//! The HDF5 filter: a chunk is an array, its payload what HDF5 stores.
//!
//! The numbers that a user gives (`cd_values`) are [`Parameters::to_numbers`]. When a dataset is made, HDF5 lets the filter add
//! what it must know of the chunks: bytes of a value, whether they are swapped, and the chunk's shape.

use crate::hdf5_host::{Chunk, Hid, Host};
use crate::parameters::Parameters;
use crate::{called, threads};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use swae_codec::array::{self, Values};
use swae_codec::{Error, Models};

/// The filter's number. It lies where HDF5 leaves numbers to anybody, until the HDF Group gives us one.
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

/// What HDF5 is told of the filter, by the plugin or with `H5Zregister`.
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

/// What a filter knows when it is called: the user's parameters, and what [`set_local`] has added.
struct Local {
    parameters: Parameters,
    size: usize,
    swapped: bool,
    shape: Vec<usize>,
}

impl Local {
    fn read(numbers: &[u32]) -> Result<Self, String> {
        let parameters = Parameters::of_numbers(numbers)?;
        let [size, order, shape @ ..] = &numbers[Parameters::NUMBERS..] else {
            return Err("the filter does not know its chunks; was it set up by HDF5?".into());
        };
        let swapped = (*order == 1) != cfg!(target_endian = "big");
        let shape = shape.iter().map(|&n| n as usize).collect();
        Ok(Self { parameters, size: *size as usize, swapped, shape })
    }
}

/// Puts what went wrong on HDF5's stack; says whether nothing did.
fn settled<T>(function: &CStr, outcome: Result<T, String>) -> Option<T> {
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

/// Floats alone: an optional filter is left out for others.
unsafe extern "C" fn can_apply(list: Hid, datatype: Hid, _space: Hid) -> c_int {
    let checked = chunk(list, datatype).and_then(|(host, chunk)| {
        let float = chunk.class == 1 && (chunk.size == 4 || chunk.size == 8) && matches!(chunk.order, 0 | 1);
        if !float {
            return Err("the filter takes datasets of 32- and 64-bit floats alone".into());
        }
        let (_, numbers) = host.numbers(list, ID).ok_or("HDF5 does not say the filter's parameters")?;
        Parameters::of_numbers(&numbers)
    });
    settled(c"can_apply", checked).is_some().into()
}

unsafe extern "C" fn set_local(list: Hid, datatype: Hid, _space: Hid) -> c_int {
    let set = chunk(list, datatype).and_then(|(host, chunk)| {
        let (flags, mut numbers) =
            host.numbers(list, ID).ok_or("HDF5 does not say the filter's parameters")?;
        Parameters::of_numbers(&numbers)?;
        numbers.truncate(Parameters::NUMBERS);
        numbers.extend([chunk.size as u32, chunk.order as u32]);
        // A chunk has less than 2³² bytes.
        numbers.extend(chunk.shape.iter().map(|&n| n as u32));
        host.set_numbers(list, ID, flags, &numbers).ok_or_else(|| "HDF5 does not take its parameters".into())
    });
    settled(c"set_local", set).map_or(-1, |()| 1)
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
    let coded = Local::read(numbers).and_then(|local| {
        called(threads(), || if flags & REVERSE == 0 { encode(&local, input) } else { decode(&local, input) })
    });
    let Some(output) = settled(c"filter", coded) else { return 0 };
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

fn encode(local: &Local, input: &[u8]) -> Result<Vec<u8>, Error> {
    let points = local.shape.iter().try_fold(local.size, |n, &a| n.checked_mul(a));
    if points != Some(input.len()) {
        let text = format!("{} bytes make no chunk of {:?}", input.len(), local.shape);
        return Err(Error::Shape(text));
    }
    macro_rules! values {
        ($type:ty, $bits:ty) => {{
            let bits = input
                .chunks_exact(size_of::<$bits>())
                .map(|b| <$bits>::from_ne_bytes(b.try_into().unwrap_or_default()));
            bits.map(|b| <$type>::from_bits(if local.swapped { b.swap_bytes() } else { b }))
                .collect::<Vec<_>>()
        }};
    }
    match local.size {
        4 => local.parameters.compress(&values!(f32, u32), &local.shape),
        _ => local.parameters.compress(&values!(f64, u64), &local.shape),
    }
}

fn decode(local: &Local, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let array = array::decompress(payload, &Models::built_in())?;
    let size = match array.values {
        Values::F32(_) => 4,
        Values::F64(_) => 8,
        Values::Bytes(_) => 1,
    };
    if (size, &array.shape) != (local.size, &local.shape) {
        let text = format!("a chunk of {:?} was found where {:?} was to be", array.shape, local.shape);
        return Err(Error::Stream(text));
    }
    let mut bytes = vec![0; array.values.size()];
    array.values.write(&mut bytes);
    if local.swapped {
        bytes.chunks_exact_mut(local.size).for_each(<[u8]>::reverse);
    }
    Ok(bytes)
}
