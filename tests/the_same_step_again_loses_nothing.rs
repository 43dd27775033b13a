//! Codes that end their last step again (AthenaK at its end, AMReX where a plot and a checkpoint fall
//! together) lose nothing by it: the step is replaced, left out or refused, as `repeat` says.

use swae_tests::{compile, mpirun, swae};

/// The fields of the program that are not like the others.
const FIELDS: &str = "fields.v.mode = raw; fields.w.every = 2";

#[test]
fn in_either_store_and_inside_or_in_the_background() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "repeated_steps.c", "-fsanitize=undefined", "repeated");
    for store in ["a.h5", "a.bp"] {
        for (repeat, counts) in [("replace", "last"), ("skip", "first"), ("error", "first")] {
            for how in [
                "",
                "; inter_field = true",
                "; asynchronous = encode",
                "; asynchronous = encode; memory = 150e3",
                "; asynchronous = write",
                "; asynchronous = write; inter_field = true",
                "; storage = datasets",
            ] {
                if store == "a.bp" && how.contains("datasets") {
                    continue;
                }
                let settings = format!("repeat = {repeat}{how}; {FIELDS}");
                let said = mpirun(dir.path(), 2, &program, &[store, &settings, counts]);
                assert!(said.success, "{store}, {settings}: {}{}", said.out, said.err);
                swae(dir.path(), &["verify", store]).expect_success();
            }
        }
    }
    // What is said of nothing is that it is replaced.
    mpirun(dir.path(), 2, &program, &["b.h5", FIELDS, "last"]).expect_success();
}
