//! The library leaves the caller's process alone: it may fork, set its floating-point environment and
//! limit its memory, and nothing of the library stays behind in it. The C programs make the calls.

use std::path::Path;
use swae_tests::{compile, installed, mpirun, shell, swae};

/// Builds a program and runs it on one rank; what it printed.
fn ran(source: &str, arguments: &[&str]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), source, "-pthread", "program");
    let said = mpirun(dir.path(), 1, &program, arguments);
    assert!(said.success, "{}\n{}", said.out, said.err);
    said.out
}

#[test]
fn calls_work_in_forked_children_of_any_generation_and_within_calls_of_other_threads() {
    assert_eq!(ran("forked.c", &["a.h5"]).lines().last(), Some("every child ended well"));
}

#[test]
fn any_floating_point_environment_gives_the_same_bytes_and_is_given_back() {
    let out = ran("environment.c", &["a.h5"]);
    let checks = out.lines().last().and_then(|line| line.split(' ').next()?.parse::<usize>().ok());
    // 16 environments, 7 fields, 1 and 4 threads.
    assert!(checks.is_some_and(|n| n > 16 * 7 * 2 * 4), "{out}");
}

#[test]
fn the_hdf5_filter_works_in_any_floating_point_environment() {
    let dir = tempfile::tempdir().unwrap();
    let build = "mpicc -std=gnu99 -Wall -Wextra -Werror $SOURCE/tests/c/filtered_environment.c ${HDF5_DIR:+-I$HDF5_DIR/include \
                 -L$HDF5_DIR/lib -Wl,-rpath,$HDF5_DIR/lib} -lhdf5 -lm -o filtered";
    shell(dir.path(), build, &installed()).expect_success();
    let parameters = swae(Path::new("."), &["hdf5-filter", "--abs", "1e-4"]).expect_success();
    let repack = parameters.lines().find_map(|line| line.strip_prefix("h5repack")).unwrap();
    let numbers: Vec<&str> = repack.trim().split(',').skip(3).collect();
    let run = format!("HDF5_PLUGIN_PATH=$PREFIX/lib/swae/hdf5 ./filtered phi.h5 {}", numbers.join(" "));
    assert_eq!(shell(dir.path(), &run, &installed()).expect_success(), "0 wrong\n");
}

#[test]
fn signals_the_environment_open_files_and_threads_are_as_they_were() {
    // The program itself prints one line, the library nothing.
    assert_eq!(ran("untouched.c", &["a.h5"]), "everything is as it was\n");
}

#[test]
fn memory_that_is_not_to_be_had_is_a_status_and_the_library_works_afterwards() {
    let out = ran("scarce.c", &["a.h5", "1500000"]);
    println!("{out}");
    let counts: Vec<usize> = out.lines().last().unwrap().split(' ').filter_map(|w| w.parse().ok()).collect();
    let [succeeded, failed, wrong, ended] = counts[..] else { panic!("{out}") };
    assert!(succeeded > 50 && failed > 50 && wrong == 0 && ended == 0, "{out}");
}

#[test]
fn swae_log_sends_the_log_to_standard_error_and_nothing_else_is_printed() {
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), "plain_init.c", "", "program");
    let run = |environment: &str| {
        let run = "mpirun --allow-run-as-root -n 1 ./program a.h5";
        shell(dir.path(), &format!("{environment} {run}"), &installed())
    };
    let (silent, loud) = (run(""), run("SWAE_LOG=warning"));
    assert!(silent.success && silent.out.is_empty() && silent.err.is_empty(), "{}{}", silent.out, silent.err);
    let line =
        "swae: warn: MPI was initialised without MPI_THREAD_MULTIPLE: steps are encoded in the background";
    assert!(loud.success && loud.err.contains(line), "{}", loud.err);
    assert!(run("SWAE_LOG=error").err.is_empty());
}
