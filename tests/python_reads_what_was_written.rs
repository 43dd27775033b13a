//! NumPy, h5py, ADIOS2's Python package and VTK read what the library, the tool and the plugins
//! write.

use ndarray::Array3;
use std::path::{Path, PathBuf};
use std::process::Command;
use swae_codec::{Dtype, Field};
use swae_store::{FieldInfo, plain, vtk};
use swae_tests::{Said, collision, compile, example, installed, mpirun, parameters, run, swae, tree};

/// Files for tests/python.
fn write_data(dir: &Path) {
    let arguments = [
        &collision()[..],
        "end_time=1",
        "output=raw.h5 raw 1",
        "output=run.h5 rel:1e-4 1",
        "output=run.bp rel:1e-4 1",
    ];
    mpirun(dir, 2, &example("bssn/bssn"), &arguments).expect_success();
    let arguments =
        [&collision()[..], "end_time=1", "swae=storage=datasets", "output=datasets.h5 rel:1e-4 1"];
    mpirun(dir, 4, &example("bssn/bssn"), &arguments).expect_success();
    compile(dir, "boxes.c", "", "boxes");
    mpirun(dir, 2, &dir.join("boxes"), &["boxes.h5"]).expect_success();
    let plugin = format!("ADIOS2_PLUGIN_PATH={}", installed().join("lib/swae/adios2").display());
    let writer = example("adios2/heat_writer").display().to_string();
    let configuration = parameters("examples/adios2/adios2.xml");
    mpirun(dir, 4, Path::new("env"), &[&plugin, &writer, "heat.bp", &configuration]).expect_success();

    for output in ["images.vti", "images.pvti"] {
        let arguments = ["decompress", "run.h5", "--var", "chi", "--var", "alpha", "-o", output];
        swae(dir, &arguments).expect_success();
    }
    swae(dir, &["decompress", "run.h5", "--var", "K", "-o", "series.pvd"]).expect_success();
    swae(dir, &["decompress", "boxes.h5", "-o", "levels.pvd"]).expect_success();
    let tall = Array3::from_shape_fn((150, 4, 5), |(z, y, x)| (x + 10 * y + 100 * z) as f64);
    plain::write_npy(&dir.join("tall.npy"), &Field::F64(tall)).unwrap();
    swae(dir, &["decompress", "tall.npy", "-o", "tall.pvti"]).expect_success();
    let info = FieldInfo {
        name: "t<&\">".into(),
        dtype: Dtype::F32,
        shape: [2, 3, 4],
        origin: [1.0 / 3.0, -1e-17, 1e300],
        spacing: [0.1, 0.2, 0.3],
        encoding: String::new(),
        partial: false,
    };
    let field = Field::F32(Array3::zeros((4, 3, 2)));
    vtk::write_vti(&dir.join("tenths.00000000.vti"), &[(info, field)]).unwrap();
}

/// Where setup/python.sh has put an interpreter with its packages.
fn python() -> PathBuf {
    let cache = std::env::var_os("SWAE_DEPS").map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache/swae")));
    let python = cache.expect("SWAE_DEPS or HOME is set").join("python");
    assert!(python.exists(), "{} is not there; run setup/python.sh", python.display());
    python
}

#[test]
fn by_numpy_h5py_adios2_and_vtk() {
    let dir = tempfile::tempdir().unwrap();
    write_data(dir.path());
    let python = python();
    let built =
        |path: &str| tree(path).canonicalize().unwrap_or_else(|_| panic!("no {path}; run `make test`"));
    let plugins = installed().join("lib/swae");
    let path = format!("{}:{}", installed().join("bin").display(), std::env::var("PATH").unwrap_or_default());
    let said: Said = Command::new(python.join("bin/python"))
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", &parameters("tests/python")])
        .env("PYTHONPATH", built("build/python"))
        .env("SWAE_TEST_ADIOS2_V1", python.join("adios2-2.11"))
        .env("SWAE_TEST_OPERATOR_V1", built("build/operator-v1/release"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .env("SWAE_TEST_DATA", dir.path())
        .env("HDF5_PLUGIN_PATH", plugins.join("hdf5"))
        .env("ADIOS2_PLUGIN_PATH", plugins.join("adios2"))
        .env("PATH", path)
        .current_dir(dir.path())
        .output()
        .unwrap()
        .into();
    println!("{}", said.expect_success());
}

#[test]
fn datasets_of_a_run_open_in_hdf5_programs_and_in_our_own() {
    let dir = tempfile::tempdir().unwrap();
    for (ranks, mode, asynchronous) in [
        (1, "abs:1e-5", "off"),
        (2, "rel:1e-3", "encode"),
        (4, "psnr:60", "write"),
        (8, "latent", "off"),
        (2, "pwrel:1e-3", "write"),
    ] {
        let arguments = [
            &collision()[..],
            "output=raw.h5 raw 1",
            &format!("output=a.h5 {mode} 1"),
            &format!("swae=storage=datasets; asynchronous={asynchronous}"),
        ];
        mpirun(dir.path(), ranks, &example("bssn/bssn"), &arguments).expect_success();
        let verified = swae(dir.path(), &["verify", "raw.h5", "a.h5"]);
        match mode {
            "latent" => assert!(verified.err.contains("nothing in it promises a bound"), "{}", verified.err),
            _ => assert_eq!(verified.expect_success().matches(": kept").count(), 24 * 3),
        }
        let compared = swae(dir.path(), &["compare", "raw.h5", "a.h5", "--json"]).expect_success();
        let rows: serde_json::Value = serde_json::from_str(&compared).unwrap();
        assert_eq!(rows.as_array().unwrap().len(), 24 * 3, "three steps");
        for row in rows.as_array().unwrap() {
            let (error, psnr) = (row["max_error"].as_f64().unwrap(), row["psnr"].as_f64());
            match mode {
                "abs:1e-5" => assert!(error <= 1e-5, "{row}"),
                "pwrel:1e-3" => {}
                "psnr:60" => assert!(psnr.is_none_or(|db| db >= 60.0), "{row}"),
                _ => assert!(psnr.is_none_or(|db| db > 20.0), "{row}"),
            }
        }
        let dump = format!("HDF5_PLUGIN_PATH={}", installed().join("lib/swae/hdf5").display());
        let arguments =
            [&dump[..], "h5dump", "-d", "/steps/00000002/chi", "-s", "1,2,3", "-c", "1,1,1", "a.h5"];
        let said = run(dir.path(), "env", &arguments).expect_success();
        assert!(said.contains("(1,2,3)"), "{said}");
    }
}
