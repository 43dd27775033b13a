//! Trainings run as Slurm jobs: on several tasks, requeued by a signal, ended when a task dies.
//! Slurm is real, on this one node.

use std::path::Path;
use std::time::{Duration, Instant};
use swae_codec::Model;
use swae_tests::{Slurm, run};

const TRAIN: &str = env!("CARGO_BIN_EXE_swae-train");

/// Writes a short training's configuration and gives its file's name.
fn config(dir: &Path, name: &str, steps: usize) -> String {
    let text = format!(
        "name = 'a'\noutput = '{name}.safetensors'\n[data]\nkind = 'math'\nresolutions = [64]\n\
         [training]\nsteps = {steps}\nbatch = 32\nparts = 2\n"
    );
    let file = format!("{name}.toml");
    std::fs::write(dir.join(&file), text).unwrap();
    file
}

/// The trained weights.
fn weights(dir: &Path, name: &str) -> Vec<Vec<f32>> {
    let file = std::fs::read(dir.join(name).with_extension("safetensors")).unwrap();
    let model = Model::from_bytes(&file).unwrap();
    model.encoder.iter().flatten().chain(&model.decoder).map(|p| p.weight.clone()).collect()
}

fn lines(dir: &Path, name: &str) -> usize {
    std::fs::read_to_string(dir.join(name).with_extension("csv")).unwrap_or_default().lines().count()
}

fn wait(what: &str, mut until: impl FnMut() -> bool) {
    let start = Instant::now();
    while !until() {
        assert!(start.elapsed() < Duration::from_secs(300), "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_job_that_is_put_back_into_the_queue_trains_the_same_model_as_an_undisturbed_process() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let slurm = Slurm::new();
    run(dir, TRAIN, &["fit", &config(dir, "alone", 40)]).expect_success();

    slurm.run(dir, "srun", &["-n", "2", TRAIN, "fit", &config(dir, "srun", 40)]).expect_success();
    assert!(weights(dir, "srun") == weights(dir, "alone"));

    let export = format!("--export=ALL,SWAE_TRAIN={TRAIN}");
    let options = ["--ntasks-per-node=2", "--cpus-per-task=1", "--output=job.log", &export];
    let job = slurm.submit(dir, &options, "slurm/train_cpu.sbatch", &[&config(dir, "job", 40)]);
    wait("the job starts", || lines(dir, "job") > 3);
    // What Slurm does a minute before the time limit.
    slurm.run(dir, "scancel", &["--signal=USR1", &job]).expect_success();
    let log = || std::fs::read_to_string(dir.join("job.log")).unwrap_or_default();
    wait("the job stops", || log().contains("stopped after step"));
    assert!(lines(dir, "job") < 41 && dir.join("job.checkpoint").exists(), "{}", log());
    wait("the job ends", || !slurm.has(&job));
    assert!(log().contains("goes on from step") && dir.join("job.safetensors").exists(), "{}", log());
    assert!(weights(dir, "job") == weights(dir, "alone"), "{}", log());
    assert!(!dir.join("job.checkpoint").exists());
}

#[test]
fn a_task_that_dies_ends_the_job_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let slurm = Slurm::new();
    let config = config(dir, "long", 100_000);
    // The second task's number, from Slurm; `exec` keeps its process.
    let task = format!("echo $$ > task$SLURM_PROCID; exec {TRAIN} fit {config}");
    let arguments = ["-n", "2", "--kill-on-bad-exit=1", "sh", "-c", &task];
    std::thread::scope(|scope| {
        let job = scope.spawn(|| slurm.run(dir, "srun", &arguments));
        wait("the training starts", || dir.join("long.checkpoint").exists() && dir.join("task1").exists());
        let task = std::fs::read_to_string(dir.join("task1")).unwrap();
        run(dir, "kill", &["-KILL", task.trim()]).expect_success();
        let start = Instant::now();
        let said = job.join().unwrap();
        assert!(start.elapsed() < Duration::from_secs(60));
        assert!(!said.success && said.err.contains("task 1: Killed"), "{}", said.err);
    });
    // What was saved is whole.
    assert!(dir.join("long.checkpoint").exists());
}
