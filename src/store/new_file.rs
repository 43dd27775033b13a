//! A file that takes its place when it is whole: until then, what was there before stays.

use crate::durable;
use crate::error::{Result, io};
use std::fs::{self, File, Permissions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempPath;

/// The folder that a path leads to.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A file in the making. It is written beside its place, under another name of the same ending;
/// [`NewFile::finish`] puts it there, and without that it is removed.
#[derive(Debug)]
pub struct NewFile {
    place: PathBuf,
    /// None where the place is no file, such as a pipe, and is written itself.
    beside: Option<TempPath>,
}

impl NewFile {
    /// For a file at this place, which need not be there.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) where no file can be made beside it.
    pub fn at(place: &Path) -> Result<Self> {
        if fs::metadata(place).is_ok_and(|found| !found.is_file()) {
            return Ok(Self { place: place.into(), beside: None });
        }
        // Where a link leads to a file, that file is replaced and not the link.
        let place = place.canonicalize().unwrap_or_else(|_| place.into());
        let ending = place.extension().map_or_else(String::new, |e| format!(".{}", e.to_string_lossy()));
        let permissions =
            fs::metadata(&place).map_or(Permissions::from_mode(0o666), |found| found.permissions());
        let made = tempfile::Builder::new()
            .prefix(".swae-")
            .suffix(&ending)
            .permissions(permissions)
            .tempfile_in(folder_of(&place))
            .map_err(|e| io(&place, e))?;
        Ok(Self { place, beside: Some(made.into_temp_path()) })
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        self.beside.as_deref().unwrap_or(&self.place)
    }

    /// Puts it in its place, when its bytes are on the disk.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io); what was there before is there still.
    pub fn finish(self) -> Result<()> {
        let Some(beside) = self.beside else { return Ok(()) };
        File::open(&beside).and_then(|file| file.sync_all()).map_err(|e| io(&self.place, e))?;
        beside.persist(&self.place).map_err(|e| io(&self.place, e.error))?;
        durable::sync_name(&self.place).map_err(|e| io(&self.place, e))
    }
}

/// Writes bytes as a file, which takes its place when all of it is written.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub fn write_file(place: &Path, bytes: &[u8]) -> Result<()> {
    write_new(place, |file| file.write_all(bytes))
}

/// As [`write_file`], in parts.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io).
pub(crate) fn write_new<E: Into<crate::error::Cause>>(
    place: &Path,
    write: impl FnOnce(&mut BufWriter<File>) -> std::result::Result<(), E>,
) -> Result<()> {
    let new = NewFile::at(place)?;
    let file = fs::OpenOptions::new().write(true).open(new.path()).map_err(|e| io(place, e))?;
    let mut file = BufWriter::new(file);
    write(&mut file).map_err(|e| io(place, e))?;
    file.flush().map_err(|e| io(place, e))?;
    new.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_that_fails_leaves_what_was_there_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.npy");
        fs::write(&path, "good").unwrap();
        let failed = write_new(&path, |file| file.write_all(b"half").and(Err(std::io::Error::other("full"))));
        assert!(failed.unwrap_err().to_string().contains("a.npy: full"));
        assert_eq!(fs::read(&path).unwrap(), b"good");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        write_new(&path, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_and_permissions_stay_and_devices_are_written_themselves() {
        let dir = tempfile::tempdir().unwrap();
        let (path, link) = (dir.path().join("a"), dir.path().join("link"));
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink(&path, &link).unwrap();
        write_new(&link, |file| file.write_all(b"new")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        write_new(Path::new("/dev/null"), |file| file.write_all(b"new")).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
