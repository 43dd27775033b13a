//! `swae hdf5-filter`: what to tell HDF5 programs that use the filter.

use anyhow::Result;
use swae_codec::Bound;
use swae_codec::array::Layout;
use swae_filter::filter::ID;
use swae_filter::parameters::{Coding, Parameters};

/// Prints the parameters; no bound means latents.
///
/// # Errors
/// Where the bound is none.
pub fn print(bound: Option<Bound>, series: bool) -> Result<()> {
    bound.map_or(Ok(()), Bound::check)?;
    let layout = if series { Layout::Series } else { Layout::Grid };
    let parameters = Parameters { layout, ..bound.map_or(Coding::Latent, Coding::Bounded).into() };
    let numbers = parameters.to_numbers();
    let listed = |between| numbers.map(|n| n.to_string()).join(between);
    // Flag 1: datasets of other types than floats are left as they are.
    println!("h5repack        -f UD={ID},1,{},{}", numbers.len(), listed(","));
    println!("h5py            compression={ID}, compression_opts=({})", listed(", "));
    println!("H5Pset_filter   {ID}, H5Z_FLAG_OPTIONAL, {}, (unsigned[]){{{}}}", numbers.len(), listed(", "));
    Ok(())
}
