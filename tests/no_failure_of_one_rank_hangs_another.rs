//! Where a write of one rank fails, no other rank waits for it for ever: all are told in the same
//! step, and the steps that ended without an error are whole. tests/c/fail_writes.c lets a sample of
//! the writes of every rank fail, one in each run.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use swae_codec::Field;
use swae_store::{Decoder, open};
use swae_tests::{Said, Tried, compile, compile_preloaded, times, tried};

const LIBRARY: &str = "fail_writes.so";
const RANKS: usize = 3;

/// The values that the program puts for a field.
fn truth(field: usize, step: i64, [z, y, x]: [usize; 3]) -> f64 {
    1e-3 * ((y * 24 + x + field) * (z + 1) % 1000) as f64 + step as f64
}

/// Runs the program with these variables for the preloaded library; a run that hangs is ended after
/// a minute, and is then no success.
fn run(dir: &Path, file: &str, variables: &[(&str, String)]) -> Said {
    let path = dir.join(file).display().to_string();
    let mut command = Command::new("mpirun");
    command.args(["-n", &RANKS.to_string(), "--oversubscribe", "--timeout", "60", "env"]);
    command.arg(format!("LD_PRELOAD={}", dir.join(LIBRARY).display())).arg(format!("FAIL_OF={path}"));
    command.args(variables.iter().map(|(name, value)| format!("{name}={value}")));
    command.arg(dir.join("failing")).arg(&path).current_dir(dir);
    let root = ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"];
    command.envs(root.map(|name| (name, "1"))).output().expect("mpirun").into()
}

/// What the ranks were told of each step, by step; the same on all of them.
fn statuses(said: &Said) -> BTreeMap<String, i32> {
    let mut all = BTreeMap::<String, Vec<i32>>::new();
    for line in said.out.lines() {
        let words: Vec<_> = line.splitn(4, ' ').collect();
        let [_, step, status, ..] = words[..] else { panic!("{line}") };
        let status = status.parse().unwrap_or_else(|_| panic!("{line:?} in {}", said.out));
        all.entry(step.into()).or_default().push(status);
    }
    let same = |(step, statuses): (String, Vec<i32>)| {
        assert!(
            statuses.len() == RANKS && statuses.iter().all(|s| *s == statuses[0]),
            "{step}: {}",
            said.out
        );
        (step, statuses[0])
    };
    all.into_iter().map(same).collect()
}

/// Checks that the steps that ended without an error are in the file, and that all of it is right.
fn check(path: &Path, statuses: &BTreeMap<String, i32>) {
    let whole = (0..4i64).filter(|step| statuses.get(&step.to_string()) == Some(&0)).collect::<Vec<_>>();
    if whole.is_empty() {
        return;
    }
    let mut reader = open(path).unwrap_or_else(|e| panic!("{whole:?} had ended: {e}"));
    let steps = reader.steps().iter().map(|s| s.step).collect::<Vec<_>>();
    assert!(whole.iter().all(|step| steps.contains(step)), "{whole:?} had ended, {steps:?} are there");
    let mut decoder = Decoder::remembering();
    for (index, step) in steps.into_iter().enumerate() {
        for (number, name) in ["chi", "K"].into_iter().enumerate() {
            let field = decoder.read_field(reader.as_mut(), index, name, None);
            let Field::F64(values) = field.unwrap_or_else(|e| panic!("step {step}: {e}")) else {
                panic!("doubles were put")
            };
            for ((z, y, x), v) in values.indexed_iter() {
                assert!((v - truth(number, step, [z, y, x])).abs() <= 1e-3, "step {step}, {z} {y} {x}");
            }
        }
    }
}

/// Lets a call of one rank fail, and as many from there on as `how_often` says, at up to `most` of the
/// calls of each rank, all with `TRUST=long`. `calls` are those that count, `setting` a variable of the program.
fn every_write_fails(
    file: &str,
    calls: &str,
    setting: (&'static str, &str),
    most: usize,
    how_often: &[&str],
) {
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), "failing.c", "-O2", "failing");
    compile_preloaded(dir.path(), "fail_writes.c", LIBRARY);
    let path = dir.path().join(file);
    let remove = || _ = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
    let log = dir.path().join("log");
    let variables = |pairs: &[(&'static str, String)]| {
        [&[("FAIL_CALLS", calls.to_owned()), (setting.0, setting.1.to_owned())], pairs].concat()
    };
    // What is written at all.
    let logged = ("FAIL_LOG", log.display().to_string());
    let said = run(dir.path(), file, &variables(&[("FAIL_AT", "0".into()), logged]));
    assert!(said.success && statuses(&said).values().all(|s| *s == 0), "{}{}", said.out, said.err);
    check(&path, &statuses(&said));
    let calls_of = |rank: usize| {
        let text = fs::read_to_string(&log).unwrap();
        text.lines().filter(|line| line.starts_with(&format!("{rank} "))).count()
    };
    let most = times(most, usize::MAX);
    let (mut runs, mut errors) = (0, 0);
    for rank in 0..RANKS {
        // HDF5 does not survive that its mark of a closed file, the last write, fails.
        let count = calls_of(rank) - usize::from(rank == 0 && file.ends_with(".h5"));
        for at in (1..=count).step_by(count.div_ceil(most).max(1)) {
            for &how_many in how_often {
                remove();
                let pairs = [
                    ("FAIL_RANK", rank.to_string()),
                    ("FAIL_AT", at.to_string()),
                    ("FAIL_COUNT", how_many.to_owned()),
                ];
                let said = run(dir.path(), file, &variables(&pairs));
                assert!(
                    said.success,
                    "rank {rank}, call {at} of {count}, {how_many}: {}{}",
                    said.out, said.err
                );
                let statuses = statuses(&said);
                errors += usize::from(statuses.values().any(|s| *s != 0));
                println!("rank {rank}, call {at} of {count}, {how_many} times: {statuses:?}");
                check(&path, &statuses);
                runs += 1;
            }
        }
    }
    println!("{file}: {runs} runs in which a write failed, {errors} in which the program was told");
    tried(Tried::FaultsInjected, runs);
    assert!(errors > runs / 2, "{file}: {errors} of {runs}");
}

const ONCE: &str = "1";
const FOR_GOOD: &str = "1000000";
/// A setting that changes nothing.
const NONE: (&str, &str) = ("SWAE_THREADS", "1");

#[test]
fn in_hdf5() {
    every_write_fails("a.h5", "wst", NONE, 8, &[ONCE]);
}

#[test]
fn in_hdf5_for_good() {
    every_write_fails("a.h5", "wst", NONE, 8, &[FOR_GOOD]);
}

#[test]
fn in_bp5_where_one_rank_writes_for_all() {
    every_write_fails("a.bp", "w", NONE, 8, &[ONCE, FOR_GOOD]);
}

#[test]
fn in_bp5_where_ranks_write_for_themselves() {
    every_write_fails("a.bp", "w", ("SWAE_BP5_RANKS_PER_FILE", "1"), 6, &[ONCE, FOR_GOOD]);
}
