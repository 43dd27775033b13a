//! The lock of what two threads share. A thread that panics leaves it whole, so poisoning is of no
//! meaning here. Everything that two threads share goes through this function.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks what two threads share.
pub(crate) fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}
