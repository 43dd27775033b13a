//! Steps into an HDF5 file, all ranks together.
//!
//! Parallel HDF5 does not return on the other ranks where a write of its own fails on one. So where
//! streams are stored, the first rank alone has the file open in HDF5: it makes groups, attributes
//! and datasets, and tells the others where in the file their bytes go. Each rank writes its own
//! there, without HDF5. What fails stays on its rank until all ranks hear of it.
//!
//! Ordinary datasets are written by parallel HDF5, which collects chunks from the ranks. What fails
//! on one rank is kept there until the others have done what all do together, because they would
//! wait.

use super::attributes::{set, set_array, text};
use super::filtered::{self, Access};
use super::layout::{LAST, MODELS, STEPS, create_file, encoding, step_name};
use crate::durable;
use crate::error::{Result, io};
use crate::names::escaped;
use crate::step::{BoxRow, FieldPart, Payload};
use crate::writer::{Kept, Storage, Writer, broadcast, is_first};
use hdf5::dataset::AllocTime;
use hdf5::{Dataset, File, FileBuilder, Group, H5Type, ObjectReference1};
use hdf5_sys::{h5d, h5f, h5o, h5p};
use mpi_sys::MPI_Comm;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::dup2;
use std::ffi::c_void;
use std::fs;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;
use swae_codec::model::ModelId;
use swae_codec::{Model, Models};

/// Bytes for a model's metadata; attributes may have up to 64 KiB.
const LONG_TEXT: usize = 8192;

pub(crate) struct Hdf5Writer {
    /// The chain of steps; a file of an older version has none. It is dropped before the file,
    /// which would not close.
    chain: Option<Chain>,
    /// The file; where streams are stored, on the first rank alone.
    file: Option<File>,
    /// The same file, for this rank's bytes.
    bytes: Option<fs::File>,
    path: PathBuf,
    models: Vec<ModelId>,
    /// Whether this rank counts what all have written together.
    first: bool,
    storage: Storage,
    /// None where one process writes alone.
    comm: Option<MPI_Comm>,
}

// SAFETY: a communicator is a handle, which a writer's one thread at a time passes to MPI.
unsafe impl Send for Hdf5Writer {}

/// The step that HDF5 has made, and where in the file the streams and boxes of each field go.
struct Made {
    group: Group,
    places: Vec<u64>,
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
    /// Creates a file, of one process where there is no communicator.
    ///
    /// # Safety
    /// `comm`, where given, is a valid communicator that outlives the writer.
    pub(crate) unsafe fn create(path: &Path, comm: Option<MPI_Comm>, storage: Storage) -> Result<Self> {
        filtered::register();
        // SAFETY: the caller's promise.
        let first = comm.is_none_or(|comm| unsafe { is_first(comm) });
        let make = |mut builder: FileBuilder| -> hdf5::Result<(Option<Chain>, File)> {
            let file = create_file(&mut builder, path)?;
            if first && let Err(e) = durable::sync_name(path) {
                // Not an error: the other ranks have made the file with this one, and would wait.
                log::warn!("{}: its name may not survive a loss of power ({e})", path.display());
            }
            Ok((Some(Chain { ends: file.dataset(LAST)?, next: 0, step: None }), file))
        };
        // SAFETY: the caller's promise.
        unsafe { Self::of(path, comm, storage, make) }
    }

    /// Continues a file, behind the steps that are kept.
    ///
    /// # Safety
    /// `comm` is a valid communicator that outlives the writer.
    pub(crate) unsafe fn append(path: &Path, comm: MPI_Comm, kept: &Kept, storage: Storage) -> Result<Self> {
        filtered::register();
        // SAFETY: the caller's promise.
        let first = unsafe { is_first(comm) };
        let open = |mut builder: FileBuilder| -> hdf5::Result<(Option<Chain>, File)> {
            let file = builder.with_fapl(|p| p.libver_v18()).open_rw(path)?;
            let steps = file.group(STEPS)?;
            let (mut chain, mut ended) = (None, Ok(()));
            // Files of earlier versions have no chain.
            if file.link_exists(LAST) {
                let (shortened, written) = Chain::shorten(&file, &steps, kept, first)?;
                (chain, ended) = (Some(shortened), written);
            }
            if !kept.dropped.is_empty() {
                keep_length(&file)?;
            }
            // The chain is shortened before steps are removed.
            flush(&file, path, storage)?;
            kept.dropped.iter().try_for_each(|name| steps.unlink(name))?;
            flush(&file, path, storage)?;
            // Not before: the other ranks would wait.
            ended?;
            Ok((chain, file))
        };
        // SAFETY: the caller's promise.
        unsafe { Self::of(path, Some(comm), storage, open) }
    }

    /// A writer of the file that `open` gives, on the ranks that have it open.
    ///
    /// # Safety
    /// `comm`, where given, is a valid communicator that outlives the writer.
    unsafe fn of(
        path: &Path,
        comm: Option<MPI_Comm>,
        storage: Storage,
        open: impl FnOnce(FileBuilder) -> hdf5::Result<(Option<Chain>, File)>,
    ) -> Result<Self> {
        // SAFETY: the caller's promise.
        let first = comm.is_none_or(|comm| unsafe { is_first(comm) });
        let mut builder = FileBuilder::new();
        let opened = match storage {
            Storage::Datasets => {
                if let Some(comm) = comm {
                    builder.with_fapl(|p| p.mpio(comm, None));
                }
                Some(open(builder))
            }
            // Without MPI: HDF5 crashes when MPI ends where a file of it could not be flushed. And
            // without a lock: other programs may look at the steps that are there.
            Storage::Streams if first => {
                #[cfg(hdf5_file_locking)]
                builder.with_fapl(|p| p.file_locking(false));
                Some(open(builder))
            }
            Storage::Streams => None,
        };
        let (chain, file) = opened.transpose().map_err(|e| io(path, e))?.unzip();
        let (chain, bytes) = (chain.flatten(), None);
        Ok(Self { chain, file, bytes, path: path.into(), models: Vec::new(), first, storage, comm })
    }

    /// The file of a rank that has it open in HDF5.
    fn file(&self) -> hdf5::Result<&File> {
        self.file.as_ref().ok_or_else(|| "this rank does not have the file open".into())
    }

    fn write_model(&self, model: &Model, alone: &mut hdf5::Result<()>) -> hdf5::Result<()> {
        let name = format!("{MODELS}/{}", model.id());
        let file = self.file()?;
        if file.link_exists(&name) {
            // A file that is continued.
            return Ok(());
        }
        let group = create_group(file, &name)?;
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

    /// Makes the group of a field of streams; gives where its streams and its table of boxes go.
    fn make_field(step: &Group, part: &FieldPart<'_>) -> hdf5::Result<[u64; 2]> {
        let info = part.info;
        let group = create_group(step, &escaped(&info.name))?;
        set(&group, "dtype", &text::<16>(info.dtype.name()))?;
        set_array(&group, "shape_xyz", &info.shape.map(|n| n as u64))?;
        set_array(&group, "origin_xyz", &info.origin)?;
        set_array(&group, "spacing_xyz", &info.spacing)?;
        set(&group, "encoding", &text::<64>(&info.encoding))?;
        if info.partial {
            set(&group, "partial", &1u8)?;
        } else {
            set(&group, "raw_bytes", &info.raw_bytes())?;
        }
        set(&group, "stored_bytes", &part.all_bytes)?;
        let stream = space::<u8>(&group, "stream", vec![part.all_bytes as usize])?;
        let boxes = space::<u64>(&group, "boxes", vec![part.all_boxes, BoxRow::COLUMNS])?;
        Ok([stream, boxes])
    }

    /// Writes this rank's bytes of all fields where they go.
    fn write_bytes(&mut self, fields: &[FieldPart<'_>], places: &[u64]) -> std::io::Result<()> {
        if fields.iter().all(|part| part.boxes.is_empty()) {
            return Ok(());
        }
        if self.bytes.is_none() {
            self.bytes = Some(fs::OpenOptions::new().write(true).open(&self.path)?);
        }
        let Some(file) = &self.bytes else { return Ok(()) };
        for (part, place) in fields.iter().zip(places.chunks_exact(2)) {
            let Some(first) = part.boxes.first() else { continue };
            file.write_all_at(part.streams(), place[0] + first.offset)?;
            let table: Vec<u8> = BoxRow::to_table(&part.boxes).iter().flat_map(|n| n.to_ne_bytes()).collect();
            let row = (BoxRow::COLUMNS * size_of::<u64>()) as u64;
            file.write_all_at(&table, place[1] + part.first_box as u64 * row)?;
        }
        // Before the step gets its name.
        file.sync_data()
    }

    /// Where the file ends for HDF5.
    fn end(&self) -> hdf5::Result<u64> {
        let file = self.file()?;
        // How large its image would be: other calls do not give the size of a file that MPI writes.
        // SAFETY: the identifier is valid, and nothing is written to a buffer of no bytes.
        let size = hdf5::sync::sync(|| unsafe { h5f::H5Fget_file_image(file.id(), std::ptr::null_mut(), 0) });
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

/// Writes the first byte of a file once more.
fn rewrite_start(path: &Path) -> std::io::Result<()> {
    let file = fs::OpenOptions::new().read(true).write(true).open(path)?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, 0)?;
    file.write_all_at(&byte, 0)
}

/// Gives a file a length that is on the disk.
fn lengthen(path: &Path, end: u64) -> std::io::Result<()> {
    let file = fs::OpenOptions::new().write(true).open(path)?;
    // Even where another rank's write has made it as long: that may be in its node's memory alone.
    file.set_len(file.metadata()?.len().max(end))?;
    file.sync_all()
}

impl Hdf5Writer {
    /// Makes the group of a step, without a name: it gets one when it is whole on all ranks, so that
    /// a program that is killed leaves what was there before.
    fn make_group(
        &self,
        step: i64,
        time: f64,
        models: &[Arc<Model>],
        alone: &mut hdf5::Result<()>,
    ) -> hdf5::Result<Group> {
        for model in models.iter().filter(|m| !self.models.contains(&m.id())) {
            self.write_model(model, alone)?;
        }
        let group = self.file()?.create_group_builder().obj_track_times(false).create(None)?;
        set(&group, "step", &step)?;
        set(&group, "time", &time)?;
        if let Some(previous) = self.chain.as_ref().and_then(|chain| chain.step) {
            set(&group, "previous", &previous)?;
        }
        Ok(group)
    }

    /// Makes a step of streams; the first rank alone does.
    fn make_step(
        &self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        models: &[Arc<Model>],
    ) -> hdf5::Result<Made> {
        let mut alone = Ok(());
        let group = self.make_group(step, time, models, &mut alone)?;
        alone?;
        let mut places = Vec::new();
        for part in fields {
            places.extend(Self::make_field(&group, part)?);
        }
        set(&group, "complete", &1u8)?;
        Ok(Made { group, places })
    }

    /// Writes a step of streams; gives the bytes that this rank counts.
    fn write_streams(
        &mut self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        models: &[Arc<Model>],
        all: &dyn Fn(bool) -> bool,
    ) -> hdf5::Result<u64> {
        let made = self.first.then(|| self.make_step(step, time, fields, models));
        // Whether there are places, and they.
        let mut message = vec![0; 1 + 2 * fields.len()];
        if let Some(Ok(made)) = &made {
            message[0] = 1;
            message[1..].copy_from_slice(&made.places);
        }
        if let Some(comm) = self.comm {
            // SAFETY: the writer's communicator is valid, and all ranks have as many fields.
            unsafe { broadcast(comm, &mut message) };
        }
        let made = made.transpose()?;
        if message[0] == 0 {
            return Ok(0);
        }
        let written = self.write_bytes(fields, &message[1..]).map_err(|e| hdf5::Error::from(e.to_string()));
        if all(written.is_ok())
            && let Some(made) = made
        {
            let mut alone = Ok(());
            self.publish(&made.group, step, &mut alone)?;
            alone?;
        }
        written?;
        Ok(fields.iter().map(|part| part.streams().len() as u64).sum())
    }

    /// Writes a step of datasets; gives the bytes that this rank counts.
    fn write_datasets(
        &mut self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        models: &[Arc<Model>],
        all: &dyn Fn(bool) -> bool,
    ) -> hdf5::Result<u64> {
        let mut alone = Ok(());
        let group = self.make_group(step, time, models, &mut alone)?;
        let mut stored = 0;
        let access = if self.comm.is_some() { Access::Collective } else { Access::Alone };
        for part in fields {
            let Payload::Values { copies, compression } = &part.payload else {
                return Err("streams in a file of datasets".into());
            };
            match filtered::write(&group, part.info, copies, compression, access) {
                Ok(bytes) => stored += bytes,
                // It has written with the others, and goes on with them.
                Err(e) => note(&mut alone, Err(e)),
            }
        }
        note(&mut alone, set(&group, "complete", &1u8));
        // Before the file is flushed: where that fails on one rank, as on a disk that is gone, HDF5
        // does not return on the others.
        if all(alone.is_ok()) {
            self.publish(&group, step, &mut alone)?;
        }
        alone?;
        Ok(if self.first { stored } else { 0 })
    }

    /// Shows a whole step to readers: flushes it, makes it the end of the chain, and names it.
    fn publish(&mut self, group: &Group, step: i64, alone: &mut hdf5::Result<()>) -> hdf5::Result<()> {
        self.reserve(0);
        note(alone, flush(self.file()?, &self.path, self.storage));
        // Nobody waits for a rank that has the file open alone.
        if self.storage == Storage::Streams && alone.is_err() {
            return Ok(());
        }
        let flushed = if self.first { self.end().unwrap_or(0) } else { 0 };
        let reference = group.reference(".")?;
        if let Some(chain) = self.chain.as_ref().filter(|_| self.first) {
            note(alone, chain.ends.write_slice(&[reference], chain.next..chain.next + 1));
        }
        name_group(self.file()?, group, &format!("{STEPS}/{}", step_name(step)))?;
        if let Some(chain) = &mut self.chain {
            (chain.next, chain.step) = (1 - chain.next, Some(reference));
        }
        let file = self.file()?;
        // The list of steps may have moved to the end.
        self.reserve(flushed);
        note(alone, flush(file, &self.path, self.storage));
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
        let written = match self.storage {
            Storage::Streams => self.write_streams(step, time, fields, models, all),
            Storage::Datasets => self.write_datasets(step, time, fields, models, all),
        };
        let stored = written.map_err(|e| io(&self.path, e))?;
        self.models.extend(models.iter().map(|m| m.id()));
        Ok(stored)
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// What HDF5 holds of a file of streams may be half of a step by now: it is let go of.
    fn after_failure(mut self: Box<Self>) -> Option<Box<dyn Writer>> {
        if self.storage == Storage::Datasets {
            return Some(self);
        }
        self.abandon();
        None
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        self.let_go().map_err(|e| io(&self.path, e))
    }
}

impl Drop for Hdf5Writer {
    fn drop(&mut self) {
        if let Err(e) = self.let_go() {
            log::warn!("{}: {e}", self.path.display());
        }
    }
}

impl Hdf5Writer {
    /// Closes the file.
    fn let_go(&mut self) -> hdf5::Result<()> {
        let Some(file) = &self.file else { return Ok(()) };
        // To close a file writes its first block, and HDF5 crashes when the program ends where that
        // failed. So it is tried before.
        if self.storage == Storage::Streams {
            let tried = rewrite_start(&self.path).map_err(|e| e.to_string().into());
            if let Err(e) = tried.and_then(|()| flush(file, &self.path, self.storage)) {
                self.abandon();
                return Err(e);
            }
        }
        self.chain = None;
        self.file.take().map_or(Ok(()), File::close)
    }

    /// Closes a file of streams without writing to it.
    fn abandon(&mut self) {
        if let Some(file) = &self.file {
            divert(file);
        }
        self.chain = None;
        self.file = None;
    }
}

/// Brings what HDF5 has of a file to the disk. MPI does it by itself. Where it fails, nothing more
/// is written: HDF5 crashes when the program ends where it could not close what it holds.
fn flush(file: &File, path: &Path, storage: Storage) -> hdf5::Result<()> {
    let flushed = file.flush();
    match storage {
        Storage::Streams => {
            let sync = || fs::File::open(path).and_then(|file| file.sync_data());
            let synced = flushed.and_then(|()| sync().map_err(|e| e.to_string().into()));
            synced.inspect_err(|_| divert(file))
        }
        Storage::Datasets => flushed,
    }
}

/// Lets what HDF5 writes to a file, and no rank of MPI does, go to memory that is forgotten.
fn divert(file: &File) {
    let Ok(nowhere) = memfd_create("swae", MemfdFlags::CLOEXEC) else { return };
    let mut handle: *mut c_void = ptr::null_mut();
    // SAFETY: the identifier is valid; HDF5's default driver gives a pointer to its descriptor, which
    // it keeps.
    let mut own = unsafe {
        let asked = hdf5::sync::sync(|| h5f::H5Fget_vfd_handle(file.id(), h5p::H5P_DEFAULT, &raw mut handle));
        if asked < 0 || handle.is_null() {
            return;
        }
        ManuallyDrop::new(OwnedFd::from_raw_fd(*handle.cast::<RawFd>()))
    };
    if dup2(&nowhere, &mut own).is_ok() {
        // A flush that failed leaves a list of what was to be written, with which HDF5 closes no
        // file. The next one says so, and empties it.
        _ = file.flush();
    }
}

/// Makes a dataset whose bytes are written without HDF5; gives where they go.
fn space<T: H5Type>(group: &Group, name: &str, shape: Vec<usize>) -> hdf5::Result<u64> {
    let is_empty = shape.contains(&0);
    let dataset = group.new_dataset::<T>().alloc_time(Some(AllocTime::Early)).shape(shape).create(name)?;
    // SAFETY: the identifier is valid.
    let place = hdf5::sync::sync(|| unsafe { h5d::H5Dget_offset(dataset.id()) });
    if place == u64::MAX && !is_empty {
        Err(format!("HDF5 has no space for {name}").into())
    } else {
        Ok(place)
    }
}

/// Takes a byte behind everything, and leaves it there without a name, so that a file from which
/// steps are taken away does not become shorter: HDF5 would cut it before its first block says so,
/// and in between opens it no more.
fn keep_length(file: &File) -> hdf5::Result<()> {
    let builder = file.new_dataset::<u8>().alloc_time(Some(AllocTime::Early)).obj_track_times(false);
    let end = builder.shape(1).create(None)?;
    // SAFETY: the identifier is valid.
    let kept = hdf5::sync::sync(|| unsafe { h5o::H5Oincr_refcount(end.id()) });
    if kept < 0 { Err("HDF5 does not keep the length of the file".into()) } else { Ok(()) }
}

/// Keeps the first error.
fn note(first: &mut hdf5::Result<()>, outcome: hdf5::Result<()>) {
    if first.is_ok() {
        *first = outcome;
    }
}

/// Without the time of day, so that the same fields make the same file.
fn create_group(parent: &Group, name: &str) -> hdf5::Result<Group> {
    parent.create_group_builder().obj_track_times(false).char_encoding(encoding(name)).create(name)
}

fn name_group(file: &File, group: &Group, name: &str) -> hdf5::Result<()> {
    let name = std::ffi::CString::new(name).map_err(|e| e.to_string())?;
    let default = h5p::H5P_DEFAULT;
    // SAFETY: all identifiers are valid, and the name is a string.
    let linked =
        hdf5::sync::sync(|| unsafe { h5o::H5Olink(group.id(), file.id(), name.as_ptr(), default, default) });
    if linked < 0 { Err(format!("the step cannot be named {name:?}").into()) } else { Ok(()) }
}
