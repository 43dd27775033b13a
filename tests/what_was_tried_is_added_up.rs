//! `make trust` adds up what tests say, every count of them, and what libFuzzer says.

use std::path::Path;
use swae_tests::{Said, Tried, run, tree};

fn add_up(dir: &Path, logs: &[&str]) -> Said {
    let script = tree("setup/trust.py").canonicalize().unwrap().display().to_string();
    let names: Vec<String> = (0..logs.len()).map(|n| format!("{n}.log")).collect();
    for (name, log) in names.iter().zip(logs) {
        std::fs::write(dir.join(name), log).unwrap();
    }
    let arguments: Vec<&str> = std::iter::once(&script).chain(&names).map(String::as_str).collect();
    run(dir, "python3", &arguments)
}

#[test]
fn of_several_tests_and_fuzz_targets() {
    let dir = tempfile::tempdir().unwrap();
    // What stands before a line is of another test that runs at the same time.
    let tests: String =
        Tried::ALL.iter().enumerate().map(|(n, what)| format!("test a ... {}\n", what.line(2 * n))).collect();
    let more = format!("{}\n{}\n", Tried::ValuesChecked.line(1000), Tried::ValuesChecked.line(234_567));
    let fuzzed = "#12\tDONE\nDone 1200 runs in 3 second(s)\n";
    let said = add_up(dir.path(), &[&tests, &more, fuzzed, fuzzed]);
    let counts: Vec<&str> = said.out.lines().skip(2).filter_map(|row| row.split(" | ").nth(1)).collect();
    assert_eq!(counts, ["235,567 |", "2 |", "4 |", "6 |", "8 |", "10 |", "12 |", "2,400 |"], "{}", said.err);
    // One count is of values that miss their bound.
    assert!(!said.success && said.err.contains("a value missed its bound"), "{}", said.err);
}

#[test]
fn and_a_log_that_says_nothing_or_too_much_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let said = add_up(dir.path(), &["test a ... ok\n"]);
    assert!(!said.success && said.err.contains("nothing was tried"), "{}", said.err);
    let said = add_up(dir.path(), &["trust: wishes 3\n"]);
    assert!(!said.success && said.err.contains("'wishes' is none of"), "{}", said.err);
    // So is one in which a test has fallen silent.
    let said = add_up(dir.path(), &[&Tried::KillsSurvived.line(3)]);
    assert!(!said.success && said.err.contains("nothing was tried of: values_checked"), "{}", said.err);
    let others = Tried::ALL.iter().filter(|what| **what != Tried::BoundViolations);
    let all: String = others.map(|what| what.line(3) + "\n").collect();
    add_up(dir.path(), &[&all, "Done 3 runs in 1 second(s)\n"]).expect_success();
}
