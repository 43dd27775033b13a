//! The peak memory of a piece of work: what `swae bench` states of each compressor.

use anyhow::Result;
use std::fs;

/// The most memory that the process held while `work` ran, beyond what it held before, in bytes. 0
/// where the system does not say (it has to be Linux).
///
/// # Errors
/// Those of `work`.
pub fn peak_of(work: impl FnOnce() -> Result<()>) -> Result<u64> {
    // SAFETY: returns freed memory to the system; may be called at any time.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
    // Writing 5 sets the high-water mark back to what is held now (proc(5)).
    let reset = fs::write("/proc/self/clear_refs", "5").is_ok();
    let before = status("VmRSS:");
    work()?;
    let peak = status("VmHWM:");
    Ok(if reset { peak.saturating_sub(before) } else { 0 })
}

fn status(key: &str) -> u64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix(key)).unwrap_or_default();
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) * 1024
}
