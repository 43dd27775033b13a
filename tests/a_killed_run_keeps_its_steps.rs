//! A job that is killed at any moment leaves a file in which every step that ended is whole, and with which another can go on.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use swae_codec::Field;
use swae_store::{Decoder, open};
use swae_tests::{compile, mpirun, run};

/// What the program puts for field K.
fn truth(step: usize, [z, y, x]: [usize; 3]) -> f64 {
    1e-3 * ((y * 24 + x + 1) * (z + 1) % 1000) as f64 + step as f64
}

fn kill_at_random(store: &str) {
    const TIMES: usize = 50;
    let dir = tempfile::tempdir().unwrap();
    // Ranks are killed by this name.
    let name = format!("steps-{store}");
    let program = compile(dir.path(), "steps.c", "-O2", &name);
    let mut steps = 0;
    for time in 0..TIMES {
        let path = dir.path().join(format!("{time}.{store}"));
        let log = dir.path().join("log");
        let mut job = Command::new("mpirun")
            .args(["-n", "2", "--oversubscribe"])
            .arg(&program)
            .arg(&path)
            .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
            .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
            .stdout(File::create(&log).unwrap())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(300 + fastrand::u64(0..600)));
        // Some starts are slower: there is nothing to lose before the first step.
        while std::fs::metadata(&log).unwrap().len() == 0 {
            assert!(job.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(fastrand::u64(20..120)));
        }
        // Until none is left, should one have started late.
        while job.try_wait().unwrap().is_none() {
            run(dir.path(), "pkill", &["-9", "-x", &name]);
            std::thread::sleep(Duration::from_millis(20));
        }
        assert!(!job.wait().unwrap().success());
        let said = std::fs::read_to_string(&log).unwrap();
        // The last line may be cut short.
        let ended = said.matches('\n').count();
        steps += check(&path, ended);
        // A restart on other ranks, from a few steps before the end.
        let first = ended - ended.min(3);
        let range = [first, first + 5].map(|n| n.to_string());
        let arguments = [&path.display().to_string(), &range[0], &range[1], "append = true"];
        mpirun(dir.path(), 1 + time % 3, &program, &arguments).expect_success();
        assert_eq!(check(&path, first + 5), first + 5);
    }
    println!("{steps} steps of {TIMES} killed runs");
}

/// Whether the first `ended` steps are there and right, and any that is there besides too.
fn check(path: &Path, ended: usize) -> usize {
    let mut reader = open(path).unwrap_or_else(|e| panic!("{e}"));
    let found = reader.steps().len();
    assert!(found >= ended, "{}: {ended} steps had ended, {found} are there", path.display());
    let mut decoder = Decoder::remembering();
    for index in 0..found {
        assert_eq!(reader.steps()[index].fields.len(), 3, "step {index} is whole");
        let field = decoder.read_field(reader.as_mut(), index, "K", None);
        let Field::F64(values) = field.unwrap_or_else(|e| panic!("{}, step {index}: {e}", path.display()))
        else {
            panic!("doubles were put")
        };
        for ((z, y, x), v) in values.indexed_iter() {
            assert!((v - truth(index, [z, y, x])).abs() <= 1e-3, "step {index}, {z} {y} {x}");
        }
    }
    found
}

#[test]
fn in_hdf5() {
    kill_at_random("h5");
}

#[test]
fn in_bp5() {
    kill_at_random("bp");
}
