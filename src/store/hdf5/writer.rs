//! Steps into an HDF5 file, all ranks together.
//!
//! Creating groups and attributes is collective; the bytes go out independently, each rank its own.
//! What fails on one rank is kept until the others have done what all do together, because they
//! would wait.

use super::attributes::{set, set_array, text};
use super::filtered;
use super::layout::{LAST, MODELS, STEPS, create_file, step_name};
use crate::durable;
use crate::error::{Result, io};
use crate::step::{BoxRow, FieldPart, Payload};
use crate::writer::{Kept, Writer, is_first};
use hdf5::{Dataset, File, FileBuilder, Group, ObjectReference1};
use hdf5_sys::{h5f, h5o, h5p};
use mpi_sys::MPI_Comm;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use swae_codec::model::ModelId;
use swae_codec::{Model, Models};

/// Bytes for a model's metadata; attributes may have up to 64 KiB.
const LONG_TEXT: usize = 8192;

pub(crate) struct Hdf5Writer {
    /// The chain of steps; a file of an older version has none. It is dropped before the file,
    /// which would not close.
    chain: Option<Chain>,
    file: File,
    path: PathBuf,
    models: Vec<ModelId>,
    /// Whether this rank counts what all have written together.
    first: bool,
}

/// The end of the chain of steps.
struct Chain {
    /// `/last`.
    ends: Dataset,
    /// Which of its references is written next.
    next: usize,
    step: Option<ObjectReference1>,
}

impl Chain {
    /// Ends the chain of a file that is continued with the last step that is kept; one rank writes.
    fn shorten(
        file: &File,
        steps: &Group,
        kept: &Kept,
        first: bool,
    ) -> hdf5::Result<(Self, hdf5::Result<()>)> {
        let ends = file.dataset(LAST)?;
        let step = kept.last.as_ref().map(|name| steps.reference(name)).transpose()?;
        let mut written = Ok(());
        if first {
            // SAFETY: all bits 0 are a reference to nothing.
            let end = step.unwrap_or_else(|| unsafe { std::mem::zeroed() });
            written = ends.write(&[end, end]);
        }
        Ok((Self { ends, next: 0, step }, written))
    }
}

impl Hdf5Writer {
    /// # Safety
    /// `comm` is a valid communicator that outlives the writer.
    pub(crate) unsafe fn create(path: &Path, comm: MPI_Comm) -> Result<Self> {
        filtered::register();
        let make = || -> hdf5::Result<Self> {
            let mut builder = FileBuilder::new();
            let file = create_file(builder.with_fapl(|p| p.mpio(comm, None)), path)?;
            // SAFETY: the caller's promise.
            let first = unsafe { is_first(comm) };
            if first {
                durable::sync_name(path).map_err(|e| e.to_string())?;
            }
            let chain = Some(Chain { ends: file.dataset(LAST)?, next: 0, step: None });
            Ok(Self { chain, file, path: path.into(), models: Vec::new(), first })
        };
        make().map_err(|e| io(path, &e))
    }

    /// Continues a file, behind the steps that are kept.
    ///
    /// # Safety
    /// `comm` is a valid communicator that outlives the writer.
    pub(crate) unsafe fn append(path: &Path, comm: MPI_Comm, kept: &Kept) -> Result<Self> {
        filtered::register();
        // SAFETY: the caller's promise.
        let first = unsafe { is_first(comm) };
        let open = || -> hdf5::Result<Self> {
            let file = FileBuilder::new().with_fapl(|p| p.mpio(comm, None).libver_v18()).open_rw(path)?;
            let steps = file.group(STEPS)?;
            let (mut chain, mut ended) = (None, Ok(()));
            // Files of earlier versions have no chain.
            if file.link_exists(LAST) {
                let (shortened, written) = Chain::shorten(&file, &steps, kept, first)?;
                (chain, ended) = (Some(shortened), written);
            }
            // The chain is shortened before steps are removed.
            file.flush()?;
            kept.dropped.iter().try_for_each(|name| steps.unlink(name))?;
            file.flush()?;
            // Not before: the other ranks would wait.
            ended?;
            Ok(Self { chain, file, path: path.into(), models: Vec::new(), first })
        };
        open().map_err(|e| io(path, &e))
    }

    fn write_model(&self, model: &Model, alone: &mut hdf5::Result<()>) -> hdf5::Result<()> {
        let name = format!("{MODELS}/{}", model.id());
        if self.file.link_exists(&name) {
            // A file that is continued.
            return Ok(());
        }
        let group = create_group(&self.file, &name)?;
        set(&group, "name", &text::<64>(&model.metadata.name))?;
        let mut metadata = model.metadata.clone();
        let mut json = serde_json::to_string(&metadata).map_err(|e| e.to_string())?;
        if json.len() > LONG_TEXT {
            // The decoder's own file keeps it whole.
            metadata.provenance.clear();
            json = serde_json::to_string(&metadata).map_err(|e| e.to_string())?;
        }
        set(&group, "metadata", &text::<LONG_TEXT>(&json))?;
        set(&group, "built_in", &u8::from(Models::is_built_in(model.id())))?;
        if !Models::is_built_in(model.id()) {
            let bytes = model.decoder_only().to_bytes();
            // All ranks write the same bytes to the same place.
            note(alone, group.new_dataset::<u8>().shape(bytes.len()).create("decoder")?.write(&bytes));
        }
        Ok(())
    }

    /// Gives the bytes that this rank counts.
    fn write_field(
        &self,
        steps: &Group,
        part: &FieldPart<'_>,
        alone: &mut hdf5::Result<()>,
    ) -> hdf5::Result<u64> {
        if let Payload::Values { copies, compression } = &part.payload {
            let all = filtered::write(steps, part.info, copies, compression)?;
            return Ok(if self.first { all } else { 0 });
        }
        let info = part.info;
        let group = create_group(steps, &info.name)?;
        set(&group, "dtype", &text::<16>(info.dtype.name()))?;
        set_array(&group, "shape_xyz", &info.shape.map(|n| n as u64))?;
        set_array(&group, "origin_xyz", &info.origin)?;
        set_array(&group, "spacing_xyz", &info.spacing)?;
        set(&group, "encoding", &text::<64>(&info.encoding))?;
        if info.partial {
            set(&group, "partial", &1u8)?;
        }
        set(&group, "raw_bytes", &info.raw_bytes())?;
        set(&group, "stored_bytes", &part.all_bytes)?;
        let stream = group.new_dataset::<u8>().shape(part.all_bytes as usize).create("stream")?;
        let boxes = group.new_dataset::<u64>().shape((part.all_boxes, BoxRow::COLUMNS)).create("boxes")?;
        if let Some(first) = part.boxes.first() {
            let offset = first.offset as usize;
            let bytes = part.streams();
            note(alone, stream.write_slice(bytes, offset..offset + bytes.len()));
            let rows = part.first_box..part.first_box + part.boxes.len();
            let table = ndarray::Array2::from_shape_vec(
                (part.boxes.len(), BoxRow::COLUMNS),
                BoxRow::to_table(&part.boxes),
            )
            .map_err(|e| e.to_string())?;
            note(alone, boxes.write_slice(&table, (rows, ..)));
        }
        Ok(part.streams().len() as u64)
    }

    /// Where the file ends for HDF5.
    fn end(&self) -> hdf5::Result<u64> {
        // How large its image would be: other calls do not give the size of a file that MPI writes.
        // SAFETY: the identifier is valid, and nothing is written to a buffer of no bytes.
        let size =
            hdf5::sync::sync(|| unsafe { h5f::H5Fget_file_image(self.file.id(), std::ptr::null_mut(), 0) });
        u64::try_from(size).map_err(|_| "HDF5 does not say how long the file is".into())
    }

    /// Makes the file as long as its first block will say, and flushes that, because this may be
    /// the only block that a kill or a loss of power leaves: HDF5 opens no file that is shorter.
    /// `flushed` is a length that it has already. One rank does it.
    fn reserve(&self, flushed: u64) {
        let grow = || match self.end().map_err(|e| e.to_string())? {
            end if end <= flushed => Ok(()),
            end => lengthen(&self.path, end).map_err(|e| e.to_string()),
        };
        if let Err(e) = if self.first { grow() } else { Ok(()) } {
            log::warn!("{}: a kill during this step may harm the file ({e})", self.path.display());
        }
    }
}

/// Gives a file a length that is on the disk.
fn lengthen(path: &Path, end: u64) -> std::io::Result<()> {
    let file = std::fs::OpenOptions::new().write(true).open(path)?;
    // Even where another rank's write has made it as long: that may be in its node's memory alone.
    if file.metadata()?.len() <= end {
        file.set_len(end)?;
    }
    file.sync_all()
}

impl Hdf5Writer {
    /// Writes the group of a step, without a name: it gets one when it is whole on all ranks, so
    /// that a program that is killed leaves what was there before. Gives the bytes that this rank
    /// counts.
    fn write_group(
        &self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        models: &[Arc<Model>],
        alone: &mut hdf5::Result<()>,
    ) -> hdf5::Result<(Group, u64)> {
        for model in models.iter().filter(|m| !self.models.contains(&m.id())) {
            self.write_model(model, alone)?;
        }
        let group = self.file.create_group_builder().obj_track_times(false).create(None)?;
        set(&group, "step", &step)?;
        set(&group, "time", &time)?;
        if let Some(previous) = self.chain.as_ref().and_then(|chain| chain.step) {
            set(&group, "previous", &previous)?;
        }
        let mut stored = 0;
        for part in fields {
            stored += self.write_field(&group, part, alone)?;
        }
        set(&group, "complete", &1u8)?;
        Ok((group, stored))
    }

    /// Shows a whole step to readers: flushes it, makes it the end of the chain, and names it.
    fn publish(&mut self, group: &Group, step: i64, alone: &mut hdf5::Result<()>) -> hdf5::Result<()> {
        self.reserve(0);
        note(alone, self.file.flush());
        let flushed = if self.first { self.end().unwrap_or(0) } else { 0 };
        if let Some(chain) = &mut self.chain {
            let reference = group.reference(".")?;
            if self.first {
                note(alone, chain.ends.write_slice(&[reference], chain.next..chain.next + 1));
            }
            (chain.next, chain.step) = (1 - chain.next, Some(reference));
        }
        name_group(&self.file, group, &format!("{STEPS}/{}", step_name(step)))?;
        // The list of steps may have moved to the end.
        self.reserve(flushed);
        note(alone, self.file.flush());
        Ok(())
    }
}

impl Writer for Hdf5Writer {
    fn write_step(
        &mut self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        models: &[Arc<Model>],
        all: &dyn Fn(bool) -> bool,
    ) -> Result<u64> {
        // What fails on this rank alone is kept until the others have done what all do together:
        // they would wait.
        let mut alone = Ok(());
        let mut write = || -> hdf5::Result<u64> {
            let (group, stored) = self.write_group(step, time, fields, models, &mut alone)?;
            // Before the file is flushed: where that fails on one rank, as on a disk that is gone,
            // HDF5 does not return on the others.
            if !all(alone.is_ok()) {
                return Ok(0);
            }
            self.publish(&group, step, &mut alone)?;
            Ok(stored)
        };
        let stored = write().and_then(|stored| alone.map(|()| stored)).map_err(|e| io(&self.path, &e))?;
        self.models.extend(models.iter().map(|m| m.id()));
        Ok(stored)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.chain = None;
        self.file.close().map_err(|e| io(&self.path, &e))
    }
}

/// Keeps the first error.
fn note(first: &mut hdf5::Result<()>, outcome: hdf5::Result<()>) {
    if first.is_ok() {
        *first = outcome;
    }
}

/// Without the time of day, so that the same fields make the same file.
fn create_group(parent: &Group, name: &str) -> hdf5::Result<Group> {
    parent.create_group_builder().obj_track_times(false).create(name)
}

fn name_group(file: &File, group: &Group, name: &str) -> hdf5::Result<()> {
    let name = std::ffi::CString::new(name).map_err(|e| e.to_string())?;
    let default = h5p::H5P_DEFAULT;
    // SAFETY: all identifiers are valid, and the name is a string.
    let linked =
        hdf5::sync::sync(|| unsafe { h5o::H5Olink(group.id(), file.id(), name.as_ptr(), default, default) });
    if linked < 0 { Err(format!("the step cannot be named {name:?}").into()) } else { Ok(()) }
}
