//! The HDF5 filter, below every crate that writes or reads HDF5, and what all plugins share.
//!
//! [`filter`] is what the plugin libh5z_swae.so shows to HDF5 programs, and what our own programs
//! register. The data are arrays ([`swae_codec::array`]): a host hands over values and a shape, and
//! no grid.

pub mod filter;
mod hdf5_host;
pub mod panics;

use std::panic::{AssertUnwindSafe, catch_unwind};
use swae_codec::Result;

/// Runs a call of a host on so many threads. No panic leaves it, and an error is text.
///
/// # Errors
/// What went wrong.
pub fn called<T: Send>(
    threads: usize,
    body: impl FnOnce() -> Result<T> + Send,
) -> std::result::Result<T, String> {
    let run = || {
        // Made anew each time: a host may fork, and its child would wait for threads that it does
        // not have.
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|e| format!("cannot start {threads} threads: {e}"))?;
        pool.install(body).map_err(|e| e.to_string())
    };
    let internal = |_| Err("an internal error of swae, please report it".into());
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(internal)
}

/// Threads where the host sets no number: those of the environment variable `SWAE_THREADS`, else one,
/// because a host has many processes on a node.
pub fn threads() -> usize {
    std::env::var("SWAE_THREADS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use swae_codec::Error;

    #[test]
    fn no_panic_reaches_a_host() {
        let panicked = called(1, || -> Result<()> { panic!("on purpose") });
        assert_eq!(panicked, Err("an internal error of swae, please report it".into()));
        let failed = called(2, || -> Result<()> { Err(Error::Config("no".into())) });
        assert_eq!(failed, Err("no".into()));
        assert_eq!(called(2, || Ok(rayon::current_num_threads())), Ok(2));
    }
}
