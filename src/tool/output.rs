//! The files that `swae decompress` writes: their ending chooses the format.

use crate::paraview::{write_levels, write_pieces, write_times};
use crate::source::{Fields, Source};
use anyhow::{Context, Result, bail};
use hdf5::plist::link_create::CharEncoding;
use ndarray::{Array3, Axis};
use std::path::{Path, PathBuf};
use swae_codec::Field;
use swae_store::{FieldInfo, NewFile, StepInfo, escaped, plain, vtk};

/// What is written.
enum Format {
    /// A `.vti` file for each step.
    Images,
    /// A `.pvti` file for each step, its pieces in a folder.
    Pieces,
    /// A `.pvd` file, and a file for each step at its time.
    Times(Vec<(f64, PathBuf)>),
    /// A `.npy` file for each field and step.
    Arrays,
    /// One `.npy` file of four axes where it can be: of the steps or boxes of a `.swae` file.
    Stack(Vec<Field>),
    /// One `.h5` file, which takes its place when it is whole.
    Hdf5(hdf5::File, NewFile),
}

/// Files in the making.
pub struct Output {
    path: PathBuf,
    format: Format,
    has_many_steps: bool,
    written: Vec<PathBuf>,
}

impl Output {
    /// Whether the ending is one that can be written.
    ///
    /// # Errors
    /// Where it is none.
    pub fn check_ending(path: &Path) -> Result<()> {
        match ending(path) {
            "vti" | "pvti" | "pvd" | "npy" | "h5" => Ok(()),
            _ => bail!("{}: decompress writes .vti, .pvti, .pvd, .npy or .h5", path.display()),
        }
    }

    /// Files at a path, of so many steps; `is_array` where the input holds one array, not steps of a
    /// simulation.
    ///
    /// # Errors
    /// Where the ending is unknown, or the file cannot be made.
    pub fn create(path: PathBuf, is_array: bool, steps: usize) -> Result<Self> {
        Self::check_ending(&path)?;
        let format = match ending(&path) {
            "pvti" => Format::Pieces,
            "pvd" => Format::Times(Vec::new()),
            "npy" if is_array => Format::Stack(Vec::new()),
            "npy" => Format::Arrays,
            "h5" => {
                let new = NewFile::at(&path)?;
                let file = hdf5::File::create(new.path()).with_context(|| path.display().to_string())?;
                Format::Hdf5(file, new)
            }
            _ => Format::Images,
        };
        Ok(Self { path, format, has_many_steps: steps > 1, written: Vec::new() })
    }

    /// Decodes fields of a step and writes them.
    ///
    /// # Errors
    /// Where they cannot be decoded, or a file not be written.
    pub fn write_step(&mut self, source: &mut Source, index: usize, names: &[String]) -> Result<()> {
        let step = source.step(index).clone();
        let Self { path, format, has_many_steps, written } = self;
        let number = if *has_many_steps { format!("{:08}.", step.step) } else { String::new() };
        match format {
            Format::Images => {
                let path = path.with_extension(format!("{number}vti"));
                vtk::write_vti(&path, &source.fields(index, names)?)?;
                written.push(path);
            }
            Format::Pieces => {
                let path = path.with_extension(format!("{number}pvti"));
                write_pieces(&path, &source.fields(index, names)?)?;
                written.push(path);
            }
            Format::Times(times) => {
                let file = |ending: &str| path.with_extension(format!("{:08}.{ending}", step.step));
                let file = if is_hierarchy(source, &step, names) {
                    write_levels(&file("vtm"), source, index, names)?;
                    file("vtm")
                } else {
                    vtk::write_vti(&file("vti"), &source.fields(index, names)?)?;
                    file("vti")
                };
                times.push((step.time, file));
            }
            // One of several steps is a list of one.
            Format::Stack(steps) if source.reader.steps().len() > 1 => {
                steps.extend(source.fields(index, names)?.into_iter().map(|(_, field)| field));
            }
            Format::Stack(_) if source.region.is_none() => {
                let boxes = source.stacked_boxes(index, names)?;
                written.extend(write_arrays(path, &number, &source.fields(index, names)?, boxes)?);
            }
            Format::Stack(_) | Format::Arrays => {
                written.extend(write_arrays(path, &number, &source.fields(index, names)?, 1)?);
            }
            Format::Hdf5(file, _) => write_group(file, &step, &source.fields(index, names)?)?,
        }
        Ok(())
    }

    /// Writes what holds all steps, and gives the files that were written.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn finish(mut self) -> Result<Vec<PathBuf>> {
        match self.format {
            Format::Images | Format::Pieces | Format::Arrays => return Ok(self.written),
            Format::Stack(steps) if steps.is_empty() => return Ok(self.written),
            Format::Stack(steps) => plain::write_npy_list(&self.path, &steps)?,
            Format::Times(times) => write_times(&self.path, &times)?,
            Format::Hdf5(file, new) => {
                file.close()?;
                new.finish()?;
            }
        }
        self.written.push(self.path);
        Ok(self.written)
    }
}

fn ending(path: &Path) -> &str {
    path.extension().and_then(|e| e.to_str()).unwrap_or_default()
}

/// Whether one of the fields lies in boxes on levels, and all of it is written.
fn is_hierarchy(source: &Source, step: &StepInfo, names: &[String]) -> bool {
    let is_partial = |(info, _): &(FieldInfo, u64)| info.partial && names.contains(&info.name);
    source.region.is_none() && step.fields.iter().any(is_partial)
}

/// A `.npy` file for each field, with its name before the ending where there are several; a field of
/// stacked boxes becomes an array of four axes.
fn write_arrays(path: &Path, number: &str, fields: &Fields, boxes: usize) -> Result<Vec<PathBuf>> {
    if let ([(_, field), ..], true) = (&fields[..], boxes != 1) {
        plain::write_npy_list(path, &unstack(field, boxes))?;
        return Ok(vec![path.into()]);
    }
    let write = |(info, field): &(FieldInfo, Field)| {
        let name = if fields.len() > 1 { format!("{}.", escaped(&info.name)) } else { String::new() };
        let path = path.with_extension(format!("{name}{number}npy"));
        plain::write_npy(&path, field)?;
        Ok(path)
    };
    fields.iter().map(write).collect()
}

/// Boxes that are stacked along z.
fn unstack(field: &Field, boxes: usize) -> Vec<Field> {
    fn cut<T: Clone>(a: &Array3<T>, boxes: usize) -> Vec<Array3<T>> {
        let nz = a.dim().0 / boxes.max(1);
        if nz == 0 {
            return Vec::new();
        }
        a.axis_chunks_iter(Axis(0), nz).map(|part| part.to_owned()).collect()
    }
    match field {
        Field::F32(a) => cut(a, boxes).into_iter().map(Field::F32).collect(),
        Field::F64(a) => cut(a, boxes).into_iter().map(Field::F64).collect(),
    }
}

/// A step as a group of datasets.
fn write_group(file: &hdf5::File, step: &StepInfo, fields: &Fields) -> Result<()> {
    let group = file.create_group(&format!("{:08}", step.step))?;
    group.new_attr::<i64>().create("step")?.write_scalar(&step.step)?;
    group.new_attr::<f64>().create("time")?.write_scalar(&step.time)?;
    fields.iter().try_for_each(|(info, field)| write_dataset(&group, info, field))
}

/// A dataset `[z, y, x]` with origin and spacing.
fn write_dataset(group: &hdf5::Group, info: &FieldInfo, field: &Field) -> Result<()> {
    // A name is no path: one with a '/' would lead into other groups.
    let name = escaped(&info.name);
    let builder = group.new_dataset_builder().char_encoding(CharEncoding::Utf8);
    let dataset = match field {
        Field::F32(a) => builder.with_data(a).create(&*name)?,
        Field::F64(a) => builder.with_data(a).create(&*name)?,
    };
    for (name, value) in [("origin_xyz", info.origin), ("spacing_xyz", info.spacing)] {
        dataset.new_attr::<f64>().shape(3).create(name)?.write(&value[..])?;
    }
    Ok(())
}
