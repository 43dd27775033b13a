//! The HDF5 filter: a chunk is an array, its payload what HDF5 stores.
//!
//! The numbers that a user gives (`cd_values`) are [`Compression::to_cd_values`]. When a dataset is
//! made, HDF5 lets the filter check it and add what it must know of the chunks (`chunks.rs`). The
//! filter sees one chunk at a time, and never the dataset.
//!
//! What HDF5 does with an answer depends on whether the filter is mandatory or optional:
//!
//! | function | answer | mandatory | optional |
//! |---|---|---|---|
//! | `can_apply` | 0 | no dataset | as if it were 1: `set_local` and the filter are called too |
//! | `can_apply`, `set_local` | below 0 | no dataset | no dataset |
//! | filter, writing | 0 | an error | the chunk is stored as it is, with a bit that says so |
//! | filter, reading | 0 | an error | an error |
//!
//! So `set_local` marks datasets that an optional filter is to leave alone, and the filter codes
//! within a bound only what is marked as checked. Parallel HDF5 1.10 forgets the bit of a chunk that
//! is stored as it is: of datasets that are left alone the filter gives back what it reads, and of
//! all others it codes every chunk, without loss where there is no other way.

use crate::chunks::Chunks;
use crate::hdf5_host::{Hid, Host};
use crate::{called, fenced, threads};
use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use swae_codec::array::{self, Values};
use swae_codec::bound::ValueRange;
use swae_codec::config::Mode;
use swae_codec::{Bound, Compression, Error, Models, memory};

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

/// H5Z_FLAG_OPTIONAL.
const OPTIONAL: c_uint = 1;

/// How the filter codes a dataset that has these numbers; none where it leaves the dataset alone,
/// or where the numbers mean nothing.
pub fn applied(numbers: &[u32]) -> Option<Compression> {
    let words = numbers.get(Compression::CD_COUNT..)?;
    if Chunks::are_left_alone(words) { None } else { Compression::from_cd_values(numbers).ok() }
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

/// What is found out of a dataset that is made, or resized: then only [`can_apply`] is called.
struct Setup {
    host: Host,
    is_optional: bool,
    /// The user's numbers.
    numbers: Vec<u32>,
    /// Its chunks, or why the filter does not apply to it.
    chunks: Result<Chunks, String>,
}

impl Setup {
    /// # Errors
    /// Where HDF5 does not answer, and where the user's numbers mean nothing.
    fn of(list: Hid, datatype: Hid) -> Result<Self, String> {
        let host = Host::calling().ok_or("cannot find the HDF5 library that uses the filter")?;
        let (flags, mut numbers) =
            host.cd_values(list, ID).ok_or("HDF5 does not say the filter's parameters")?;
        compression(&numbers)?;
        numbers.truncate(Compression::CD_COUNT);
        let dataset = host.dataset(list, datatype).ok_or("HDF5 does not say what the chunks are")?;
        let chunks = Chunks::of(&dataset, ID);
        Ok(Self { host, is_optional: flags & OPTIONAL != 0, numbers, chunks })
    }

    /// Adds to the user's numbers what the filter must know of the chunks.
    fn write(mut self, list: Hid, datatype: Hid) -> Result<(), String> {
        let words = match self.chunks {
            Ok(chunks) => {
                let fill = self.host.fill(list, datatype, chunks.float());
                Chunks { fill, ..chunks }.to_words()
            }
            Err(_) if self.is_optional => Chunks::LEFT_ALONE.to_vec(),
            Err(why) => return Err(why),
        };
        self.numbers.extend(words);
        let flags = if self.is_optional { OPTIONAL } else { 0 };
        let set = self.host.set_cd_values(list, ID, flags, &self.numbers);
        set.ok_or_else(|| "HDF5 does not take its parameters".into())
    }
}

/// The storage of a group has no list and no type; the filter does not apply to it.
const NONE: Hid = -1;

/// 1 for floats that no filter has changed, 0 for anything else, −1 for parameters that mean
/// nothing.
unsafe extern "C" fn can_apply(list: Hid, datatype: Hid, _space: Hid) -> c_int {
    fenced(-1, || {
        if list == NONE {
            return 0;
        }
        match reported(c"can_apply", Setup::of(list, datatype)) {
            None => -1,
            // No error: HDF5 stores the values as they are.
            Some(Setup { chunks: Err(_), is_optional: true, .. }) => 0,
            Some(setup) => reported(c"can_apply", setup.chunks).is_some().into(),
        }
    })
}

unsafe extern "C" fn set_local(list: Hid, datatype: Hid, _space: Hid) -> c_int {
    fenced(-1, || {
        if list == NONE {
            return 0;
        }
        let set = Setup::of(list, datatype).and_then(|setup| setup.write(list, datatype));
        reported(c"set_local", set).map_or(-1, |()| 1)
    })
}

unsafe extern "C" fn filter(
    flags: c_uint,
    count: usize,
    numbers: *const c_uint,
    bytes: usize,
    capacity: *mut usize,
    buffer: *mut *mut c_void,
) -> usize {
    fenced(0, || {
        // SAFETY: HDF5 passes as many numbers and bytes as it says.
        let (numbers, input) = unsafe { (slice(numbers, count), slice((*buffer).cast::<u8>(), bytes)) };
        let is_reading = flags & REVERSE != 0;
        let words = numbers.get(Compression::CD_COUNT..).unwrap_or_default();
        if Chunks::are_left_alone(words) {
            return if is_reading { bytes } else { 0 };
        }
        let coded = compression(numbers).and_then(|compression| {
            let chunks = Chunks::from_words(words)?;
            if is_reading {
                return called(threads(), || decode(&chunks, input));
            }
            let lossless = |_| called(1, || encode(&chunks, &Compression::raw(), input));
            let bounded = if chunks.is_checked { compression } else { Compression::raw() };
            called(threads(), || encode(&chunks, &bounded, input)).or_else(lossless)
        });
        let Some(output) = reported(c"filter", coded) else { return 0 };
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
    })
}

/// # Safety
/// `data` leads to `count` values, or there are none.
unsafe fn slice<'a, T>(data: *const T, count: usize) -> &'a [T] {
    if data.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: the caller's promise.
    unsafe { std::slice::from_raw_parts(data, count) }
}

fn encode(chunks: &Chunks, compression: &Compression, input: &[u8]) -> Result<Vec<u8>, Error> {
    if chunks.bytes() != Some(input.len()) {
        let text = format!("{} bytes make no chunk of {:?}", input.len(), chunks.shape);
        return Err(Error::Shape(text));
    }
    macro_rules! coded {
        ($type:ty, $bits:ty) => {{
            let bits = input
                .chunks_exact(size_of::<$bits>())
                .map(|b| <$bits>::from_ne_bytes(b.try_into().unwrap_or_default()));
            let bits = bits.map(|b| if chunks.swapped { b.swap_bytes() } else { b });
            let values = memory::collect(input.len() / size_of::<$bits>(), bits.map(<$type>::from_bits))?;
            let fill = chunks.fill.map(|bits| f64::from(<$type>::from_bits(bits as $bits)));
            let marked = values.iter().map(|v| (f64::from(*v), chunks.fill == Some(v.to_bits().into())));
            let compression = match fill {
                Some(fill) if fill != 0.0 && compression.bound().is_some() => compression.clone().fill(fill),
                _ => without_fill(compression, marked),
            };
            array::compress_with(&values, &chunks.shape, &compression)
        }};
    }
    match chunks.size {
        4 => coded!(f32, u32),
        _ => coded!(f64, u64),
    }
}

/// The compression of a chunk whose fill value is 0, which stands for no missing point: most
/// programs state none. Its values come with whether each is 0. Those do not count in its value
/// range, because HDF5 pads chunks at the edge of the dataset with them: where there are any, a
/// bound that needs the range becomes the absolute one that it stands for.
fn without_fill(compression: &Compression, values: impl Iterator<Item = (f64, bool)>) -> Compression {
    let mut own = compression.clone();
    let Some(bound) = compression.bound().filter(|bound| bound.needs_range()) else { return own };
    let (mut range, mut has_fill) = (ValueRange::EMPTY, false);
    for (v, is_fill) in values {
        has_fill |= is_fill;
        if !is_fill && v.is_finite() {
            range = range.union(ValueRange { min: v, max: v });
        }
    }
    if has_fill {
        let tolerance = match bound {
            // No error above the one that all values may have at this ratio.
            Bound::Psnr(db) => range.width() * 10f64.powf(-db / 20.0),
            bound => bound.number() * range.width(),
        };
        own.mode = Mode::Bounded(Bound::Absolute(tolerance));
    }
    own
}

fn decode(chunks: &Chunks, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let array = array::decompress(payload, &Models::built_in())?;
    let size = match array.values {
        Values::F32(_) => 4,
        Values::F64(_) => 8,
        Values::Bytes(_) => 1,
    };
    if (size, &array.shape) != (chunks.size, &chunks.shape) {
        let text = format!("it holds a chunk of {:?}, not of {:?}", array.shape, chunks.shape);
        return Err(Error::Stream(text));
    }
    let mut bytes = memory::zeros(array.values.size())?;
    array.values.write(&mut bytes);
    if chunks.swapped {
        bytes.chunks_exact_mut(chunks.size).for_each(<[u8]>::reverse);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swae_codec::config::Effort;

    /// What HDF5 gets of the filter: the bytes that it gives back, or none.
    fn filtered(flags: c_uint, numbers: &[u32], input: &[u8]) -> Option<Vec<u8>> {
        // SAFETY: the filter is told what there is, and gives back malloc's memory.
        unsafe {
            let mut buffer = libc::malloc(input.len().max(1));
            buffer.cast::<u8>().copy_from_nonoverlapping(input.as_ptr(), input.len());
            let mut capacity = input.len();
            let bytes =
                filter(flags, numbers.len(), numbers.as_ptr(), input.len(), &mut capacity, &mut buffer);
            let output = slice(buffer.cast::<u8>(), bytes).to_vec();
            libc::free(buffer);
            (bytes > 0).then_some(output)
        }
    }

    fn numbers(words: &[u32]) -> Vec<u32> {
        [&Compression::absolute(1e-3).to_cd_values()[..], words].concat()
    }

    fn chunks() -> Chunks {
        Chunks { size: 8, swapped: false, shape: vec![8, 8, 8], fill: None, is_checked: true }
    }

    fn integers() -> Vec<u8> {
        (0..512u64).flat_map(|i| i.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_ne_bytes()).collect()
    }

    #[test]
    fn datasets_of_earlier_versions_are_written_without_loss() {
        let unchecked = numbers(&[8, 0, 8, 8, 8]);
        let payload = filtered(0, &unchecked, &integers()).unwrap();
        assert_eq!(filtered(REVERSE, &unchecked, &payload), Some(integers()));
    }

    #[test]
    fn datasets_that_are_left_alone_are_stored_and_read_as_they_are() {
        let numbers = numbers(Chunks::LEFT_ALONE);
        assert_eq!(filtered(0, &numbers, &integers()), None);
        assert_eq!(filtered(REVERSE, &numbers, &integers()), Some(integers()));
    }

    #[test]
    fn nothing_is_coded_or_decoded_without_words() {
        for words in [&[][..], &[1], &[8, 0], &[8, 0, 9, 8, 8]] {
            assert_eq!(filtered(0, &numbers(words), &integers()), None, "{words:?}");
        }
        assert_eq!(filtered(0, &[], &integers()), None);
        assert_eq!(filtered(0, &numbers(&chunks().to_words()), &[]), None);
    }

    #[test]
    fn payloads_that_are_cut_or_of_other_chunks_are_errors() {
        let numbers_of = |chunks: Chunks| numbers(&chunks.to_words());
        let payload = filtered(0, &numbers_of(chunks()), &integers()).unwrap();
        assert!(filtered(REVERSE, &numbers_of(chunks()), &payload).is_some());
        for length in [0, 1, 5, payload.len() / 2, payload.len() - 1] {
            assert_eq!(filtered(REVERSE, &numbers_of(chunks()), &payload[..length]), None, "{length}");
        }
        for other in [
            Chunks { size: 4, ..chunks() },
            Chunks { shape: vec![8, 8], ..chunks() },
            Chunks { shape: vec![64, 8], ..chunks() },
        ] {
            assert_eq!(filtered(REVERSE, &numbers_of(other.clone()), &payload), None, "{other:?}");
        }
    }

    #[test]
    fn values_that_are_the_fill_value_are_missing() {
        let value = |i: usize| if i % 8 < 3 { 1e20 } else { (0.1 * i as f64).sin() };
        let input: Vec<u8> = (0..512).flat_map(|i| value(i).to_ne_bytes()).collect();
        let of = |fill: Option<f64>| {
            let chunks = Chunks { fill: fill.map(f64::to_bits), ..chunks() };
            let numbers = numbers(&chunks.to_words());
            let payload = filtered(0, &numbers, &input).unwrap();
            (payload.len(), filtered(REVERSE, &numbers, &payload).unwrap())
        };
        let (size, output) = of(Some(1e20));
        assert!(size < of(None).0 / 2, "{size} bytes");
        for (i, bytes) in output.chunks_exact(8).enumerate() {
            let (found, truth) = (f64::from_ne_bytes(bytes.try_into().unwrap()), value(i));
            assert!(found == truth || truth < 2.0 && (found - truth).abs() <= 1e-3, "{found}, not {truth}");
        }
    }

    #[test]
    fn the_effort_reaches_the_encoder() {
        let square = |i: usize, centre: f64| (i as f64 - centre).powi(2);
        let value = |i: usize| {
            40.0 + square(i % 40, 17.0) + 2.0 * square(i / 40 % 32, 9.0) + 3.0 * square(i / 1280, 5.0)
        };
        let input: Vec<u8> = (0..24 * 32 * 40).flat_map(|i| (1.0 / value(i)).to_ne_bytes()).collect();
        let size = |effort| {
            let chunks = Chunks { shape: vec![24, 32, 40], ..chunks() };
            let user = Compression::relative(1e-4).effort(effort).to_cd_values();
            filtered(0, &[&user[..], &chunks.to_words()].concat(), &input).unwrap().len()
        };
        let [fast, normal, best] = Effort::ALL.map(size);
        assert!(fast > normal && normal > best, "{fast}, {normal}, {best} bytes");
    }

    #[test]
    fn fill_values_do_not_count_in_the_range() {
        let rel = Compression::relative(1e-3);
        let values = || [(10.0, false), (11.0, false), (f64::NAN, false)].into_iter();
        assert_eq!(without_fill(&rel, values()), rel);
        let filled = values().chain([(0.0, true)]);
        assert_eq!(without_fill(&rel, filled), Compression::absolute(1e-3));
    }
}
