//! How good a model is on the math functions: all combinations of their wave numbers, through the
//! codec. The quality is over all volumes together.

use crate::data::{WAVE_NUMBERS, math_volume};
use anyhow::Result;
use ndarray::Zip;
use swae_codec::config::LatentCoding;
use swae_codec::decode::decompress_box;
use swae_codec::encode::{Method, compress_box};
use swae_codec::{FieldView, Model, Models};

/// The quality over a set of volumes.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Quality {
    /// Number of volumes.
    pub volumes: usize,
    /// Least and greatest value of the data.
    pub data_range: [f64; 2],
    /// Least and greatest value of what came back.
    pub reconstructed_range: [f64; 2],
    /// Mean square error.
    pub mse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Greatest error.
    pub max_error: f64,
    /// 10·log₁₀(1/MSE): the functions' peak is 1.
    pub psnr: f64,
    /// Pearson's correlation.
    pub correlation: f64,
    /// Raw bytes over stored bytes.
    pub ratio: f64,
}

/// All 35 combinations k₁ ≤ k₂ ≤ k₃ of the wave numbers, at `n³` points, through the codec.
///
/// # Errors
/// Where the model cannot encode.
pub fn quality(model: &Model, n: usize, coding: LatentCoding) -> Result<Quality> {
    let mut models = Models::built_in();
    models.add(model.clone());
    let mut q = Quality {
        volumes: 0,
        data_range: [f64::MAX, f64::MIN],
        reconstructed_range: [f64::MAX, f64::MIN],
        mse: 0.0,
        mae: 0.0,
        max_error: 0.0,
        psnr: 0.0,
        correlation: 0.0,
        ratio: 0.0,
    };
    let (mut count, mut stored) = (0.0, 0.0);
    let [mut a, mut b, mut aa, mut bb, mut ab] = [0.0; 5];
    let sorted = WAVE_NUMBERS
        .flat_map(|i| WAVE_NUMBERS.flat_map(move |j| WAVE_NUMBERS.map(move |k| [i, j, k])))
        .filter(|[i, j, k]| i <= j && j <= k);
    for k in sorted {
        let volume = math_volume(k, n);
        let bytes = compress_box(&FieldView::of_array(&volume)?, Method::Latent { model, coding })?;
        let back = decompress_box(&bytes, &models)?.to_f64();
        stored += bytes.len() as f64;
        q.volumes += 1;
        Zip::from(&volume).and(&back).for_each(|&v, &w| {
            let v = f64::from(v);
            let error = (v - w).abs();
            count += 1.0;
            q.data_range = [q.data_range[0].min(v), q.data_range[1].max(v)];
            q.reconstructed_range = [q.reconstructed_range[0].min(w), q.reconstructed_range[1].max(w)];
            q.mse += error * error;
            q.mae += error;
            q.max_error = q.max_error.max(error);
            a += v;
            b += w;
            aa += v * v;
            bb += w * w;
            ab += v * w;
        });
    }
    q.mse /= count;
    q.mae /= count;
    q.psnr = -10.0 * q.mse.log10();
    q.correlation = (ab - a * b / count) / ((aa - a * a / count) * (bb - b * b / count)).sqrt();
    q.ratio = 4.0 * count / stored;
    Ok(q)
}
