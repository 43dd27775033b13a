//! `swae-train mix`: trains the network that weighs the predictions of bounded mode.
//!
//! Every field of every run is coded as a series, at several bounds and step distances; what the encoder foretold of a
//! block and what the block was is a lesson. The loss is an estimate of the bits that the quantised residual takes.

use crate::adam::Adam;
use anyhow::{Context, Result, ensure};
use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use swae_codec::blocks::VALUES;
use swae_codec::bounded::mixture::{INPUTS, Lesson, OTHERS, TAUGHT, WEIGHTS, group};
use swae_codec::model::{Activation, Architecture, Metadata, Parameters};
use swae_codec::{Bound, Bounded, Field, FieldView, History, Model, Models, lessons};
use swae_store::{Decoder, open};
use tch::{Kind, Tensor, no_grad};

/// What is trained, on what.
#[derive(Args, Debug)]
pub struct Mix {
    /// Files with steps of runs, at equal distances in time
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Runs to test the model on
    #[arg(long, num_args = 1..)]
    test: Vec<PathBuf>,
    /// The model file to write
    #[arg(short, long, default_value = "mixture.safetensors")]
    output: PathBuf,
    /// A model file, or the name of a built-in one, to go on from
    #[arg(long)]
    from: Option<String>,
    /// The model's name
    #[arg(long, default_value = "mixture")]
    name: String,
    /// Bounds relative to the range of each step
    #[arg(long, value_delimiter = ',', default_value = "1e-2,3e-3,1e-3,3e-4,1e-4,1e-5")]
    bounds: Vec<f64>,
    /// Distances of steps
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    distances: Vec<usize>,
    /// Only the first steps of each run; 0 is all
    #[arg(long, default_value_t = 0)]
    first: usize,
    /// Lessons to learn from, at random
    #[arg(long, default_value_t = 1_500_000)]
    lessons: usize,
    /// Steps of training
    #[arg(long, default_value_t = 15_000)]
    steps: usize,
    /// Lessons a step
    #[arg(long, default_value_t = 1024)]
    batch: usize,
    /// Adam's rate, which falls to 0 along a cosine
    #[arg(long, default_value_t = 2e-3)]
    rate: f64,
    /// What chance starts from
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Weights of a hidden layer.
const HIDDEN: i64 = 128;
/// What a lesson is stored as: inputs, opinions, truth, step.
const ROW: usize = INPUTS + (OTHERS + 1) * TAUGHT + 1;
/// Residuals, in steps, well below which a coefficient takes hardly a bit.
const SMALL: f64 = 0.6;
/// Bits of a block below which it hardly matters who is better.
const FEW: f64 = 10.0;

impl Mix {
    /// Trains, and writes the model.
    ///
    /// # Errors
    /// Where a run cannot be read or teaches nothing, and where the model cannot be written.
    pub fn run(&self) -> Result<()> {
        let rows = self.gather(&self.runs)?;
        let count = rows.len() / ROW;
        ensure!(count >= self.batch, "the runs teach nothing: fewer than three steps, or too small");
        log::info!("{count} lessons");
        let data = Tensor::from_slice(&rows).view([count as i64, ROW as i64]);
        drop(rows);
        let net = match &self.from {
            Some(name) => Net::of_model(&*Models::named_or_file(name)?)?,
            None => Net::new(&data, self.seed),
        };
        tch::manual_seed(self.seed as i64);
        let mut adam = Adam::new(net.variables());
        let bar = ProgressBar::new(self.steps as u64);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len}  {msg}  {eta} left");
        bar.set_style(style.context("the bar's template")?);
        let mut mean = 0.0;
        for step in 0..self.steps {
            let some = Tensor::randint(count as i64, [self.batch as i64], (Kind::Int64, tch::Device::Cpu));
            let rows = data.index_select(0, &some);
            // Beside its bits with the best opinion, so that fine bounds do not outweigh coarse ones.
            let rivals = no_grad(|| best(&opinions(&rows)));
            let found = bits(&net.weights(&rows), &rows);
            let loss = (&found / (&rivals + FEW)).mean(Kind::Float);
            let variables: Vec<Tensor> = net.variables().into_iter().map(|(_, v)| v).collect();
            let gradients = Tensor::run_backward(&[&loss], &variables, false, false);
            let along = step as f64 / self.steps as f64;
            adam.step(&gradients, self.rate * 0.5 * (1.0 + (std::f64::consts::PI * along).cos()));
            mean += (loss.double_value(&[]) - mean) / (step as f64 + 1.0).min(500.0);
            bar.set_message(format!("{mean:.4} of the best opinion's bits"));
            bar.inc(1);
            if (step + 1) % 1000 == 0 {
                log::info!("{} steps, {mean:.4} of the bits that the best opinion leaves", step + 1);
            }
        }
        bar.finish();
        if !self.test.is_empty() {
            let rows = self.gather(&self.test)?;
            let data = Tensor::from_slice(&rows).view([-1, ROW as i64]);
            let data = data.narrow(0, 0, data.size()[0].min(200_000));
            let [network, first, neighbours, further, still, best] = compare(&net, &data);
            log::info!(
                "on other runs {network:.2} bits a block; the step before with the neighbours' change {first:.2}, the \
                 neighbours {neighbours:.2}, both steps continued {further:.2}, the step before {still:.2}, the best of these \
                 four, chosen block by block, {best:.2}"
            );
        }
        let provenance = [
            ("lessons", count.into()),
            ("steps", self.steps.into()),
            ("bounds", self.bounds.clone().into()),
            ("runs", self.runs.iter().map(|r| r.display().to_string()).collect::<Vec<_>>().into()),
            ("bits_beside_the_best_opinion", mean.into()),
        ];
        let provenance = provenance.into_iter().map(|(k, v): (_, serde_json::Value)| (k.into(), v)).collect();
        let model = net.model(Metadata::new(&self.name, architecture(), provenance))?;
        std::fs::write(&self.output, model.to_bytes()).with_context(|| self.output.display().to_string())
    }

    /// Lessons of all runs, one row after the other.
    fn gather(&self, runs: &[PathBuf]) -> Result<Vec<f32>> {
        let mut series = Vec::new();
        for run in runs {
            let reader = open(run)?;
            let last = reader.steps().last().with_context(|| format!("{}: no step", run.display()))?;
            series.extend(last.fields.iter().map(|(info, _)| (run.clone(), info.name.clone())));
        }
        let ways = series.len() * self.bounds.len() * self.distances.len();
        let each = self.lessons.div_ceil(ways);
        let one = |(i, (run, name)): (usize, &(PathBuf, String))| {
            let steps = self.load(run, name)?;
            let mut random = fastrand::Rng::with_seed(self.seed << 32 | i as u64);
            let mut rows = Vec::new();
            for &bound in &self.bounds {
                for &distance in &self.distances {
                    rows.extend(learn(&steps, bound, distance.max(1), each, &mut random)?);
                }
            }
            Ok(rows)
        };
        let rows = series.par_iter().enumerate().map(one).collect::<Result<Vec<_>>>()?;
        Ok(rows.concat())
    }

    fn load(&self, run: &Path, name: &str) -> Result<Vec<Field>> {
        let mut reader = open(run)?;
        let mut decoder = Decoder::remembering();
        let all = reader.steps().len();
        let count = if self.first == 0 { all } else { all.min(self.first) };
        (0..count).map(|i| Ok(decoder.read_field(reader.as_mut(), i, name, None)?)).collect()
    }
}

/// Some of the lessons of a series, as rows.
fn learn(
    steps: &[Field],
    bound: f64,
    distance: usize,
    count: usize,
    random: &mut fastrand::Rng,
) -> Result<Vec<f32>> {
    let heard = Mutex::new((Vec::new(), 0usize, random.fork()));
    let tell = |lesson: Lesson| {
        // Reservoir sampling: each lesson is as likely to stay as any other.
        let (rows, seen, random) = &mut *heard.lock().expect("no thread panicked");
        let row = || lesson.inputs.iter().chain(&lesson.apart).chain(&lesson.truth).chain([&lesson.step]);
        if *seen < count {
            rows.extend(row());
        } else {
            let place = random.usize(0..=*seen);
            if place < count {
                rows[place * ROW..][..ROW].iter_mut().zip(row()).for_each(|(to, v)| *to = *v);
            }
        }
        *seen += 1;
    };
    let settings = Bounded::new(Bound::Relative(bound));
    let mut history = History::new(u32::MAX);
    for step in steps.iter().step_by(distance) {
        match step {
            Field::F32(a) => lessons(&[FieldView::of_array(a)?], &settings, &mut history, &tell)?,
            Field::F64(a) => lessons(&[FieldView::of_array(a)?], &settings, &mut history, &tell)?,
        }
    }
    let rows: Vec<f32> = heard.into_inner()?.0;
    Ok(rows)
}

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
struct Net {
    mean: Tensor,
    scale: Tensor,
    layers: Vec<[Tensor; 2]>,
}

fn groups() -> Tensor {
    Tensor::from_slice(&(0..TAUGHT).map(|k| group(k) as i64).collect::<Vec<_>>())
}

/// An estimate of the bits of each row's residual, with weights `[row or 1, group, opinion]`.
fn bits(weights: &Tensor, rows: &Tensor) -> Tensor {
    let [inputs, taught, others] = [INPUTS, TAUGHT, OTHERS].map(|n| n as i64);
    let weights = weights.index_select(1, &groups());
    let apart = rows.narrow(1, inputs, others * taught).view([-1, others, taught]).transpose(1, 2);
    let truth = rows.narrow(1, inputs + others * taught, taught);
    let step = rows.narrow(1, inputs + (others + 1) * taught, 1);
    let residual = (truth - (weights * apart).sum_dim_intlist([2i64].as_slice(), false, Kind::Float)) / step;
    let bits = (residual / SMALL).square().log1p() * (0.5 / std::f64::consts::LN_2);
    bits.sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
}

/// The estimates of each row with one opinion alone.
fn opinions(rows: &Tensor) -> [Tensor; 4] {
    [None, Some(0), Some(1), Some(2)].map(|of| {
        let one: Vec<f32> = (0..WEIGHTS).map(|i| f32::from(u8::from(of == Some(i % OTHERS)))).collect();
        bits(&Tensor::from_slice(&one).view([1, -1, OTHERS as i64]), rows)
    })
}

fn best(opinions: &[Tensor; 4]) -> Tensor {
    opinions[1..].iter().fold(opinions[0].shallow_clone(), |a, b| a.minimum(b))
}

/// The mean estimates of rows: of the network, of each opinion alone, and of the best of them for each row.
fn compare(net: &Net, data: &Tensor) -> [f64; 6] {
    no_grad(|| {
        let mean = |bits: &Tensor| bits.mean(Kind::Double).double_value(&[]);
        let opinions = opinions(data);
        let best = best(&opinions);
        let [first, neighbours, further, still] = opinions.each_ref().map(mean);
        [mean(&bits(&net.weights(data), data)), first, neighbours, further, still, mean(&best)]
    })
}

impl Net {
    fn new(data: &Tensor, seed: u64) -> Self {
        tch::manual_seed(seed as i64);
        let inputs = data.narrow(0, 0, data.size()[0].min(50_000)).narrow(1, 0, INPUTS as i64);
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
    fn of_model(model: &Model) -> Result<Self> {
        ensure!(model.metadata.architecture == architecture(), "{}: another network", model.metadata.name);
        let rows = [HIDDEN, HIDDEN, WEIGHTS as i64];
        let layers = model.decoder.iter().zip(rows).map(|(p, rows)| {
            let weight =
                Tensor::from_slice(&p.weight).view([p.bias.len() as i64, -1]).narrow(0, 0, rows).copy();
            let bias = Tensor::from_slice(&p.bias).narrow(0, 0, rows).copy();
            [weight.set_requires_grad(true), bias.set_requires_grad(true)]
        });
        let inputs = [INPUTS as i64];
        let options = (Kind::Float, tch::Device::Cpu);
        Ok(Self {
            mean: Tensor::zeros(inputs, options),
            scale: Tensor::ones(inputs, options),
            layers: layers.collect(),
        })
    }

    fn variables(&self) -> Vec<(String, Tensor)> {
        let named = |(i, [weight, bias]): (usize, &[Tensor; 2])| {
            [(format!("{i}.weight"), weight.shallow_clone()), (format!("{i}.bias"), bias.shallow_clone())]
        };
        self.layers.iter().enumerate().flat_map(named).collect()
    }

    /// Weights `[row, group, opinion]`.
    fn weights(&self, rows: &Tensor) -> Tensor {
        let mut x = (rows.narrow(1, 0, INPUTS as i64) - &self.mean) * &self.scale;
        for (i, [weight, bias]) in self.layers.iter().enumerate() {
            x = x.linear(weight, Some(bias));
            if i + 1 < self.layers.len() {
                x = x.hardswish();
            }
        }
        x.view([-1, (WEIGHTS / OTHERS) as i64, OTHERS as i64])
    }

    /// What the codec runs: the standardisation is folded into the first layer.
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
