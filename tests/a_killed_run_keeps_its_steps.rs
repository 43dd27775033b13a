//! A job that is killed at any moment leaves a file in which every step that ended is whole, and
//! which another run can continue.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;
use swae_tests::recorded::{Event, Recorder, after_kill};
use swae_tests::steps::check;
use swae_tests::{Job, Tried, compile, mpirun, random, run, times, tried};

fn kill_at_random(store: &str) {
    let kills = times(25, 500);
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "steps.c", "-O2", "steps");
    let mut random = random(&format!("kills in {store}"));
    let mut steps = 0;
    for time in 0..kills {
        let path = dir.path().join(format!("{time}.{store}"));
        let log = dir.path().join("log");
        let mut job = Job::start(2, &program, &[&path.display().to_string()], &log);
        std::thread::sleep(Duration::from_millis(300 + random.u64(0..600)));
        // Some starts are slower: before the first step there is nothing to lose.
        while std::fs::metadata(&log).unwrap().len() == 0 {
            assert!(job.runs(), "it ended by itself");
            std::thread::sleep(Duration::from_millis(random.u64(20..120)));
        }
        assert!(!job.kill().success());
        let said = std::fs::read_to_string(&log).unwrap();
        // The last line may be cut short.
        let ended = said.matches('\n').count();
        steps += check(&path, ended);
        restart(&path, &program, 1 + time % 3, ended);
    }
    println!("{steps} steps of {kills} killed runs");
    tried(Tried::KillsSurvived, kills);
}

/// Restarts from a few steps before the end.
fn restart(path: &Path, program: &Path, ranks: usize, ended: usize) {
    let first = ended - ended.min(3);
    let range = [first, first + 5].map(|n| n.to_string());
    let arguments = [&path.display().to_string(), &range[0], &range[1], "append = true"];
    mpirun(path.parent().unwrap(), ranks, program, &arguments).expect_success();
    assert_eq!(check(path, first + 5), first + 5);
}

#[test]
fn in_hdf5() {
    kill_at_random("h5");
}

#[test]
fn in_bp5() {
    kill_at_random("bp");
}

/// Replays a kill after every event, and now and then a restart.
fn kill_at_every_moment(store: &str) {
    const STEPS: usize = 24;
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "steps.c", "-O2", "moments");
    let recorder = Recorder::new(dir.path(), &program, store);
    let mut random = random(&format!("moments in {store}"));
    let path = dir.path().join(format!("left.{store}"));
    // Whether other programs find the steps; in a BP5 folder they always do.
    let is_listed = || store != "h5" || run(dir.path(), "h5ls", &["left.h5/steps"]).success;
    for ranks in [1, 3] {
        let first = recorder.record(ranks, [0, STEPS], "").len();
        // A restart from an earlier step: the last ones are replaced.
        let events = recorder.record(ranks, [STEPS - 3, STEPS + 2], "append = true");
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
            after_kill(&events, |index| index <= now, &mut random).write(&path);
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
            if let Some(&(since, Event { rank, .. })) = random.choice(&others) {
                let died = |index: usize| index <= since || events[index].rank != *rank;
                after_kill(&events, |index| index <= now && died(index), &mut random).write(&path);
                check(&path, ended);
                moments += 1;
            }
        }
        assert_eq!(ended, STEPS + 2);
        assert!(damaged > 0 || store != "h5", "no kill damaged the list of steps: nothing was tested");
        println!("{store}, {ranks} ranks: {moments} kills, the list of steps damaged {damaged} times");
        tried(Tried::KillsReplayed, moments);
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
