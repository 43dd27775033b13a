//! Temporal prediction: what a predictor says of a block from decoded steps, its neighbours aside.

use super::spatial::{Corner, corner};
use crate::blocks::{Block, VALUES};
use crate::element::Element;
use crate::engine::{Engine, for_engines};

/// Where a predictor's coefficients of a block come from.
pub(crate) enum Base<'a, T> {
    /// All are 0.
    Zero,
    /// Those of a decoded step.
    Step(&'a Block<T>),
    /// 2 · latest − before.
    Extrapolated { latest: &'a Block<T>, before: &'a Block<T> },
    /// A line through two decoded steps, with these weights.
    Line { steps: [&'a Block<T>; 2], weights: [f64; 2] },
    /// A parabola through three.
    Parabola { steps: [&'a Block<T>; 3], weights: [f64; 3] },
    /// They were computed.
    Computed(&'a Block),
}

/// A sum of numbers with weights: the first as a product, the others by fused multiply-adds.
#[inline(always)]
fn sum<const N: usize>(weights: [f64; N], of: [f64; N]) -> f64 {
    let mut sum = weights[0] * of[0];
    for i in 1..N {
        sum = weights[i].mul_add(of[i], sum);
    }
    sum
}

impl<T: Element> Base<'_, T> {
    /// The coefficient at a place.
    #[inline(always)]
    pub(crate) fn coefficient(&self, place: usize) -> f64 {
        match self {
            Self::Zero => 0.0,
            Self::Step(step) => step[place].to_f64(),
            Self::Extrapolated { latest, before } => 2.0 * latest[place].to_f64() - before[place].to_f64(),
            Self::Line { steps, weights } => sum(*weights, steps.map(|step| step[place].to_f64())),
            Self::Parabola { steps, weights } => sum(*weights, steps.map(|step| step[place].to_f64())),
            Self::Computed(block) => block[place],
        }
    }

    /// All coefficients.
    pub(crate) fn write(&self, engine: Engine, out: &mut Block) {
        match self {
            Self::Zero => out.fill(0.0),
            Self::Step(step) => widen(engine, step, out),
            Self::Extrapolated { latest, before } => extrapolate(engine, latest, before, out),
            Self::Line { steps: [a, b], weights } => line(engine, a, b, *weights, out),
            Self::Parabola { steps: [a, b, c], weights } => parabola(engine, a, b, c, *weights, out),
            Self::Computed(block) => out.copy_from_slice(&block[..]),
        }
    }

    /// Subtracts those of low degree.
    pub(crate) fn subtract_from(&self, engine: Engine, low: &mut Corner) {
        match self {
            Self::Zero => {}
            Self::Step(step) => {
                low.iter_mut().zip(corner(engine, &step[..])).for_each(|(own, step)| *own -= step);
            }
            Self::Extrapolated { latest, before } => {
                let steps = corner(engine, &latest[..]).into_iter().zip(corner(engine, &before[..]));
                low.iter_mut().zip(steps).for_each(|(own, (latest, before))| *own -= 2.0 * latest - before);
            }
            Self::Line { steps, weights } => {
                let [a, b] = steps.map(|step| corner(engine, &step[..]));
                low.iter_mut().enumerate().for_each(|(k, own)| *own -= sum(*weights, [a[k], b[k]]));
            }
            Self::Parabola { steps, weights } => {
                let [a, b, c] = steps.map(|step| corner(engine, &step[..]));
                low.iter_mut().enumerate().for_each(|(k, own)| *own -= sum(*weights, [a[k], b[k], c[k]]));
            }
            Self::Computed(block) => {
                low.iter_mut().zip(corner(engine, &block[..])).for_each(|(own, computed)| *own -= computed);
            }
        }
    }
}

for_engines! {
    fn widen<T: Element>(from: &[T; VALUES], out: &mut Block) {
        for k in 0..VALUES {
            out[k] = from[k].to_f64();
        }
    }
}

for_engines! {
    fn extrapolate<T: Element>(latest: &[T; VALUES], before: &[T; VALUES], out: &mut Block) {
        for k in 0..VALUES {
            out[k] = 2.0 * latest[k].to_f64() - before[k].to_f64();
        }
    }
}

for_engines! {
    fn line<T: Element>(a: &[T; VALUES], b: &[T; VALUES], weights: [f64; 2], out: &mut Block) {
        for k in 0..VALUES {
            out[k] = sum(weights, [a[k].to_f64(), b[k].to_f64()]);
        }
    }
}

for_engines! {
    fn parabola<T: Element>(
        a: &[T; VALUES],
        b: &[T; VALUES],
        c: &[T; VALUES],
        weights: [f64; 3],
        out: &mut Block,
    ) {
        for k in 0..VALUES {
            out[k] = sum(weights, [a[k].to_f64(), b[k].to_f64(), c[k].to_f64()]);
        }
    }
}
