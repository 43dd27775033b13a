//! Panics inside our calls. The program around us must not see them: a panic becomes the error of
//! the call, and what it says goes to the log with its place, not to stderr. Panics of the program
//! itself, which may be in Rust, go where they went before.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once, PoisonError};
use swae_codec::floats::with_default_floats;

thread_local! {
    /// How many of our calls this thread is inside of.
    static DEPTH: Cell<usize> = const { Cell::new(0) };
}

/// Calls that any thread is inside of.
static CALLS: AtomicUsize = AtomicUsize::new(0);

/// What the last panic of ours said, and where.
static LAST: Mutex<String> = Mutex::new(String::new());

/// A call of ours, until it is dropped.
struct Call;

impl Call {
    fn begin() -> Self {
        DEPTH.set(DEPTH.get() + 1);
        CALLS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        DEPTH.set(DEPTH.get() - 1);
        CALLS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Runs a call of a host, or what a thread of ours does, in the default floating-point environment.
/// No panic leaves it, and none is printed.
///
/// # Errors
/// What a panic said, and where.
pub fn caught<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    install_hook();
    let _inside = Call::begin();
    catch_unwind(AssertUnwindSafe(|| with_default_floats(call))).map_err(|panic| {
        let said = std::mem::take(&mut *LAST.lock().unwrap_or_else(PoisonError::into_inner));
        let said = if said.is_empty() { text(&*panic) } else { said };
        format!("internal error, please report it: {said}")
    })
}

/// Hooks once into the panics of this copy of the standard library.
fn install_hook() {
    static ONCE: Once = Once::new();
    // A thread that panics may not install a hook; it is a program's in Rust, that drops what it
    // has of ours.
    if !ONCE.is_completed() && !std::thread::panicking() {
        ONCE.call_once(|| {
            let before = take_hook();
            set_hook(Box::new(move |info| if is_ours() { note(info) } else { before(info) }));
        });
    }
}

/// Whether a panic of this thread is ours: it is inside a call, or is a worker of a pool while any
/// call runs. A caller inside a pool of its own shares it with us, so there the second is a guess.
fn is_ours() -> bool {
    DEPTH.get() > 0 || CALLS.load(Ordering::Relaxed) > 0 && rayon::current_thread_index().is_some()
}

fn note(info: &PanicHookInfo<'_>) {
    let place = info.location().map_or_else(String::new, |place| format!(" ({place})"));
    let said = text(info.payload()) + &place;
    log::error!("internal error: {said}");
    *LAST.lock().unwrap_or_else(PoisonError::into_inner) = said;
}

fn text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref().map(String::as_str)).unwrap_or("a panic").to_owned()
}
