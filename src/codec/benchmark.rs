//! What an engine's instructions can do at most: what the speed of a network is compared with.

#![allow(clippy::arithmetic_side_effects, reason = "counts of what was measured")]

use crate::engine::{Engine, LANES, Lanes, for_engines};
use std::hint::black_box;

/// Fused multiply-adds of float32 that this engine's instructions can do in a second on one core,
/// measured.
pub fn multiply_adds_per_second(engine: Engine) -> f64 {
    const ROUNDS: usize = 100_000;
    let mut best = 0.0f64;
    for _ in 0..50 {
        let begin = std::time::Instant::now();
        black_box(multiply_add(engine, black_box(ROUNDS), black_box(&Lanes([1e-3; LANES]))));
        let done = (ROUNDS * CHAINS * LANES) as f64;
        best = best.max(done / begin.elapsed().as_secs_f64());
    }
    best
}

/// Sums side by side: more hide how long one takes, until there are no registers left.
const CHAINS: usize = 6;

for_engines! {
    fn multiply_add(rounds: usize, x: &Lanes) -> Lanes {
        let mut sums = [x.0; CHAINS];
        for _ in 0..rounds {
            for sum in &mut sums {
                for l in 0..LANES {
                    sum[l] = x.0[l].mul_add(x.0[l], sum[l]);
                }
            }
        }
        let mut all = Lanes::ZERO;
        for sum in &sums {
            for l in 0..LANES {
                all.0[l] += sum[l];
            }
        }
        all
    }
}
