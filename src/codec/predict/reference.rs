//! Reference steps: what a decoded step leaves for the steps that are predicted from it.

use super::Predictor;
use crate::blocks::{Block, VALUES};
use crate::entropy::symbols::Magnitudes;
use crate::entropy::tables::Tables;
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
    /// Those of the step before it.
    pub(crate) before: Option<Arc<Vec<T>>>,
    pub(crate) magnitudes: Vec<Magnitudes>,
    pub(crate) states: Vec<BlockState>,
    pub(crate) quantum: f64,
    /// The rows that the next step's symbols begin with.
    pub(crate) tables: Arc<Tables>,
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

/// A decoded step of a field: what the next one may be predicted from.
#[derive(Clone, Debug)]
pub(crate) struct ReferenceStep<T> {
    pub(crate) boxes: Vec<[usize; 3]>,
    pub(crate) tiles: Arc<Vec<ReferenceTile<T>>>,
    /// Steps since the keyframe.
    pub(crate) age: u32,
    /// Checksum of its stream.
    pub(crate) checksum: u32,
}
