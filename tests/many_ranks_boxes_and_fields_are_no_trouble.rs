//! 64 ranks on few cores, 10⁵ boxes, 5000 fields and more than 2³¹ values are written and read as
//! few of each are; the time of a step grows with its boxes and no faster.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use swae_codec::Field;
use swae_store::{Decoder, open};
use swae_tests::steps::check;
use swae_tests::{Tried, compile, decode, mpirun, run, tried};

/// The values of tests/c/sizes.c.
fn truth([x, y, z]: [usize; 3]) -> f64 {
    1e-2 * ((3 * x + 5 * y + 7 * z) % 1000) as f64
}

/// Counts the values that miss the bound of 1e-3; `above` is added to their z.
fn compare(field: &Field, above: usize) {
    let Field::F64(values) = field else { panic!("doubles were put") };
    let kept = values.indexed_iter().filter(|&((z, y, x), v)| (v - truth([x, y, z + above])).abs() <= 1e-3);
    let violations = values.len() - kept.count();
    tried(Tried::ValuesChecked, values.len());
    tried(Tried::BoundViolations, violations);
    assert_eq!(violations, 0);
}

/// One test at a time: they measure times, and need memory.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the program and gives the seconds that its step took.
fn step(dir: &Path, ranks: usize, what: &str, file: &str, size: usize) -> f64 {
    let said = mpirun(dir, ranks, &dir.join("sizes"), &[what, file, &size.to_string()]).expect_success();
    tried(Tried::InputsTried, 1);
    said.trim().parse().unwrap_or_else(|_| panic!("{said}"))
}

#[test]
fn sixty_four_ranks_share_few_cores() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "steps.c", "-O2", "steps");
    for file in ["a.h5", "a.bp"] {
        mpirun(dir.path(), 64, &program, &[file, "0", "2"]).expect_success();
        assert_eq!(check(&dir.path().join(file), 2), 2);
        tried(Tried::InputsTried, 64);
    }
}

#[test]
fn a_hundred_thousand_boxes_take_no_more_time_each_than_a_tenth_of_them() {
    let _alone = alone();
    const EDGES: [usize; 2] = [22, 47];
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), "sizes.c", "-O2", "sizes");
    for (ranks, file) in [(1, "one.h5"), (4, "four.bp")] {
        // The best of three: other programs may run beside.
        let best = |edge| {
            let times = (0..3).map(|_| step(dir.path(), ranks, "boxes", file, edge));
            times.fold(f64::INFINITY, f64::min) / edge.pow(3) as f64
        };
        let each = EDGES.map(best);
        println!("{file}: {:.1} and {:.1} µs a box", 1e6 * each[0], 1e6 * each[1]);
        assert!(each[1] < 4.0 * each[0], "{file}: {each:?} s");
        let steps = decode(&dir.path().join(file));
        let [(0, _, fields)] = &steps[..] else { panic!("one step") };
        compare(&fields[0].1, 0);
    }
}

#[test]
fn thousands_of_fields_fit_into_a_step() {
    let _alone = alone();
    const FIELDS: usize = 5000;
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), "sizes.c", "-O2", "sizes");
    for (ranks, file) in [(1, "one.h5"), (2, "two.bp")] {
        let seconds = step(dir.path(), ranks, "fields", file, FIELDS);
        println!("{file}: {FIELDS} fields in {seconds:.1} s");
        let mut reader = open(&dir.path().join(file)).unwrap();
        assert_eq!(reader.steps()[0].fields.len(), FIELDS);
        let mut decoder = Decoder::remembering();
        for field in [0, 1, 1234, FIELDS - 1] {
            let name = format!("field{field:05}");
            compare(&decoder.read_field(reader.as_mut(), 0, &name, None).unwrap(), field);
        }
    }
}

#[test]
fn values_may_be_more_than_two_to_the_31_apart() {
    let _alone = alone();
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), "sizes.c", "-O2", "sizes");
    step(dir.path(), 1, "strides", "wide.h5", 8);
    tried(Tried::ValuesChecked, 8 * 8 * 8);
    // What the large field does, with a smaller one.
    step(dir.path(), 1, "values", "small.h5", 100);
}

#[test]
#[ignore = "it takes minutes and 14 GB; `make trust TRUST=long` runs it"]
fn a_field_may_have_more_than_two_to_the_31_values() {
    let _alone = alone();
    const EDGE: usize = 1300;
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), "sizes.c", "-O2", "sizes");
    // Without mpirun, whose limit is minutes.
    let edge = EDGE.to_string();
    let seconds = run(dir.path(), dir.path().join("sizes"), &["values", "huge.h5", &edge]).expect_success();
    println!("{EDGE}³ values in {} s", seconds.trim());
    tried(Tried::ValuesChecked, 2 * EDGE * EDGE);
}
