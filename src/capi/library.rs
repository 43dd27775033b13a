//! The library itself: versions, features of this build, and the log callback.

use crate::status::swae_status;
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::ffi::{CStr, CString, c_char, c_void};
use std::io::Write;
use std::sync::{Once, OnceLock, PoisonError, RwLock};
use swae_codec::floats::with_default_floats;
use swae_codec::process::PerProcess;

/// @brief Which messages are logged.
#[repr(C)]
pub enum swae_log_level {
    /// None: the default.
    SWAE_LOG_OFF = 0,
    /// Failures.
    SWAE_LOG_ERROR = 1,
    /// Failures, and what needs attention.
    SWAE_LOG_WARNING = 2,
    /// Also normal operation.
    SWAE_LOG_INFO = 3,
    /// Also details for developers of swae.
    SWAE_LOG_DEBUG = 4,
}

/// @brief Receives a log message. It may be called from any thread.
///
/// @param level  a swae_log_level
/// @param text   the message, valid during the call only
/// @param user   the pointer that was passed to swae_set_log
pub type swae_log_callback = Option<unsafe extern "C" fn(level: i32, text: *const c_char, user: *mut c_void)>;

/// @brief Version of the library.
///
/// @return "major.minor.patch"; a static string
#[unsafe(no_mangle)]
pub extern "C" fn swae_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

/// @brief Version of the stream format.
///
/// @return the format version that this library writes, which is the newest that it reads
#[unsafe(no_mangle)]
pub extern "C" fn swae_format_version() -> u32 {
    swae_codec::stream::FORMAT_VERSION.into()
}

/// @brief Queries a feature of this build.
///
/// @param feature  "hdf5", "adios2", "mpi" or "cuda"; NULL and unknown names are allowed
/// @return 1 if this build has the feature, 0 if it does not or the name is unknown
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

#[derive(Clone, Copy)]
struct Target {
    callback: swae_log_callback,
    user: *mut c_void,
}

// SAFETY: the caller of swae_set_log promises that callback and pointer may be used from any
// thread.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

/// The target of this process. In a forked child it is its parent's, unless another thread was just
/// setting it.
fn target() -> &'static RwLock<Target> {
    static TARGET: PerProcess<RwLock<Target>> = PerProcess::new();
    TARGET.get(|parents| {
        let none = Target { callback: None, user: std::ptr::null_mut() };
        let inherited = parents.and_then(|target| target.try_read().ok().map(|target| *target));
        RwLock::new(inherited.unwrap_or(none))
    })
}

struct Messages;

impl Log for Messages {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("swae")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let target = self::target().read().unwrap_or_else(PoisonError::into_inner);
        let Some(callback) = target.callback else {
            let level = record.level().as_str().to_lowercase();
            // Where there is no standard error, nothing can be said.
            let _ = writeln!(std::io::stderr(), "swae: {level}: {}", record.args());
            return;
        };
        let level = match record.level() {
            Level::Error => 1,
            Level::Warn => 2,
            Level::Info => 3,
            _ => 4,
        };
        let text = CString::new(record.args().to_string().replace('\0', " ")).unwrap_or_default();
        // SAFETY: the contract of swae_set_log.
        with_default_floats(|| unsafe { callback(level, text.as_ptr(), target.user) });
    }

    fn flush(&self) {}
}

/// Whether messages come here: in a Rust program that has a logger of its own, that one stays.
fn is_logger() -> bool {
    static SET: OnceLock<bool> = OnceLock::new();
    *SET.get_or_init(|| log::set_logger(&Messages).is_ok())
}

/// What goes to standard error where there is no callback: up to the level that `SWAE_LOG` names in
/// the environment.
fn level_for_stderr() -> LevelFilter {
    match std::env::var("SWAE_LOG").as_deref() {
        Ok("error") => LevelFilter::Error,
        Ok("warn" | "warning") => LevelFilter::Warn,
        Ok("info") => LevelFilter::Info,
        Ok("debug") => LevelFilter::Debug,
        _ => LevelFilter::Off,
    }
}

/// Makes `SWAE_LOG` count, as long as no callback was set. Sessions and readers call it first.
pub(crate) fn follow_environment() {
    static FOLLOWED: Once = Once::new();
    FOLLOWED.call_once(|| {
        let has_callback = target().read().unwrap_or_else(PoisonError::into_inner).callback.is_some();
        let level = level_for_stderr();
        if level != LevelFilter::Off && !has_callback && is_logger() {
            log::set_max_level(level);
        }
    });
}

/// @brief Sets the log callback. Without one, as at the start, messages are dropped, unless SWAE_LOG
/// in the environment is error, warning, info or debug: then they go to standard error, up to that
/// level. Nothing else is ever printed.
///
/// @param callback  receives the messages until another call replaces it, from any thread; it must
///                  not call swae_set_log. NULL for none
/// @param user      passed to the callback unchanged; must be usable from any thread
/// @param level     a swae_log_level; messages above it are dropped
/// @return SWAE_OK, SWAE_ERROR_ARGUMENT where the level is invalid, SWAE_ERROR_STATE where a Rust
///         program has installed a logger of its own
#[unsafe(no_mangle)]
pub unsafe extern "C" fn swae_set_log(
    callback: swae_log_callback,
    user: *mut c_void,
    level: i32,
) -> swae_status {
    let max = match level {
        0 => LevelFilter::Off,
        1 => LevelFilter::Error,
        2 => LevelFilter::Warn,
        3 => LevelFilter::Info,
        4 => LevelFilter::Debug,
        _ => return swae_status::SWAE_ERROR_ARGUMENT,
    };
    *target().write().unwrap_or_else(PoisonError::into_inner) = Target { callback, user };
    if is_logger() {
        log::set_max_level(if callback.is_some() { max } else { level_for_stderr() });
        return swae_status::SWAE_OK;
    }
    swae_status::SWAE_ERROR_STATE
}
