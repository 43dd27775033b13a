//! The library that has called a plugin.
//!
//! A process may hold several of a kind (h5py and ADIOS2's Python package bring their own, and hide
//! them), so a plugin links none: it takes the functions of the one that is on the call stack.

use libloading::os::unix::{Library, RTLD_LAZY};
use std::ffi::{CStr, OsStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt;

/// The nearest library on the call stack that is not the one of this code.
pub fn calling() -> Option<Library> {
    let mut frames = [std::ptr::null_mut::<c_void>(); 64];
    // SAFETY: it writes at most as many frames as the array has.
    let found = unsafe { libc::backtrace(frames.as_mut_ptr(), frames.len() as c_int) };
    let own = file_of(calling as *const c_void)?;
    let all = frames[..found.max(0) as usize].iter().filter_map(|&frame| file_of(frame));
    let caller = all.into_iter().find(|file| *file != own)?;
    // A program that holds the library in itself cannot be opened by its name.
    // SAFETY: it is loaded already, so none of its code runs.
    let library =
        unsafe { Library::open(Some(OsStr::from_bytes(caller.to_bytes())), RTLD_LAZY | libc::RTLD_NOLOAD) };
    Some(library.unwrap_or_else(|_| Library::this()))
}

/// The program or library that an address lies in.
fn file_of(address: *const c_void) -> Option<&'static CStr> {
    // SAFETY: a struct of pointers, which may be NULL.
    let mut info: libc::Dl_info = unsafe { std::mem::zeroed() };
    // SAFETY: any address may be asked for.
    let known = unsafe { libc::dladdr(address, &mut info) } != 0 && !info.dli_fname.is_null();
    // SAFETY: it stays as long as the library, which is as long as its code runs.
    known.then(|| unsafe { CStr::from_ptr(info.dli_fname) })
}
