//! `devices = cuda` puts the encoders of latent mode on GPUs, and the file stays the same to the
//! byte.
//!
//! The tests need no GPU: tests/c/cuda_on_cores.cpp takes the place of the driver, and runs the
//! library's kernel on the cores.

use std::collections::BTreeMap;
use std::path::Path;
use swae_tests::{Said, compile, installed, mpirun, shell};

/// Runs tests/c/steps.c, with the driver in its folder.
fn steps(dir: &Path, ranks: usize, file: &str, settings: &str, environment: &[&str]) -> Said {
    let libraries = std::env::var("LD_LIBRARY_PATH").unwrap_or_default();
    let libraries = format!("LD_LIBRARY_PATH={}:{libraries}", dir.display());
    let settings = format!("mode = latent; threads = 0; {settings}");
    let program = dir.join("steps").display().to_string();
    let arguments = [&[&libraries[..]], environment, &[&program, file, "0", "3", &settings]].concat();
    mpirun(dir, ranks, Path::new("env"), &arguments)
}

fn prepared() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), "steps.c", "", "steps");
    let driver = "g++ -shared -fPIC -O2 -march=native -ffp-contract=off -Wall -Wextra -Werror -Wno-unknown-pragmas \
                  -I$SOURCE/src/codec/cuda $SOURCE/tests/c/cuda_on_cores.cpp -o libcuda.so.1";
    shell(dir.path(), driver, &installed()).expect_success();
    dir
}

#[test]
fn on_any_number_of_ranks_and_gpus() {
    let dir = prepared();
    let bytes = |file: &str| std::fs::read(dir.path().join(file)).unwrap();
    for ranks in [1, 2, 4, 8] {
        steps(dir.path(), ranks, "cores.h5", "devices = cpu", &[]).expect_success();
        for devices in ["cuda", "cuda:0", "cuda:1,0", "cuda; threads = 2"] {
            for asynchronous in ["off", "encode"] {
                let settings = format!("devices = {devices}; asynchronous = {asynchronous}");
                _ = std::fs::remove_file(dir.path().join("log"));
                let log = ["CUDA_ON_CORES_LOG=log"];
                steps(dir.path(), ranks, "gpus.h5", &settings, &log).expect_success();
                assert!(bytes("gpus.h5") == bytes("cores.h5"), "{ranks} ranks, {settings}");
                // All GPUs that were named took part.
                let mut launches = BTreeMap::new();
                for line in std::fs::read_to_string(dir.path().join("log")).unwrap().lines() {
                    *launches.entry(line.split(' ').next().unwrap().to_owned()).or_insert(0) += 1;
                }
                let used = launches.keys().map(String::as_str).collect::<Vec<_>>();
                let expected: &[&str] = if devices == "cuda:0" { &["0"] } else { &["0", "1"] };
                assert_eq!(used, expected, "{ranks} ranks, {settings}: {launches:?}");
            }
        }
    }
}

#[test]
fn where_one_fails_the_cores_take_its_part() {
    let dir = prepared();
    let bytes = |file: &str| std::fs::read(dir.path().join(file)).unwrap();
    for ranks in [1, 3] {
        steps(dir.path(), ranks, "cores.h5", "devices = cpu", &[]).expect_success();
        // Not before the session is open: that takes one launch for each layer on each GPU.
        for launch in [8, 20, 30] {
            _ = std::fs::remove_file(dir.path().join("log"));
            let failing = [&format!("CUDA_ON_CORES_FAILS={launch}")[..], "CUDA_ON_CORES_LOG=log"];
            steps(dir.path(), ranks, "gpus.h5", "devices = cuda:0", &failing).expect_success();
            assert!(bytes("gpus.h5") == bytes("cores.h5"), "{ranks} ranks, from launch {launch}");
            // After a failure the device is not used again.
            let launches = std::fs::read_to_string(dir.path().join("log")).unwrap().lines().count();
            assert_eq!(launches, ranks * (launch - 1), "{ranks} ranks, from launch {launch}");
        }
    }
}

#[test]
fn one_that_is_not_there_or_is_wrong_is_refused_on_all_ranks() {
    let dir = prepared();
    let refused = |settings: &str, environment: &[&str], why: &str| {
        let said = steps(dir.path(), 2, "no.h5", settings, environment);
        assert!(!said.success && said.err.contains(why), "{settings}: {}{}", said.out, said.err);
        assert!(!dir.path().join("no.h5").exists(), "{settings}");
    };
    refused("devices = cuda:2", &[], "there is no GPU 2; the CUDA driver knows 2");
    refused("devices = cuda", &["CUDA_ON_CORES=0"], "the CUDA driver knows no GPU");
    refused("devices = cuda", &["CUDA_ON_CORES_FAILS=1"], "GPU 0: ");
    refused("devices = cuda:1", &["CUDA_ON_CORES_WRONG=1"], "GPU 1 gives other bits than the cores do");
    refused("devices = cuda:0,0", &[], "GPU 0 is named twice");
    refused("devices = cuda", &["LD_LIBRARY_PATH="], "there is no CUDA driver here");
}
