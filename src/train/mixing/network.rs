//! The mixing network in libtorch: three dense layers from context features to weights. It is
//! written as a model file that the codec runs.

use super::samples::inputs;
use anyhow::{Context, Result, ensure};
use std::path::Path;
use swae_codec::Model;
use swae_codec::blocks::VALUES;
use swae_codec::model::{Activation, Architecture, Metadata, Parameters};
use swae_codec::predict::mixing::{INPUTS, OTHERS, WEIGHTS};
use tch::{Kind, Tensor, no_grad};

/// Outputs of a hidden layer.
const HIDDEN: i64 = 128;

fn architecture() -> Architecture {
    Architecture {
        channels: vec![HIDDEN as usize; 2],
        latent: INPUTS,
        activation: Activation::HardSwish,
        dense: true,
        ..Architecture::default()
    }
}

/// The network: standardised inputs, and three linear layers, `[weight, bias]` each.
pub(super) struct MixingNetwork {
    mean: Tensor,
    scale: Tensor,
    layers: Vec<[Tensor; 2]>,
}

impl MixingNetwork {
    /// With random weights; its inputs are standardised by the first of these rows of samples.
    pub fn new(rows: &Tensor, seed: u64) -> Self {
        tch::manual_seed(seed as i64);
        let inputs = inputs(&rows.narrow(0, 0, rows.size()[0].min(50_000)));
        let mean = inputs.mean_dim(0, false, Kind::Float);
        let scale = 1.0 / (inputs.std_dim(0, false, false) + 0.1);
        let sizes = [INPUTS as i64, HIDDEN, HIDDEN, WEIGHTS as i64];
        let layers = sizes.windows(2).enumerate().map(|(i, pair)| {
            let size = (1.5 / pair[0] as f64).sqrt() * if i == 2 { 0.1 } else { 1.0 };
            let weight = Tensor::randn([pair[1], pair[0]], (Kind::Float, tch::Device::Cpu)) * size;
            let bias = Tensor::zeros([pair[1]], (Kind::Float, tch::Device::Cpu));
            [weight.set_requires_grad(true), bias.set_requires_grad(true)]
        });
        Self { mean, scale, layers: layers.collect() }
    }

    /// A finished model, to go on from.
    pub fn of_model(model: &Model) -> Result<Self> {
        ensure!(
            model.metadata.architecture == architecture(),
            "{}: no mixing network of this size",
            model.metadata.name
        );
        let rows = [HIDDEN, HIDDEN, WEIGHTS as i64];
        let layers = model.decoder.iter().zip(rows).map(|(p, rows)| {
            let weight =
                Tensor::from_slice(&p.weight).view([p.bias.len() as i64, -1]).narrow(0, 0, rows).copy();
            let bias = Tensor::from_slice(&p.bias).narrow(0, 0, rows).copy();
            [weight.set_requires_grad(true), bias.set_requires_grad(true)]
        });
        let size = [INPUTS as i64];
        let options = (Kind::Float, tch::Device::Cpu);
        Ok(Self {
            mean: Tensor::zeros(size, options),
            scale: Tensor::ones(size, options),
            layers: layers.collect(),
        })
    }

    /// Weights and biases, by name.
    pub fn variables(&self) -> Vec<(String, Tensor)> {
        let named = |(i, [weight, bias]): (usize, &[Tensor; 2])| {
            [(format!("{i}.weight"), weight.shallow_clone()), (format!("{i}.bias"), bias.shallow_clone())]
        };
        self.layers.iter().enumerate().flat_map(named).collect()
    }

    /// Weights `[row, group, candidate]` from inputs `[row, input]`.
    pub fn weights(&self, inputs: &Tensor) -> Tensor {
        let mut x = (inputs - &self.mean) * &self.scale;
        for (i, [weight, bias]) in self.layers.iter().enumerate() {
            x = x.linear(weight, Some(bias));
            if i + 1 < self.layers.len() {
                x = x.hardswish();
            }
        }
        x.view([-1, (WEIGHTS / OTHERS) as i64, OTHERS as i64])
    }

    /// Writes a model file.
    pub fn write<const N: usize>(
        &self,
        path: &Path,
        name: &str,
        provenance: [(&str, serde_json::Value); N],
    ) -> Result<()> {
        let provenance = provenance.into_iter().map(|(k, v)| (k.into(), v)).collect();
        let model = self.model(Metadata::new(name, architecture(), provenance))?;
        std::fs::write(path, model.to_bytes()).with_context(|| path.display().to_string())
    }

    /// The model that the codec runs: the standardisation is folded into the first layer.
    fn model(&self, metadata: Metadata) -> Result<Model> {
        let parameters = no_grad(|| {
            self.layers
                .iter()
                .enumerate()
                .map(|(i, [weight, bias])| {
                    let (mut weight, mut bias) = (weight.detach().copy(), bias.detach().copy());
                    if i == 0 {
                        weight = &weight * &self.scale;
                        bias = &bias - weight.matmul(&self.mean);
                    }
                    let mut weight = Vec::<f32>::try_from(weight.contiguous().view([-1]))?;
                    let mut bias = Vec::<f32>::try_from(bias)?;
                    if i + 1 == self.layers.len() {
                        // The decoder of a block has an output for each value.
                        weight.resize(VALUES * HIDDEN as usize, 0.0);
                        bias.resize(VALUES, 0.0);
                    }
                    Ok(Parameters { weight, bias })
                })
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(Model::new(metadata, None, parameters)?)
    }
}
