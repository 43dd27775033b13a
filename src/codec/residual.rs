//! The residual of a prediction, and a rough estimate of the bits that it takes.

use crate::blocks::{Block, VALUES};
use crate::element::Element;
use crate::engine::{Engine, for_engines};
use crate::quantum::half_octaves;

/// A prediction of a block's coefficients, and what it leaves.
#[repr(C, align(64))]
pub(crate) struct Residual {
    pub(crate) prediction: Block,
    /// Coefficients of the truth, where missing points leave them open: those that suit the
    /// prediction.
    pub(crate) truth: Option<Box<Block>>,
    /// Truth − prediction, in quanta: single precision is enough to try steps with.
    pub(crate) residual: Block<f32>,
    /// Half a quantum, less what rounding to the field's type takes of it.
    pub(crate) allowed: f32,
}

impl Residual {
    pub(crate) fn empty() -> Box<Self> {
        Box::new(Self { prediction: [0.0; VALUES], truth: None, residual: [0.0; VALUES], allowed: 0.5 })
    }

    /// Subtracts the prediction from the truth.
    pub(crate) fn compare<T: Element>(&mut self, engine: Engine, truth: &Block, quantum: f64) {
        let mean = truth[0].abs() / (VALUES as f64).sqrt();
        let rounding = 0.5f64.powi(T::DTYPE.mantissa_bits() as i32) / 2.0 + f64::EPSILON;
        self.allowed = (0.5 - mean * rounding / quantum).max(0.1) as f32;
        subtract(engine, truth, &self.prediction, 1.0 / quantum, &mut self.residual);
    }

    /// A rough estimate of the bits of the residual at a step exponent.
    pub(crate) fn rough_bits(&self, engine: Engine, step_exponent: i32) -> f32 {
        distance(engine, &self.residual, half_octaves(step_exponent.saturating_neg()) as f32)
    }
}

for_engines! {
    fn subtract(truth: &Block, prediction: &Block, scale: f64, out: &mut Block<f32>) {
        for k in 0..VALUES {
            out[k] = ((truth[k] - prediction[k]) * scale) as f32;
        }
    }
}

for_engines! {
    /// An estimate of the bits of a residual.
    fn distance(residual: &Block<f32>, scale: f32) -> f32 {
        let mut sum = 0u32;
        for k in 0..VALUES {
            let t = residual[k] * scale;
            sum = sum.wrapping_add(octaves(1.0 + t * t));
        }
        sum as f32 * (0.5 / 1024.0)
    }
}

/// log₂ of a number ≥ 1 in quanta of 2⁻¹⁰, with straight lines between powers of two.
#[inline(always)]
pub(crate) fn octaves(x: f32) -> u32 {
    (x.to_bits() >> 13).wrapping_sub(127 << 10)
}
