//! Whether a file can be written, and a step fits on the disk.
//!
//! A disk that fills while a step is written costs the step, and parallel HDF5 does not survive it:
//! the other ranks wait for ever, or it crashes when MPI ends. So the free space is checked before.

use crate::error::{Result, io as io_error};
use crate::new_file::folder_of;
use crate::step::FieldPart;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;
use std::fs::OpenOptions;
use std::io;
use std::path::Path;

/// What a store adds to a step, at most: names and attributes of a field, and what a step takes once.
const FIELD: u64 = 8 << 10;
const STEP: u64 = 1 << 20;

/// Whether [`create`](crate::create) can write, before it replaces a file: one that is there is only
/// opened, and the disk must have space for a step. One rank calls it.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub fn check_writable(path: &Path) -> Result<()> {
    if path.is_file() {
        OpenOptions::new().write(true).open(path).map_err(|e| io_error(path, e))?;
    }
    reserve(path, &[]).map_err(|e| io_error(path, e))
}

/// Takes as much space as a step needs, and gives it back.
///
/// # Errors
/// Where the disk, or a quota, does not have it. All other errors are left to the store.
pub(crate) fn reserve(path: &Path, fields: &[FieldPart<'_>]) -> io::Result<()> {
    let folder = if path.is_dir() { path } else { folder_of(path) };
    let field = |part: &FieldPart<'_>| part.all_bytes + (part.all_boxes * 64) as u64 + FIELD;
    let needed = STEP + fields.iter().map(field).sum::<u64>();
    let full = |e: Errno| match e {
        Errno::NOSPC | Errno::DQUOT => Err(io::Error::other(format!(
            "the step needs {:.1} MB, and the disk has no space for them ({e})",
            needed as f64 / 1e6
        ))),
        _ => Ok(()),
    };
    // Without a name, so that it is gone whatever happens.
    match tempfile::tempfile_in(folder) {
        Ok(file) => fallocate(&file, FallocateFlags::empty(), 0, needed).or_else(full),
        Err(e) => e.raw_os_error().map_or(Ok(()), |code| full(Errno::from_raw_os_error(code))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_file_that_cannot_be_written_is_found_before_it_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.h5");
        check_writable(&path).unwrap();
        // What runs cannot be written, not even by root.
        let size = std::fs::copy("/bin/sleep", &path).unwrap();
        let mut running = Command::new(&path).arg("60").spawn().unwrap();
        let error = check_writable(&path).unwrap_err().to_string();
        running.kill().and_then(|()| running.wait()).unwrap();
        assert!(error.contains("a.h5: Text file busy"), "{error}");
        assert_eq!(std::fs::metadata(&path).unwrap().len(), size);
        check_writable(&path).unwrap();
    }
}
