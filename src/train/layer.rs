//! One layer in libtorch, with batch normalisation, which the export folds into the weights.
//! Backpropagation goes layer by layer, for each normalisation needs sums over the parts of the
//! batch, on whatever rank they are.

use crate::parallel::{World, each};
use swae_codec::model::{Activation, Kind as Kernel, LayerSpec, Parameters};
use tch::nn::{self, Path};
use tch::{Kind, Tensor};

/// One layer of an encoder or a decoder.
pub(crate) struct Layer {
    spec: LayerSpec,
    activation: Activation,
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

    /// Mean and variance of each channel of all parts `[n, channels, m, m, m]` of the batch;
    /// updates the running ones.
    fn statistics(&mut self, parts: Vec<Tensor>, world: &World) -> Statistics {
        // The variance about a common point, near every channel's mean: squares alone would cancel.
        let parts = parts.into_iter().map(|z| (z, self.running_mean.shallow_clone())).collect();
        let sums = each(parts, |(z, about): (Tensor, Tensor)| {
            let off = &z - about.view([1, -1, 1, 1, 1]);
            let sum = |x: &Tensor| x.sum_dim_intlist(&[0i64, 2, 3, 4][..], false, Kind::Float);
            let count = z.numel() as i64 / z.size()[1];
            vec![sum(&off), sum(&off.square()), Tensor::from_slice(&[count as f32])]
        });
        let all = world.sum_parts(sums);
        let count = all[2].double_value(&[0]);
        let shift = &all[0] / count;
        let variance = &all[1] / count - shift.square();
        let mean = &self.running_mean + shift;
        let unbiased = &variance * (count / (count - 1.0).max(1.0));
        let mean_now = &self.running_mean * (1.0 - MOMENTUM) + &mean * MOMENTUM;
        let variance_now = &self.running_variance * (1.0 - MOMENTUM) + unbiased * MOMENTUM;
        self.running_mean.copy_(&mean_now);
        self.running_variance.copy_(&variance_now);
        Statistics { mean, variance, count }
    }

    fn handle(&self) -> Self {
        Self {
            gain: self.gain.shallow_clone(),
            offset: self.offset.shallow_clone(),
            running_mean: self.running_mean.shallow_clone(),
            running_variance: self.running_variance.shallow_clone(),
        }
    }
}

/// What a batch is normalised with.
struct Statistics {
    mean: Tensor,
    variance: Tensor,
    /// Values of a channel.
    count: f64,
}

/// A forward pass of a layer over a part of the batch, kept for backpropagation.
pub(crate) struct Pass {
    /// The layer's input, cut off from the layer before.
    input: Tensor,
    /// Before normalisation and activation.
    linear: Tensor,
    /// The same and what it was normalised with, cut off.
    normalised: Option<(Tensor, Statistics)>,
    /// What the next layer gets.
    pub output: Tensor,
}

/// A part's gradients.
pub(crate) struct Gradients {
    /// By the layer's input; undefined where none was wanted.
    pub by_input: Tensor,
    /// By its parameters, in the order of [`Layer::parameters`].
    pub by_parameters: Vec<Tensor>,
}

/// A tensor detached from the graph, which gathers a gradient.
pub(crate) fn leaf(t: &Tensor) -> Tensor {
    t.detach().set_requires_grad(true)
}

fn activate(activation: Activation, x: &Tensor) -> Tensor {
    match activation {
        Activation::Relu => x.relu(),
        Activation::HardSwish => x.hardswish(),
    }
}

/// The gradients by `inputs` from that by `output`, which comes from them.
fn gradients(output: &Tensor, by_output: &Tensor, inputs: &[&Tensor]) -> Vec<Tensor> {
    Tensor::run_backward(&[(output * by_output).sum(Kind::Float)], inputs, false, false)
}

fn handles(tensors: &[Tensor]) -> Vec<Tensor> {
    tensors.iter().map(Tensor::shallow_clone).collect()
}

impl Layer {
    /// Fresh weights under `path`.
    pub fn new(path: &Path<'_>, spec: LayerSpec, activation: Activation) -> Self {
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
            activation,
            weight: path.var("weight", &shape, nn::Init::Randn { mean: 0.0, stdev }),
            bias: norm.is_none().then(|| path.var("bias", &[spec.cout as i64], nn::Init::Const(0.0))),
            norm,
        }
    }

    /// Of folded weights.
    pub fn of_parameters(spec: LayerSpec, activation: Activation, parameters: &Parameters) -> Self {
        let shape: Vec<i64> = spec.weight_shape().iter().map(|&n| n as i64).collect();
        let weight = Tensor::from_slice(&parameters.weight).view(shape.as_slice());
        Self { spec, activation, weight, bias: Some(Tensor::from_slice(&parameters.bias)), norm: None }
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
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let z = self.linear(x);
        let y = match &self.norm {
            Some(norm) => norm.apply(&z, &norm.running_mean, &norm.running_variance),
            None => z,
        };
        if self.spec.activated { activate(self.activation, &y) } else { y }
    }

    /// The same layer, for another thread.
    fn handle(&self) -> Self {
        let bias = self.bias.as_ref().map(Tensor::shallow_clone);
        let norm = self.norm.as_ref().map(Norm::handle);
        Self { weight: self.weight.shallow_clone(), bias, norm, ..*self }
    }

    /// All parts of the batch, normalised with the statistics of the whole. A gradient is wanted by
    /// inputs that require one.
    pub fn pass(&mut self, inputs: Vec<Tensor>, world: &World) -> Vec<Pass> {
        let parts = inputs.into_iter().map(|x| (self.handle(), x)).collect();
        let parts = each(parts, |(layer, input): (Self, Tensor)| (layer.linear(&input), input));
        let detached = parts.iter().map(|(z, _)| z.detach()).collect();
        let statistics = self.norm.as_mut().map(|norm| norm.statistics(detached, world));
        let own = |s: &Statistics| Statistics { mean: leaf(&s.mean), variance: leaf(&s.variance), ..*s };
        let parts = parts.into_iter().map(|(z, x)| (self.handle(), z, x, statistics.as_ref().map(own)));
        each(parts.collect(), |(layer, linear, input, statistics): (Self, Tensor, Tensor, _)| {
            let Some((norm, by)) = layer.norm.zip(statistics) else {
                return Pass { input, output: linear.shallow_clone(), linear, normalised: None };
            };
            let z = leaf(&linear);
            let output = activate(layer.activation, &norm.apply(&z, &by.mean, &by.variance));
            Pass { input, linear, normalised: Some((z, by)), output }
        })
    }

    /// From the gradients by the parts' outputs those by all that the outputs come from.
    pub fn back(&self, passes: Vec<Pass>, by_outputs: Vec<Tensor>, world: &World) -> Vec<Gradients> {
        // To where the statistics enter, to which all parts hand back …
        let parts = passes.into_iter().zip(by_outputs).map(|(pass, by)| (self.handle(), pass, by)).collect();
        let parts = each(parts, |(layer, pass, by_output): (Self, Pass, Tensor)| {
            let Some((norm, (z, by))) = layer.norm.as_ref().zip(pass.normalised.as_ref()) else {
                return (layer, pass, by_output, [vec![], vec![]]);
            };
            let inputs = [z, &by.mean, &by.variance, &norm.gain, &norm.offset];
            let mut all = gradients(&pass.output, &by_output, &inputs);
            let by_norm = all.split_off(3);
            let by_statistics = all.split_off(1);
            (layer, pass, all.remove(0), [by_statistics, by_norm])
        });
        let by_statistics = parts.iter().map(|(.., [by, _])| handles(by)).collect();
        let by_statistics = if self.norm.is_some() { world.sum_parts(by_statistics) } else { vec![] };
        // … and on to the inputs.
        let on = |(layer, pass, by, [_, by_norm]): (_, _, _, [_; 2])| {
            (layer, pass, by, handles(&by_statistics), by_norm)
        };
        let parts = parts.into_iter().map(on).collect();
        each(
            parts,
            |(layer, pass, mut by_linear, by_statistics, by_norm): (Self, Pass, Tensor, Vec<_>, Vec<_>)| {
                if let (Some((z, by)), [by_mean, by_variance]) = (&pass.normalised, &by_statistics[..]) {
                    let wide = |t: &Tensor| t.view([1, -1, 1, 1, 1]) / by.count;
                    let off = z.detach() - by.mean.detach().view([1, -1, 1, 1, 1]);
                    by_linear += wide(by_mean) + wide(by_variance) * 2.0 * off;
                }
                let mut inputs = vec![&layer.weight];
                inputs.extend(&layer.bias);
                let wanted = pass.input.requires_grad();
                if wanted {
                    inputs.push(&pass.input);
                }
                let mut by_parameters = gradients(&pass.linear, &by_linear, &inputs);
                let by_input = if wanted { by_parameters.pop() } else { None };
                by_parameters.extend(by_norm);
                Gradients { by_input: by_input.unwrap_or_default(), by_parameters }
            },
        )
    }

    /// The trained parameters, by name.
    pub fn parameters(&self) -> Vec<(&'static str, Tensor)> {
        let mut all = vec![("weight", &self.weight)];
        all.extend(self.bias.as_ref().map(|b| ("bias", b)));
        all.extend(self.norm.iter().flat_map(|n| [("norm.weight", &n.gain), ("norm.bias", &n.offset)]));
        all.into_iter().map(|(name, t)| (name, t.shallow_clone())).collect()
    }

    /// Weight and bias with the running statistics of the batch normalisation folded in.
    pub fn folded(&self) -> Parameters {
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

/// All values, row by row.
pub(crate) fn values(t: &Tensor) -> Vec<f32> {
    let flat = t.to_kind(Kind::Float).to_device(tch::Device::Cpu).contiguous().view(-1);
    Vec::try_from(flat).expect("a flat float tensor")
}
