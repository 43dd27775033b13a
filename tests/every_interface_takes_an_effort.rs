//! The effort reaches the encoder from every place where a user can say it. More effort makes smaller
//! streams, which tells efforts apart. (The HDF5 filter, the ADIOS2 operator's parameters and Python
//! have tests of their own, in `src/filter`, `src/plugins` and `tests/python`.)

use ndarray::Array3;
use std::fs;
use std::path::Path;
use swae_codec::{Compression, Field, FieldView, compress};
use swae_codec::config::Effort;
use swae_store::plain;
use swae_tests::{compile, decode, example, installed, mpirun, shell, swae, tree};

/// The field of tests/c/effort.c.
fn field() -> Array3<f64> {
    Array3::from_shape_fn((24, 32, 40), |(z, y, x)| {
        let [x, y, z] = [x as i32 - 17, y as i32 - 9, z as i32 - 5];
        1.0 / f64::from(40 + x * x + 2 * y * y + 3 * z * z)
    })
}

/// The size of the field's stream at each effort; all are different.
fn sizes() -> [usize; 3] {
    let field = field();
    let view = FieldView::of_array(&field).unwrap();
    let size = |effort| compress(&view, &Compression::relative(1e-4).effort(effort)).unwrap().len();
    let sizes = Effort::ALL.map(size);
    assert!(sizes[0] > sizes[1] && sizes[1] > sizes[2], "{sizes:?}");
    sizes
}

#[test]
fn c_cpp_and_fortran_take_it_as_an_option_and_as_a_setting() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    compile(dir, "effort.c", "", "c");
    let build = "mpicxx -std=c++17 -Wall -Werror $SOURCE/tests/c/effort.cpp $(pkg-config --cflags --libs swae) \
                 -Wl,-rpath,$PREFIX/lib -o cpp
        mpifort -std=f2018 -Wall -Werror $PREFIX/include/swae.f90 $SOURCE/tests/fortran/effort.f90 \
                 $(pkg-config --libs swae) -Wl,-rpath,$PREFIX/lib -o fortran";
    shell(dir, build, &installed()).expect_success();
    fs::write(dir.join("best.toml"), "effort = 'best'").unwrap();
    let written = |program: &str, arguments: &[&str]| {
        mpirun(dir, 1, &dir.join(program), &[&["a.h5"], arguments].concat()).expect_success();
        fs::read(dir.join("a.h5")).unwrap()
    };
    let stored = |effort: Effort| {
        let name = format!("effort = {}", effort.name());
        let number = (effort as i32).to_string();
        let setting = written("c", &["0", &name]);
        for program in ["c", "cpp", "fortran"] {
            assert!(written(program, &[&number, ""]) == setting, "{program}, {effort:?}");
            // A setting overrides the option.
            assert!(written(program, &["1", &name]) == setting, "{program}, {effort:?}");
        }
        setting.len()
    };
    let stored = Effort::ALL.map(stored);
    assert!(stored[0] > stored[1] && stored[1] > stored[2], "{stored:?}");
    // They differ by their streams alone.
    let expected = sizes();
    assert_eq!(stored[0] - stored[1], expected[0] - expected[1]);
    assert_eq!(decode(&dir.join("a.h5")).len(), 1);
}

#[test]
fn the_tool_takes_it_as_a_flag() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    plain::write_npy(&dir.join("phi.npy"), &Field::F64(field())).unwrap();
    let stored = Effort::ALL.map(|effort| {
        swae(dir, &["compress", "phi.npy", "--effort", effort.name(), "-o", "phi.swae"]).expect_success();
        swae(dir, &["verify", "phi.npy", "phi.swae"]).expect_success();
        fs::read(dir.join("phi.swae")).unwrap().len()
    });
    let expected = sizes();
    assert_eq!([stored[0] - stored[1], stored[1] - stored[2]], [expected[0] - expected[1], expected[1] - expected[2]]);
    swae(dir, &["compress", "phi.npy", "-o", "phi.swae"]).expect_success();
    assert_eq!(fs::read(dir.join("phi.swae")).unwrap().len(), stored[1]);
    let said = swae(dir, &["hdf5-filter", "--effort", "fast"]).expect_success();
    assert!(said.contains(", 256)"), "{said}");
    let said = swae(dir, &["compress", "phi.npy", "--effort", "much", "-o", "phi.swae"]);
    assert!(!said.success && said.err.contains("[possible values: fast, normal, best]"), "{}", said.err);
}

#[test]
fn the_adios2_operator_takes_it_as_a_parameter() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let text = fs::read_to_string(tree("examples/adios2/adios2.xml")).unwrap();
    let old = r#"<parameter key="mode" value="rel"/>"#;
    assert!(text.contains(old));
    let stored = Effort::ALL.map(|effort| {
        let new = format!(r#"{old}<parameter key="effort" value="{}"/>"#, effort.name());
        fs::write(dir.join("adios2.xml"), text.replace(old, &new)).unwrap();
        _ = fs::remove_dir_all(dir.join("heat.bp"));
        let plugins = format!("ADIOS2_PLUGIN_PATH={}", installed().join("lib/swae/adios2").display());
        let writer = example("adios2/heat_writer").display().to_string();
        mpirun(dir, 1, Path::new("env"), &[&plugins, &writer, "heat.bp"]).expect_success();
        swae_store::size_on_disk(&dir.join("heat.bp")).unwrap()
    });
    assert!(stored[0] > stored[1] && stored[1] > stored[2], "{stored:?}");
}
