//! One step: the loss of a batch and its gradients, the batch cut into parts that any rank may hold.

use crate::config::Training;
use crate::data::Blocks;
use crate::layer::leaf;
use crate::loss::sliced_wasserstein;
use crate::network::{Passes, Swae};
use crate::parallel::{World, each, part};
use swae_codec::blocks::VALUES;
use tch::{Device, Kind, Tensor};

/// What a batch says of the weights.
pub struct Step {
    /// Mean squared error of the normalised blocks.
    pub mse: f64,
    /// Sliced-Wasserstein distance, squared.
    pub swd: f64,
    /// The gradients by [`Swae::parameters`].
    pub gradients: Vec<Tensor>,
}

/// This rank's parts `[n, 1, 8, 8, 8]` of a step's batch.
pub fn batch(
    blocks: &Blocks,
    step: usize,
    training: &Training,
    device: Device,
    world: &World,
) -> Vec<Tensor> {
    let parts = parts(training, world);
    let places = world.share(parts).map(|i| part(training.batch, parts, i)).collect();
    each(places, |places| blocks.batch(step, places).to_device(device))
}

fn parts(training: &Training, world: &World) -> usize {
    training.parts.max(world.size()).min(training.batch)
}

/// Through encoder and decoder, normalised with the statistics of the batch.
pub fn pass(swae: &mut Swae, batch: &[Tensor], world: &World) -> (Passes, Passes) {
    let encoded = swae.encoder.pass(batch.iter().map(Tensor::shallow_clone).collect(), world);
    let decoded = swae.decoder.pass(encoded.outputs().iter().map(leaf).collect(), world);
    (encoded, decoded)
}

/// The loss of a step's batch, and its gradients.
pub fn step(swae: &mut Swae, batch: &[Tensor], at: usize, training: &Training, world: &World) -> Step {
    let (encoded, decoded) = pass(swae, batch, world);
    // Both losses are means over the batch of all ranks.
    let values = (training.batch * VALUES) as f64;
    let errors: Vec<_> = decoded.outputs().iter().zip(batch).map(|(y, x)| y - x).collect();
    let squares = errors.iter().map(|e| vec![e.square().sum(Kind::Float)]).collect();
    let mse = world.sum_parts(squares)[0].double_value(&[]) / values;

    let latents = encoded.outputs();
    let flat: Vec<_> = latents.iter().map(|z| z.flatten(1, -1)).collect();
    let all = leaf(&world.gather_rows(&Tensor::cat(&flat, 0)));
    // The prior's samples and the directions of the step, the same on all ranks.
    tch::manual_seed((training.seed as i64) << 32 ^ at as i64);
    let swd = sliced_wasserstein(&all, training.projections);
    let by_all = Tensor::run_backward(&[training.swd_weight * &swd], &[&all], false, false).remove(0);
    let mine = world.share(parts(training, world)).map(|i| part(training.batch, parts(training, world), i));
    let by_latents = mine.map(|rows| by_all.narrow(0, rows.start as i64, rows.len() as i64));

    let by_decoded = errors.iter().map(|e| e * (2.0 / values)).collect();
    let (by_inputs, by_decoder) = swae.decoder.back(decoded, by_decoded, world);
    let by_latents = by_inputs.iter().zip(by_latents).map(|(a, b)| a + b.view_as(a)).collect();
    let (_, by_encoder) = swae.encoder.back(encoded, by_latents, world);
    let by_parameters = by_encoder.into_iter().zip(by_decoder).map(|(e, d)| e.into_iter().chain(d).collect());
    let gradients = world.sum_parts(by_parameters.collect());
    Step { mse, swd: swd.double_value(&[]), gradients }
}
