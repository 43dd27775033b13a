//! What belongs to one process. A forked child has copies of its parent's memory, but none of its
//! other threads: a lock that one of them held stays locked, and nobody answers a wait. So a child
//! takes no lock of its parent's, and touches nothing that another thread works for.

use std::mem::ManuallyDrop;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicPtr, Ordering};

struct Of<T> {
    process: u32,
    value: T,
}

/// A value, such as a lock, of which each process has its own.
pub struct PerProcess<T>(AtomicPtr<Of<T>>);

impl<T> PerProcess<T> {
    /// Nothing yet.
    pub const fn new() -> Self {
        Self(AtomicPtr::new(null_mut()))
    }
}

impl<T: Send + Sync> PerProcess<T> {
    /// The value of this process. Where it has none yet, `make` gives it, from the one of the
    /// process that it was forked from, of which a lock may be held for ever.
    pub fn get(&self, make: impl FnOnce(Option<&T>) -> T) -> &T {
        let process = std::process::id();
        let found = self.0.load(Ordering::Acquire);
        // SAFETY: NULL, or made below and never freed while `self` lives.
        let inherited = unsafe { found.as_ref() };
        match inherited {
            Some(of) if of.process == process => return &of.value,
            _ => {}
        }
        let value = make(inherited.map(|of| &of.value));
        let made = Box::into_raw(Box::new(Of { process, value }));
        match self.0.compare_exchange(found, made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: from a box, and never freed while `self` lives.
            Ok(_) => unsafe { &(*made).value },
            Err(first) => {
                // SAFETY: from a box; no other thread has seen it.
                drop(unsafe { Box::from_raw(made) });
                // SAFETY: another thread of this process made it, as above.
                unsafe { &(*first).value }
            }
        }
    }
}

impl<T> Default for PerProcess<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Drop for PerProcess<T> {
    fn drop(&mut self) {
        let found = *self.0.get_mut();
        // SAFETY: NULL, or from a box that was never freed.
        unsafe {
            if found.as_ref().is_some_and(|of| of.process == std::process::id()) {
                drop(Box::from_raw(found));
            }
        }
    }
}

/// A value that only the process that made it may use and drop: with threads, say, or with a
/// connection to other processes. A forked child leaves its copy alone.
#[derive(Debug)]
pub struct Owned<T> {
    process: u32,
    value: ManuallyDrop<T>,
}

impl<T> Owned<T> {
    /// Of this process.
    pub fn new(value: T) -> Self {
        Self { process: std::process::id(), value: ManuallyDrop::new(value) }
    }

    fn is_ours(&self) -> bool {
        self.process == std::process::id()
    }

    /// The value; none in another process.
    pub fn get(&self) -> Option<&T> {
        self.is_ours().then_some(&*self.value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self) -> Option<&mut T> {
        self.is_ours().then_some(&mut *self.value)
    }

    /// Takes it out; none in another process.
    pub fn into_inner(mut self) -> Option<T> {
        if !self.is_ours() {
            return None;
        }
        // Of no process: it is not dropped again.
        self.process = 0;
        // SAFETY: taken once, for `self` is gone, and not dropped, as it belongs to no process.
        Some(unsafe { ManuallyDrop::take(&mut self.value) })
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: dropped once, here, and not taken out before.
            unsafe { ManuallyDrop::drop(&mut self.value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn a_value_is_made_once_and_dropped_with_its_owner() {
        let dropped = Arc::new(());
        let per_process = PerProcess::new();
        for _ in 0..3 {
            let value = per_process.get(|inherited| {
                assert!(inherited.is_none());
                Mutex::new((7, dropped.clone()))
            });
            assert_eq!(value.lock().unwrap().0, 7);
        }
        assert_eq!(Arc::strong_count(&dropped), 2);
        drop(per_process);
        assert_eq!(Arc::strong_count(&dropped), 1);
    }

    #[test]
    fn another_process_neither_uses_nor_drops() {
        let kept = Arc::new(());
        let mut theirs = Owned::new(kept.clone());
        theirs.process += 1;
        assert!(theirs.get().is_none() && theirs.get_mut().is_none());
        assert!(theirs.into_inner().is_none());
        assert_eq!(Arc::strong_count(&kept), 2);
        assert!(Owned::new(kept.clone()).into_inner().is_some());
        drop(Owned::new(kept.clone()));
        assert_eq!(Arc::strong_count(&kept), 2);
    }
}
