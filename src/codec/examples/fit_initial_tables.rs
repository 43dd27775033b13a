//! Fits the frequencies that every tile begins with: `fit_initial_tables OUT FIELD.STEP.npy…`
//!
//! Files of one field, float64, are taken in the order of their names as the steps of a series;
//! each is also coded alone, and cut into boxes of 8³ along a Morton curve, all at five bounds.

use ndarray::Array3;
use ndarray_npy::read_npy;
use std::collections::BTreeMap;
use swae_codec::encode::Bounded;
use swae_codec::history::History;
use swae_codec::training::TableFit;
use swae_codec::{Bound, FieldView};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().ok_or("usage: fit_initial_tables OUT FIELD.STEP.npy…")?;
    let mut series: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in arguments {
        let name = path.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default();
        series.entry(name.into()).or_default().push(path);
    }
    let fit = TableFit::default();
    for paths in series.values_mut() {
        paths.sort();
        let steps = paths.iter().map(read_npy).collect::<Result<Vec<Array3<f64>>, _>>()?;
        for bound in [1e-2, 1e-3, 1e-4, 1e-5, 1e-6].map(Bound::Relative) {
            let settings = Bounded::new(bound);
            let mut history = History::new(u32::MAX);
            for step in &steps {
                fit.add(&[FieldView::of_array(step)?], &settings, Some(&mut history))?;
            }
            let Some(last) = steps.last() else { continue };
            let whole = FieldView::of_array(last)?;
            let grid = whole.count().map(|n| n / 8);
            let mut at: Vec<_> = (0..grid.iter().product())
                .map(|i: usize| [i % grid[0], i / grid[0] % grid[1], i / (grid[0] * grid[1])])
                .collect();
            let interleaved = |n: usize| (0..20).map(|bit| (n >> bit & 1) << (3 * bit)).sum::<usize>();
            at.sort_by_key(|b| interleaved(b[0]) | interleaved(b[1]) << 1 | interleaved(b[2]) << 2);
            let boxes: Vec<_> = at.iter().map(|b| whole.part(b.map(|n| 8 * n), [8; 3])).collect();
            fit.add(&boxes, &Bounded { range: None, ..settings }, None)?;
        }
    }
    std::fs::write(out, fit.table())?;
    Ok(())
}
