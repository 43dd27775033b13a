//! The training loop, in one process.

use crate::config::Config;
use crate::data::Blocks;
use crate::loss::sliced_wasserstein;
use crate::network::Swae;
use anyhow::{Context, Result, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use std::time::Instant;
use swae_codec::Model;
use tch::nn::{self, OptimizerConfig};
use tch::{Device, Kind, Reduction, Tensor};

/// Trains as the configuration says, with a progress bar, or plain lines where there is no terminal.
///
/// # Errors
/// Where the data cannot be read, or the loss is no longer finite.
pub fn fit(config: &Config) -> Result<Model> {
    config.architecture.check()?;
    let training = &config.training;
    ensure!(training.batch >= 2 && training.steps >= 1, "a training needs steps ≥ 1 and batch ≥ 2");
    tch::manual_seed(training.seed as i64);
    let mut blocks = Blocks::new(&config.data, training.seed)?;
    let device = Device::cuda_if_available();
    let store = nn::VarStore::new(device);
    let swae = Swae::new(&store.root(), config.architecture.clone());
    let mut optimiser = nn::Adam::default().build(&store, training.rate)?;

    let bar = ProgressBar::new(training.steps as u64);
    let style = "{bar:30} {pos}/{len}  {msg}  {elapsed} gone, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).expect("the template is valid"));
    let start = Instant::now();
    let every = (training.steps / 200).clamp(1, 500);
    let (mut mse_sum, mut swd_last, mut mse_last) = (0.0, 0.0, f64::NAN);
    for step in 0..training.steps {
        optimiser.set_lr(training.rate * schedule(step, training.steps));
        let batch = blocks.batch(training.batch).to_device(device);
        let latents = swae.encode(&batch, true);
        let mse = swae.decode(&latents, true).mse_loss(&batch, Reduction::Mean);
        let swd = sliced_wasserstein(&latents, training.projections);
        optimiser.backward_step(&(&mse + training.swd_weight * &swd));
        mse_sum += mse.double_value(&[]);
        if (step + 1) % every == 0 {
            (mse_last, swd_last) = (mse_sum / every as f64, swd.double_value(&[]));
            mse_sum = 0.0;
            ensure!(mse_last.is_finite(), "the loss is no longer finite at step {step}; try a lower rate");
            let speed = ((step + 1) * training.batch) as f64 / start.elapsed().as_secs_f64();
            // The blocks have unit variance: PSNR against their standard deviation.
            let psnr = -10.0 * mse_last.log10();
            let loss = mse_last + training.swd_weight * swd_last;
            let line = format!(
                "loss {loss:.5} mse {mse_last:.6} swd {swd_last:.5} PSNR {psnr:.2} dB {speed:.0} blocks/s"
            );
            bar.set_message(line.clone());
            bar.set_position(step as u64 + 1);
            if bar.is_hidden() && (step + 1) % (10 * every) == 0 {
                println!("step {}/{}  {line}", step + 1, training.steps);
            }
        }
    }
    bar.finish();
    settle(&swae, &mut blocks, training.batch, device);

    let provenance = [
        ("config", serde_json::to_value(config)?),
        ("blocks_seen", (training.steps * training.batch).into()),
        ("seconds", start.elapsed().as_secs().into()),
        ("device", format!("{device:?}").into()),
        ("final_mse_of_normalised_blocks", mse_last.into()),
        ("final_sliced_wasserstein", swd_last.into()),
    ];
    swae.export(&config.name, provenance.map(|(k, v)| (k.to_owned(), v)).into()).context("export")
}

/// The weights have stopped, but the running statistics of the batch normalisation still hold those of the last
/// steps; passes without a gradient bring them to the final weights.
fn settle(swae: &Swae, blocks: &mut Blocks, batch: usize, device: Device) {
    tch::no_grad(|| {
        for _ in 0..100 {
            let batch: Tensor = blocks.batch(batch).to_device(device).to_kind(Kind::Float);
            let _ = swae.decode(&swae.encode(&batch, true), true);
        }
    });
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
