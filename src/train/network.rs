//! The autoencoder in libtorch, layer for layer what `swae_codec::model::Architecture` describes;
//! trained here, exported to the weights that the codec runs.

use crate::layer::{Layer, Pass, leaf};
use crate::parallel::World;
use swae_codec::Model;
use swae_codec::blocks::EDGE;
use swae_codec::model::{Architecture, LayerSpec, Metadata, Parameters};
use tch::Tensor;
use tch::nn::Path;

/// A sliced-Wasserstein autoencoder under training.
pub struct Swae {
    architecture: Architecture,
    /// Blocks `[n, 1, 8, 8, 8]` to latents.
    pub encoder: Chain,
    /// Latents to blocks.
    pub decoder: Chain,
}

/// An encoder or a decoder: one layer after the other.
pub struct Chain(Vec<Layer>);

/// A chain's passes over the parts of a batch: by layer, by part.
pub struct Passes(Vec<Vec<Pass>>);

impl Passes {
    /// The output of each part, `[n, channels, m, m, m]`.
    pub fn outputs(&self) -> Vec<Tensor> {
        self.0.last().expect("a chain has layers").iter().map(|pass| pass.output.detach()).collect()
    }
}

impl Chain {
    /// With the running statistics.
    fn run(&self, x: Tensor) -> Tensor {
        self.0.iter().fold(x, |x, layer| layer.forward(&x))
    }

    /// This rank's parts of a batch, normalised with the statistics of all of it.
    pub fn pass(&mut self, inputs: Vec<Tensor>, world: &World) -> Passes {
        let mut passes: Vec<Vec<Pass>> = Vec::with_capacity(self.0.len());
        let mut inputs = inputs;
        for layer in &mut self.0 {
            let pass = layer.pass(inputs, world);
            inputs = pass.iter().map(|p| leaf(&p.output)).collect();
            passes.push(pass);
        }
        Passes(passes)
    }

    /// From the gradients of the loss of all ranks by the parts' outputs: those by their inputs,
    /// and for each part those by the parameters, first layer first.
    pub fn back(
        &self,
        passes: Passes,
        mut by_outputs: Vec<Tensor>,
        world: &World,
    ) -> (Vec<Tensor>, Vec<Vec<Tensor>>) {
        let mut by_parameters: Vec<Vec<Vec<Tensor>>> = by_outputs.iter().map(|_| vec![]).collect();
        for (layer, passes) in self.0.iter().zip(passes.0).rev() {
            let parts = layer.back(passes, by_outputs, world);
            by_outputs = Vec::with_capacity(parts.len());
            for (part, by) in by_parameters.iter_mut().zip(parts) {
                part.push(by.by_parameters);
                by_outputs.push(by.by_input);
            }
        }
        let first_to_last = |part: Vec<Vec<Tensor>>| part.into_iter().rev().flatten().collect();
        (by_outputs, by_parameters.into_iter().map(first_to_last).collect())
    }

    /// The trained parameters, by name.
    fn parameters(&self) -> impl Iterator<Item = (String, Tensor)> {
        let named = |(i, layer): (usize, &Layer)| {
            layer.parameters().into_iter().map(move |(name, t)| (format!("{i}.{name}"), t))
        };
        self.0.iter().enumerate().flat_map(named)
    }
}

impl Swae {
    /// Fresh weights under `path`.
    pub fn new(path: &Path<'_>, architecture: Architecture) -> Self {
        let layers = |side: &str, specs: Vec<LayerSpec>| {
            let side = path / side;
            let layer = |(i, spec)| Layer::new(&(&side / i), spec, architecture.activation);
            Chain(specs.into_iter().enumerate().map(layer).collect())
        };
        Self {
            encoder: layers("encoder", architecture.encoder()),
            decoder: layers("decoder", architecture.decoder()),
            architecture,
        }
    }

    /// A finished model, its batch normalisation folded in; none where it has no encoder.
    pub fn of_model(model: &Model) -> Option<Self> {
        let architecture = model.metadata.architecture.clone();
        let layers = |specs: Vec<LayerSpec>, parameters: &[Parameters]| {
            let layer = |(spec, p)| Layer::of_parameters(spec, architecture.activation, p);
            Chain(specs.into_iter().zip(parameters).map(layer).collect())
        };
        let encoder = layers(architecture.encoder(), model.encoder.as_ref()?);
        Some(Self { encoder, decoder: layers(architecture.decoder(), &model.decoder), architecture })
    }

    /// Blocks `[batch, 1, 8, 8, 8]` to latents `[batch, latent]`, with the running statistics.
    pub fn encode(&self, blocks: &Tensor) -> Tensor {
        self.encoder.run(blocks.shallow_clone()).flatten(1, -1)
    }

    /// Latents `[batch, latent]` to blocks `[batch, 1, 8, 8, 8]`, with the running statistics.
    pub fn decode(&self, latents: &Tensor) -> Tensor {
        let n = EDGE as i64;
        self.decoder.run(latents.view([latents.size()[0], -1, 1, 1, 1])).view([-1, 1, n, n, n])
    }

    /// The trained parameters, by name: the encoder's, then the decoder's.
    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        let sides = [("encoder", &self.encoder), ("decoder", &self.decoder)];
        let named = |(side, chain): (&'static str, &Chain)| {
            chain.parameters().map(move |(name, t)| (format!("{side}.{name}"), t)).collect::<Vec<_>>()
        };
        sides.into_iter().flat_map(named).collect()
    }

    /// The model as data.
    ///
    /// # Errors
    /// Where a weight is not finite.
    pub fn export(
        &self,
        name: &str,
        provenance: std::collections::BTreeMap<String, serde_json::Value>,
    ) -> swae_codec::Result<Model> {
        let fold = |chain: &Chain| chain.0.iter().map(Layer::folded).collect();
        let metadata = Metadata::new(name, self.architecture.clone(), provenance);
        tch::no_grad(|| Model::new(metadata, Some(fold(&self.encoder)), fold(&self.decoder)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::values;
    use swae_codec::engine::{Engine, LANES, Lanes};
    use swae_codec::model::Activation;
    use swae_codec::network::Network;
    use tch::{Kind, nn};

    /// One batch through libtorch (evaluation mode) and through the codec's engine.
    #[test]
    fn the_engine_gives_the_outputs_of_libtorch_within_1e_5() {
        let seed = Architecture::default();
        for architecture in [
            seed.clone(),
            Architecture { convolutions_per_stage: 2, ..seed.clone() },
            Architecture { activation: Activation::HardSwish, latent: 64, ..seed.clone() },
            Architecture { dense: true, channels: vec![100, 60], latent: 4, ..seed },
        ] {
            tch::manual_seed(7);
            let store = nn::VarStore::new(tch::Device::Cpu);
            let mut swae = Swae::new(&store.root(), architecture);
            let blocks = Tensor::randn([LANES as i64, 1, 8, 8, 8], (Kind::Float, tch::Device::Cpu));
            // A few training passes give the batch normalisation statistics that are not the
            // identity.
            for _ in 0..5 {
                let latents = swae.encoder.pass(vec![blocks.shallow_clone()], &World::alone()).outputs();
                swae.decoder.pass(latents, &World::alone());
            }
            let (latents, decoded) = tch::no_grad(|| {
                let z = swae.encode(&blocks);
                let y = swae.decode(&z);
                (values(&z), values(&y))
            });
            let model = swae.export("test", Default::default()).unwrap();
            let flat = values(&blocks);
            let input: Vec<Lanes> =
                (0..512).map(|i| Lanes(std::array::from_fn(|l| flat[l * 512 + i]))).collect();
            let z = Network::encoder(&model).unwrap().run(Engine::SCALAR, &input);
            let y = Network::decoder(&model).run(Engine::SCALAR, &z);
            for (ours, theirs, what) in [(&z, &latents, "latents"), (&y, &decoded, "values")] {
                let n = ours.len();
                let scale = theirs.iter().fold(0f32, |m, v| m.max(v.abs()));
                for l in 0..LANES {
                    for i in 0..n {
                        let error = (ours[i].0[l] - theirs[l * n + i]).abs() / scale;
                        assert!(error < 1e-5, "{what}: relative error {error:e}");
                    }
                }
            }
        }
    }
}
