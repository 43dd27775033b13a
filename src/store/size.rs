//! How large files are, and what can be in them: a damaged shape must not take memory.

use std::path::Path;

/// Bytes of a file, or of all files in a folder, which a BP5 output is.
///
/// # Errors
/// Where it cannot be read.
pub fn size_on_disk(path: &Path) -> std::io::Result<u64> {
    if path.is_file() {
        return Ok(path.metadata()?.len());
    }
    std::fs::read_dir(path)?.map(|entry| size_on_disk(&entry?.path())).sum()
}

/// Checks that so many values of a type can be in a file of `limit` bytes, which stores them
/// verbatim.
pub(crate) fn check_size<T>(count: usize, limit: u64) -> Result<usize, String> {
    match count.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes as u64 <= limit => Ok(count),
        _ => Err(format!("it says that it holds {count} values, more than the file has")),
    }
}
