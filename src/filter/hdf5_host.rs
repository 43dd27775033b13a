//! The HDF5 library that called the filter.
//!
//! A process may hold several (h5py brings its own, and hides it), so the filter links none: it
//! takes the functions of the library that is on the call stack.

use libloading::os::unix::{Library, RTLD_LAZY};
use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_uint, c_void};
use std::os::unix::ffi::OsStrExt;

/// An identifier of HDF5 1.10 and later.
pub(crate) type Hid = i64;

pub(crate) struct Host(Library);

type PushError = unsafe extern "C" fn(
    Hid,
    *const c_char,
    *const c_char,
    c_uint,
    Hid,
    Hid,
    Hid,
    *const c_char,
    ...
) -> c_int;

/// The chunks of the dataset that the filter is set up for.
pub(crate) struct Chunk {
    /// H5T_class_t: 1 for floats.
    pub class: c_int,
    /// Bytes of a value.
    pub size: usize,
    /// H5T_order_t: 0 for little-endian, 1 for big-endian.
    pub order: c_int,
    pub shape: Vec<u64>,
}

impl Host {
    /// The library that has called us.
    pub(crate) fn calling() -> Option<Self> {
        let mut frames = [std::ptr::null_mut::<c_void>(); 64];
        // SAFETY: it writes at most as many frames as the array has.
        let found = unsafe { libc::backtrace(frames.as_mut_ptr(), frames.len() as c_int) };
        let own = file_of(Self::calling as *const c_void)?;
        let all = frames[..found.max(0) as usize].iter().filter_map(|&frame| file_of(frame));
        let caller = all.into_iter().find(|file| *file != own)?;
        // A program that holds HDF5 in itself cannot be opened by its name.
        // SAFETY: it is loaded already, so none of its code runs.
        let library = unsafe {
            Library::open(Some(OsStr::from_bytes(caller.to_bytes())), RTLD_LAZY | libc::RTLD_NOLOAD)
        };
        Some(Self(library.unwrap_or_else(|_| Library::this())))
    }

    /// # Safety
    /// `T` is the type of HDF5's function, or a pointer to its variable, of this name.
    unsafe fn get<T: Copy>(&self, name: &CStr) -> Option<T> {
        // SAFETY: the caller's promise.
        unsafe { self.0.get::<T>(name.to_bytes_with_nul()).ok().map(|symbol| *symbol) }
    }

    /// Puts an error on HDF5's stack.
    pub(crate) fn fail(&self, function: &CStr, message: &str) {
        let variable = |name: &CStr| -> Option<Hid> {
            // SAFETY: HDF5 has these as variables of type hid_t.
            unsafe { self.get::<*const Hid>(name).map(|id| *id) }
        };
        // SAFETY: its type in H5Epublic.h.
        let push = unsafe { self.get::<PushError>(c"H5Epush2") };
        let (Some(push), Some(class), Some(major), Some(minor)) =
            (push, variable(c"H5E_ERR_CLS_g"), variable(c"H5E_PLINE_g"), variable(c"H5E_CALLBACK_g"))
        else {
            return;
        };
        let text = CString::new(format!("swae: {}", message.replace('\0', " "))).unwrap_or_default();
        // SAFETY: 0 is the default stack, and the format takes one string.
        unsafe {
            push(
                0,
                c"swae".as_ptr(),
                function.as_ptr(),
                0,
                class,
                major,
                minor,
                c"%s".as_ptr(),
                text.as_ptr(),
            );
        }
    }

    /// The numbers that the filter of this id has in a property list, and its flags.
    pub(crate) fn cd_values(&self, list: Hid, filter: c_int) -> Option<(c_uint, Vec<c_uint>)> {
        type Get = unsafe extern "C" fn(
            Hid,
            c_int,
            *mut c_uint,
            *mut usize,
            *mut c_uint,
            usize,
            *mut c_char,
            *mut c_uint,
        ) -> c_int;
        // SAFETY: its type in H5Ppublic.h.
        let get = unsafe { self.get::<Get>(c"H5Pget_filter_by_id2")? };
        let (mut flags, mut count, mut numbers, mut config) = (0, 64, vec![0; 64], 0);
        let name = std::ptr::null_mut();
        // SAFETY: the array has 64 numbers, and no name is asked for.
        let done =
            unsafe { get(list, filter, &mut flags, &mut count, numbers.as_mut_ptr(), 0, name, &mut config) };
        numbers.truncate(count);
        (done >= 0).then_some((flags, numbers))
    }

    /// Gives the filter of this id other numbers.
    pub(crate) fn set_cd_values(
        &self,
        list: Hid,
        filter: c_int,
        flags: c_uint,
        numbers: &[c_uint],
    ) -> Option<()> {
        type Modify = unsafe extern "C" fn(Hid, c_int, c_uint, usize, *const c_uint) -> c_int;
        // SAFETY: its type in H5Ppublic.h.
        let modify = unsafe { self.get::<Modify>(c"H5Pmodify_filter")? };
        // SAFETY: as many numbers as it says.
        (unsafe { modify(list, filter, flags, numbers.len(), numbers.as_ptr()) } >= 0).then_some(())
    }

    /// What the chunks of a dataset are.
    pub(crate) fn chunk(&self, list: Hid, datatype: Hid) -> Option<Chunk> {
        type Ask = unsafe extern "C" fn(Hid) -> c_int;
        type Size = unsafe extern "C" fn(Hid) -> usize;
        type Shape = unsafe extern "C" fn(Hid, c_int, *mut u64) -> c_int;
        let mut shape = vec![0; swae_codec::array::MOST_AXES];
        // SAFETY: their types in H5Tpublic.h and H5Ppublic.h; the array has as many axes
        // as the call says.
        let (class, size, order, axes) = unsafe {
            let ask = self.get::<Shape>(c"H5Pget_chunk")?;
            let axes = ask(list, shape.len() as c_int, shape.as_mut_ptr());
            let size = self.get::<Size>(c"H5Tget_size")?(datatype);
            let order = self.get::<Ask>(c"H5Tget_order")?(datatype);
            (self.get::<Ask>(c"H5Tget_class")?(datatype), size, order, axes)
        };
        shape.truncate(usize::try_from(axes).ok()?);
        Some(Chunk { class, size, order, shape })
    }
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
