//! The training of an autoencoder, the same on every rank: each works on its part of the batch, and
//! all have the same weights.
//!
//! A `Fit` holds all that a step changes; checkpoints and metrics lie beside the output.

use crate::adam::Adam;
use crate::checkpoint::{self, Position};
use crate::config::{Config, Training};
use crate::data::{self, Blocks};
use crate::metrics::{Line, Metrics};
use crate::network::Swae;
use crate::parallel::World;
use crate::step::{Setup, Step};
use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use swae_codec::Model;
use tch::{Device, Kind, Tensor, nn};

/// How a training is run.
#[derive(Clone, Debug, Default)]
pub struct Control {
    /// Go on from the checkpoint beside the output, if there is one.
    pub resume: bool,
    /// Once this is set, the training saves a checkpoint and ends.
    pub stop: Arc<AtomicBool>,
}

/// How a training ended.
#[derive(Debug)]
pub enum Outcome {
    /// It is done.
    Finished(Box<Model>),
    /// [`Control::stop`] ended it after so many steps; a checkpoint holds all of it.
    Stopped(usize),
}

/// Steps from one comparison of the ranks' weights to the next.
const CHECK_INTERVAL: usize = 500;
/// A loss that is not finite is answered so often with half the rate.
const RETRIES: i32 = 3;

/// Trains as the configuration says, with a progress bar, or plain lines where there is no
/// terminal. Checkpoints and metrics (`.checkpoint`, `.csv`) lie beside the output.
///
/// # Errors
/// Where the data or the checkpoint cannot be read, nothing can be written, or the loss is not
/// finite however low the rate.
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
    let mut fit = Fit::new(config, world)?;
    fit.begin(control.resume)?;
    fit.run(control)
}

/// A training on its way.
struct Fit<'a> {
    config: &'a Config,
    setup: Setup<'a>,
    blocks: Blocks,
    validation: Option<Blocks>,
    store: nn::VarStore,
    swae: Swae,
    adam: Adam,
    at: Position,
    /// On rank 0.
    metrics: Option<Metrics>,
    last_line: Option<Line>,
    bar: ProgressBar,
    clock: Clock,
}

/// When this process began, and with what.
struct Clock {
    start: Instant,
    first_step: usize,
    earlier_seconds: f64,
    last_save: Instant,
}

impl Clock {
    fn start(at: Position) -> Self {
        let now = Instant::now();
        Self { start: now, first_step: at.step, earlier_seconds: at.seconds, last_save: now }
    }

    fn seconds(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }
}

impl<'a> Fit<'a> {
    fn new(config: &'a Config, world: &'a World) -> Result<Self> {
        let training = &config.training;
        tch::manual_seed(training.seed as i64);
        let blocks = Blocks::new(config, world)?;
        let validation = Blocks::validation(config, world)?;
        let device = match tch::Cuda::device_count() {
            0 => Device::Cpu,
            // The ranks of a node share its devices.
            n => Device::Cuda(world.rank() % n as usize),
        };
        let store = nn::VarStore::new(device);
        let swae = Swae::new(&store.root(), config.architecture.clone());
        let at = Position { step: 0, rate: 1.0, mse_sum: 0.0, seconds: 0.0 };
        let bar =
            if world.rank() == 0 { ProgressBar::new(training.steps as u64) } else { ProgressBar::hidden() };
        let style = "{bar:30} {pos}/{len}  {msg}  {elapsed} gone, {eta} left";
        bar.set_style(ProgressStyle::with_template(style).context("the bar's template")?);
        Ok(Self {
            setup: Setup { training, device, world },
            adam: Adam::new(swae.parameters()),
            metrics: None,
            last_line: None,
            clock: Clock::start(at),
            config,
            blocks,
            validation,
            store,
            swae,
            at,
            bar,
        })
    }

    fn is_first(&self) -> bool {
        self.setup.world.rank() == 0
    }

    /// Takes up what is saved, or saves the beginning.
    fn begin(&mut self, resume: bool) -> Result<()> {
        let path = checkpoint::path(&self.config.output);
        ensure!(
            resume || !path.exists(),
            "{}: a training is saved here; go on with --resume, or remove it",
            path.display()
        );
        let saved =
            if resume { checkpoint::load(self.config, &mut self.store, &mut self.adam)? } else { None };
        // Every rank has looked before the first one writes.
        self.setup.world.wait();
        if let Some(position) = saved {
            log::info!("goes on from step {}", position.step);
            self.at = position;
            self.setup.world.wait();
        } else {
            self.save()?;
        }
        self.open_metrics()?;
        self.clock = Clock::start(self.at);
        Ok(())
    }

    /// Saves a checkpoint; returns on all ranks when it is there.
    fn save(&mut self) -> Result<()> {
        if self.is_first() {
            checkpoint::save(self.config, &self.store, &self.adam, self.at)?;
        }
        self.setup.world.wait();
        self.clock.last_save = Instant::now();
        Ok(())
    }

    fn open_metrics(&mut self) -> Result<()> {
        if self.is_first() {
            self.metrics = Some(Metrics::open(&self.config.output, self.at.step)?);
        }
        Ok(())
    }

    fn run(&mut self, control: &Control) -> Result<Outcome> {
        let Setup { training, world, .. } = self.setup;
        let line_interval = (training.steps / 200).clamp(1, 500);
        while self.at.step < training.steps {
            let rate = self.at.rate * training.rate * schedule(self.at.step, training.steps);
            let batch = self.setup.batch(&self.blocks, self.at.step)?;
            let step = self.setup.step(&mut self.swae, &batch, self.at.step);
            self.adam.step(&step.gradients, rate);
            if !(step.mse + step.swd).is_finite() {
                self.go_back()?;
                continue;
            }
            self.at.mse_sum += step.mse;
            self.at.step += 1;
            if self.at.step.is_multiple_of(line_interval) {
                self.report(&step, rate, line_interval, &batch[0])?;
            }
            self.at.seconds = self.clock.earlier_seconds + self.clock.seconds();
            if self.at.step.is_multiple_of(CHECK_INTERVAL) || self.at.step == training.steps {
                let same = world.is_same(self.adam.hash());
                ensure!(same, "the weights of the ranks differ after step {}", self.at.step);
            }
            let stop = world.any(control.stop.load(Ordering::Relaxed));
            let due = self.clock.last_save.elapsed().as_secs_f64() > 60.0 * training.checkpoint_minutes;
            if stop || world.any(due) {
                self.save()?;
            }
            if stop {
                self.bar.abandon();
                return Ok(Outcome::Stopped(self.at.step));
            }
        }
        self.finish()
    }

    /// Returns to the checkpoint, with half the rate.
    fn go_back(&mut self) -> Result<()> {
        let (failed, rate) = (self.at.step, self.at.rate * 0.5);
        ensure!(
            rate >= 0.5f64.powi(RETRIES),
            "the loss is not finite at step {failed}, even with {rate} of the rate; try a lower rate"
        );
        let saved = checkpoint::load(self.config, &mut self.store, &mut self.adam)?;
        self.at = Position { rate, ..saved.context("the checkpoint is gone")? };
        // The rate that failed must not come back with the next resumption.
        self.setup.world.wait();
        self.save()?;
        self.open_metrics()?;
        log::warn!(
            "the loss is not finite at step {failed}: back to step {} with {rate} of the rate",
            self.at.step
        );
        Ok(())
    }

    /// Writes a line of metrics over the last `interval` steps; now and then the error on
    /// validation blocks and a picture of these ones too.
    fn report(&mut self, step: &Step, rate: f64, interval: usize, blocks: &Tensor) -> Result<()> {
        let Setup { training, .. } = self.setup;
        let at = self.at.step;
        let due = at.is_multiple_of(10 * interval) || at == training.steps;
        let validation = match &self.validation {
            Some(blocks) if due => Some(self.error_on(blocks)?),
            _ => None,
        };
        let mse = self.at.mse_sum / interval as f64;
        self.at.mse_sum = 0.0;
        let line = Line { step: at, mse, swd: step.swd, bits: step.bits, rate, validation };
        let last_validation = validation.or(self.last_line.and_then(|last| last.validation));
        self.last_line = Some(Line { validation: last_validation, ..line });
        if let Some(metrics) = &mut self.metrics {
            metrics.write(&line)?;
            if due {
                let decoded = tch::no_grad(|| self.swae.decode(&self.swae.encode(blocks)));
                metrics.draw(blocks, &decoded)?;
            }
        }
        self.show(&line, due);
        Ok(())
    }

    fn show(&self, line: &Line, due: bool) {
        let Training { batch, steps, .. } = self.setup.training;
        let done = (line.step.saturating_sub(self.clock.first_step) * batch) as f64;
        let speed = done / self.clock.seconds();
        // The blocks have unit variance: PSNR against their standard deviation.
        let psnr = -10.0 * line.mse.log10();
        let text = format!(
            "mse {:.6} = {psnr:.2} dB, swd {:.5}, {:.1} bits a block, {speed:.0} blocks/s",
            line.mse, line.swd, line.bits
        );
        self.bar.set_message(text.clone());
        self.bar.set_position(line.step as u64);
        if self.is_first() && self.bar.is_hidden() && due {
            println!("step {}/{steps}  {text}", line.step);
        }
    }

    /// Mean squared error on some blocks, always the same ones, as the model is at this step.
    fn error_on(&self, blocks: &Blocks) -> Result<f64> {
        let Setup { training, device, world } = self.setup;
        let (swae, batch) = (&self.swae, training.batch);
        let blocks = blocks.batch(0, world.share(batch))?.to_device(device);
        let error =
            tch::no_grad(|| (swae.decode(&swae.encode(&blocks)) - &blocks).square().mean(Kind::Double));
        let mut sum = [(error.double_value(&[]) * blocks.size()[0] as f64 / batch as f64) as f32];
        world.sum(&mut sum);
        Ok(f64::from(sum[0]))
    }

    /// Makes the model of the final weights.
    fn finish(&mut self) -> Result<Outcome> {
        self.bar.finish();
        let Setup { training, device, world } = self.setup;
        if world.size() > 1 {
            let (sent, steps) = (world.traffic(), (self.at.step - self.clock.first_step).max(1) as u64);
            log::info!(
                "rank {} sent {} messages and {} bytes a step",
                world.rank(),
                sent.messages / steps,
                sent.bytes / steps
            );
        }
        self.settle_statistics()?;
        let last = self.last_line;
        let provenance = [
            ("config", serde_json::to_value(self.config)?),
            ("blocks_seen", (training.steps * training.batch).into()),
            ("seconds", (self.at.seconds as u64).into()),
            ("device", format!("{device:?}").into()),
            ("ranks", world.size().into()),
            ("final_mse_of_normalised_blocks", last.map(|l| l.mse).into()),
            ("final_sliced_wasserstein", last.map(|l| l.swd).into()),
            ("final_bits_of_a_block", last.map(|l| l.bits).into()),
            ("final_mse_of_validation_blocks", last.and_then(|l| l.validation).into()),
        ];
        let provenance = provenance.map(|(k, v)| (k.to_owned(), v)).into();
        let model = self.swae.export(&self.config.name, provenance).context("export")?;
        Ok(Outcome::Finished(Box::new(model)))
    }

    /// Brings the running statistics of the batch normalisation, which still hold those of the last
    /// steps, to the final weights: passes without a gradient.
    fn settle_statistics(&mut self) -> Result<()> {
        let steps = self.setup.training.steps;
        for step in steps..steps + 100 {
            let batch = self.setup.batch(&self.blocks, step)?;
            self.setup.pass(&mut self.swae, &batch, step);
        }
        Ok(())
    }
}

/// Writes the model of a finished training, and removes what that kept beside it.
///
/// # Errors
/// Where the file cannot be written.
pub fn keep(config: &Config, model: &Model) -> Result<()> {
    checkpoint::whole(&config.output, |path| Ok(std::fs::write(path, model.to_bytes())?))?;
    let [training, validation] = data::pools(&config.output);
    for path in [checkpoint::path(&config.output), training, validation] {
        if path.exists() {
            std::fs::remove_file(&path).with_context(|| path.display().to_string())?;
        }
    }
    Ok(())
}

/// The share of the greatest rate at a step: it rises over the first 5 % and falls to 0 as a
/// cosine.
fn schedule(step: usize, steps: usize) -> f64 {
    let warm = (steps / 20).max(1) as f64;
    let at = step as f64;
    if at < warm {
        (at + 1.0) / warm
    } else {
        0.5 * (1.0 + (std::f64::consts::PI * (at - warm) / (steps as f64 - warm).max(1.0)).cos())
    }
}
