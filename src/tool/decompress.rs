//! `swae decompress`: fields back as VTK, NumPy or HDF5 files.

use crate::Steps;
use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use swae_codec::Field;
use swae_store::{FieldInfo, open, plain, read_field};

/// Decodes the chosen steps and fields of `input`.
///
/// `output` with several steps gets each step's number before its ending: `out.vti` becomes `out.00000010.vti`; a `.npy`
/// file holds one field, so with several fields their names come too; a `.h5` file holds everything.
///
/// # Errors
/// Where nothing is left to write, the ending is unknown, or a file cannot be read or written.
pub fn decompress(
    input: &Path,
    output: Option<&Path>,
    variables: &[String],
    steps: Option<Steps>,
) -> Result<Vec<PathBuf>> {
    let default = input.with_extension("vti");
    let output = output.unwrap_or(&default);
    ensure!(output != input, "{}: input and output are the same file", input.display());
    let ending = output.extension().and_then(|e| e.to_str()).unwrap_or_default().to_owned();
    ensure!(
        ["vti", "npy", "h5"].contains(&ending.as_str()),
        "{}: decompress writes .vti, .npy or .h5",
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
        let mut fields = Vec::new();
        for name in &names {
            let info = swae_store::find(reader.as_ref(), index, name)?;
            fields.push((info, read_field(reader.as_mut(), index, name)?));
        }
        let number = if many_steps { format!("{:08}.", step.step) } else { String::new() };
        if let Some(file) = &hdf5 {
            let group = file.create_group(&format!("{:08}", step.step))?;
            group.new_attr::<i64>().create("step")?.write_scalar(&step.step)?;
            group.new_attr::<f64>().create("time")?.write_scalar(&step.time)?;
            fields.iter().try_for_each(|(info, field)| write_dataset(&group, info, field))?;
        } else if ending == "vti" {
            let path = output.with_extension(format!("{number}vti"));
            plain::write_vti(&path, &fields)?;
            written.push(path);
        } else {
            for (info, field) in &fields {
                let name = if names.len() > 1 { format!("{}.", info.name) } else { String::new() };
                let path = output.with_extension(format!("{name}{number}npy"));
                plain::write_npy(&path, field)?;
                written.push(path);
            }
        }
    }
    if hdf5.is_some() {
        written.push(output.to_owned());
    }
    Ok(written)
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
