//! A file that is cut short or overwritten while it is open gives errors or the values that it had,
//! and ends no program.

use std::path::PathBuf;
use swae_tests::{Tried, compile, mpirun, random, run, times, tried};

/// The file, or the files of the folder.
fn parts(path: &std::path::Path) -> Vec<PathBuf> {
    if path.is_file() {
        return vec![path.into()];
    }
    let mut parts: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    parts.sort();
    parts
}

fn change(store: &str) {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "steps.c", "-O2", "steps");
    let reread = compile(dir.path(), "reread.c", "-O2", "reread");
    let file = format!("a.{store}");
    mpirun(dir.path(), 2, &program, &[&file, "0", "3"]).expect_success();
    let mut random = random(&format!("changes of {store}"));
    let (mut all, mut failures) = (0, 0);
    for _ in 0..times(40, 2000) {
        let parts = parts(&dir.path().join(&file));
        let part = &parts[random.usize(..parts.len())];
        let before = std::fs::read(part).unwrap();
        let size = if random.bool() { random.usize(..=before.len()).to_string() } else { "-1".into() };
        let [at, value] = [random.usize(..before.len().max(1)), random.usize(..256)].map(|n| n.to_string());
        let said = run(dir.path(), &reread, &[&file, &part.display().to_string(), &size, &at, &value]);
        std::fs::write(part, before).unwrap();
        assert!(said.success, "{}, size {size}, byte {at} = {value}: {}", part.display(), said.err);
        let failed: usize = said.out.trim().split(' ').nth(1).unwrap().parse().unwrap();
        (all, failures) = (all + 1, failures + usize::from(failed > 0));
    }
    println!("{store}: {all} changes, {failures} of them errors");
    tried(Tried::FaultsInjected, all);
    assert!(failures > 0, "no change was noticed: nothing was tested");
}

#[test]
fn in_hdf5() {
    change("h5");
}

#[test]
fn in_bp5() {
    change("bp");
}
