//! An ADIOS2 context with one open engine.
//!
//! The calls of the C API that a writer and a reader need, each with its error. No step or field is
//! known here.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::error::{Error, Result, content, io};
use crate::size::{check_memory, check_size, size_on_disk};
use adios2_sys::*;
use mpi_sys::MPI_Comm;
use std::ffi::{CStr, CString, c_char, c_void};
use std::path::{Path, PathBuf};
use std::ptr;

/// An ADIOS2 context with one IO, and the engine that is open in it.
pub(super) struct Handle {
    pub(super) library: &'static Adios2,
    pub(super) adios: *mut adios2_adios,
    pub(super) io: *mut adios2_io,
    pub(super) engine: *mut adios2_engine,
    pub(super) path: PathBuf,
    /// Bytes of all files of an output that is read: no variable can hold more.
    pub(super) limit: u64,
}

// SAFETY: the handles are used by one thread at a time: every use takes `&mut` of their owner.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: both came from ADIOS2 and are given back once; there is no caller for errors.
        unsafe {
            if !self.engine.is_null() {
                self.library.adios2_close(self.engine);
            }
            if !self.adios.is_null() {
                self.library.adios2_finalize(self.adios);
            }
        }
    }
}

impl Handle {
    /// # Safety
    /// A communicator, where given, is valid and outlives the handle.
    pub(super) unsafe fn new(
        path: &Path,
        comm: Option<MPI_Comm>,
        mode: adios2_mode,
        parameters: &[(&str, String)],
    ) -> Result<Self> {
        let limit = size_on_disk(path).unwrap_or(0);
        let failed = |reason: String| io(path, reason);
        let Libraries { serial: library, mpi } = libraries().map_err(failed)?;
        let mut handle = Self {
            library,
            adios: ptr::null_mut(),
            io: ptr::null_mut(),
            engine: ptr::null_mut(),
            path: path.into(),
            limit,
        };
        // SAFETY: the communicator is valid by the caller's promise; all strings end with NUL.
        unsafe {
            handle.adios = match comm {
                Some(comm) => mpi.adios2_init_mpi(comm),
                None => library.adios2_init_serial(),
            };
            handle.io = library.adios2_declare_io(handle.adios, c"swae".as_ptr());
            handle.check(library.adios2_set_engine(handle.io, c"BP5".as_ptr()), "choose the BP5 engine")?;
            // Minima and maxima of compressed bytes mean nothing; and a reader would wait an hour
            // for a writer to complete a file that was cut short.
            let always = [("StatsLevel", "0".into()), ("OpenTimeoutSecs", "1".into())];
            for (key, value) in always.iter().chain(parameters) {
                let (key, value) = (handle.text(key)?, handle.text(value)?);
                let set = library.adios2_set_parameter(handle.io, key.as_ptr(), value.as_ptr());
                handle.check(set, "set a parameter of BP5")?;
            }
            let name = handle.text(&path.to_string_lossy())?;
            handle.engine = library.adios2_open(handle.io, name.as_ptr(), mode);
        }
        if handle.engine.is_null() {
            return Err(handle.error("ADIOS2 cannot open it"));
        }
        Ok(handle)
    }

    pub(super) fn error(&self, reason: impl Into<String>) -> Error {
        io(&self.path, reason.into())
    }

    pub(super) fn check(&self, status: adios2_error, what: &str) -> Result<()> {
        if status == adios2_error_adios2_error_none {
            Ok(())
        } else {
            Err(self.error(format!("ADIOS2 cannot {what} (error {status})")))
        }
    }

    pub(super) fn text(&self, s: &str) -> Result<CString> {
        CString::new(s).map_err(|_| self.error(format!("'{s}' holds a NUL character")))
    }

    /// The variable of this name, defined on first use; an array takes the given selection.
    pub(super) fn variable(
        &self,
        name: &str,
        kind: adios2_type,
        dims: Option<[&[usize]; 3]>,
    ) -> Result<*mut adios2_variable> {
        let c_name = self.text(name)?;
        // SAFETY: the IO lives as long as the handle; shape, start and count have equal lengths.
        unsafe {
            let known = self.library.adios2_inquire_variable(self.io, c_name.as_ptr());
            let variable = match (known.is_null(), dims) {
                (false, None) => known,
                (false, Some([shape, start, count])) => {
                    self.check(
                        self.library.adios2_set_shape(known, shape.len(), shape.as_ptr()),
                        "set a shape",
                    )?;
                    let selected =
                        self.library.adios2_set_selection(known, start.len(), start.as_ptr(), count.as_ptr());
                    self.check(selected, "set a selection")?;
                    known
                }
                (true, dims) => {
                    let [shape, start, count] = dims.unwrap_or([&[]; 3]);
                    let at = |s: &[usize]| if s.is_empty() { ptr::null() } else { s.as_ptr() };
                    self.library.adios2_define_variable(
                        self.io,
                        c_name.as_ptr(),
                        kind,
                        shape.len(),
                        at(shape),
                        at(start),
                        at(count),
                        adios2_constant_dims_adios2_constant_dims_false,
                    )
                }
            };
            if variable.is_null() {
                Err(self.error(format!("ADIOS2 cannot define {name}")))
            } else {
                Ok(variable)
            }
        }
    }

    /// # Safety
    /// `data` holds what the variable's type and selection say; it is copied before this returns.
    pub(super) unsafe fn put(&self, variable: *mut adios2_variable, data: *const c_void) -> Result<()> {
        // SAFETY: the caller's promise.
        let status =
            unsafe { self.library.adios2_put(self.engine, variable, data, adios2_mode_adios2_mode_sync) };
        self.check(status, "put a variable")
    }

    pub(super) fn put_array<T>(
        &self,
        name: &str,
        kind: adios2_type,
        [shape, start, count]: [&[usize]; 3],
        data: &[T],
    ) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        debug_assert_eq!(count.iter().product::<usize>(), data.len());
        let variable = self.variable(name, kind, Some([shape, start, count]))?;
        // SAFETY: `data` has as many values as are selected, of the type of every caller's `kind`.
        unsafe { self.put(variable, data.as_ptr().cast()) }
    }

    pub(super) fn attribute(
        &self,
        name: &str,
        kind: adios2_type,
        data: *const c_void,
        size: usize,
    ) -> Result<()> {
        let name = self.text(name)?;
        // SAFETY: `data` holds `size` values of `kind` (1 where `size` is 0), by every caller below.
        let made = unsafe {
            if size == 0 {
                self.library.adios2_define_attribute(self.io, name.as_ptr(), kind, data)
            } else {
                self.library.adios2_define_attribute_array(self.io, name.as_ptr(), kind, data, size)
            }
        };
        if made.is_null() {
            Err(self.error(format!("ADIOS2 cannot define attribute {name:?}")))
        } else {
            Ok(())
        }
    }

    pub(super) fn text_attribute(&self, name: &str, value: &str) -> Result<()> {
        let value = self.text(value)?;
        self.attribute(name, adios2_type_adios2_type_string, value.as_ptr().cast(), 0)
    }

    pub(super) fn attribute_handle(&self, name: &str) -> Result<*mut adios2_attribute> {
        let c_name = self.text(name)?;
        // SAFETY: the IO lives as long as the handle.
        let found = unsafe { self.library.adios2_inquire_attribute(self.io, c_name.as_ptr()) };
        if found.is_null() { Err(self.damaged(format!("attribute {name} is missing"))) } else { Ok(found) }
    }

    pub(super) fn has_attribute(&self, name: &str) -> bool {
        self.attribute_handle(name).is_ok()
    }

    pub(super) fn read_text(&self, name: &str) -> Result<String> {
        let attribute = self.attribute_handle(name)?;
        let (mut found, mut length) = (0, 0);
        // SAFETY: the type is checked; then the first call gives the length, the second fills a
        // buffer of that length.
        let bytes = unsafe {
            self.check(self.library.adios2_attribute_type(&mut found, attribute), "read a type")?;
            if found != adios2_type_adios2_type_string {
                return Err(self.damaged(format!("attribute {name} is no text")));
            }
            self.check(
                self.library.adios2_attribute_string_data(attribute, ptr::null_mut(), &mut length),
                "read a text",
            )?;
            let mut bytes = vec![0u8; length];
            self.check(
                self.library.adios2_attribute_string_data(attribute, bytes.as_mut_ptr().cast(), &mut length),
                "read a text",
            )?;
            bytes
        };
        String::from_utf8(bytes).map_err(|_| self.damaged(format!("attribute {name} is no text")))
    }

    pub(super) fn read_triple<T: Copy + Default>(&self, name: &str, kind: adios2_type) -> Result<[T; 3]> {
        let attribute = self.attribute_handle(name)?;
        let (mut found, mut size, mut out) = (0, 0, [T::default(); 3]);
        // SAFETY: type and size are checked before the three values are read.
        unsafe {
            self.check(self.library.adios2_attribute_type(&mut found, attribute), "read a type")?;
            self.check(self.library.adios2_attribute_size(&mut size, attribute), "read a size")?;
            if found != kind || size != 3 {
                return Err(self.damaged(format!("attribute {name} has not the type that it should have")));
            }
            self.check(
                self.library.adios2_attribute_data(out.as_mut_ptr().cast(), &mut size, attribute),
                "read an attribute",
            )?;
        }
        Ok(out)
    }

    pub(super) fn damaged(&self, reason: String) -> Error {
        content(&self.path, reason)
    }

    /// The whole of an array of the current step; none where the step does not have it.
    pub(super) fn get<T: Copy + Default>(
        &self,
        name: &str,
        kind: adios2_type,
        start: usize,
        count: Option<usize>,
    ) -> Result<Option<Vec<T>>> {
        let Some((variable, count)) = self.select::<T>(name, kind, start, count)? else { return Ok(None) };
        check_memory::<T>(count)?;
        let mut data = vec![T::default(); count];
        self.read(variable, &mut data)?;
        Ok(Some(data))
    }

    /// As [`Handle::get`], into memory for as many rows as are read.
    pub(super) fn get_into<T: Copy>(
        &self,
        name: &str,
        kind: adios2_type,
        start: usize,
        out: &mut [T],
    ) -> Result<()> {
        match self.select::<T>(name, kind, start, Some(out.len()))? {
            Some((variable, count)) if count == out.len() => self.read(variable, out),
            _ => Err(self.damaged(format!("{name} is missing"))),
        }
    }

    /// Selects rows of a variable, and gives the number of their values; none where there is no such
    /// variable.
    fn select<T>(
        &self,
        name: &str,
        kind: adios2_type,
        start: usize,
        count: Option<usize>,
    ) -> Result<Option<(*mut adios2_variable, usize)>> {
        let c_name = self.text(name)?;
        // SAFETY: the IO is open, and the selection has the variable's axes.
        unsafe {
            let variable = self.library.adios2_inquire_variable(self.io, c_name.as_ptr());
            if variable.is_null() {
                return Ok(None);
            }
            let (dims, shape) = self.shape_of(variable, name, kind)?;
            let rows = count.unwrap_or(shape[0]);
            if start.checked_add(rows).is_none_or(|end| end > shape[0]) {
                return Err(self.damaged(format!("the table of boxes leads outside {name}")));
            }
            if dims > 0 {
                let (first, size) = ([start, 0], [rows, shape[1]]);
                let selected =
                    self.library.adios2_set_selection(variable, dims, first.as_ptr(), size.as_ptr());
                self.check(selected, "set a selection")?;
            }
            let count = rows.saturating_mul(shape[1]);
            check_size::<T>(count, self.limit).map_err(|e| self.damaged(format!("{name}: {e}")))?;
            Ok(Some((variable, count)))
        }
    }

    /// Reads what is selected of a variable into memory for as many values of its type.
    fn read<T>(&self, variable: *mut adios2_variable, out: &mut [T]) -> Result<()> {
        if out.is_empty() {
            return Ok(());
        }
        let mode = adios2_mode_adios2_mode_sync;
        // SAFETY: the variable was selected, and the memory has as many values of its type.
        let read = unsafe { self.library.adios2_get(self.engine, variable, out.as_mut_ptr().cast(), mode) };
        self.check(read, "read a variable")
    }

    /// Number of axes and shape of a variable of this type.
    ///
    /// # Safety
    /// The variable is one of the IO's.
    unsafe fn shape_of(
        &self,
        variable: *mut adios2_variable,
        name: &str,
        kind: adios2_type,
    ) -> Result<(usize, [usize; 2])> {
        let (mut found, mut dims, mut shape) = (0, 0, [1usize; 2]);
        // SAFETY: the caller's promise; at most two axes are written.
        unsafe {
            self.check(self.library.adios2_variable_type(&mut found, variable), "read a type")?;
            self.check(self.library.adios2_variable_ndims(&mut dims, variable), "read a shape")?;
            if found != kind || dims > 2 {
                return Err(self.damaged(format!("{name} has not the type that it should have")));
            }
            if dims > 0 {
                self.check(self.library.adios2_variable_shape(shape.as_mut_ptr(), variable), "read a shape")?;
            }
        }
        Ok((dims, shape))
    }

    /// Goes to the next step; false at the end.
    pub(super) fn next_step(&self) -> Result<bool> {
        let mut status = 0;
        // SAFETY: the engine is open for reading.
        let code = unsafe {
            self.library.adios2_begin_step(
                self.engine,
                adios2_step_mode_adios2_step_mode_read,
                0.0,
                &mut status,
            )
        };
        self.check(code, "read a step")?;
        Ok(status == adios2_step_status_adios2_step_status_ok)
    }

    pub(super) fn end_step(&self) -> Result<()> {
        // SAFETY: the engine is open and in a step.
        self.check(unsafe { self.library.adios2_end_step(self.engine) }, "end a step")
    }

    /// Names of the variables of the current step.
    pub(super) fn names(&self) -> Vec<String> {
        let mut size = 0;
        // SAFETY: ADIOS2 gives `size` strings and their array, all to be freed by the caller.
        unsafe {
            let names = self.library.adios2_available_variables(self.io, &mut size);
            let all = (0..size).map(|i| take_text(*names.add(i))).collect();
            if !names.is_null() {
                libc_free(names.cast());
            }
            all
        }
    }
}

unsafe extern "C" {
    #[link_name = "free"]
    fn libc_free(p: *mut c_void);
}

/// # Safety
/// `text` is a string made by malloc.
unsafe fn take_text(text: *mut c_char) -> String {
    // SAFETY: the caller's promise.
    unsafe {
        let owned = CStr::from_ptr(text).to_string_lossy().into_owned();
        libc_free(text.cast());
        owned
    }
}
