//! Who won the competitions for blocks.

use crate::bytes;
use swae_codec::Tally;

/// Predictors by number.
const PREDICTORS: [&str; 8] = ["legendre", "previous", "extrapolation", "swae", "", "", "", ""];

/// A line for each candidate that won any block: blocks, and the bytes that they took.
pub fn print(tally: &Tally) {
    let all = tally.predictors.iter().zip(PREDICTORS);
    let all = all.chain([(&tally.constant, "constant"), (&tally.raw, "as they are")]);
    let blocks: u64 = all.clone().map(|((n, _), _)| n).sum();
    for ((n, bits), name) in all.filter(|((n, _), _)| *n > 0) {
        let share = 100.0 * *n as f64 / blocks.max(1) as f64;
        println!("    {name:<14} {n:>9} blocks {share:>5.1} %  {:>10}", bytes((bits / 8.0) as u64));
    }
}
