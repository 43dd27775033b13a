//! A network as the engine runs it: every layer, whatever its kind, is a list of sites, each of
//! which gathers from the sites of the layer before it.
//!
//! This is the whole of the canonical arithmetic (all in IEEE binary32): an output starts as its
//! bias; then, over the taps in ascending `(kz, ky, kx)` whose input lies inside the block, and
//! within a tap over the input channels in ascending order, `acc = fma(input, weight, acc)`; then
//! the activation. Nothing else happens.

use crate::blocks::EDGE;
use crate::engine::{Engine, Lanes};
use crate::error::{Error, Result};
use crate::model::{Activation, Kind, LayerSpec, Model, Parameters};

/// One layer, ready to run.
pub struct Layer {
    pub(crate) cin: usize,
    pub(crate) cout: usize,
    /// None behind the last layer.
    pub(crate) activation: Option<Activation>,
    /// For each output site the pairs (input site, tap) that it gathers.
    pub(crate) gathers: Vec<Vec<(u32, u32)>>,
    /// `[tap][cin][cout]`.
    pub(crate) weight: Vec<f32>,
    pub(crate) bias: Vec<f32>,
}

/// An encoder or a decoder.
pub struct Network {
    pub(crate) layers: Vec<Layer>,
}

impl Network {
    /// The encoder of a model.
    ///
    /// # Errors
    /// [`Error::Model`] where it has the decoder alone.
    pub fn encoder(model: &Model) -> Result<Self> {
        let Some(parameters) = &model.encoder else {
            return Err(Error::Model(format!("'{}' holds a decoder alone", model.metadata.name)));
        };
        let architecture = &model.metadata.architecture;
        Ok(Self::new(&architecture.encoder(), parameters, architecture.activation))
    }

    /// The decoder of a model.
    pub fn decoder(model: &Model) -> Self {
        let architecture = &model.metadata.architecture;
        Self::new(&architecture.decoder(), &model.decoder, architecture.activation)
    }

    fn new(specs: &[LayerSpec], parameters: &[Parameters], activation: Activation) -> Self {
        let layer = |(spec, p): (&LayerSpec, &Parameters)| Layer {
            cin: spec.cin,
            cout: spec.cout,
            activation: spec.activated.then_some(activation),
            gathers: gathers(spec),
            weight: taps_first(spec, &p.weight),
            bias: p.bias.clone(),
        };
        Self { layers: specs.iter().zip(parameters).map(layer).collect() }
    }

    /// The same network without its last layer's channels beyond the first `count`: of a dense one,
    /// its outputs.
    pub fn first_outputs(mut self, count: usize) -> Self {
        let last = self.layers.last_mut().expect("an architecture has layers");
        let kept = count.min(last.cout);
        last.weight = last.weight.chunks_exact(last.cout).flat_map(|row| &row[..kept]).copied().collect();
        last.bias.truncate(kept);
        last.cout = kept;
        self
    }

    /// Runs 16 blocks side by side. Input and output are `[site][channel]`, sites with x fastest.
    pub fn run(&self, engine: Engine, input: &[Lanes]) -> Vec<Lanes> {
        let mut layers = self.layers.iter();
        let first = layers.next().expect("an architecture has layers");
        layers.fold(engine.layer(first, input), |x, layer| engine.layer(layer, &x))
    }

    /// Fused multiply-adds for one block.
    pub fn multiply_adds(&self) -> usize {
        let gathered = |l: &Layer| l.gathers.iter().map(Vec::len).sum::<usize>();
        let of = |l: &Layer| gathered(l).saturating_mul(l.cin).saturating_mul(l.cout);
        self.layers.iter().map(of).sum()
    }
}

/// `[tap][cin][cout]` from PyTorch's layout.
#[allow(
    clippy::arithmetic_side_effects,
    reason = "a model has as many weights as its layers need, and each has channels"
)]
fn taps_first(spec: &LayerSpec, weight: &[f32]) -> Vec<f32> {
    let (cin, cout) = (spec.cin, spec.cout);
    let taps = weight.len() / (cin * cout);
    let mut out = Vec::with_capacity(weight.len());
    for tap in 0..taps {
        for i in 0..cin {
            for o in 0..cout {
                let row = if spec.kind == Kind::Transposed { i * cout + o } else { o * cin + i };
                out.push(weight[row * taps + tap]);
            }
        }
    }
    out
}

#[allow(clippy::arithmetic_side_effects, reason = "positions along edges of 8 at most")]
fn gathers(spec: &LayerSpec) -> Vec<Vec<(u32, u32)>> {
    let (n_in, n_out) = (spec.edge_in, spec.edge_out);
    debug_assert!(n_in <= EDGE && n_out <= EDGE);
    // Along one axis: for an output position, the (input position, tap) pairs.
    let line = |o: usize| -> Vec<(usize, usize)> {
        match spec.kind {
            Kind::Linear => vec![(0, 0)],
            Kind::Convolution { stride } => (0..3)
                .filter_map(|k| (o * stride + k).checked_sub(1).map(|i| (i, k)))
                .filter(|&(i, _)| i < n_in)
                .collect(),
            // o = 2·i − 1 + k
            Kind::Transposed => (0..3)
                .filter_map(|k| (o + 1).checked_sub(k).map(|twice| (twice, k)))
                .filter(|&(twice, _)| twice % 2 == 0 && twice / 2 < n_in)
                .map(|(twice, k)| (twice / 2, k))
                .collect(),
        }
    };
    let mut sites = Vec::with_capacity(n_out.pow(3));
    for z in 0..n_out {
        for y in 0..n_out {
            for x in 0..n_out {
                let mut pairs = Vec::new();
                for (iz, kz) in line(z) {
                    for (iy, ky) in line(y) {
                        for (ix, kx) in line(x) {
                            let site = (iz * n_in + iy) * n_in + ix;
                            pairs.push((site as u32, ((kz * 3 + ky) * 3 + kx) as u32));
                        }
                    }
                }
                sites.push(pairs);
            }
        }
    }
    sites
}
