//! One optimiser step: the loss of a batch and its gradients, the batch cut into parts that any
//! rank may hold.

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

/// The loss of a batch, and what the optimiser needs of it.
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

/// What all steps of a training have in common.
#[derive(Clone, Copy)]
pub struct Setup<'a> {
    /// How the model is trained.
    pub training: &'a Training,
    /// The device of this rank.
    pub device: Device,
    /// The ranks.
    pub world: &'a World,
}

impl Setup<'_> {
    /// This rank's parts `[n, 1, 8, 8, 8]` of a step's batch.
    ///
    /// # Errors
    /// Where a block cannot be read.
    pub fn batch(&self, blocks: &Blocks, step: usize) -> Result<Vec<Tensor>> {
        let places = self.places().collect();
        // The world stays on this thread.
        let device = self.device;
        each(places, |places| Ok(blocks.batch(step, places)?.to_device(device))).into_iter().collect()
    }

    /// Which places of the batch this rank's parts hold.
    fn places(&self) -> impl Iterator<Item = Range<usize>> {
        let batch = self.training.batch;
        let parts = self.training.parts.max(self.world.size()).min(batch);
        self.world.share(parts).map(move |i| part(batch, parts, i))
    }

    /// The passes through encoder and decoder, normalised with the statistics of the batch.
    pub fn pass(&self, swae: &mut Swae, batch: &[Tensor], step: usize) -> (Passes, Passes) {
        let encoded = swae.encoder.pass(batch.iter().map(Tensor::shallow_clone).collect(), self.world);
        let latents = encoded.outputs().into_iter().zip(self.places());
        let stored = latents.map(|(z, places)| leaf(&self.store(z, step, places))).collect();
        let decoded = swae.decoder.pass(stored, self.world);
        (encoded, decoded)
    }

    /// The latents as the decoder gets them.
    fn store(&self, latents: Tensor, step: usize, places: Range<usize>) -> Tensor {
        let width = self.training.latent_step;
        match self.training.latents {
            Latents::Exact => latents,
            Latents::Rounded => (latents / width).round() * width,
            Latents::Noisy => {
                let seed = |place| self.training.seed ^ (step as u64) << 20 ^ (place as u64) << 44;
                let noise = |place| {
                    let mut random = fastrand::Rng::with_seed(seed(place));
                    (0..latents.size()[1]).map(move |_| random.f32() - 0.5)
                };
                let noise: Vec<f32> = places.flat_map(noise).collect();
                let noise = Tensor::from_slice(&noise).view_as(&latents).to_device(latents.device());
                latents + noise * width
            }
        }
    }

    /// The loss of a step's batch, and its gradients.
    pub fn step(&self, swae: &mut Swae, batch: &[Tensor], step: usize) -> Step {
        let Self { training, world, .. } = *self;
        let (encoded, decoded) = self.pass(swae, batch, step);
        // All losses are means over the batch of all ranks.
        let errors: Vec<_> = decoded.outputs().iter().zip(batch).map(|(y, x)| y - x.view_as(y)).collect();
        let squares = errors.iter().map(|e| vec![e.square().sum(Kind::Float)]).collect();
        let mse = world.sum_parts(squares)[0].double_value(&[]) / (training.batch * VALUES) as f64;

        let flat: Vec<_> = encoded.outputs().iter().map(|z| z.flatten(1, -1)).collect();
        let latents = leaf(&world.gather_rows(&Tensor::cat(&flat, 0)));
        // The prior's samples and the directions of the step, the same on all ranks.
        tch::manual_seed((training.seed as i64) << 32 ^ step as i64);
        let swd = sliced_wasserstein(&latents, training.prior, training.projections);
        let bits = bits(&latents, training.latent_step);
        let loss = training.swd_weight * &swd + training.bits_weight * &bits;
        let by_all = Tensor::run_backward(&[loss], &[&latents], false, false).remove(0);
        let own = self.places().map(|rows| by_all.narrow(0, rows.start as i64, rows.len() as i64));

        let by_decoded = errors.iter().map(|e| training.loss.gradient(e, training.batch)).collect();
        let (by_stored, by_decoder) = swae.decoder.back(decoded, by_decoded, world);
        let by_latents = by_stored.iter().zip(own).map(|(a, b)| a + b.view_as(a)).collect();
        let (_, by_encoder) = swae.encoder.back(encoded, by_latents, world);
        let by_parameters =
            by_encoder.into_iter().zip(by_decoder).map(|(e, d)| e.into_iter().chain(d).collect());
        let gradients = world.sum_parts(by_parameters.collect());
        Step { mse, swd: swd.double_value(&[]), bits: bits.double_value(&[]), gradients }
    }
}
