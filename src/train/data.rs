//! Blocks to train on, normalised as the codec normalises them: mean 0, variance 1.
//!
//! They are math functions made on the fly, or blocks of files (`pool.rs`).

use crate::config::{Config, Data};
use crate::parallel::World;
use crate::pool::{Pool, normalise};
use anyhow::{Result, bail, ensure};
use std::f64::consts::TAU;
use std::ops::Range;
use std::path::{Path, PathBuf};
use swae_codec::blocks::{EDGE, VALUES};
use tch::Tensor;

/// A source of normalised blocks. The block at a place of a step's batch depends on the seed, the
/// step and the place alone, not on the rank or the order.
pub struct Blocks {
    seed: u64,
    source: Source,
}

enum Source {
    Math {
        resolutions: Vec<usize>,
    },
    /// Blocks on disk, and the running sum of their weights.
    Files {
        pool: Pool,
        cumulated: Vec<f64>,
    },
}

impl Source {
    /// Blocks of a pool, each drawn with a probability proportional to its deviation to the power
    /// of `emphasis`.
    fn files(pool: Pool, emphasis: f64) -> Self {
        let mut sum = 0.0;
        let add = |d: &f32| {
            sum += f64::from(*d).powf(emphasis);
            sum
        };
        let cumulated = pool.deviations.iter().map(add).collect();
        Self::Files { pool, cumulated }
    }
}

/// The wave numbers of the math functions.
pub const WAVE_NUMBERS: std::ops::RangeInclusive<u32> = 2..=6;

/// `sin(2πk₁x)·sin(2πk₂y)·sin(2πk₃z)` at `n³` points `i/n` of the unit cube, `[z, y, x]`.
pub fn math_volume(k: [u32; 3], n: usize) -> ndarray::Array3<f32> {
    let line = |k: u32| (0..n).map(|i| (TAU * f64::from(k) * i as f64 / n as f64).sin()).collect::<Vec<_>>();
    let [x, y, z] = k.map(line);
    ndarray::Array3::from_shape_fn((n, n, n), |(k, j, i)| (x[i] * y[j] * z[k]) as f32)
}

impl Blocks {
    /// Opens the data of a training.
    ///
    /// # Errors
    /// Where there are none.
    pub fn new(config: &Config, world: &World) -> Result<Self> {
        let source = match &config.data {
            Data::Math { resolutions } => {
                ensure!(resolutions.iter().any(|&n| n >= EDGE), "data.resolutions needs a number ≥ 8");
                Source::Math { resolutions: resolutions.clone() }
            }
            Data::Files { paths, least_deviation, emphasis, .. } => {
                let pool = Pool::open(&pools(&config.output)[0], paths, *least_deviation, world)?;
                Source::files(pool, *emphasis)
            }
        };
        Ok(Self { seed: config.training.seed, source })
    }

    /// Opens the validation data, if there are any.
    ///
    /// # Errors
    /// Where they cannot be read, or are among the training data.
    pub fn validation(config: &Config, world: &World) -> Result<Option<Self>> {
        let Data::Files { paths, validation, least_deviation, emphasis } = &config.data else {
            return Ok(None);
        };
        if let Some(both) = validation.iter().find(|p| paths.contains(p)) {
            bail!("{}: a run cannot be for training and for validation", both.display());
        }
        if validation.is_empty() {
            return Ok(None);
        }
        let pool = Pool::open(&pools(&config.output)[1], validation, *least_deviation, world)?;
        Ok(Some(Self { seed: config.training.seed, source: Source::files(pool, *emphasis) }))
    }

    /// The normalised blocks of a step at these places of its batch, `[n, 1, 8, 8, 8]`, on the CPU.
    ///
    /// # Errors
    /// Where a block cannot be read.
    pub fn batch(&self, step: usize, places: Range<usize>) -> Result<Tensor> {
        let n = places.len();
        let base = fastrand::Rng::with_seed(self.seed ^ (step as u64) << 20).u64(..);
        let mut values = Vec::with_capacity(n * VALUES);
        let mut block = [0.0; VALUES];
        for place in places {
            let seed = base.wrapping_add((place as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let random = &mut fastrand::Rng::with_seed(seed);
            match &self.source {
                Source::Math { resolutions } => loop {
                    math_block(random, resolutions, &mut block);
                    if normalise(&mut block).is_normal() {
                        break;
                    }
                },
                Source::Files { pool, cumulated } => {
                    let drawn = random.f64() * cumulated.last().copied().unwrap_or_default();
                    let at = cumulated.partition_point(|&sum| sum <= drawn).min(cumulated.len() - 1);
                    transform(random, &pool.block(at)?, &mut block);
                }
            }
            values.extend(block.iter().map(|&v| v as f32));
        }
        Ok(Tensor::from_slice(&values).view([n as i64, 1, EDGE as i64, EDGE as i64, EDGE as i64]))
    }
}

/// The files beside a model where training and validation blocks are kept while it is trained.
pub fn pools(output: &Path) -> [PathBuf; 2] {
    [output.with_extension("blocks"), output.with_extension("validation.blocks")]
}

/// The block under one of the 48 symmetries of the cube and a random sign: physics has no preferred
/// axis.
fn transform(random: &mut fastrand::Rng, from: &[f32; VALUES], to: &mut [f64; VALUES]) {
    let mut stride = [1, EDGE, EDGE * EDGE];
    random.shuffle(&mut stride);
    let flip: [bool; 3] = std::array::from_fn(|_| random.bool());
    let sign = if random.bool() { 1.0 } else { -1.0 };
    for (i, v) in to.iter_mut().enumerate() {
        let at = [i % EDGE, i / EDGE % EDGE, i / (EDGE * EDGE)];
        let source: usize = (0..3).map(|a| stride[a] * if flip[a] { EDGE - 1 - at[a] } else { at[a] }).sum();
        *v = sign * f64::from(from[source]);
    }
}

/// A block of a math function at a random place, not only at multiples of 8.
fn math_block(random: &mut fastrand::Rng, resolutions: &[usize], block: &mut [f64; VALUES]) {
    let n = resolutions[random.usize(..resolutions.len())] as f64;
    let mut line = || -> [f64; EDGE] {
        let (k, start) = (f64::from(random.u32(WAVE_NUMBERS)), random.f64());
        std::array::from_fn(|i| (TAU * k * (start + i as f64 / n)).sin())
    };
    let [x, y, z] = [line(), line(), line()];
    for (i, v) in block.iter_mut().enumerate() {
        *v = x[i % EDGE] * y[i / EDGE % EDGE] * z[i / (EDGE * EDGE)];
    }
}
