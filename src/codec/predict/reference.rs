//! Reference steps: what a decoded step leaves for the steps that are predicted from it.

use super::Predictor;
use super::temporal::Base;
use crate::blocks::{Block, VALUES};
use crate::element::Element;
use crate::entropy::symbols::Magnitudes;
use crate::entropy::tables::CarriedTables;
use crate::mask::{Extent, Mask};
use std::sync::Arc;

/// What is kept of a block for those after it: in its tile, and in the next step.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BlockState {
    /// Whether it has a prediction and a residual.
    pub(crate) coded: bool,
    pub(crate) predictor: Predictor,
    /// Whether spatial prediction was added.
    pub(crate) spatial: bool,
    pub(crate) step_exponent: i16,
    /// Greatest total degree + 1 of its residual, 0 without any coefficient.
    pub(crate) degrees: u8,
}

/// A decoded tile, as the next step sees it.
#[derive(Clone, Debug)]
pub(crate) struct ReferenceTile<T> {
    /// Decoded coefficients of the step, `[block][place]`.
    pub(crate) latest: Arc<Vec<T>>,
    /// Those of the step before it that it was predicted from, and of the one behind it.
    pub(crate) before: Option<Arc<Vec<T>>>,
    pub(crate) behind: Option<Arc<Vec<T>>>,
    pub(crate) magnitudes: Vec<Magnitudes>,
    pub(crate) states: Vec<BlockState>,
    pub(crate) quantum: f64,
    /// The rows that the next step's symbols begin with.
    pub(crate) tables: Arc<CarriedTables>,
    /// Its missing points.
    pub(crate) missing: Option<Arc<Mask>>,
}

/// A block's coefficients in those of its tile.
pub(crate) fn block_of<T>(coefficients: &[T], number: usize) -> &Block<T> {
    let first = number.saturating_mul(VALUES);
    coefficients[first..].first_chunk().expect("tiles hold whole blocks")
}

/// The same, to be changed.
pub(crate) fn block_of_mut<T>(coefficients: &mut [T], number: usize) -> &mut Block<T> {
    let first = number.saturating_mul(VALUES);
    coefficients[first..].first_chunk_mut().expect("tiles hold whole blocks")
}

impl<T> ReferenceTile<T> {
    /// Whether there are two steps.
    pub(crate) fn has_two_steps(&self) -> bool {
        self.before.is_some()
    }

    /// Whether a block is wholly missing: its coefficients are what its neighbours made likely.
    pub(crate) fn is_missing(&self, block: usize) -> bool {
        self.missing.as_ref().is_some_and(|mask| mask.extent(block) == Extent::All)
    }

    /// The step before the latest, or the latest where there is none.
    pub(crate) fn before_or_latest(&self) -> &[T] {
        self.before.as_ref().unwrap_or(&self.latest)
    }
}

/// How many steps of its series a step is from those that it is predicted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spacing {
    /// To the one before it; of a keyframe in a history 0, in a preamble 1.
    pub back: u32,
    /// To the one behind it; 0 where there is none.
    pub ahead: u32,
}

impl Default for Spacing {
    fn default() -> Self {
        Self::NEXT
    }
}

impl Spacing {
    /// Of a step that is predicted from the one before it.
    pub const NEXT: Self = Self { back: 1, ahead: 0 };

    /// Whether a step is predicted from one before it and one behind it.
    pub fn is_between(self) -> bool {
        self.ahead > 0
    }
}

/// A decoded step of a field: what the next one may be predicted from.
#[derive(Clone, Debug)]
pub(crate) struct ReferenceStep<T> {
    pub(crate) boxes: Vec<[usize; 3]>,
    pub(crate) tiles: Arc<Vec<ReferenceTile<T>>>,
    /// Steps since the keyframe.
    pub(crate) age: u32,
    /// To the steps that it was predicted from.
    pub(crate) spacing: Spacing,
    /// Checksum of its stream.
    pub(crate) checksum: u32,
}

/// The decoded steps that a step is predicted from.
#[derive(Debug)]
pub(crate) struct StepReferences<'a, T> {
    pub(crate) previous: &'a ReferenceStep<T>,
    /// The step behind it.
    pub(crate) next: Option<&'a ReferenceStep<T>>,
    pub(crate) spacing: Spacing,
}

impl<T> Clone for StepReferences<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for StepReferences<'_, T> {}

impl<'a, T> StepReferences<'a, T> {
    /// The same tile of them.
    pub(crate) fn tile(self, i: usize) -> TileReferences<'a, T> {
        let Self { previous, next, spacing } = self;
        // The residuals of a step over as short a time say most of this one's.
        let reach = |step: &ReferenceStep<T>| step.spacing.back.wrapping_sub(1);
        let alike = next.filter(|next| reach(next) < reach(previous)).unwrap_or(previous);
        TileReferences {
            previous: &previous.tiles[i],
            next: next.map(|next| &next.tiles[i]),
            alike: &alike.tiles[i],
            interpolation: Interpolation::new(spacing, previous.spacing, next.map(|next| next.spacing)),
        }
    }
}

/// A tile of the steps that a step is predicted from.
#[derive(Debug)]
pub(crate) struct TileReferences<'a, T> {
    pub(crate) previous: &'a ReferenceTile<T>,
    next: Option<&'a ReferenceTile<T>>,
    /// The one whose residuals are most like this one's.
    pub(crate) alike: &'a ReferenceTile<T>,
    interpolation: Interpolation,
}

impl<T> Clone for TileReferences<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for TileReferences<'_, T> {}

/// Weights of decoded steps, so that polynomials in time are continued: a line and a parabola through
/// the previous step, the next one, and a third.
#[derive(Clone, Copy, Debug)]
struct Interpolation {
    /// Of the previous step and the next one, where there is one.
    linear: [f64; 2],
    /// Of those two and of the step before the previous one, or behind the next.
    quadratic: [f64; 3],
    third_is_behind: bool,
}

impl Interpolation {
    fn new(spacing: Spacing, previous: Spacing, next: Option<Spacing>) -> Self {
        let behind = next.map_or(0, |next| next.ahead);
        let third_is_behind = behind > 0 && (previous.back == 0 || behind < previous.back);
        let [back, ahead] = [spacing.back, spacing.ahead].map(f64::from);
        let third =
            if third_is_behind { ahead + f64::from(behind) } else { -back - f64::from(previous.back) };
        Self {
            linear: [ahead / (back + ahead), back / (back + ahead)],
            quadratic: lagrange([-back, ahead, third]),
            third_is_behind,
        }
    }
}

/// Weights of the values at three places, for the value at 0. Places are small whole numbers, so each
/// weight is rounded once.
fn lagrange(at: [f64; 3]) -> [f64; 3] {
    let weight = |a: f64, b: f64, c: f64| b * c / ((a - b) * (a - c));
    let [a, b, c] = at;
    [weight(a, b, c), weight(b, a, c), weight(c, a, b)]
}

impl<'a, T: Element> TileReferences<'a, T> {
    /// Of a block, the prediction of first order: the previous step, or, where there is a next one, a
    /// line through both.
    pub(crate) fn first_order(&self, number: usize) -> Base<'a, T> {
        let previous = block_of(&self.previous.latest, number);
        match self.next {
            None => Base::Step(previous),
            Some(next) => Base::Line {
                steps: [previous, block_of(&next.latest, number)],
                weights: self.interpolation.linear,
            },
        }
    }

    /// The prediction of second order, where three steps are known: the line through the last two, or a
    /// parabola.
    pub(crate) fn second_order(&self, number: usize) -> Option<Base<'a, T>> {
        let previous = block_of(&self.previous.latest, number);
        let third = block_of(self.third()?, number);
        Some(match self.next {
            None => Base::Extrapolated { latest: previous, before: third },
            Some(next) => Base::Parabola {
                steps: [previous, block_of(&next.latest, number), third],
                weights: self.interpolation.quadratic,
            },
        })
    }

    /// Whether there is a prediction of second order.
    pub(crate) fn has_second_order(&self) -> bool {
        self.third().is_some()
    }

    /// The coefficients of the third step.
    fn third(&self) -> Option<&'a [T]> {
        let third = if self.interpolation.third_is_behind {
            self.next.and_then(|next| next.behind.as_ref())
        } else {
            self.previous.before.as_ref()
        };
        third.map(|third| &third[..])
    }

    /// The coefficients of the steps before and behind, for those that are predicted from this one.
    pub(crate) fn latest(&self) -> [Option<Arc<Vec<T>>>; 2] {
        [Some(self.previous.latest.clone()), self.next.map(|next| next.latest.clone())]
    }

    pub(crate) fn is_between(&self) -> bool {
        self.next.is_some()
    }
}
