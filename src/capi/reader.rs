//! Readers: the fields of a file, for restarts and analysis. No MPI is needed; each process opens the file for itself.

use crate::field::{name, sized, swae_box, swae_field};
use crate::handle::{Absent, Handles};
use crate::status::{Failure, Told, argument, fenced, swae_status};
use crate::stream::give;
use std::ffi::{CString, c_char};
use std::path::Path;
use swae_insitu::Error;
use swae_store::{Decoder, FieldInfo, Reader};

/// A file that is read: .h5, .bp, .swae, .npy or .vti.
pub struct swae_reader {
    reader: Option<Box<dyn Reader>>,
    decoder: Decoder,
    /// Names and encodings that were handed out; they stay until the reader closes.
    texts: Vec<CString>,
    told: Told,
}

/// What a file says of a field of a step.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct swae_field_info {
    /// sizeof(swae_field_info), set by the caller, so that the struct can grow.
    pub size: usize,
    /// Its name, with @level behind it above level 0. It belongs to the reader, as `encoding` does.
    pub name: *const c_char,
    /// How it is coded, for people: "rel 1e-4", "latent gr-16 f16", "raw".
    pub encoding: *const c_char,
    /// A swae_dtype.
    pub dtype: i32,
    /// Not 0 where boxes need not cover the grid.
    pub partial: i32,
    /// Points of the grid along x, y, z.
    pub shape: [usize; 3],
    /// Coordinates of point 0.
    pub origin: [f64; 3],
    /// Distance between points.
    pub spacing: [f64; 3],
    /// Bytes that it takes in the file.
    pub stored_bytes: u64,
}

static READERS: Handles<swae_reader> = Handles::new();

impl swae_reader {
    /// A call that the program makes with a handle.
    fn call(handle: *const Self, call: impl FnOnce(&mut Self) -> Result<(), Failure>) -> swae_status {
        let made = READERS.with(handle, |reader| {
            let outcome = fenced(|| call(reader));
            reader.told.settle(outcome)
        });
        made.unwrap_or_else(Absent::status)
    }

    fn open(&mut self) -> Result<&mut dyn Reader, Failure> {
        match &mut self.reader {
            Some(reader) => Ok(reader.as_mut()),
            None => {
                let text = "the file did not open; only swae_reader_close is left";
                Err(Failure(swae_status::SWAE_ERROR_STATE, text.into()))
            }
        }
    }

    fn step(&mut self, index: usize) -> Result<&[(FieldInfo, u64)], Failure> {
        let steps = self.open()?.steps();
        let step = steps
            .get(index)
            .ok_or_else(|| argument(format!("step {index} of {}; they count from 0", steps.len())))?;
        Ok(&step.fields)
    }

    /// A text that stays as long as the reader.
    fn keep(&mut self, text: &str) -> *const c_char {
        let kept = self.texts.iter().position(|known| known.to_bytes() == text.as_bytes());
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

/// Opens a file. `*reader` is set even where that fails: swae_reader_error then says why, and swae_reader_close frees it.
///
/// # Safety
/// `path` is a string, `reader` valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_open(path: *const c_char, reader: *mut *mut swae_reader) -> swae_status {
    if reader.is_null() {
        return swae_status::SWAE_ERROR_ARGUMENT;
    }
    let decoder = Decoder::remembering();
    let mut made = swae_reader { reader: None, decoder, texts: Vec::new(), told: Told::default() };
    let outcome = fenced(|| {
        // SAFETY: the caller's promise.
        let path =
            unsafe { crate::session::text(path) }.ok_or_else(|| argument("path is NULL or not UTF-8"))?;
        made.reader = Some(swae_store::open(Path::new(path)).map_err(failure)?);
        Ok(())
    });
    let status = made.told.settle(outcome);
    // SAFETY: not null, and valid by the caller's promise.
    unsafe { *reader = READERS.add(made) };
    status
}

/// How many steps the file holds.
///
/// # Safety
/// `reader` is open, `count` valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_steps(reader: *mut swae_reader, count: *mut usize) -> swae_status {
    // SAFETY: the caller's promise.
    let Some(count) = (unsafe { count.as_mut() }) else { return swae_status::SWAE_ERROR_ARGUMENT };
    swae_reader::call(reader, |reader| {
        *count = reader.open()?.steps().len();
        Ok(())
    })
}

/// Of the step at an index, which counts from 0: the number and the time that the simulation gave it, and how many fields it
/// has.
///
/// # Safety
/// `reader` is open; `step`, `time` and `fields` are NULL or valid.
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

/// What a step says of one of its fields; `field` counts from 0. They are sorted by name.
///
/// # Safety
/// `reader` is open, `info` valid, and its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_field(
    reader: *mut swae_reader,
    index: usize,
    field: usize,
    info: *mut swae_field_info,
) -> swae_status {
    swae_reader::call(reader, |reader| {
        // SAFETY: the caller's promise.
        let size = unsafe { sized(info.cast_const(), "swae_field_info")?.size };
        let fields = reader.step(index)?;
        let found = fields.get(field).cloned();
        let (found, stored_bytes) =
            found.ok_or_else(|| argument(format!("field {field} of {}; they count from 0", fields.len())))?;
        let told = swae_field_info {
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
        // SAFETY: as large as ours, and the caller's.
        unsafe { *info = told };
        Ok(())
    })
}

/// The boxes that a field of a step was written in: how many, and, where `boxes` is not NULL, up to `capacity` of them, with
/// start and count alone.
///
/// # Safety
/// `reader` is open, `field` a string, `count` valid, `boxes` NULL or room for `capacity` boxes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_boxes(
    reader: *mut swae_reader,
    index: usize,
    field: *const c_char,
    boxes: *mut swae_box,
    capacity: usize,
    count: *mut usize,
) -> swae_status {
    // SAFETY: the caller's promise.
    let Some(count) = (unsafe { count.as_mut() }) else { return swae_status::SWAE_ERROR_ARGUMENT };
    swae_reader::call(reader, |reader| {
        // SAFETY: the caller's promise.
        let field = unsafe { name(field)? };
        reader.step(index)?;
        let open = reader.open()?;
        swae_store::find(open, index, field).map_err(failure)?;
        let streams = open.read_streams(index, field).map_err(failure)?;
        let rows: Vec<_> = streams.iter().flat_map(|s| s.boxes()).collect();
        *count = rows.len();
        if !boxes.is_null() {
            for (i, (start, count)) in rows.into_iter().take(capacity).enumerate() {
                let (ghosts, stride) = ([0; 3], [0; 3]);
                // SAFETY: the caller has room for it.
                unsafe {
                    boxes.add(i).write(swae_box { start, count, ghost_lo: ghosts, ghost_hi: ghosts, stride });
                }
            }
        }
        Ok(())
    })
}

/// Reads a region of a field of a step: `name` (with @level, or `level` set), `dtype` as in the file, `start` and `count` in
/// the grid; `data`, ghost zones, order and strides say where its values go, as in swae_put. What no box covers is NaN.
/// Steps read one after the other are decoded once each.
///
/// # Safety
/// `reader` is open, `field` valid, and its memory can be written.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_read(
    reader: *mut swae_reader,
    index: usize,
    field: *const swae_field,
) -> swae_status {
    swae_reader::call(reader, |reader| {
        // SAFETY: the caller's promise.
        let field = unsafe { sized(field, "swae_field")? };
        // SAFETY: the caller's promise.
        let mut name = unsafe { name(field.name)? }.to_owned();
        if field.level > 0 {
            name = format!("{name}@{}", field.level);
        }
        reader.step(index)?;
        let region: [_; 3] =
            std::array::from_fn(|a| field.start[a]..field.start[a].saturating_add(field.count[a]));
        reader.open()?;
        let swae_reader { reader: Some(open), decoder, .. } = reader else { return Ok(()) };
        let info = swae_store::find(open.as_ref(), index, &name).map_err(failure)?;
        if (0..3).any(|a| region[a].end > info.shape[a]) {
            let text = format!("the region {region:?} leaves its grid of {:?}", info.shape);
            return Err(argument(text).of(&name));
        }
        // To remember a step takes all of it: only who reads whole fields will want the next one so.
        let whole = region == info.shape.map(|n| 0..n);
        let mut once = Decoder::default();
        let decoder = if whole { decoder } else { &mut once };
        let decoded = decoder.read_field(open.as_mut(), index, &name, Some(region)).map_err(failure)?;
        // SAFETY: the caller's promise.
        unsafe { give(&decoded, field) }.map_err(|e| e.of(&name))
    })
}

/// What went wrong in the last failed call on this reader; it belongs to the reader and stays until the next failure.
///
/// # Safety
/// `reader` is NULL or came from swae_reader_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_error(reader: *const swae_reader) -> *const c_char {
    READERS.with(reader, |reader| reader.told.message()).unwrap_or_else(Absent::message)
}

/// Closes the file and frees the reader. NULL is allowed. Whoever uses the handle again gets SWAE_ERROR_STATE.
///
/// # Safety
/// `reader` is NULL or came from swae_reader_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_reader_close(reader: *mut swae_reader) {
    let _ = fenced(|| {
        drop(READERS.remove(reader));
        Ok(())
    });
}
