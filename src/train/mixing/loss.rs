//! The loss of a mixing network: an estimate of the bits that the quantised residual takes,
//! relative to that of the best candidate prediction.

use super::network::MixingNetwork;
use super::samples::{inputs, labels};
use swae_codec::predict::mixing::{OTHERS, WEIGHTS, group};
use swae_codec::training::SAMPLE_COEFFICIENTS;
use tch::{Kind, Tensor, no_grad};

/// Residuals, in quantisation steps, well below which a coefficient takes hardly a bit.
const SMALL: f64 = 0.6;
/// Bits of a block below which it hardly matters which prediction is better.
const FEW: f64 = 10.0;

fn groups() -> Tensor {
    Tensor::from_slice(&(0..SAMPLE_COEFFICIENTS).map(|k| group(k) as i64).collect::<Vec<_>>())
}

/// An estimate of the bits of each row's residual, with weights `[row or 1, group, candidate]`.
fn bits(weights: &Tensor, rows: &Tensor) -> Tensor {
    let weights = weights.index_select(1, &groups());
    let labels = labels(rows);
    let mixed = (weights * labels.differences).sum_dim_intlist([2i64].as_slice(), false, Kind::Float);
    let residual = (labels.truth - mixed) / labels.step;
    let bits = (residual / SMALL).square().log1p() * (0.5 / std::f64::consts::LN_2);
    bits.sum_dim_intlist([1i64].as_slice(), false, Kind::Float)
}

/// The estimates of each row with one candidate alone: the first, then the others.
fn candidates(rows: &Tensor) -> [Tensor; OTHERS + 1] {
    [None, Some(0), Some(1), Some(2)].map(|of| {
        let one: Vec<f32> = (0..WEIGHTS).map(|i| f32::from(u8::from(of == Some(i % OTHERS)))).collect();
        bits(&Tensor::from_slice(&one).view([1, -1, OTHERS as i64]), rows)
    })
}

fn best(candidates: &[Tensor; OTHERS + 1]) -> Tensor {
    candidates[1..].iter().fold(candidates[0].shallow_clone(), |a, b| a.minimum(b))
}

/// The mean, over rows, of the bits relative to those of the best candidate: small bounds, which
/// take many bits, count no more than large ones.
pub(super) fn loss(network: &MixingNetwork, rows: &Tensor) -> Tensor {
    let best = no_grad(|| best(&candidates(rows)));
    (bits(&network.weights(&inputs(rows)), rows) / (&best + FEW)).mean(Kind::Float)
}

/// Mean bits of a block, as estimated.
pub(super) struct Comparison {
    /// With the mixed prediction.
    pub network: f64,
    /// With the previous step and spatial prediction of the change.
    pub previous_and_spatial: f64,
    /// With spatial prediction alone.
    pub spatial: f64,
    /// With linear extrapolation and spatial prediction of the change.
    pub extrapolation: f64,
    /// With the previous step alone.
    pub previous: f64,
    /// With the best of these four for each block.
    pub best: f64,
}

/// Compares the mixed prediction with the candidates on these rows.
pub(super) fn compare(network: &MixingNetwork, rows: &Tensor) -> Comparison {
    no_grad(|| {
        let mean = |bits: &Tensor| bits.mean(Kind::Double).double_value(&[]);
        let candidates = candidates(rows);
        let best = mean(&best(&candidates));
        let [previous_and_spatial, spatial, extrapolation, previous] = candidates.each_ref().map(mean);
        let network = mean(&bits(&network.weights(&inputs(rows)), rows));
        Comparison { network, previous_and_spatial, spatial, extrapolation, previous, best }
    })
}
