//! The number of collective operations of a step does not depend on the number of its fields and
//! boxes. tests/c/collectives.c counts them through MPI's profiling interface.

use std::path::Path;
use swae_tests::{compile, mpirun};

/// Collectives of the last of some steps, HDF5's and ADIOS2's own included.
fn collectives(dir: &Path, ranks: usize, file: &str, fields: &str, boxes: &str) -> u32 {
    let said = mpirun(dir, ranks, &dir.join("collectives"), &[file, fields, boxes]).expect_success();
    let last = said
        .lines()
        .last()
        .and_then(|line| line.strip_prefix("step 3: "))
        .unwrap_or_else(|| panic!("{said}"));
    last.parse().unwrap()
}

#[test]
fn in_both_stores() {
    let dir = tempfile::tempdir().unwrap();
    // The library calls the program's counting functions.
    compile(dir.path(), "collectives.c", "-rdynamic", "collectives");
    for (store, most) in [("a.h5", 12), ("a.bp", 10)] {
        for ranks in [2, 4] {
            let few = collectives(dir.path(), ranks, store, "1", "1");
            // 24 fields in 64 boxes on each rank.
            let many = collectives(dir.path(), ranks, store, "24", "8");
            assert_eq!(few, many, "{store} on {ranks} ranks");
            assert!((1..=most).contains(&few), "{store} on {ranks} ranks: {few} collectives a step");
        }
    }
}
