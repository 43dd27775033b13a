//! `swae repair`: what is sound of a damaged file, as a new file.

use crate::check_folder;
use crate::soundness::examine;
use anyhow::{Result, bail, ensure};
use std::path::{Path, PathBuf};
use swae_store::open_damaged;

/// Flags of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// .h5, .bp or .swae
    file: PathBuf,
    /// The new file, of the same ending
    #[arg(short, long)]
    output: PathBuf,
}

/// Writes the sound fields of all steps to a new file, their streams as they are, and says what is
/// left out: what is damaged, and what is predicted from it.
///
/// # Errors
/// Where nothing is sound, or the new file cannot be written or is not sound itself.
pub fn run(arguments: &Arguments) -> Result<()> {
    let Arguments { file, output } = arguments;
    let is_same = output == file
        || output.canonicalize().is_ok_and(|to| file.canonicalize().is_ok_and(|from| to == from));
    ensure!(!is_same, "{}: input and output are the same file", file.display());
    ensure!(
        output.extension() == file.extension(),
        "{}: a repaired file keeps its ending; swae decompress writes others",
        output.display()
    );
    check_folder(output)?;
    let mut reader = open_damaged(file)?;
    let found = examine(reader.as_mut());
    for line in &found.damaged {
        println!("left out: {line}");
    }
    let fields: usize = found.sound.iter().map(|fields| fields.len()).sum();
    if fields == 0 {
        bail!("{}: nothing in it is sound", file.display());
    }
    reader.copy(output, &found.sound)?;
    check(output)?;
    let all = reader.steps().iter().zip(&found.sound);
    let steps: Vec<_> = all.filter(|(_, sound)| !sound.is_empty()).map(|(step, _)| step.step).collect();
    println!("{}: {fields} field(s) of {} step(s)", output.display(), steps.len());
    if file.extension().is_some_and(|e| e == "swae") && found.sound.iter().any(|sound| sound.is_empty()) {
        let steps: Vec<_> = steps.iter().map(i64::to_string).collect();
        println!("its steps were numbers {} and count from 0 again", steps.join(", "));
    }
    Ok(())
}

/// Whether all of the new file is sound.
fn check(path: &Path) -> Result<()> {
    match examine(open_damaged(path)?.as_mut()).damaged.first() {
        None => Ok(()),
        Some(line) => bail!("{}: the new file is not sound: {line}", path.display()),
    }
}
