//! What `compress` prints of encoding within a bound: the largest error, and the block statistics.

use crate::predictors;
use swae_codec::bound::{Bound, Tolerance};
use swae_codec::encode::Report;
use swae_codec::statistics::BlockStatistics;

/// Of all streams so far.
#[derive(Default)]
pub struct Summary {
    statistics: BlockStatistics,
    /// The largest error, in units of its bound.
    worst: f64,
}

impl Summary {
    /// Adds a stream.
    pub fn add(&mut self, report: &Report) {
        self.worst = self.worst.max(part_of_bound(report));
        self.statistics = self.statistics.union(&report.statistics);
    }

    /// Prints it, of so many points.
    pub fn print(&self, bound: Bound, points: u64) {
        println!("{bound}: largest error {:.3} of the bound, every value verified", self.worst);
        predictors::print(&self.statistics);
        predictors::print_missing(self.statistics.missing, points);
    }
}

/// The largest error of a stream in units of its bound.
fn part_of_bound(report: &Report) -> f64 {
    match report.tolerance {
        Tolerance::Absolute(bound) | Tolerance::PointwiseRelative(bound) if bound > 0.0 => {
            report.max_error / bound
        }
        _ => 0.0,
    }
}
