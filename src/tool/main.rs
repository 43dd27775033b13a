//! `swae`: what people do with compressed fields after the run.

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use swae_codec::config::LatentCoding;
use swae_codec::predict::PredictorSet;
use swae_codec::{Bound, Models};
use swae_tool::compress::{Coding, Layout};
use swae_tool::{Region, Steps, bench, compare, compress, decompress, filter, info, models, picture, verify};

#[derive(Parser)]
#[command(version, about = "Reads, writes and judges fields compressed by swae")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

/// What is kept of a field.
#[derive(Args)]
#[group(required = true, multiple = false)]
struct How {
    /// Largest error of any value
    #[arg(long)]
    abs: Option<f64>,
    /// Largest error of any value, as a part of the field's range
    #[arg(long)]
    rel: Option<f64>,
    /// Largest error of any value, as a part of that value
    #[arg(long)]
    pwrel: Option<f64>,
    /// Least peak signal-to-noise ratio in dB
    #[arg(long)]
    psnr: Option<f64>,
    /// Stores latents at a fixed rate, without an error bound
    #[arg(long)]
    latent: bool,
}

impl How {
    /// None for latents.
    fn bound(&self) -> Option<Bound> {
        let bounds = [
            self.abs.map(Bound::Absolute),
            self.rel.map(Bound::Relative),
            self.pwrel.map(Bound::PointwiseRelative),
            self.psnr.map(Bound::Psnr),
        ];
        bounds.into_iter().flatten().next()
    }
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
        /// Also who won the blocks of bounded fields, and the bytes that they took; decodes everything
        #[arg(long, conflicts_with = "json")]
        winners: bool,
    },
    /// Decodes fields into .vti (a file per step), .pvti (in pieces), .pvd (steps in time; boxes on levels), .npy (a file per field
    /// and step) or .h5
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
        /// This part of the grid alone, x0:x1,y0:y1,z0:z1, ends not included
        #[arg(long)]
        region: Option<Region>,
    },
    /// Checks that every value of a compressed file keeps the bound that the file states
    Verify {
        /// The original: steps and fields of the same names, or .npy
        original: PathBuf,
        /// .swae, .h5 or .bp
        compressed: PathBuf,
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
        /// What the slowest axis of a .npy file is
        #[arg(long, value_enum, default_value_t)]
        layout: Layout,
        #[command(flatten)]
        how: How,
        /// Name of a built-in model, or a model file; with a bound, its network takes part where this is given
        /// [default with --latent: gr-16]
        #[arg(long)]
        model: Option<String>,
        /// How latents are stored
        #[arg(long, default_value = "f16", value_parser = ["f32", "f16", "u8"])]
        coding: String,
        /// Of a series: steps from one keyframe, which leans on no other step, to the next
        #[arg(long, default_value_t = 16)]
        keyframe_interval: u32,
        /// Leaves a candidate out of the competition for blocks, to see what it is worth; may be repeated
        #[arg(long, value_parser = PredictorSet::NAMES)]
        without: Vec<String>,
    },
    /// Measures swae beside SZ3, ZFP and SPERR (where this program was built with them)
    Bench {
        /// Files with fields of floats
        #[arg(required = true)]
        inputs: Vec<PathBuf>,
        /// Bounds, as parts of each field's range
        #[arg(long, value_delimiter = ',', default_value = "1e-2,1e-3,1e-4,1e-5,1e-6")]
        rel: Vec<f64>,
        /// The last step as a grid, all steps as a series, the last step cut into boxes of 8³
        #[arg(long, value_enum, value_delimiter = ',', default_value = "grid")]
        layout: Vec<bench::Layout>,
        /// Who else takes part
        #[arg(long, value_delimiter = ',', default_value = "sz3,zfp,sperr")]
        peers: Vec<String>,
        /// Numbers of threads; 0 is all there are
        #[arg(long, value_delimiter = ',', default_value = "1")]
        threads: Vec<usize>,
        /// This field alone; may be repeated
        #[arg(long = "var")]
        variables: Vec<String>,
        /// This step, or A..B with both ends
        #[arg(long)]
        step: Option<Steps>,
        /// Leaves a candidate out of our competition for blocks; may be repeated
        #[arg(long, value_parser = PredictorSet::NAMES)]
        without: Vec<String>,
        /// Its network takes part: a built-in model (gr-mixture, gr-16 …) by name, or a model file
        #[arg(long)]
        model: Option<String>,
        /// Each timing is the best of so many
        #[arg(long, default_value_t = 1)]
        repeat: usize,
        /// Writes every single result to a JSON file
        #[arg(long)]
        json: Option<PathBuf>,
        /// Draws PSNR against bits per value
        #[arg(long)]
        png: Option<PathBuf>,
    },
    /// Prints the parameters of the HDF5 filter libh5z_swae.so, for h5repack, h5py and H5Pset_filter
    Hdf5Filter {
        #[command(flatten)]
        how: How,
        /// The first axis of the datasets is time; chunks of several steps then lean on the steps before
        #[arg(long)]
        series: bool,
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
        Command::Info { file, json, winners } => info::info(&file, json, winners),
        Command::Decompress { input, output, variables, step, region } => {
            let output = output.as_deref();
            for path in decompress::decompress(&input, output, &variables, step, region.as_ref())? {
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
        Command::Verify { original, compressed } => verify::verify(&original, &compressed),
        Command::Compress { input, output, layout, how, model, coding, keyframe_interval, without } => {
            let coding = match how.bound() {
                Some(bound) => {
                    let candidates = candidates(&without);
                    Coding::Bounded { bound, candidates, model, keyframe_interval }
                }
                None => {
                    let coding = LatentCoding::from_name(&coding).expect("clap allows these names only");
                    Coding::Latent { model: model.unwrap_or_else(|| "gr-16".into()), coding }
                }
            };
            compress::compress_file(&input, &output, layout, &coding)
        }
        Command::Bench {
            inputs,
            rel: bounds,
            layout: layouts,
            peers,
            threads,
            variables,
            step: steps,
            without,
            model,
            repeat,
            json,
            png,
        } => {
            let candidates = candidates(&without);
            let model = model.as_deref().map(Models::named_or_file).transpose()?;
            let plan = bench::Plan {
                inputs,
                bounds,
                layouts,
                peers,
                threads,
                variables,
                steps,
                candidates,
                model,
                repeat,
            };
            let rows = bench::run(&plan, |row| {
                log::info!(
                    "{} {:?} {:e} {}: {:.4} bits",
                    row.field,
                    row.layout,
                    row.bound,
                    row.codec,
                    row.bits
                );
            })?;
            bench::print(&rows);
            if let Some(path) = json {
                std::fs::write(path, serde_json::to_string_pretty(&rows)?)?;
            }
            png.map_or(Ok(()), |path| picture::rate_distortion(&path, &rows))
        }
        Command::Hdf5Filter { how, series } => filter::print(how.bound(), series),
        Command::Models { command: None | Some(ModelsCommand::List) } => {
            models::list();
            Ok(())
        }
        Command::Models { command: Some(ModelsCommand::Show { model }) } => models::show(&model),
    }
}

fn candidates(without: &[String]) -> PredictorSet {
    let mut candidates = PredictorSet::ALL;
    for name in without {
        candidates.remove(name);
    }
    candidates
}
