//! An estimate of the bits that a quantised residual takes, and of the four predictions that there are without a network.

use super::net::Net;
use swae_codec::predict::mixing::{INPUTS, OTHERS, SAMPLE_COEFFICIENTS, WEIGHTS, group};
use tch::{Kind, Tensor, no_grad};

/// What a lesson is stored as: inputs, opinions, truth, step.
pub const ROW: usize = INPUTS + (OTHERS + 1) * SAMPLE_COEFFICIENTS + 1;
/// Residuals, in steps, well below which a coefficient takes hardly a bit.
const SMALL: f64 = 0.6;
/// Bits of a block below which it hardly matters who is better.
const FEW: f64 = 10.0;

fn groups() -> Tensor {
    Tensor::from_slice(&(0..SAMPLE_COEFFICIENTS).map(|k| group(k) as i64).collect::<Vec<_>>())
}

/// An estimate of the bits of each row's residual, with weights `[row or 1, group, opinion]`.
fn bits(weights: &Tensor, rows: &Tensor) -> Tensor {
    let [inputs, taught, others] = [INPUTS, SAMPLE_COEFFICIENTS, OTHERS].map(|n| n as i64);
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

/// The mean of each row's bits beside those with the best opinion, so that fine bounds do not outweigh coarse ones.
pub fn loss(net: &Net, rows: &Tensor) -> Tensor {
    let rivals = no_grad(|| best(&opinions(rows)));
    (bits(&net.weights(rows), rows) / (&rivals + FEW)).mean(Kind::Float)
}

/// The mean estimates of rows: of the network, of each opinion alone, and of the best of them for each row.
pub fn compare(net: &Net, data: &Tensor) -> [f64; 6] {
    no_grad(|| {
        let mean = |bits: &Tensor| bits.mean(Kind::Double).double_value(&[]);
        let opinions = opinions(data);
        let best = best(&opinions);
        let [first, neighbours, further, still] = opinions.each_ref().map(mean);
        [mean(&bits(&net.weights(data), data)), first, neighbours, further, still, mean(&best)]
    })
}
