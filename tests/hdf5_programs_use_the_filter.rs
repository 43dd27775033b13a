//! HDF5 programs that are not linked with swae write and read through its filter, which they find
//! by `HDF5_PLUGIN_PATH`.

use ndarray::Array3;
use std::fs;
use std::path::Path;
use swae_codec::Field;
use swae_store::{open, plain, read_field};
use swae_tests::{Said, installed, mpirun, shell, swae};

/// Runs a shell command that finds the filter.
fn with_plugin(dir: &Path, command: &str) -> Said {
    let script = format!("export HDF5_PLUGIN_PATH=$PREFIX/lib/swae/hdf5\n{command}");
    shell(dir, &script, &installed())
}

/// The parameters that `swae hdf5-filter` prints for one of the programs.
fn parameters(how: &[&str], program: &str) -> String {
    let said = swae(Path::new("."), &[&["hdf5-filter"], how].concat()).expect_success();
    let line = said.lines().find_map(|line| line.strip_prefix(program)).unwrap_or_else(|| panic!("{said}"));
    line.trim().to_owned()
}

fn wave() -> Array3<f64> {
    Array3::from_shape_fn((40, 50, 60), |(z, y, x)| {
        (0.1 * x as f64).sin() * (0.07 * y as f64).cos() + 0.01 * z as f64
    })
}

/// A file of ordinary datasets: a field of doubles, one of floats.
fn datasets(dir: &Path) {
    plain::write_npy(&dir.join("chi.npy"), &Field::F64(wave())).unwrap();
    plain::write_npy(&dir.join("phi.npy"), &Field::F32(wave().mapv(|v| v as f32))).unwrap();
    for name in ["chi", "phi"] {
        swae(dir, &["decompress", &format!("{name}.npy"), "-o", &format!("{name}.h5")]).expect_success();
    }
}

#[test]
fn h5repack_compresses_and_h5dump_and_h5diff_read() {
    let dir = tempfile::tempdir().unwrap();
    datasets(dir.path());
    // Neither latents nor a PSNR bound the largest error, but the wave is still there.
    for (how, most) in [
        (&["--abs", "1e-4"][..], 1e-4),
        (&["--rel", "1e-3"], 2.5e-3),
        (&["--pwrel", "1e-5"], 1.5e-5),
        (&["--psnr", "70"], 0.1),
        (&["--latent"], 1.0),
    ] {
        let filter = parameters(how, "h5repack");
        for name in ["chi", "phi"] {
            let command = format!(
                "h5repack {filter} -l CHUNK=16x25x60 {name}.h5 small.h5
                 h5dump -pH small.h5 | grep -q 'FILTER_ID 397'
                 h5dump -d /00000000/{name} -s 3,4,5 -c 1,1,2 small.h5
                 h5diff --delta={most} {name}.h5 small.h5"
            );
            let said = with_plugin(dir.path(), &command).expect_success();
            assert!(said.contains("(3,4,5)"), "{said}");
            let [raw, small] = [&*format!("{name}.h5"), "small.h5"]
                .map(|file| fs::metadata(dir.path().join(file)).unwrap().len());
            assert!(small < raw / 5, "{how:?}, {name}: {small} of {raw} bytes");
        }
    }
}

#[test]
fn the_bound_holds_for_every_value_of_a_filtered_dataset() {
    let dir = tempfile::tempdir().unwrap();
    datasets(dir.path());
    let filter = parameters(&["--abs", "1e-5"], "h5repack");
    with_plugin(dir.path(), &format!("h5repack {filter} -l CHUNK=16x25x60 chi.h5 small.h5")).expect_success();
    // The tools of swae need no path.
    let mut reader = open(&dir.path().join("small.h5")).unwrap();
    assert_eq!(reader.steps()[0].fields[0].0.encoding, "abs 1e-5");
    swae(dir.path(), &["verify", "chi.npy", "small.h5"]).expect_success();
    let Field::F64(back) = read_field(reader.as_mut(), 0, "00000000/chi").unwrap() else { panic!("doubles") };
    let worst = back.iter().zip(&wave()).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max);
    assert!(worst > 0.0 && worst <= 1e-5, "{worst}");
}

#[test]
fn ranks_write_together_through_the_filter() {
    let dir = tempfile::tempdir().unwrap();
    let build = "mpicc -std=c99 -Wall -Wextra -Werror $SOURCE/tests/c/filtered.c ${HDF5_DIR:+-I$HDF5_DIR/include -L$HDF5_DIR/lib \
                 -Wl,-rpath,$HDF5_DIR/lib} -lhdf5 -lm -o filtered";
    shell(dir.path(), build, &installed()).expect_success();
    let numbers = parameters(&["--abs", "1e-4"], "h5repack");
    let numbers: Vec<&str> = numbers.split(',').skip(3).collect();
    let path = format!("HDF5_PLUGIN_PATH={}", installed().join("lib/swae/hdf5").display());
    for ranks in [1, 2, 4, 8] {
        let arguments = [&[&path[..], "./filtered", "phi.h5"], &numbers[..]].concat();
        let said = mpirun(dir.path(), ranks, Path::new("env"), &arguments).expect_success();
        let stored: usize = said.split(' ').next().unwrap().parse().unwrap();
        assert!(stored < 48 * 48 * 48 * 8 / 10, "{said}");
    }
}

#[test]
fn damage_and_newer_parameters_are_errors_on_hdf5s_stack() {
    let dir = tempfile::tempdir().unwrap();
    datasets(dir.path());
    let filter = parameters(&["--abs", "1e-4"], "h5repack");
    with_plugin(dir.path(), &format!("h5repack {filter} chi.h5 small.h5")).expect_success();
    let path = dir.path().join("small.h5");
    let whole = fs::read(&path).unwrap();
    let at = whole.windows(4).position(|w| w == b"SWAA").expect("a payload");
    for byte in [0, 4, 5, 8, 20, 100, 500] {
        let mut damaged = whole.clone();
        damaged[at + byte] ^= 0x40;
        fs::write(&path, damaged).unwrap();
        let said = with_plugin(dir.path(), "h5dump -E -d /00000000/chi small.h5");
        let all = format!("{}{}", said.out, said.err);
        assert!(!said.success && all.contains("swae: "), "byte {byte}: {all}");
    }
    let newer = filter.replacen(",5,1,", ",5,2,", 1);
    let said = with_plugin(dir.path(), &format!("h5repack --enable-error-stack {newer} chi.h5 newer.h5"));
    let all = format!("{}{}", said.out, said.err);
    assert!(all.contains("version 2, this plugin knows version 1; a newer plugin reads them"), "{all}");
}
