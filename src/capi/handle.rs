//! Handles: what a program holds of a session or a reader. A handle is a number in the shape of a
//! pointer, never reused and never dereferenced. A closed handle, NULL, or one that is inside
//! another thread's call is therefore an error, not a crash.

use crate::status::swae_status;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use swae_codec::process::PerProcess;

type Open<T> = BTreeMap<usize, Arc<Mutex<T>>>;

/// The objects of one kind that are open.
pub(crate) struct Handles<T>(PerProcess<Mutex<Open<T>>>);

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
            Self::Closed => c"the handle is closed, or was never opened",
            Self::Busy => c"another thread is inside a call with the same handle",
        };
        text.as_ptr()
    }
}

impl<T: Send> Handles<T> {
    pub(crate) const fn new() -> Self {
        Self(PerProcess::new())
    }

    fn open(&self) -> MutexGuard<'_, Open<T>> {
        // A forked child has its parent's objects, unless another thread was just adding one.
        let inherit = |open: &Mutex<Open<T>>| open.try_lock().ok().map(|open| open.clone());
        let table = self.0.get(|parents| Mutex::new(parents.and_then(inherit).unwrap_or_default()));
        table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn add(&self, object: T) -> *mut T {
        // One counter for all kinds: a reader's handle is never a session's.
        static NEXT: AtomicUsize = AtomicUsize::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.open().insert(number, Arc::new(Mutex::new(object)));
        std::ptr::without_provenance_mut(number)
    }

    /// Calls back with the object, locked.
    pub(crate) fn with<R>(&self, handle: *const T, call: impl FnOnce(&mut T) -> R) -> Result<R, Absent> {
        if handle.is_null() {
            return Err(Absent::Null);
        }
        let object = self.open().get(&handle.addr()).cloned().ok_or(Absent::Closed)?;
        let mut held = match object.try_lock() {
            Ok(held) => held,
            Err(TryLockError::Poisoned(held)) => held.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Absent::Busy),
        };
        Ok(call(&mut held))
    }

    /// Removes the handle. The object is dropped when its last call returns.
    pub(crate) fn remove(&self, handle: *const T) -> Result<Arc<Mutex<T>>, Absent> {
        if handle.is_null() {
            return Err(Absent::Null);
        }
        self.open().remove(&handle.addr()).ok_or(Absent::Closed)
    }
}
