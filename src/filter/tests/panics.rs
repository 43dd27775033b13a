//! A panic inside a call is not printed; one of the program is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use swae_filter::panics::caught;

/// Set in the process that panics.
const HOST: &str = "SWAE_TEST_PANICKING_HOST";

#[test]
fn a_panic_of_ours_prints_nothing_and_one_of_the_program_goes_to_its_own_hook() {
    if std::env::var_os(HOST).is_some() {
        return host();
    }
    let test = "a_panic_of_ours_prints_nothing_and_one_of_the_program_goes_to_its_own_hook";
    let mut program = Command::new(std::env::current_exe().unwrap());
    let output = program.args([test, "--exact", "--nocapture"]).env(HOST, "1").output().unwrap();
    let printed = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("the program's own"), "{printed}");
    assert!(!printed.contains("ours") && !printed.contains("backtrace"), "{printed}");
}

/// A program in Rust, with a hook, that calls us.
fn host() {
    std::panic::set_hook(Box::new(|info| eprintln!("hooked: {info}")));
    let error = caught(|| -> () { panic!("one of ours") }).unwrap_err();
    assert!(error.starts_with("internal error, please report it: one of ours"), "{error}");
    assert!(error.contains("tests/panics.rs:"), "{error}");
    let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
    let error = caught(|| pool.install(|| -> () { panic!("ours, on a worker") })).unwrap_err();
    assert!(error.contains("ours, on a worker (") && error.contains("tests/panics.rs:"), "{error}");
    let nested = caught(|| caught(|| -> () { panic!("ours, inside") }));
    assert!(nested.unwrap().unwrap_err().contains("ours, inside"));
    assert_eq!(caught(|| 3), Ok(3));
    let own = || -> () { panic!("the program's own") };
    assert!(catch_unwind(own).is_err());
    assert!(catch_unwind(AssertUnwindSafe(|| pool.install(own))).is_err());
}
