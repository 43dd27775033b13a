//! A read-only file or folder gives an error that names it, on every rank, and nothing is changed.

use swae_tests::{Tried, compile, mpirun, run, tried};

#[test]
fn on_a_read_only_file_system() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "steps.c", "-O2", "steps");
    let folder = dir.path().join("folder");
    std::fs::create_dir(&folder).unwrap();
    for store in ["h5", "bp"] {
        let file = format!("folder/a.{store}");
        mpirun(dir.path(), 2, &program, &[&file, "0", "2"]).expect_success();
        let digest = || {
            run(dir.path(), "sh", &["-c", "find folder -type f | sort | xargs sha256sum"]).expect_success()
        };
        let before = digest();
        // What is there, replaced and continued, and what is not there.
        for (name, settings) in [("a", ""), ("a", "append = true"), ("new", "")] {
            let script = format!(
                "mount --bind folder folder && mount -o remount,ro,bind folder
                 OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 mpirun -n 2 --oversubscribe --timeout 60 \
                     ./steps folder/{name}.{store} 2 4 '{settings}'"
            );
            let said = run(
                dir.path(),
                "unshare",
                &["--user", "--map-root-user", "--mount", "bash", "-e", "-c", &script],
            );
            assert!(
                !said.success && said.err.contains(&format!("folder/{name}.{store}")),
                "{name}.{store}: {}",
                said.err
            );
            assert_eq!(digest(), before);
            tried(Tried::FaultsInjected, 1);
        }
    }
}
