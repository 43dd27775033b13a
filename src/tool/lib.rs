//! The program `swae`, one file per command: its flags, and what it does.
//!
//! Files are opened by `swae-store` and compressed by `swae-codec`; here are only the flags, the
//! order of the steps, and what is printed. `bench` measures beside `swae-reference`, pictures and
//! metrics are those of `swae-metrics`.

pub mod bench;
pub mod compare;
pub mod compress;
pub mod decompress;
pub mod filter;
pub mod info;
mod memory;
mod mode;
pub mod models;
mod output;
mod paraview;
mod predictors;
pub mod repair;
mod selection;
mod soundness;
mod source;
mod summary;
mod transcode;
pub mod verify;

pub use selection::{Region, Selection, Steps, Variable};

use std::path::Path;
use std::sync::LazyLock;

/// The version of the program, of the format that it writes and reads, and its optional features.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(describe_version);
    &VERSION
}

fn describe_version() -> String {
    let features = [("adios2", cfg!(feature = "adios2")), ("references", cfg!(feature = "references"))];
    let built: Vec<_> = features.into_iter().filter(|(_, built)| *built).map(|(name, _)| name).collect();
    let features = if built.is_empty() { "none".into() } else { built.join(", ") };
    let format = swae_codec::stream::FORMAT_VERSION;
    format!("{} (format {format}; features {features})", env!("CARGO_PKG_VERSION"))
}

/// Checks before the work that the folder of an output is there.
fn check_folder(output: &Path) -> anyhow::Result<()> {
    let folder = swae_store::folder_of(output);
    anyhow::ensure!(folder.is_dir(), "{}: the folder {} does not exist", output.display(), folder.display());
    Ok(())
}

/// A number of bytes in text: `12.3 kB`, in powers of 1000.
fn bytes(n: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.3} {}", units[unit]) }
}
