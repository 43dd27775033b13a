//! Handles: what a program holds of a session or a reader. They are numbers in the shape of pointers, never used twice and never
//! followed, so that one that is closed, or none at all, or inside another thread's call, is an error and not a crash.

use crate::status::swae_status;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

type Known<T> = BTreeMap<usize, Arc<Mutex<T>>>;

/// The objects of one kind that are open.
pub(crate) struct Handles<T>(Mutex<Known<T>>);

/// Why there is no object behind a handle.
#[derive(Clone, Copy)]
pub(crate) enum Absent {
    Null,
    Closed,
    Busy,
}

impl Absent {
    pub(crate) fn status(self) -> swae_status {
        match self {
            Self::Null => swae_status::SWAE_ERROR_ARGUMENT,
            Self::Closed | Self::Busy => swae_status::SWAE_ERROR_STATE,
        }
    }

    pub(crate) fn message(self) -> *const c_char {
        let text: &'static CStr = match self {
            Self::Null => c"the handle is NULL",
            Self::Closed => c"the handle is closed, or never was one",
            Self::Busy => c"another thread is inside a call with the same handle",
        };
        text.as_ptr()
    }
}

impl<T> Handles<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    fn known(&self) -> MutexGuard<'_, Known<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, object: T) -> *mut T {
        // One count for all kinds: a reader is no session.
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.known().insert(number, Arc::new(Mutex::new(object)));
        std::ptr::without_provenance_mut(number)
    }

    /// Does something with the object.
    pub(crate) fn with<R>(&self, handle: *const T, call: impl FnOnce(&mut T) -> R) -> Result<R, Absent> {
        if handle.is_null() {
            return Err(Absent::Null);
        }
        let object = self.known().get(&handle.addr()).cloned().ok_or(Absent::Closed)?;
        let mut held = match object.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Absent::Busy),
        };
        Ok(call(&mut held))
    }

    /// Forgets the handle. The object is gone when its last call is.
    pub(crate) fn remove(&self, handle: *const T) -> Result<Arc<Mutex<T>>, Absent> {
        if handle.is_null() {
            return Err(Absent::Null);
        }
        self.known().remove(&handle.addr()).ok_or(Absent::Closed)
    }
}
