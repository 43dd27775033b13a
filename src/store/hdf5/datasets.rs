//! Datasets as fields: those of other programs' HDF5 files, which are one step, and those behind
//! the filter.
//!
//! The name of a field is its path in the file, without the first `/`; axes are `[z, y, x]`, as
//! HDF5 counts them. HDF5 decodes: there are no streams here.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::filtered;
use super::layout::STEPS;
use crate::error::{Cause, Result, reading};
use crate::reader::{Reader, Selection, Stored, find};
use crate::size::{check_memory, points};
use crate::step::{BoxRow, FieldInfo, StepInfo};
use hdf5::filters::Filter;
use hdf5::types::{FloatSize, TypeDescriptor};
use hdf5::{Dataset, File, Group, H5Type};
use ndarray::Array3;
use std::path::{Path, PathBuf};
use swae_codec::{Compression, Dtype, Field, Models};
use swae_filter::filter::{ID, applied};

pub(crate) struct DatasetsReader {
    file: File,
    path: PathBuf,
    steps: Vec<StepInfo>,
    models: Models,
}

impl DatasetsReader {
    /// None where the file has no such dataset.
    pub(crate) fn open(path: &Path) -> Option<Self> {
        filtered::register();
        let file = File::open(path).ok()?;
        let mut fields = Vec::new();
        collect(&file, "", &mut fields).ok()?;
        let steps = vec![StepInfo { step: 0, time: 0.0, fields }];
        let some = !steps[0].fields.is_empty();
        some.then(|| Self { file, path: path.into(), steps, models: Models::built_in() })
    }
}

/// Whether a file is sound as HDF5, and another program's.
pub(crate) fn is_foreign(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| !file.link_exists(STEPS))
}

/// The values of a dataset, if its one box is selected.
pub(super) fn read(
    dataset: &Dataset,
    info: &FieldInfo,
    select: &mut dyn FnMut(&[BoxRow]) -> Selection,
) -> std::result::Result<Vec<Stored>, Cause> {
    if select(&[BoxRow::whole(info)]) == Selection::Nothing {
        return Ok(Vec::new());
    }
    let field = match info.dtype {
        Dtype::F32 => Field::F32(values(dataset, info.shape)?),
        Dtype::F64 => Field::F64(values(dataset, info.shape)?),
    };
    Ok(vec![Stored::Values { rows: vec![BoxRow::whole(info)], field, compression: compression(dataset) }])
}

/// However small the file is: a filter may have made a constant field any number of times smaller,
/// and chunks that were never written take no space.
fn values<T: H5Type>(dataset: &Dataset, [x, y, z]: [usize; 3]) -> std::result::Result<Array3<T>, Cause> {
    check_memory::<T>(points([x, y, z]))?;
    Ok(Array3::from_shape_vec((z, y, x), dataset.read_raw()?)?)
}

/// How our filter codes a dataset.
fn compression(dataset: &Dataset) -> Option<Compression> {
    let ours = |filter: &Filter| match filter {
        Filter::User(ID, numbers) => applied(numbers),
        _ => None,
    };
    dataset.filters().iter().find_map(ours)
}

/// How deep groups are followed: a group may hold itself.
const DEPTH: usize = 16;

/// All fields of a group and of those in it, by name.
fn collect(group: &Group, prefix: &str, fields: &mut Vec<(FieldInfo, u64)>) -> hdf5::Result<()> {
    if prefix.matches('/').count() > DEPTH {
        return Ok(());
    }
    let mut names = group.member_names()?;
    names.sort();
    for name in names {
        let path = format!("{prefix}{name}");
        if let Ok(inside) = group.group(&name) {
            collect(&inside, &format!("{path}/"), fields)?;
        } else if let Ok(dataset) = group.dataset(&name)
            && let Some(info) = info(&dataset, path)
        {
            fields.push((info, dataset.storage_size()));
        }
    }
    Ok(())
}

/// None where it is no field.
pub(super) fn info(dataset: &Dataset, name: String) -> Option<FieldInfo> {
    let dtype = match dataset.dtype().ok()?.to_descriptor().ok()? {
        TypeDescriptor::Float(FloatSize::U4) => Dtype::F32,
        TypeDescriptor::Float(FloatSize::U8) => Dtype::F64,
        _ => return None,
    };
    let [z, y, x] = dataset.shape()[..] else { return None };
    let shape = [x, y, z];
    swae_codec::view::check_shape(shape).ok()?;
    Some(FieldInfo {
        name,
        dtype,
        shape,
        origin: [0.0; 3],
        spacing: [1.0; 3],
        encoding: compression(dataset).map_or_else(|| "hdf5".into(), |p| p.to_string()),
        partial: false,
    })
}

impl Reader for DatasetsReader {
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
        select: &mut dyn FnMut(&[BoxRow]) -> Selection,
    ) -> Result<Vec<Stored>> {
        let info = find(self, index, field)?;
        let dataset = self.file.dataset(&info.name).map_err(Cause::from);
        let stored = dataset.and_then(|dataset| read(&dataset, &info, select));
        stored.map_err(|cause| reading(&self.path, cause))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datasets_of_others_are_fields() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("others.h5");
        let phi = Array3::from_shape_fn((4, 5, 6), |(z, y, x)| (z * 100 + y * 10 + x) as f64);
        let file = File::create(&path).unwrap();
        file.new_dataset_builder().with_data(&phi).create("grid/phi").unwrap();
        file.new_dataset_builder().with_data(&phi.mapv(|v| v as f32)).create("psi").unwrap();
        file.new_dataset_builder().with_data(&[1, 2, 3]).create("levels").unwrap();
        file.new_dataset_builder().with_data(&[0.5, 0.25]).create("times").unwrap();
        drop(file);
        let mut reader = crate::open(&path).unwrap();
        let names: Vec<_> = reader.steps()[0].fields.iter().map(|(f, _)| f.name.clone()).collect();
        assert_eq!(names, ["grid/phi", "psi"]);
        assert_eq!(reader.steps()[0].fields[0].0.shape, [6, 5, 4]);
        let field = |reader: &mut dyn Reader, name| crate::read_field(reader, 0, name).unwrap();
        assert_eq!(field(reader.as_mut(), "grid/phi"), Field::F64(phi.clone()));
        assert_eq!(field(reader.as_mut(), "psi"), Field::F32(phi.mapv(|v| v as f32)));
        drop(reader);
        let file = File::create(&path).unwrap();
        file.new_dataset_builder().with_data(&[1, 2, 3]).create("levels").unwrap();
        file.link_hard("/", "round").unwrap();
        drop(file);
        let wrong = crate::open(&path).err().unwrap().to_string();
        assert!(wrong.contains("others.h5") && wrong.contains("nor a dataset of three axes"), "{wrong}");
    }
}
