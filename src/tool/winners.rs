//! Who won the competitions for blocks.

use crate::bytes;
use swae_codec::statistics::BlockStatistics;

/// Predictors by number.
const PREDICTORS: [&str; 8] = ["legendre", "previous", "extrapolation", "swae", "mixture", "coupled", "", ""];

/// A line for each candidate that won any block: blocks, the bytes that they took, and those saved beside the next best.
pub fn print(tally: &BlockStatistics) {
    let all = tally.predictors.iter().zip(PREDICTORS);
    let all = all.chain([(&tally.constant, "constant"), (&tally.raw, "as they are")]);
    let blocks: u64 = all.clone().map(|(share, _)| share.blocks).sum();
    for (share, name) in all.filter(|(share, _)| share.blocks > 0) {
        let part = 100.0 * share.blocks as f64 / blocks.max(1) as f64;
        let took = bytes((share.bits / 8.0) as u64);
        let saved = match share.saved {
            0.0 => String::new(),
            saved => format!("  about {} saved", bytes((saved / 8.0).max(0.0) as u64)),
        };
        println!("    {name:<14} {:>9} blocks {part:>5.1} %  {took:>10}{saved}", share.blocks);
    }
}
