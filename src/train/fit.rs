//! The training loop, the same on every rank: each works on its part of the batch, and all have the same weights.

use crate::adam::Adam;
use crate::checkpoint::{self, Position};
use crate::config::{Config, Training};
use crate::data::{self, Blocks};
use crate::metrics::{Line, Metrics};
use crate::network::Swae;
use crate::parallel::World;
use crate::step::{self, Step};
use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
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
    let blocks = Blocks::new(config, world)?;
    let unseen = Blocks::validation(config, world)?;
    let device = match tch::Cuda::device_count() {
        0 => Device::Cpu,
        // The ranks of a node share its devices.
        n => Device::Cuda(world.rank() % n as usize),
    };
    let mut store = nn::VarStore::new(device);
    let mut swae = Swae::new(&store.root(), config.architecture.clone());
    let mut adam = Adam::new(swae.parameters());

    let mut at = Position { step: 0, rate: 1.0, mse_sum: 0.0, seconds: 0.0 };
    let path = checkpoint::path(&config.output);
    ensure!(
        control.resume || !path.exists(),
        "{}: a training is saved here; go on with --resume, or remove it",
        path.display()
    );
    let saved = if control.resume { checkpoint::load(config, &mut store, &mut adam)? } else { None };
    // Every rank has looked before the first one writes.
    world.wait();
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
        true => Metrics::open(&config.output, step).map(Some),
        false => Ok(None),
    };
    let mut metrics = open_metrics(at.step)?;
    let bar = if first { ProgressBar::new(training.steps as u64) } else { ProgressBar::hidden() };
    let style = "{bar:30} {pos}/{len}  {msg}  {elapsed} gone, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
    let (start, mut last_save) = (Instant::now(), Instant::now());
    let (begun, before) = (at.step, at.seconds);
    let every = (training.steps / 200).clamp(1, 500);
    let mut last = None::<Line>;
    while at.step < training.steps {
        let rate = at.rate * training.rate * schedule(at.step, training.steps);
        let batch = step::batch(&blocks, at.step, training, device, world)?;
        let Step { mse, swd, bits, gradients } = step::step(&mut swae, &batch, at.step, training, world);
        adam.step(&gradients, rate);
        if !(mse + swd).is_finite() {
            let (failed, lower) = (at.step, at.rate * 0.5);
            ensure!(
                lower >= 0.5f64.powi(RETRIES),
                "the loss is not finite at step {failed}, even with {lower} of the rate; try a lower rate"
            );
            let saved = checkpoint::load(config, &mut store, &mut adam)?.context("the checkpoint is gone")?;
            at = Position { rate: lower, ..saved };
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
            let due = at.step.is_multiple_of(10 * every) || at.step == training.steps;
            let unseen = unseen.as_ref().filter(|_| due);
            let error = |blocks| error_on(&swae, blocks, training.batch, device, world);
            let validation = unseen.map(error).transpose()?;
            let line = Line { step: at.step, mse: at.mse_sum / every as f64, swd, bits, rate, validation };
            at.mse_sum = 0.0;
            last = Some(Line { validation: validation.or(last.and_then(|l| l.validation)), ..line });
            if let Some(metrics) = &mut metrics {
                metrics.write(&line)?;
                if due {
                    let decoded = tch::no_grad(|| swae.decode(&swae.encode(&batch[0])));
                    metrics.draw(&batch[0], &decoded)?;
                }
            }
            let speed =
                (at.step.saturating_sub(begun) * training.batch) as f64 / start.elapsed().as_secs_f64();
            // The blocks have unit variance: PSNR against their standard deviation.
            let psnr = -10.0 * line.mse.log10();
            let line = format!(
                "mse {:.6} = {psnr:.2} dB, swd {swd:.5}, {bits:.1} bits a block, {speed:.0} blocks/s",
                line.mse
            );
            bar.set_message(line.clone());
            bar.set_position(at.step as u64);
            if first && bar.is_hidden() && due {
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
    if world.size() > 1 {
        let (sent, steps) = (world.traffic(), (at.step - begun).max(1) as u64);
        log::info!(
            "rank {} sent {} messages and {} bytes a step",
            world.rank(),
            sent.messages / steps,
            sent.bytes / steps
        );
    }
    settle(&mut swae, &blocks, training, device, world)?;

    let provenance = [
        ("config", serde_json::to_value(config)?),
        ("blocks_seen", (training.steps * training.batch).into()),
        ("seconds", (at.seconds as u64).into()),
        ("device", format!("{device:?}").into()),
        ("ranks", world.size().into()),
        ("final_mse_of_normalised_blocks", last.map(|l| l.mse).into()),
        ("final_sliced_wasserstein", last.map(|l| l.swd).into()),
        ("final_bits_of_a_block", last.map(|l| l.bits).into()),
        ("final_mse_of_validation_blocks", last.and_then(|l| l.validation).into()),
    ];
    let provenance = provenance.map(|(k, v)| (k.to_owned(), v)).into();
    let model = swae.export(&config.name, provenance).context("export")?;
    Ok(Outcome::Finished(Box::new(model)))
}

/// Writes the model of a finished training, and removes what that kept beside it.
///
/// # Errors
/// Where the file cannot be written.
pub fn keep(config: &Config, model: &Model) -> Result<()> {
    checkpoint::whole(&config.output, |path| Ok(std::fs::write(path, model.to_bytes())?))?;
    let [seen, unseen] = data::pools(&config.output);
    for path in [checkpoint::path(&config.output), seen, unseen] {
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// Mean squared error on some blocks, always the same ones, as the model is at this step.
fn error_on(swae: &Swae, blocks: &Blocks, batch: usize, device: Device, world: &World) -> Result<f64> {
    let blocks = blocks.batch(0, world.share(batch))?.to_device(device);
    let error = tch::no_grad(|| (swae.decode(&swae.encode(&blocks)) - &blocks).square().mean(Kind::Double));
    let mut sum = [(error.double_value(&[]) * blocks.size()[0] as f64 / batch as f64) as f32];
    world.sum(&mut sum);
    Ok(f64::from(sum[0]))
}

/// The weights have stopped, but the running statistics of the batch normalisation still hold those of the last
/// steps; passes without a gradient bring them to the final weights.
fn settle(
    swae: &mut Swae,
    blocks: &Blocks,
    training: &Training,
    device: Device,
    world: &World,
) -> Result<()> {
    for at in training.steps..training.steps + 100 {
        let batch = step::batch(blocks, at, training, device, world)?;
        step::pass(swae, &batch, at, training, world);
    }
    Ok(())
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
