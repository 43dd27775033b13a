//! `swae`: what users do with compressed fields before and after a run. The flags of each command
//! are in its own file of the library.

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use swae_tool::{bench, compare, compress, decompress, filter, info, models, repair, verify, version};

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
    /// Verifies that all of a file is sound; with the original, that every value keeps the bound that
    /// the file states
    Verify(verify::Arguments),
    /// Writes what is sound of a damaged file to a new one
    Repair(repair::Arguments),
    /// Measures a reconstruction: MSE, MAE, max error, PSNR, correlation, SSIM
    Compare(compare::Arguments),
    /// Compresses a field (.npy, .vti) into a .swae file, or the steps of files into a run (.h5, .bp)
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

fn main() -> ExitCode {
    // `swae info … | head` ends without an error.
    sigpipe::reset();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("Error: {}", message(&e));
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes, but for those that it says itself.
fn message(error: &anyhow::Error) -> String {
    error.chain().map(|cause| cause.to_string()).fold(String::new(), |text, cause| match &text[..] {
        "" => cause,
        said if said.contains(&cause) => text,
        said => format!("{said}: {cause}"),
    })
}

fn run() -> Result<()> {
    match Arguments::parse().command {
        Command::Info(arguments) => info::run(&arguments),
        Command::Decompress(arguments) => {
            for path in decompress::run(&arguments)? {
                println!("{}", path.display());
            }
            Ok(())
        }
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Repair(arguments) => repair::run(&arguments),
        Command::Compare(arguments) => compare::run(&arguments),
        Command::Compress(arguments) => compress::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Hdf5Filter(arguments) => filter::run(&arguments),
        Command::Models { command } => models::run(command.as_ref()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn refused(line: &str) -> String {
        match Arguments::try_parse_from(line.split(' ')) {
            Ok(_) => panic!("'{line}' was taken"),
            Err(e) => e.to_string(),
        }
    }

    #[test]
    fn the_flags_of_each_command_fit_together() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn unknown_words_are_refused_with_a_suggestion() {
        for (line, suggestion) in [
            ("swae inof a.h5", "'info'"),
            ("swae info --predictor a.h5", "'--predictors'"),
            ("swae compress a.npy -o a.swae --rel 1e-3 --without intr", "'intra'"),
            ("swae compress a.npy -o a.swae --latent --latents f1", "'f16'"),
            ("swae compress a.npy -o a.swae --rel 1e-3 --layout serie", "'series'"),
            ("swae bench a.h5 --references sz", "'sz3'"),
        ] {
            let message = refused(line);
            assert!(message.contains("similar") && message.contains(suggestion), "{line}: {message}");
        }
    }

    #[test]
    fn a_mode_is_asked_for_once_at_most() {
        assert!(refused("swae compress a.npy -o a.swae --abs 1 --rel 1").contains("cannot be used with"));
    }

    #[test]
    fn the_version_names_the_format_and_the_features() {
        let version = Arguments::command().render_version();
        let expected = concat!("swae ", env!("CARGO_PKG_VERSION"), " (format 1; features ");
        assert!(version.starts_with(expected), "{version}");
    }
}
