//! Learns the table of estimates that every tile starts from: `learn_priors OUT FIELD.STEP.npy…`
//!
//! Files of one field, float64, are taken in the order of their names as the steps of a series; each is also coded alone,
//! and cut into boxes of 8³, all at five bounds.

use ndarray::Array3;
use ndarray_npy::read_npy;
use std::collections::BTreeMap;
use swae_codec::bounded::priors::learning;
use swae_codec::{Bound, Bounded, FieldView, History, compress_bounded};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = arguments.next().ok_or("usage: learn_priors OUT FIELD.STEP.npy…")?;
    let mut series: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in arguments {
        let name = path.rsplit('/').next().unwrap_or_default().split('.').next().unwrap_or_default();
        series.entry(name.into()).or_default().push(path);
    }
    for paths in series.values_mut() {
        paths.sort();
        let steps = paths.iter().map(read_npy).collect::<Result<Vec<Array3<f64>>, _>>()?;
        for bound in [1e-2, 1e-3, 1e-4, 1e-5, 1e-6].map(Bound::Relative) {
            let settings = Bounded::new(bound);
            let mut history = History::new(u32::MAX);
            for step in &steps {
                compress_bounded(&[FieldView::of_array(step)?], &settings, Some(&mut history))?;
            }
            let Some(last) = steps.last() else { continue };
            let whole = FieldView::of_array(last)?;
            let [nx, ny, nz] = whole.count().map(|n| n / 8);
            let boxes: Vec<_> = (0..nx * ny * nz)
                .map(|i| whole.part([i % nx * 8, i / nx % ny * 8, i / (nx * ny) * 8], [8; 3]))
                .collect();
            compress_bounded(&boxes, &Bounded { range: None, ..settings }, None)?;
        }
    }
    std::fs::write(out, learning::table())?;
    Ok(())
}
