//! `swae-train generate`: runs of the BSSN example with random black holes, as training, validation
//! and test data.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Which runs are made, and how.
#[derive(clap::Args, Clone, Debug)]
pub struct Generate {
    /// Folder for train/, validation/ and test/, which get whole runs
    pub folder: PathBuf,
    /// The program build/examples/bssn/bssn
    #[arg(long, default_value = "build/examples/bssn/bssn")]
    pub bssn: PathBuf,
    /// Number of runs; of ten, eight are for training, one for validation, one for tests
    #[arg(long, default_value_t = 20)]
    pub runs: usize,
    /// Only this one of them (0 …): for job arrays
    #[arg(long)]
    pub run: Option<usize>,
    /// Seed of the random numbers; a run is the same whatever the number of runs
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Grid points along an edge; some runs have 1.5 times as many
    #[arg(long, default_value_t = 40)]
    pub points: usize,
    /// Steps that are written, after the first
    #[arg(long, default_value_t = 4)]
    pub steps: usize,
    /// How a run is started
    #[arg(long, default_value = "mpirun -n 2")]
    pub launcher: String,
}

/// One evolution.
#[derive(Clone, Debug, PartialEq)]
struct Run {
    name: String,
    parameters: Vec<String>,
}

/// Which part of the data a run belongs to.
fn part(i: usize) -> &'static str {
    match i % 10 {
        3 => "validation",
        7 => "test",
        _ => "train",
    }
}

/// The `i`-th run: one to three punctures (Bowen–York), masses 0.4 to 1.2, resolved by the grid.
/// G = c = 1.
fn run(g: &Generate, i: usize) -> Run {
    let mut random = fastrand::Rng::with_seed(g.seed << 32 ^ i as u64);
    let mut between = |lo: f64, hi: f64| lo + (hi - lo) * random.f64();
    let holes = 1 + (between(0.0, 1.0) * 2.999) as usize;
    let masses: Vec<f64> = (0..holes).map(|_| between(0.4, 1.2)).collect();
    let points = if between(0.0, 1.0) < 0.5 { g.points } else { g.points * 3 / 2 };
    // Spacing at most 0.35 of the least mass: coarser grids lose the hole.
    let least = masses.iter().fold(f64::MAX, |a, &b| a.min(b));
    let widest = (0.35 * least * points as f64 / 2.0).clamp(4.0, 10.0);
    let half_width = between(0.7 * widest, widest).max(4.0);
    let punctures = masses.iter().map(|m| {
        let position = [(); 3].map(|()| between(-0.35, 0.35) * half_width);
        let momentum = [(); 3].map(|()| between(-0.3, 0.3) * m);
        let spin = [(); 3].map(|()| between(-0.35, 0.35) * m * m);
        let numbers = [position, momentum, spin].concat();
        let text: Vec<String> = numbers.iter().map(|v| format!("{v:.4}")).collect();
        format!("puncture={m:.4} {}", text.join(" "))
    });
    let mut parameters: Vec<String> = punctures.collect();
    let courant = 0.4;
    let end_time = between(3.0, 6.0);
    let time_steps = end_time / (courant * 2.0 * half_width / (points - 1) as f64);
    let every = ((time_steps / g.steps as f64) as usize).max(1);
    let name = format!("{}/run{i:03}.h5", part(i));
    // Tests measure errors at every bound; for training, this is as good as exact.
    let encoding = if part(i) == "test" { "raw" } else { "rel:1e-7" };
    parameters.extend([
        format!("points={points}"),
        format!("half_width={half_width:.4}"),
        format!("courant={courant}"),
        format!("end_time={end_time:.4}"),
        format!("report_every={every}"),
        format!("output={name} {encoding} {every}"),
    ]);
    Run { name, parameters }
}

/// Evolves the runs that are not there yet.
///
/// # Errors
/// Where the program cannot be started, or an evolution fails.
pub fn generate(g: &Generate) -> Result<()> {
    ensure!(g.steps >= 1 && g.points >= 16, "--steps ≥ 1 and --points ≥ 16 are needed");
    let bssn =
        g.bssn.canonicalize().with_context(|| format!("{}: `make examples` builds it", g.bssn.display()))?;
    ensure!(g.run.is_none_or(|i| i < g.runs), "--run needs a number below {}", g.runs);
    for name in ["train", "validation", "test"] {
        let folder = g.folder.join(name);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    for i in (0..g.runs).filter(|&i| g.run.is_none_or(|only| only == i)) {
        let run = run(g, i);
        if g.folder.join(&run.name).exists() {
            println!("{} is there", run.name);
            continue;
        }
        evolve(g, &bssn, &run)?;
        println!("{}: {}", run.name, run.parameters.join(", "));
    }
    Ok(())
}

/// Evolves one run, into a file that gets its name once it is complete.
fn evolve(g: &Generate, bssn: &Path, run: &Run) -> Result<()> {
    let scratch = tempfile::Builder::new().prefix("run").tempdir_in(&g.folder)?;
    let parameters = scratch.path().join("run.par");
    let mut words = g.launcher.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("mpirun"));
    let target = scratch.path().join("run.h5");
    let lines = run.parameters.iter().map(|p| p.replace(&format!("output={}", run.name), "output=run.h5"));
    std::fs::write(&parameters, lines.collect::<Vec<_>>().join("\n"))?;
    let done = command.args(words).arg(bssn).arg("run.par").current_dir(scratch.path()).output();
    let done = done.with_context(|| g.launcher.clone())?;
    if !done.status.success() {
        bail!("{}: {}", run.name, String::from_utf8_lossy(&done.stderr).trim());
    }
    let to = g.folder.join(&run.name);
    std::fs::rename(target, &to).with_context(|| to.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        generate: Generate,
    }

    #[test]
    fn a_run_is_the_same_whatever_the_number_of_runs_and_no_two_are_alike() {
        let of =
            |arguments: &[&str]| Line::parse_from([&["swae-train", "runs"], arguments].concat()).generate;
        let (few, many) = (of(&["--runs", "3"]), of(&["--runs", "30"]));
        let all: Vec<_> = (0..30).map(|i| run(&many, i)).collect();
        assert_eq!(run(&few, 2), all[2]);
        assert_ne!(run(&of(&["--seed", "2"]), 2).parameters, all[2].parameters);
        for (i, a) in all.iter().enumerate() {
            assert!(all[..i].iter().all(|b| b.parameters[0] != a.parameters[0]));
        }
        let in_part = |name: &str| all.iter().filter(|r| r.name.starts_with(name)).count();
        assert_eq!((in_part("train"), in_part("validation"), in_part("test")), (24, 3, 3));
    }
}
