//! `swae decompress` for ParaView and VisIt: steps as `.pvti` or `.vtm` files with their pieces, and
//! the `.pvd` file that gives steps their times.

use crate::source::{Fields, Source, boxes};
use anyhow::{Context, Result};
use ndarray::s;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use swae_codec::Field;
use swae_store::vtk::{self, Place};
use swae_store::{Boxes, FieldInfo, find, split_level};

/// Planes of a piece of a `.pvti` file.
const PLANES: usize = 64;

/// The last part of a path, as one file names another beside it.
fn name(path: &Path) -> String {
    path.file_name().map_or_else(String::new, |n| n.to_string_lossy().into_owned())
}

/// Writes a step as pieces of some planes each, and the file that refers to them.
///
/// # Errors
/// Where a file cannot be written, or fields do not share a grid.
pub fn write_pieces(path: &Path, fields: &Fields) -> Result<()> {
    let shape = fields.first().context("no field is left to write")?.0.shape;
    let folder = path.with_extension("pieces");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let last = shape[2].saturating_sub(1);
    let mut pieces = Vec::new();
    for (number, first) in (0..last.max(1)).step_by(PLANES).enumerate() {
        // The last plane is the next piece's first: no cell is missing between them.
        let planes = first..(first + PLANES).min(last) + 1;
        let place = ([0, 0, first], [shape[0], shape[1], planes.len()]);
        let file = folder.join(format!("{number}.vti"));
        write_box(&file, fields, [0..shape[0], 0..shape[1], planes], place)?;
        pieces.push((place, format!("{}/{}", name(&folder), name(&file))));
    }
    let infos: Vec<_> = fields.iter().map(|(info, _)| info).collect();
    Ok(vtk::write_pvti(path, &infos, &pieces)?)
}

/// Writes a part of what was decoded, as the points of a grid at a place.
fn write_box<'a>(
    path: &Path,
    fields: impl IntoIterator<Item = &'a (FieldInfo, Field)>,
    part: [Range<usize>; 3],
    place: Place,
) -> Result<()> {
    let [x, y, z] = part;
    let cut = |(info, field): &'a (FieldInfo, Field)| {
        let range = s![z.clone(), y.clone(), x.clone()];
        let values = match field {
            Field::F32(a) => Field::F32(a.slice(range).to_owned()),
            Field::F64(a) => Field::F64(a.slice(range).to_owned()),
        };
        (info, values)
    };
    let parts: Vec<_> = fields.into_iter().map(cut).collect();
    let parts: Vec<_> = parts.iter().map(|(info, field)| (*info, field)).collect();
    Ok(vtk::write_part(path, &parts, place)?)
}

/// Writes a step of a hierarchy: the boxes of each level as files in a folder beside `path`, and
/// `path`, which refers to them.
///
/// # Errors
/// Where a field cannot be read, or a file not written.
pub fn write_levels(path: &Path, source: &mut Source, index: usize, names: &[String]) -> Result<()> {
    let folder = path.with_extension("boxes");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    // Fields with the same boxes on a level share files.
    let mut sets: BTreeMap<(u32, Boxes), Vec<FieldInfo>> = BTreeMap::new();
    for name in names {
        let info = find(source.reader.as_ref(), index, name)?;
        let (_, level) = split_level(name);
        let boxes = boxes(source.reader.as_mut(), index, &info)?;
        sets.entry((level, boxes)).or_default().push(info);
    }
    let mut levels: BTreeMap<u32, Vec<String>> = BTreeMap::new();
    for ((level, boxes), infos) in sets {
        let mut fields = Vec::new();
        for mut info in infos {
            let values = source.decoded_boxes(index, &info.name)?;
            info.name = split_level(&info.name).0.into();
            fields.push((info, values));
        }
        let files = levels.entry(level).or_default();
        for (number, place) in boxes.into_iter().enumerate() {
            let file = folder.join(format!("level{level}.{}.vti", files.len()));
            let parts: Vec<_> = fields.iter().map(|(info, values)| (info, &values[number].1)).collect();
            vtk::write_part(&file, &parts, place)?;
            files.push(format!("{}/{}", name(&folder), name(&file)));
        }
    }
    Ok(vtk::write_vtm(path, &levels.into_iter().collect::<Vec<_>>())?)
}

/// Writes the file that gives steps their times.
///
/// # Errors
/// Where it cannot be written.
pub fn write_times(path: &Path, steps: &[(f64, PathBuf)]) -> Result<()> {
    let steps: Vec<_> = steps.iter().map(|(time, file)| (*time, name(file))).collect();
    Ok(vtk::write_pvd(path, &steps)?)
}
