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
    /// A sum of decoded steps with these weights.
    Between { previous: &'a Block<T>, next: &'a Block<T>, third: Option<&'a Block<T>>, weights: [f64; 3] },
    /// They were computed.
    Computed(&'a Block),
}

/// A sum of three numbers with weights: the first as a product, the others by fused multiply-adds.
#[inline(always)]
fn sum(weights: [f64; 3], of: [f64; 3]) -> f64 {
    let two = weights[1].mul_add(of[1], weights[0] * of[0]);
    weights[2].mul_add(of[2], two)
}

impl<T: Element> Base<'_, T> {
    /// The coefficient at a place.
    #[inline(always)]
    pub(crate) fn coefficient(&self, place: usize) -> f64 {
        match self {
            Self::Zero => 0.0,
            Self::Step(step) => step[place].to_f64(),
            Self::Extrapolated { latest, before } => 2.0 * latest[place].to_f64() - before[place].to_f64(),
            Self::Between { previous, next, third, weights } => {
                let third = third.map_or(0.0, |third| third[place].to_f64());
                sum(*weights, [previous[place].to_f64(), next[place].to_f64(), third])
            }
            Self::Computed(block) => block[place],
        }
    }

    /// All coefficients.
    pub(crate) fn write(&self, engine: Engine, out: &mut Block) {
        match self {
            Self::Zero => out.fill(0.0),
            Self::Step(step) => widen(engine, step, out),
            Self::Extrapolated { latest, before } => extrapolate(engine, latest, before, out),
            Self::Between { previous, next, third, weights } => {
                between(engine, previous, next, third.unwrap_or(next), *weights, out);
            }
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
            Self::Between { previous, next, third, weights } => {
                let corners = [previous, next, &third.unwrap_or(next)].map(|step| corner(engine, &step[..]));
                let [a, b, c] = corners;
                for (k, own) in low.iter_mut().enumerate() {
                    *own -= sum(*weights, [a[k], b[k], c[k]]);
                }
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
    fn between<T: Element>(
        previous: &[T; VALUES],
        next: &[T; VALUES],
        third: &[T; VALUES],
        weights: [f64; 3],
        out: &mut Block,
    ) {
        for k in 0..VALUES {
            out[k] = sum(weights, [previous[k].to_f64(), next[k].to_f64(), third[k].to_f64()]);
        }
    }
}
