//! A job that is killed at any moment leaves a file in which every step that ended is whole, and
//! which another run can continue.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use swae_codec::Field;
use swae_store::{Decoder, open};
use swae_tests::{compile, compile_preloaded, mpirun, run};

/// The values that the program puts for field K.
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
        // Some starts are slower: before the first step there is nothing to lose.
        while std::fs::metadata(&log).unwrap().len() == 0 {
            assert!(job.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(fastrand::u64(20..120)));
        }
        // Until no rank is left: one may have started late.
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

/// Restarts from a few steps before the end.
fn restart(path: &Path, program: &Path, ranks: usize, ended: usize) {
    let first = ended - ended.min(3);
    let range = [first, first + 5].map(|n| n.to_string());
    let arguments = [&path.display().to_string(), &range[0], &range[1], "append = true"];
    mpirun(path.parent().unwrap(), ranks, program, &arguments).expect_success();
    assert_eq!(check(path, first + 5), first + 5);
}

/// Checks that the first `ended` steps are in the file, and that all steps of the file are right;
/// returns how many they are.
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

/// An operation on a file, or the end of a step; in the order in which they happened.
struct Event {
    what: String,
    rank: u32,
    at: usize,
    /// Relative to the path of the store.
    file: String,
    bytes: Vec<u8>,
}

const RECORDER: &str = "recorded.so";

/// Runs the program under a library that records its writes; returns all events so far.
fn record(
    dir: &Path,
    program: &Path,
    store: &str,
    ranks: usize,
    range: [usize; 2],
    settings: &str,
) -> Vec<Event> {
    let path = dir.join(format!("{ranks}.{store}")).display().to_string();
    let log = dir.join(format!("events-{ranks}"));
    let [preloaded, of, into] = [
        format!("LD_PRELOAD={}", dir.join(RECORDER).display()),
        format!("RECORD_OF={path}"),
        format!("RECORD_IN={}", log.display()),
    ];
    let program = program.display().to_string();
    let [begin, end] = range.map(|n| n.to_string());
    // Of the ranks alone, not of mpirun.
    let arguments = [&preloaded, &of, &into, &program, &path, &begin, &end, settings];
    mpirun(dir, ranks, Path::new("env"), &arguments).expect_success();
    let mut rest = &std::fs::read(log).unwrap()[..];
    let mut all = Vec::new();
    while let Some(end) = rest.iter().position(|&b| b == b'\n') {
        let line: Vec<_> = std::str::from_utf8(&rest[..end]).unwrap().split(' ').collect();
        let number = |n: usize| line[n].parse::<usize>().unwrap();
        let (bytes, behind) = rest[end + 1..].split_at(number(3));
        let file = line[4].strip_prefix(&path).unwrap_or_default().into();
        all.push(Event {
            what: line[0].into(),
            rank: number(1) as u32,
            at: number(2),
            file,
            bytes: match line[0] {
                "rename" => bytes[path.len()..].into(),
                _ => bytes.into(),
            },
        });
        rest = behind;
    }
    all
}

/// Makes at `path` the files that the events leave for which `happened` holds. Each rank's last
/// write may be cut at a page.
fn leave(path: &Path, events: &[Event], happened: impl Fn(usize) -> bool) {
    let mut last = BTreeMap::new();
    for (index, event) in events.iter().enumerate().filter(|&(index, _)| happened(index)) {
        last.insert(event.rank, index);
    }
    let mut files = BTreeMap::<&str, Vec<u8>>::new();
    for (index, event) in events.iter().enumerate().filter(|&(index, _)| happened(index)) {
        match event.what.as_str() {
            "size" => files.entry(&event.file).or_default().resize(event.at, 0),
            "write" => {
                let mut end = event.at + event.bytes.len();
                if last[&event.rank] == index {
                    let pages: Vec<_> = (event.at..end).filter(|n| n % 4096 == 0).chain([end]).collect();
                    end = pages[fastrand::usize(..pages.len())].max(event.at);
                }
                let file = files.entry(&event.file).or_default();
                file.resize(file.len().max(end), 0);
                file[event.at..end].copy_from_slice(&event.bytes[..end - event.at]);
            }
            "rename" => {
                let file = files.remove(event.file.as_str()).unwrap();
                files.insert(std::str::from_utf8(&event.bytes).unwrap(), file);
            }
            _ => (),
        }
    }
    if path.is_dir() {
        std::fs::remove_dir_all(path).unwrap();
    }
    for (name, bytes) in files {
        let file = PathBuf::from(format!("{}{name}", path.display()));
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, bytes).unwrap();
    }
}

/// Replays a kill after every event, and now and then a restart.
fn kill_at_every_moment(store: &str) {
    const STEPS: usize = 24;
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "steps.c", "-O2", "moments");
    compile_preloaded(dir.path(), "recorded.c", RECORDER);
    let path = dir.path().join(format!("left.{store}"));
    // Whether other programs find the steps; in a BP5 folder they always do.
    let is_listed = || store != "h5" || run(dir.path(), "h5ls", &["left.h5/steps"]).success;
    for ranks in [1, 3] {
        let record = |range, settings| record(dir.path(), &program, store, ranks, range, settings);
        let first = record([0, STEPS], "").len();
        // A restart from an earlier step: the last ones are replaced.
        let events = record([STEPS - 3, STEPS + 2], "append = true");
        let (mut ends, mut ended, mut moments, mut damaged) = (BTreeMap::new(), 0, 0, 0);
        for now in 0..events.len() {
            if now == first {
                assert_eq!(ended, STEPS);
                ended = STEPS - 3;
            }
            if events[now].what == "ended" {
                // On any rank.
                let start = if now < first { 0 } else { STEPS - 3 };
                let steps = ends.entry(events[now].rank).or_insert(start);
                *steps += 1;
                ended = ended.max(*steps);
            }
            if ended == 0 || !["write", "rename"].contains(&events[now].what.as_str()) {
                continue;
            }
            moments += 1;
            // All ranks die at once.
            leave(&path, &events, |index| index <= now);
            check(&path, ended);
            let listed = is_listed();
            damaged += usize::from(!listed);
            if (!listed && damaged % 10 == 1) || moments % 200 == 0 {
                restart(&path, &program, 1 + moments % 3, ended);
                assert!(is_listed(), "it is repaired");
            }
            // One rank died before, at some moment after its last synchronisation with the others,
            // where that is known. A run begins when the previous one has closed the file.
            let begin = if now < first { 0 } else { first };
            let others = events[..now].iter().enumerate().skip(begin).rev();
            let others = others.take_while(|(_, event)| store == "h5" && event.what != "sync");
            let others: Vec<_> = others.filter(|(_, event)| event.rank != events[now].rank).collect();
            if let Some(&(since, Event { rank, .. })) = fastrand::choice(&others) {
                let died = |index: usize| index <= since || events[index].rank != *rank;
                leave(&path, &events, |index| index <= now && died(index));
                check(&path, ended);
            }
        }
        assert_eq!(ended, STEPS + 2);
        assert!(damaged > 0 || store != "h5", "no kill damaged the list of steps: nothing was tested");
        println!("{store}, {ranks} ranks: {moments} moments, the list of steps damaged {damaged} times");
    }
}

#[test]
fn in_hdf5_at_every_moment() {
    kill_at_every_moment("h5");
}

#[test]
fn in_bp5_at_every_moment() {
    kill_at_every_moment("bp");
}
