//! Steps out of a BP5 output, read as a stream by one process.
//!
//! Sizes are checked first: ADIOS2 sees only files that are whole.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::copy::copy;
use super::index::{self, FORMATS, INDEX, METADATA};
use super::{SIZES, handle::Handle};
use crate::error::{Result, content, io};
use crate::names::{escaped, unescaped};
use crate::reader::{Lost, Reader, Selection, Stored, open_stream};
use crate::size::check_size;
use crate::step::{BoxRow, FieldInfo, StepInfo};
use adios2_sys::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Read;
use std::path::Path;
use swae_codec::{Dtype, Model, Models};
use tempfile::TempDir;

/// Files of an output by their names, and sizes.
type Sizes = BTreeMap<String, u64>;

/// The sizes that files had when the last step was complete; none where nothing says so.
fn noted_sizes(path: &Path) -> Result<Sizes> {
    let Ok(text) = fs::read_to_string(path.join(SIZES)) else {
        // ADIOS2 would wait for it, and print that it is not there.
        if path.is_dir() && !path.join(INDEX).is_file() {
            return Err(content(path, format!("it has no {INDEX}, and is no BP5 output")));
        }
        return Ok(Sizes::new());
    };
    serde_json::from_str(&text).map_err(|e| content(path, format!("{SIZES} is damaged: {e}")))
}

/// Whether every file of the output is as large as it was. Gives the files that have half of
/// something at their end, and the size that they have without.
fn check_sizes(path: &Path, sizes: &Sizes) -> Result<Sizes> {
    let damaged = |reason: String| content(path, reason);
    let mut found = BTreeMap::new();
    for (name, &size) in sizes {
        let length = fs::metadata(path.join(name)).map_or(0, |m| m.len());
        if length < size {
            return Err(damaged(format!("its file {name} is cut short: {length} of {size} bytes")));
        }
        found.insert(name.clone(), length);
    }
    let (Some(&index), Some(&formats)) = (sizes.get(INDEX), sizes.get(FORMATS)) else {
        return Ok(Sizes::new());
    };
    // What is behind was not flushed: after a loss of power it may be anything.
    let whole = BTreeMap::from([(INDEX.to_owned(), index), (FORMATS.to_owned(), formats)]);
    Ok(whole.into_iter().filter(|(name, size)| found[name] > *size).collect())
}

/// Bytes of metadata that the list of steps speaks of, up to its size where that is known.
fn listed_metadata(path: &Path, sizes: &Sizes) -> Result<u64> {
    let mut list = fs::read(path.join(INDEX)).map_err(|e| io(path, e))?;
    if let Some(&size) = sizes.get(INDEX) {
        list.truncate(usize::try_from(size).unwrap_or(usize::MAX));
    }
    index::metadata(&list).ok_or_else(|| content(path, format!("{INDEX} leaves out a part of {METADATA}")))
}

/// Those of data.
fn of_data(sizes: Sizes) -> Sizes {
    sizes.into_iter().filter(|(name, _)| name.starts_with("data.")).collect()
}

/// The output with these files of other sizes: shorter, because ADIOS2 does not survive what is
/// behind, or as long as they were.
fn resized_copy(path: &Path, sizes: &Sizes) -> std::io::Result<TempDir> {
    let copy = tempfile::Builder::new().suffix(".bp").tempdir()?;
    for entry in fs::read_dir(path.canonicalize()?)? {
        let entry = entry?;
        let name = entry.file_name();
        let to = copy.path().join(&name);
        match name.to_str().and_then(|name| sizes.get(name)) {
            Some(&size) => {
                let mut start = fs::File::open(entry.path())?.take(size);
                let mut file = fs::File::create(to)?;
                std::io::copy(&mut start, &mut file)?;
                file.set_len(size)?;
            }
            None => std::os::unix::fs::symlink(entry.path(), to)?,
        }
    }
    Ok(copy)
}

pub(crate) struct Adios2Reader {
    handle: Handle,
    /// The step that the engine is in, counted from 0.
    at: usize,
    steps: Vec<StepInfo>,
    models: Models,
    lost: Vec<Lost>,
    /// The sizes that data had when the last step was complete.
    sizes: Sizes,
    /// The step for which they were last checked.
    checked: Option<usize>,
    /// Where the output is read, if not where it is.
    _copy: Option<TempDir>,
    /// Where its data are as long as they were.
    lengthened: Option<TempDir>,
}

impl Adios2Reader {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let sizes = noted_sizes(path)?;
        let cuts = check_sizes(path, &sizes)?;
        listed_metadata(path, &sizes)?;
        let copy =
            (!cuts.is_empty()).then(|| resized_copy(path, &cuts)).transpose().map_err(|e| io(path, e))?;
        let handle = Self::rewound(copy.as_ref().map_or(path, TempDir::path))?;
        let mut reader = Self {
            handle,
            at: 0,
            steps: Vec::new(),
            models: Models::built_in(),
            lost: Vec::new(),
            sizes: of_data(sizes),
            checked: None,
            _copy: copy,
            lengthened: None,
        };
        while reader.handle.next_step()? {
            let step = reader.scan()?;
            reader.steps.push(step);
            reader.handle.end_step()?;
        }
        reader.rewind()?;
        Ok(reader)
    }

    /// Opens an output whose data lost their end; none where they did not. What is missing reads as
    /// nothing, which is no stream.
    pub(crate) fn open_cut(path: &Path) -> Option<Result<Self>> {
        let length = |name: &str| fs::metadata(path.join(name)).map_or(0, |m| m.len());
        let mut cut = of_data(noted_sizes(path).ok()?);
        cut.retain(|name, size| length(name) < *size);
        let (name, size) = cut.first_key_value()?;
        let open = || -> Result<Self> {
            let copy = resized_copy(path, &cut).map_err(|e| io(path, e))?;
            let mut reader = Self::open(copy.path())?;
            let text = format!("its file {name} is cut short: {} of {size} bytes", length(name));
            reader.lost.push(Lost { what: "the end".into(), error: content(path, text) });
            reader.lengthened = Some(copy);
            Ok(reader)
        };
        Some(open())
    }

    /// Takes away what a run left unfinished.
    pub(crate) fn repair(path: &Path) -> Result<()> {
        let sizes = noted_sizes(path)?;
        let mut cuts = check_sizes(path, &sizes)?;
        // The next step's metadata have to begin where those of the last one end.
        let (listed, length) = (listed_metadata(path, &sizes)?, fs::metadata(path.join(METADATA)));
        if length.is_ok_and(|metadata| metadata.len() > listed) {
            cuts.insert(METADATA.into(), listed);
        }
        for (name, size) in cuts {
            let file = fs::OpenOptions::new().write(true).open(path.join(name));
            let cut = file.and_then(|file| file.set_len(size));
            cut.map_err(|e| io(path, e))?;
        }
        Ok(())
    }

    fn rewound(path: &Path) -> Result<Handle> {
        // SAFETY: no communicator is given.
        unsafe { Handle::new(path, None, adios2_mode_adios2_mode_read, &[]) }
    }

    /// To the first step, if there is one.
    fn rewind(&mut self) -> Result<()> {
        self.handle = Self::rewound(&self.handle.path)?;
        self.at = 0;
        self.handle.next_step()?;
        Ok(())
    }

    fn scan(&mut self) -> Result<StepInfo> {
        let handle = &self.handle;
        let one = |missing: &str| handle.damaged(format!("a step has no {missing}; is it a file of swae?"));
        let step = handle.get::<i64>("step", adios2_type_adios2_type_int64_t, 0, None)?;
        let time = handle.get::<f64>("time", adios2_type_adios2_type_double, 0, None)?;
        let step = step.and_then(|v| v.first().copied()).ok_or_else(|| one("step"))?;
        let time = time.and_then(|v| v.first().copied()).ok_or_else(|| one("time"))?;
        let mut names = handle.names();
        names.sort();
        let mut fields = Vec::new();
        for name in names {
            if let Some(id) = name.strip_prefix("models/").and_then(|n| n.strip_suffix("/decoder")) {
                log::debug!("model {id} comes with the file");
                match self.model(&name) {
                    Ok(model) => drop(self.models.add(model)),
                    Err(error) => self.lost.push(Lost { what: format!("model {id}"), error }),
                }
            } else if let Some(field) = name.strip_suffix("/stream") {
                match self.field(field) {
                    Ok(field) => fields.push(field),
                    Err(error) => {
                        let what = format!("step {step}, field {}", unescaped(field));
                        self.lost.push(Lost { what, error });
                    }
                }
            }
        }
        // As they are called: escaped names may have another order.
        fields.sort_by(|(a, _), (b, _)| a.name.cmp(&b.name));
        Ok(StepInfo { step, time, fields })
    }

    fn model(&self, name: &str) -> Result<Model> {
        let bytes = self.handle.get::<u8>(name, adios2_type_adios2_type_uint8_t, 0, None)?;
        Ok(Model::from_bytes(&bytes.unwrap_or_default())?)
    }

    /// What the variables and attributes of a field say; its name is escaped.
    fn field(&self, name: &str) -> Result<(FieldInfo, u64)> {
        let handle = &self.handle;
        let dtype = handle.read_text(&format!("{name}/dtype"))?;
        let dtype = Dtype::from_name(&dtype)
            .ok_or_else(|| handle.damaged(format!("field {name} has type {dtype}")))?;
        let shape =
            handle.read_triple::<u64>(&format!("{name}/shape_xyz"), adios2_type_adios2_type_uint64_t)?;
        let rows = self.rows(name)?;
        let streams = rows.chunk_by(|a, b| a.offset == b.offset).map(|same| same[0].length);
        let table = (rows.len() as u64).saturating_mul(size_of::<[u64; BoxRow::COLUMNS]>() as u64);
        let stored = streams.fold(table, u64::saturating_add);
        let info = FieldInfo {
            name: unescaped(name),
            dtype,
            shape: shape.map(|n| usize::try_from(n).unwrap_or(usize::MAX)),
            origin: handle.read_triple(&format!("{name}/origin_xyz"), adios2_type_adios2_type_double)?,
            spacing: handle.read_triple(&format!("{name}/spacing_xyz"), adios2_type_adios2_type_double)?,
            encoding: handle.read_text(&format!("{name}/encoding"))?,
            partial: handle.has_attribute(&format!("{name}/partial")),
        };
        swae_codec::view::check_shape(info.shape)?;
        Ok((info, stored))
    }

    fn rows(&self, field: &str) -> Result<Vec<BoxRow>> {
        let table =
            self.handle.get::<u64>(&format!("{field}/boxes"), adios2_type_adios2_type_uint64_t, 0, None)?;
        let table =
            table.ok_or_else(|| self.handle.damaged(format!("field {field} has no table of boxes")))?;
        Ok(BoxRow::from_table(&table))
    }
}

impl Adios2Reader {
    /// Whether data are as long as they were, once a step: they may be cut while the output is open,
    /// and ADIOS2 waits for ever for what is missing.
    fn check_data(&mut self, index: usize) -> Result<()> {
        if self.checked == Some(index) {
            return Ok(());
        }
        for (name, size) in &self.sizes {
            let length = fs::metadata(self.handle.path.join(name)).map_or(0, |m| m.len());
            if length < *size {
                return Err(self
                    .handle
                    .damaged(format!("its file {name} is cut short: {length} of {size} bytes")));
            }
        }
        self.checked = Some(index);
        Ok(())
    }

    /// To a step. BP5 is read as a stream: forwards is cheap, backwards opens the file again.
    fn go_to(&mut self, index: usize) -> Result<()> {
        if index < self.at {
            self.rewind()?;
        }
        while self.at < index {
            self.handle.end_step()?;
            if !self.handle.next_step()? {
                return Err(self.handle.damaged(format!("step {index} is gone")));
            }
            self.at = self.at.saturating_add(1);
        }
        Ok(())
    }
}

impl Reader for Adios2Reader {
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
        copy(self, to, kept)
    }

    fn read_selected(
        &mut self,
        index: usize,
        field: &str,
        select: &mut dyn FnMut(&[BoxRow]) -> Selection,
    ) -> Result<Vec<Stored>> {
        self.check_data(index)?;
        self.go_to(index)?;
        let field = escaped(field);
        let name = format!("{field}/stream");
        let mut stored = Vec::new();
        for rows in BoxRow::by_stream(self.rows(&field)?) {
            let selection = select(&rows);
            if selection == Selection::Nothing {
                continue;
            }
            let (offset, length) = (rows[0].offset as usize, rows[0].length as usize);
            let fits = check_size::<u8>(length, self.handle.limit);
            fits.map_err(|e| self.handle.damaged(format!("{name}: {e}")))?;
            let stream = open_stream(&rows, &selection, |at, out| {
                let start = offset.saturating_add(at);
                self.handle.get_into::<u8>(&name, adios2_type_adios2_type_uint8_t, start, out)
            })?;
            stored.push(Stored::Stream { rows, stream });
        }
        Ok(stored)
    }
}
