//! One step: the loss of a batch and its gradients, the batch cut into parts that any rank may hold.

use crate::config::{Latents, Training};
use crate::data::Blocks;
use crate::layer::leaf;
use crate::loss::{bits, sliced_wasserstein};
use crate::network::{Passes, Swae};
use crate::parallel::{World, each, part};
use anyhow::Result;
use std::ops::Range;
use swae_codec::blocks::VALUES;
use tch::{Device, Kind, Tensor};

/// What a batch says of the weights.
pub struct Step {
    /// Mean squared error of the normalised blocks.
    pub mse: f64,
    /// Sliced-Wasserstein distance, squared.
    pub swd: f64,
    /// Bits that a block's latents take.
    pub bits: f64,
    /// The gradients by [`Swae::parameters`].
    pub gradients: Vec<Tensor>,
}

/// This rank's parts `[n, 1, 8, 8, 8]` of a step's batch.
///
/// # Errors
/// Where a block cannot be read.
pub fn batch(
    blocks: &Blocks,
    step: usize,
    training: &Training,
    device: Device,
    world: &World,
) -> Result<Vec<Tensor>> {
    let places = places(training, world).collect();
    each(places, |places| Ok(blocks.batch(step, places)?.to_device(device))).into_iter().collect()
}

/// Which places of the batch this rank's parts hold.
fn places(training: &Training, world: &World) -> impl Iterator<Item = Range<usize>> {
    let parts = training.parts.max(world.size()).min(training.batch);
    let batch = training.batch;
    world.share(parts).map(move |i| part(batch, parts, i))
}

/// Through encoder and decoder, normalised with the statistics of the batch.
pub fn pass(
    swae: &mut Swae,
    batch: &[Tensor],
    at: usize,
    training: &Training,
    world: &World,
) -> (Passes, Passes) {
    let encoded = swae.encoder.pass(batch.iter().map(Tensor::shallow_clone).collect(), world);
    let stored = encoded.outputs().into_iter().zip(places(training, world)).map(|(z, places)| match training
        .latents
    {
        Latents::Exact => z,
        Latents::Rounded => (z / training.latent_step).round() * training.latent_step,
        Latents::Noisy => {
            let seed = |place| training.seed ^ (at as u64) << 20 ^ (place as u64) << 44;
            let noise = |place| {
                let mut random = fastrand::Rng::with_seed(seed(place));
                (0..z.size()[1]).map(move |_| random.f32() - 0.5)
            };
            let noise: Vec<f32> = places.flat_map(noise).collect();
            let noise = Tensor::from_slice(&noise).view_as(&z).to_device(z.device());
            z + noise * training.latent_step
        }
    });
    let decoded = swae.decoder.pass(stored.map(|z| leaf(&z)).collect(), world);
    (encoded, decoded)
}

/// The loss of a step's batch, and its gradients.
pub fn step(swae: &mut Swae, batch: &[Tensor], at: usize, training: &Training, world: &World) -> Step {
    let (encoded, decoded) = pass(swae, batch, at, training, world);
    // All losses are means over the batch of all ranks.
    let errors: Vec<_> = decoded.outputs().iter().zip(batch).map(|(y, x)| y - x.view_as(y)).collect();
    let squares = errors.iter().map(|e| vec![e.square().sum(Kind::Float)]).collect();
    let mse = world.sum_parts(squares)[0].double_value(&[]) / (training.batch * VALUES) as f64;

    let flat: Vec<_> = encoded.outputs().iter().map(|z| z.flatten(1, -1)).collect();
    let latents = leaf(&world.gather_rows(&Tensor::cat(&flat, 0)));
    // The prior's samples and the directions of the step, the same on all ranks.
    tch::manual_seed((training.seed as i64) << 32 ^ at as i64);
    let swd = sliced_wasserstein(&latents, training.prior, training.projections);
    let bits = bits(&latents, training.latent_step);
    let loss = training.swd_weight * &swd + training.bits_weight * &bits;
    let by_all = Tensor::run_backward(&[loss], &[&latents], false, false).remove(0);
    let own = places(training, world).map(|rows| by_all.narrow(0, rows.start as i64, rows.len() as i64));

    let by_decoded = errors.iter().map(|e| training.loss.gradient(e, training.batch)).collect();
    let (by_stored, by_decoder) = swae.decoder.back(decoded, by_decoded, world);
    let by_latents = by_stored.iter().zip(own).map(|(a, b)| a + b.view_as(a)).collect();
    let (_, by_encoder) = swae.encoder.back(encoded, by_latents, world);
    let by_parameters = by_encoder.into_iter().zip(by_decoder).map(|(e, d)| e.into_iter().chain(d).collect());
    let gradients = world.sum_parts(by_parameters.collect());
    Step { mse, swd: swd.double_value(&[]), bits: bits.double_value(&[]), gradients }
}
