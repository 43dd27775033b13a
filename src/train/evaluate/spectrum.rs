//! The error spectrum of a reconstruction: which share of the power is lost at which wave numbers.
//! Fields are arrays `[z, y, x]`; nothing here knows how they were compressed.

use ndarray::{Array3, Axis};
use rustfft::{FftPlanner, num_complex::Complex};

/// The share of each shell of wave numbers that is lost: Σ|f̂ − ĝ|² / Σ|f̂|² over |k| ∈ [n, n + 1),
/// n = 0, 1, … up to half the points of the shortest axis, k in periods along an axis. `original` f
/// and `reconstruction` g are `[z, y, x]`; a Hann window along every axis keeps the box's faces out
/// of it. Shells with less than 10⁻¹⁶ of all power, as odd fields have them, give 0.
pub fn error(original: &Array3<f64>, reconstruction: &Array3<f64>) -> Vec<f64> {
    let (f, e) = (power(original), power(&(reconstruction - original)));
    let least = f.iter().sum::<f64>() * 1e-16;
    f.iter().zip(&e).map(|(f, e)| if *f > least { e / f } else { 0.0 }).collect()
}

/// Power by shell.
fn power(field: &Array3<f64>) -> Vec<f64> {
    let mean = field.mean().unwrap_or_default();
    let mut a = field.mapv(|v| Complex::new(v - mean, 0.0));
    let mut planner = FftPlanner::new();
    for axis in 0..3 {
        let n = a.len_of(Axis(axis));
        let fft = planner.plan_fft_forward(n);
        let window = |i: usize| (std::f64::consts::PI * (i as f64 + 0.5) / n as f64).sin().powi(2);
        let mut line = vec![Complex::default(); n];
        for mut lane in a.lanes_mut(Axis(axis)) {
            line.iter_mut().zip(&lane).enumerate().for_each(|(i, (l, v))| *l = v * window(i));
            fft.process(&mut line);
            lane.iter_mut().zip(&line).for_each(|(v, l)| *v = *l);
        }
    }
    let shape = field.shape().to_vec();
    let mut shells = vec![0.0; shape.iter().min().map_or(0, |n| n / 2)];
    for ((z, y, x), v) in a.indexed_iter() {
        // Frequencies above half the points are negative ones.
        let k2: f64 = [z, y, x].iter().zip(&shape).map(|(&i, &n)| (i.min(n - i) as f64).powi(2)).sum();
        if let Some(shell) = shells.get_mut(k2.sqrt() as usize) {
            *shell += v.norm_sqr();
        }
    }
    shells
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::f64::consts::TAU;

    #[test]
    fn a_wave_that_is_lost_is_lost_at_its_wave_number() {
        let n = 32;
        let wave =
            |k: f64| Array3::from_shape_fn((n, n, n), |(_, y, _)| (TAU * k * y as f64 / n as f64).sin());
        let (slow, fast) = (wave(3.0), wave(9.0));
        let errors = error(&(&slow + &fast), &slow);
        assert_eq!(errors.len(), 16);
        assert!(errors[9] > 0.99 && errors[3] < 1e-6, "{errors:?}");
        assert!(error(&slow, &slow).iter().all(|&e| e == 0.0));
    }
}
