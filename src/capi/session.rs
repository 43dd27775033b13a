//! Sessions: one output of a simulation, open on every rank.

use crate::extensible::{self, Extensible};
use crate::field::{dtype, name, swae_box, swae_boxes, swae_field};
use crate::handle::{Absent, Handles};
use crate::library::follow_environment;
use crate::status::{Failure, LastError, argument, catch_panics, swae_status};
use mpi_sys::MPI_Comm;
use std::ffi::{CStr, c_char, c_void};
use std::path::Path;
use std::sync::PoisonError;
use swae_codec::config::{Effort, LatentCoding, ModeName, Settings as CompressionSettings};
use swae_codec::{Dtype, Element};
use swae_insitu::{Asynchronous, FieldSettings, Grid, Options, Session, Settings};

/// @brief How fields are compressed.
#[repr(C)]
#[derive(Clone, Copy)]
pub enum swae_mode {
    /// As SWAE_MODE_RELATIVE; where bound is 0, too, with a bound of 1e-4.
    SWAE_MODE_DEFAULT = 0,
    /// Uncompressed values.
    SWAE_MODE_RAW = 1,
    /// |decoded - true| <= bound, at every point. With a bound of 0 every value comes back to the
    /// bit; the other modes do not take 0.
    SWAE_MODE_ABSOLUTE = 2,
    /// |decoded - true| <= bound * value range of the field (max - min over all ranks, in the
    /// step, on its level; `range = field` in the settings takes all levels). Values are copied and
    /// encoded at the end of the step, where the range is known.
    SWAE_MODE_RELATIVE = 3,
    /// |decoded - true| <= bound * |true|, at every point.
    SWAE_MODE_POINTWISE_RELATIVE = 4,
    /// Peak signal-to-noise ratio of at least bound dB; values are copied as with
    /// SWAE_MODE_RELATIVE.
    SWAE_MODE_PSNR = 5,
    /// Latents of an autoencoder: fixed rate, no error bound.
    SWAE_MODE_LATENT = 6,
}

impl swae_mode {
    /// What a number of the struct says; none for the default.
    fn named(number: i32) -> Result<Option<ModeName>, String> {
        let modes = [
            (Self::SWAE_MODE_RAW, ModeName::Raw),
            (Self::SWAE_MODE_ABSOLUTE, ModeName::Abs),
            (Self::SWAE_MODE_RELATIVE, ModeName::Rel),
            (Self::SWAE_MODE_POINTWISE_RELATIVE, ModeName::Pwrel),
            (Self::SWAE_MODE_PSNR, ModeName::Psnr),
            (Self::SWAE_MODE_LATENT, ModeName::Latent),
        ];
        if number == Self::SWAE_MODE_DEFAULT as i32 {
            return Ok(None);
        }
        let named = modes.into_iter().find(|(mode, _)| *mode as i32 == number);
        named.map(|(_, name)| Some(name)).ok_or_else(|| format!("mode {number} is none of swae_mode"))
    }
}

/// @brief How latents are stored.
#[repr(C)]
pub enum swae_latents {
    /// IEEE binary16.
    SWAE_LATENTS_F16 = 0,
    /// IEEE binary32.
    SWAE_LATENTS_F32 = 1,
    /// 256 quantisation levels.
    SWAE_LATENTS_U8 = 2,
}

/// @brief How long the encoder looks for small streams within a bound. The bound is verified at
/// each, and readers need not know which it was.
#[repr(C)]
pub enum swae_effort {
    /// The best candidates are tried.
    SWAE_EFFORT_NORMAL = 0,
    /// By estimates alone: faster, and somewhat larger.
    SWAE_EFFORT_FAST = 1,
    /// All candidates are tried, and fields are predicted from one another, unless settings say that
    /// they are not: smaller, and slower.
    SWAE_EFFORT_BEST = 2,
}

/// @brief Which work continues in the background while the simulation computes.
#[repr(C)]
pub enum swae_asynchronous {
    /// None: a step is in the file when swae_end_step returns.
    SWAE_ASYNCHRONOUS_OFF = 0,
    /// Steps are copied, encoded in the background, and written by the next swae_begin_step or
    /// swae_close. MPI and the I/O library (HDF5, ADIOS2) are called inside the program's calls
    /// only.
    SWAE_ASYNCHRONOUS_ENCODE = 1,
    /// Steps are copied, and encoded and written in the background by a thread that calls MPI and
    /// the I/O library: the program must not use that library outside these calls unless it is
    /// thread-safe. Needs MPI_THREAD_MULTIPLE; without it, the same as SWAE_ASYNCHRONOUS_ENCODE.
    SWAE_ASYNCHRONOUS_WRITE = 2,
}

/// @brief Options of a session. Zero means the default; all ranks pass the same.
///
/// docs/settings.md describes every setting. The keys of `config` and `settings` are mode, bound,
/// latents, model, fill, effort, keyframe_interval, every, levels, threads, devices, inter_field,
/// append, storage, asynchronous and memory; a table [fields.NAME], or fields.NAME.KEY, sets those
/// of single fields.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct swae_options {
    /// sizeof(swae_options).
    pub size: usize,
    /// A swae_mode.
    pub mode: i32,
    /// A swae_latents.
    pub latents: i32,
    /// Name of a built-in model or path of a model file; NULL for "gr-16". An autoencoder is for
    /// latents. A mixing network ("gr-mixture") makes error-bounded series smaller, and slower.
    pub model: *const c_char,
    /// Threads that encode on this rank; 0 divides the node's cores among its ranks in proportion
    /// to their work.
    pub threads: i32,
    /// Error-bounded modes: steps from one keyframe to the next; 1 for no temporal prediction, 0
    /// for 16.
    pub keyframe_interval: i32,
    /// The error bound, or the dB of SWAE_MODE_PSNR; 0 where config or settings give it.
    pub bound: f64,
    /// Path of a TOML file, whose settings override the members above; NULL for none.
    pub config: *const c_char,
    /// Settings that override all others, separated by semicolons: "mode = rel; bound = 1e-4;
    /// fields.chi.bound = 1e-6". NULL for none.
    pub settings: *const c_char,
    /// The most bytes of values that this rank copies for steps in the background; 0 for 2^30.
    /// Beyond that, swae_put waits for earlier steps, and encodes in place where that is not
    /// enough.
    pub memory: u64,
    /// A swae_asynchronous.
    pub asynchronous: i32,
    /// Not 0: an existing file is continued, as after a restart, not replaced. Its steps before the
    /// first one of this session are kept, later ones are dropped.
    pub append: i32,
    /// The devices of a node that encode: "auto", "cpu", "cpu:N" for the cores as N devices, "cuda"
    /// or "cuda:0,1" for GPUs by the CUDA driver's numbers; NULL for "auto", the cores. GPUs run
    /// the encoder of SWAE_MODE_LATENT, the cores all else. Each rank's device share is in
    /// proportion to its work. The file is the same on all devices.
    pub devices: *const c_char,
    /// A swae_effort.
    pub effort: i32,
    /// Must be 0.
    pub reserved: i32,
}

/// @brief Statistics of a session on this rank. Times are in seconds.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct swae_statistics {
    /// sizeof(swae_statistics), set by the caller.
    pub size: usize,
    /// Steps in the file.
    pub steps: u64,
    /// Bytes of the values that were put, without those that settings leave out.
    pub raw_bytes: u64,
    /// Bytes of the compressed streams in the file.
    pub stored_bytes: u64,
    /// Threads that encode.
    pub threads: u64,
    /// Time that the program spent inside the calls of this session.
    pub inside: f64,
    /// Time of encoding, in any thread.
    pub encoding: f64,
    /// Time of communication between the ranks, in any thread, waiting for one another included.
    pub communication: f64,
    /// Time of writing, in any thread, waiting for other ranks included.
    pub writing: f64,
    /// A swae_asynchronous: what goes on in the background, which is less than was asked for where
    /// MPI was initialised without MPI_THREAD_MULTIPLE.
    pub asynchronous: i32,
    /// 0.
    pub reserved: i32,
}

// SAFETY: `repr(C)`, without padding; zeros are a value.
unsafe impl Extensible for swae_options {
    const NAME: &'static str = "swae_options";
    const FIRST_SIZE: usize = 80;
}

// SAFETY: as above.
unsafe impl Extensible for swae_statistics {
    const NAME: &'static str = "swae_statistics";
    const FIRST_SIZE: usize = 72;
}

/// @brief One output of a simulation, open on every rank of a communicator. A handle is used by one
/// thread at a time.
pub struct swae_session {
    session: Option<Session>,
    last_error: LastError,
}

static SESSIONS: Handles<swae_session> = Handles::new();

impl swae_session {
    /// A call that the program makes with a handle.
    fn call(handle: *const Self, call: impl FnOnce(&mut Session) -> Result<(), Failure>) -> swae_status {
        let made = SESSIONS.with(handle, |session| {
            let outcome = catch_panics(|| call(session.open()?));
            session.last_error.record(outcome)
        });
        made.unwrap_or_else(Absent::status)
    }

    /// A put; a failure fails the step on all ranks.
    fn put(handle: *const Self, put: impl FnOnce(&mut Session) -> Result<(), Failure>) -> swae_status {
        let or_fail = |open: &mut Session| {
            catch_panics(|| put(open)).inspect_err(|failure| open.fail_step(failure.into()))
        };
        Self::call(handle, or_fail)
    }

    fn open(&mut self) -> Result<&mut Session, Failure> {
        self.session.as_mut().ok_or_else(|| {
            Failure(
                swae_status::SWAE_ERROR_STATE,
                "the session did not open; only swae_close is allowed".into(),
            )
        })
    }
}

/// @brief Opens an output. Collective over `comm`.
///
/// An existing file is replaced, unless the options say append. Close every session before
/// MPI_Finalize.
///
/// @param comm          a communicator, which is duplicated
/// @param path          the file: `.h5` is one HDF5 file that all ranks write, `.bp` an ADIOS2
///                      BP5 output
/// @param options       the options; NULL for the defaults, a relative bound of 1e-4
/// @param[out] session  the session; set also where the call fails (unless it is NULL):
///                      swae_last_error then says why, and swae_close frees it
/// @return SWAE_OK, or the same error on all ranks, also where one rank alone passes something wrong:
///         SWAE_ERROR_ARGUMENT, _STATE, _MODEL, _IO, _MISMATCH, _UNSUPPORTED or _MEMORY; with append
///         _CORRUPT or _VERSION where the file is damaged or a later library has written it. Where
///         MPI has not begun, or for MPI_COMM_NULL, this rank returns alone
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_open(
    comm: MPI_Comm,
    path: *const c_char,
    options: *const swae_options,
    session: *mut *mut swae_session,
) -> swae_status {
    let mut made = swae_session { session: None, last_error: LastError::default() };
    let outcome = catch_panics(|| {
        follow_environment();
        // What is wrong with them on one rank is an error of all, which wait for one another.
        let arguments = catch_panics(|| {
            if session.is_null() {
                return Err(argument("session is NULL"));
            }
            // SAFETY: the caller's contract.
            unsafe {
                let path = text(path).ok_or_else(|| argument("path is NULL or not UTF-8"))?;
                Ok((path, read_options(options)?))
            }
        });
        let arguments = match &arguments {
            Ok((path, options)) => Ok((Path::new(*path), options)),
            Err(failure) => Err(failure.into()),
        };
        // SAFETY: the caller's contract.
        made.session = Some(unsafe { Session::open(comm, arguments)? });
        Ok(())
    });
    let status = made.last_error.record(outcome);
    if !session.is_null() {
        // SAFETY: valid by the caller's contract.
        unsafe { *session = SESSIONS.add(made) };
    }
    status
}

/// @brief swae_open for Fortran.
///
/// @param comm          a communicator as an integer (MPI_Fint), as `use mpi` has it
/// @param path          as in swae_open
/// @param options       as in swae_open
/// @param[out] session  as in swae_open
/// @return as swae_open
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_open_fortran(
    comm: i32,
    path: *const c_char,
    options: *const swae_options,
    session: *mut *mut swae_session,
) -> swae_status {
    // SAFETY: the caller's contract.
    unsafe { swae_open(mpi_sys::RSMPI_Comm_f2c(comm), path, options, session) }
}

/// @brief Begins an output step. Collective: all ranks pass the same step and time.
///
/// @param session  an open session
/// @param step     number of the step, greater than that of the previous one; where it is the same,
///                 this step replaces that one, unless `repeat` in the settings says otherwise
/// @param time     time of the step
/// @return SWAE_OK; where an earlier step has failed in the background, its error on all ranks: the
///         new step is begun all the same
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_begin_step(session: *mut swae_session, step: i64, time: f64) -> swae_status {
    swae_session::call(session, |open| Ok(open.begin_step(step, time)?))
}

/// @brief Puts one box of a field into the step. Not collective.
///
/// The box is encoded or copied now: its memory may be changed when the call returns. Several boxes
/// of a field take several calls; ranks without boxes make none. After an error call swae_end_step
/// all the same: the step fails there on all ranks, and the session stays usable.
///
/// @param session  an open session, between swae_begin_step and swae_end_step
/// @param field    the box, whose data are as large as it says
/// @return SWAE_OK or the error of this rank: SWAE_ERROR_ARGUMENT, _STATE, _UNSUPPORTED or _MEMORY
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_put(session: *mut swae_session, field: *const swae_field) -> swae_status {
    // SAFETY: the caller's contract.
    swae_session::put(session, |open| unsafe { put(open, field) })
}

/// @brief Puts a field on many boxes at once. Not collective.
///
/// Boxes of one call share a stream and what it learns of them, which small boxes need. As long as the
/// boxes stay the same from step to step, they are also predicted from the previous step. Errors as
/// in swae_put.
///
/// @param session  an open session, between swae_begin_step and swae_end_step
/// @param name     name of the field
/// @param dtype    a swae_dtype
/// @param boxes    the boxes
/// @param data     for each box the first value of its memory, ghost zones included
/// @return SWAE_OK or the error of this rank
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_put_boxes(
    session: *mut swae_session,
    name: *const c_char,
    dtype: i32,
    boxes: *const swae_boxes,
    data: *const *const c_void,
) -> swae_status {
    // SAFETY: the caller's contract.
    swae_session::put(session, |open| unsafe { put_boxes(open, name, dtype, boxes, data) })
}

/// # Safety
/// The field is NULL or valid, and its data as large as it says.
unsafe fn put(session: &mut Session, field: *const swae_field) -> Result<(), Failure> {
    // SAFETY: the caller's contract, to the end.
    let field = unsafe { extensible::read(field)? };
    // SAFETY: as above.
    let name = unsafe { name(field.name)? };
    let (grid, boxes) = (field.grid()?, [(field.as_box(), field.data)]);
    match dtype(field.dtype).map_err(|e| e.of(name))? {
        // SAFETY: as above.
        Dtype::F32 => unsafe { put_all::<f32>(session, name, &grid, field.order, &boxes) },
        // SAFETY: as above.
        Dtype::F64 => unsafe { put_all::<f64>(session, name, &grid, field.order, &boxes) },
    }
}

/// # Safety
/// The contract of [`swae_put_boxes`].
unsafe fn put_boxes(
    session: &mut Session,
    name: *const c_char,
    kind: i32,
    boxes: *const swae_boxes,
    data: *const *const c_void,
) -> Result<(), Failure> {
    // SAFETY: the caller's contract, to the end.
    let (name, described) = unsafe { (self::name(name)?, extensible::read(boxes)?) };
    // SAFETY: as above.
    let boxes = unsafe { described.boxes().map_err(|e| e.of(name))? };
    if !boxes.is_empty() && data.is_null() {
        return Err(argument("data is NULL").of(name));
    }
    // SAFETY: as above.
    let boxes: Vec<_> = boxes.into_iter().enumerate().map(|(i, b)| (b, unsafe { *data.add(i) })).collect();
    let grid = described.grid().map_err(|e| e.of(name))?;
    match dtype(kind).map_err(|e| e.of(name))? {
        // SAFETY: as above.
        Dtype::F32 => unsafe { put_all::<f32>(session, name, &grid, described.order, &boxes) },
        // SAFETY: as above.
        Dtype::F64 => unsafe { put_all::<f64>(session, name, &grid, described.order, &boxes) },
    }
}

/// # Safety
/// Each pointer points to values as its box says.
unsafe fn put_all<T: Element>(
    session: &mut Session,
    name: &str,
    grid: &Grid,
    order: i32,
    boxes: &[(swae_box, *const c_void)],
) -> Result<(), Failure> {
    let view = |(i, (part, data)): (usize, &(swae_box, *const c_void))| {
        // SAFETY: the caller's contract.
        let view = unsafe { part.view::<T>(order, *data) };
        let which = if boxes.len() > 1 { format!("box {i}: ") } else { String::new() };
        Ok((part.start, view.map_err(|e| argument(format!("field '{name}': {which}{e}")))?))
    };
    let views = boxes.iter().enumerate().map(view).collect::<Result<Vec<_>, Failure>>()?;
    Ok(session.put(name, grid, &views)?)
}

/// @brief Ends the step. Collective.
///
/// The step is written by all ranks, or, where any rank had an error, by none. An asynchronous
/// session returns at once: errors of the step are then returned in the next one, by
/// swae_begin_step and once more by this function, or by swae_close.
///
/// @param session  an open session
/// @return SWAE_OK, or the same error on all ranks: the first one of a rank's swae_put or
///         swae_begin_step; SWAE_ERROR_STATE, _IO, _MISMATCH or _MEMORY; with append, in the first
///         step, _CORRUPT or _VERSION
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_end_step(session: *mut swae_session) -> swae_status {
    swae_session::call(session, |open| Ok(open.end_step()?))
}

/// @brief Waits until all steps that have ended are in the file, as before a checkpoint.
/// Collective, between steps.
///
/// @param session  an open session
/// @return SWAE_OK, or the first error that no call has returned yet; SWAE_ERROR_STATE, on all ranks,
///         where a rank is inside a step
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_flush(session: *mut swae_session) -> swae_status {
    swae_session::call(session, |open| Ok(open.flush()?))
}

/// @brief Statistics of the session so far, on this rank. Not collective.
///
/// @param session             an open session
/// @param[in,out] statistics  the statistics; the caller sets its size
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT or SWAE_ERROR_STATE
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_get_statistics(
    session: *mut swae_session,
    statistics: *mut swae_statistics,
) -> swae_status {
    swae_session::call(session, |open| {
        // SAFETY: the caller's contract.
        let size = unsafe { extensible::size(statistics)? };
        let done = open.statistics()?;
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
            asynchronous: match done.asynchronous {
                Asynchronous::Off => swae_asynchronous::SWAE_ASYNCHRONOUS_OFF as i32,
                Asynchronous::Encode => swae_asynchronous::SWAE_ASYNCHRONOUS_ENCODE as i32,
                Asynchronous::Write => swae_asynchronous::SWAE_ASYNCHRONOUS_WRITE as i32,
            },
            reserved: 0,
        };
        // SAFETY: as above.
        unsafe { extensible::write_sized(statistics, size, all) };
        Ok(())
    })
}

/// @brief Closes the output and frees the session, also where it returns an error. Collective.
///
/// Steps in the background are finished first. The message of an error goes to the log, for the
/// session is gone. Any later call with the handle returns SWAE_ERROR_STATE.
///
/// @param session  the session; NULL is allowed
/// @return SWAE_OK, or the first error that no call has returned yet; SWAE_ERROR_STATE, on all ranks,
///         where a step had not ended on a rank. NULL and a closed handle return on this rank alone
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_close(session: *mut swae_session) -> swae_status {
    let session = match SESSIONS.remove(session) {
        Ok(session) => session,
        Err(Absent::Null) => return swae_status::SWAE_OK,
        Err(absent) => return absent.status(),
    };
    let closed = catch_panics(move || {
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

/// @brief Message of the last failed call on a session.
///
/// @param session  the session; NULL is allowed
/// @return the message, which belongs to the session and is valid until its next failed call; empty
///         where no call failed
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_last_error(session: *const swae_session) -> *const c_char {
    SESSIONS.with(session, |session| session.last_error.message()).unwrap_or_else(Absent::message)
}

/// # Safety
/// `s` is NULL or a string.
pub(crate) unsafe fn text<'a>(s: *const c_char) -> Option<&'a str> {
    // SAFETY: the caller's contract.
    if s.is_null() { None } else { unsafe { CStr::from_ptr(s) }.to_str().ok() }
}

/// # Safety
/// The options are NULL or valid, their strings NULL or strings.
pub(crate) unsafe fn read_options(options: *const swae_options) -> Result<Options, Failure> {
    if options.is_null() {
        return Ok(Options::default());
    }
    // SAFETY: the caller's contract.
    let options = unsafe { extensible::read(options)? };
    // SAFETY: as above.
    let mut settings = unsafe { options.settings()? };
    // SAFETY: as above.
    let (config, more) = unsafe { (given(options.config, "config")?, given(options.settings, "settings")?) };
    if let Some(path) = config {
        settings = settings.overridden_by(Settings::read(Path::new(path))?);
    }
    if let Some(more) = more {
        settings = settings.overridden_by(Settings::parse(more)?);
    }
    Ok(settings.options()?)
}

/// A text of the options, where there is one.
///
/// # Safety
/// `s` is NULL or a string.
unsafe fn given<'a>(s: *const c_char, name: &str) -> Result<Option<&'a str>, Failure> {
    // SAFETY: the caller's contract.
    match unsafe { text(s) } {
        None if !s.is_null() => Err(argument(format!("{name} is not UTF-8"))),
        text => Ok(text.filter(|text| !text.is_empty())),
    }
}

impl swae_options {
    /// What the members say, but for config and settings.
    ///
    /// # Safety
    /// That of [`read_options`].
    unsafe fn settings(&self) -> Result<Settings, Failure> {
        let latents = match self.latents {
            0 => LatentCoding::F16,
            1 => LatentCoding::F32,
            2 => LatentCoding::U8,
            other => return Err(argument(format!("latents {other} is none of swae_latents"))),
        };
        let asynchronous = match self.asynchronous {
            0 => Asynchronous::Off,
            1 => Asynchronous::Encode,
            2 => Asynchronous::Write,
            other => return Err(argument(format!("asynchronous {other} is none of swae_asynchronous"))),
        };
        let effort = u32::try_from(self.effort).ok().and_then(Effort::numbered);
        let effort =
            effort.ok_or_else(|| argument(format!("effort {} is none of swae_effort", self.effort)))?;
        if self.reserved != 0 {
            return Err(argument(format!("swae_options.reserved is {}, expected 0", self.reserved)));
        }
        let keyframe_interval = u32::try_from(self.keyframe_interval)
            .map_err(|_| argument(format!("keyframe_interval is {}; 0 means 16", self.keyframe_interval)))?;
        let threads = usize::try_from(self.threads).map_err(|_| {
            argument(format!("threads is {}; 0 means the rank's share of the cores", self.threads))
        })?;
        let mode = swae_mode::named(self.mode).map_err(argument)?;
        // Only as an absolute bound does 0 say something.
        let is_bound = self.bound != 0.0 || mode == Some(ModeName::Abs);
        // SAFETY: the caller's contract.
        let (model, devices) = unsafe { (given(self.model, "model")?, given(self.devices, "devices")?) };
        let compression = CompressionSettings {
            mode,
            bound: is_bound.then_some(self.bound),
            latents: Some(latents),
            model: model.map(str::to_owned),
            keyframe_interval: (keyframe_interval > 0).then_some(keyframe_interval),
            effort: Some(effort),
            ..CompressionSettings::default()
        };
        Ok(Settings {
            all: FieldSettings { compression, ..FieldSettings::default() },
            threads: Some(threads),
            devices: devices.map(str::to_owned),
            append: Some(self.append != 0),
            asynchronous: Some(asynchronous),
            memory: (self.memory > 0).then_some(self.memory as f64),
            ..Settings::default()
        })
    }
}
