//! `swae decompress`: fields back as VTK, NumPy or HDF5 files.

use crate::paraview::{write_levels, write_pieces, write_times};
use crate::{Region, Steps};
use anyhow::{Context, Result, bail, ensure};
use ndarray::{Array3, Axis};
use std::path::{Path, PathBuf};
use swae_codec::Field;
use swae_codec::stream::header;
use swae_store::{Decoder, FieldInfo, Reader, open, plain, vtk};

/// Decodes the chosen steps and fields of `input`.
///
/// `output` with several steps gets each step's number before its ending: `out.vti` becomes `out.00000010.vti`; a `.npy`
/// file holds one field, so with several fields their names come too; a `.h5` file holds everything. A `.pvti` file stands for
/// pieces in a folder beside it. A `.pvd` file stands for steps beside it, at their times: `.vti` files or, where fields lie on
/// several levels, `.vtm` files, with a file for each box in a folder. A series or a list of
/// boxes in a `.swae` file becomes one `.npy` file of four axes again. Of a region only the tiles that it touches are decoded.
///
/// # Errors
/// Where nothing is left to write, the ending is unknown, or a file cannot be read or written.
pub fn decompress(
    input: &Path,
    output: Option<&Path>,
    variables: &[String],
    steps: Option<Steps>,
    region: Option<&Region>,
) -> Result<Vec<PathBuf>> {
    let default = input.with_extension("vti");
    let output = output.unwrap_or(&default);
    ensure!(output != input, "{}: input and output are the same file", input.display());
    let ending = output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_owned();
    ensure!(
        ["vti", "pvti", "pvd", "npy", "h5"].contains(&ending.as_str()),
        "{}: decompress writes .vti, .pvti, .pvd, .npy or .h5",
        output.display()
    );
    let mut reader = open(input)?;
    let chosen: Vec<usize> =
        (0..reader.steps().len()).filter(|&i| Steps::holds(steps, reader.steps()[i].step)).collect();
    if chosen.is_empty() {
        let have: Vec<String> = reader.steps().iter().map(|s| s.step.to_string()).collect();
        bail!("{} has no such step; it has {}", input.display(), have.join(", "));
    }
    let hdf5 = match ending.as_str() {
        "h5" => Some(hdf5::File::create(output).with_context(|| output.display().to_string())?),
        _ => None,
    };
    let many_steps = reader.steps().len() > 1;
    let array = ending == "npy" && input.extension().is_some_and(|e| e == "swae");
    let mut decoder = if chosen.len() > 1 { Decoder::remembering() } else { Decoder::default() };
    let mut series = Vec::new();
    let mut times = Vec::new();
    let mut written = Vec::new();
    for index in chosen {
        let step = reader.steps()[index].clone();
        let names: Vec<String> = step
            .fields
            .iter()
            .map(|(info, _)| info.name.clone())
            .filter(|name| variables.is_empty() || variables.contains(name))
            .collect();
        if let Some(missing) = variables.iter().find(|v| !names.contains(v)) {
            let have: Vec<&str> = step.fields.iter().map(|(i, _)| i.name.as_str()).collect();
            bail!("step {} has no field '{missing}'; it has {}", step.step, have.join(", "));
        }
        let number = if many_steps { format!("{:08}.", step.step) } else { String::new() };
        let hierarchy = || step.fields.iter().any(|(info, _)| info.partial && names.contains(&info.name));
        if ending == "pvd" && region.is_none() && hierarchy() {
            let path = output.with_extension(format!("{:08}.vtm", step.step));
            write_levels(&path, reader.as_mut(), &mut decoder, index, &names)?;
            times.push((step.time, path));
            continue;
        }
        let mut fields = Vec::new();
        for name in &names {
            let mut info = swae_store::find(reader.as_ref(), index, name)?;
            let part = region.map(|r| r.0.clone());
            let field = decoder.read_field(reader.as_mut(), index, name, part)?;
            if let Some(Region(region)) = region {
                for (a, r) in region.iter().enumerate() {
                    info.shape[a] = r.len();
                    info.origin[a] += info.spacing[a] * r.start as f64;
                }
            }
            fields.push((info, field));
        }
        if let Some(file) = &hdf5 {
            let group = file.create_group(&format!("{:08}", step.step))?;
            group.new_attr::<i64>().create("step")?.write_scalar(&step.step)?;
            group.new_attr::<f64>().create("time")?.write_scalar(&step.time)?;
            fields.iter().try_for_each(|(info, field)| write_dataset(&group, info, field))?;
        } else if ending == "vti" {
            let path = output.with_extension(format!("{number}vti"));
            vtk::write_vti(&path, &fields)?;
            written.push(path);
        } else if ending == "pvti" {
            let path = output.with_extension(format!("{number}pvti"));
            write_pieces(&path, &fields)?;
            written.push(path);
        } else if ending == "pvd" {
            let path = output.with_extension(format!("{:08}.vti", step.step));
            vtk::write_vti(&path, &fields)?;
            times.push((step.time, path));
        } else if array && many_steps {
            series.extend(fields.into_iter().map(|(_, field)| field));
        } else if array && region.is_none() && list(reader.as_mut(), index, &names)? != 1 {
            let boxes = list(reader.as_mut(), index, &names)?;
            plain::write_npy_list(output, &unstack(&fields[0].1, boxes)?)?;
            written.push(output.to_owned());
        } else {
            for (info, field) in &fields {
                let name = if names.len() > 1 { format!("{}.", info.name) } else { String::new() };
                let path = output.with_extension(format!("{name}{number}npy"));
                plain::write_npy(&path, field)?;
                written.push(path);
            }
        }
    }
    if !series.is_empty() {
        plain::write_npy_list(output, &series)?;
        written.push(output.to_owned());
    }
    if ending == "pvd" {
        write_times(output, &times)?;
    }
    if hdf5.is_some() || ending == "pvd" {
        written.push(output.to_owned());
    }
    Ok(written)
}

/// How many boxes the only stream of a field holds.
fn list(reader: &mut dyn Reader, index: usize, names: &[String]) -> Result<usize> {
    let streams = reader.read_streams(index, &names[0])?;
    Ok(match &streams[..] {
        [only] if only.rows.len() == 1 => header(&only.bytes)?.boxes.len(),
        _ => 1,
    })
}

/// Boxes that lie one behind the other along z.
fn unstack(field: &Field, boxes: usize) -> Result<Vec<Field>> {
    fn cut<T: Clone>(a: &Array3<T>, boxes: usize) -> Vec<Array3<T>> {
        let nz = a.dim().0 / boxes.max(1);
        if nz == 0 {
            return Vec::new();
        }
        a.axis_chunks_iter(Axis(0), nz).map(|part| part.to_owned()).collect()
    }
    Ok(match field {
        Field::F32(a) => cut(a, boxes).into_iter().map(Field::F32).collect(),
        Field::F64(a) => cut(a, boxes).into_iter().map(Field::F64).collect(),
    })
}

/// A dataset `[z, y, x]` with origin and spacing.
fn write_dataset(group: &hdf5::Group, info: &FieldInfo, field: &Field) -> Result<()> {
    let dataset = match field {
        Field::F32(a) => group.new_dataset_builder().with_data(a).create(info.name.as_str())?,
        Field::F64(a) => group.new_dataset_builder().with_data(a).create(info.name.as_str())?,
    };
    for (name, value) in [("origin_xyz", info.origin), ("spacing_xyz", info.spacing)] {
        dataset.new_attr::<f64>().shape(3).create(name)?.write(&value[..])?;
    }
    Ok(())
}
