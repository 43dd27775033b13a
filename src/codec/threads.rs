//! The threads that code tiles and fields side by side.
//!
//! The process is the caller's. Threads of ours end with the call that started them, or with the
//! session that keeps them, so that a process that forks finds none missing in its child. They are
//! never more than the cores that the process may use, and where the system gives fewer, the work
//! is done by those, or by the caller's thread alone. A caller inside a rayon pool of its own, and
//! no other, shares that pool; rayon's global pool is never used.

use crate::floats::with_default_floats;
use rayon::prelude::*;
use std::cell::Cell;
use std::io;
use std::thread::{Builder, JoinHandle};

thread_local! {
    /// How many threads a call from this thread may use; 0 for all cores.
    static LIMIT: Cell<usize> = const { Cell::new(0) };
}

/// The cores that this process may use, by its affinity and its control group.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Runs `job`, in which every call uses at most so many threads, and never more than there are
/// cores; 0 for as many.
pub fn with_limit<R>(threads: usize, job: impl FnOnce() -> R) -> R {
    struct Restored(usize);
    impl Drop for Restored {
        fn drop(&mut self) {
            LIMIT.set(self.0);
        }
    }
    let _restored = Restored(LIMIT.replace(threads));
    with_default_floats(job)
}

/// Runs a call that consists of so many tasks: on the threads that it is called from, where these
/// are some, else on threads that begin and end with it.
pub(crate) fn call<R: Send>(tasks: usize, job: impl FnOnce() -> R + Send) -> R {
    let limit = LIMIT.get();
    if tasks <= 1 || limit == 1 || rayon::current_thread_index().is_some() {
        return with_default_floats(job);
    }
    let limit = if limit == 0 { default_count() } else { limit };
    Threads::start(limit.min(tasks), "swae").run(job)
}

/// How many threads the job that this thread runs has.
pub(crate) fn count() -> usize {
    let is_alone = LIMIT.get() == 1 || rayon::current_thread_index().is_none();
    if is_alone { 1 } else { rayon::current_num_threads() }
}

/// Threads where no number is given: the variable that rayon's programs obey, else all cores.
fn default_count() -> usize {
    let set = std::env::var("RAYON_NUM_THREADS").ok().and_then(|n| n.parse().ok());
    set.filter(|&n| n > 0).unwrap_or_else(cores)
}

/// Does the same with each item, side by side where this thread is one of several; the results are
/// in the order of the items.
pub fn map<I, R: Send>(items: I, each: impl Fn(<I as IntoIterator>::Item) -> R + Send + Sync) -> Vec<R>
where
    I: IntoIterator + IntoParallelIterator<Item = <I as IntoIterator>::Item>,
{
    if LIMIT.get() == 1 || rayon::current_thread_index().is_none() {
        return items.into_iter().map(each).collect();
    }
    // The threads may be those of the caller's own pool.
    items.into_par_iter().map(|item| with_default_floats(|| each(item))).collect()
}

/// Threads that stay until this is dropped; none where the caller's own suffices.
#[derive(Debug)]
pub struct Threads {
    pool: Option<rayon::ThreadPool>,
    handles: Vec<JoinHandle<()>>,
}

impl Threads {
    /// Starts so many, but no more than there are cores, and fewer where the system refuses them:
    /// see [`Threads::count`].
    pub fn start(wanted: usize, name: &str) -> Self {
        let mut wanted = wanted.min(cores());
        while wanted > 1 {
            let mut handles = Vec::new();
            let spawn = |thread| {
                handles.push(spawn(thread, name)?);
                Ok(())
            };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(wanted).spawn_handler(spawn).build();
            if let Ok(pool) = pool {
                return Self { pool: Some(pool), handles };
            }
            // Those that did start have ended; so many can be had.
            wanted = handles.len().min(wanted.saturating_sub(1));
            join(handles);
        }
        Self { pool: None, handles: Vec::new() }
    }

    /// How many threads work, the caller's included where there are no others.
    pub fn count(&self) -> usize {
        self.handles.len().max(1)
    }

    /// Runs a job on them, and waits for it.
    pub fn run<R: Send>(&self, job: impl FnOnce() -> R + Send) -> R {
        match &self.pool {
            Some(pool) => pool.install(job),
            None => with_limit(1, job),
        }
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.pool = None;
        join(std::mem::take(&mut self.handles));
    }
}

fn spawn(thread: rayon::ThreadBuilder, name: &str) -> io::Result<JoinHandle<()>> {
    let named = Builder::new().name(format!("{name}:{}", thread.index()));
    named.spawn(|| with_default_floats(|| thread.run()))
}

fn join(handles: Vec<JoinHandle<()>>) {
    // A thread of a pool does not panic: rayon hands panics of jobs to those who wait for them.
    handles.into_iter().for_each(|handle| drop(handle.join()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_threads_are_as_many_as_there_are_cores() {
        let threads = Threads::start(1_000_000, "test");
        assert_eq!(threads.count(), cores());
        let squares = threads.run(|| map(0..1000, |i| i * i));
        assert!(squares.into_iter().eq((0..1000).map(|i| i * i)));
    }

    #[test]
    fn a_limit_holds_for_the_calls_inside_and_ends_with_them() {
        let count = || call(8, rayon::current_thread_index);
        assert_eq!(with_limit(1, count), None);
        assert_eq!(with_limit(7, || with_limit(1, count)), None);
        if cores() > 1 {
            assert!(with_limit(2, count).is_some());
            assert_eq!(call(2, super::count), 2);
        }
        assert_eq!(call(1, rayon::current_thread_index), None);
        assert_eq!(super::count(), 1);
        assert_eq!(LIMIT.get(), 0);
    }

    #[test]
    fn a_caller_inside_a_pool_of_its_own_shares_it() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        assert_eq!(pool.install(|| call(100, rayon::current_num_threads)), 3);
    }
}
