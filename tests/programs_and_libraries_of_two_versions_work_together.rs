//! A program and a library of different versions work together: each of them may have structs with
//! one more member at the end than the other. The program tests/c/grown.c is built with two headers,
//! today's and one with another member in each struct; tests/grown is the library of that header.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use swae_tests::{Said, installed, shell, tree};

/// The structs that grow.
const STRUCTS: [&str; 6] =
    ["swae_options", "swae_field", "swae_box", "swae_boxes", "swae_statistics", "swae_field_info"];

/// The header of a later version.
fn grown_header(dir: &Path) {
    let mut header = fs::read_to_string(installed().join("include/swae.h")).unwrap();
    for name in STRUCTS {
        let end = format!("\n}} {name};");
        assert_eq!(header.matches(&end).count(), 1, "{name}");
        header = header.replace(&end, &format!("\n  uint64_t next;{end}"));
    }
    fs::create_dir(dir.join("later")).unwrap();
    fs::write(dir.join("later/swae.h"), header).unwrap();
}

/// Builds the library of a later version, and puts it where a program finds it as libswae.
fn grown_library(dir: &Path) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    // With the features of the installed library, so that its parts are built once.
    let adios2 = std::env::var("SWAE_FEATURES").is_ok_and(|features| features.contains("adios2"));
    let features = if adios2 { "swae-capi/adios2,swae-tool/adios2,swae-grown/adios2" } else { "" };
    cargo.args(["build", "-q", "--release", "-p", "swae-grown", "-p", "swae-capi", "-p", "swae-tool"]);
    cargo.args(["--features", features, "--target-dir"]).arg(tree("target")).current_dir(tree("."));
    assert!(cargo.status().unwrap().success());
    let folder = dir.join("later");
    fs::copy(tree("target/release/libswae_grown.so"), folder.join("libswae.so.0")).unwrap();
    folder
}

/// Builds the program with the header of a folder.
fn program(dir: &Path, header: &Path, options: &str, name: &str) -> PathBuf {
    // No struct has padding, which a later member would take.
    let build = format!(
        "mpicc -std=c99 -g -Wall -Wextra -Wpadded -Werror {options} -I{} $SOURCE/tests/c/grown.c \
         -L$PREFIX/lib -lswae -o {name}",
        header.display()
    );
    shell(dir, &build, &installed()).expect_success();
    dir.join(name)
}

/// Runs a program with the library of a folder.
fn run(dir: &Path, program: &Path, library: &Path, next: &str) -> Vec<String> {
    let mut command = Command::new(program);
    command.args(["grown.h5", next]).current_dir(dir).env("LD_LIBRARY_PATH", library);
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    let said = Said::from(command.output().unwrap());
    said.expect_success().lines().map(str::to_owned).collect()
}

#[test]
fn programs_and_libraries_of_two_versions_work_together() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    grown_header(dir);
    let (today, later) = (installed().join("lib"), grown_library(dir));
    let old = program(dir, &installed().join("include"), "", "old");
    let new = program(dir, &later, "-DGROWN", "new");

    let plain = run(dir, &old, &today, "0");
    let failed = |said: &[String]| {
        said.iter().filter(|l| l.contains(" | ") && !l.contains(" | 0 | ")).cloned().collect::<Vec<_>>()
    };
    assert!(failed(&plain).is_empty(), "{plain:#?}");
    for line in [
        "statistics: size kept, next 0, guard whole",
        "info: K abs 0e0, 16 points, size kept, next 0, guard whole",
        "boxes: 2, the second at 8, ghosts 0, next 0, guard whole",
        "read: the values",
        "decompressed: the values",
    ] {
        let line = line.replace("info: K", "info: alpha");
        assert!(plain.contains(&line), "{line}: {plain:#?}");
    }
    // The library of a later version does the same for a program of today.
    assert_eq!(run(dir, &old, &later, "0"), plain);
    // A program of a later version that sets nothing new gets the same from today's library, and what
    // that cannot fill in is 0; from its own it gets the new member as well.
    assert_eq!(run(dir, &new, &today, "0"), plain);
    let own = run(dir, &new, &later, "5");
    assert_eq!(own, plain.iter().map(|line| line.replace("next 0", "next 42")).collect::<Vec<_>>());

    // What a library does not know is refused where it says something, and so is what it knows to be
    // wrong.
    let inputs =
        ["options", "field", "boxes", "box", "step", "compress field", "compress options", "decompress"];
    for (library, next, status, words) in [
        (&today, "5", 6, "sets a member that this library, version 0.1.0, does not know"),
        (&later, "9", 1, "next is 9, expected at most 7"),
    ] {
        let refused = failed(&run(dir, &new, library, next));
        assert_eq!(refused.len(), inputs.len(), "{refused:#?}");
        for (line, what) in refused.iter().zip(inputs) {
            assert!(line.starts_with(&format!("{what} | {status} | ")) && line.contains(words), "{line}");
        }
    }
}
