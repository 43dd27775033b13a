//! Steps into a BP5 output, all ranks together.
//!
//! ADIOS2 moves the bytes of the ranks that [write](super::group) for the others; `swae.sizes` is
//! written here. It lists a step when all that belongs to the step is on the disk, and readers see
//! what it lists.

use super::group::{Group, Part};
use super::index::{self, FORMATS, INDEX};
use super::{SIZES, handle::Handle};
use crate::durable;
use crate::error::{Result, io};
use crate::names::escaped;
use crate::step::{BoxRow, FieldInfo, FieldPart};
use crate::writer::{Kept, Writer, is_first};
use adios2_sys::*;
use mpi_sys::MPI_Comm;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::Arc;
use swae_codec::model::ModelId;
use swae_codec::stream::FORMAT_VERSION;
use swae_codec::{Model, Models};

/// One rank of an output.
pub(crate) struct Adios2Writer {
    path: PathBuf,
    /// What this rank writes; dropped before the communicator that it uses.
    engine: Option<Engine>,
    /// None where one process writes alone.
    group: Option<Group>,
}

// SAFETY: communicators and ADIOS2's objects are handles, which one thread at a time uses.
unsafe impl Send for Adios2Writer {}

/// An engine, on a rank that writes.
struct Engine {
    handle: Handle,
    /// Whether this is the first rank of all.
    first_rank: bool,
    /// Whether this rank writes the data of models.
    has_models: bool,
    known: BTreeMap<String, FieldInfo>,
    models: Vec<ModelId>,
}

impl Adios2Writer {
    /// Creates an output, of one process where there is no communicator.
    ///
    /// # Safety
    /// `comm`, where given, is a valid communicator that outlives the writer.
    pub(crate) unsafe fn create(path: &Path, comm: Option<MPI_Comm>) -> Result<Self> {
        // SAFETY: the caller's promise.
        let writer = unsafe { Self::open(path, comm, adios2_mode_adios2_mode_write, &[])? };
        // In place of what an earlier output of this name had.
        let begun = writer.describe().and_then(|()| writer.publish());
        writer.unless_failed(begun)
    }

    /// What an output says of itself.
    fn describe(&self) -> Result<()> {
        let Some(Engine { handle, .. }) = &self.engine else { return Ok(()) };
        handle.text_attribute("creator", concat!("swae ", env!("CARGO_PKG_VERSION")))?;
        let version = ptr::from_ref(&FORMAT_VERSION).cast();
        handle.attribute("stream_format_version", adios2_type_adios2_type_uint16_t, version, 0)?;
        if self.is_first() {
            durable::sync_name(&self.path).map_err(|e| handle.error(e.to_string()))?;
        }
        Ok(())
    }

    /// The writer, unless this rank has failed alone: then its engine is left as it is, because to
    /// close it is collective.
    fn unless_failed(mut self, outcome: Result<()>) -> Result<Self> {
        match outcome {
            Ok(()) => Ok(self),
            Err(e) => {
                std::mem::forget(self.engine.take());
                Err(e)
            }
        }
    }

    /// Continues an output, behind the steps that are kept.
    ///
    /// # Safety
    /// `comm` is a valid communicator that outlives the writer.
    pub(crate) unsafe fn append(path: &Path, comm: MPI_Comm, kept: &Kept) -> Result<Self> {
        let after = [("AppendAfterSteps", kept.steps.to_string())];
        // SAFETY: the caller's promise.
        let mut writer = unsafe { Self::open(path, Some(comm), adios2_mode_adios2_mode_append, &after)? };
        if let Some(engine) = &mut writer.engine {
            // What has been said of a field is said once a file.
            engine.known = kept.fields.iter().map(|info| (info.name.clone(), info.clone())).collect();
        }
        // What is dropped need not be there any more.
        let published = writer.publish();
        writer.unless_failed(published)
    }

    /// # Safety
    /// `comm`, where given, is a valid communicator that outlives the writer.
    unsafe fn open(
        path: &Path,
        comm: Option<MPI_Comm>,
        mode: adios2_mode,
        parameters: &[(&str, String)],
    ) -> Result<Self> {
        // SAFETY: the caller's promise.
        let (first_rank, group) = match comm {
            Some(comm) => unsafe { (is_first(comm), Some(Group::of(comm))) },
            None => (true, None),
        };
        let path = PathBuf::from(path);
        let ranks = group.as_ref().map_or(1, Group::writer_count);
        let has_models = group.as_ref().is_none_or(Group::writes_data_first);
        let writers = group.as_ref().and_then(Group::writers);
        if group.is_some() && writers.is_none() {
            return Ok(Self { path, engine: None, group });
        }
        // Each rank of the engine has a file of its own, so that none waits for another before its
        // data are written, and the first one gathers all metadata before it writes any.
        let own = [
            ("AggregationType", "EveryoneWrites".to_owned()),
            ("NumAggregators", ranks.to_string()),
            ("UseSelectiveMetadataAggregation", "false".to_owned()),
        ];
        // SAFETY: the group outlives the engine.
        let handle = unsafe { Handle::new(&path, writers, mode, &[&own[..], parameters].concat())? };
        let engine = Engine { handle, first_rank, has_models, known: BTreeMap::new(), models: Vec::new() };
        Ok(Self { path, engine: Some(engine), group })
    }
}

impl Engine {
    fn write_model(&self, model: &Model) -> Result<()> {
        let id = model.id();
        self.handle.text_attribute(&format!("models/{id}/name"), &model.metadata.name)?;
        let json = serde_json::to_string(&model.metadata).map_err(|e| self.handle.error(e.to_string()))?;
        self.handle.text_attribute(&format!("models/{id}/metadata"), &json)?;
        if !Models::is_built_in(id) && self.has_models {
            let bytes = model.decoder_only().to_bytes();
            let size = [bytes.len()];
            let dims: [&[usize]; 3] = [&size, &[0], &size];
            self.handle.put_array(
                &format!("models/{id}/decoder"),
                adios2_type_adios2_type_uint8_t,
                dims,
                &bytes,
            )?;
        }
        Ok(())
    }

    fn describe(&self, info: &FieldInfo) -> Result<()> {
        let (name, handle) = (escaped(&info.name), &self.handle);
        handle.text_attribute(&format!("{name}/dtype"), info.dtype.name())?;
        handle.text_attribute(&format!("{name}/encoding"), &info.encoding)?;
        if info.partial {
            handle.text_attribute(&format!("{name}/partial"), "boxes need not cover the grid")?;
        }
        let shape = info.shape.map(|n| n as u64);
        let triple = |key: &str, kind, data| handle.attribute(&format!("{name}/{key}"), kind, data, 3);
        triple("shape_xyz", adios2_type_adios2_type_uint64_t, shape.as_ptr().cast())?;
        triple("origin_xyz", adios2_type_adios2_type_double, info.origin.as_ptr().cast())?;
        triple("spacing_xyz", adios2_type_adios2_type_double, info.spacing.as_ptr().cast())
    }

    /// Puts a step's fields: the parts of all ranks that this one writes for, by rank and field.
    fn write_inside_step(
        &mut self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        parts: Result<Vec<Vec<Part<'_>>>>,
        models: &[Arc<Model>],
    ) -> Result<()> {
        let parts = parts?;
        for model in models {
            if !self.models.contains(&model.id()) {
                self.write_model(model)?;
                self.models.push(model.id());
            }
        }
        if self.first_rank {
            let number = self.handle.variable("step", adios2_type_adios2_type_int64_t, None)?;
            let moment = self.handle.variable("time", adios2_type_adios2_type_double, None)?;
            // SAFETY: one value of each variable's type.
            unsafe {
                self.handle.put(number, ptr::from_ref(&step).cast())?;
                self.handle.put(moment, ptr::from_ref(&time).cast())?;
            }
        }
        for (index, field) in fields.iter().enumerate() {
            self.make_known(field.info)?;
            parts.iter().try_for_each(|of_rank| self.put_part(field, &of_rank[index]))?;
        }
        Ok(())
    }

    /// Says what a field is, where that has not been said.
    fn make_known(&mut self, info: &FieldInfo) -> Result<()> {
        match self.known.get(&info.name) {
            None => {
                self.describe(info)?;
                self.known.insert(info.name.clone(), info.clone());
                Ok(())
            }
            Some(known) if known != info => Err(self.handle.error(format!(
                "field {} changed its shape, type, grid or encoding after the first step; BP5 keeps them \
                 once a file",
                info.name
            ))),
            Some(_) => Ok(()),
        }
    }

    fn put_part(&self, field: &FieldPart<'_>, part: &Part<'_>) -> Result<()> {
        let name = escaped(&field.info.name);
        let dims: [&[usize]; 3] = [&[field.all_bytes as usize], &[part.offset], &[part.streams.len()]];
        self.handle.put_array(
            &format!("{name}/stream"),
            adios2_type_adios2_type_uint8_t,
            dims,
            &part.streams,
        )?;
        let (width, rows) = (BoxRow::COLUMNS, part.boxes());
        let dims: [&[usize]; 3] = [&[field.all_boxes, width], &[part.first_box, 0], &[rows, width]];
        self.handle.put_array(&format!("{name}/boxes"), adios2_type_adios2_type_uint64_t, dims, &part.table)
    }

    /// Writes a step, and waits until it is on the disk.
    fn write_step(
        &mut self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        parts: Result<Vec<Vec<Part<'_>>>>,
        models: &[Arc<Model>],
    ) -> Result<()> {
        self.begin_step()?;
        let written = self.write_inside_step(step, time, fields, parts, models);
        // The step is ended in any case: the other ranks of the engine wait for it.
        let ended = self.end_step();
        written.and(ended)?;
        durable::sync_open_files(&self.handle.path).map_err(|e| self.handle.error(e.to_string()))
    }

    fn begin_step(&self) -> Result<()> {
        let mut status = 0;
        let append = adios2_step_mode_adios2_step_mode_append;
        // SAFETY: the engine is open for writing.
        let code =
            unsafe { self.handle.library.adios2_begin_step(self.handle.engine, append, -1.0, &mut status) };
        self.handle.check(code, "begin a step")
    }

    /// Ends a step, whatever became of it: the other ranks of the engine wait for this one's
    /// metadata.
    fn end_step(&self) -> Result<()> {
        let ended = self.handle.end_step();
        // The first rank writes when all have met. Any other one has failed to write its data, and
        // has not met them: a step without data, of which nobody will read, sets them free.
        if ended.is_err() && !self.first_rank {
            _ = self.begin_step().and_then(|()| self.handle.end_step());
        }
        ended
    }
}

/// Before steps are taken away. ADIOS2 does it in several writes, the list of steps last: until it
/// is done, a reader is not to see more of the list than the steps that are kept, and data may be
/// missing. One rank calls it.
pub(crate) fn forget(path: &Path, steps: usize) -> Result<()> {
    let note = || -> std::io::Result<()> {
        let index = index::length(&fs::read(path.join(INDEX))?, steps);
        let index = index.ok_or_else(|| std::io::Error::other(format!("{INDEX} has not {steps} steps")))?;
        let sizes = [(INDEX, index as u64), (FORMATS, fs::metadata(path.join(FORMATS))?.len())];
        write_sizes(path, &sizes.map(|(name, size)| (name.to_owned(), size)).into())
    };
    note().map_err(|e| io(path, e))
}

/// Replaced whole, so that a reader never sees half of it.
fn write_sizes(path: &Path, sizes: &BTreeMap<String, u64>) -> std::io::Result<()> {
    let new = path.join(format!("{SIZES}.new"));
    fs::write(&new, serde_json::to_string_pretty(sizes)?)?;
    durable::sync(&new)?;
    fs::rename(new, path.join(SIZES))?;
    durable::sync(path)
}

impl Adios2Writer {
    /// Whether this is the first rank of all.
    fn is_first(&self) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.first_rank)
    }

    /// Shows to readers what all ranks have written and flushed; one rank does it.
    fn publish(&self) -> Result<()> {
        let Some(Engine { handle, first_rank: true, .. }) = &self.engine else { return Ok(()) };
        let path = &self.path;
        let note = || -> std::io::Result<()> {
            let mut sizes = BTreeMap::new();
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                sizes.insert(entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len());
            }
            sizes.remove(SIZES);
            // What a kill has left of the note before.
            sizes.remove(&format!("{SIZES}.new"));
            // A later run writes its own.
            sizes.remove("profiling.json");
            write_sizes(path, &sizes)
        };
        note().map_err(|e| handle.error(e.to_string()))
    }
}

impl Writer for Adios2Writer {
    fn write_step(
        &mut self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        models: &[Arc<Model>],
        all: &dyn Fn(bool) -> bool,
    ) -> Result<u64> {
        let parts = match &self.group {
            Some(group) => group.gather(fields),
            None => Ok(vec![fields.iter().map(Part::of).collect()]),
        };
        let done = match &mut self.engine {
            Some(engine) => engine.write_step(step, time, fields, parts, models),
            None => parts.map(drop),
        };
        // Every rank has flushed what it writes before the step is shown.
        if all(done.is_ok()) {
            self.publish()?;
        }
        done?;
        Ok(fields.iter().map(|part| part.streams().len() as u64).sum())
    }

    fn path(&self) -> &Path {
        &self.path
    }

    /// The engine may have lost what it says once a file with the step. It is left as it is: to be
    /// closed it would write again, and wait for other ranks, or end the program.
    fn after_failure(mut self: Box<Self>) -> Option<Box<dyn Writer>> {
        std::mem::forget(self.engine.take());
        None
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        let Some(Engine { mut handle, .. }) = self.engine.take() else { return Ok(()) };
        let engine = std::mem::replace(&mut handle.engine, ptr::null_mut());
        // SAFETY: the engine is open, and forgotten here.
        let code = unsafe { handle.library.adios2_close(engine) };
        let closed = handle.check(code, "close the file");
        if closed.is_err() {
            // As above.
            std::mem::forget(handle);
        }
        closed
    }
}
