//! Two programs never write one file: the second one gets an error, and the first one goes on.

use swae_tests::steps::check;
use swae_tests::{Job, Tried, compile, mpirun, tried};

#[test]
fn a_second_job_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let program = compile(dir.path(), "steps.c", "-O2", "steps");
    for file in ["a.h5", "a.bp"] {
        let (path, log) = (dir.path().join(file), dir.path().join("log"));
        let path_text = path.display().to_string();
        let mut first = Job::start(2, &program, &[&path_text], &log);
        let ended = || std::fs::read_to_string(&log).unwrap().matches('\n').count();
        while ended() == 0 {
            assert!(first.runs(), "it ended by itself");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        for settings in ["", "append = true"] {
            let said = mpirun(dir.path(), 2, &program, &[&path_text, "0", "3", settings]);
            let expected = format!("{file}: another program writes it");
            assert!(!said.success && said.err.contains(&expected), "{settings}: {}", said.err);
            tried(Tried::FaultsInjected, 1);
        }
        let before = ended();
        while ended() == before {
            assert!(first.runs(), "it was harmed");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        first.kill();
        let ended = ended();
        check(&path, ended);
        // A lock does not outlive its program.
        let [begin, end] = [ended, ended + 2].map(|n| n.to_string());
        mpirun(dir.path(), 1, &program, &[&path_text, &begin, &end, "append = true"]).expect_success();
        assert_eq!(check(&path, ended + 2), ended + 2);
    }
}
