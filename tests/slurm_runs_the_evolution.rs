//! The in-situ example as a Slurm job writes the files that it writes under mpirun.
//! Slurm is real, on this one node.

use std::path::Path;
use swae_tests::{Slurm, collision, decode, example, mpirun, tree};

#[test]
fn srun_and_sbatch_write_the_files_that_mpirun_writes() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let slurm = Slurm::new();
    let program = example("bssn/bssn");
    let parameters = collision();
    let written = |name: &str| -> Vec<_> {
        let bits = |(step, _, fields): (i64, f64, Vec<(String, swae_codec::Field)>)| {
            (step, fields.into_iter().map(|(name, f)| (name, swae_tests::bits(&f))).collect::<Vec<_>>())
        };
        decode(&dir.join(name)).into_iter().map(bits).collect()
    };
    mpirun(dir, 1, &program, &[&parameters, "output=one.h5 latent 2"]).expect_success();
    let one = written("one.h5");
    assert_eq!(one.len(), 2);

    let task = program.display().to_string();
    slurm.run(dir, "srun", &["-n", "4", &task, &parameters, "output=srun.h5 latent 2"]).expect_success();
    assert!(written("srun.h5") == one);

    let export = format!("--export=ALL,SWAE={}", tree("").canonicalize().unwrap().display());
    let options = ["--ntasks-per-node=4", "--wait", "--output=job.log", &export];
    slurm.submit(dir, &options, "slurm/in_situ.sbatch", &[&parameters, "output=job.bp latent 2"]);
    assert!(written("job.bp") == one, "{}", log(dir));
}

fn log(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("job.log")).unwrap_or_default()
}
