//! The library itself: versions, what this build has, and where its messages go.

use crate::status::swae_status;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::{OnceLock, PoisonError, RwLock};

/// How much is told.
#[repr(C)]
pub enum swae_log_level {
    /// Nothing: the default.
    SWAE_LOG_NOTHING = 0,
    /// What went wrong.
    SWAE_LOG_ERROR = 1,
    /// What somebody should look at.
    SWAE_LOG_WARNING = 2,
    /// What happens.
    SWAE_LOG_INFO = 3,
    /// For those who work on swae.
    SWAE_LOG_DEBUG = 4,
}

/// Takes a message: its swae_log_level, its text, and the pointer that swae_set_log was given. Called from any thread.
pub type swae_log_callback = Option<unsafe extern "C" fn(level: i32, text: *const c_char, user: *mut c_void)>;

/// The library's version, "major.minor.patch".
#[unsafe(no_mangle)]
pub extern "C" fn swae_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// The version of the streams that this library writes, and the newest that it reads.
#[unsafe(no_mangle)]
pub extern "C" fn swae_format_version() -> u32 {
    swae_codec::stream::FORMAT_VERSION.into()
}

/// Whether this build has a feature: "hdf5", "adios2", "mpi", "cuda". 0 also where nobody knows the name.
///
/// # Safety
/// `feature` is NULL or a string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_has(feature: *const c_char) -> i32 {
    if feature.is_null() {
        return 0;
    }
    // SAFETY: the caller's promise.
    let feature = unsafe { CStr::from_ptr(feature) }.to_bytes();
    let there = [
        (&b"hdf5"[..], true),
        (b"mpi", true),
        (b"adios2", cfg!(feature = "adios2")),
        (b"cuda", cfg!(feature = "cuda")),
    ];
    there.contains(&(feature, true)).into()
}

struct Target {
    callback: swae_log_callback,
    user: *mut c_void,
}

// SAFETY: the caller of swae_set_log promises that callback and pointer may be used from any thread.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

static TARGET: RwLock<Target> = RwLock::new(Target { callback: None, user: std::ptr::null_mut() });

struct Messages;

impl Log for Messages {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("swae")
    }

    fn log(&self, record: &Record<'_>) {
        let target = TARGET.read().unwrap_or_else(PoisonError::into_inner);
        let (Some(callback), true) = (target.callback, self.enabled(record.metadata())) else { return };
        let level = match record.level() {
            Level::Error => 1,
            Level::Warn => 2,
            Level::Info => 3,
            _ => 4,
        };
        let text = CString::new(record.args().to_string().replace('\0', " ")).unwrap_or_default();
        // SAFETY: the promise of who set it.
        unsafe { callback(level, text.as_ptr(), target.user) };
    }

    fn flush(&self) {}
}

/// Where messages go, up to a swae_log_level; NULL for nowhere, as at the start. The library never prints.
///
/// # Safety
/// The callback and `user` may be used from any thread until another call replaces them; the callback does not call
/// swae_set_log.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_set_log(
    callback: swae_log_callback,
    user: *mut c_void,
    level: i32,
) -> swae_status {
    static SET: OnceLock<bool> = OnceLock::new();
    let most = match level {
        0 => LevelFilter::Off,
        1 => LevelFilter::Error,
        2 => LevelFilter::Warn,
        3 => LevelFilter::Info,
        4 => LevelFilter::Debug,
        _ => return swae_status::SWAE_ERROR_ARGUMENT,
    };
    *TARGET.write().unwrap_or_else(PoisonError::into_inner) = Target { callback, user };
    // In a Rust program that has a logger of its own, that one stays.
    if *SET.get_or_init(|| log::set_logger(&Messages).is_ok()) {
        log::set_max_level(if callback.is_some() { most } else { LevelFilter::Off });
        return swae_status::SWAE_OK;
    }
    swae_status::SWAE_ERROR_STATE
}
