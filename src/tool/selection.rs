//! What a command takes of a file: fields, steps, a region of the grid. Flags of several commands.

use anyhow::{Context, Result, ensure};
use std::ops::Range;
use std::str::FromStr;
use swae_store::Reader;

/// Fields and steps of a file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Selection {
    /// Only this field; may be repeated
    #[arg(long = "var", value_name = "FIELD")]
    pub variables: Vec<String>,
    /// Only this step, or the steps A..B with both ends
    #[arg(long)]
    pub step: Option<Steps>,
}

impl Selection {
    /// Whether a field of this name is selected.
    pub fn has_field(&self, name: &str) -> bool {
        self.variables.is_empty() || self.variables.iter().any(|variable| variable == name)
    }

    /// Whether the step that the simulation gave this number is selected.
    pub fn has_step(&self, step: i64) -> bool {
        self.step.is_none_or(|steps| (steps.first..=steps.last).contains(&step))
    }

    /// Indices of the selected steps of a file.
    pub fn steps_of(&self, reader: &dyn Reader) -> Vec<usize> {
        let steps = reader.steps();
        (0..steps.len()).filter(|&index| self.has_step(steps[index].step)).collect()
    }
}

/// A range of steps: `N`, or `A..B` with both ends, numbers of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// The first step.
    pub first: i64,
    /// The last step.
    pub last: i64,
}

impl FromStr for Steps {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let (first, last) = text.split_once("..").unwrap_or((text, text));
        let steps = Self { first: first.trim().parse()?, last: last.trim().parse()? };
        ensure!(steps.first <= steps.last, "the first step comes after the last");
        Ok(steps)
    }
}

/// A region of the grid: `x0:x1,y0:y1,z0:z1`, ends not included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(pub [Range<usize>; 3]);

impl FromStr for Region {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let axis = |part: &str| -> Result<Range<usize>> {
            let (first, end) = part.split_once(':').context("an axis is FIRST:END")?;
            Ok(first.trim().parse()?..end.trim().parse()?)
        };
        let axes = text.split(',').map(axis).collect::<Result<Vec<_>>>()?;
        let axes: [Range<usize>; 3] = axes.try_into().ok().context("a region is x0:x1,y0:y1,z0:z1")?;
        ensure!(axes.iter().all(|r| r.start < r.end), "the region is empty");
        Ok(Self(axes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_regions_are_read_and_empty_ones_refused() {
        assert_eq!("7".parse::<Steps>().unwrap(), Steps { first: 7, last: 7 });
        assert_eq!("-1..4".parse::<Steps>().unwrap(), Steps { first: -1, last: 4 });
        assert!("4..1".parse::<Steps>().is_err() && "a".parse::<Steps>().is_err());
        assert_eq!("0:2,1:3,4:9".parse::<Region>().unwrap(), Region([0..2, 1..3, 4..9]));
        assert!("0:2,1:1,4:9".parse::<Region>().is_err() && "0:2".parse::<Region>().is_err());
    }
}
