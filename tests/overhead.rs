//! The overhead of output for a simulation: the BSSN example with and without the library, on 1, 2
//! and 4 ranks, and weak scaling on 1 to 8. `make overhead` prints the tables of
//! docs/performance.md. Times are of one machine; compare the fractions.

use std::path::Path;
use std::process::Command;
use swae_tests::{Said, compile_preloaded, example, parameters};

/// The measurements that a run prints.
#[derive(Default)]
struct Run {
    /// Seconds of the whole evolution, and of those inside the library's calls.
    total: f64,
    inside: f64,
    /// Seconds, of the slowest rank, in whichever thread.
    encoding: f64,
    communication: f64,
    writing: f64,
    raw: f64,
    stored: f64,
    /// A step's collectives, messages and calls on the file; then bytes sent and received, of rank
    /// 0 and of the busiest other.
    counted: Vec<f64>,
}

impl Run {
    fn of(dir: &Path, ranks: usize, points: usize, steps: usize, output: &str, swae: &str) -> Self {
        let counter = dir.join("counted.so");
        // dt = 0.4 · 16 ÷ points
        let end = 6.4 / points as f64 * steps as f64;
        let mut command = Command::new("mpirun");
        command.args(["-n", &ranks.to_string(), "--oversubscribe", "-x"]);
        command.arg(format!("LD_PRELOAD={}", counter.display())).arg(example("bssn/bssn"));
        command.arg(parameters("examples/bssn/head_on.par"));
        command.args([&format!("points={points}"), &format!("end_time={end}"), "report_every=1000000"]);
        command.args([&format!("output={output}"), &format!("swae={swae}")]);
        let said: Said = command.current_dir(dir).output().unwrap_or_else(|e| panic!("mpirun: {e}")).into();
        let out = said.expect_success();
        let mut run = Self::default();
        for line in out.lines() {
            let numbers: Vec<f64> = line.split_whitespace().filter_map(|w| w.parse().ok()).collect();
            if line.starts_with("counted") {
                run.counted = numbers;
            } else if line.contains(" steps in ") {
                run.total = numbers[1];
            } else if line.contains("inside swae") {
                let [_, stored, raw, inside, encoding, communication, writing] = numbers[..] else {
                    panic!("{line}")
                };
                run = Self { inside, encoding, communication, writing, raw, stored, ..run };
            }
        }
        run
    }

    /// Of a step in which nothing changes: collectives, calls on the file, bytes that rank 0 and
    /// another rank send and receive.
    fn counted(&self) -> String {
        let [collectives, _, files, sent, received, other_sent, other_received] = self.counted[..] else {
            panic!("the counter printed no counts")
        };
        format!(
            "{collectives:.0} | {files:.0} | {sent:.0} / {received:.0} | {other_sent:.0} / {other_received:.0}"
        )
    }
}

fn main() {
    let dir = tempfile::tempdir().expect("a folder");
    let dir = dir.path();
    compile_preloaded(dir, "counted.c", "counted.so");
    let ways = [
        ("a.h5 raw 8", "", "raw, HDF5"),
        ("a.h5 rel:1e-4 8", "", "1e-4, HDF5"),
        ("a.h5 rel:1e-4 8", "asynchronous=encode", "1e-4, HDF5, encode"),
        ("a.h5 rel:1e-4 8", "asynchronous=write", "1e-4, HDF5, write"),
        ("a.bp rel:1e-4 8", "", "1e-4, BP5"),
        ("a.bp rel:1e-4 8", "asynchronous=encode", "1e-4, BP5, encode"),
    ];
    println!(
        "| ranks | output | run time | inside | encoding | communication | writing | MB |\n|---|---|---|---|---|---|---|---|"
    );
    let mut messages = Vec::new();
    for ranks in [1, 2, 4] {
        // Alternately, and the better of two: other programs disturb the times.
        let mut runs: Vec<Run> = Vec::new();
        for turn in 0..2 {
            let none = ("none", "", "none");
            for (i, (output, swae, _)) in [none].into_iter().chain(ways).enumerate() {
                let run = Run::of(dir, ranks, 48, 16, output, swae);
                match runs.get_mut(i) {
                    None => runs.push(run),
                    Some(best) if run.total < best.total => *best = run,
                    Some(_) => {}
                }
            }
            eprintln!("{ranks} ranks: turn {} of 2", turn + 1);
        }
        let without = runs.remove(0).total;
        println!("| {ranks} | none | {without:.1} s | | | | | |");
        for (run, (_, swae, name)) in runs.iter().zip(ways) {
            let part = |seconds: f64| 100.0 * seconds / run.total;
            println!(
                "| {ranks} | {name} | {:+.1} % | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {:.2} of {:.0} |",
                100.0 * (run.total / without - 1.0),
                part(run.inside),
                part(run.encoding),
                part(run.communication),
                part(run.writing),
                run.stored,
                run.raw
            );
            if swae.is_empty() {
                messages.push(format!("| {ranks} | {name} | {} |", run.counted()));
            }
        }
    }
    println!(
        "\n| ranks | points | inside | encoding | communication | writing | in the background: inside |\n|---|---|---|---|---|---|---|"
    );
    // Weak scaling: as many points a rank as 48³ on one.
    for (ranks, points) in [(1, 48), (2, 60), (4, 76), (8, 96)] {
        let run = Run::of(dir, ranks, points, 8, "a.h5 rel:1e-4 4", "");
        let behind = Run::of(dir, ranks, points, 8, "a.h5 rel:1e-4 4", "asynchronous=encode");
        let part = |seconds: f64| 100.0 * seconds / run.total;
        println!(
            "| {ranks} | {points}³ | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {:.1} % |",
            part(run.inside),
            part(run.encoding),
            part(run.communication),
            part(run.writing),
            100.0 * behind.inside / behind.total
        );
        messages.push(format!("| {ranks} | 1e-4, HDF5 | {} |", run.counted()));
    }
    println!(
        "\n| ranks | output | collectives | calls on the file | rank 0: bytes sent / received | another rank |\n|---|---|---|---|---|---|"
    );
    messages.iter().for_each(|line| println!("{line}"));
}
