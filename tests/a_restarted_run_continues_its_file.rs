//! A restarted run continues its file: earlier steps stay, later ones are replaced.
//! It may have another number of ranks, and start at any step.

use std::path::Path;
use swae_store::open;
use swae_tests::{Said, compile, mpirun, swae};

fn steps(dir: &Path, ranks: usize, file: &str, range: [i64; 2], settings: &str) -> Said {
    let range = range.map(|n| n.to_string());
    mpirun(dir, ranks, &dir.join("steps"), &[file, &range[0], &range[1], settings])
}

/// The number of each step of a file, and that of the first step of the run that wrote it.
fn runs(path: &Path) -> Vec<(i64, i64)> {
    let reader = open(path).unwrap_or_else(|e| panic!("{e}"));
    reader.steps().iter().map(|s| (s.step, (s.time - 0.5 * s.step as f64) as i64)).collect()
}

#[test]
fn on_any_number_of_ranks_and_wherever_it_starts() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    compile(dir, "steps.c", "", "steps");
    for store in ["h5", "bp"] {
        let file = format!("a.{store}");
        // No file to continue is no error.
        steps(dir, 2, &file, [0, 6], "append = true").expect_success();
        let first: Vec<_> = (0..6).map(|n| (n, 0)).collect();
        assert_eq!(runs(&dir.join(&file)), first, "{store}");
        // A run that ends before its first step changes nothing.
        steps(dir, 2, &file, [4, 4], "append = true").expect_success();
        assert_eq!(runs(&dir.join(&file)), first, "{store}");
        // From an earlier time, in the background, on other ranks; then after the last step; then
        // from the first.
        for (ranks, range, kept) in [(3, [4, 8], 4), (1, [8, 9], 8), (4, [10, 12], 9), (2, [0, 2], 0)] {
            let before = runs(&dir.join(&file));
            let mode = ["off", "encode", "write"][ranks % 3];
            let settings = format!("append = true; asynchronous = {mode}");
            steps(dir, ranks, &file, range, &settings).expect_success();
            let expected: Vec<_> =
                before[..kept].iter().copied().chain((range[0]..range[1]).map(|n| (n, range[0]))).collect();
            assert_eq!(runs(&dir.join(&file)), expected, "{store} from step {}", range[0]);
        }
        // The first step depends on nothing that is gone.
        swae(dir, &["decompress", &file, "-o", &format!("{store}.npy")]).expect_success();
    }
}

#[test]
fn a_file_that_cannot_be_continued_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    compile(dir, "steps.c", "", "steps");
    std::fs::write(dir.join("text.h5"), "no HDF5").unwrap();
    let said = steps(dir, 2, "text.h5", [0, 2], "append = true");
    assert!(!said.success && said.err.contains("text.h5"), "{}", said.err);
    assert_eq!(std::fs::read(dir.join("text.h5")).unwrap(), b"no HDF5");
    for file in ["a.h5", "a.bp"] {
        steps(dir, 2, file, [0, 3], "").expect_success();
        // The same fields, encoded otherwise.
        let said = steps(dir, 2, file, [3, 5], "append = true; bound = 1e-2");
        assert!(!said.success && said.err.contains("'chi': it was float64 [24, 24, 24]"), "{}", said.err);
        assert!(said.err.contains("(abs 1e-3) in an earlier step"), "{}", said.err);
        assert_eq!(runs(&dir.join(file)), [(0, 0), (1, 0), (2, 0)]);
    }
}
