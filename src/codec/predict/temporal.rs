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
    /// They were computed.
    Computed(&'a Block),
}

impl<T: Element> Base<'_, T> {
    /// The coefficient at a place.
    #[inline(always)]
    pub(crate) fn coefficient(&self, place: usize) -> f64 {
        match self {
            Self::Zero => 0.0,
            Self::Step(step) => step[place].to_f64(),
            Self::Extrapolated { latest, before } => 2.0 * latest[place].to_f64() - before[place].to_f64(),
            Self::Computed(block) => block[place],
        }
    }

    /// All coefficients.
    pub(crate) fn write(&self, engine: Engine, out: &mut Block) {
        match self {
            Self::Zero => out.fill(0.0),
            Self::Step(step) => widen(engine, step, out),
            Self::Extrapolated { latest, before } => extrapolate(engine, latest, before, out),
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
