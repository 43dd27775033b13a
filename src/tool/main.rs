//! `swae`: what users do with compressed fields before and after a run. The flags of each command
//! are in its own file of the library.

use anyhow::Result;
use clap::{Parser, Subcommand};
use swae_tool::{bench, compare, compress, decompress, filter, info, models, verify, version};

#[derive(Parser)]
#[command(
    name = "swae",
    version = version(),
    about = "Compresses fields of simulations, decompresses, verifies and compares them"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the steps and fields of a file, with sizes and ratios
    Info(info::Arguments),
    /// Decompresses fields into .vti (a file per step), .pvti (in pieces), .pvd (steps in time; boxes
    /// on levels), .npy (a file per field and step) or .h5
    Decompress(decompress::Arguments),
    /// Verifies that every value of a compressed file keeps the bound that the file states
    Verify(verify::Arguments),
    /// Measures a reconstruction: MSE, MAE, max error, PSNR, correlation, SSIM
    Compare(compare::Arguments),
    /// Compresses a field (.npy, .vti) into a .swae file
    Compress(compress::Arguments),
    /// Measures swae beside SZ3, ZFP and SPERR (where this program was built with them)
    Bench(bench::Arguments),
    /// Prints the parameters of the HDF5 filter libh5z_swae.so, for h5repack, h5py and H5Pset_filter
    Hdf5Filter(filter::Arguments),
    /// Lists the built-in models, or shows one
    Models {
        #[command(subcommand)]
        command: Option<models::Command>,
    },
}

fn main() -> Result<()> {
    // `swae info … | head` ends without an error.
    sigpipe::reset();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match Arguments::parse().command {
        Command::Info(arguments) => info::run(&arguments),
        Command::Decompress(arguments) => {
            for path in decompress::run(&arguments)? {
                println!("{}", path.display());
            }
            Ok(())
        }
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Compress(arguments) => compress::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Hdf5Filter(arguments) => filter::run(&arguments),
        Command::Models { command } => models::run(command.as_ref()),
    }
}
