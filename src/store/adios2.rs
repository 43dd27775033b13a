//! ADIOS2 BP5. For each step the variables `step`, `time` and, for each field, `chi/stream` and `chi/boxes`; what
//! does not change from step to step are attributes of the field. Models are variables of the first step that needs
//! them.
//!
//! ADIOS2 waits for ever for data that a file cut short no longer has, and crashes on half its metadata; so the
//! writer notes in `swae.sizes`, inside the output's folder, how large every file was when the last step was complete, and the
//! reader checks that before ADIOS2 sees anything.

use crate::{
    BoxRow, Error, FieldInfo, FieldPart, Reader, Result, StepInfo, Writer, check_size, size_on_disk,
};
use adios2_sys::*;
use mpi_sys::MPI_Comm;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;
use swae_codec::{Dtype, Model, ModelId, Models, stream::FORMAT_VERSION};

/// The file that holds the sizes of the others.
const SIZES: &str = "swae.sizes";

/// An ADIOS2 context with one IO, and the engine that is open in it.
struct Handle {
    adios: *mut adios2_adios,
    io: *mut adios2_io,
    engine: *mut adios2_engine,
    path: PathBuf,
    /// Bytes of all files of an output that is read: no variable can hold more.
    limit: u64,
}

// SAFETY: the handles are used by one thread at a time: every use takes `&mut` of their owner.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: both came from ADIOS2 and are given back once; errors have nobody to hear them.
        unsafe {
            if !self.engine.is_null() {
                adios2_close(self.engine);
            }
            if !self.adios.is_null() {
                adios2_finalize(self.adios);
            }
        }
    }
}

impl Handle {
    /// # Safety
    /// A communicator, where given, is valid and outlives the handle.
    unsafe fn new(path: &Path, comm: Option<MPI_Comm>, mode: adios2_mode) -> Result<Self> {
        let limit = size_on_disk(path).unwrap_or(0);
        let mut handle = Self {
            adios: ptr::null_mut(),
            io: ptr::null_mut(),
            engine: ptr::null_mut(),
            path: path.into(),
            limit,
        };
        // SAFETY: the communicator is valid by the caller's promise; all strings end with NUL.
        unsafe {
            handle.adios = match comm {
                Some(comm) => adios2_init_mpi(comm),
                None => adios2_init_serial(),
            };
            handle.io = adios2_declare_io(handle.adios, c"swae".as_ptr());
            handle.check(adios2_set_engine(handle.io, c"BP5".as_ptr()), "choose the BP5 engine")?;
            // Minima and maxima of compressed bytes tell nobody anything; and a reader would wait an hour for a
            // writer to complete a file that was cut short.
            for (key, value) in [(c"StatsLevel", c"0"), (c"OpenTimeoutSecs", c"1")] {
                let set = adios2_set_parameter(handle.io, key.as_ptr(), value.as_ptr());
                handle.check(set, "set a parameter of BP5")?;
            }
            let name = handle.text(&path.to_string_lossy())?;
            handle.engine = adios2_open(handle.io, name.as_ptr(), mode);
        }
        if handle.engine.is_null() {
            return Err(handle.error("ADIOS2 cannot open it"));
        }
        Ok(handle)
    }

    fn error(&self, reason: impl Into<String>) -> Error {
        Error::Io { path: self.path.clone(), reason: reason.into() }
    }

    fn check(&self, status: adios2_error, what: &str) -> Result<()> {
        if status == adios2_error_adios2_error_none {
            Ok(())
        } else {
            Err(self.error(format!("ADIOS2 cannot {what} (error {status})")))
        }
    }

    fn text(&self, s: &str) -> Result<CString> {
        CString::new(s).map_err(|_| self.error(format!("'{s}' holds a NUL character")))
    }

    /// The variable of this name, defined on first use; an array takes the given selection.
    fn variable(
        &self,
        name: &str,
        kind: adios2_type,
        dims: Option<[&[usize]; 3]>,
    ) -> Result<*mut adios2_variable> {
        let c_name = self.text(name)?;
        // SAFETY: the IO lives as long as the handle; shape, start and count have equal lengths.
        unsafe {
            let known = adios2_inquire_variable(self.io, c_name.as_ptr());
            let variable = match (known.is_null(), dims) {
                (false, None) => known,
                (false, Some([shape, start, count])) => {
                    self.check(adios2_set_shape(known, shape.len(), shape.as_ptr()), "set a shape")?;
                    let selected = adios2_set_selection(known, start.len(), start.as_ptr(), count.as_ptr());
                    self.check(selected, "set a selection")?;
                    known
                }
                (true, dims) => {
                    let [shape, start, count] = dims.unwrap_or([&[]; 3]);
                    let at = |s: &[usize]| if s.is_empty() { ptr::null() } else { s.as_ptr() };
                    adios2_define_variable(
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
    unsafe fn put(&self, variable: *mut adios2_variable, data: *const c_void) -> Result<()> {
        // SAFETY: the caller's promise.
        let status = unsafe { adios2_put(self.engine, variable, data, adios2_mode_adios2_mode_sync) };
        self.check(status, "put a variable")
    }

    fn put_array<T>(
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

    fn attribute(&self, name: &str, kind: adios2_type, data: *const c_void, size: usize) -> Result<()> {
        let name = self.text(name)?;
        // SAFETY: `data` holds `size` values of `kind` (1 where `size` is 0), by every caller below.
        let made = unsafe {
            if size == 0 {
                adios2_define_attribute(self.io, name.as_ptr(), kind, data)
            } else {
                adios2_define_attribute_array(self.io, name.as_ptr(), kind, data, size)
            }
        };
        if made.is_null() {
            Err(self.error(format!("ADIOS2 cannot define attribute {name:?}")))
        } else {
            Ok(())
        }
    }

    fn text_attribute(&self, name: &str, value: &str) -> Result<()> {
        let value = self.text(value)?;
        self.attribute(name, adios2_type_adios2_type_string, value.as_ptr().cast(), 0)
    }

    fn attribute_handle(&self, name: &str) -> Result<*mut adios2_attribute> {
        let c_name = self.text(name)?;
        // SAFETY: the IO lives as long as the handle.
        let found = unsafe { adios2_inquire_attribute(self.io, c_name.as_ptr()) };
        if found.is_null() { Err(self.damaged(format!("attribute {name} is missing"))) } else { Ok(found) }
    }

    fn read_text(&self, name: &str) -> Result<String> {
        let attribute = self.attribute_handle(name)?;
        let mut length = 0;
        // SAFETY: the first call tells the length, the second fills a buffer of that length.
        let bytes = unsafe {
            self.check(adios2_attribute_string_data(attribute, ptr::null_mut(), &mut length), "read a text")?;
            let mut bytes = vec![0u8; length];
            self.check(
                adios2_attribute_string_data(attribute, bytes.as_mut_ptr().cast(), &mut length),
                "read a text",
            )?;
            bytes
        };
        String::from_utf8(bytes).map_err(|_| self.damaged(format!("attribute {name} is no text")))
    }

    fn read_triple<T: Copy + Default>(&self, name: &str, kind: adios2_type) -> Result<[T; 3]> {
        let attribute = self.attribute_handle(name)?;
        let (mut found, mut size, mut out) = (0, 0, [T::default(); 3]);
        // SAFETY: type and size are checked before the three values are read.
        unsafe {
            self.check(adios2_attribute_type(&mut found, attribute), "read a type")?;
            self.check(adios2_attribute_size(&mut size, attribute), "read a size")?;
            if found != kind || size != 3 {
                return Err(self.damaged(format!("attribute {name} has not the type that it should have")));
            }
            self.check(
                adios2_attribute_data(out.as_mut_ptr().cast(), &mut size, attribute),
                "read an attribute",
            )?;
        }
        Ok(out)
    }

    fn damaged(&self, reason: String) -> Error {
        Error::Content { path: self.path.clone(), reason }
    }

    /// The whole of an array of the current step; none where the step does not have it.
    fn get<T: Copy + Default>(
        &self,
        name: &str,
        kind: adios2_type,
        start: usize,
        count: Option<usize>,
    ) -> Result<Option<Vec<T>>> {
        let c_name = self.text(name)?;
        // SAFETY: the buffer has as many values of the checked type as are selected.
        unsafe {
            let variable = adios2_inquire_variable(self.io, c_name.as_ptr());
            if variable.is_null() {
                return Ok(None);
            }
            let (mut found, mut dims) = (0, 0);
            self.check(adios2_variable_type(&mut found, variable), "read a type")?;
            self.check(adios2_variable_ndims(&mut dims, variable), "read a shape")?;
            if found != kind || dims > 2 {
                return Err(self.damaged(format!("{name} has not the type that it should have")));
            }
            let mut shape = [1usize; 2];
            if dims > 0 {
                self.check(adios2_variable_shape(shape.as_mut_ptr(), variable), "read a shape")?;
            }
            let rows = count.unwrap_or(shape[0]);
            if start.checked_add(rows).is_none_or(|end| end > shape[0]) {
                return Err(self.damaged(format!("the table of boxes leads outside {name}")));
            }
            if dims > 0 {
                let (first, size) = ([start, 0], [rows, shape[1]]);
                let selected = adios2_set_selection(variable, dims, first.as_ptr(), size.as_ptr());
                self.check(selected, "set a selection")?;
            }
            let count = rows.checked_mul(shape[1]).unwrap_or(usize::MAX);
            let count =
                check_size::<T>(count, self.limit).map_err(|e| self.damaged(format!("{name}: {e}")))?;
            let mut data = vec![T::default(); count];
            if !data.is_empty() {
                let mode = adios2_mode_adios2_mode_sync;
                self.check(
                    adios2_get(self.engine, variable, data.as_mut_ptr().cast(), mode),
                    "read a variable",
                )?;
            }
            Ok(Some(data))
        }
    }

    /// Goes to the next step; false at the end.
    fn next_step(&self) -> Result<bool> {
        let mut status = 0;
        // SAFETY: the engine is open for reading.
        let code = unsafe {
            adios2_begin_step(self.engine, adios2_step_mode_adios2_step_mode_read, 0.0, &mut status)
        };
        self.check(code, "read a step")?;
        Ok(status == adios2_step_status_adios2_step_status_ok)
    }

    fn end_step(&self) -> Result<()> {
        // SAFETY: the engine is open and in a step.
        self.check(unsafe { adios2_end_step(self.engine) }, "end a step")
    }

    /// Names of the variables of the current step.
    fn names(&self) -> Vec<String> {
        let mut size = 0;
        // SAFETY: ADIOS2 gives `size` strings and their array, all to be freed by the caller.
        unsafe {
            let names = adios2_available_variables(self.io, &mut size);
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

pub(crate) struct Adios2Writer {
    handle: Handle,
    first_rank: bool,
    known: BTreeMap<String, FieldInfo>,
    models: Vec<ModelId>,
}

impl Adios2Writer {
    /// # Safety
    /// `comm` is a valid communicator that outlives the writer.
    pub(crate) unsafe fn create(path: &Path, comm: MPI_Comm) -> Result<Self> {
        let mut rank = 0;
        // SAFETY: the caller's promise.
        let handle = unsafe {
            mpi_sys::MPI_Comm_rank(comm, &mut rank);
            Handle::new(path, Some(comm), adios2_mode_adios2_mode_write)?
        };
        handle.text_attribute("creator", concat!("swae ", env!("CARGO_PKG_VERSION")))?;
        handle.attribute(
            "stream_format_version",
            adios2_type_adios2_type_uint16_t,
            ptr::from_ref(&FORMAT_VERSION).cast(),
            0,
        )?;
        Ok(Self { handle, first_rank: rank == 0, known: BTreeMap::new(), models: Vec::new() })
    }

    fn write_model(&self, model: &Model) -> Result<()> {
        let id = model.id();
        self.handle.text_attribute(&format!("models/{id}/name"), &model.metadata.name)?;
        let json = serde_json::to_string(&model.metadata).map_err(|e| self.handle.error(e.to_string()))?;
        self.handle.text_attribute(&format!("models/{id}/metadata"), &json)?;
        if !Models::is_built_in(id) && self.first_rank {
            let bytes = model.decoder_only().to_bytes();
            let size = [bytes.len()];
            let dims: [&[usize]; 3] = [&size, &[0], &size];
            self.handle.put_array(
                &format!("models/{id}/decoder"),
                adios2_type_adios2_type_uint8_t,
                dims,
                &bytes,
            )?;
        }
        Ok(())
    }

    fn describe(&self, info: &FieldInfo) -> Result<()> {
        let (name, handle) = (&info.name, &self.handle);
        handle.text_attribute(&format!("{name}/dtype"), info.dtype.name())?;
        handle.text_attribute(&format!("{name}/encoding"), &info.encoding)?;
        let shape = info.shape.map(|n| n as u64);
        let triple = |key: &str, kind, data| handle.attribute(&format!("{name}/{key}"), kind, data, 3);
        triple("shape_xyz", adios2_type_adios2_type_uint64_t, shape.as_ptr().cast())?;
        triple("origin_xyz", adios2_type_adios2_type_double, info.origin.as_ptr().cast())?;
        triple("spacing_xyz", adios2_type_adios2_type_double, info.spacing.as_ptr().cast())
    }

    fn write_inside_step(
        &mut self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        models: &[Arc<Model>],
    ) -> Result<()> {
        for model in models {
            if !self.models.contains(&model.id()) {
                self.write_model(model)?;
                self.models.push(model.id());
            }
        }
        if self.first_rank {
            let number = self.handle.variable("step", adios2_type_adios2_type_int64_t, None)?;
            let moment = self.handle.variable("time", adios2_type_adios2_type_double, None)?;
            // SAFETY: one value of each variable's type.
            unsafe {
                self.handle.put(number, ptr::from_ref(&step).cast())?;
                self.handle.put(moment, ptr::from_ref(&time).cast())?;
            }
        }
        for part in fields {
            let name = &part.info.name;
            match self.known.get(name) {
                None => {
                    self.describe(part.info)?;
                    self.known.insert(name.clone(), part.info.clone());
                }
                Some(known) if known != part.info => {
                    return Err(self.handle.error(format!(
                        "field {name} changed its shape, type, grid or encoding after the first step; BP5 keeps them once a file"
                    )));
                }
                Some(_) => {}
            }
            let offset = part.boxes.first().map_or(0, |b| b.offset as usize);
            let dims: [&[usize]; 3] = [&[part.all_bytes as usize], &[offset], &[part.bytes.len()]];
            self.handle.put_array(
                &format!("{name}/stream"),
                adios2_type_adios2_type_uint8_t,
                dims,
                part.bytes,
            )?;
            let table = BoxRow::to_table(&part.boxes);
            let width = BoxRow::COLUMNS;
            let dims: [&[usize]; 3] =
                [&[part.all_boxes, width], &[part.first_box, 0], &[part.boxes.len(), width]];
            self.handle.put_array(
                &format!("{name}/boxes"),
                adios2_type_adios2_type_uint64_t,
                dims,
                &table,
            )?;
        }
        Ok(())
    }
}

impl Writer for Adios2Writer {
    fn write_step(
        &mut self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        models: &[Arc<Model>],
    ) -> Result<()> {
        let mut status = 0;
        let append = adios2_step_mode_adios2_step_mode_append;
        // SAFETY: the engine is open for writing.
        let code = unsafe { adios2_begin_step(self.handle.engine, append, -1.0, &mut status) };
        self.handle.check(code, "begin a step")?;
        let written = self.write_inside_step(step, time, fields, models);
        // The step is ended in any case: ending is collective, and no rank may be left waiting.
        let ended = self.handle.end_step();
        written.and(ended)
    }

    fn seal(&self) -> Result<()> {
        if !self.first_rank {
            return Ok(());
        }
        let path = &self.handle.path;
        let note = || -> std::io::Result<()> {
            let mut sizes = BTreeMap::new();
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                sizes.insert(entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len());
            }
            sizes.remove(SIZES);
            // Replaced whole, so that a reader never sees half of it.
            let new = path.join(format!("{SIZES}.new"));
            fs::write(&new, serde_json::to_string_pretty(&sizes)?)?;
            fs::rename(new, path.join(SIZES))
        };
        note().map_err(|e| self.handle.error(e.to_string()))
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        let engine = std::mem::replace(&mut self.handle.engine, ptr::null_mut());
        // SAFETY: the engine is open, and forgotten here.
        let code = unsafe { adios2_close(engine) };
        self.handle.check(code, "close the file")
    }
}

/// Whether every file of the output is as large as it was when its last step was complete.
fn check_sizes(path: &Path) -> Result<()> {
    let damaged = |reason: String| Error::Content { path: path.into(), reason };
    let Ok(text) = fs::read_to_string(path.join(SIZES)) else { return Ok(()) };
    let sizes: BTreeMap<String, u64> =
        serde_json::from_str(&text).map_err(|e| damaged(format!("{SIZES} is damaged: {e}")))?;
    for (name, size) in sizes {
        let found = fs::metadata(path.join(&name)).map_or(0, |m| m.len());
        if found < size {
            return Err(damaged(format!("its file {name} is cut short: {found} of {size} bytes")));
        }
    }
    Ok(())
}

pub(crate) struct Adios2Reader {
    handle: Handle,
    /// The step that the engine is in, counted from 0.
    at: usize,
    steps: Vec<StepInfo>,
    models: Models,
}

impl Adios2Reader {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut reader =
            Self { handle: Self::rewound(path)?, at: 0, steps: Vec::new(), models: Models::built_in() };
        while reader.handle.next_step()? {
            let step = reader.scan()?;
            reader.steps.push(step);
            reader.handle.end_step()?;
        }
        reader.rewind()?;
        Ok(reader)
    }

    fn rewound(path: &Path) -> Result<Handle> {
        check_sizes(path)?;
        // SAFETY: no communicator is given.
        unsafe { Handle::new(path, None, adios2_mode_adios2_mode_read) }
    }

    /// To the first step, if there is one.
    fn rewind(&mut self) -> Result<()> {
        self.handle = Self::rewound(&self.handle.path)?;
        self.at = 0;
        self.handle.next_step()?;
        Ok(())
    }

    fn scan(&mut self) -> Result<StepInfo> {
        let handle = &self.handle;
        let one = |missing: &str| handle.damaged(format!("a step has no {missing}; is it a file of swae?"));
        let step = handle.get::<i64>("step", adios2_type_adios2_type_int64_t, 0, None)?;
        let time = handle.get::<f64>("time", adios2_type_adios2_type_double, 0, None)?;
        let step = step.and_then(|v| v.first().copied()).ok_or_else(|| one("step"))?;
        let time = time.and_then(|v| v.first().copied()).ok_or_else(|| one("time"))?;
        let mut names = handle.names();
        names.sort();
        let mut fields = Vec::new();
        for name in names {
            if let Some(id) = name.strip_prefix("models/").and_then(|n| n.strip_suffix("/decoder")) {
                let bytes = handle.get::<u8>(&name, adios2_type_adios2_type_uint8_t, 0, None)?;
                log::debug!("model {id} comes with the file");
                self.models.add(Model::from_bytes(&bytes.unwrap_or_default())?);
            } else if let Some(field) = name.strip_suffix("/stream") {
                fields.push(self.field(field)?);
            }
        }
        Ok(StepInfo { step, time, fields })
    }

    fn field(&self, name: &str) -> Result<(FieldInfo, u64)> {
        let handle = &self.handle;
        let dtype = handle.read_text(&format!("{name}/dtype"))?;
        let dtype = Dtype::from_name(&dtype)
            .ok_or_else(|| handle.damaged(format!("field {name} has type {dtype}")))?;
        let shape =
            handle.read_triple::<u64>(&format!("{name}/shape_xyz"), adios2_type_adios2_type_uint64_t)?;
        let rows = self.rows(name)?;
        let stored = rows.iter().map(|r| r.length + 8 * BoxRow::COLUMNS as u64).sum();
        let info = FieldInfo {
            name: name.into(),
            dtype,
            shape: shape.map(|n| n as usize),
            origin: handle.read_triple(&format!("{name}/origin_xyz"), adios2_type_adios2_type_double)?,
            spacing: handle.read_triple(&format!("{name}/spacing_xyz"), adios2_type_adios2_type_double)?,
            encoding: handle.read_text(&format!("{name}/encoding"))?,
        };
        swae_codec::check_shape(info.shape)?;
        Ok((info, stored))
    }

    fn rows(&self, field: &str) -> Result<Vec<BoxRow>> {
        let table =
            self.handle.get::<u64>(&format!("{field}/boxes"), adios2_type_adios2_type_uint64_t, 0, None)?;
        let table =
            table.ok_or_else(|| self.handle.damaged(format!("field {field} has no table of boxes")))?;
        Ok(BoxRow::from_table(&table))
    }
}

impl Reader for Adios2Reader {
    fn steps(&self) -> &[StepInfo] {
        &self.steps
    }

    fn models(&self) -> &Models {
        &self.models
    }

    /// BP5 is read as a stream: forwards is cheap, backwards opens the file again.
    fn read_boxes(&mut self, index: usize, field: &str) -> Result<Vec<(BoxRow, Vec<u8>)>> {
        if index < self.at {
            self.rewind()?;
        }
        while self.at < index {
            self.handle.end_step()?;
            if !self.handle.next_step()? {
                return Err(self.handle.damaged(format!("step {index} is gone")));
            }
            self.at += 1;
        }
        let name = format!("{field}/stream");
        let bytes = |row: BoxRow| {
            let (start, count) = (row.offset as usize, row.length as usize);
            let bytes = self.handle.get::<u8>(&name, adios2_type_adios2_type_uint8_t, start, Some(count))?;
            Ok((row, bytes.ok_or_else(|| self.handle.damaged(format!("{name} is missing")))?))
        };
        self.rows(field)?.into_iter().map(bytes).collect()
    }
}
