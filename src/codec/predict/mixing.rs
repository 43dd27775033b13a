//! Prediction mixing: an average of candidate predictions, with weights from a network.
//!
//! Predictions of a block from the previous steps and from its neighbours differ where a field
//! moves or bends. A dense network sees by how much they differ, and what the neighbours turned out
//! to be, and gives each coefficient the weights of an average. It predicts nothing by itself, so
//! it cannot be far off on a field unlike those that it was trained on.

use crate::blocks::{Block, VALUES};
use crate::computed::Computed;
#[cfg(doc)]
use crate::engine::LANES;
use crate::engine::{Engine, Lanes};
use crate::error::{Error, Result};
use crate::legendre::SCAN;
use crate::model::Model;
use crate::network::Network;

/// Coefficients, in the order of the scan, that have weights of their own: degrees up to 4. Those
/// of degree 5, of degree 6, and all beyond share theirs.
pub(crate) const OWN: usize = 35;
/// Candidate predictions beside the first.
pub const OTHERS: usize = 3;
/// Weights of a block, those of a group of coefficients ([`group`]) together.
pub const WEIGHTS: usize = OTHERS * (OWN + 3);
/// Coefficients of a coded neighbour that the network sees: degrees up to 3.
pub(crate) const NEIGHBOUR_COEFFICIENTS: usize = 20;
/// Levels of the order that the network tells apart.
const LEVELS: usize = 5;
/// What the network sees of a block.
pub const INPUTS: usize = (OTHERS + 3) * OWN - 1 + 6 * NEIGHBOUR_COEFFICIENTS + 6 + LEVELS + 2;
/// Where the candidates differ by less than this, in quanta on average, the block is not mixed.
const WORTH: f32 = 1.0 / 64.0;
/// What has so large a magnitude looks no larger.
const MOST: f32 = 1e18;
/// Weights lie within ± this.
const HEAVIEST: f32 = 4.0;

/// Weights of [`CandidatePredictions::others`], coefficient by coefficient.
pub(crate) type Weights = [f32; WEIGHTS];

/// The predictions that are mixed.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct CandidatePredictions {
    /// The previous step, with spatial prediction of the change.
    pub(crate) first: Block,
    /// Spatial prediction alone; linear extrapolation, with spatial prediction; the previous step
    /// alone.
    pub(crate) others: [Block; OTHERS],
}

impl CandidatePredictions {
    pub(crate) const EMPTY: Self = Self { first: [0.0; VALUES], others: [[0.0; VALUES]; OTHERS] };
}

/// What else the network sees.
pub(crate) struct ContextFeatures {
    /// The block's change over the last two steps; like all here, in the order of the scan.
    pub(crate) change: [f64; OWN],
    /// Expected magnitudes of residuals, in quanta.
    pub(crate) expected: [f32; OWN],
    /// How the neighbours changed since the last step, below and above along x, y, z; their first
    /// coefficients of the scan.
    pub(crate) sides: [Option<[f64; NEIGHBOUR_COEFFICIENTS]>; 6],
    pub(crate) level: u8,
    /// The step exponent that the neighbours' make likely.
    pub(crate) step_exponent: i32,
}

/// Whether a model is a mixing network.
pub fn is_mixing_model(model: &Model) -> bool {
    let architecture = &model.metadata.architecture;
    model.encoder.is_none() && architecture.dense && architecture.latent == INPUTS
}

/// A model, ready to run.
pub(crate) struct MixingNetwork(Network);

impl MixingNetwork {
    /// # Errors
    /// [`Error::Model`] where the model is of another kind.
    pub(crate) fn new(model: &Model) -> Result<Self> {
        if !is_mixing_model(model) {
            return Err(Error::Model(format!("'{}' is not a mixing network", model.metadata.name)));
        }
        Ok(Self(Network::decoder(model).first_outputs(WEIGHTS)))
    }

    /// Weights for each of at most [`LANES`] blocks.
    pub(crate) fn weights(&self, engine: Engine, inputs: &[Vec<f32>]) -> Vec<Weights> {
        if inputs.is_empty() {
            return Vec::new();
        }
        let mut lanes = vec![Lanes::ZERO; INPUTS];
        for (lane, input) in inputs.iter().enumerate() {
            lanes.iter_mut().zip(input).for_each(|(x, &v)| x.0[lane] = v);
        }
        let outputs = self.0.run(engine, &lanes);
        let weights =
            |lane: usize| -> Weights { std::array::from_fn(|i| between(outputs[i].0[lane], HEAVIEST)) };
        (0..inputs.len()).map(weights).collect()
    }
}

/// Within ± most; what is no number is the most.
fn between(v: f32, most: f32) -> f32 {
    if v < most { if v > -most { v } else { -most } } else { most }
}

/// log₂ of a positive number, in straight pieces between the powers of 2.
fn log2(v: f32) -> f32 {
    (v.to_bits() as i32).wrapping_sub(127 << 23) as f32 * (1.0 / (1 << 23) as f32)
}

/// ± log₂(1 + |v|).
fn squash(v: f32) -> f32 {
    let size = log2(1.0 + v.abs());
    if v < 0.0 { -size } else { size }
}

/// What the network sees; nothing where the candidates agree.
///
/// In order: the other candidates less the first, the change since the step before the last, the
/// last step's coefficients but the mean, expected residuals; the neighbours' changes, which of
/// them there are; the level; the activity a; the step exponent. What is of the field is in quanta,
/// divided by a (the last step) or a/4 (all else) and squashed; a is 1 and twice the mean magnitude
/// of the candidates' differences in the first 20 coefficients.
pub(crate) fn inputs(
    candidates: &CandidatePredictions,
    about: &ContextFeatures,
    quantum: f64,
) -> Option<Vec<f32>> {
    let place = |k: usize| usize::from(SCAN.place[k]);
    let per_unit = 1.0 / quantum;
    let in_quanta = |v: f64| between((v * per_unit) as f32, MOST);
    let apart: [[f32; OWN]; OTHERS] = std::array::from_fn(|of| {
        std::array::from_fn(|k| in_quanta(candidates.others[of][place(k)] - candidates.first[place(k)]))
    });
    let mut sum = 0.0;
    for of in &apart {
        for difference in &of[..NEIGHBOUR_COEFFICIENTS] {
            sum += difference.abs();
        }
    }
    let mean = sum / (OTHERS * NEIGHBOUR_COEFFICIENTS) as f32;
    if mean < WORTH {
        return None;
    }
    let activity = 1.0 + 2.0 * mean;
    let scaled = |v: f32| squash(4.0 * v / activity);
    let mut out = Vec::with_capacity(INPUTS);
    out.extend(apart.iter().flatten().map(|&difference| scaled(difference)));
    out.extend((0..OWN).map(|k| scaled(in_quanta(about.change[k]))));
    out.extend((1..OWN).map(|k| squash(in_quanta(candidates.others[2][place(k)]) / activity)));
    out.extend(about.expected.iter().map(|&e| log2(between(e, MOST) + 1.0 / 64.0)));
    for side in &about.sides {
        out.extend(
            (0..NEIGHBOUR_COEFFICIENTS).map(|k| side.map_or(0.0, |change| scaled(in_quanta(change[k])))),
        );
    }
    out.extend(about.sides.iter().map(|side| f32::from(u8::from(side.is_some()))));
    out.extend((0..LEVELS).map(|l| f32::from(u8::from(usize::from(about.level).min(LEVELS - 1) == l))));
    out.extend([log2(activity), about.step_exponent as f32]);
    Some(out)
}

crate::engine::for_engines! {
    /// The mixed prediction: fused multiply-adds of each weight and a candidate's difference from
    /// the first, in order.
    #[allow(clippy::arithmetic_side_effects, reason = "indices in tables of a fixed size")]
    pub(crate) fn mix(candidates: &CandidatePredictions, weights: &Weights, out: &mut Block) {
        let groups: &[u8; VALUES] = &GROUPS;
        let mut each = [[0.0; VALUES]; OTHERS];
        for at in 0..VALUES {
            let group = usize::from(groups[at]);
            for of in 0..OTHERS {
                each[of][at] = weights[OTHERS * group + of];
            }
        }
        let [a, b, c] = &candidates.others;
        for at in 0..VALUES {
            let first = candidates.first[at];
            let sum = f64::from(each[0][at]).mul_add(a[at] - first, first);
            let sum = f64::from(each[1][at]).mul_add(b[at] - first, sum);
            out[at] = f64::from(each[2][at]).mul_add(c[at] - first, sum);
        }
    }
}

/// Which weight a coefficient has, by its place in a block.
static GROUPS: Computed<[u8; VALUES]> = Computed::new(|| {
    let mut groups = [0; VALUES];
    SCAN.place.iter().enumerate().for_each(|(k, &place)| groups[usize::from(place)] = group(k) as u8);
    groups
});

/// Which weight a coefficient has, by its place in the scan.
#[inline(always)]
pub fn group(k: usize) -> usize {
    if k < OWN { k } else { OWN.wrapping_add(usize::from(SCAN.degree[k].saturating_sub(5)).min(2)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::every_engine;

    #[test]
    fn candidates_that_agree_are_not_mixed_and_equal_weights_average() {
        let mut candidates = CandidatePredictions::EMPTY;
        let about = ContextFeatures {
            change: [0.0; OWN],
            expected: [0.0; OWN],
            sides: [None; 6],
            level: 0,
            step_exponent: 2,
        };
        assert!(inputs(&candidates, &about, 1e-3).is_none());
        for (of, block) in candidates.others.iter_mut().enumerate() {
            block.fill(4.0 * (of + 1) as f64);
        }
        assert_eq!(inputs(&candidates, &about, 1e-3).unwrap().len(), INPUTS);
        for engine in every_engine() {
            let mut out = [1.0; VALUES];
            mix(engine, &candidates, &[0.25; WEIGHTS], &mut out);
            assert!(out.iter().all(|&v| v == 6.0));
        }
    }

    #[test]
    fn what_is_no_number_or_not_finite_gives_finite_inputs() {
        let mut candidates = CandidatePredictions::EMPTY;
        candidates.first.fill(f64::INFINITY);
        candidates.others[0].fill(f64::NAN);
        candidates.others[1].fill(f64::NEG_INFINITY);
        let about = ContextFeatures {
            change: [f64::NAN; OWN],
            expected: [f32::NAN; OWN],
            sides: [Some([f64::INFINITY; NEIGHBOUR_COEFFICIENTS]); 6],
            level: 9,
            step_exponent: -512,
        };
        for quantum in [0.0, 1e-310, 1.0, f64::MAX] {
            let inputs = inputs(&candidates, &about, quantum).unwrap();
            assert!(inputs.iter().all(|v| v.is_finite()));
        }
    }
}
