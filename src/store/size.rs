//! How large files are, and what can be in them: a damaged shape must not take memory.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::path::Path;

/// Bytes of a file, or of all files in a folder, which a BP5 output is.
///
/// # Errors
/// Where it cannot be read.
pub fn size_on_disk(path: &Path) -> std::io::Result<u64> {
    if path.is_file() {
        return Ok(path.metadata()?.len());
    }
    std::fs::read_dir(path)?
        .try_fold(0u64, |sum, entry| Ok(sum.saturating_add(size_on_disk(&entry?.path())?)))
}

/// Points of a grid or a box; the largest number where there are more.
pub(crate) fn points(count: [usize; 3]) -> usize {
    count.into_iter().fold(1, usize::saturating_mul)
}

/// Checks that so many values of a type can be in a file of `limit` bytes, which stores them
/// verbatim. What is compressed can be any number of times larger than the file: constant fields
/// are the normal case.
pub(crate) fn check_size<T>(count: usize, limit: u64) -> Result<(), String> {
    match count.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes as u64 <= limit => Ok(()),
        _ => Err(format!("it says that it holds {count} values, more than the file has")),
    }
}

/// Checks that the memory for so many values of a type is to be had, before a library takes it that
/// would end the program otherwise.
///
/// # Errors
/// [`swae_codec::Error::Memory`].
pub(crate) fn check_memory<T>(count: usize) -> swae_codec::Result<()> {
    swae_codec::memory::room(count.saturating_mul(size_of::<T>()))
}
