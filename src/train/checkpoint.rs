//! Checkpoints: all of a training in one file, written whole or not at all: weights, state of the
//! optimiser, position. It is read again by a training of the same configuration only.

use crate::adam::Adam;
use crate::config::Config;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tch::nn::VarStore;
use tch::{Tensor, no_grad};

/// Where a training is. Random numbers are drawn by step and place in the batch, so their state is
/// the step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Steps done.
    pub step: usize,
    /// What the configured rate is multiplied with: less than 1 after a loss that was not finite.
    pub rate: f64,
    /// Sum of the mean squared errors since the last line of metrics.
    pub mse_sum: f64,
    /// Seconds spent.
    pub seconds: f64,
}

#[derive(Serialize, Deserialize)]
struct Notes {
    config: serde_json::Value,
    position: Position,
    adam_steps: i32,
}

/// The file beside a model that its training is saved in.
pub fn path(output: &Path) -> PathBuf {
    output.with_extension("checkpoint")
}

/// A configuration without what may change between two parts of a training.
fn lasting(config: &Config) -> Result<serde_json::Value> {
    let mut config = config.clone();
    config.training.checkpoint_minutes = 0.0;
    Ok(serde_json::to_value(config)?)
}

/// Saves a training: to a file beside it, which then takes the place of the last one.
///
/// # Errors
/// Where the file cannot be written.
pub fn save(config: &Config, store: &VarStore, adam: &Adam, position: Position) -> Result<()> {
    let path = path(&config.output);
    let (mut tensors, adam_steps) = adam.state();
    tensors.extend(store.variables().into_iter().map(|(name, t)| (format!("variable.{name}"), t.detach())));
    let notes = serde_json::to_vec(&Notes { config: lasting(config)?, position, adam_steps })?;
    tensors.push(("notes".into(), Tensor::from_slice(&notes)));
    let tensors: Vec<_> =
        tensors.into_iter().map(|(n, t)| (n, t.to_device(tch::Device::Cpu).contiguous())).collect();
    whole(&path, |file| Ok(Tensor::write_safetensors(&tensors, file)?))
}

/// Writes a file that is there as a whole or, where that fails, as it was.
///
/// # Errors
/// Where it cannot be written.
pub fn whole(path: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let what = || path.display().to_string();
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    // As any other new file: the umask says who may read it.
    let mode = std::fs::Permissions::from_mode(0o666);
    let file = tempfile::Builder::new().permissions(mode).tempfile_in(dir).with_context(what)?;
    write(file.path()).with_context(what)?;
    file.as_file().sync_all().with_context(what)?;
    file.persist(path).with_context(what)?;
    Ok(())
}

/// Loads a training from its file, if there is one.
///
/// # Errors
/// Where the file is damaged, or of another configuration.
pub fn load(config: &Config, store: &mut VarStore, adam: &mut Adam) -> Result<Option<Position>> {
    let path = path(&config.output);
    if !path.exists() {
        return Ok(None);
    }
    let what = || path.display().to_string();
    let tensors: HashMap<String, Tensor> =
        Tensor::read_safetensors(&path).with_context(what)?.into_iter().collect();
    let of = |name: &str| {
        let found = tensors.get(name).map(Tensor::shallow_clone);
        found.with_context(|| format!("{}: no '{name}' in it", path.display()))
    };
    let notes = Vec::<u8>::try_from(of("notes")?).with_context(what)?;
    let notes: Notes = serde_json::from_slice(&notes).with_context(what)?;
    ensure!(
        notes.config == lasting(config)?,
        "{}: it is of a training with another configuration",
        path.display()
    );
    for (name, mut variable) in store.variables() {
        let saved = of(&format!("variable.{name}"))?;
        ensure!(saved.size() == variable.size(), "{}: '{name}' has another shape", path.display());
        no_grad(|| variable.copy_(&saved));
    }
    adam.restore(notes.adam_steps, of)?;
    Ok(Some(notes.position))
}
