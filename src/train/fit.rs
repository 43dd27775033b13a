//! The training loop, the same on every rank: each works on its part of the batch, and all have the same weights.

use crate::adam::Adam;
use crate::checkpoint::{self, Position};
use crate::config::{Config, Training};
use crate::data::Blocks;
use crate::network::Swae;
use crate::parallel::World;
use crate::step::{self, Step};
use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use swae_codec::Model;
use tch::{Device, Kind, nn};

/// How a training is run.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Go on from the checkpoint beside the output, if there is one.
    pub resume: bool,
    /// Once this is set, the training saves a checkpoint and ends.
    pub stop: Arc<AtomicBool>,
}

/// What became of a training.
#[derive(Debug)]
pub enum Outcome {
    /// It is done.
    Finished(Box<Model>),
    /// It was told to stop after so many steps; a checkpoint holds all of it.
    Stopped(usize),
}

/// After so many steps the ranks make sure that their weights are still the same.
const CHECKED: usize = 500;
/// A loss that is not finite is answered so often with half the rate.
const RETRIES: i32 = 3;

/// Trains as the configuration says, with a progress bar, or plain lines where there is no terminal. Checkpoints and metrics
/// (`.checkpoint`, `.csv`) lie beside the output.
///
/// # Errors
/// Where the data or the checkpoint cannot be read, nothing can be written, or the loss is not finite however low the rate.
pub fn fit(config: &Config, control: &Control, world: &World) -> Result<Outcome> {
    config.architecture.check()?;
    let training = &config.training;
    ensure!(training.batch >= 2 && training.steps >= 1, "a training needs steps ≥ 1 and batch ≥ 2");
    ensure!(
        training.batch >= world.size(),
        "a batch of {} is too small for {} ranks",
        training.batch,
        world.size()
    );
    let first = world.rank() == 0;
    tch::manual_seed(training.seed as i64);
    let blocks = Blocks::new(&config.data, training.seed)?;
    let unseen = Blocks::validation(&config.data, training.seed)?;
    let device = match tch::Cuda::device_count() {
        0 => Device::Cpu,
        // The ranks of a node share its devices.
        n => Device::Cuda(world.rank() % n as usize),
    };
    let mut store = nn::VarStore::new(device);
    let mut swae = Swae::new(&store.root(), config.architecture.clone());
    let mut adam = Adam::new(swae.parameters());

    let mut at = Position { step: 0, rate: 1.0, mse_sum: 0.0, seconds: 0.0 };
    let saved = if control.resume { checkpoint::load(config, &mut store, &mut adam)? } else { None };
    match saved {
        Some(position) => {
            log::info!("goes on from step {}", position.step);
            at = position;
        }
        None if first => checkpoint::save(config, &store, &adam, at)?,
        None => {}
    }
    world.wait();
    let open_metrics = |step| match first {
        true => Metrics::open(&config.output.with_extension("csv"), step).map(Some),
        false => Ok(None),
    };
    let mut metrics = open_metrics(at.step)?;
    let bar = if first { ProgressBar::new(training.steps as u64) } else { ProgressBar::hidden() };
    let style = "{bar:30} {pos}/{len}  {msg}  {elapsed} gone, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
    let (start, mut last_save) = (Instant::now(), Instant::now());
    let (begun, before) = (at.step, at.seconds);
    let every = (training.steps / 200).clamp(1, 500);
    let (mut swd_last, mut mse_last, mut unseen_last) = (0.0, f64::NAN, None);
    while at.step < training.steps {
        let rate = at.rate * training.rate * schedule(at.step, training.steps);
        let batch = step::batch(&blocks, at.step, training, device, world);
        let Step { mse, swd, gradients } = step::step(&mut swae, &batch, at.step, training, world);
        adam.step(&gradients, rate);
        if !(mse + swd).is_finite() {
            let (failed, lower) = (at.step, at.rate * 0.5);
            ensure!(
                lower >= 0.5f64.powi(RETRIES),
                "the loss is not finite at step {failed}, even with {lower} of the rate; try a lower rate"
            );
            let last = checkpoint::load(config, &mut store, &mut adam)?.context("the checkpoint is gone")?;
            at = Position { rate: lower, ..last };
            // The rate that failed must not come back with the next resumption.
            world.wait();
            if first {
                checkpoint::save(config, &store, &adam, at)?;
            }
            world.wait();
            metrics = open_metrics(at.step)?;
            log::warn!(
                "the loss is not finite at step {failed}: back to step {} with {lower} of the rate",
                at.step
            );
            continue;
        }
        at.mse_sum += mse;
        at.step += 1;
        if at.step.is_multiple_of(every) {
            (mse_last, swd_last) = (at.mse_sum / every as f64, swd);
            at.mse_sum = 0.0;
            let due = at.step.is_multiple_of(10 * every) || at.step == training.steps;
            let unseen = unseen.as_ref().filter(|_| due);
            let unseen = unseen.map(|blocks| error_on(&swae, blocks, training.batch, device, world));
            unseen_last = unseen.or(unseen_last);
            if let Some(metrics) = &mut metrics {
                metrics.write(at.step, mse_last, swd_last, rate, unseen)?;
            }
            let speed =
                (at.step.saturating_sub(begun) * training.batch) as f64 / start.elapsed().as_secs_f64();
            // The blocks have unit variance: PSNR against their standard deviation.
            let psnr = -10.0 * mse_last.log10();
            let loss = mse_last + training.swd_weight * swd_last;
            let line = format!(
                "loss {loss:.5} mse {mse_last:.6} swd {swd_last:.5} PSNR {psnr:.2} dB {speed:.0} blocks/s"
            );
            bar.set_message(line.clone());
            bar.set_position(at.step as u64);
            if first && bar.is_hidden() && at.step.is_multiple_of(10 * every) {
                println!("step {}/{}  {line}", at.step, training.steps);
            }
        }
        at.seconds = before + start.elapsed().as_secs_f64();
        if at.step.is_multiple_of(CHECKED) || at.step == training.steps {
            ensure!(world.agree(adam.hash()), "the weights of the ranks differ after step {}", at.step);
        }
        let stop = world.any(control.stop.load(Ordering::Relaxed));
        let due = last_save.elapsed().as_secs_f64() > 60.0 * training.checkpoint_minutes;
        if stop || world.any(due) {
            if first {
                checkpoint::save(config, &store, &adam, at)?;
            }
            world.wait();
            last_save = Instant::now();
        }
        if stop {
            bar.abandon();
            return Ok(Outcome::Stopped(at.step));
        }
    }
    bar.finish();
    settle(&mut swae, &blocks, training, device, world);

    let provenance = [
        ("config", serde_json::to_value(config)?),
        ("blocks_seen", (training.steps * training.batch).into()),
        ("seconds", (at.seconds as u64).into()),
        ("device", format!("{device:?}").into()),
        ("ranks", world.size().into()),
        ("final_mse_of_normalised_blocks", mse_last.into()),
        ("final_sliced_wasserstein", swd_last.into()),
        ("final_mse_of_validation_blocks", unseen_last.into()),
    ];
    let provenance = provenance.map(|(k, v)| (k.to_owned(), v)).into();
    let model = swae.export(&config.name, provenance).context("export")?;
    Ok(Outcome::Finished(Box::new(model)))
}

/// A line of numbers for every so many steps, as CSV.
struct Metrics(File);

impl Metrics {
    /// Opens the file; lines of steps that are done again are dropped.
    fn open(path: &Path, step: usize) -> Result<Self> {
        let what = || path.display().to_string();
        let old = if step > 0 { std::fs::read_to_string(path).unwrap_or_default() } else { String::new() };
        let kept = |line: &&str| {
            line.split(',').next().and_then(|s| s.parse().ok()).is_some_and(|s: usize| s <= step)
        };
        let mut file = File::create(path).with_context(what)?;
        writeln!(file, "step,mse,sliced_wasserstein,rate,validation_mse").with_context(what)?;
        for line in old.lines().filter(kept) {
            writeln!(file, "{line}").with_context(what)?;
        }
        Ok(Self(file))
    }

    fn write(&mut self, step: usize, mse: f64, swd: f64, rate: f64, unseen: Option<f64>) -> Result<()> {
        let unseen = unseen.map_or_else(String::new, |e| format!("{e:e}"));
        writeln!(self.0, "{step},{mse:e},{swd:e},{rate:e},{unseen}").context("metrics")
    }
}

/// Mean squared error on some blocks, always the same ones, as the model is at this step.
fn error_on(swae: &Swae, blocks: &Blocks, batch: usize, device: Device, world: &World) -> f64 {
    let blocks = blocks.batch(0, world.share(batch)).to_device(device);
    let error = tch::no_grad(|| (swae.decode(&swae.encode(&blocks)) - &blocks).square().mean(Kind::Double));
    let mut sum = [(error.double_value(&[]) * blocks.size()[0] as f64 / batch as f64) as f32];
    world.sum(&mut sum);
    f64::from(sum[0])
}

/// The weights have stopped, but the running statistics of the batch normalisation still hold those of the last
/// steps; passes without a gradient bring them to the final weights.
fn settle(swae: &mut Swae, blocks: &Blocks, training: &Training, device: Device, world: &World) {
    for at in training.steps..training.steps + 100 {
        step::pass(swae, &step::batch(blocks, at, training, device, world), world);
    }
}

fn schedule(step: usize, steps: usize) -> f64 {
    let warm = (steps / 20).max(1) as f64;
    let at = step as f64;
    if at < warm {
        (at + 1.0) / warm
    } else {
        0.5 * (1.0 + (std::f64::consts::PI * (at - warm) / (steps as f64 - warm).max(1.0)).cos())
    }
}
