//! The autoencoder in libtorch, layer for layer what `swae_codec::model::Architecture` describes, with batch
//! normalisation, which the export folds into the weights.

use swae_codec::Model;
use swae_codec::model::{Architecture, Kind, LayerSpec, Metadata, Parameters};
use tch::nn::{self, BatchNorm, ModuleT, Path};
use tch::{Kind as Dtype, Tensor};

struct Layer {
    spec: LayerSpec,
    weight: Tensor,
    bias: Tensor,
    norm: Option<BatchNorm>,
}

impl Layer {
    fn new(path: &Path<'_>, spec: LayerSpec) -> Self {
        let shape: Vec<i64> = spec.weight_shape().iter().map(|&n| n as i64).collect();
        // He initialisation by the number of inputs that really reach an output.
        let taps: f64 = match spec.kind {
            Kind::Linear => 1.0,
            Kind::Convolution { stride: 1 } => 27.0,
            Kind::Convolution { .. } => {
                if spec.edge_out == 1 {
                    8.0
                } else {
                    27.0
                }
            }
            Kind::Transposed => {
                if spec.edge_in == 1 {
                    1.0
                } else {
                    27.0 / 8.0
                }
            }
        };
        let stdev = (2.0 / (taps * spec.cin as f64)).sqrt();
        let norm = spec
            .activated
            .then(|| nn::batch_norm3d(path / "norm", spec.cout as i64, nn::BatchNormConfig::default()));
        Self {
            spec,
            weight: path.var("weight", &shape, nn::Init::Randn { mean: 0.0, stdev }),
            bias: path.var("bias", &[spec.cout as i64], nn::Init::Const(0.0)),
            norm,
        }
    }

    /// Of folded weights.
    fn of_parameters(spec: LayerSpec, parameters: &Parameters) -> Self {
        let shape: Vec<i64> = spec.weight_shape().iter().map(|&n| n as i64).collect();
        let weight = Tensor::from_slice(&parameters.weight).view(shape.as_slice());
        Self { spec, weight, bias: Tensor::from_slice(&parameters.bias), norm: None }
    }

    /// `[batch, cin, n, n, n]` to `[batch, cout, m, m, m]`.
    fn forward(&self, x: &Tensor, train: bool) -> Tensor {
        let bias = Some(&self.bias);
        let y = match self.spec.kind {
            Kind::Linear => {
                let [batch, cout] = [x.size()[0], self.spec.cout as i64];
                x.flatten(1, -1).linear(&self.weight, bias).view([batch, cout, 1, 1, 1])
            }
            Kind::Convolution { stride } => {
                x.conv3d(&self.weight, bias, [stride as i64; 3], [1; 3], [1; 3], 1)
            }
            Kind::Transposed => x.conv_transpose3d(&self.weight, bias, [2; 3], [1; 3], [1; 3], 1, [1; 3]),
        };
        let y = match &self.norm {
            Some(norm) => norm.forward_t(&y, train),
            None => y,
        };
        if self.spec.activated { y.relu() } else { y }
    }

    /// Weight and bias with the running statistics of the batch normalisation folded in.
    fn folded(&self) -> Parameters {
        let (mut weight, mut bias) = (self.weight.to_kind(Dtype::Double), self.bias.to_kind(Dtype::Double));
        if let Some(norm) = &self.norm {
            let gain = norm.ws.as_ref().expect("affine")
                / (&norm.running_var + nn::BatchNormConfig::default().eps).sqrt();
            let gain = gain.to_kind(Dtype::Double);
            let output_axis = if self.spec.kind == Kind::Transposed { 1 } else { 0 };
            let mut shape = vec![1; weight.dim()];
            shape[output_axis] = -1;
            weight *= gain.view(shape.as_slice());
            bias = (bias - &norm.running_mean) * gain + norm.bs.as_ref().expect("affine");
        }
        Parameters { weight: values(&weight), bias: values(&bias) }
    }
}

fn values(t: &Tensor) -> Vec<f32> {
    let flat = t.to_kind(Dtype::Float).to_device(tch::Device::Cpu).contiguous().view(-1);
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

    /// Blocks `[batch, 1, 8, 8, 8]` to latents `[batch, latent]`.
    pub fn encode(&self, blocks: &Tensor, train: bool) -> Tensor {
        self.encoder.iter().fold(blocks.shallow_clone(), |x, l| l.forward(&x, train)).flatten(1, -1)
    }

    /// Latents `[batch, latent]` to blocks `[batch, 1, 8, 8, 8]`.
    pub fn decode(&self, latents: &Tensor, train: bool) -> Tensor {
        let z = latents.view([latents.size()[0], latents.size()[1], 1, 1, 1]);
        self.decoder.iter().fold(z, |x, l| l.forward(&x, train))
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
            let swae = Swae::new(&store.root(), architecture);
            let blocks = Tensor::randn([LANES as i64, 1, 8, 8, 8], (Dtype::Float, tch::Device::Cpu));
            // A few training passes give the batch normalisation statistics that are not the identity.
            for _ in 0..5 {
                let _ = swae.decode(&swae.encode(&blocks, true), true);
            }
            let (latents, decoded) = tch::no_grad(|| {
                let z = swae.encode(&blocks, false);
                let y = swae.decode(&z, false);
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
