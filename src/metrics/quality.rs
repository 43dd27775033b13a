//! Quality metrics of a reconstruction: errors, PSNR, correlation, SSIM.

use ndarray::{Array3, Axis, Zip, azip, s};
use serde::Serialize;

/// The metrics of a reconstruction.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Quality {
    /// Mean square error.
    pub mse: f64,
    /// Mean absolute error.
    pub mae: f64,
    /// Largest absolute error.
    pub max_error: f64,
    /// The peak of the PSNR: the value range (largest − smallest value) of the original.
    pub peak: f64,
    /// 10·log₁₀(peak²/MSE) in dB; infinite where the fields are equal.
    pub psnr: f64,
    /// Pearson's correlation; 1 for two equal fields, even constant ones.
    pub correlation: f64,
    /// Mean structural similarity over windows of 7³, K₁ = 0.01, K₂ = 0.03 (Wang et al. 2004).
    pub ssim: f64,
    /// Values that are NaN or infinite in the original; all metrics but the next leave them out.
    pub non_finite: usize,
    /// Those of them that the reconstruction does not have.
    pub non_finite_lost: usize,
}

/// Peak signal-to-noise ratio in dB; infinite without any error.
pub fn psnr(peak: f64, mse: f64) -> f64 {
    10.0 * (peak * peak / mse).log10()
}

/// Compares an original with its reconstruction; both `[z, y, x]` of the same shape.
pub fn quality(original: &Array3<f64>, reconstruction: &Array3<f64>) -> Quality {
    let (a, b) = (original, reconstruction);
    let same = |x: f64, y: f64| x == y || (x.is_nan() && y.is_nan());
    let mut q = Quality {
        mse: 0.0,
        mae: 0.0,
        max_error: 0.0,
        peak: 0.0,
        psnr: f64::INFINITY,
        correlation: 1.0,
        ssim: 1.0,
        non_finite: 0,
        non_finite_lost: 0,
    };
    let (mut n, mut lo, mut hi) = (0.0, f64::MAX, f64::MIN);
    let (mut sum_a, mut sum_b) = (0.0, 0.0);
    Zip::from(a).and(b).for_each(|&x, &y| {
        if !x.is_finite() {
            q.non_finite += 1;
            q.non_finite_lost += usize::from(!same(x, y));
            return;
        }
        let error = (x - y).abs();
        n += 1.0;
        q.mse += error * error;
        q.mae += error;
        // A NaN in place of a number is an infinite error.
        q.max_error = if error.is_nan() { f64::INFINITY } else { q.max_error.max(error) };
        (lo, hi) = (lo.min(x), hi.max(x));
        sum_a += x;
        sum_b += y;
    });
    if n == 0.0 {
        return q;
    }
    q.mse /= n;
    q.mae /= n;
    q.peak = hi - lo;
    if q.mse > 0.0 || q.mse.is_nan() {
        q.psnr = psnr(q.peak, q.mse);
        q.correlation = correlation(a, b, sum_a / n, sum_b / n);
        q.ssim = ssim(a, b, q.peak);
    }
    q
}

fn correlation(a: &Array3<f64>, b: &Array3<f64>, mean_a: f64, mean_b: f64) -> f64 {
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    Zip::from(a).and(b).for_each(|&x, &y| {
        if x.is_finite() {
            let (x, y) = (x - mean_a, y - mean_b);
            aa += x * x;
            bb += y * y;
            ab += x * y;
        }
    });
    if aa > 0.0 && bb > 0.0 { ab / (aa * bb).sqrt() } else { 0.0 }
}

/// Means over a window of 7 along every axis, where it fits; shorter axes take their whole length.
fn means(field: &Array3<f64>) -> Array3<f64> {
    let mut out = field.clone();
    for axis in 0..3 {
        let n = out.len_of(Axis(axis));
        let window = n.min(7);
        let mut dim = out.raw_dim();
        dim[axis] = n + 1 - window;
        let mut next = Array3::zeros(dim);
        for offset in 0..window {
            let part = out.slice_axis(Axis(axis), ndarray::Slice::from(offset..offset + n + 1 - window));
            azip!((o in &mut next, &p in part) *o += p / window as f64);
        }
        out = next;
    }
    out
}

fn ssim(a: &Array3<f64>, b: &Array3<f64>, range: f64) -> f64 {
    if a.is_empty() {
        return 1.0;
    }
    let finite = |f: &Array3<f64>| f.mapv(|v| if v.is_finite() { v } else { 0.0 });
    let (a, b) = (finite(a), finite(b));
    let (ma, mb) = (means(&a), means(&b));
    let (maa, mbb, mab) = (means(&(&a * &a)), means(&(&b * &b)), means(&(&a * &b)));
    let (c1, c2) = ((0.01 * range).powi(2), (0.03 * range).powi(2));
    let mut sum = 0.0;
    azip!((&x in &ma, &y in &mb, &xx in &maa, &yy in &mbb, &xy in &mab) {
        let (vx, vy, cov) = (xx - x * x, yy - y * y, xy - x * y);
        let below = (x * x + y * y + c1) * (vx + vy + c2);
        sum += if below > 0.0 { (2.0 * x * y + c1) * (2.0 * cov + c2) / below } else { 1.0 };
    });
    sum / ma.len() as f64
}

/// The middle slice z = nz/2 of a field, `[y, x]`.
pub fn middle_slice(field: &Array3<f64>) -> ndarray::Array2<f64> {
    field.slice(s![field.len_of(Axis(0)) / 2, .., ..]).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave() -> Array3<f64> {
        Array3::from_shape_fn((12, 10, 9), |(z, y, x)| (0.5 * x as f64).sin() + 0.1 * y as f64 * z as f64)
    }

    #[test]
    fn equal_fields_are_perfect() {
        let q = quality(&wave(), &wave());
        assert_eq!((q.mse, q.max_error, q.psnr, q.correlation, q.ssim), (0.0, 0.0, f64::INFINITY, 1.0, 1.0));
    }

    #[test]
    fn a_known_error_gives_the_known_metrics() {
        let a = wave();
        let b = &a + 0.25;
        let q = quality(&a, &b);
        let peak = a.iter().fold(f64::MIN, |m, &v| m.max(v)) - a.iter().fold(f64::MAX, |m, &v| m.min(v));
        assert!((q.mse - 0.0625).abs() < 1e-12 && (q.mae - 0.25).abs() < 1e-12);
        assert!((q.max_error - 0.25).abs() < 1e-12 && (q.peak - peak).abs() < 1e-12);
        assert!((q.psnr - 10.0 * (peak * peak / 0.0625).log10()).abs() < 1e-9);
        assert!((q.correlation - 1.0).abs() < 1e-12);
        assert!(q.ssim < 1.0 && q.ssim > 0.9);
    }

    #[test]
    fn numbers_that_are_not_finite_are_counted_apart() {
        let mut a = wave();
        (a[[0, 0, 0]], a[[1, 0, 0]]) = (f64::NAN, f64::INFINITY);
        let mut b = a.clone();
        assert_eq!(quality(&a, &b).non_finite_lost, 0);
        b[[1, 0, 0]] = 0.0;
        let q = quality(&a, &b);
        assert_eq!((q.non_finite, q.non_finite_lost, q.mse), (2, 1, 0.0));
        (a, b) = (wave(), wave());
        b[[2, 2, 2]] = f64::NAN;
        assert_eq!(quality(&a, &b).max_error, f64::INFINITY);
    }
}
