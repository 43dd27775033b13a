//! What the whole-system tests share: where the built programs are, and how they are run.
//!
//! The programs are those of `make examples` and `cargo build --release`: what a user has.

mod job;
mod random;
pub mod recorded;
pub mod steps;
mod trust;

pub use job::Job;
pub use random::random;
pub use trust::{Tried, times, tried};

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use swae_codec::Field;
use swae_codec::engine::Engine;
use swae_store::{open, read_field};

/// A file of the source tree.
pub fn tree(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// A program of `examples/`.
///
/// # Panics
/// Where it is not built.
pub fn example(path: &str) -> PathBuf {
    let program = tree("build/examples").join(path);
    assert!(program.exists(), "{} is not built; run `make examples`", program.display());
    program.canonicalize().expect("it exists")
}

/// Where `make examples` has installed the library.
///
/// # Panics
/// Where it has not.
pub fn installed() -> PathBuf {
    let prefix = tree("build/prefix");
    prefix.canonicalize().expect("the library is not installed for the tests; run `make examples`")
}

/// The names of the engines that this machine can run, fastest last. Which those are, and which are
/// missing, appears among the output of the tests even where they pass.
pub fn engines() -> Vec<&'static str> {
    // `eprintln` would be kept from view.
    writeln!(std::io::stderr(), "{}", Engine::availability()).expect("standard error is open");
    Engine::available().into_iter().map(Engine::name).collect()
}

/// The status and the output of a finished program.
pub struct Said {
    /// Whether it ended with status 0.
    pub success: bool,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            success: output.status.success(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Said {
    /// The output of a program that must have worked.
    ///
    /// # Panics
    /// Where it did not.
    pub fn expect_success(self) -> String {
        assert!(self.success, "{}\n{}", self.out, self.err);
        self.out
    }
}

/// Runs a program in `dir`.
///
/// # Panics
/// Where it cannot be started.
pub fn run(dir: &Path, program: impl AsRef<std::ffi::OsStr>, arguments: &[&str]) -> Said {
    let output = Command::new(program.as_ref()).args(arguments).current_dir(dir).output();
    output.unwrap_or_else(|e| panic!("{:?}: {e}", program.as_ref())).into()
}

/// Runs a shell script in `dir`, in which pkg-config finds an installation of the library,
/// `$PREFIX` is where it is, and `$SOURCE` the source tree.
///
/// # Panics
/// Where there is no shell.
pub fn shell(dir: &Path, script: &str, prefix: &Path) -> Said {
    let output = Command::new("bash")
        .args(["-e", "-c", script])
        .current_dir(dir)
        .env("PREFIX", prefix)
        .env("PKG_CONFIG_PATH", prefix.join("lib/pkgconfig"))
        .env("SOURCE", tree(".").canonicalize().unwrap_or_default())
        .output();
    output.unwrap_or_else(|e| panic!("bash: {e}")).into()
}

/// Builds a program of `tests/c` in `dir`, as a user without CMake would, and says where it is.
///
/// # Panics
/// Where it cannot be built.
pub fn compile(dir: &Path, source: &str, options: &str, name: &str) -> PathBuf {
    let build = format!(
        "mpicc -std=c99 -g -Wall -Wextra -Werror {options} $SOURCE/tests/c/{source} $(pkg-config --cflags --libs swae) \
         -Wl,-rpath,$PREFIX/lib -lm -o {name}"
    );
    shell(dir, &build, &installed()).expect_success();
    dir.join(name)
}

/// Builds a library of `tests/c` that intercepts calls of a program when it is preloaded.
///
/// # Panics
/// Where it cannot be built.
pub fn compile_preloaded(dir: &Path, source: &str, name: &str) {
    let build =
        format!("mpicc -shared -fPIC -O1 -Wall -Wextra -Werror $SOURCE/tests/c/{source} -ldl -o {name}");
    shell(dir, &build, &installed()).expect_success();
}

/// Runs a program on so many ranks, more than there are cores if need be.
///
/// # Panics
/// Where mpirun cannot be started.
pub fn mpirun(dir: &Path, ranks: usize, program: &Path, arguments: &[&str]) -> Said {
    let output = Command::new("mpirun")
        // A deadlock of the ranks is a failure of the test, not a hang.
        .args(["-n", &ranks.to_string(), "--oversubscribe", "--timeout", "300"])
        .arg(program)
        .args(arguments)
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .current_dir(dir)
        .output();
    output.unwrap_or_else(|e| panic!("mpirun: {e}")).into()
}

/// Runs the tool.
pub fn swae(dir: &Path, arguments: &[&str]) -> Said {
    run(dir, tree("target/release/swae").canonicalize().unwrap_or_default(), arguments)
}

/// Parameters of a small collision of two black holes: two time steps on 32³ points, no output.
pub fn collision() -> String {
    parameters("tests/collision.par")
}

/// A parameter file of the tree.
///
/// # Panics
/// Where it is not there.
pub fn parameters(path: &str) -> String {
    tree(path).canonicalize().expect("it is in the tree").display().to_string()
}

/// A decoded step: its number, its time, its fields by name.
pub type Step = (i64, f64, Vec<(String, Field)>);

/// All steps and fields of a file, decoded.
///
/// # Panics
/// Where it cannot be read.
pub fn decode(path: &Path) -> Vec<Step> {
    let mut reader = open(path).unwrap_or_else(|e| panic!("{e}"));
    let steps = reader.steps().to_vec();
    let mut all = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        let mut fields = Vec::new();
        for (info, _) in &step.fields {
            let field = read_field(reader.as_mut(), index, &info.name).unwrap_or_else(|e| panic!("{e}"));
            fields.push((info.name.clone(), field));
        }
        fields.sort_by(|a, b| a.0.cmp(&b.0));
        all.push((step.step, step.time, fields));
    }
    all
}

/// The bits of all values, so that −0 and NaN count.
pub fn bits(field: &Field) -> Vec<u64> {
    match field {
        Field::F32(a) => a.iter().map(|v| u64::from(v.to_bits())).collect(),
        Field::F64(a) => a.iter().map(|v| v.to_bits()).collect(),
    }
}

/// A Slurm cluster of this one node, as `slurm/one_node.sh` starts it; it stops when dropped.
pub struct Slurm {
    dir: tempfile::TempDir,
}

impl Slurm {
    /// Starts it.
    ///
    /// # Panics
    /// Where it does not start.
    #[expect(clippy::new_without_default, reason = "it starts daemons")]
    pub fn new() -> Self {
        let slurm = Self { dir: tempfile::tempdir().expect("a folder") };
        slurm.one_node("start");
        slurm
    }

    fn one_node(&self, what: &str) {
        let dir = self.dir.path().display().to_string();
        let script = tree("slurm/one_node.sh");
        // Daemons inherit open pipes, and a wait for the end of these would never return.
        let status =
            Command::new(script).args([what, &dir]).stdin(Stdio::null()).stdout(Stdio::null()).status();
        assert!(status.is_ok_and(|s| s.success()), "slurm/one_node.sh {what}");
    }

    /// Runs one of Slurm's programs in `dir`.
    ///
    /// # Panics
    /// Where it cannot be started.
    pub fn run(&self, dir: &Path, program: &str, arguments: &[&str]) -> Said {
        let output = Command::new(program)
            .args(arguments)
            .env("SLURM_CONF", self.dir.path().join("slurm.conf"))
            // More ranks than cores: waiting ranks yield.
            .env("OMPI_MCA_mpi_yield_when_idle", "1")
            .current_dir(dir)
            .output();
        output.unwrap_or_else(|e| panic!("{program}: {e}")).into()
    }

    /// Whether a job that `sbatch` said the number of is queued or runs.
    ///
    /// # Panics
    /// Where Slurm does not answer.
    pub fn has(&self, job: &str) -> bool {
        !self.run(Path::new("."), "squeue", &["--noheader", "--job", job]).expect_success().is_empty()
    }

    /// Submits a job script and returns the job's number.
    ///
    /// # Panics
    /// Where Slurm does not take it.
    pub fn submit(&self, dir: &Path, options: &[&str], script: &str, arguments: &[&str]) -> String {
        let script = parameters(script);
        let all = [&["--parsable", "--nodes=1"], options, &[&script], arguments].concat();
        self.run(dir, "sbatch", &all).expect_success().trim().to_owned()
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        self.one_node("stop");
    }
}
