//! `swae decompress`: fields of a file, as VTK, NumPy or HDF5 files.

use crate::output::Output;
use crate::source::Source;
use crate::{Region, Selection, check_folder};
use anyhow::{Result, bail, ensure};
use std::path::PathBuf;
use swae_store::{StepInfo, open};

/// Flags of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// .h5, .bp or .swae
    input: PathBuf,
    /// The output; where there are several steps or fields, their numbers and names are put before the
    /// ending [default: INPUT with .vti]
    #[arg(short, long)]
    output: Option<PathBuf>,
    #[command(flatten)]
    selection: Selection,
    /// Only this part of the grid, x0:x1,y0:y1,z0:z1, ends not included; one that is not given is the
    /// grid's
    #[arg(long)]
    region: Option<Region>,
}

/// Decodes the selected steps and fields, and gives the files that it wrote.
///
/// `output` with several steps gets each step's number before its ending: `out.vti` becomes
/// `out.00000010.vti`. A `.npy` file holds one field, so with several fields it gets their names
/// too; a `.h5` file holds everything. A `.pvti` file refers to pieces in a folder beside it. A
/// `.pvd` file refers to steps beside it, at their times: `.vti` files or, where fields lie on
/// several levels, `.vtm` files, with a file for each box in a folder. A series or a list of boxes
/// in a `.swae` file becomes one `.npy` file of four axes again. Of a region, only the tiles that
/// it touches are decoded.
///
/// # Errors
/// Where nothing is left to write, the ending is unknown, or a file cannot be read or written.
pub fn run(arguments: &Arguments) -> Result<Vec<PathBuf>> {
    let Arguments { input, output, selection, region } = arguments;
    let output = output.clone().unwrap_or_else(|| input.with_extension("vti"));
    ensure!(output != *input, "{}: input and output are the same file", input.display());
    Output::check_ending(&output)?;
    check_folder(&output)?;
    let reader = open(input)?;
    let chosen = selection.steps_of(reader.as_ref());
    if chosen.is_empty() {
        let have: Vec<String> = reader.steps().iter().map(|s| s.step.to_string()).collect();
        bail!("{} has no such step; it has {}", input.display(), have.join(", "));
    }
    let is_array = input.extension().is_some_and(|e| e == "swae");
    let mut output = Output::create(output, is_array, chosen.len())?;
    let mut source = Source::new(reader, chosen.len(), region.clone());
    for index in chosen {
        let names = names(source.step(index), selection)?;
        output.write_step(&mut source, index, &names)?;
    }
    output.finish()
}

/// Names of the selected fields of a step.
fn names(step: &StepInfo, selection: &Selection) -> Result<Vec<String>> {
    let all = || step.fields.iter().map(|(info, _)| &info.name[..]);
    let names: Vec<String> = all().filter(|name| selection.has_field(name)).map(String::from).collect();
    if let Some(missing) = selection.missing(all()) {
        let have = all().collect::<Vec<_>>().join(", ");
        bail!("step {} has no field '{missing}'; it has {have}", step.step);
    }
    Ok(names)
}
