//! The network as an arbiter: how far to trust, for each coefficient, the neighbours, the step before, and its going on as it did.
//!
//! Three predictions of a block that lean on steps before and on neighbours in this one differ where a field moves or
//! bends. A dense network sees by how much, and what the neighbours turned out to be, and gives the weights with which
//! they are averaged. It predicts nothing by itself, so it cannot be far off on a field unlike those that it learned from.

use super::legendre::{Block, SCAN};
use super::symbols::half_octaves;
use crate::blocks::VALUES;
#[cfg(doc)]
use crate::engine::LANES;
use crate::engine::{Engine, Lanes};
use crate::network::Network;
use crate::{Error, Model, Result};
use std::sync::LazyLock;

/// Coefficients, in the order of the scan, that have weights of their own: degrees up to 4. Those of degree 5, of degree 6,
/// and all beyond share theirs.
pub(crate) const OWN: usize = 35;
/// Opinions beside the first.
pub const OTHERS: usize = 3;
/// Weights of a block, those of a group of coefficients ([`group`]) together.
pub const WEIGHTS: usize = OTHERS * (OWN + 3);
/// Coefficients of a coded neighbour that the network sees: degrees up to 3.
pub(crate) const SEEN: usize = 20;
/// Levels of the order that the network tells apart.
const LEVELS: usize = 5;
/// What the network sees of a block.
pub const INPUTS: usize = (OTHERS + 3) * OWN - 1 + 6 * SEEN + 6 + LEVELS + 2;
/// Coefficients that a lesson holds.
pub const TAUGHT: usize = 84;
/// Where the opinions differ by less than this, in units on average, there is nothing to weigh.
const WORTH: f32 = 1.0 / 64.0;
/// What has so large a magnitude looks no larger.
const MOST: f32 = 1e18;
/// Weights lie within ± this.
const HEAVIEST: f32 = 4.0;

/// By what the opinions are weighed: those of [`Opinions::others`], coefficient by coefficient.
pub(crate) type Weights = [f32; WEIGHTS];

/// What is foretold of a block.
#[derive(Clone)]
#[repr(C, align(64))]
pub(crate) struct Opinions {
    /// The step before, and how the neighbours changed since.
    pub(crate) first: Block,
    /// The neighbours alone; the two steps before continued, and the neighbours; the step before alone.
    pub(crate) others: [Block; OTHERS],
}

impl Opinions {
    pub(crate) const EMPTY: Self = Self { first: [0.0; VALUES], others: [[0.0; VALUES]; OTHERS] };
}

/// What else the network is told.
pub(crate) struct Circumstances {
    /// The block's change from the step before the last to the last; like all here, in the order of the scan.
    pub(crate) change: [f64; OWN],
    /// Expected magnitudes of residuals, in units.
    pub(crate) expected: [f32; OWN],
    /// How the neighbours changed since the last step, below and above along x, y, z; their first coefficients of the scan.
    pub(crate) sides: [Option<[f64; SEEN]>; 6],
    pub(crate) level: u8,
    /// The shift that neighbours foretell.
    pub(crate) shift: i32,
}

/// Whether a model is one that weighs predictions.
pub fn weighs(model: &Model) -> bool {
    let architecture = &model.metadata.architecture;
    model.encoder.is_none() && architecture.dense && architecture.latent == INPUTS
}

/// A model, ready to run.
pub(crate) struct Mixer(Network);

impl Mixer {
    /// # Errors
    /// [`Error::Model`] where the model is of another kind.
    pub(crate) fn new(model: &Model) -> Result<Self> {
        if !weighs(model) {
            return Err(Error::Model(format!("'{}' does not weigh predictions", model.metadata.name)));
        }
        Ok(Self(Network::decoder(model).first_outputs(WEIGHTS)))
    }

    /// Weights for each of at most [`LANES`] blocks.
    pub(crate) fn weigh(&self, engine: Engine, inputs: &[Vec<f32>]) -> Vec<Weights> {
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
    (v.to_bits() as i32 - (127 << 23)) as f32 * (1.0 / (1 << 23) as f32)
}

/// ± log₂(1 + |v|).
fn squash(v: f32) -> f32 {
    let size = log2(1.0 + v.abs());
    if v < 0.0 { -size } else { size }
}

/// What the network sees; nothing where there is nothing to weigh.
///
/// In order: the other opinions less the first, the change since the step before the last, the last step's coefficients but
/// the mean, expected residuals; the neighbours' changes, which of them there are; the level; the activity a; the shift. What
/// is of the field is in units, divided by a (the last step) or a/4 (all else) and squashed; a is 1 and twice the mean
/// magnitude of the opinions' differences in the first 20 coefficients.
pub(crate) fn inputs(opinions: &Opinions, about: &Circumstances, unit: f64) -> Option<Vec<f32>> {
    let place = |k: usize| usize::from(SCAN.place[k]);
    let per_unit = 1.0 / unit;
    let in_units = |v: f64| between((v * per_unit) as f32, MOST);
    let apart: [[f32; OWN]; OTHERS] = std::array::from_fn(|of| {
        std::array::from_fn(|k| in_units(opinions.others[of][place(k)] - opinions.first[place(k)]))
    });
    let mut sum = 0.0;
    for of in &apart {
        for difference in &of[..SEEN] {
            sum += difference.abs();
        }
    }
    let mean = sum / (OTHERS * SEEN) as f32;
    if mean < WORTH {
        return None;
    }
    let activity = 1.0 + 2.0 * mean;
    let scaled = |v: f32| squash(4.0 * v / activity);
    let mut out = Vec::with_capacity(INPUTS);
    out.extend(apart.iter().flatten().map(|&difference| scaled(difference)));
    out.extend((0..OWN).map(|k| scaled(in_units(about.change[k]))));
    out.extend((1..OWN).map(|k| squash(in_units(opinions.others[2][place(k)]) / activity)));
    out.extend(about.expected.iter().map(|&e| log2(between(e, MOST) + 1.0 / 64.0)));
    for side in &about.sides {
        out.extend((0..SEEN).map(|k| side.map_or(0.0, |change| scaled(in_units(change[k])))));
    }
    out.extend(about.sides.iter().map(|side| f32::from(u8::from(side.is_some()))));
    out.extend((0..LEVELS).map(|l| f32::from(u8::from(usize::from(about.level).min(LEVELS - 1) == l))));
    out.extend([log2(activity), about.shift as f32]);
    Some(out)
}

crate::engine::for_engines! {
    /// The opinions' average: fused multiply-adds of each weight and an opinion's difference from the first, in order.
    pub(crate) fn mix(opinions: &Opinions, weights: &Weights, out: &mut Block) {
        let groups: &[u8; VALUES] = &GROUPS;
        let mut each = [[0.0; VALUES]; OTHERS];
        for at in 0..VALUES {
            let group = usize::from(groups[at]);
            for of in 0..OTHERS {
                each[of][at] = weights[OTHERS * group + of];
            }
        }
        let [a, b, c] = &opinions.others;
        for at in 0..VALUES {
            let first = opinions.first[at];
            let sum = f64::from(each[0][at]).mul_add(a[at] - first, first);
            let sum = f64::from(each[1][at]).mul_add(b[at] - first, sum);
            out[at] = f64::from(each[2][at]).mul_add(c[at] - first, sum);
        }
    }
}

/// Which weight a coefficient has, by its place in a block.
static GROUPS: LazyLock<[u8; VALUES]> = LazyLock::new(|| {
    let mut groups = [0; VALUES];
    SCAN.place.iter().enumerate().for_each(|(k, &place)| groups[usize::from(place)] = group(k) as u8);
    groups
});

/// What one block teaches. Numbers are in units; coefficients are the first [`TAUGHT`] of the scan.
#[derive(Clone, Debug)]
pub struct Lesson {
    /// What the network sees.
    pub inputs: Vec<f32>,
    /// The other opinions less the first, one after the other.
    pub apart: Vec<f32>,
    /// The truth less the first opinion.
    pub truth: Vec<f32>,
    /// The quantisation step.
    pub step: f32,
}

impl Lesson {
    pub(crate) fn new(inputs: Vec<f32>, opinions: &Opinions, truth: &Block, unit: f64, shift: i32) -> Self {
        let taught = || SCAN.place[..TAUGHT].iter().map(|&p| usize::from(p));
        let apart = |of: &Block| -> Vec<f32> {
            taught().map(|p| ((of[p] - opinions.first[p]) / unit) as f32).collect()
        };
        let others = opinions.others.iter().flat_map(apart).collect();
        Self { inputs, apart: others, truth: apart(truth), step: half_octaves(shift) as f32 }
    }
}

/// Which weight a taught coefficient has, by its place in the scan: what a trainer must know.
#[inline(always)]
pub fn group(k: usize) -> usize {
    if k < OWN { k } else { OWN + usize::from(SCAN.degree[k] - 5).min(2) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opinions_that_agree_need_no_weighing_and_equal_weights_average() {
        let mut opinions = Opinions::EMPTY;
        let about =
            Circumstances { change: [0.0; OWN], expected: [0.0; OWN], sides: [None; 6], level: 0, shift: 2 };
        assert!(inputs(&opinions, &about, 1e-3).is_none());
        for (of, block) in opinions.others.iter_mut().enumerate() {
            block.fill(4.0 * (of + 1) as f64);
        }
        assert_eq!(inputs(&opinions, &about, 1e-3).unwrap().len(), INPUTS);
        for engine in Engine::available() {
            let mut out = [1.0; VALUES];
            mix(engine, &opinions, &[0.25; WEIGHTS], &mut out);
            assert!(out.iter().all(|&v| v == 6.0));
        }
    }

    #[test]
    fn what_is_no_number_or_not_finite_gives_finite_inputs() {
        let mut opinions = Opinions::EMPTY;
        opinions.first.fill(f64::INFINITY);
        opinions.others[0].fill(f64::NAN);
        opinions.others[1].fill(f64::NEG_INFINITY);
        let about = Circumstances {
            change: [f64::NAN; OWN],
            expected: [f32::NAN; OWN],
            sides: [Some([f64::INFINITY; SEEN]); 6],
            level: 9,
            shift: -512,
        };
        for unit in [0.0, 1e-310, 1.0, f64::MAX] {
            let inputs = inputs(&opinions, &about, unit).unwrap();
            assert!(inputs.iter().all(|v| v.is_finite()));
        }
    }
}
