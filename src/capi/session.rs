//! Sessions: one output of a simulation.

use crate::field::{dtype, name, sized, swae_box, swae_field, swae_layout};
use crate::handle::{Absent, Handles};
use crate::status::{Failure, Told, argument, fenced, swae_status};
use mpi_sys::MPI_Comm;
use std::ffi::{CStr, c_char, c_void};
use std::path::Path;
use std::sync::PoisonError;
use swae_codec::config::{LatentCoding, ModeName, Settings as CompressionSettings};
use swae_codec::{Dtype, Element};
use swae_insitu::{Asynchronous, Error, FieldSettings, Grid, Options, Session, Settings};

/// How fields are coded.
#[repr(C)]
pub enum swae_mode {
    /// The latents of a model: a fixed rate, no error bound.
    SWAE_MODE_LATENT = 0,
    /// The values as they are.
    SWAE_MODE_RAW = 1,
    /// |decoded - true| <= bound, everywhere.
    SWAE_MODE_ABSOLUTE = 2,
    /// |decoded - true| <= bound * (greatest - least value of the field, on all ranks, in the step). Values wait in a copy for
    /// the end of the step.
    SWAE_MODE_RELATIVE = 3,
    /// |decoded - true| <= bound * |true|, everywhere.
    SWAE_MODE_POINTWISE_RELATIVE = 4,
    /// At least bound dB of peak signal-to-noise ratio; copies as SWAE_MODE_RELATIVE does.
    SWAE_MODE_PSNR = 5,
}

/// How latents are stored.
#[repr(C)]
pub enum swae_latents {
    /// IEEE binary16.
    SWAE_LATENTS_F16 = 0,
    /// IEEE binary32.
    SWAE_LATENTS_F32 = 1,
    /// 256 levels.
    SWAE_LATENTS_U8 = 2,
}

/// What goes on while the simulation computes.
#[repr(C)]
pub enum swae_asynchronous {
    /// Nothing: a step is in the file when swae_end_step returns.
    SWAE_ASYNCHRONOUS_OFF = 0,
    /// A step is copied, encoded in the background, and written by the next swae_begin_step or swae_close. MPI and the store are
    /// called inside the program's calls only.
    SWAE_ASYNCHRONOUS_CODING = 1,
    /// A step is copied, and encoded and written in the background, by a thread that calls MPI and the store (HDF5, ADIOS2): the
    /// program must not use that store's library outside these calls, unless it was built to be used from many threads. Needs
    /// MPI_THREAD_MULTIPLE; without it as SWAE_ASYNCHRONOUS_CODING.
    SWAE_ASYNCHRONOUS_WRITING = 2,
}

/// How a session works. Zero means the default; all ranks pass the same.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct swae_options {
    /// sizeof(swae_options), so that the struct can grow.
    pub size: usize,
    /// A swae_mode.
    pub mode: i32,
    /// A swae_latents.
    pub latents: i32,
    /// Name of a built-in model or path of a model file; NULL for "gr-16". A model that weighs predictions ("gr-mixture") makes
    /// series within a bound smaller, and slower; an autoencoder is for latents.
    pub model: *const c_char,
    /// Threads that encode on this rank; 0 for a share of the node's cores that goes by the rank's share of the work.
    pub threads: i32,
    /// Of the modes with a bound: steps from one keyframe to the next; 1 for no step that leans on another, 0 for 16.
    pub keyframe_interval: i32,
    /// The bound of the modes that have one.
    pub bound: f64,
    /// Path of a TOML file, whose settings count before those above; NULL for none. It has the keys mode ("latent", "raw",
    /// "abs", "rel", "pwrel", "psnr", "off"), bound, latents ("f16", "f32", "u8"), keyframe_interval, every (each so many-th step
    /// alone), levels (a list), model, threads, asynchronous ("off", "coding", "writing"), memory, append (true), devices, couple (true: fields
    /// within a bound lean on other fields of their step, which is smaller; who reads one of them decodes those too), layout ("streams",
    /// or "datasets": fields as ordinary HDF5 datasets behind the filter), and a table [fields.NAME] of
    /// the first six for each field, or pattern of fields, that is to be coded otherwise.
    pub config: *const c_char,
    /// More settings, which count before all others, one behind each semicolon: "mode = rel; bound = 1e-4; fields.chi.bound =
    /// 1e-6". NULL for none.
    pub settings: *const c_char,
    /// Bytes of values that this rank copies at most for steps in the background; 0 for 2^30. What goes beyond waits for earlier
    /// steps, and is encoded inside swae_put where that is not enough.
    pub memory: u64,
    /// A swae_asynchronous.
    pub asynchronous: i32,
    /// Not 0: a file of this name is not replaced but continued, as after a restart. Its steps before the first one of this
    /// session are kept, later ones are dropped.
    pub append: i32,
    /// The devices of a node that encode: "auto", "cpu", "cpu:N" for the cores as N devices, "cuda" or "cuda:0,1" for GPUs by the
    /// CUDA driver's numbers; NULL for "auto", the cores. GPUs run the encoder of SWAE_MODE_LATENT, the cores all else. The ranks
    /// of a node share them by the work that each has. The file is the same on all.
    pub devices: *const c_char,
}

/// What a session has done so far, on this rank. Times are seconds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct swae_statistics {
    /// sizeof(swae_statistics), so that the struct can grow.
    pub size: usize,
    /// Steps that are in the file.
    pub steps: u64,
    /// Bytes of the values that were handed over and not left out.
    pub raw_bytes: u64,
    /// Bytes of the streams in the file.
    pub stored_bytes: u64,
    /// Threads that encode.
    pub threads: u64,
    /// Time that the program spent inside the calls of this session.
    pub inside: f64,
    /// Time that encoding took, in whichever thread.
    pub encoding: f64,
    /// Time that the ranks took to agree on steps, in whichever thread, waiting for one another included.
    pub communication: f64,
    /// Time that writing took, in whichever thread, waiting for one another included.
    pub writing: f64,
}

/// One output of a simulation, open on every rank of a communicator.
pub struct swae_session {
    session: Option<Session>,
    told: Told,
}

static SESSIONS: Handles<swae_session> = Handles::new();

impl swae_session {
    /// A call that the program makes with a handle.
    fn call(handle: *const Self, call: impl FnOnce(&mut Session) -> Result<(), Failure>) -> swae_status {
        let made = SESSIONS.with(handle, |session| {
            let outcome = fenced(|| call(session.open()?));
            session.told.settle(outcome)
        });
        made.unwrap_or_else(Absent::status)
    }

    /// Hands something over; a failure lets the step fail on all ranks.
    fn put(handle: *const Self, put: impl FnOnce(&mut Session) -> Result<(), Failure>) -> swae_status {
        let or_fail = |open: &mut Session| {
            put(open).inspect_err(|Failure(_, text)| open.fail_step(Error::Argument(text.clone())))
        };
        Self::call(handle, or_fail)
    }

    fn open(&mut self) -> Result<&mut Session, Failure> {
        self.session.as_mut().ok_or_else(|| {
            Failure(swae_status::SWAE_ERROR_STATE, "the session did not open; only swae_close is left".into())
        })
    }
}

/// Opens an output: `.h5` is written as parallel HDF5, `.bp` as ADIOS2 BP5; an existing file is replaced, unless the options
/// say append.
/// Collective over `comm`, which is duplicated.
///
/// `*session` is set even where the call fails (unless memory or arguments do not allow it): swae_last_error then
/// says why, and swae_close frees it. Close every session before MPI_Finalize.
///
/// # Safety
/// `comm` is MPI_COMM_NULL, which is an error, or valid, `path` a string, `options` NULL or valid, `session` valid.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_open(
    comm: MPI_Comm,
    path: *const c_char,
    options: *const swae_options,
    session: *mut *mut swae_session,
) -> swae_status {
    if session.is_null() {
        return swae_status::SWAE_ERROR_ARGUMENT;
    }
    let mut made = swae_session { session: None, told: Told::default() };
    let outcome = fenced(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let arguments = text(path)
                .ok_or_else(|| Error::Argument("path is NULL or not UTF-8".into()))
                .and_then(|path| Ok((path, read_options(options)?)));
            let arguments = arguments.as_ref().map(|(path, options)| (Path::new(*path), options));
            made.session = Some(Session::open(comm, arguments.map_err(Clone::clone))?);
        }
        Ok(())
    });
    let status = made.told.settle(outcome);
    // SAFETY: not null, and valid by the caller's promise.
    unsafe { *session = SESSIONS.add(made) };
    status
}

/// As swae_open, for Fortran: `comm` is an integer, as `use mpi` has it.
///
/// # Safety
/// That of swae_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_open_fortran(
    comm: i32,
    path: *const c_char,
    options: *const swae_options,
    session: *mut *mut swae_session,
) -> swae_status {
    // SAFETY: the caller's promise.
    unsafe { swae_open(mpi_sys::RSMPI_Comm_f2c(comm), path, options, session) }
}

/// Begins an output step. Collective: all ranks pass the same. Numbers of steps rise.
///
/// Where an earlier step has failed in the background, all ranks get its error here, and the new step is begun all the same.
///
/// # Safety
/// `session` is an open session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_begin_step(session: *mut swae_session, step: i64, time: f64) -> swae_status {
    swae_session::call(session, |open| Ok(open.begin_step(step, time)?))
}

/// Hands over one box of a field: it is encoded or copied now, and its memory is free again when the call returns. Not
/// collective. Several boxes of a field are several calls; ranks without boxes call nothing. After an error call
/// swae_end_step all the same: the step fails there on all ranks, and the session goes on.
///
/// # Safety
/// `session` is an open session, `field` valid, and its data as large as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_put(session: *mut swae_session, field: *const swae_field) -> swae_status {
    // SAFETY: the caller's promise.
    swae_session::put(session, |open| unsafe { put(open, field) })
}

/// As swae_put, of many boxes at once: a field on all boxes of a layout, whose values lie at `data[0]`, `data[1]` …
/// Boxes of one call share a stream and what is learned of the field, which small ones need; as long as the layout stays the
/// same from step to step, they also lean on the step before.
///
/// # Safety
/// `session` is an open session, `name` a string, `layout` valid, `data` a pointer for each of its boxes, to values as many as
/// the box says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_put_boxes(
    session: *mut swae_session,
    name: *const c_char,
    dtype: i32,
    layout: *const swae_layout,
    data: *const *const c_void,
) -> swae_status {
    // SAFETY: the caller's promise.
    swae_session::put(session, |open| unsafe { put_boxes(open, name, dtype, layout, data) })
}

/// # Safety
/// The field is NULL or valid, and its data as large as it says.
unsafe fn put(session: &mut Session, field: *const swae_field) -> Result<(), Failure> {
    // SAFETY: the caller's promise, to the end.
    let field = unsafe { sized(field, "swae_field")? };
    // SAFETY: as above.
    let name = unsafe { name(field.name)? };
    let (grid, boxes) = (field.grid()?, [(field.place(), field.data)]);
    match dtype(field.dtype).map_err(|e| e.of(name))? {
        // SAFETY: as above.
        Dtype::F32 => unsafe { put_all::<f32>(session, name, &grid, field.order, &boxes) },
        // SAFETY: as above.
        Dtype::F64 => unsafe { put_all::<f64>(session, name, &grid, field.order, &boxes) },
    }
}

/// # Safety
/// That of [`swae_put_boxes`].
unsafe fn put_boxes(
    session: &mut Session,
    name: *const c_char,
    kind: i32,
    layout: *const swae_layout,
    data: *const *const c_void,
) -> Result<(), Failure> {
    // SAFETY: the caller's promise, to the end.
    let (name, layout) = unsafe { (self::name(name)?, sized(layout, "swae_layout")?) };
    // SAFETY: as above.
    let boxes = unsafe { layout.boxes().map_err(|e| e.of(name))? };
    if !boxes.is_empty() && data.is_null() {
        return Err(argument("data is NULL").of(name));
    }
    // SAFETY: as above.
    let boxes: Vec<_> = boxes.into_iter().enumerate().map(|(i, b)| (b, unsafe { *data.add(i) })).collect();
    let grid = layout.grid().map_err(|e| e.of(name))?;
    match dtype(kind).map_err(|e| e.of(name))? {
        // SAFETY: as above.
        Dtype::F32 => unsafe { put_all::<f32>(session, name, &grid, layout.order, &boxes) },
        // SAFETY: as above.
        Dtype::F64 => unsafe { put_all::<f64>(session, name, &grid, layout.order, &boxes) },
    }
}

/// # Safety
/// Each pointer leads to values as its box says.
unsafe fn put_all<T: Element>(
    session: &mut Session,
    name: &str,
    grid: &Grid,
    order: i32,
    boxes: &[(swae_box, *const c_void)],
) -> Result<(), Failure> {
    let view = |(i, (place, data)): (usize, &(swae_box, *const c_void))| {
        // SAFETY: the caller's promise.
        let view = unsafe { place.view::<T>(order, *data) };
        let which = if boxes.len() > 1 { format!("box {i}: ") } else { String::new() };
        Ok((place.start, view.map_err(|e| argument(format!("field '{name}': {which}{e}")))?))
    };
    let views = boxes.iter().enumerate().map(view).collect::<Result<Vec<_>, Failure>>()?;
    Ok(session.put(name, grid, &views)?)
}

/// Ends the step: it is written by all ranks, or, where anything is wrong on any rank, by none; then all ranks get the
/// same error. Collective. Where steps go on in the background, this returns at once; what became of the step is told in the
/// next one, by swae_begin_step and once more by this function, or by swae_close.
///
/// # Safety
/// `session` is an open session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_end_step(session: *mut swae_session) -> swae_status {
    swae_session::call(session, |open| Ok(open.end_step()?))
}

/// Waits until all steps that have ended are in the file: where steps go on in the background, the program may want to be sure,
/// as before a checkpoint. Collective, between steps. Tells the first error that no call has told yet.
///
/// # Safety
/// `session` is an open session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_flush(session: *mut swae_session) -> swae_status {
    swae_session::call(session, |open| Ok(open.flush()?))
}

/// What has been done so far.
///
/// # Safety
/// `session` is an open session, `statistics` valid, its size set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_get_statistics(
    session: *mut swae_session,
    statistics: *mut swae_statistics,
) -> swae_status {
    swae_session::call(session, |open| {
        // SAFETY: the caller's promise.
        let size = unsafe { sized(statistics, "swae_statistics")? }.size;
        let done = open.statistics();
        let all = swae_statistics {
            size,
            steps: done.steps,
            raw_bytes: done.raw_bytes,
            stored_bytes: done.stored_bytes,
            threads: done.threads as u64,
            inside: done.inside.as_secs_f64(),
            encoding: done.encoding.as_secs_f64(),
            communication: done.communication.as_secs_f64(),
            writing: done.writing.as_secs_f64(),
        };
        // SAFETY: as above.
        unsafe { statistics.write(all) };
        Ok(())
    })
}

/// Closes the output and frees the session, in any case. Collective. NULL is allowed. Steps in the background are finished
/// first. The message of a failure is gone with the session: it goes to the log. Whoever uses the handle again, even to close
/// it, gets SWAE_ERROR_STATE.
///
/// # Safety
/// `session` is NULL or came from swae_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_close(session: *mut swae_session) -> swae_status {
    let session = match SESSIONS.remove(session) {
        Ok(session) => session,
        Err(Absent::Null) => return swae_status::SWAE_OK,
        Err(absent) => return absent.status(),
    };
    let closed = fenced(|| {
        let open = session.lock().unwrap_or_else(PoisonError::into_inner).session.take();
        Ok(open.map_or(Ok(()), Session::close)?)
    });
    closed.map_or_else(
        |Failure(status, text)| {
            log::error!("{text}");
            status
        },
        |()| swae_status::SWAE_OK,
    )
}

/// What went wrong in the last failed call on this session; it belongs to the session and stays until the next failure.
/// Empty where nothing failed.
///
/// # Safety
/// `session` is NULL or came from swae_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_last_error(session: *const swae_session) -> *const c_char {
    SESSIONS.with(session, |session| session.told.message()).unwrap_or_else(Absent::message)
}

/// # Safety
/// `s` is NULL or a string.
pub(crate) unsafe fn text<'a>(s: *const c_char) -> Option<&'a str> {
    // SAFETY: the caller's promise.
    if s.is_null() { None } else { unsafe { CStr::from_ptr(s) }.to_str().ok() }
}

/// # Safety
/// The strings are NULL or strings.
pub(crate) unsafe fn read_options(options: *const swae_options) -> Result<Options, Error> {
    let mut settings = Settings::default();
    if options.is_null() {
        return settings.options();
    }
    // SAFETY: the caller's promise.
    let o = unsafe { sized(options, "swae_options") }.map_err(|Failure(_, text)| Error::Argument(text))?;
    let wrong = |text: String| Error::Argument(text);
    let latents = match o.latents {
        0 => LatentCoding::F16,
        1 => LatentCoding::F32,
        2 => LatentCoding::U8,
        other => return Err(wrong(format!("latents {other} is none of swae_latents"))),
    };
    let mode = ModeName::ALL.into_iter().find(|mode| *mode as i32 == o.mode && *mode != ModeName::Off);
    let mode = mode.ok_or_else(|| wrong(format!("mode {} is none of swae_mode", o.mode)))?;
    let keyframe_interval = u32::try_from(o.keyframe_interval)
        .map_err(|_| wrong(format!("keyframe_interval is {}; 0 means 16", o.keyframe_interval)))?;
    let threads = usize::try_from(o.threads)
        .map_err(|_| wrong(format!("threads is {}; 0 means the rank's share of the cores", o.threads)))?;
    let compression = CompressionSettings {
        mode: Some(mode),
        bound: Some(o.bound),
        latents: Some(latents),
        keyframe_interval: (keyframe_interval > 0).then_some(keyframe_interval),
        ..CompressionSettings::default()
    };
    settings.all = FieldSettings { compression, ..FieldSettings::default() };
    settings.threads = Some(threads);
    settings.memory = (o.memory > 0).then_some(o.memory as f64);
    settings.append = Some(o.append != 0);
    settings.asynchronous = Some(match o.asynchronous {
        0 => Asynchronous::Off,
        1 => Asynchronous::Encode,
        2 => Asynchronous::Write,
        other => return Err(wrong(format!("asynchronous {other} is none of swae_asynchronous"))),
    });
    // SAFETY: the caller's promise.
    let given = |s: *const c_char, name: &str| match unsafe { text(s) } {
        None if !s.is_null() => Err(wrong(format!("{name} is not UTF-8"))),
        text => Ok(text.filter(|text| !text.is_empty())),
    };
    settings.all.compression.model = given(o.model, "model")?.map(str::to_owned);
    settings.devices = given(o.devices, "devices")?.map(str::to_owned);
    if let Some(path) = given(o.config, "config")? {
        settings = settings.overridden_by(Settings::read(Path::new(path))?);
    }
    if let Some(text) = given(o.settings, "settings")? {
        settings = settings.overridden_by(Settings::parse(text)?);
    }
    settings.options()
}
