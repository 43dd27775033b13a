//! What tests/c/steps.c writes, checked.

use crate::{Tried, tried};
use std::path::Path;
use swae_codec::Field;
use swae_store::{Decoder, open};

/// The error that the program allows.
const BOUND: f64 = 1e-3;

/// The values that the program puts for field K.
fn truth(step: usize, [z, y, x]: [usize; 3]) -> f64 {
    1e-3 * ((y * 24 + x + 1) * (z + 1) % 1000) as f64 + step as f64
}

/// Checks that the first `ended` steps are in the file, and that all steps of the file are right;
/// returns how many they are.
///
/// # Panics
/// Where they are not.
pub fn check(path: &Path, ended: usize) -> usize {
    let mut reader = open(path).unwrap_or_else(|e| panic!("{e}"));
    let found = reader.steps().len();
    assert!(found >= ended, "{}: {ended} steps had ended, {found} are there", path.display());
    let mut decoder = Decoder::remembering();
    let (mut checked, mut violations) = (0, 0);
    for index in 0..found {
        assert_eq!(reader.steps()[index].fields.len(), 3, "step {index} is whole");
        let field = decoder.read_field(reader.as_mut(), index, "K", None);
        let Field::F64(values) = field.unwrap_or_else(|e| panic!("{}, step {index}: {e}", path.display()))
        else {
            panic!("doubles were put")
        };
        checked += values.len();
        // Nothing that is no number keeps it.
        let keeps =
            |((z, y, x), v): ((usize, usize, usize), &f64)| (v - truth(index, [z, y, x])).abs() <= BOUND;
        violations += values.len() - values.indexed_iter().filter(|&value| keeps(value)).count();
    }
    tried(Tried::ValuesChecked, checked);
    tried(Tried::BoundViolations, violations);
    assert_eq!(violations, 0, "{}", path.display());
    found
}
