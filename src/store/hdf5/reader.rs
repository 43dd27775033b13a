//! Steps out of an HDF5 file, and the repair of a file whose list of steps was left half written.

use super::attributes::{get, get_array, get_text};
use super::layout::{LAST, MODELS, STEPS, create_file, step_name};
use super::{datasets, filtered};
use crate::error::{Error, Result};
use crate::reader::{Reader, Stored, find};
use crate::size::check_size;
use crate::step::{BoxRow, FieldInfo, StepInfo};
use crate::writer::Kept;
use hdf5::{Dataset, File, FileBuilder, Group, ObjectReference1, ReferencedObject};
use std::path::{Path, PathBuf};
use swae_codec::stream::Stream;
use swae_codec::{Dtype, Model, Models, memory};

pub(crate) struct Hdf5Reader {
    file: File,
    path: PathBuf,
    /// Bytes of the file: no dataset can hold more.
    limit: u64,
    groups: Vec<Group>,
    steps: Vec<StepInfo>,
    /// The groups of steps that were not finished.
    unfinished: Vec<String>,
    /// Whether the list of steps cannot be read, so that they come from the chain.
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
        self.scan_models()?;
        let groups = match self.listed() {
            Ok(groups) => groups,
            Err(e) => {
                let groups = self.chained().ok_or(e)?;
                let path = self.path.display();
                log::warn!("{path}: the list of steps was left half written; steps are found without it");
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

    fn scan_models(&mut self) -> hdf5::Result<()> {
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
        let file = create_file(&mut FileBuilder::new(), path)?;
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

impl Hdf5Reader {
    /// The table of boxes of a field, and the dataset that holds their bytes.
    fn table(&self, field: &Group) -> hdf5::Result<(Vec<BoxRow>, Dataset)> {
        let boxes = field.dataset("boxes")?;
        check_size::<u64>(boxes.size(), self.limit)?;
        Ok((BoxRow::from_table(&boxes.read_raw::<u64>()?), field.dataset("stream")?))
    }

    /// The bytes of a row.
    fn bytes(&self, stream: &Dataset, row: &BoxRow) -> hdf5::Result<Vec<u8>> {
        check_size::<u8>(usize::try_from(row.length).unwrap_or(usize::MAX), self.limit)?;
        let end = row.offset.checked_add(row.length).filter(|&end| end <= stream.size() as u64);
        let end = end.ok_or("the table of boxes leads outside the stream")?;
        Ok(stream.read_slice_1d::<u8, _>(row.offset as usize..end as usize)?.to_vec())
    }
}

impl Reader for Hdf5Reader {
    fn steps(&self) -> &[StepInfo] {
        &self.steps
    }

    fn models(&self) -> &Models {
        &self.models
    }

    fn read_selected(
        &mut self,
        index: usize,
        field: &str,
        select: &mut dyn FnMut(&[BoxRow]) -> bool,
    ) -> Result<Vec<Stored>> {
        let info = find(self, index, field)?;
        let content =
            |e: hdf5::Error| Error::Content { path: self.path.clone(), reason: format!("{field}: {e}") };
        let step = &self.groups[index];
        if let Ok(dataset) = step.dataset(field) {
            memory::room(info.shape.iter().product::<usize>() * info.dtype.size())?;
            return datasets::read(&dataset, &info, select).map_err(content);
        }
        let group = step.group(field).map_err(content)?;
        let (rows, bytes) = self.table(&group).map_err(content)?;
        let mut stored = Vec::new();
        for rows in BoxRow::by_stream(rows) {
            if select(&rows) {
                // The crate of HDF5 reads into memory of its own, from which the bytes are copied.
                memory::room(2 * bytes.size().min(rows[0].length as usize))?;
                let stream = Stream::open(self.bytes(&bytes, &rows[0]).map_err(content)?)?;
                stored.push(Stored::Stream { rows, stream });
            }
        }
        Ok(stored)
    }
}
