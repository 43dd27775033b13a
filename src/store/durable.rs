//! What makes writes survive a loss of power. A store flushes bytes before it writes what leads to
//! them.

use crate::new_file::folder_of;
use rustix::io::Errno;
use std::fs::File;
use std::io;
use std::path::Path;

/// Waits until the bytes and the size of a file are on the disk; of a folder, the names in it.
///
/// # Errors
/// Where the disk fails. A file system that cannot flush a folder is no error.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    match File::open(path)?.sync_all() {
        Err(e) if path.is_dir() && e.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => Ok(()),
        other => other,
    }
}

/// Waits until the name of a file is on the disk.
///
/// # Errors
/// Where the disk fails. A folder that cannot be opened or flushed is no error: the name is there.
pub(crate) fn sync_name(path: &Path) -> io::Result<()> {
    let flushed = sync(folder_of(path));
    let is_of_the_disk = |e: &io::Error| {
        let failures = [Errno::IO, Errno::NOSPC, Errno::DQUOT];
        failures.iter().any(|failure| e.raw_os_error() == Some(failure.raw_os_error()))
    };
    flushed.or_else(|e| if is_of_the_disk(&e) { Err(e) } else { Ok(()) })
}

/// Waits until all that this process has written to the files of a folder is on the disk: its I/O
/// library has them open, and does not say which they are.
///
/// # Errors
/// Those of [`sync`].
#[cfg(feature = "adios2")]
pub(crate) fn sync_open_files(folder: &Path) -> io::Result<()> {
    let folder = folder.canonicalize()?;
    let open = std::fs::read_dir("/proc/self/fd")?;
    let open = open.filter_map(|entry| entry.ok()?.path().read_link().ok());
    let files: std::collections::BTreeSet<_> = open.filter(|path| path.starts_with(&folder)).collect();
    files.iter().filter(|path| path.is_file()).try_for_each(|path| sync(path))
}
