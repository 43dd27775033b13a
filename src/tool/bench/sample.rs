//! The fields that are measured, out of files: all steps of a field, or blocks of its last step.

use super::plan::Plan;
use anyhow::{Context, Result, bail, ensure};
use std::path::Path;
use swae_codec::bound::ValueRange;
use swae_codec::{Dtype, Element, Field, FieldView};
use swae_store::{Decoder, open};

/// One field, all its steps.
pub struct Sample<T> {
    /// Its name, with the file's where there are several.
    pub name: String,
    /// Values of all steps, one behind the other.
    pub values: Vec<T>,
    /// `[nx, ny, nz]` of a step.
    pub count: [usize; 3],
    /// The width of each step's value range.
    pub widths: Vec<f64>,
}

/// A field of either type.
pub enum AnySample {
    /// Of float32 values.
    F32(Sample<f32>),
    /// Of float64 values.
    F64(Sample<f64>),
}

impl AnySample {
    /// Loads the selected steps of a field of a file.
    ///
    /// # Errors
    /// Where it cannot be read, has no such step, or its shape changes.
    pub fn load(input: &Path, field: &str, plan: &Plan<'_>) -> Result<Self> {
        let steps = load(input, field, plan)?;
        let name = match plan.arguments.inputs.len() {
            1 => field.into(),
            _ => format!("{}:{field}", input.file_stem().unwrap_or_default().to_string_lossy()),
        };
        match steps.first().map(Field::dtype) {
            Some(Dtype::F32) => Ok(Self::F32(Sample::new(name, steps)?)),
            Some(Dtype::F64) => Ok(Self::F64(Sample::new(name, steps)?)),
            None => bail!("{}: no such step", input.display()),
        }
    }
}

impl<T: Element> Sample<T> {
    fn new(name: String, steps: Vec<Field>) -> Result<Self> {
        let count = steps[0].count();
        ensure!(steps.iter().all(|f| f.count() == count), "{name}: the shape changes from step to step");
        let (mut values, mut widths) = (Vec::new(), Vec::new());
        for array in steps.into_iter().filter_map(Field::into_array::<T>) {
            let (step, _) = array.into_raw_vec_and_offset();
            widths.push(ValueRange::of(&FieldView::dense(&step, count)?).width());
            values.extend(step);
        }
        Ok(Self { name, values, count, widths })
    }

    /// How many steps it has.
    pub fn steps(&self) -> usize {
        self.widths.len()
    }

    /// The values of a step.
    pub fn step(&self, step: usize) -> &[T] {
        let size = self.values.len() / self.steps();
        &self.values[step * size..][..size]
    }
}

/// Names of the selected fields of a file's last step.
///
/// # Errors
/// Where it cannot be read or holds no step.
pub fn names(input: &Path, plan: &Plan<'_>) -> Result<Vec<String>> {
    let reader = open(input)?;
    let last = reader.steps().last().context("it holds no step")?;
    let names = last.fields.iter().map(|(info, _)| info.name.clone());
    Ok(names.filter(|name| plan.arguments.selection.has_field(name)).collect())
}

fn load(input: &Path, name: &str, plan: &Plan<'_>) -> Result<Vec<Field>> {
    let mut reader = open(input)?;
    let mut decoder = Decoder::remembering();
    let mut chosen = plan.arguments.selection.steps_of(reader.as_ref());
    if !plan.arguments.layout.iter().any(|layout| layout.is_series()) {
        chosen = chosen.split_off(chosen.len().saturating_sub(1));
    }
    chosen.into_iter().map(|i| Ok(decoder.read_field(reader.as_mut(), i, name, None)?)).collect()
}

/// The whole blocks of a field in the order of an octree's leaves, along a Morton curve.
pub fn blocks<T: Copy>(values: &[T], [nx, ny, nz]: [usize; 3]) -> Vec<T> {
    let grid = [nx / 8, ny / 8, nz / 8];
    let interleaved = |n: usize| (0..20).map(|bit| (n >> bit & 1) << (3 * bit)).sum::<usize>();
    let mut blocks: Vec<_> = (0..grid.iter().product())
        .map(|i: usize| [i % grid[0], i / grid[0] % grid[1], i / (grid[0] * grid[1])])
        .collect();
    blocks.sort_by_key(|b| interleaved(b[0]) | interleaved(b[1]) << 1 | interleaved(b[2]) << 2);
    let mut out = Vec::with_capacity(values.len());
    for [bx, by, bz] in blocks {
        for line in 0..64 {
            let (y, z) = (by * 8 + line % 8, bz * 8 + line / 8);
            let first = (z * ny + y) * nx + bx * 8;
            out.extend_from_slice(&values[first..first + 8]);
        }
    }
    out
}
