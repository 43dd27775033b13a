//! Steps out of an HDF5 file, and the repair of a file whose list of steps was left half written.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::attributes::{get, get_array, get_text, set};
use super::layout::{LAST, MODELS, STEPS, create_file, encoding, step_name};
use super::{cut, datasets, filtered};
use crate::error::{Cause, Error, Result, content, io, reading};
use crate::names::{escaped, unescaped};
use crate::new_file::NewFile;
use crate::reader::{Lost, Reader, Selection, Stored, find, open_stream};
use crate::size::{check_memory, check_size};
use crate::step::{BoxRow, FieldInfo, StepInfo};
use crate::writer::Kept;
use hdf5::plist::LinkCreate;
use hdf5::{Dataset, File, FileBuilder, Group, H5Type, ObjectReference1, ReferencedObject};
use ndarray::ArrayViewMut1;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use swae_codec::stream::Stream;
use swae_codec::{Dtype, Model, Models};

fn foreign(path: &Path, e: &hdf5::Error) -> Error {
    content(path, format!("not a file of swae, or damaged ({e})"))
}

pub(crate) struct Hdf5Reader {
    file: File,
    path: PathBuf,
    groups: Vec<Group>,
    steps: Vec<StepInfo>,
    /// The groups of steps that were not finished.
    unfinished: Vec<String>,
    /// Whether the list of steps cannot be read, so that they come from the chain.
    damaged: bool,
    models: Models,
    lost: Vec<Lost>,
}

impl Hdf5Reader {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        filtered::register();
        let mut reader = Self::of(File::open(path).map_err(|e| foreign(path, &e))?, path);
        reader.scan().map_err(|e| foreign(path, &e))?;
        Ok(reader)
    }

    /// Opens a file that lost its end; none where it did not.
    pub(crate) fn open_cut(path: &Path) -> Option<Result<Self>> {
        filtered::register();
        let (found, said) = cut::lengths(path)?;
        let open = || -> Result<Self> {
            let mut reader = Self::of(cut::open_lengthened(path, said).map_err(|e| io(path, e))?, path);
            reader.lose("the end".into(), format!("cut short: {found} of {said} bytes").into());
            reader.scan().map_err(|e| foreign(path, &e))?;
            Ok(reader)
        };
        Some(open())
    }

    fn of(file: File, path: &Path) -> Self {
        Self {
            file,
            path: path.into(),
            groups: Vec::new(),
            steps: Vec::new(),
            unfinished: Vec::new(),
            damaged: false,
            models: Models::built_in(),
            lost: Vec::new(),
        }
    }

    fn scan(&mut self) -> hdf5::Result<()> {
        self.scan_models()?;
        let groups = match self.listed() {
            Ok(groups) => groups,
            Err(e) => {
                // Of a file that was cut, the end of the chain is as likely to be gone.
                let is_cut = cut::lengths(&self.path).is_some();
                let found =
                    if is_cut { Some(cut::find_steps(&self.file, &self.path)) } else { self.chained() };
                let groups = found.ok_or(e)?;
                let path = self.path.display();
                log::warn!("{path}: the list of steps was left half written; steps are found without it");
                self.damaged = true;
                groups
            }
        };
        let mut found = Vec::new();
        for group in groups {
            match self.scan_step(&group) {
                Ok(info) => found.push((group, info)),
                Err(e) => self.lose(format!("step {}", group.name()), e.into()),
            }
        }
        found.sort_by_key(|(_, info)| info.step);
        (self.groups, self.steps) = found.into_iter().unzip();
        Ok(())
    }

    fn lose(&mut self, what: String, cause: Cause) {
        self.lost.push(Lost { what, error: reading(&self.path, cause) });
    }

    fn scan_step(&mut self, group: &Group) -> hdf5::Result<StepInfo> {
        let (step, time) = (get(group, "step")?, get(group, "time")?);
        let mut names = group.member_names()?;
        names.sort();
        let mut fields = Vec::new();
        for name in names {
            match Self::field(group, &name) {
                Ok(field) => fields.push(field),
                Err(cause) => self.lose(format!("step {step}, field {}", unescaped(&name)), cause),
            }
        }
        fields.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        Ok(StepInfo { step, time, fields })
    }

    fn scan_models(&mut self) -> hdf5::Result<()> {
        let models = self.file.group(MODELS)?;
        for name in models.member_names()? {
            let model = models.group(&name).map_err(Cause::from).and_then(|group| self.model(&group));
            match model {
                Ok(None) => {}
                Ok(Some(model)) => drop(self.models.add(model)),
                Err(cause) => self.lose(format!("model {name}"), cause),
            }
        }
        Ok(())
    }

    /// None where it is built in.
    fn model(&self, group: &Group) -> std::result::Result<Option<Model>, Cause> {
        if !group.link_exists("decoder") {
            return Ok(None);
        }
        Ok(Some(Model::from_bytes(&self.all::<u8>(&group.dataset("decoder")?)?)?))
    }

    /// The steps that have a name.
    fn listed(&mut self) -> hdf5::Result<Vec<Group>> {
        let steps = self.file.group(STEPS)?;
        let mut groups = Vec::new();
        for name in steps.member_names()? {
            match steps.group(&name) {
                Ok(group) if group.attr("complete").is_ok() => groups.push(group),
                Err(e) => self.lose(format!("step {name}"), e.into()),
                Ok(_) => {
                    log::warn!("{}: step {name} was not finished and is left out", self.path.display());
                    self.unfinished.push(name);
                }
            }
        }
        Ok(groups)
    }

    /// The steps of the chain; nothing where there is none.
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
            // Numbers fall: a chain in a circle ends.
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

    /// Writes the file anew where its list of steps is damaged: what is in it cannot be taken out
    /// of the list.
    pub(crate) fn repaired(self) -> Result<Self> {
        if !self.damaged {
            return Ok(self);
        }
        log::warn!("{}: the list of steps is damaged, and the file is written anew", self.path.display());
        let new = NewFile::at(&self.path)?;
        let all = |info: &StepInfo| info.fields.iter().map(|(info, _)| info.name.clone()).collect();
        let all: Vec<_> = self.steps.iter().map(all).collect();
        self.write_copy(new.path(), &all).map_err(|e| io(&self.path, e))?;
        new.finish()?;
        Self::open(&self.path)
    }

    fn write_copy(&self, path: &Path, kept: &[BTreeSet<String>]) -> hdf5::Result<()> {
        let file = create_file(&mut FileBuilder::new(), path)?;
        let models = self.file.group(MODELS)?;
        let copies = file.group(MODELS)?;
        for name in models.member_names()? {
            // A model that is lost is missed by none of the steps that are kept.
            if let Ok(group) = models.group(&name) {
                group.copy_to(&copies, &name)?;
            }
        }
        let copies = file.group(STEPS)?;
        let mut last = None;
        for ((group, info), kept) in self.groups.iter().zip(&self.steps).zip(kept) {
            if kept.is_empty() && !info.fields.is_empty() {
                continue;
            }
            let name = step_name(info.step);
            let copy = copies.create_group_builder().obj_track_times(false).create(&*name)?;
            set(&copy, "step", &info.step)?;
            set(&copy, "time", &info.time)?;
            if let Some(previous) = last {
                set::<ObjectReference1>(&copy, "previous", &previous)?;
            }
            for field in kept.iter().map(|field| escaped(field)) {
                copy_member(group, &copy, &field)?;
            }
            set(&copy, "complete", &1u8)?;
            last = Some(copies.reference::<ObjectReference1>(&name)?);
        }
        if let Some(last) = last {
            file.dataset(LAST)?.write(&[last, last])?;
        }
        file.close()
    }

    /// What the member of a step says of a field.
    fn field(step: &Group, member: &str) -> std::result::Result<(FieldInfo, u64), Cause> {
        let name = unescaped(member);
        if let Ok(dataset) = step.dataset(member) {
            let found = datasets::info(&dataset, name.clone());
            let info = FieldInfo {
                origin: get_array(&dataset, "origin_xyz")?,
                spacing: get_array(&dataset, "spacing_xyz")?,
                encoding: get_text(&dataset, "encoding")?,
                partial: dataset.attr("partial").is_ok(),
                ..found.ok_or_else(|| format!("field {name} is no dataset of floats along z, y, x"))?
            };
            return Ok((info, dataset.storage_size()));
        }
        let group = step.group(member)?;
        let dtype = get_text(&group, "dtype")?;
        let dtype = Dtype::from_name(&dtype).ok_or_else(|| format!("field {name} has type {dtype}"))?;
        let table = count(&group.dataset("boxes")?)?.saturating_mul(size_of::<u64>());
        let stored = count(&group.dataset("stream")?)?.saturating_add(table);
        let info = FieldInfo {
            dtype,
            shape: get_array::<u64>(&group, "shape_xyz")?.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
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

impl Hdf5Reader {
    /// The table of boxes of a field, and the dataset that holds their bytes.
    fn table(&self, field: &Group) -> std::result::Result<(Vec<BoxRow>, Dataset), Cause> {
        Ok((BoxRow::from_table(&self.all::<u64>(&field.dataset("boxes")?)?), field.dataset("stream")?))
    }

    /// All numbers of a dataset, if they can be there and there is memory for them.
    fn all<T: H5Type>(&self, dataset: &Dataset) -> std::result::Result<Vec<T>, Cause> {
        let count = count(dataset)?;
        self.check_there::<T>(dataset, count)?;
        check_memory::<T>(count)?;
        Ok(dataset.read_raw::<T>()?)
    }

    /// Whether so many numbers of a dataset can be there: what no filter has made smaller takes its
    /// space in the file.
    fn check_there<T>(&self, dataset: &Dataset, count: usize) -> std::result::Result<(), String> {
        if dataset.filters().is_empty() { check_size::<T>(count, self.file.size()) } else { Ok(()) }
    }

    /// What is selected of the stream of some boxes.
    fn stream(
        &self,
        bytes: &Dataset,
        rows: &[BoxRow],
        selection: &Selection,
    ) -> std::result::Result<Stream<'static>, Cause> {
        let (offset, length) = (usize::try_from(rows[0].offset)?, usize::try_from(rows[0].length)?);
        let end = offset.checked_add(length);
        if !end.is_some_and(|end| count(bytes).is_ok_and(|count| end <= count)) {
            return Err("the table of boxes leads outside the stream".into());
        }
        self.check_there::<u8>(bytes, length)?;
        // The crate of HDF5 reads into memory of its own, from which the bytes are copied.
        check_memory::<[u8; 2]>(length)?;
        open_stream(rows, selection, |at, out| {
            let first = offset.saturating_add(at);
            let read = bytes.read_slice_1d::<u8, _>(first..first.saturating_add(out.len()))?;
            ArrayViewMut1::from(out).assign(&read);
            Ok(())
        })
    }

    fn read_rows(
        &self,
        index: usize,
        field: &str,
        select: &mut dyn FnMut(&[BoxRow]) -> Selection,
    ) -> std::result::Result<Vec<Stored>, Cause> {
        let group = self.groups[index].group(&escaped(field))?;
        let (rows, bytes) = self.table(&group)?;
        let mut stored = Vec::new();
        for rows in BoxRow::by_stream(rows) {
            let selection = select(&rows);
            if selection != Selection::Nothing {
                let stream = self.stream(&bytes, &rows, &selection)?;
                stored.push(Stored::Stream { rows, stream });
            }
        }
        Ok(stored)
    }
}

/// How many numbers a dataset has.
fn count(dataset: &Dataset) -> std::result::Result<usize, String> {
    let count = dataset.shape().into_iter().try_fold(1usize, usize::checked_mul);
    count.ok_or_else(|| "a dataset has an impossible shape".into())
}

/// Copies a field of a step, whichever way it is stored.
fn copy_member(from: &Group, to: &Group, name: &str) -> hdf5::Result<()> {
    let link = LinkCreate::build().char_encoding(encoding(name)).finish()?;
    match from.dataset(name) {
        Ok(dataset) => dataset.copy_to_with_props(to, name, None, Some(&link)),
        Err(_) => from.group(name)?.copy_to_with_props(to, name, None, Some(&link)),
    }
}

impl Reader for Hdf5Reader {
    fn steps(&self) -> &[StepInfo] {
        &self.steps
    }

    fn models(&self) -> &Models {
        &self.models
    }

    fn take_lost(&mut self) -> Vec<Lost> {
        std::mem::take(&mut self.lost)
    }

    fn copy(&mut self, to: &Path, kept: &[BTreeSet<String>]) -> Result<()> {
        let new = NewFile::at(to)?;
        self.write_copy(new.path(), kept).map_err(|e| io(to, e))?;
        new.finish()
    }

    fn read_selected(
        &mut self,
        index: usize,
        field: &str,
        select: &mut dyn FnMut(&[BoxRow]) -> Selection,
    ) -> Result<Vec<Stored>> {
        let info = find(self, index, field)?;
        let stored = match self.groups[index].dataset(&escaped(field)) {
            Ok(dataset) => datasets::read(&dataset, &info, select),
            Err(_) => self.read_rows(index, field, select),
        };
        stored.map_err(|cause| reading(&self.path, cause))
    }
}
