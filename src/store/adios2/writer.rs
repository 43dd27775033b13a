//! Steps into a BP5 output, all ranks together.
//!
//! ADIOS2 moves the bytes; `swae.sizes` is written here. It lists a step when all that belongs to
//! the step is on the disk, and readers see what it lists.

use super::index::{self, FORMATS, INDEX};
use super::{SIZES, handle::Handle};
use crate::durable;
use crate::error::{Error, Result};
use crate::step::{BoxRow, FieldInfo, FieldPart};
use crate::writer::{Kept, Writer, is_first};
use adios2_sys::*;
use mpi_sys::MPI_Comm;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::ptr;
use std::sync::Arc;
use swae_codec::model::ModelId;
use swae_codec::stream::FORMAT_VERSION;
use swae_codec::{Model, Models};

pub(crate) struct Adios2Writer {
    handle: Handle,
    first_rank: bool,
    known: BTreeMap<String, FieldInfo>,
    models: Vec<ModelId>,
}

impl Adios2Writer {
    /// # Safety
    /// `comm` is a valid communicator that outlives the writer.
    pub(crate) unsafe fn create(path: &Path, comm: MPI_Comm) -> Result<Self> {
        // SAFETY: the caller's promise.
        let writer = unsafe { Self::open(path, comm, adios2_mode_adios2_mode_write, &[])? };
        writer.handle.text_attribute("creator", concat!("swae ", env!("CARGO_PKG_VERSION")))?;
        writer.handle.attribute(
            "stream_format_version",
            adios2_type_adios2_type_uint16_t,
            ptr::from_ref(&FORMAT_VERSION).cast(),
            0,
        )?;
        // In place of what an earlier output of this name had.
        writer.publish()?;
        if writer.first_rank {
            durable::sync_name(path).map_err(|e| writer.handle.error(e.to_string()))?;
        }
        Ok(writer)
    }

    /// Continues an output, behind the steps that are kept.
    ///
    /// # Safety
    /// `comm` is a valid communicator that outlives the writer.
    pub(crate) unsafe fn append(path: &Path, comm: MPI_Comm, kept: &Kept) -> Result<Self> {
        let after = [("AppendAfterSteps", kept.steps.to_string())];
        // SAFETY: the caller's promise.
        let writer = unsafe { Self::open(path, comm, adios2_mode_adios2_mode_append, &after)? };
        // What has been said of a field is said once a file.
        let known = kept.fields.iter().map(|info| (info.name.clone(), info.clone())).collect();
        let writer = Self { known, ..writer };
        // What is dropped need not be there any more.
        writer.publish()?;
        Ok(writer)
    }

    /// # Safety
    /// `comm` is a valid communicator that outlives the writer.
    unsafe fn open(
        path: &Path,
        comm: MPI_Comm,
        mode: adios2_mode,
        parameters: &[(&str, String)],
    ) -> Result<Self> {
        // SAFETY: the caller's promise.
        let (first_rank, handle) =
            unsafe { (is_first(comm), Handle::new(path, Some(comm), mode, parameters)?) };
        Ok(Self { handle, first_rank, known: BTreeMap::new(), models: Vec::new() })
    }

    fn write_model(&self, model: &Model) -> Result<()> {
        let id = model.id();
        self.handle.text_attribute(&format!("models/{id}/name"), &model.metadata.name)?;
        let json = serde_json::to_string(&model.metadata).map_err(|e| self.handle.error(e.to_string()))?;
        self.handle.text_attribute(&format!("models/{id}/metadata"), &json)?;
        if !Models::is_built_in(id) && self.first_rank {
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
        let (name, handle) = (&info.name, &self.handle);
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

    fn write_inside_step(
        &mut self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        models: &[Arc<Model>],
    ) -> Result<()> {
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
        fields.iter().try_for_each(|part| self.write_field(part))
    }

    fn write_field(&mut self, part: &FieldPart<'_>) -> Result<()> {
        let name = &part.info.name;
        match self.known.get(name) {
            None => {
                self.describe(part.info)?;
                self.known.insert(name.clone(), part.info.clone());
            }
            Some(known) if known != part.info => {
                return Err(self.handle.error(format!(
                    "field {name} changed its shape, type, grid or encoding after the first step; \
                     BP5 keeps them once a file"
                )));
            }
            Some(_) => {}
        }
        let offset = part.boxes.first().map_or(0, |b| b.offset as usize);
        let dims: [&[usize]; 3] = [&[part.all_bytes as usize], &[offset], &[part.streams().len()]];
        self.handle.put_array(
            &format!("{name}/stream"),
            adios2_type_adios2_type_uint8_t,
            dims,
            part.streams(),
        )?;
        let table = BoxRow::to_table(&part.boxes);
        let width = BoxRow::COLUMNS;
        let dims: [&[usize]; 3] =
            [&[part.all_boxes, width], &[part.first_box, 0], &[part.boxes.len(), width]];
        self.handle.put_array(&format!("{name}/boxes"), adios2_type_adios2_type_uint64_t, dims, &table)
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
    note().map_err(|e| Error::Io { path: path.into(), reason: e.to_string() })
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
    fn sync(&self) -> Result<()> {
        durable::sync_open_files(&self.handle.path).map_err(|e| self.handle.error(e.to_string()))
    }

    /// Shows to readers what all ranks have written and flushed; one rank does it.
    fn publish(&self) -> Result<()> {
        if !self.first_rank {
            return Ok(());
        }
        let path = &self.handle.path;
        let note = || -> std::io::Result<()> {
            let mut sizes = BTreeMap::new();
            for entry in fs::read_dir(path)? {
                let entry = entry?;
                sizes.insert(entry.file_name().to_string_lossy().into_owned(), entry.metadata()?.len());
            }
            sizes.remove(SIZES);
            // A later run writes its own.
            sizes.remove("profiling.json");
            write_sizes(path, &sizes)
        };
        note().map_err(|e| self.handle.error(e.to_string()))
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
        let mut status = 0;
        let append = adios2_step_mode_adios2_step_mode_append;
        // SAFETY: the engine is open for writing.
        let code =
            unsafe { self.handle.library.adios2_begin_step(self.handle.engine, append, -1.0, &mut status) };
        self.handle.check(code, "begin a step")?;
        let written = self.write_inside_step(step, time, fields, models);
        // The step is ended in any case: ending is collective, and no rank may be left waiting.
        let ended = self.handle.end_step();
        let done = written.and(ended).and_then(|()| self.sync());
        // Every rank has flushed its part before the step is shown.
        if all(done.is_ok()) {
            self.publish()?;
        }
        done?;
        Ok(fields.iter().map(|part| part.streams().len() as u64).sum())
    }

    fn path(&self) -> &Path {
        &self.handle.path
    }

    fn close(mut self: Box<Self>) -> Result<()> {
        let engine = std::mem::replace(&mut self.handle.engine, ptr::null_mut());
        // SAFETY: the engine is open, and forgotten here.
        let code = unsafe { self.handle.library.adios2_close(engine) };
        self.handle.check(code, "close the file")
    }
}
