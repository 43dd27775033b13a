//! `swae-train`: trains models and measures how good they are. This file reads the command line and
//! prints; the library does the work.

use anyhow::{Context, Result, anyhow};
use clap::{Parser, Subcommand};
use mpi::traits::Communicator;
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use swae_codec::Models;
use swae_codec::config::LatentCoding;
use swae_codec::engine::Engine;
use swae_train::config::Config;
use swae_train::fit::{self, Control, Outcome};
use swae_train::generate::{self, Generate};
use swae_train::mixing::{Mix, Tune};
use swae_train::parallel::World;
use swae_train::{bench, evaluate};

#[derive(Parser)]
#[command(version, about = "Trains sliced-Wasserstein autoencoders for swae")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Trains a model as a TOML file says, and writes the model file
    Fit {
        /// The configuration
        config: PathBuf,
        /// Go on from the checkpoint beside the output, if there is one
        #[arg(long)]
        resume: bool,
    },
    /// Trains a mixing network, on series of steps
    Mix(Mix),
    /// Refines a mixing network on the first steps of a run
    Tune(Tune),
    /// Evolves random black holes with the BSSN example, to train on
    Generate(Generate),
    /// Prints how good a model is, every stored byte counted: on the math functions, at 40³ and at
    /// 128³, or on runs
    Evaluate {
        /// Name of a built-in model, or a model file
        #[arg(default_value = "math-16")]
        model: String,
        /// Files or folders of files, of runs that the model was not trained on
        #[arg(long, num_args = 1..)]
        runs: Vec<PathBuf>,
        /// How latents of runs are stored
        #[arg(long, default_value = "f16", value_parser = ["f32", "f16", "u8"])]
        latents: String,
        /// As JSON
        #[arg(long)]
        json: bool,
        /// A page with pictures, of runs
        #[arg(long, requires = "runs")]
        html: Option<PathBuf>,
    },
    /// Measures how fast the codec runs a model, beside libtorch, one thread each
    Bench {
        /// Name of a built-in model, or a model file
        #[arg(default_value = "gr-16")]
        model: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

/// The exit code of a training that a signal stopped (EX_TEMPFAIL of sysexits.h: try again).
const STOPPED: u8 = 75;

fn main() -> Result<ExitCode> {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    // This thread works too: a wait for other threads to wake up, hundreds of times a step, costs
    // more.
    rayon::ThreadPoolBuilder::new().use_current_thread().build_global()?;
    match Arguments::parse().command {
        Command::Fit { config, resume } => return fit(&config, resume),
        Command::Mix(mix) => mix.run()?,
        Command::Tune(tune) => tune.run()?,
        Command::Generate(wanted) => generate::generate(&wanted)?,
        Command::Evaluate { model, runs, latents, json, html } if !runs.is_empty() => {
            let coding = LatentCoding::from_name(&latents).context("one of f32, f16, u8")?;
            let report = evaluate::runs::report(&*Models::named_or_file(&model)?, &runs, coding)?;
            if json {
                println!("{}", serde_json::to_string_pretty(&report)?);
            } else {
                report.print();
            }
            if let Some(path) = html {
                let page = evaluate::page(&report)?;
                std::fs::write(&path, page).with_context(|| path.display().to_string())?;
            }
        }
        Command::Evaluate { model, json, .. } => evaluate_math(&model, json)?,
        Command::Bench { model, json } => bench(&model, json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn fit(path: &Path, resume: bool) -> Result<ExitCode> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let config: Config = toml::from_str(&text).with_context(|| path.display().to_string())?;
    let control = Control { resume, ..Control::default() };
    // What a batch system sends before it kills a job, and a user with Ctrl-C.
    for signal in [SIGTERM, SIGUSR1, SIGINT] {
        signal_hook::flag::register(signal, control.stop.clone())?;
    }
    let universe = mpi::initialize().context("MPI")?;
    let world = World::new(&universe);
    // A panic must end the job as an error does: the end of MPI would wait for the other ranks,
    // which wait for this one.
    let fitted = panic::catch_unwind(AssertUnwindSafe(|| fit::fit(&config, &control, &world)));
    let fitted = fitted.unwrap_or_else(|_| Err(anyhow!("a panic; its message is above")));
    if let (Err(e), true) = (&fitted, world.size() > 1) {
        log::error!("rank {}: {e:#}", world.rank());
        universe.world().abort(1);
    }
    match fitted? {
        Outcome::Finished(model) => {
            if world.rank() == 0 {
                fit::keep(&config, &model)?;
                println!("{} ({}) written to {}", config.name, model.id(), config.output.display());
            }
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Stopped(step) => {
            if world.rank() == 0 {
                println!("stopped after step {step} by a signal; go on with --resume");
            }
            Ok(ExitCode::from(STOPPED))
        }
    }
}

/// Prints the quality of a model on the math functions.
fn evaluate_math(name: &str, json: bool) -> Result<()> {
    let model = Models::named_or_file(name)?;
    let mut rows = Vec::new();
    for n in [40, 128] {
        for coding in [LatentCoding::F32, LatentCoding::F16, LatentCoding::U8] {
            rows.push((n, coding.name(), evaluate::math::quality(&model, n, coding)?));
        }
    }
    if json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
        return Ok(());
    }
    println!(
        "{:>4} {:>7} {:>6} {:>18} {:>18} {:>10} {:>9} {:>9} {:>9} {:>11}",
        "n", "latents", "ratio", "data", "reconstructed", "MSE", "MAE", "max error", "PSNR/dB", "correlation"
    );
    for (n, coding, q) in rows {
        let range = |r: [f64; 2]| format!("{:.4} … {:.4}", r[0], r[1]);
        println!(
            "{n:>4} {coding:>7} {:>6.1} {:>18} {:>18} {:>10.3e} {:>9.5} {:>9.4} {:>9.2} {:>11.6}",
            q.ratio,
            range(q.data_range),
            range(q.reconstructed_range),
            q.mse,
            q.mae,
            q.max_error,
            q.psnr,
            q.correlation
        );
    }
    Ok(())
}

/// Prints the throughput of a model.
fn bench(name: &str, json: bool) -> Result<()> {
    let speeds = bench::speeds(&*Models::named_or_file(name)?)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&speeds)?);
        return Ok(());
    }
    println!("{name}, engine {}, one thread", Engine::best()?.name());
    for s in speeds {
        println!(
            "{}: {:.0} blocks/s = {:.1} GFLOP/s, {:.0} % of the FMA peak; libtorch {:.0} blocks/s (batches of {}): {:.1} times as fast",
            s.direction,
            s.engine_blocks_s,
            2e-9 * s.engine_blocks_s * s.multiply_adds as f64,
            100.0 * s.peak_fraction,
            s.libtorch_blocks_s,
            s.libtorch_batch,
            s.engine_blocks_s / s.libtorch_blocks_s
        );
    }
    Ok(())
}
