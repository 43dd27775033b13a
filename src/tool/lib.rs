//! What the `swae` program does, one file per command.

pub mod bench;
pub mod compare;
pub mod compress;
pub mod decompress;
pub mod filter;
pub mod info;
mod memory;
pub mod models;
mod paraview;
pub mod picture;
pub mod quality;
pub mod verify;
pub mod winners;

use anyhow::{Context, Result, ensure};
use std::ops::Range;

/// A range of steps as `--step` takes it: `N` or `A..B` (B included), numbers of the simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    /// First.
    pub first: i64,
    /// Last.
    pub last: i64,
}

impl std::str::FromStr for Steps {
    type Err = anyhow::Error;
    fn from_str(s: &str) -> Result<Self> {
        let (first, last) = s.split_once("..").unwrap_or((s, s));
        let steps = Self { first: first.trim().parse()?, last: last.trim().parse()? };
        ensure!(steps.first <= steps.last, "the first step comes after the last");
        Ok(steps)
    }
}

impl Steps {
    /// Whether a step is asked for; all are where there is no range.
    pub fn holds(range: Option<Self>, step: i64) -> bool {
        range.is_none_or(|r| (r.first..=r.last).contains(&step))
    }
}

/// A part of the grid as `--region` takes it: `x0:x1,y0:y1,z0:z1`, the ends not included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region(pub [Range<usize>; 3]);

impl std::str::FromStr for Region {
    type Err = anyhow::Error;
    fn from_str(s: &str) -> Result<Self> {
        let axis = |part: &str| -> Result<Range<usize>> {
            let (first, end) = part.split_once(':').context("an axis is FIRST:END")?;
            Ok(first.trim().parse()?..end.trim().parse()?)
        };
        let axes = s.split(',').map(axis).collect::<Result<Vec<_>>>()?;
        let axes: [Range<usize>; 3] = axes.try_into().ok().context("a region is x0:x1,y0:y1,z0:z1")?;
        ensure!(axes.iter().all(|r| r.start < r.end), "the region is empty");
        Ok(Self(axes))
    }
}

/// Bytes for people: `12.3 kB`, in powers of 1000.
pub fn bytes(n: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    if unit == 0 { format!("{n} B") } else { format!("{value:.3} {}", units[unit]) }
}
