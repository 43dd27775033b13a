//! HDF5, written by all ranks into one file.
//!
//! `/steps/00000010/chi/{stream,boxes}` hold a field of a step, attributes of the groups say the rest;
//! Or `/steps/00000010/chi` is a dataset behind the filter, which any HDF5 program reads (see [`filtered`]).
//! `/models/ID` names each model, and holds its decoder where it is not built in. Creating groups and attributes is
//! collective; the bytes go out independently, each rank its own.
//!
//! HDF5 changes the list of `/steps` in several writes: a program that is killed between two of them leaves a list that
//! nobody can read. So steps are also a chain, which is never changed: each refers to the one `previous` to it, and `/last`
//! to its end.

use crate::{
    BoxRow, Error, FieldInfo, FieldPart, Kept, Payload, Reader, Result, StepInfo, StoredStream, Writer,
    check_size, datasets, filtered, is_first,
};
use hdf5::plist::GroupCreate;
use hdf5::plist::group_create::LinkPhaseChange;
use hdf5::types::{FixedUnicode, VarLenUnicode};
use hdf5::{Dataset, File, FileBuilder, Group, H5Type, Location, ObjectReference1, ReferencedObject};
use hdf5_sys::{h5f, h5o, h5p};
use mpi_sys::MPI_Comm;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use swae_codec::model::ModelId;
use swae_codec::stream::FORMAT_VERSION;
use swae_codec::{Dtype, Model, Models};

type Text = FixedUnicode<64>;
const STEPS: &str = "steps";
const MODELS: &str = "models";
const LAST: &str = "last";
/// Bytes for a model's metadata; attributes may have up to 64 KiB.
const LONG_TEXT: usize = 8192;

pub(crate) struct Hdf5Writer {
    /// Where there is a chain of steps: a file of an older version has none. It goes before the file, which would not close.
    chain: Option<Chain>,
    file: File,
    path: PathBuf,
    models: Vec<ModelId>,
    /// Whether this rank answers for what all have written together.
    first: bool,
}

/// The end of the chain of steps.
struct Chain {
    /// `/last`, two references of which the newer one holds: while one is written, the other is whole.
    ends: Dataset,
    /// Which is written next.
    next: usize,
    step: Option<ObjectReference1>,
}

impl Hdf5Writer {
    /// # Safety
    /// `comm` is a valid communicator that outlives the writer.
    pub(crate) unsafe fn create(path: &Path, comm: MPI_Comm) -> Result<Self> {
        filtered::register();
        let make = || -> hdf5::Result<Self> {
            let mut builder = FileBuilder::new();
            let file = lay_out(builder.with_fapl(|p| p.mpio(comm, None)), path)?;
            // SAFETY: the caller's promise.
            let first = unsafe { is_first(comm) };
            let chain = Some(Chain { ends: file.dataset(LAST)?, next: 0, step: None });
            Ok(Self { chain, file, path: path.into(), models: Vec::new(), first })
        };
        make().map_err(|e| io(path, &e))
    }

    /// Goes on with a file, behind the steps that are kept.
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
            let mut ended = Ok(());
            // Files of earlier versions have no chain.
            let chain = match file.link_exists(LAST) {
                true => {
                    let ends = file.dataset(LAST)?;
                    let step = kept.last.as_ref().map(|name| steps.reference(name)).transpose()?;
                    if first {
                        // SAFETY: no bits at all are a reference to nothing.
                        let end = step.unwrap_or_else(|| unsafe { std::mem::zeroed() });
                        ended = ends.write(&[end, end]);
                    }
                    Some(Chain { ends, next: 0, step })
                }
                false => None,
            };
            // The chain ends before what goes.
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

    /// Gives the bytes of it that this rank answers for.
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

    /// Makes the file as long as its first block is going to say, which may be the only one of the step that gets written:
    /// HDF5 opens no file that is shorter.
    fn reserve(&self) -> hdf5::Result<()> {
        if !self.first {
            return Ok(());
        }
        // How large its image would be: other calls do not tell of a file that MPI writes.
        // SAFETY: the identifier is valid, and nothing is written to a buffer of no bytes.
        let size =
            hdf5::sync::sync(|| unsafe { h5f::H5Fget_file_image(self.file.id(), std::ptr::null_mut(), 0) });
        let size = u64::try_from(size).map_err(|_| "HDF5 does not say how long the file is")?;
        let grow = || -> std::io::Result<()> {
            let file = std::fs::OpenOptions::new().write(true).open(&self.path)?;
            // Even where another rank's write has made it as long: that may be in its node's memory alone.
            if file.metadata()?.len() <= size { file.set_len(size) } else { Ok(()) }
        };
        grow().map_err(|e| e.to_string().into())
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
        // What fails on this rank alone is kept until the others, too, have done what all do together: they would wait.
        let mut alone = Ok(());
        let mut write = || -> hdf5::Result<u64> {
            for model in models.iter().filter(|m| !self.models.contains(&m.id())) {
                self.write_model(model, &mut alone)?;
            }
            // It has no name before it is whole, on all ranks: a program that is killed leaves what was there before.
            let group = self.file.create_group_builder().obj_track_times(false).create(None)?;
            set(&group, "step", &step)?;
            set(&group, "time", &time)?;
            if let Some(previous) = self.chain.as_ref().and_then(|chain| chain.step) {
                set(&group, "previous", &previous)?;
            }
            let mut stored = 0;
            for part in fields {
                stored += self.write_field(&group, part, &mut alone)?;
            }
            set(&group, "complete", &1u8)?;
            // Before the file is flushed: HDF5 does not return on the others where that fails on one rank, as it will if its disk is
            // gone.
            if !all(alone.is_ok()) {
                return Ok(0);
            }
            if let Err(e) = self.reserve() {
                log::warn!("{}: a kill during this step may harm the file ({e})", self.path.display());
            }
            note(&mut alone, self.file.flush());
            // Only now does a reader see the step.
            if let Some(chain) = &mut self.chain {
                let step = group.reference(".")?;
                if self.first {
                    note(&mut alone, chain.ends.write_slice(&[step], chain.next..chain.next + 1));
                }
                *chain = Chain { ends: chain.ends.clone(), next: 1 - chain.next, step: Some(step) };
            }
            name_group(&self.file, &group, &format!("{STEPS}/{}", step_name(step)))?;
            note(&mut alone, self.file.flush());
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

/// Makes a file that has no step yet.
fn lay_out(builder: &mut FileBuilder, path: &Path) -> hdf5::Result<File> {
    let file = builder
        // Objects of HDF5 1.8: smaller by half than the oldest, which matters for small fields.
        .with_fapl(|p| p.libver_v18())
        .with_fcpl(|p| p.obj_track_times(false))
        .create(path)?;
    set(&file, "creator", &text::<64>(concat!("swae ", env!("CARGO_PKG_VERSION"))))?;
    set(&file, "stream_format_version", &FORMAT_VERSION)?;
    // Links in one list, whatever their number: few blocks change where one is added.
    let one_list = LinkPhaseChange { max_compact: u16::MAX.into(), min_dense: 0 };
    let steps = file.create_group_builder().obj_track_times(false);
    steps.with_gcpl(|p| p.link_phase_change(one_list)).create(STEPS)?;
    // Room for names of models where the list is: it changes while the file has steps to lose, in one write.
    let room = GroupCreate::build().obj_track_times(false).finish()?;
    let (models, name_length) = (8, 32);
    // SAFETY: the identifier is valid.
    hdf5::sync::sync(|| unsafe { h5p::H5Pset_est_link_info(room.id(), models, name_length) });
    file.create_group_builder().set_gcpl(&room).create(MODELS)?;
    file.new_dataset::<ObjectReference1>().shape(2).obj_track_times(false).create(LAST)?;
    Ok(file)
}

/// Keeps the first error.
fn note(first: &mut hdf5::Result<()>, outcome: hdf5::Result<()>) {
    if first.is_ok() {
        *first = outcome;
    }
}

fn step_name(step: i64) -> String {
    format!("{step:08}")
}

/// Without the time of day: the same fields make the same file.
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

fn io(path: &Path, error: &hdf5::Error) -> Error {
    Error::Io { path: path.into(), reason: error.to_string() }
}

/// The text, cut to `N` bytes.
pub(crate) fn text<const N: usize>(s: &str) -> FixedUnicode<N> {
    let cut = (0..=s.len().min(N)).rev().find(|&n| s.is_char_boundary(n)).unwrap_or(0);
    FixedUnicode::from_str(&s[..cut]).unwrap_or_default()
}

pub(crate) fn set<T: H5Type>(of: &Location, name: &str, value: &T) -> hdf5::Result<()> {
    of.new_attr::<T>().create(name)?.write_scalar(value)
}

pub(crate) fn set_array<T: H5Type>(of: &Location, name: &str, values: &[T; 3]) -> hdf5::Result<()> {
    of.new_attr::<T>().shape(3).create(name)?.write(&values[..])
}

fn get<T: H5Type>(of: &Location, name: &str) -> hdf5::Result<T> {
    of.attr(name)?.read_scalar()
}

fn get_array<T: H5Type + Copy>(of: &Location, name: &str) -> hdf5::Result<[T; 3]> {
    let values = of.attr(name)?.read_raw::<T>()?;
    values.try_into().map_err(|_| format!("attribute {name} has not 3 values").into())
}

/// Fixed text, or variable text as other writers have it.
fn get_text(of: &Location, name: &str) -> hdf5::Result<String> {
    let attribute = of.attr(name)?;
    let short = attribute.read_scalar::<Text>().map(|t| t.to_string());
    short.or_else(|_| attribute.read_scalar::<VarLenUnicode>().map(|t| t.to_string()))
}

pub(crate) struct Hdf5Reader {
    file: File,
    path: PathBuf,
    /// Bytes of the file: no dataset can hold more.
    limit: u64,
    groups: Vec<Group>,
    steps: Vec<StepInfo>,
    /// The groups of steps that were not finished.
    unfinished: Vec<String>,
    /// Whether the list of steps cannot be read, and the chain gave them.
    damaged: bool,
    models: Models,
}

impl Hdf5Reader {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let content = |e: hdf5::Error| Error::Content {
            path: path.into(),
            reason: format!("not a file of swae, or damaged ({e})"),
        };
        filtered::register();
        let file = File::open(path).map_err(content)?;
        let mut reader = Self {
            limit: file.size(),
            file,
            path: path.into(),
            groups: Vec::new(),
            steps: Vec::new(),
            unfinished: Vec::new(),
            damaged: false,
            models: Models::built_in(),
        };
        reader.scan().map_err(content)?;
        Ok(reader)
    }

    fn scan(&mut self) -> hdf5::Result<()> {
        let models = self.file.group(MODELS)?;
        for name in models.member_names()? {
            let group = models.group(&name)?;
            if group.link_exists("decoder") {
                let decoder = group.dataset("decoder")?;
                check_size::<u8>(decoder.size(), self.limit)?;
                let bytes = decoder.read_raw::<u8>()?;
                self.models.add(Model::from_bytes(&bytes).map_err(|e| e.to_string())?);
            }
        }
        let groups = match self.listed() {
            Ok(groups) => groups,
            Err(e) => {
                let groups = self.chained().ok_or(e)?;
                let path = self.path.display();
                log::warn!(
                    "{path}: a program was killed while it wrote the list of steps, without which they were found"
                );
                self.damaged = true;
                groups
            }
        };
        let mut found = Vec::new();
        for group in groups {
            let mut names = group.member_names()?;
            names.sort();
            let fields = names
                .into_iter()
                .map(|field| Self::field(&group, field, self.limit))
                .collect::<hdf5::Result<Vec<_>>>()?;
            let info = StepInfo { step: get(&group, "step")?, time: get(&group, "time")?, fields };
            found.push((group, info));
        }
        found.sort_by_key(|(_, info)| info.step);
        (self.groups, self.steps) = found.into_iter().unzip();
        Ok(())
    }

    /// The steps that have a name.
    fn listed(&mut self) -> hdf5::Result<Vec<Group>> {
        let steps = self.file.group(STEPS)?;
        let mut groups = Vec::new();
        for name in steps.member_names()? {
            match steps.group(&name).ok().filter(|group| group.attr("complete").is_ok()) {
                Some(group) => groups.push(group),
                None => {
                    log::warn!("{}: step {name} was not finished and is left out", self.path.display());
                    self.unfinished.push(name);
                }
            }
        }
        Ok(groups)
    }

    /// The steps that lead to the last one; nothing where there is no chain.
    fn chained(&self) -> Option<Vec<Group>> {
        let step = |reference: &ObjectReference1| -> Option<(i64, Group)> {
            let ReferencedObject::Group(group) = self.file.dereference(reference).ok()? else { return None };
            group.attr("complete").ok()?;
            Some((get(&group, "step").ok()?, group))
        };
        let ends = self.file.dataset(LAST).ok()?.read_raw::<ObjectReference1>().ok()?;
        let mut next = ends.iter().filter_map(step).max_by_key(|(number, _)| *number);
        let mut groups = Vec::new();
        while let Some((number, group)) = next {
            let previous = get::<ObjectReference1>(&group, "previous").ok();
            // Numbers fall, even in a file that was made to lead round.
            next = previous.as_ref().and_then(step).filter(|(before, _)| *before < number);
            groups.push(group);
        }
        Some(groups)
    }

    /// What is kept of the file where it is continued with this step.
    pub(crate) fn kept(&self, before: i64) -> Kept {
        let count = self.steps.partition_point(|s| s.step < before);
        let name = |info: &StepInfo| step_name(info.step);
        let dropped = self.steps[count..].iter().map(name).chain(self.unfinished.iter().cloned()).collect();
        let last = self.steps[..count].last().map(name);
        Kept { last, dropped, ..Kept::of(&self.steps[..count]) }
    }

    /// Writes the file anew where its list of steps is damaged: what is in it cannot be taken out of the list.
    pub(crate) fn repaired(self) -> Result<Self> {
        if !self.damaged {
            return Ok(self);
        }
        log::warn!("{}: the list of steps is damaged, and the file is written anew", self.path.display());
        let failed = |reason: String| Error::Io { path: self.path.clone(), reason };
        let mut name = self.path.clone().into_os_string();
        name.push(".new");
        let name = PathBuf::from(name);
        let copied = self.copy(&name).map_err(|e| e.to_string());
        let renamed = copied.and_then(|()| std::fs::rename(&name, &self.path).map_err(|e| e.to_string()));
        if let Err(reason) = renamed {
            // It may never have been made.
            let _ = std::fs::remove_file(&name);
            return Err(failed(reason));
        }
        Self::open(&self.path)
    }

    fn copy(&self, path: &Path) -> hdf5::Result<()> {
        let file = lay_out(&mut FileBuilder::new(), path)?;
        let models = self.file.group(MODELS)?;
        let copies = file.group(MODELS)?;
        for name in models.member_names()? {
            models.group(&name)?.copy_to(&copies, &name)?;
        }
        let copies = file.group(STEPS)?;
        let mut last = None;
        for (group, info) in self.groups.iter().zip(&self.steps) {
            let name = step_name(info.step);
            group.copy_to(&copies, &name)?;
            if let Some(previous) = last {
                copies.group(&name)?.attr("previous")?.write_scalar(&previous)?;
            }
            last = Some(copies.reference::<ObjectReference1>(&name)?);
        }
        if let Some(last) = last {
            file.dataset(LAST)?.write(&[last, last])?;
        }
        file.close()
    }

    fn field(step: &Group, name: String, limit: u64) -> hdf5::Result<(FieldInfo, u64)> {
        if let Ok(dataset) = step.dataset(&name) {
            let found = datasets::info(&dataset, name.clone(), limit);
            let info = FieldInfo {
                origin: get_array(&dataset, "origin_xyz")?,
                spacing: get_array(&dataset, "spacing_xyz")?,
                encoding: get_text(&dataset, "encoding")?,
                partial: dataset.attr("partial").is_ok(),
                ..found.ok_or_else(|| format!("field {name} is no dataset of floats along z, y, x"))?
            };
            return Ok((info, dataset.storage_size()));
        }
        let group = step.group(&name)?;
        let dtype = get_text(&group, "dtype")?;
        let dtype = Dtype::from_name(&dtype).ok_or_else(|| format!("field {name} has type {dtype}"))?;
        let stored = group.dataset("stream")?.size() + 8 * group.dataset("boxes")?.size();
        let info = FieldInfo {
            dtype,
            shape: get_array::<u64>(&group, "shape_xyz")?.map(|n| n as usize),
            origin: get_array(&group, "origin_xyz")?,
            spacing: get_array(&group, "spacing_xyz")?,
            encoding: get_text(&group, "encoding")?,
            partial: group.attr("partial").is_ok(),
            name,
        };
        swae_codec::view::check_shape(info.shape).map_err(|e| e.to_string())?;
        Ok((info, stored as u64))
    }
}

impl Reader for Hdf5Reader {
    fn steps(&self) -> &[StepInfo] {
        &self.steps
    }

    fn models(&self) -> &Models {
        &self.models
    }

    fn read_streams(&mut self, index: usize, field: &str) -> Result<Vec<StoredStream>> {
        let info = crate::find(self, index, field);
        let read = || -> hdf5::Result<Vec<StoredStream>> {
            let step = &self.groups[index];
            if let Ok(dataset) = step.dataset(field) {
                let info = info.as_ref().map_err(|e| e.to_string())?;
                return Ok(vec![datasets::stream(&dataset, info)?]);
            }
            let group = step.group(field)?;
            let boxes = group.dataset("boxes")?;
            check_size::<u64>(boxes.size(), self.limit)?;
            let rows = BoxRow::from_table(&boxes.read_raw::<u64>()?);
            let stream = group.dataset("stream")?;
            let size = stream.size() as u64;
            let bytes = |rows: Vec<BoxRow>| -> hdf5::Result<StoredStream> {
                let row = rows[0];
                check_size::<u8>(usize::try_from(row.length).unwrap_or(usize::MAX), self.limit)?;
                let end = row.offset.checked_add(row.length).filter(|&end| end <= size);
                let end = end.ok_or("the table of boxes leads outside the stream")?;
                let bytes = stream.read_slice_1d::<u8, _>(row.offset as usize..end as usize)?;
                Ok(StoredStream { rows, bytes: bytes.to_vec(), filter: None })
            };
            BoxRow::by_stream(rows).into_iter().map(bytes).collect()
        };
        read().map_err(|e| Error::Content { path: self.path.clone(), reason: format!("{field}: {e}") })
    }
}
