//! The mode decision, as users see it: the flag that leaves predictors out, and the block statistics
//! that say which predictors were selected.

use crate::bytes;
use clap::builder::PossibleValuesParser;
use swae_codec::predict::PredictorSet;
use swae_codec::statistics::{BlockStatistics, PredictorStatistics};

/// What the mode decision chooses from.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct PredictorFlags {
    /// Leaves a predictor out of the mode decision; may be repeated
    #[arg(long, value_name = "PREDICTOR", value_parser = PossibleValuesParser::new(PredictorSet::names()))]
    pub without: Vec<String>,
}

impl PredictorFlags {
    /// All predictors but those that are left out.
    pub fn set(&self) -> PredictorSet {
        let all = PredictorSet::ALL;
        self.without.iter().fold(all, |set, name| set.without(name).unwrap_or(set))
    }
}

/// Prints how many of so many points are missing, where any are.
pub fn print_missing(missing: u64, points: u64) {
    if missing > 0 {
        println!("    missing {:.3} %", 100.0 * missing as f64 / points.max(1) as f64);
    }
}

/// Prints a line for each predictor that was selected for any block: blocks, the bytes that they
/// took, and those saved in comparison with the second best predictor.
pub fn print(statistics: &BlockStatistics) {
    let blocks: u64 = statistics.iter().map(|(_, of)| of.blocks).sum();
    for (name, of) in statistics.iter().filter(|(_, of)| of.blocks > 0) {
        let PredictorStatistics { blocks: selected, bits, saved, .. } = *of;
        let part = 100.0 * selected as f64 / blocks.max(1) as f64;
        let took = bytes((bits / 8.0) as u64);
        let saved = match saved {
            0.0 => String::new(),
            saved => format!("  about {} saved", bytes((saved / 8.0).max(0.0) as u64)),
        };
        println!("    {name:<14} {selected:>9} blocks {part:>5.1} %  {took:>10}{saved}");
    }
}
