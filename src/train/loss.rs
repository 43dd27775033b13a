//! The loss: reconstruction + λ · sliced-Wasserstein distance of the latents to a prior + μ · bits
//! that they would take.

use serde::{Deserialize, Serialize};
use swae_codec::blocks::VALUES;
use tch::{Kind, Tensor};

/// The reconstruction loss.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reconstruction {
    /// Its square.
    #[default]
    Mse,
    /// √(e² + ε²), ε = 10⁻³ standard deviations of the block: large errors count less (Charbonnier
    /// et al., ICIP 1994).
    Charbonnier,
}

const CHARBONNIER_EPSILON: f64 = 1e-3;

impl Reconstruction {
    /// The derivative of the mean over a batch of so many blocks by each value, from the errors.
    pub fn gradient(self, errors: &Tensor, batch: usize) -> Tensor {
        let values = (batch * VALUES) as f64;
        match self {
            Self::Mse => errors * (2.0 / values),
            Self::Charbonnier => errors / (errors.square() + CHARBONNIER_EPSILON.powi(2)).sqrt() / values,
        }
    }
}

/// The distribution that latents are drawn to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Prior {
    /// N(0, 1).
    #[default]
    Normal,
    /// Between −1 and 1, all values alike.
    Uniform,
}

impl Prior {
    /// Samples in the shape of `like`, from libtorch's random numbers.
    fn samples(self, like: &Tensor) -> Tensor {
        match self {
            Self::Normal => like.detach().randn_like(),
            Self::Uniform => like.detach().rand_like() * 2.0 - 1.0,
        }
    }
}

/// Sliced-Wasserstein-2 distance (squared) between a batch of latents `[batch, latent]` and as many
/// samples of the prior: the mean over random directions of the exact one-dimensional distance
/// (Kolouri et al., "Sliced-Wasserstein Autoencoder", eq. 6 and 12).
pub fn sliced_wasserstein(latents: &Tensor, prior: Prior, projections: i64) -> Tensor {
    let samples = prior.samples(latents);
    let directions = Tensor::randn([latents.size()[1], projections], (Kind::Float, latents.device()));
    let directions = &directions / directions.square().sum_dim_intlist([0i64].as_slice(), true, None).sqrt();
    wasserstein(&latents.matmul(&directions), &samples.matmul(&directions))
}

/// Mean over the columns of the squared Wasserstein-2 distance between two sets of as many numbers
/// `[n, columns]`: each goes to its like in order of size.
fn wasserstein(a: &Tensor, b: &Tensor) -> Tensor {
    let sorted = |x: &Tensor| x.sort(0, false).0;
    (sorted(a) - sorted(b)).square().mean(Kind::Float)
}

/// Bits that a block's latents take when stored in steps of this size: Σ ½·log₂(1 + 2πe·σ²/step²),
/// the entropy of normal latents `[batch, latent]` with variances σ², where they are wider than the
/// step.
pub fn bits(latents: &Tensor, step: f64) -> Tensor {
    use std::f64::consts::{E, LN_2, PI};
    let variance = latents.var_dim(&[0i64][..], false, false);
    (variance * (2.0 * PI * E / (step * step))).log1p().sum(Kind::Float) * (0.5 / LN_2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn a_shifted_normal_is_its_shift_squared_away() {
        let _one = crate::alone();
        tch::manual_seed(1);
        let x = Tensor::randn([20_000, 1], (Kind::Float, Device::Cpu));
        let distance = |x: &Tensor| sliced_wasserstein(x, Prior::Normal, 50).double_value(&[]);
        assert!(distance(&x) < 2e-3);
        // W2² between N(3, 1) and N(0, 1) is 3².
        assert!((distance(&(x + 3.0)) - 9.0).abs() < 0.2);
        let x = Tensor::rand([20_000, 1], (Kind::Float, Device::Cpu)) * 2.0 - 1.0;
        let distance = |x: &Tensor| sliced_wasserstein(x, Prior::Uniform, 50).double_value(&[]);
        assert!(distance(&x) < 2e-3);
        // W2² between U(−2, 2) and U(−1, 1) is 1/3.
        assert!((distance(&(x * 2.0)) - 1.0 / 3.0).abs() < 0.02);
    }

    /// The definition: the cheapest of all ways to send one set to the other.
    #[test]
    fn in_one_dimension_no_assignment_is_cheaper() {
        fn cheapest(a: &[f32], b: &mut Vec<f32>) -> f32 {
            let Some((&first, rest)) = a.split_first() else { return 0.0 };
            let mut least = f32::MAX;
            for i in 0..b.len() {
                let taken = b.remove(i);
                least = least.min((first - taken).powi(2) + cheapest(rest, b));
                b.insert(i, taken);
            }
            least
        }
        let mut random = fastrand::Rng::with_seed(3);
        for _ in 0..20 {
            let [a, mut b] = [0, 1].map(|_| (0..6).map(|_| random.f32()).collect::<Vec<_>>());
            let column = |x: &[f32]| Tensor::from_slice(x).view([-1, 1]);
            let ours = wasserstein(&column(&a), &column(&b)).double_value(&[]);
            let theirs = f64::from(cheapest(&a, &mut b)) / 6.0;
            assert!((ours - theirs).abs() < 1e-6, "{ours} {theirs}");
        }
    }

    #[test]
    fn bits_are_the_entropy_of_wide_normal_latents() {
        let _one = crate::alone();
        tch::manual_seed(1);
        let x = Tensor::randn([50_000, 1], (Kind::Float, Device::Cpu));
        let step = 0.25;
        let mut counts = std::collections::HashMap::<i64, f64>::new();
        for v in Vec::<f32>::try_from(x.reshape([-1])).unwrap() {
            *counts.entry((f64::from(v) / step).round() as i64).or_default() += 1.0 / 50_000.0;
        }
        let entropy: f64 = counts.values().map(|p| -p * p.log2()).sum();
        assert!((bits(&x, step).double_value(&[]) - entropy).abs() < 0.02);
        assert!(bits(&(x * 1e-4), step).double_value(&[]) < 1e-4);
    }

    #[test]
    fn gradients_of_the_reconstruction_are_those_of_its_mean() {
        let errors = Tensor::from_slice(&[0.5f32, -1e-4, 0.0, -3.0]).set_requires_grad(true);
        let n = VALUES as f64;
        let epsilon = CHARBONNIER_EPSILON;
        let charbonnier = (errors.square() + epsilon * epsilon).sqrt().sum(Kind::Float) / n;
        let square = errors.square().sum(Kind::Float) / n;
        for (what, mean) in [(Reconstruction::Mse, square), (Reconstruction::Charbonnier, charbonnier)] {
            let theirs = Tensor::run_backward(&[mean], &[&errors], false, false).remove(0);
            let off = (what.gradient(&errors.detach(), 1) - theirs).abs().max().double_value(&[]);
            assert!(off < 1e-9, "{what:?} {off}");
        }
    }
}
