//! ADIOS2 programs that are not linked with swae write and read through its operator, by
//! configuration alone. They find it by `ADIOS2_PLUGIN_PATH`.

use std::fs;
use std::path::{Path, PathBuf};
use swae_tests::{Said, example, installed, mpirun, run, tree};

/// Runs a program that finds the operator.
fn with_plugin(dir: &Path, ranks: usize, program: &Path, arguments: &[&str]) -> Said {
    let path = format!("ADIOS2_PLUGIN_PATH={}", installed().join("lib/swae/adios2").display());
    let program = program.display().to_string();
    mpirun(dir, ranks, Path::new("env"), &[&[&path[..], &program], arguments].concat())
}

fn writer() -> PathBuf {
    example("adios2/heat_writer")
}

/// The example's configuration, with something in it replaced.
fn configuration(dir: &Path, old: &str, new: &str) {
    let text = fs::read_to_string(tree("examples/adios2/adios2.xml")).unwrap();
    assert!(text.contains(old));
    fs::write(dir.join("adios2.xml"), text.replace(old, new)).unwrap();
}

/// The numbers that heat_reader prints.
fn errors(dir: &Path, ranks: usize) -> [f64; 4] {
    let said = with_plugin(dir, ranks, &example("adios2/heat_reader"), &["heat.bp"]).expect_success();
    assert!(said.starts_with("3 steps"), "{said}");
    let words = said.split([' ', ',']).filter_map(|w| w.trim().parse().ok());
    words.skip(1).collect::<Vec<f64>>().try_into().unwrap_or_else(|_| panic!("{said}"))
}

#[test]
fn the_bounds_hold_on_any_number_of_ranks() {
    let dir = tempfile::tempdir().unwrap();
    configuration(dir.path(), "rel", "rel");
    for ranks in [1, 2, 4, 8] {
        _ = fs::remove_dir_all(dir.path().join("heat.bp"));
        with_plugin(dir.path(), ranks, &writer(), &["heat.bp"]).expect_success();
        let stored = swae_store::size_on_disk(&dir.path().join("heat.bp")).unwrap();
        let (points, integers) = (3 * 64 * 64 * 64, 3 * 64 * 64 * 64 * 4);
        assert!(stored < integers + points / 4, "{stored} bytes on {ranks} ranks");
        for readers in [1, 3] {
            let [temperature, single, profile, cell] = errors(dir.path(), readers);
            // The bound relative to a range is one of each rank's block, whose range is at most 1.
            assert!(temperature <= 1e-4 && temperature > 0.0, "{temperature}");
            assert!(single <= 1e-3 && single > 0.0, "{single}");
            assert!(profile <= 1e-6, "{profile}");
            assert_eq!(cell, 0.0, "values that are no floats come back as they were");
        }
    }
}

#[test]
fn every_mode_of_the_configuration_is_understood() {
    let dir = tempfile::tempdir().unwrap();
    let old = r#"value="rel"/>
                <parameter key="bound" value="1e-4"/>"#;
    for (mode, bound, most) in [
        ("latent", "\"/><parameter key=\"model\" value=\"gr-48", 0.2),
        ("raw", "0", 0.0),
        ("psnr", "60", 1e-2),
        ("pwrel", "1e-3", 1e-3),
        (
            "abs",
            "1e-5\"/><parameter key=\"layout\" value=\"series\"/><parameter key=\"threads\" value=\"2",
            1e-5,
        ),
    ] {
        let new = format!("value=\"{mode}\"/>\n<parameter key=\"bound\" value=\"{bound}\"/>");
        configuration(dir.path(), old, &new);
        _ = fs::remove_dir_all(dir.path().join("heat.bp"));
        with_plugin(dir.path(), 2, &writer(), &["heat.bp"]).expect_success();
        let [temperature, ..] = errors(dir.path(), 1);
        assert!(temperature <= most, "{mode}: {temperature}");
    }
}

#[test]
fn a_configuration_in_yaml_says_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let yaml = tree("examples/adios2/adios2.yaml").canonicalize().unwrap().display().to_string();
    with_plugin(dir.path(), 2, &writer(), &["heat.bp", &yaml]).expect_success();
    let [temperature, single, profile, cell] = errors(dir.path(), 2);
    assert!(temperature <= 1e-4 && temperature > 0.0 && single <= 1e-3 && single > 0.0);
    assert_eq!((profile, cell), (0.0, 0.0));
}

#[test]
fn bpls_prints_the_values() {
    let dir = tempfile::tempdir().unwrap();
    configuration(dir.path(), "rel", "rel");
    with_plugin(dir.path(), 4, &writer(), &["heat.bp"]).expect_success();
    // The middle of the first step: 1 at x = 20, y = 30, z = 40.
    let arguments = ["-d", "heat.bp", "temperature", "-s", "0,40,30,20", "-c", "1,1,1,3", "-n", "3"];
    let said = with_plugin(dir.path(), 1, Path::new("bpls"), &arguments).expect_success();
    let line = said.lines().find(|line| line.contains("(0,40,30,20)")).unwrap_or_else(|| panic!("{said}"));
    let values: Vec<f64> = line.split_whitespace().filter_map(|w| w.parse().ok()).collect();
    for (x, value) in values.iter().enumerate() {
        let truth = (-((x * x) as f64) / 80.0).exp();
        assert!((value - truth).abs() < 2e-4, "{line}");
    }
    assert_eq!(values.len(), 3, "{line}");
}

/// What replaces the example's mode and bound, and what ADIOS2's log must then say.
const WRONG: [(&str, &str); 10] = [
    (
        r#""mode" value="rel"/><parameter key="bond" value="1e-4""#,
        "unknown option 'bond'; did you mean 'bound'?",
    ),
    (r#""mode" value="best"/><parameter key="bound" value="1e-4""#, "mode 'best': unknown variant 'best'"),
    (r#""mode" value="rel""#, "needs a 'bound'"),
    (r#""mode" value="rel"/><parameter key="bound" value="""#, "needs a 'bound'"),
    (r#""mode" value="rel"/><parameter key="bound" value="-2""#, "no error bound"),
    (r#""mode" value="abs"/><parameter key="bound" value="nan""#, "no error bound"),
    (r#""mode" value="abs"/><parameter key="bound" value="small""#, "bound 'small'"),
    (r#""mode" value="latent"/><parameter key="model" value="gr-17""#, "no model named 'gr-17'"),
    (
        r#""mode" value="rel"/><parameter key="bound" value="1e-4"/><parameter key="layout" value="spiral""#,
        "layout 'spiral'",
    ),
    (
        r#""mode" value="rel"/><parameter key="bound" value="1e-4"/><parameter key="threads" value="-1""#,
        "threads '-1' is not a number of threads",
    ),
];

#[test]
fn wrong_parameters_are_warnings_that_name_them_and_the_values_are_kept_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let old = r#""mode" value="rel"/>
                <parameter key="bound" value="1e-4""#;
    for (new, reason) in WRONG {
        configuration(dir.path(), old, new);
        _ = fs::remove_dir_all(dir.path().join("heat.bp"));
        let said = with_plugin(dir.path(), 2, &writer(), &["heat.bp"]).expect_success();
        assert!(said.contains("ADIOS2 WARNING") && said.contains(reason), "{reason}: {said}");
        let [temperature, single, ..] = errors(dir.path(), 1);
        assert_eq!(temperature, 0.0, "{reason}");
        assert!(single > 0.0, "the other variables are compressed");
    }
}

#[test]
fn damaged_bytes_are_an_error_and_no_crash() {
    let dir = tempfile::tempdir().unwrap();
    configuration(dir.path(), "rel", "rel");
    with_plugin(dir.path(), 1, &writer(), &["heat.bp"]).expect_success();
    let data = dir.path().join("heat.bp/data.0");
    let whole = fs::read(&data).unwrap();
    let payloads: Vec<_> =
        whole.windows(4).enumerate().filter(|(_, w)| w == b"SWAA").map(|(i, _)| i).collect();
    assert!(payloads.len() >= 12, "four variables in three steps");
    for (number, at) in payloads.into_iter().enumerate() {
        let mut damaged = whole.clone();
        damaged[at + number] ^= 0x10;
        fs::write(&data, damaged).unwrap();
        let said = with_plugin(dir.path(), 1, &example("adios2/heat_reader"), &["heat.bp"]);
        assert!(!said.success && said.err.contains("swae: "), "byte {number}: {}", said.err);
        assert!(!said.err.contains("signal"), "byte {number}: {}", said.err);
    }
}

#[test]
fn the_plugins_need_no_library_beyond_those_of_the_compiler() {
    let known =
        ["linux-vdso", "libstdc++", "libgcc_s", "libm.", "libc.", "ld-linux", "libdl.", "libpthread."];
    for plugin in ["adios2/libswae_adios2.so", "hdf5/libh5z_swae.so"] {
        let path = installed().join("lib/swae").join(plugin).display().to_string();
        let needs = run(Path::new("."), "ldd", &[&path]).expect_success();
        let other = needs.lines().find(|line| !known.iter().any(|k| line.contains(k)));
        assert!(other.is_none(), "{plugin} needs {other:?}");
    }
}
