//! The autoencoder in libtorch, layer for layer what `swae_codec::model::Architecture` describes, with batch
//! normalisation, which the export folds into the weights. Statistics are those of the batch of all ranks, and the way back
//! goes layer by layer, for at each normalisation the ranks have to talk.

use crate::parallel::World;
use swae_codec::Model;
use swae_codec::model::{Architecture, Kind as Kernel, LayerSpec, Metadata, Parameters};
use tch::nn::{self, Path};
use tch::{Kind, Tensor, no_grad};

struct Layer {
    spec: LayerSpec,
    weight: Tensor,
    /// Where a normalisation follows there is none: that would take it away again.
    bias: Option<Tensor>,
    norm: Option<Norm>,
}

/// Batch normalisation over the batch of all ranks (Ioffe & Szegedy, ICML 2015).
struct Norm {
    gain: Tensor,
    offset: Tensor,
    running_mean: Tensor,
    running_variance: Tensor,
}

const EPSILON: f64 = 1e-5;
/// Share of a step's statistics in the running ones.
const MOMENTUM: f64 = 0.1;

impl Norm {
    fn new(path: &Path<'_>, channels: usize) -> Self {
        let n = [channels as i64];
        Self {
            gain: path.var("weight", &n, nn::Init::Const(1.0)),
            offset: path.var("bias", &n, nn::Init::Const(0.0)),
            running_mean: path.zeros_no_train("running_mean", &n),
            running_variance: path.ones_no_train("running_var", &n),
        }
    }

    fn apply(&self, z: &Tensor, mean: &Tensor, variance: &Tensor) -> Tensor {
        let wide = |t: &Tensor| t.view([1, -1, 1, 1, 1]);
        let scale = wide(&(&self.gain / (variance + EPSILON).sqrt()));
        (z - wide(mean)) * scale + wide(&self.offset)
    }

    /// Mean and variance of each channel of `[batch, channels, n, n, n]` over the batches of all ranks, and how many values
    /// that is; the running ones move towards them.
    fn statistics(&mut self, z: &Tensor, world: &World) -> (Tensor, Tensor, f64) {
        no_grad(|| {
            let [batch, channels, n, ..] = z.size()[..] else { panic!("five axes") };
            let axes = [0i64, 2, 3, 4];
            let count = Tensor::from_slice(&[(batch * n * n * n) as f32]);
            // The variance about a common point, near every channel's mean: squares alone would cancel.
            let about = self.running_mean.view([1, -1, 1, 1, 1]);
            let off = z - &about;
            let sums = |x: &Tensor| x.sum_dim_intlist(&axes[..], false, Kind::Float);
            let mut all = [sums(&off), sums(&off.square()), count];
            world.sum_tensors(&mut all);
            let count = all[2].double_value(&[0]);
            let shift = &all[0] / count;
            let variance = &all[1] / count - shift.square();
            let mean = &self.running_mean + shift;
            let unbiased = &variance * (count / (count - 1.0).max(1.0));
            self.running_mean.copy_(&(&self.running_mean * (1.0 - MOMENTUM) + &mean * MOMENTUM));
            let running = &self.running_variance * (1.0 - MOMENTUM) + unbiased * MOMENTUM;
            self.running_variance.copy_(&running);
            debug_assert_eq!(mean.size(), [channels]);
            (mean, variance, count)
        })
    }
}

/// A layer's forward pass in training, remembered for the way back.
struct Pass {
    /// The layer's input, cut off from the layer before.
    input: Tensor,
    /// Before the normalisation.
    linear: Tensor,
    /// The same, cut off, and the statistics that it was normalised with and how many values they are of.
    normalised: Option<(Tensor, Tensor, Tensor, f64)>,
    output: Tensor,
}

/// A tensor without what it comes from, to which a gradient comes.
fn leaf(t: &Tensor) -> Tensor {
    t.detach().set_requires_grad(true)
}

/// Hands a gradient over to all that a tensor comes from.
fn hand_back(t: &Tensor, gradient: &Tensor) {
    (t * gradient).sum(Kind::Float).backward();
}

impl Layer {
    fn new(path: &Path<'_>, spec: LayerSpec) -> Self {
        let shape: Vec<i64> = spec.weight_shape().iter().map(|&n| n as i64).collect();
        // He initialisation by the number of inputs that really reach an output.
        let taps: f64 = match spec.kind {
            Kernel::Linear => 1.0,
            Kernel::Convolution { stride: 1 } => 27.0,
            Kernel::Convolution { .. } => {
                if spec.edge_out == 1 {
                    8.0
                } else {
                    27.0
                }
            }
            Kernel::Transposed => {
                if spec.edge_in == 1 {
                    1.0
                } else {
                    27.0 / 8.0
                }
            }
        };
        let stdev = (2.0 / (taps * spec.cin as f64)).sqrt();
        let norm = spec.activated.then(|| Norm::new(&(path / "norm"), spec.cout));
        Self {
            spec,
            weight: path.var("weight", &shape, nn::Init::Randn { mean: 0.0, stdev }),
            bias: norm.is_none().then(|| path.var("bias", &[spec.cout as i64], nn::Init::Const(0.0))),
            norm,
        }
    }

    /// Of folded weights.
    fn of_parameters(spec: LayerSpec, parameters: &Parameters) -> Self {
        let shape: Vec<i64> = spec.weight_shape().iter().map(|&n| n as i64).collect();
        let weight = Tensor::from_slice(&parameters.weight).view(shape.as_slice());
        Self { spec, weight, bias: Some(Tensor::from_slice(&parameters.bias)), norm: None }
    }

    /// `[batch, cin, n, n, n]` to `[batch, cout, m, m, m]`, without normalisation and activation.
    fn linear(&self, x: &Tensor) -> Tensor {
        let bias = self.bias.as_ref();
        match self.spec.kind {
            Kernel::Linear => {
                let [batch, cout] = [x.size()[0], self.spec.cout as i64];
                x.flatten(1, -1).linear(&self.weight, bias).view([batch, cout, 1, 1, 1])
            }
            Kernel::Convolution { stride } => {
                x.conv3d(&self.weight, bias, [stride as i64; 3], [1; 3], [1; 3], 1)
            }
            Kernel::Transposed => x.conv_transpose3d(&self.weight, bias, [2; 3], [1; 3], [1; 3], 1, [1; 3]),
        }
    }

    /// With the running statistics.
    fn forward(&self, x: &Tensor) -> Tensor {
        let z = self.linear(x);
        let y = match &self.norm {
            Some(norm) => norm.apply(&z, &norm.running_mean, &norm.running_variance),
            None => z,
        };
        if self.spec.activated { y.relu() } else { y }
    }

    /// With the statistics of the batch of all ranks.
    fn pass(&mut self, x: &Tensor, world: &World) -> Pass {
        let input = leaf(x);
        let linear = self.linear(&input);
        let Some(norm) = &mut self.norm else {
            let output = linear.shallow_clone();
            return Pass { input, linear, normalised: None, output };
        };
        let (mean, variance, count) = norm.statistics(&linear, world);
        let (z, mean, variance) = (leaf(&linear), leaf(&mean), leaf(&variance));
        let output = norm.apply(&z, &mean, &variance).relu();
        Pass { input, linear, normalised: Some((z, mean, variance, count)), output }
    }

    /// The gradient of the pass's input from that of its output; those of the weights are added to theirs. What the
    /// statistics pass on comes from the losses of all ranks.
    fn back(&self, pass: &Pass, gradient: &Tensor, world: &World) -> Tensor {
        hand_back(&pass.output, gradient);
        if let Some((z, mean, variance, count)) = &pass.normalised {
            let mut passed = [mean.grad(), variance.grad()];
            world.sum_tensors(&mut passed);
            let wide = |t: &Tensor| t.view([1, -1, 1, 1, 1]) / *count;
            let [by_mean, by_variance] = passed.each_ref().map(wide);
            let off = z.detach() - mean.detach().view([1, -1, 1, 1, 1]);
            hand_back(&pass.linear, &(z.grad() + by_mean + by_variance * 2.0 * off));
        }
        pass.input.grad()
    }

    /// Weight and bias with the running statistics of the batch normalisation folded in.
    fn folded(&self) -> Parameters {
        let mut weight = self.weight.to_kind(Kind::Double);
        let mut bias = self.bias.as_ref().map(|b| b.to_kind(Kind::Double));
        if let Some(norm) = &self.norm {
            let gain = (&norm.gain / (&norm.running_variance + EPSILON).sqrt()).to_kind(Kind::Double);
            let output_axis = if self.spec.kind == Kernel::Transposed { 1 } else { 0 };
            let mut shape = vec![1; weight.dim()];
            shape[output_axis] = -1;
            weight *= gain.view(shape.as_slice());
            bias = Some(&norm.offset - &norm.running_mean * gain);
        }
        let bias = bias.expect("a layer without normalisation has a bias");
        Parameters { weight: values(&weight), bias: values(&bias) }
    }
}

fn values(t: &Tensor) -> Vec<f32> {
    let flat = t.to_kind(Kind::Float).to_device(tch::Device::Cpu).contiguous().view(-1);
    Vec::try_from(flat).expect("a flat float tensor")
}

/// A sliced-Wasserstein autoencoder under training.
pub struct Swae {
    architecture: Architecture,
    encoder: Vec<Layer>,
    decoder: Vec<Layer>,
}

impl Swae {
    /// Fresh weights under `path`.
    pub fn new(path: &Path<'_>, architecture: Architecture) -> Self {
        let layers = |side: &str, specs: Vec<LayerSpec>| {
            let side = path / side;
            specs.into_iter().enumerate().map(|(i, spec)| Layer::new(&(&side / i), spec)).collect()
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
            specs.into_iter().zip(parameters).map(|(spec, p)| Layer::of_parameters(spec, p)).collect()
        };
        let encoder = layers(architecture.encoder(), model.encoder.as_ref()?);
        Some(Self { encoder, decoder: layers(architecture.decoder(), &model.decoder), architecture })
    }

    /// Blocks `[batch, 1, 8, 8, 8]` to latents `[batch, latent]`, with the running statistics.
    pub fn encode(&self, blocks: &Tensor) -> Tensor {
        self.encoder.iter().fold(blocks.shallow_clone(), |x, l| l.forward(&x)).flatten(1, -1)
    }

    /// Latents `[batch, latent]` to blocks `[batch, 1, 8, 8, 8]`, with the running statistics.
    pub fn decode(&self, latents: &Tensor) -> Tensor {
        self.decoder.iter().fold(spread(latents), |x, l| l.forward(&x))
    }

    /// The forward pass of a step: this rank's part `[n, 1, 8, 8, 8]` of the batch, normalised with the whole batch's
    /// statistics. [`Swae::back`] differentiates it, nothing else.
    pub fn pass(&mut self, blocks: &Tensor, world: &World) -> Passes {
        let through = |layers: &mut [Layer], x: &Tensor| -> Vec<Pass> {
            let mut passes: Vec<Pass> = Vec::with_capacity(layers.len());
            for layer in layers {
                let x = passes.last().map_or(x, |p| &p.output).shallow_clone();
                passes.push(layer.pass(&x, world));
            }
            passes
        };
        let encoder = through(&mut self.encoder, blocks);
        let latents = encoder[encoder.len() - 1].output.detach().flatten(1, -1);
        let decoder = through(&mut self.decoder, &spread(&latents));
        let decoded = decoder[decoder.len() - 1].output.detach();
        Passes { encoder, latents, decoder, decoded }
    }

    /// The way back: from the gradients of the loss of all ranks by this rank's `decoded` and `latents` to those by the
    /// weights, of this rank's part of the batch.
    pub fn back(&self, passes: &Passes, decoded: &Tensor, latents: &Tensor, world: &World) {
        let back = |layers: &[Layer], passes: &[Pass], gradient: Tensor| {
            let pairs = layers.iter().zip(passes).rev();
            pairs.fold(gradient, |gradient, (layer, pass)| layer.back(pass, &gradient, world))
        };
        let by_decoder = back(&self.decoder, &passes.decoder, decoded.shallow_clone()).flatten(1, -1);
        let last = &passes.encoder[passes.encoder.len() - 1].output;
        let _ = back(&self.encoder, &passes.encoder, (by_decoder + latents).view_as(last));
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
        let fold = |layers: &[Layer]| layers.iter().map(Layer::folded).collect();
        let metadata = Metadata::new(name, self.architecture.clone(), provenance);
        tch::no_grad(|| Model::new(metadata, Some(fold(&self.encoder)), fold(&self.decoder)))
    }
}

/// `[batch, latent]` as a decoder takes it.
fn spread(latents: &Tensor) -> Tensor {
    latents.view([latents.size()[0], latents.size()[1], 1, 1, 1])
}

/// The forward pass of a step: two tensors to make a loss of, and what the way back needs.
pub struct Passes {
    encoder: Vec<Pass>,
    /// `[n, latent]`.
    pub latents: Tensor,
    decoder: Vec<Pass>,
    /// `[n, 1, 8, 8, 8]`.
    pub decoded: Tensor,
}

#[cfg(test)]
mod tests {
    use super::*;
    use swae_codec::engine::{Engine, LANES, Lanes};
    use swae_codec::network::Network;

    /// One batch through libtorch (evaluation mode) and through the codec's engine.
    #[test]
    fn the_engine_agrees_with_libtorch_to_1e_5() {
        for convolutions_per_stage in [1, 2] {
            tch::manual_seed(7);
            let store = nn::VarStore::new(tch::Device::Cpu);
            let architecture = Architecture { convolutions_per_stage, ..Architecture::default() };
            let mut swae = Swae::new(&store.root(), architecture);
            let blocks = Tensor::randn([LANES as i64, 1, 8, 8, 8], (Kind::Float, tch::Device::Cpu));
            // A few training passes give the batch normalisation statistics that are not the identity.
            for _ in 0..5 {
                swae.pass(&blocks, &World::ALONE);
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
            let z = Network::encoder(&model).unwrap().run(Engine::best(), &input);
            let y = Network::decoder(&model).run(Engine::best(), &z);
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
