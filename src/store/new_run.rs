//! A file of steps that one process writes. It takes its place when it is whole, as a [`NewFile`]
//! does; until then, what was there before stays.

use crate::durable;
use crate::error::{Error, Result, io};
use crate::new_file::{NewFile, folder_of};
use crate::step::FieldPart;
use crate::writer::Writer;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use swae_codec::Model;
use tempfile::TempDir;

/// Steps in the making.
pub struct NewRun {
    writer: Box<dyn Writer>,
    place: PathBuf,
    made: Made,
}

/// What it is made as.
enum Made {
    File(NewFile),
    /// A BP5 output, in a folder beside its place.
    Folder(TempDir),
}

/// The name of a BP5 output while it is made.
const FOLDER: &str = "new.bp";

impl NewRun {
    /// For a file at this place, which is replaced; a folder is not. `create` makes its writer at
    /// another one.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a folder that is there; [`Error::Io`].
    pub(crate) fn at(place: &Path, create: impl FnOnce(&Path) -> Result<Box<dyn Writer>>) -> Result<Self> {
        let made = if place.extension().is_some_and(|ending| ending == "bp") {
            if place.exists() {
                let text = format!("{}: it is there; a folder is not replaced", place.display());
                return Err(Error::Unsupported(text));
            }
            let beside = tempfile::Builder::new().prefix(".swae-").tempdir_in(folder_of(place));
            Made::Folder(beside.map_err(|e| io(place, e))?)
        } else {
            Made::File(NewFile::at(place)?)
        };
        let path = match &made {
            Made::File(new) => new.path().to_path_buf(),
            Made::Folder(beside) => beside.path().join(FOLDER),
        };
        Ok(Self { writer: create(&path)?, place: place.into(), made })
    }

    /// Writes a step behind those that are written.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write_step(
        &mut self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        models: &[Arc<Model>],
    ) -> Result<()> {
        self.writer.check_free_space(fields)?;
        self.writer.write_step(step, time, fields, models, &|holds| holds).map(|_| ())
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// [`Error::Io`]; what was there before is there still.
    pub fn finish(self) -> Result<()> {
        self.writer.close()?;
        match self.made {
            Made::File(new) => new.finish(),
            Made::Folder(beside) => {
                let put = std::fs::rename(beside.path().join(FOLDER), &self.place);
                put.and_then(|()| durable::sync_name(&self.place)).map_err(|e| io(&self.place, e))
            }
        }
    }
}
