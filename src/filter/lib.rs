//! The HDF5 filter, below every crate that writes or reads HDF5, and what all plugins share.
//!
//! [`filter`] is what the plugin libh5z_swae.so shows to HDF5 programs, and what our own programs
//! register. The data are arrays ([`swae_codec::array`]): a host hands over values and a shape, and
//! no grid.

mod chunks;
pub mod filter;
mod hdf5_host;
pub mod host;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;
use swae_codec::Result;
use swae_codec::floats::with_default_floats;
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
    let run = || with_limit(threads, body).map_err(|e| e.to_string());
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref().map(String::as_str)).unwrap_or("a panic");
        Err(format!("an internal error of swae, please report it: {text}"))
    })
}

/// Runs all of a function that a host calls, in the default floating-point environment. Where it
/// panics the host gets `failed`.
pub fn fenced<T>(failed: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(|| with_default_floats(body))).unwrap_or(failed)
}

/// Keeps a plugin from printing what panics say: the host gets it as an error. A plugin calls it,
/// which has a standard library, and so a hook, of its own; a program that has this crate as a part
/// keeps its hook.
pub fn print_no_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| std::panic::set_hook(Box::new(|_| ())));
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
        assert_eq!(panicked, Err("an internal error of swae, please report it: on purpose".into()));
        let panicked = called(1, || -> Result<()> { panic!("{}", "formatted") });
        assert!(panicked.unwrap_err().ends_with("please report it: formatted"));
        assert_eq!(fenced(-1, || panic!("on purpose")), -1);
        let failed = called(2, || -> Result<()> { Err(Error::Config("no".into())) });
        assert_eq!(failed, Err("no".into()));
    }
}
