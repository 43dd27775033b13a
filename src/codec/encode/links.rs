//! Which boxes of a list lie side by side: found by their coefficients.

#![allow(clippy::arithmetic_side_effects, reason = "a writer's own lists")]

use crate::engine::{Engine, for_engines};
use crate::predict::links::{Linked, Links};
use crate::predict::spatial::{Corner, across, beyond};
use crate::residual::octaves;

/// Bits a box that a link must save on average.
const WORTH: u32 = BIT / 2;
/// A bit, as costs count them.
const BIT: u32 = 2048;
/// The longest chain where speed counts. The blocks of a chain wait for one another: of long ones few
/// are coded at a time. Chosen by trial: half again as fast as without a limit, for 2 to 7 % of bits.
pub(super) const SHORT: usize = 24;

/// Finds the links of a list of blocks by their low coefficients, in quantisation steps; no link makes a
/// chain longer than `longest`.
pub(super) fn find(engine: Engine, corners: &[Corner], longest: usize) -> (Links, Vec<Linked>) {
    let n = corners.len();
    // An irregular part of all boxes is enough to tell.
    let some: Vec<usize> = (1..n).filter(|p| p.wrapping_mul(0x9e37_79b1) >> 7 & 3 == 0).collect();
    let mut links = Links::default();
    let mut out = vec![[None; 3]; n];
    for axis in 0..3 {
        let along = Along::new(corners, axis);
        let mut left = some.clone();
        for second in [false, true] {
            // By how many boxes back.
            let mut gains = vec![0u32; n];
            for &p in &left {
                let predicted = along.predicted.each_ref().map(|predicted| &predicted[n - p..]);
                add_gains(engine, along.blocks[p], along.before[p], predicted, &mut gains[1..=p]);
            }
            let all = gains.into_iter().enumerate();
            let (back, best) =
                all.fold((0, 0), |best, (d, gain)| if gain > best.1 { (d, gain) } else { best });
            if best > WORTH * some.len() as u32 {
                links.back[axis][usize::from(second)] = back as u16;
            }
            left.retain(|&p| links.of(p, axis, second).is_none_or(|q| !along.pays(p, q)));
        }
        for (p, out) in out.iter_mut().enumerate() {
            let link = |second| links.of(p, axis, second).filter(|&q| along.pays(p, q));
            out[axis] = [false, true].into_iter().find_map(link);
        }
    }
    shorten(&mut out, longest);
    (links, out)
}

/// Drops the links at the ends of long chains.
fn shorten(linked: &mut [Linked], longest: usize) {
    let mut chains: Vec<usize> = Vec::with_capacity(linked.len());
    for (p, linked) in linked.iter_mut().enumerate() {
        for link in linked.iter_mut() {
            *link = link.filter(|&q| chains[q as usize] < longest);
        }
        let last = match linked {
            [None, None, None] if p > 0 => Some(p & (p - 1)),
            _ => linked.iter().flatten().map(|q| *q as usize).max_by_key(|&q| chains[q]),
        };
        chains.push(last.map_or(0, |q| chains[q] + 1));
    }
}

/// Blocks as what lies before them along an axis makes them likely: their means, and their slopes
/// along the two other axes.
struct Along {
    blocks: Vec<[f32; 3]>,
    /// What each block makes likely of the one beyond it, the last block first.
    predicted: [Vec<f32>; 3],
    /// What each block costs without a link: predicted by the mean of the box before it.
    before: Vec<u32>,
}

impl Along {
    fn new(corners: &[Corner], axis: usize) -> Self {
        let blocks: Vec<_> = corners.iter().map(|c| across(axis).map(|entry| c[entry] as f32)).collect();
        let before = |p: usize| cost(blocks[p], [blocks[p.saturating_sub(1)][0], 0.0, 0.0]);
        let beyond: Vec<_> = corners.iter().rev().map(|c| beyond(c, axis)).collect();
        let predicted = [0, 1, 2].map(|i| beyond.iter().map(|predicted| predicted[i] as f32).collect());
        Self { before: (0..corners.len()).map(before).collect(), blocks, predicted }
    }

    /// Whether a block takes fewer bits with a link to another.
    fn pays(&self, p: usize, q: u32) -> bool {
        let last = self.blocks.len() - 1;
        let predicted = self.predicted.each_ref().map(|predicted| predicted[last - q as usize]);
        cost(self.blocks[p], predicted) < self.before[p]
    }
}

/// Bits of a block's mean and slopes, in parts of [`BIT`], where others are predicted.
#[inline(always)]
fn cost(block: [f32; 3], predicted: [f32; 3]) -> u32 {
    let of = |i: usize| {
        let off = block[i] - predicted[i];
        octaves(1.0 + off * off)
    };
    of(0) + of(1) + of(2)
}

for_engines! {
    /// Adds what a block gains by a link to each of the blocks with these predictions.
    fn add_gains(block: [f32; 3], before: u32, predicted: [&[f32]; 3], gains: &mut [u32]) {
        let [means, ones, others] = predicted;
        for (((gain, &mean), &one), &other) in gains.iter_mut().zip(means).zip(ones).zip(others) {
            *gain += before.saturating_sub(cost(block, [mean, one, other]));
        }
    }
}
