//! Sessions: one output of a simulation.

use crate::field::swae_field;
use crate::status::{Failure, argument, fenced, swae_status};
use mpi_sys::MPI_Comm;
use std::ffi::{CStr, CString, c_char};
use std::path::Path;
use swae_codec::{Bound, LatentCoding};
use swae_insitu::{Coding, Error, Options, Session};

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
    /// Name of a built-in model or path of a model file; NULL for "gr-16".
    pub model: *const c_char,
    /// Threads that encode on this rank; 0 for the rank's share of the node's cores.
    pub threads: i32,
    /// Of the modes with a bound: steps from one keyframe to the next; 1 for no step that leans on another, 0 for 16.
    pub keyframe_every: i32,
    /// The bound of the modes that have one.
    pub bound: f64,
}

/// One output of a simulation, open on every rank of a communicator.
pub struct swae_session {
    session: Option<Session>,
    message: CString,
}

impl swae_session {
    /// Keeps the message of a failed call.
    fn settle(&mut self, outcome: Result<(), Failure>) -> swae_status {
        match outcome {
            Ok(()) => swae_status::SWAE_OK,
            Err(Failure(status, text)) => {
                self.message = CString::new(text.replace('\0', " ")).unwrap_or_default();
                status
            }
        }
    }

    fn open(&mut self) -> Result<&mut Session, Failure> {
        self.session.as_mut().ok_or_else(|| {
            Failure(swae_status::SWAE_ERROR_STATE, "the session did not open; only swae_close is left".into())
        })
    }
}

/// Opens an output: `.h5` is written as parallel HDF5, `.bp` as ADIOS2 BP5; an existing file is replaced.
/// Collective over `comm`, which is duplicated.
///
/// `*session` is set even where the call fails (unless memory or arguments do not allow it): swae_last_error then
/// says why, and swae_close frees it. Close every session before MPI_Finalize.
///
/// # Safety
/// `comm` is a communicator of an initialised MPI, `path` a string, `options` NULL or valid, `session` valid.
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
    let mut made = Box::new(swae_session { session: None, message: CString::default() });
    let outcome = fenced(|| {
        // SAFETY: the caller's promise.
        unsafe {
            let arguments = text(path)
                .ok_or_else(|| Error::Argument("path is NULL or not UTF-8".into()))
                .and_then(|path| Ok((path, read_options(options.as_ref())?)));
            let arguments = arguments.as_ref().map(|(path, options)| (Path::new(*path), options));
            made.session = Some(Session::open(comm, arguments.map_err(Clone::clone))?);
        }
        Ok(())
    });
    let status = made.settle(outcome);
    // SAFETY: not null, and valid by the caller's promise.
    unsafe { *session = Box::into_raw(made) };
    status
}

/// Begins an output step. Collective: all ranks pass the same. Numbers of steps rise.
///
/// # Safety
/// `session` is an open session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_begin_step(session: *mut swae_session, step: i64, time: f64) -> swae_status {
    // SAFETY: the caller's promise.
    let Some(session) = (unsafe { session.as_mut() }) else { return swae_status::SWAE_ERROR_ARGUMENT };
    let outcome = fenced(|| Ok(session.open()?.begin_step(step, time)?));
    session.settle(outcome)
}

/// Hands over one box of a field: it is encoded now, and its memory is free again when the call returns. Not
/// collective. Several boxes of a field are several calls; ranks without boxes call nothing. After an error call
/// swae_end_step all the same: the step fails there on all ranks, and the session goes on.
///
/// # Safety
/// `session` is an open session, `field` valid, and its data as large as it says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_put(session: *mut swae_session, field: *const swae_field) -> swae_status {
    // SAFETY: the caller's promise.
    let Some(session) = (unsafe { session.as_mut() }) else { return swae_status::SWAE_ERROR_ARGUMENT };
    let outcome = fenced(|| {
        let open = session.open()?;
        // SAFETY: the caller's promise.
        let done = unsafe { field.as_ref() }
            .ok_or_else(|| argument("field is NULL"))
            // SAFETY: as above.
            .and_then(|field| unsafe { put(open, field) });
        done.inspect_err(|Failure(_, text)| open.fail_step(Error::Argument(text.clone())))
    });
    session.settle(outcome)
}

/// # Safety
/// The field's data are as large as it says.
unsafe fn put(session: &mut Session, field: &swae_field) -> Result<(), Failure> {
    let (name, placement) = (field.name()?, field.placement());
    // SAFETY: the caller's promise.
    unsafe {
        match field.dtype {
            0 => session.put(name, &placement, field.view::<f32>()?)?,
            1 => session.put(name, &placement, field.view::<f64>()?)?,
            other => return Err(argument(format!("field '{name}': dtype {other} is none of swae_dtype"))),
        }
    }
    Ok(())
}

/// Ends the step: it is written by all ranks, or, where anything is wrong on any rank, by none; then all ranks get the
/// same error. Collective.
///
/// # Safety
/// `session` is an open session.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_end_step(session: *mut swae_session) -> swae_status {
    // SAFETY: the caller's promise.
    let Some(session) = (unsafe { session.as_mut() }) else { return swae_status::SWAE_ERROR_ARGUMENT };
    let outcome = fenced(|| Ok(session.open()?.end_step()?));
    session.settle(outcome)
}

/// Closes the output and frees the session, in any case. Collective. NULL is allowed.
///
/// # Safety
/// `session` is NULL or came from swae_open, and is not used again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_close(session: *mut swae_session) -> swae_status {
    if session.is_null() {
        return swae_status::SWAE_OK;
    }
    // SAFETY: the caller's promise.
    let mut owned = unsafe { Box::from_raw(session) };
    let closed = fenced(|| match owned.session.take() {
        Some(session) => Ok(session.close()?),
        None => Ok(()),
    });
    closed.map_or_else(|Failure(status, _)| status, |()| swae_status::SWAE_OK)
}

/// What went wrong in the last failed call on this session; it belongs to the session and stays until the next failure.
/// Empty where nothing failed.
///
/// # Safety
/// `session` is NULL or came from swae_open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_last_error(session: *const swae_session) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { session.as_ref() }.map_or(c"the session is NULL".as_ptr(), |s| s.message.as_ptr())
}

/// The library's version, "major.minor.patch".
#[unsafe(no_mangle)]
pub extern "C" fn swae_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// # Safety
/// `s` is NULL or a string.
unsafe fn text<'a>(s: *const c_char) -> Option<&'a str> {
    // SAFETY: the caller's promise.
    if s.is_null() { None } else { unsafe { CStr::from_ptr(s) }.to_str().ok() }
}

/// # Safety
/// The model is NULL or a string.
unsafe fn read_options(options: Option<&swae_options>) -> Result<Options, Error> {
    let mut read = Options::default();
    let Some(o) = options else { return Ok(read) };
    if o.size < size_of::<swae_options>() {
        return Err(Error::Argument(format!(
            "swae_options.size is {}, expected sizeof(swae_options) = {}",
            o.size,
            size_of::<swae_options>()
        )));
    }
    let latents = match o.latents {
        0 => LatentCoding::F16,
        1 => LatentCoding::F32,
        2 => LatentCoding::U8,
        other => return Err(Error::Argument(format!("latents {other} is none of swae_latents"))),
    };
    let keyframe_every = u32::try_from(o.keyframe_every)
        .map_err(|_| Error::Argument(format!("keyframe_every is {}; 0 means 16", o.keyframe_every)))?;
    let keyframe_every = if keyframe_every == 0 { 16 } else { keyframe_every };
    let bounded = |bound| Coding::Bounded { bound, keyframe_every };
    read.coding = match o.mode {
        0 => Coding::Latent(latents),
        1 => Coding::Raw,
        2 => bounded(Bound::Absolute(o.bound)),
        3 => bounded(Bound::Relative(o.bound)),
        4 => bounded(Bound::PointwiseRelative(o.bound)),
        5 => bounded(Bound::Psnr(o.bound)),
        other => return Err(Error::Argument(format!("mode {other} is none of swae_mode"))),
    };
    if !o.model.is_null() {
        // SAFETY: the caller's promise.
        read.model =
            unsafe { text(o.model) }.ok_or_else(|| Error::Argument("model is not UTF-8".into()))?.to_owned();
    }
    read.threads = usize::try_from(o.threads).map_err(|_| {
        Error::Argument(format!("threads is {}; 0 means the rank's share of the cores", o.threads))
    })?;
    Ok(read)
}
