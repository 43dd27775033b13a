//! `swae hdf5-filter`: the parameters of the HDF5 filter, as each HDF5 program takes them.

use crate::mode::{EffortFlag, ModeFlags};
use anyhow::Result;
use swae_codec::config::{Layout, Settings};
use swae_filter::filter::ID;

/// Flags of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    #[command(flatten)]
    mode: ModeFlags,
    /// The first axis of the datasets is time: in chunks of several steps, each step is predicted
    /// from the previous ones
    #[arg(long)]
    series: bool,
    #[command(flatten)]
    effort: EffortFlag,
}

/// Prints the parameters.
///
/// # Errors
/// Where the bound means nothing.
pub fn run(arguments: &Arguments) -> Result<()> {
    let layout = arguments.series.then_some(Layout::Series);
    let effort = Some(arguments.effort.effort);
    let compression = Settings { layout, effort, ..arguments.mode.settings() }.compression()?;
    let numbers = compression.to_cd_values();
    let listed = |between| numbers.map(|n| n.to_string()).join(between);
    // Flag 1 (H5Z_FLAG_OPTIONAL): datasets of other types than floats stay as they are.
    println!("h5repack        -f UD={ID},1,{},{}", numbers.len(), listed(","));
    println!("h5py            compression={ID}, compression_opts=({})", listed(", "));
    println!("H5Pset_filter   {ID}, H5Z_FLAG_OPTIONAL, {}, (unsigned[]){{{}}}", numbers.len(), listed(", "));
    Ok(())
}
