//! The HDF5 filter, below every crate that writes or reads HDF5, and what all plugins share.
//!
//! [`filter`] is what the plugin libh5z_swae.so shows to HDF5 programs, and what our own programs
//! register. The data are arrays ([`swae_codec::array`]): a host hands over values and a shape, and
//! no grid.

mod chunks;
pub mod filter;
mod hdf5_host;
pub mod host;
pub mod panics;

use panics::caught;
use swae_codec::Result;
use swae_codec::threads::with_limit;

/// Runs a call of a host on at most so many threads, in the default floating-point environment. No
/// panic leaves it, and an error is text.
///
/// # Errors
/// What went wrong.
pub fn called<T: Send>(
    threads: usize,
    body: impl FnOnce() -> Result<T> + Send,
) -> std::result::Result<T, String> {
    caught(|| with_limit(threads, body).map_err(|e| e.to_string())).unwrap_or_else(Err)
}

/// Runs all of a function that a host calls. Where it panics the host gets `failed`.
pub fn fenced<T>(failed: T, body: impl FnOnce() -> T) -> T {
    caught(body).unwrap_or(failed)
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
        assert!(panicked.unwrap_err().starts_with("internal error, please report it: on purpose ("));
        assert_eq!(fenced(-1, || panic!("on purpose")), -1);
        let failed = called(2, || -> Result<()> { Err(Error::Config("no".into())) });
        assert_eq!(failed, Err("no".into()));
    }
}
