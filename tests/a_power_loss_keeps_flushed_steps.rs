//! A loss of power keeps every step whose `end_step` had returned, whatever part of the writes that
//! were not flushed reaches the disk.

use fastrand::Rng;
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use swae_tests::recorded::{Event, Recorder, after_power_loss};
use swae_tests::steps::check;
use swae_tests::{Tried, compile, random, times, tried};

const STEPS: usize = 8;

/// A run of some steps, and another that continues it from an earlier step.
struct Runs {
    events: Vec<Event>,
    /// The steps that had ended on any rank behind each event, and that nothing takes away.
    ended: Vec<usize>,
    /// The events of the second run before its first step has ended.
    restart: Range<usize>,
}

impl Runs {
    fn record(recorder: &Recorder, ranks: usize) -> Self {
        const RESTART: usize = STEPS - 3;
        let first = recorder.record(ranks, [0, STEPS], "").len();
        let events = recorder.record(ranks, [RESTART, STEPS], "append = true");
        let (mut ends, mut most) = (BTreeMap::new(), 0);
        let mut ended = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let start = if index < first { 0 } else { RESTART };
            most = if index == first { RESTART } else { most };
            if event.what == "ended" {
                let steps = ends.entry(event.rank).or_insert(start);
                *steps += 1;
                most = most.max(*steps);
            }
            ended.push(most);
        }
        assert_eq!([ended[first - 1], *ended.last().unwrap()], [STEPS; 2]);
        let second = events[first..].iter().position(|event| event.what == "ended").unwrap();
        Self { events, ended, restart: first..first + second }
    }

    /// Loses power so many times behind events at which a step has ended; says how often steps were
    /// lost with it.
    fn lose_power(&self, path: &Path, losses: usize, random: &mut Rng) -> usize {
        let first = self.ended.iter().position(|&steps| steps > 0).unwrap();
        let mut harmed = 0;
        for _ in 0..losses {
            let now = random.usize(first..self.events.len());
            after_power_loss(&self.events, now, random).write(path);
            let holds = || catch_unwind(AssertUnwindSafe(|| check(path, self.ended[now]))).is_ok();
            if !(holds() || self.restart.contains(&now) && lengthen(path) && holds()) {
                println!("harmed behind event {now} of {}", self.events.len());
                harmed += 1;
            }
        }
        harmed
    }
}

/// Makes an HDF5 file as long as its first block says, and says whether it was shorter. While steps
/// are taken away, HDF5 shortens the file in the same flush in which it writes that block.
fn lengthen(path: &Path) -> bool {
    const END: Range<usize> = 28..36;
    // BP5 is a folder.
    let bytes = std::fs::read(path).unwrap_or_default();
    let Some(end) = bytes.get(END) else { return false };
    let end = u64::from_le_bytes(end.try_into().unwrap());
    let was_shorter = (bytes.len() as u64) < end;
    if was_shorter {
        println!("lengthened from {} to {end} bytes", bytes.len());
        std::fs::OpenOptions::new().write(true).open(path).unwrap().set_len(end).unwrap();
    }
    was_shorter
}

fn lose_power(store: &str) {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "steps.c", "-O2", "steps");
    let recorder = Recorder::new(dir.path(), &program, store);
    let mut random = random(&format!("power losses in {store}"));
    let path = dir.path().join(format!("left.{store}"));
    let losses = times(300, 20_000);
    for ranks in [1, 3] {
        let mut runs = Runs::record(&recorder, ranks);
        let harmed = runs.lose_power(&path, losses, &mut random);
        println!("{store}, {ranks} ranks: {losses} losses of power, {harmed} harmed steps");
        tried(Tried::PowerLossesReplayed, losses);
        assert_eq!(harmed, 0);
        // The same run without a flush.
        if store == "h5" {
            runs.events
                .iter_mut()
                .filter(|e| e.what.contains("sync"))
                .for_each(|e| e.what = "nothing".into());
            assert!(runs.lose_power(&path, 50, &mut random) > 0, "nothing was lost: nothing was tested");
        }
    }
}

#[test]
fn in_hdf5() {
    lose_power("h5");
}

#[test]
fn in_bp5() {
    lose_power("bp");
}
