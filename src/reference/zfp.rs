//! ZFP (Lindstrom, IEEE TVCG 2014): a block transform of 4³ values. In fixed-accuracy mode, over its
//! own C interface.

use crate::compressor::{ReferenceCompressor, long};
use swae_codec::{Dtype, Element};
use zfp_sys as z;

/// ZFP in fixed-accuracy mode.
pub struct Zfp;

/// A field and a stream of ZFP over memory that outlives them.
struct Handle {
    field: *mut z::zfp_field,
    stream: *mut z::zfp_stream,
    bits: *mut z::bitstream,
}

impl Handle {
    /// # Safety
    /// `values` holds as many values of the type as the shape says, and outlives the handle.
    unsafe fn new(values: *mut std::ffi::c_void, dtype: Dtype, shape: &[usize]) -> Result<Self, String> {
        let kind = match dtype {
            Dtype::F32 => z::zfp_type_zfp_type_float,
            Dtype::F64 => z::zfp_type_zfp_type_double,
        };
        // SAFETY: plain constructors; the caller's promise covers the memory.
        unsafe {
            // ZFP counts the fastest axis first.
            let field = match *shape {
                [x] => z::zfp_field_1d(values, kind, x),
                [y, x] => z::zfp_field_2d(values, kind, x, y),
                [zz, y, x] => z::zfp_field_3d(values, kind, x, y, zz),
                [w, zz, y, x] => z::zfp_field_4d(values, kind, x, y, zz, w),
                _ => return Err("ZFP takes one to four axes".into()),
            };
            Ok(Self { field, stream: z::zfp_stream_open(std::ptr::null_mut()), bits: std::ptr::null_mut() })
        }
    }

    /// # Safety
    /// `buffer` outlives the handle.
    unsafe fn attach(&mut self, buffer: *mut u8, size: usize) {
        // SAFETY: the caller's promise.
        unsafe {
            self.bits = z::stream_open(buffer.cast(), size);
            z::zfp_stream_set_bit_stream(self.stream, self.bits);
            z::zfp_stream_rewind(self.stream);
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: made in `new` and `attach`, freed once.
        unsafe {
            if !self.bits.is_null() {
                z::stream_close(self.bits);
            }
            z::zfp_stream_close(self.stream);
            z::zfp_field_free(self.field);
        }
    }
}

impl<T: Element> ReferenceCompressor<T> for Zfp {
    fn name(&self) -> &'static str {
        "ZFP"
    }

    fn version(&self) -> String {
        // SAFETY: a constant of the library: four bits for each of major, minor, patch and tweak.
        let version = unsafe { z::zfp_library_version };
        format!("{}.{}.{}", version >> 12, version >> 8 & 15, version >> 4 & 15)
    }

    fn setting(&self) -> &'static str {
        "fixed accuracy"
    }

    fn four_axes(&self) -> bool {
        true
    }

    fn compress(&self, values: &[T], shape: &[usize], bound: f64, threads: usize) -> Result<Vec<u8>, String> {
        // SAFETY: ZFP does not write to what it compresses; all memory outlives the handle.
        unsafe {
            let mut handle = Handle::new(values.as_ptr().cast_mut().cast(), T::DTYPE, &long(shape))?;
            z::zfp_stream_set_accuracy(handle.stream, bound);
            if threads != 1 {
                z::zfp_stream_set_execution(handle.stream, z::zfp_exec_policy_zfp_exec_omp);
            }
            let mut bytes = vec![0u8; z::zfp_stream_maximum_size(handle.stream, handle.field)];
            handle.attach(bytes.as_mut_ptr(), bytes.len());
            let size = z::zfp_compress(handle.stream, handle.field);
            drop(handle);
            bytes.truncate(size);
            // The accuracy is not in the stream.
            bytes.extend_from_slice(&bound.to_le_bytes());
            if size > 0 { Ok(bytes) } else { Err("zfp_compress failed".into()) }
        }
    }

    fn decompress(&self, bytes: &[u8], shape: &[usize], _: usize, values: &mut [T]) -> Result<(), String> {
        let Some((bytes, bound)) = bytes.split_last_chunk::<8>() else {
            return Err("the payload is too short".into());
        };
        // SAFETY: ZFP does not write to the stream that it reads; all memory outlives the handle.
        unsafe {
            let mut handle = Handle::new(values.as_mut_ptr().cast(), T::DTYPE, &long(shape))?;
            z::zfp_stream_set_accuracy(handle.stream, f64::from_le_bytes(*bound));
            handle.attach(bytes.as_ptr().cast_mut(), bytes.len());
            let read = z::zfp_decompress(handle.stream, handle.field);
            drop(handle);
            if read > 0 { Ok(()) } else { Err("zfp_decompress failed".into()) }
        }
    }
}
