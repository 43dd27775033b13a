//! `swae`: what people do with compressed fields after the run.

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;
use swae_codec::LatentCoding;
use swae_tool::{Steps, compare, compress, decompress, info, models};

#[derive(Parser)]
#[command(version, about = "Reads, writes and judges fields compressed by swae")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Lists the steps and fields of a file, with sizes and ratios
    Info {
        /// .h5, .bp, .swae, .npy or .vti
        file: PathBuf,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Decodes fields into .vti (a file per step), .npy (a file per field and step) or .h5
    Decompress {
        /// .h5, .bp or .swae
        input: PathBuf,
        /// Where to; steps and names are put before the ending [default: INPUT with .vti]
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// This field alone; may be repeated
        #[arg(long = "var")]
        variables: Vec<String>,
        /// This step, or A..B with both ends
        #[arg(long)]
        step: Option<Steps>,
    },
    /// Says how good a reconstruction is: MSE, MAE, max error, PSNR against the original's range, correlation, SSIM
    Compare {
        /// The original
        original: PathBuf,
        /// The reconstruction
        reconstruction: PathBuf,
        /// This field alone; may be repeated
        #[arg(long = "var")]
        variables: Vec<String>,
        /// This step, or A..B with both ends
        #[arg(long)]
        step: Option<Steps>,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// Draws the middle slices of up to six fields of the last step
        #[arg(long)]
        png: Option<PathBuf>,
        /// The fields to draw, with commas between them [default: the first six]
        #[arg(long, value_delimiter = ',', requires = "png")]
        png_fields: Vec<String>,
    },
    /// Compresses a field (.npy, .vti) into a .swae file
    Compress {
        /// .npy or .vti
        input: PathBuf,
        /// .swae
        #[arg(short, long)]
        output: PathBuf,
        /// Stores latents at a fixed rate, without an error bound
        #[arg(long, required = true)]
        latent: bool,
        /// Name of a built-in model, or a model file
        #[arg(long, default_value = "gr-16")]
        model: String,
        /// How latents are stored
        #[arg(long, default_value = "f16", value_parser = ["f32", "f16", "u8"])]
        coding: String,
    },
    /// Lists the built-in models, or shows one
    Models {
        #[command(subcommand)]
        command: Option<ModelsCommand>,
    },
}

#[derive(Subcommand)]
enum ModelsCommand {
    /// A line for each built-in model
    List,
    /// All that a model says of itself
    Show {
        /// Name of a built-in model, or a model file
        model: String,
    },
}

fn main() -> Result<()> {
    // `swae info … | head` ends quietly.
    sigpipe::reset();
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("warn")).init();
    match Arguments::parse().command {
        Command::Info { file, json } => info::info(&file, json),
        Command::Decompress { input, output, variables, step } => {
            for path in decompress::decompress(&input, output.as_deref(), &variables, step)? {
                println!("{}", path.display());
            }
            Ok(())
        }
        Command::Compare { original, reconstruction, variables, step, json, png, png_fields } => {
            let all =
                compare::compare(&original, &reconstruction, &variables, step, png.as_deref(), &png_fields)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&all)?);
            } else {
                compare::print(&all);
            }
            Ok(())
        }
        Command::Compress { input, output, latent: _, model, coding } => {
            let coding = LatentCoding::from_name(&coding).expect("clap allows these names only");
            compress::compress_file(&input, &output, &model, coding)
        }
        Command::Models { command: None | Some(ModelsCommand::List) } => {
            models::list();
            Ok(())
        }
        Command::Models { command: Some(ModelsCommand::Show { model }) } => models::show(&model),
    }
}
