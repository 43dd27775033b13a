//! A job of several ranks that runs beside the test, and that the test may kill.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A run of mpirun. Whatever is left of it is killed when this is dropped.
pub struct Job {
    mpirun: Child,
}

impl Job {
    /// Starts a program on so many ranks; its output goes to `log`.
    ///
    /// # Panics
    /// Where mpirun cannot be started.
    pub fn start(ranks: usize, program: &Path, arguments: &[&str], log: &Path) -> Self {
        let output = File::create(log).unwrap_or_else(|e| panic!("{}: {e}", log.display()));
        let mpirun = Command::new("mpirun")
            .args(["-n", &ranks.to_string(), "--oversubscribe"])
            .arg(program)
            .args(arguments)
            .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
            .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
            .stdout(output)
            .stderr(Stdio::null())
            .spawn();
        Self { mpirun: mpirun.unwrap_or_else(|e| panic!("mpirun: {e}")) }
    }

    /// Whether it goes on.
    ///
    /// # Panics
    /// Where the system does not know it.
    pub fn runs(&mut self) -> bool {
        self.mpirun.try_wait().expect("it was started here").is_none()
    }

    /// Kills its ranks at once, and waits until it is gone.
    ///
    /// # Panics
    /// Where the system does not know it.
    pub fn kill(&mut self) -> ExitStatus {
        // Until no rank is left: one may start late.
        while self.runs() {
            kill(&descendants(self.mpirun.id()));
            std::thread::sleep(Duration::from_millis(20));
        }
        self.mpirun.wait().expect("it was started here")
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The processes that a process has started, and those that these have. MPI gives each rank a
/// process group of its own, so no group is the whole job.
fn descendants(of: u32) -> Vec<u32> {
    let mut parents = Vec::<(u32, u32)>::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // Behind the name, which may hold anything: the state and the parent.
        let parent = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(1)?.parse().ok());
        if let (Ok(process), Some(parent)) = (entry.file_name().to_string_lossy().parse(), parent) {
            parents.push((process, parent));
        }
    }
    let (mut all, mut known) = (vec![of], 0);
    while known < all.len() {
        let parent = all[known];
        all.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(process, _)| *process));
        known += 1;
    }
    all.split_off(1)
}

fn kill(processes: &[u32]) {
    if !processes.is_empty() {
        let numbers = processes.iter().map(u32::to_string);
        // One may have ended by itself.
        let kill = ["-c", "kill -KILL \"$@\"", "sh"];
        let _ = Command::new("sh").args(kill).args(numbers).stderr(Stdio::null()).status();
    }
}
