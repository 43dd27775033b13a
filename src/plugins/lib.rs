//! What plugins have in common: how they are told what to do, how no panic leaves them, how many threads they take; and the
//! HDF5 [`filter`], which libh5z_swae.so shows to every HDF5 program, and our own programs register.
//!
//! What they code are arrays ([`swae_codec::array`]): a host hands over values and a shape, and nothing else.

pub mod filter;
mod hdf5_host;
pub mod parameters;

use std::panic::{AssertUnwindSafe, catch_unwind};
use swae_codec::Result;

/// Runs what a host asks for on so many threads; no panic comes out of it, and an error is text.
///
/// # Errors
/// What went wrong.
pub fn called<T: Send>(
    threads: usize,
    body: impl FnOnce() -> Result<T> + Send,
) -> std::result::Result<T, String> {
    let run = || {
        // Made anew each time: a host may fork, and its child would wait for threads that it does not have.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| format!("cannot start {threads} threads: {e}"))?;
        pool.install(body).map_err(|e| e.to_string())
    };
    let defect = |_| Err("a defect of swae, please report it".into());
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(defect)
}

/// Threads where nobody says how many: those of the environment variable `SWAE_THREADS`, else one, for a host has many
/// processes on a node.
pub fn threads() -> usize {
    std::env::var("SWAE_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}
