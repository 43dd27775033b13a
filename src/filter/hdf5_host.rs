//! The HDF5 library that called the filter.
//!
//! The filter links none: it takes the functions of the library that has [called](host::calling).

use crate::host;
use libloading::os::unix::Library;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};

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

/// The dataset that the filter is set up for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Dataset {
    /// None where its values are anything else than IEEE floats.
    pub float: Option<Float>,
    /// Points of a chunk along each axis.
    pub chunk: Vec<u64>,
    /// The numbers of its filters, in the order in which they are applied to what is written.
    pub pipeline: Vec<c_int>,
}

/// A type of IEEE floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Float {
    /// Bytes of a value: 4 or 8.
    pub size: usize,
    pub is_big_endian: bool,
}

impl Host {
    /// The library that has called us.
    pub(crate) fn calling() -> Option<Self> {
        host::calling().map(Self)
    }

    /// # Safety
    /// `T` is the type of HDF5's function, or a pointer to its variable, of this name.
    unsafe fn get<T: Copy>(&self, name: &CStr) -> Option<T> {
        // SAFETY: the caller's promise.
        unsafe { self.0.get::<T>(name.to_bytes_with_nul()).ok().map(|symbol| *symbol) }
    }

    /// Puts an error on HDF5's stack.
    pub(crate) fn fail(&self, function: &CStr, message: &str) {
        // SAFETY: its type in H5Epublic.h.
        let push = unsafe { self.get::<PushError>(c"H5Epush2") };
        let (Some(push), Some(class), Some(major), Some(minor)) = (
            push,
            self.variable(c"H5E_ERR_CLS_g"),
            self.variable(c"H5E_PLINE_g"),
            self.variable(c"H5E_CALLBACK_g"),
        ) else {
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

    /// The dataset that is made with a property list and a type.
    pub(crate) fn dataset(&self, list: Hid, datatype: Hid) -> Option<Dataset> {
        Some(Dataset {
            float: self.float(datatype)?,
            chunk: self.chunk(list)?,
            pipeline: self.pipeline(list)?,
        })
    }

    /// The IEEE type that a type is, bit by bit: sizes and classes alone would take in types with
    /// another exponent, sign or order of bytes.
    fn float(&self, datatype: Hid) -> Option<Option<Float>> {
        type Equal = unsafe extern "C" fn(Hid, Hid) -> c_int;
        // SAFETY: its type in H5Tpublic.h.
        let equal = unsafe { self.get::<Equal>(c"H5Tequal")? };
        let types = [
            (c"H5T_IEEE_F32LE_g", 4, false),
            (c"H5T_IEEE_F32BE_g", 4, true),
            (c"H5T_IEEE_F64LE_g", 8, false),
            (c"H5T_IEEE_F64BE_g", 8, true),
        ];
        for (name, size, is_big_endian) in types {
            let known = self.variable(name)?;
            // SAFETY: both are types of this library.
            if unsafe { equal(datatype, known) } > 0 {
                return Some(Some(Float { size, is_big_endian }));
            }
        }
        Some(None)
    }

    /// Points of a chunk along each axis; more axes than are possible are left to the caller.
    fn chunk(&self, list: Hid) -> Option<Vec<u64>> {
        type Shape = unsafe extern "C" fn(Hid, c_int, *mut u64) -> c_int;
        let mut shape = vec![0; swae_codec::array::MOST_AXES];
        // SAFETY: its type in H5Ppublic.h; the array has as many axes as the call says.
        let axes =
            unsafe { self.get::<Shape>(c"H5Pget_chunk")?(list, shape.len() as c_int, shape.as_mut_ptr()) };
        shape.resize(usize::try_from(axes).ok()?, 0);
        Some(shape)
    }

    /// The numbers of a property list's filters.
    fn pipeline(&self, list: Hid) -> Option<Vec<c_int>> {
        type Count = unsafe extern "C" fn(Hid) -> c_int;
        type Get = unsafe extern "C" fn(
            Hid,
            c_uint,
            *mut c_uint,
            *mut usize,
            *mut c_uint,
            usize,
            *mut c_char,
            *mut c_uint,
        ) -> c_int;
        // SAFETY: their types in H5Ppublic.h; neither parameters nor names are asked for.
        unsafe {
            let count = self.get::<Count>(c"H5Pget_nfilters")?(list);
            let get = self.get::<Get>(c"H5Pget_filter2")?;
            let id = |index| {
                let (mut flags, mut numbers, mut config) = (0, 0, 0);
                let none = std::ptr::null_mut();
                get(list, index, &mut flags, &mut numbers, none, 0, std::ptr::null_mut(), &mut config)
            };
            Some((0..c_uint::try_from(count).ok()?).map(id).collect())
        }
    }

    /// The bits of the fill value of a dataset of floats, in this machine's byte order; none where
    /// it is undefined. Only a dataset that is being made has one: HDF5 crashes where it is asked
    /// while an existing dataset is resized.
    pub(crate) fn fill(&self, list: Hid, datatype: Hid, float: Float) -> Option<u64> {
        type Defined = unsafe extern "C" fn(Hid, *mut c_int) -> c_int;
        type Get = unsafe extern "C" fn(Hid, Hid, *mut c_void) -> c_int;
        let (mut status, mut bytes) = (0, [0u8; 8]);
        // SAFETY: their types in H5Ppublic.h; a value of this type has at most 8 bytes.
        let got = unsafe {
            let asked = self.get::<Defined>(c"H5Pfill_value_defined")?(list, &mut status);
            // H5D_FILL_VALUE_UNDEFINED.
            if asked < 0 || status <= 0 {
                return None;
            }
            self.get::<Get>(c"H5Pget_fill_value")?(list, datatype, bytes.as_mut_ptr().cast())
        };
        let value = &mut bytes[..float.size];
        if float.is_big_endian {
            value.reverse();
        }
        (got >= 0).then(|| u64::from_le_bytes(bytes))
    }

    /// A variable of type hid_t.
    fn variable(&self, name: &CStr) -> Option<Hid> {
        // SAFETY: every caller names one.
        unsafe { self.get::<*const Hid>(name).map(|id| *id) }
    }
}
