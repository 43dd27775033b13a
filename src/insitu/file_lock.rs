//! Keeps two programs from writing one file, which would destroy it. Programs that read are let in.

use crate::{Error, Result};
use rustix::fs::{Access, FlockOperation, access, flock, fstatfs};
use std::ffi::c_int;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;

/// A byte behind all that any file has. HDF5 and MPI lock what they read or write.
const PLACE: i64 = 1 << 62;

/// A lock on a file or folder, as long as it is held. The system frees it when the program ends,
/// however that happens.
pub(crate) struct FileLock {
    file: File,
    is_folder: bool,
}

impl Drop for FileLock {
    /// To close the file is not enough: a forked child has it open too.
    fn drop(&mut self) {
        let freed = if self.is_folder {
            flock(&self.file, FlockOperation::Unlock).map_err(io::Error::from)
        } else {
            set_lock(&self.file, libc::F_UNLCK)
        };
        if let Err(e) = freed {
            log::debug!("a lock is freed when the program ends: {e}");
        }
    }
}

impl FileLock {
    /// Locks an output; nothing where there is none, or where the file system has no locks.
    /// `create` makes a file or folder that is not there. It is one rank's, before all ranks open
    /// the output: ADIOS2 does not return on the others where one cannot.
    ///
    /// # Errors
    /// [`Error::State`] where another program has it, [`Error::Io`] where it cannot be written.
    pub(crate) fn take(path: &Path, create: bool) -> Result<Option<Self>> {
        // BP5 is a folder.
        let is_folder = path.extension().is_some_and(|e| e == "bp");
        let file = match if is_folder { open_folder(path, create) } else { open_file(path, create) } {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound && !create => return Ok(None),
            Err(e) => return Err(Error::Io(format!("{}: {e}", path.display()))),
        };
        if locks_whole_files(&file) {
            log::debug!(
                "{}: two programs may write it: locks of this file system shut out readers",
                path.display()
            );
            return Ok(None);
        }
        match if is_folder { lock_folder(&file) } else { set_lock(&file, libc::F_WRLCK) } {
            Ok(()) => Ok(Some(Self { file, is_folder })),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                Err(Error::State(format!("{}: another program writes it", path.display())))
            }
            Err(e) => {
                log::debug!("{}: two programs may write it: {e}", path.display());
                Ok(None)
            }
        }
    }
}

/// Whether the file system may take any lock for one of the whole file, which keeps out those who
/// read: NFS makes byte ranges of `flock`, and Lustre takes its own way.
fn locks_whole_files(file: &File) -> bool {
    const NFS: u64 = 0x6969;
    const LUSTRE: u64 = 0x0BD0_0BD0;
    fstatfs(file).is_ok_and(|found| [NFS, LUSTRE].contains(&(found.f_type as u64)))
}

fn open_file(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(create).truncate(false).open(path)
}

/// Opens a folder in which everything can be written.
fn open_folder(path: &Path, create: bool) -> io::Result<File> {
    if create && !path.exists() {
        std::fs::create_dir(path)?;
    }
    access(path, Access::WRITE_OK)?;
    for entry in std::fs::read_dir(path)? {
        access(entry?.path(), Access::WRITE_OK)?;
    }
    File::open(path)
}

fn lock_folder(folder: &File) -> io::Result<()> {
    Ok(flock(folder, FlockOperation::NonBlockingLockExclusive)?)
}

/// Locks one place of a file, or frees it, for this descriptor: closing another one does not free it.
fn set_lock(file: &File, kind: c_int) -> io::Result<()> {
    // SAFETY: all bits 0 are a description of a lock.
    let mut lock = unsafe { std::mem::zeroed::<libc::flock>() };
    (lock.l_type, lock.l_whence) = (kind as _, libc::SEEK_SET as _);
    (lock.l_start, lock.l_len) = (PLACE, 1);
    // SAFETY: the descriptor is open, and the description lives for the call.
    let taken = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &lock) };
    if taken == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_or_folder_is_locked_once() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.h5", "a.bp"] {
            let path = dir.path().join(name);
            assert!(FileLock::take(&path, false).unwrap().is_none() && !path.exists());
            let lock = FileLock::take(&path, true).unwrap();
            assert!(lock.is_some() && path.exists());
            let refused = FileLock::take(&path, false).err().unwrap();
            assert!(refused.to_string().contains("another program writes it"), "{refused}");
            drop(lock);
            assert!(FileLock::take(&path, false).unwrap().is_some());
        }
    }
}
