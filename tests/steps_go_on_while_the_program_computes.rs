//! Steps in the background: the program goes on, the file is the same, and every error is reported.
//! tests/c/background.c stalls, breaks and fills the disk.

use std::path::Path;
use swae_tests::{Tried, bits, collision, compile, decode, example, mpirun, run, tried};

const MODES: [&str; 3] = ["off", "encode", "write"];

fn build(dir: &Path) {
    // The library's writes go through the program's functions, which can stall.
    compile(dir, "background.c", "-rdynamic -ldl -lpthread", "background");
}

fn background(dir: &Path, ranks: usize, file: &str, settings: &str, scenario: &str) -> String {
    mpirun(dir, ranks, &dir.join("background"), &[file, settings, scenario]).expect_success()
}

/// All values of a file, as bits.
fn all_bits(path: &Path) -> Vec<(i64, Vec<u64>)> {
    let steps = decode(path);
    steps.iter().map(|(n, _, fields)| (*n, fields.iter().flat_map(|(_, f)| bits(f)).collect())).collect()
}

#[test]
fn the_file_is_the_same_wherever_it_is_encoded_and_written() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    build(dir);
    for store in ["h5", "bp"] {
        for ranks in [1, 2, 4] {
            let path = |mode: &str| format!("output.{mode}.{ranks}.{store}");
            for mode in MODES {
                // Bounds that depend on all ranks for one of the fields.
                let settings = format!("asynchronous = {mode}; fields.K.mode = rel");
                let said = background(dir, ranks, &path(mode), &settings, "same");
                assert_eq!(said, "close: 0\n");
            }
            let expected = all_bits(&dir.join(path("off")));
            assert_eq!(expected.len(), 6);
            for mode in ["encode", "write"] {
                assert!(all_bits(&dir.join(path(mode))) == expected, "{mode} on {ranks} ranks, {store}");
            }
            if store == "h5" {
                let read = |mode| std::fs::read(dir.join(path(mode))).unwrap();
                assert!(read("off") == read("encode") && read("off") == read("write"), "{ranks} ranks");
            }
        }
    }
}

/// HDF5 admits one thread at a time, which waits for the other ranks: all ranks must enter in the
/// same order.
#[test]
fn several_outputs_at_once_do_not_deadlock() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    for ranks in [2, 4] {
        for mode in MODES {
            let outputs = ["a.h5 raw 1", "b.h5 rel:1e-4 1", "c.bp abs:1e-4 1", "d.h5 latent 2"];
            let name = |output: &str| format!("{mode}.{ranks}.{output}");
            let mut arguments = vec![collision(), format!("swae=asynchronous = {mode}"), "end_time=1".into()];
            arguments.extend(outputs.map(|output| format!("output={}", name(output))));
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            for _ in 0..3 {
                mpirun(dir, ranks, &example("bssn/bssn"), &arguments).expect_success();
            }
            for file in ["a.h5", "b.h5", "d.h5"] {
                let read = |mode: &str| std::fs::read(dir.join(format!("{mode}.{ranks}.{file}"))).unwrap();
                assert!(read(mode) == read("off"), "{file}, {mode} on {ranks} ranks");
            }
        }
    }
}

/// Without memory for copies everything is encoded inside the calls.
#[test]
fn no_memory_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    build(dir);
    background(dir, 2, "output.off.h5", "asynchronous = off; fields.K.mode = rel", "same");
    for mode in ["encode", "write"] {
        // Enough for one of two fields, and for none.
        for memory in [60_000, 0] {
            let settings = format!("asynchronous = {mode}; memory = {memory}; fields.K.mode = rel");
            background(dir, 2, "output.h5", &settings, "same");
            let read = |file| std::fs::read(dir.join(file)).unwrap();
            assert!(read("output.h5") == read("output.off.h5"), "{mode} with {memory} bytes");
        }
    }
}

#[test]
fn a_step_ends_on_a_disk_that_has_stalled() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    build(dir);
    for store in ["h5", "bp"] {
        for mode in ["encode", "write"] {
            let file = format!("output.{mode}.{store}");
            let said = background(dir, 2, &file, &format!("asynchronous = {mode}"), "stalled");
            let writing = if mode == "write" { "a write waits\n" } else { "" };
            assert_eq!(said, format!("step 0 has ended on a stalled disk\n{writing}close: 0\n"), "{file}");
            assert_eq!(decode(&dir.join(&file)).len(), 6);
        }
    }
}

#[test]
fn steps_wait_where_the_memory_for_copies_ends() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    build(dir);
    // Two steps of two fields of 24³ doubles on two ranks.
    let settings = format!("asynchronous = write; memory = {}", 2 * 2 * 24 * 24 * 24 * 8 / 2);
    for file in ["output.h5", "output.bp"] {
        let said = background(dir, 2, file, &settings, "ceiling");
        let expected =
            "two steps have ended on a stalled disk\nthe third step has ended on a working disk\nclose: 0\n";
        assert_eq!(said, expected, "{file}");
        assert_eq!(decode(&dir.join(file)).len(), 6);
    }
}

/// A disk that fails one rank: the others do not deadlock, the step is left out, and the run goes
/// on.
#[test]
fn a_write_that_fails_on_one_rank_loses_the_step_on_all() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    build(dir);
    for ranks in [1, 2, 4] {
        for scenario in ["breaks", "stumbles", "quota"] {
            let said = background(dir, ranks, "output.h5", "mode = raw", scenario);
            let reported: Vec<_> = said.lines().collect();
            let is_reported =
                matches!(reported[..], [end, "close: 0"] if end.starts_with("end 2: output.h5: "));
            assert!(is_reported, "{ranks} ranks: {said}");
            let there: Vec<i64> = all_bits(&dir.join("output.h5")).into_iter().map(|(n, _)| n).collect();
            assert_eq!(there, [0, 1, 3, 4, 5], "{ranks} ranks, {scenario}");
            tried(Tried::FaultsInjected, 1);
        }
    }
}

/// A real disk, small and nearly full: steps that do not fit are left out and reported, and the run
/// goes on to its end.
#[test]
fn a_full_disk_loses_the_steps_that_do_not_fit_and_says_which() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    build(dir);
    for store in ["h5", "bp"] {
        for mode in MODES {
            let file = format!("output.{mode}.{store}");
            let script = format!(
                "mkdir -p small && mount -t tmpfs -o size=6m none small && head -c 4700k /dev/zero > small/ballast
                 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun -n 2 --oversubscribe --timeout 120 \
                     ./background small/{file} 'mode = raw; asynchronous = {mode}' fills small/ballast
                 cp -r small/{file} ."
            );
            let arguments = ["--user", "--map-root-user", "--mount", "bash", "-e", "-c", &script];
            let said = run(dir, "unshare", &arguments).expect_success();
            let there: Vec<i64> = all_bits(&dir.join(&file)).into_iter().map(|(n, _)| n).collect();
            let is_reported = |n: &i64| {
                let now = format!("end {n}: small/{file}: the step needs");
                said.contains(&now) || said.contains(&format!("step {n}: small/{file}: the step needs"))
            };
            let lost: Vec<i64> = (0..6).filter(is_reported).collect();
            let mut all = [there.clone(), lost.clone()].concat();
            all.sort_unstable();
            assert_eq!(
                all,
                [0, 1, 2, 3, 4, 5],
                "{file}: {there:?} are there, {lost:?} are reported as lost\n{said}"
            );
            assert!(there.contains(&0) && there.contains(&5), "{file}: {there:?}");
            tried(Tried::FaultsInjected, lost.len());
            // The writing thread may be late enough to find the space that is freed before the last
            // step.
            assert!(mode == "write" || !lost.is_empty(), "{file}: {there:?}");
        }
    }
}
