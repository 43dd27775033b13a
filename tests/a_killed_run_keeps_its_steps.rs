//! A job that is killed at any moment leaves a file in which every step that ended is whole, and with which another can go on.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use swae_codec::Field;
use swae_store::{Decoder, open};
use swae_tests::{compile, compile_preloaded, mpirun, run};

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
        restart(&path, &program, 1 + time % 3, ended);
    }
    println!("{steps} steps of {TIMES} killed runs");
}

/// Goes on from a few steps before the end.
fn restart(path: &Path, program: &Path, ranks: usize, ended: usize) {
    let first = ended - ended.min(3);
    let range = [first, first + 5].map(|n| n.to_string());
    let arguments = [&path.display().to_string(), &range[0], &range[1], "append = true"];
    mpirun(path.parent().unwrap(), ranks, program, &arguments).expect_success();
    assert_eq!(check(path, first + 5), first + 5);
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

/// What reached a file, and the ends of steps, in the order in which it happened.
struct Note {
    what: String,
    rank: u32,
    at: usize,
    bytes: Vec<u8>,
}

/// Runs the program under a library that notes what it writes.
fn record(dir: &Path, program: &Path, ranks: usize, steps: usize) -> Vec<Note> {
    let path = dir.join(format!("{ranks}.h5")).display().to_string();
    let notes = dir.join(format!("notes-{ranks}"));
    compile_preloaded(dir, "recorded.c", "recorded.so");
    let preloaded = format!("LD_PRELOAD={}", dir.join("recorded.so").display());
    let output = Command::new("mpirun")
        .args([
            "-n",
            &ranks.to_string(),
            "--oversubscribe",
            "-x",
            &preloaded,
            "-x",
            "RECORD_OF",
            "-x",
            "RECORD_IN",
        ])
        .arg(program)
        .args([&path, "0", &steps.to_string()])
        .envs([("RECORD_OF", path.as_str()), ("RECORD_IN", &notes.display().to_string())])
        .envs([("OMPI_ALLOW_RUN_AS_ROOT", "1"), ("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut rest = &std::fs::read(notes).unwrap()[..];
    let mut all = Vec::new();
    while let Some(end) = rest.iter().position(|&b| b == b'\n') {
        let line: Vec<_> = std::str::from_utf8(&rest[..end]).unwrap().split(' ').collect();
        let (bytes, behind) = rest[end + 1..].split_at(line[3].parse().unwrap());
        let [rank, at] = [1, 2].map(|n| line[n].parse::<usize>().unwrap());
        all.push(Note { what: line[0].into(), rank: rank as u32, at, bytes: bytes.into() });
        rest = behind;
    }
    all
}

/// The file after the notes for which `happened` holds. Of each rank's last write a part may be missing, from a page on.
fn left(notes: &[Note], happened: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut last = BTreeMap::new();
    for (index, note) in notes.iter().enumerate().filter(|&(index, _)| happened(index)) {
        last.insert(note.rank, index);
    }
    let mut file = Vec::new();
    for (index, note) in notes.iter().enumerate().filter(|&(index, _)| happened(index)) {
        match note.what.as_str() {
            "size" => file.resize(note.at, 0),
            "write" => {
                let mut end = note.at + note.bytes.len();
                if last[&note.rank] == index {
                    let pages: Vec<_> = (note.at..end).filter(|n| n % 4096 == 0).chain([end]).collect();
                    end = pages[fastrand::usize(..pages.len())].max(note.at);
                }
                file.resize(file.len().max(end), 0);
                file[note.at..end].copy_from_slice(&note.bytes[..end - note.at]);
            }
            _ => (),
        }
    }
    file
}

/// Ranks die at different times, but none gets beyond the next point where all wait for all.
#[test]
fn in_hdf5_at_every_moment() {
    const STEPS: usize = 24;
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "steps.c", "-O2", "moments");
    for ranks in [1, 3] {
        let notes = record(dir.path(), &program, ranks, STEPS);
        let path = dir.path().join("left.h5");
        let is_listed = || run(dir.path(), "h5ls", &["left.h5/steps"]).success;
        let (mut ends, mut ended, mut damaged) = (BTreeMap::new(), 0, 0);
        for now in 0..notes.len() {
            if notes[now].what == "ended" {
                // On any rank.
                let steps = ends.entry(notes[now].rank).or_insert(0);
                *steps += 1;
                ended = ended.max(*steps);
            }
            if ended == 0 || notes[now].what != "write" {
                continue;
            }
            // All die at once.
            std::fs::write(&path, left(&notes, |index| index <= now)).unwrap();
            check(&path, ended);
            if !is_listed() {
                damaged += 1;
                if damaged % 10 == 1 {
                    restart(&path, &program, 1 + damaged % 3, ended);
                    assert!(is_listed(), "it is repaired");
                }
            }
            // One was dead before, since a moment after it had last waited for the others.
            let rank = notes[now].rank;
            let others = notes[..now].iter().enumerate().rev().take_while(|(_, note)| note.what != "sync");
            let others: Vec<_> = others.filter(|(_, note)| note.rank != rank).collect();
            if let Some(&(since, Note { rank, .. })) = fastrand::choice(&others) {
                let died = |index: usize| index <= since || notes[index].rank != *rank;
                std::fs::write(&path, left(&notes, |index| index <= now && died(index))).unwrap();
                check(&path, ended);
            }
        }
        assert_eq!(ended, STEPS);
        assert!(damaged > 0, "no moment harmed the list of steps: nothing was tried");
        println!("{ranks} ranks, {} writes: the list of steps was damaged {damaged} times", notes.len());
    }
}
