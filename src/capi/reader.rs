//! Readers: the fields of a file, for restarts and analysis. No MPI is needed: each process opens
//! the file for itself.

use crate::extensible::{self, Extensible};
use crate::field::{name, swae_box, swae_field};
use crate::handle::{Absent, Handles};
use crate::library::follow_environment;
use crate::status::{Failure, LastError, argument, catch_panics, swae_status};
use crate::stream::copy_out;
use std::ffi::{CString, c_char};
use std::path::Path;
use swae_insitu::Error;
use swae_store::{BoxRow, Decoder, FieldInfo, Reader};

/// @brief A file that is read: .h5, .bp, .swae, .npy or .vti. A handle is used by one thread at a
/// time.
pub struct swae_reader {
    reader: Option<Box<dyn Reader>>,
    decoder: Decoder,
    /// Names and encodings that callers have pointers to; they live as long as the reader.
    texts: Vec<CString>,
    last_error: LastError,
}

/// @brief A field of a step, as the file describes it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct swae_field_info {
    /// sizeof(swae_field_info), set by the caller.
    pub size: usize,
    /// Name of the field, followed by @level above level 0. It belongs to the reader, as `encoding`
    /// does.
    pub name: *const c_char,
    /// How it is compressed, for display: "rel 1e-4", "latent gr-16 f16", "raw".
    pub encoding: *const c_char,
    /// A swae_dtype.
    pub dtype: i32,
    /// Not 0 where boxes need not cover the grid.
    pub partial: i32,
    /// Points of the grid along x, y, z.
    pub shape: [usize; 3],
    /// Coordinates of grid point 0.
    pub origin: [f64; 3],
    /// Distance between grid points.
    pub spacing: [f64; 3],
    /// Bytes of its streams in the file.
    pub stored_bytes: u64,
}

// SAFETY: `repr(C)`, without padding; zeros are a value.
unsafe impl Extensible for swae_field_info {
    const NAME: &'static str = "swae_field_info";
    const FIRST_SIZE: usize = 112;
}

static READERS: Handles<swae_reader> = Handles::new();

impl swae_reader {
    /// A call that the program makes with a handle.
    fn call(handle: *const Self, call: impl FnOnce(&mut Self) -> Result<(), Failure>) -> swae_status {
        let made = READERS.with(handle, |reader| {
            let outcome = catch_panics(|| call(reader));
            reader.last_error.record(outcome)
        });
        made.unwrap_or_else(Absent::status)
    }

    fn open(&mut self) -> Result<&mut dyn Reader, Failure> {
        match &mut self.reader {
            Some(reader) => Ok(reader.as_mut()),
            None => {
                let text = "the file did not open; only swae_reader_close is allowed";
                Err(Failure(swae_status::SWAE_ERROR_STATE, text.into()))
            }
        }
    }

    fn step(&mut self, index: usize) -> Result<&[(FieldInfo, u64)], Failure> {
        let steps = self.open()?.steps();
        let step = steps.get(index).ok_or_else(|| {
            argument(format!("step index {index} of {}; indices count from 0", steps.len()))
        })?;
        Ok(&step.fields)
    }

    /// A text that lives as long as the reader.
    fn keep(&mut self, text: &str) -> *const c_char {
        let kept = self.texts.iter().position(|kept| kept.to_bytes() == text.as_bytes());
        let at = kept.unwrap_or_else(|| {
            self.texts.push(CString::new(text.replace('\0', " ")).unwrap_or_default());
            self.texts.len() - 1
        });
        self.texts[at].as_ptr()
    }
}

fn failure(e: swae_store::Error) -> Failure {
    Error::from(e).into()
}

/// The program has asked for a field that is not there; the file is as it should be.
fn no_field(e: swae_store::Error) -> Failure {
    argument(e.to_string())
}

/// @brief Opens a file for reading.
///
/// @param path         the file: .h5, .bp, .swae, .npy or .vti
/// @param[out] reader  the reader; set also where the call fails (unless it is NULL):
///                     swae_reader_error then says why, and swae_reader_close frees it
/// @return SWAE_OK; SWAE_ERROR_ARGUMENT; SWAE_ERROR_IO where it cannot be opened or read;
///         SWAE_ERROR_CORRUPT where it is damaged or is not what its extension says;
///         SWAE_ERROR_VERSION where a later library has written it; SWAE_ERROR_UNSUPPORTED for other
///         extensions; SWAE_ERROR_MEMORY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_open(path: *const c_char, reader: *mut *mut swae_reader) -> swae_status {
    if reader.is_null() {
        return swae_status::SWAE_ERROR_ARGUMENT;
    }
    let decoder = Decoder::remembering();
    let mut made = swae_reader { reader: None, decoder, texts: Vec::new(), last_error: LastError::default() };
    let outcome = catch_panics(|| {
        follow_environment();
        // SAFETY: the caller's contract.
        let path =
            unsafe { crate::session::text(path) }.ok_or_else(|| argument("path is NULL or not UTF-8"))?;
        made.reader = Some(swae_store::open(Path::new(path)).map_err(failure)?);
        Ok(())
    });
    let status = made.last_error.record(outcome);
    // SAFETY: not null, and valid by the caller's contract.
    unsafe { *reader = READERS.add(made) };
    status
}

/// @brief Number of steps in the file.
///
/// @param reader      an open reader
/// @param[out] count  the number of steps
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT or SWAE_ERROR_STATE
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_steps(reader: *mut swae_reader, count: *mut usize) -> swae_status {
    swae_reader::call(reader, |reader| {
        // SAFETY: the caller's contract.
        let count = unsafe { count.as_mut() }.ok_or_else(|| argument("count is NULL"))?;
        *count = reader.open()?.steps().len();
        Ok(())
    })
}

/// @brief Describes a step.
///
/// @param reader       an open reader
/// @param index        index of the step in the file, from 0
/// @param[out] step    the number that the simulation gave the step; may be NULL
/// @param[out] time    its time; may be NULL
/// @param[out] fields  its number of fields; may be NULL
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT or SWAE_ERROR_STATE
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_step(
    reader: *mut swae_reader,
    index: usize,
    step: *mut i64,
    time: *mut f64,
    fields: *mut usize,
) -> swae_status {
    swae_reader::call(reader, |reader| {
        let found = reader.step(index)?.len();
        let info = &reader.open()?.steps()[index];
        // SAFETY: NULL or valid.
        unsafe {
            step.as_mut().into_iter().for_each(|s| *s = info.step);
            time.as_mut().into_iter().for_each(|t| *t = info.time);
            fields.as_mut().into_iter().for_each(|f| *f = found);
        }
        Ok(())
    })
}

/// @brief Describes a field of a step.
///
/// @param reader        an open reader
/// @param index         index of the step, from 0
/// @param field         index of the field, from 0; fields are sorted by name
/// @param[in,out] info  the description; the caller sets its size
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT or SWAE_ERROR_STATE
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_field(
    reader: *mut swae_reader,
    index: usize,
    field: usize,
    info: *mut swae_field_info,
) -> swae_status {
    swae_reader::call(reader, |reader| {
        // SAFETY: the caller's contract.
        let size = unsafe { extensible::size(info)? };
        let fields = reader.step(index)?;
        let found = fields.get(field).cloned();
        let (found, stored_bytes) = found.ok_or_else(|| {
            argument(format!("field index {field} of {}; indices count from 0", fields.len()))
        })?;
        let described = swae_field_info {
            size,
            name: reader.keep(&found.name),
            encoding: reader.keep(&found.encoding),
            dtype: found.dtype as i32,
            partial: found.partial.into(),
            shape: found.shape,
            origin: found.origin,
            spacing: found.spacing,
            stored_bytes,
        };
        // SAFETY: the caller's contract.
        unsafe { extensible::write_sized(info, size, described) };
        Ok(())
    })
}

/// @brief The boxes in which a field of a step was written.
///
/// @param reader      an open reader
/// @param index       index of the step, from 0
/// @param field       name of the field
/// @param[out] boxes  up to `capacity` boxes, of which start and count are set; may be NULL
/// @param box_size    sizeof(swae_box), the distance of two boxes
/// @param capacity    boxes that `boxes` has room for
/// @param[out] count  the number of boxes, which may exceed `capacity`
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT, _STATE, _IO or _CORRUPT
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_boxes(
    reader: *mut swae_reader,
    index: usize,
    field: *const c_char,
    boxes: *mut swae_box,
    box_size: usize,
    capacity: usize,
    count: *mut usize,
) -> swae_status {
    swae_reader::call(reader, |reader| {
        // SAFETY: the caller's contract.
        let count = unsafe { count.as_mut() }.ok_or_else(|| argument("count is NULL"))?;
        // SAFETY: the caller's contract.
        let field = unsafe { name(field)? };
        reader.step(index)?;
        let open = reader.open()?;
        swae_store::find(open, index, field).map_err(no_field)?;
        let rows = open.read_boxes(index, field).map_err(failure)?;
        *count = rows.len();
        if !boxes.is_null() {
            extensible::check_size::<swae_box>(box_size, "box_size")?;
            for (i, BoxRow { start, count, .. }) in rows.into_iter().take(capacity).enumerate() {
                let (none, stride) = ([0; 3], [0; 3]);
                let row = swae_box { start, count, ghost_lo: none, ghost_hi: none, stride };
                // SAFETY: `boxes` has room for `capacity`, by the caller's contract.
                unsafe { extensible::write_sized(boxes.byte_add(i * box_size), box_size, row) };
            }
        }
        Ok(())
    })
}

/// @brief Reads a region of a field of a step.
///
/// Steps that are read in their order are decoded once each, even where they are predicted from
/// earlier ones.
///
/// @param reader  an open reader
/// @param index   index of the step, from 0
/// @param field   name (with @level, or level set) and dtype as in the file; start and count of the
///                region in the grid; data, ghost zones, order and strides describe the memory that
///                the values are written to, as in swae_put. Points that no box covers become NaN
/// @return SWAE_OK; SWAE_ERROR_ARGUMENT; SWAE_ERROR_STATE; SWAE_ERROR_IO where the file cannot be
///         read; SWAE_ERROR_CORRUPT where it is damaged there, after which other fields can be read;
///         SWAE_ERROR_VERSION; SWAE_ERROR_MODEL where a model is missing; SWAE_ERROR_MEMORY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_read(
    reader: *mut swae_reader,
    index: usize,
    field: *const swae_field,
) -> swae_status {
    swae_reader::call(reader, |reader| {
        // SAFETY: the caller's contract.
        let field = unsafe { extensible::read(field)? };
        // SAFETY: the caller's contract.
        let given = unsafe { name(field.name)? };
        let level = u32::try_from(field.level).unwrap_or(0);
        let is_there = reader.step(index)?.iter().any(|(info, _)| info.name == given);
        let name = if level == 0 && is_there { given.into() } else { swae_store::with_level(given, level) };
        let region: [_; 3] =
            std::array::from_fn(|a| field.start[a]..field.start[a].saturating_add(field.count[a]));
        reader.open()?;
        let swae_reader { reader: Some(open), decoder, .. } = reader else { return Ok(()) };
        let info = swae_store::find(open.as_ref(), index, &name).map_err(no_field)?;
        if (0..3).any(|a| region[a].end > info.shape[a]) {
            let text = format!("the region {region:?} is not inside its grid of {:?}", info.shape);
            return Err(argument(text).of(&name));
        }
        // A cached reference step is a whole step: only after whole fields is the next one likely
        // to need it.
        let whole = region == info.shape.map(|n| 0..n);
        let mut once = Decoder::default();
        let decoder = if whole { decoder } else { &mut once };
        let decoded = decoder.read_field(open.as_mut(), index, &name, Some(region)).map_err(failure)?;
        // SAFETY: the caller's contract.
        unsafe { copy_out(&decoded, &field) }.map_err(|e| e.of(&name))
    })
}

/// @brief Message of the last failed call on a reader.
///
/// @param reader  the reader; NULL is allowed
/// @return the message, which belongs to the reader and is valid until its next failed call
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_error(reader: *const swae_reader) -> *const c_char {
    READERS.with(reader, |reader| reader.last_error.message()).unwrap_or_else(Absent::message)
}

/// @brief Closes the file and frees the reader. Any later call with the handle returns
/// SWAE_ERROR_STATE.
///
/// @param reader  the reader; NULL is allowed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_close(reader: *mut swae_reader) {
    let _ = catch_panics(|| {
        drop(READERS.remove(reader));
        Ok(())
    });
}
