//! The loss: mean square error + λ · sliced-Wasserstein distance of the latents to N(0, 1).

use tch::{Kind, Tensor};

/// Sliced-Wasserstein-2 distance (squared) between a batch of latents `[batch, latent]` and as many samples of
/// N(0, 1): the mean over random directions of the exact one-dimensional distance, which sorting gives in
/// O(n log n) (Kolouri et al., "Sliced-Wasserstein Autoencoder", eq. 6 and 12).
pub fn sliced_wasserstein(latents: &Tensor, projections: i64) -> Tensor {
    let (options, size) = ((Kind::Float, latents.device()), latents.size());
    let prior = Tensor::randn([size[0], size[1]], options);
    let directions = Tensor::randn([size[1], projections], options);
    let directions = &directions / directions.square().sum_dim_intlist([0i64].as_slice(), true, None).sqrt();
    let sorted = |x: &Tensor| x.matmul(&directions).sort(0, false).0;
    (sorted(latents) - sorted(&prior)).square().mean(Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_one_dimension_a_shifted_normal_is_its_shift_squared_away() {
        tch::manual_seed(1);
        let x = Tensor::randn([20_000, 1], (Kind::Float, tch::Device::Cpu));
        let near = sliced_wasserstein(&x, 50).double_value(&[]);
        let far = sliced_wasserstein(&(x + 3.0), 50).double_value(&[]);
        assert!(near < 2e-3, "{near}");
        // W2² between N(3, 1) and N(0, 1) is 3².
        assert!((far - 9.0).abs() < 0.2, "{far}");
    }
}
