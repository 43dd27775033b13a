//! SPERR (Li, Lindstrom, Clyne, IPDPS 2023): CDF 9/7 wavelets, SPECK, outlier corrections. Over its
//! own C interface, with a point-wise error bound.

use crate::compressor::{ReferenceCompressor, long};
use std::ffi::c_void;
use swae_codec::{Dtype, Element};

/// SPERR with a point-wise error bound, in chunks of 256³ as its own program makes them.
pub struct Sperr;

const CHUNK: usize = 256;
const POINTWISE: i32 = 3;

/// Copies the memory that SPERR allocated, and frees it.
///
/// # Safety
/// `memory` came from SPERR and holds `count` values.
unsafe fn take<T: Copy>(memory: *mut c_void, count: usize) -> Vec<T> {
    // SAFETY: the caller's promise.
    unsafe {
        let values = std::slice::from_raw_parts(memory.cast::<T>(), count).to_vec();
        sperr_sys::free_dst(memory);
        values
    }
}

impl<T: Element> ReferenceCompressor<T> for Sperr {
    fn name(&self) -> &'static str {
        "SPERR"
    }

    fn version(&self) -> String {
        "0.8.5".into()
    }

    fn setting(&self) -> &'static str {
        "point-wise error"
    }

    fn four_axes(&self) -> bool {
        false
    }

    fn compress(&self, values: &[T], shape: &[usize], bound: f64, threads: usize) -> Result<Vec<u8>, String> {
        let [nz, ny, nx] = long(shape)[..] else { return Err("SPERR takes three axes".into()) };
        let (mut out, mut length) = (std::ptr::null_mut(), 0);
        let float = i32::from(T::DTYPE == Dtype::F32);
        let [cx, cy, cz] = [nx, ny, nz].map(|n| n.min(CHUNK));
        // SAFETY: the slice holds what the shape says; SPERR allocates the output.
        unsafe {
            let status = sperr_sys::sperr_comp_3d(
                values.as_ptr().cast(),
                float,
                nx,
                ny,
                nz,
                cx,
                cy,
                cz,
                POINTWISE,
                bound,
                threads,
                &mut out,
                &mut length,
            );
            if status == 0 { Ok(take(out, length)) } else { Err(format!("sperr_comp_3d returned {status}")) }
        }
    }

    fn decompress(&self, bytes: &[u8], _: &[usize], threads: usize, values: &mut [T]) -> Result<(), String> {
        let (mut out, mut nx, mut ny, mut nz) = (std::ptr::null_mut(), 0, 0, 0);
        let float = i32::from(T::DTYPE == Dtype::F32);
        // SAFETY: SPERR reads the slice and allocates the output.
        unsafe {
            let status = sperr_sys::sperr_decomp_3d(
                bytes.as_ptr().cast(),
                bytes.len(),
                float,
                threads,
                &mut nx,
                &mut ny,
                &mut nz,
                &mut out,
            );
            if status != 0 {
                return Err(format!("sperr_decomp_3d says {status}"));
            }
            let own = take(out, nx * ny * nz);
            if own.len() != values.len() {
                return Err("SPERR decompressed another shape".into());
            }
            values.copy_from_slice(&own);
            Ok(())
        }
    }
}
