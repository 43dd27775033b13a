//! `make install` puts everything where programs in C, C++ and Fortran find it, by CMake or by
//! pkg-config alone.

use std::fs;
use std::path::{Path, PathBuf};
use swae_tests::{compile, installed, mpirun, run, shell, tree};

/// Installs what is built into an empty folder.
fn install(dir: &Path) -> PathBuf {
    let prefix = dir.join("prefix");
    let script = tree("setup/install.sh").canonicalize().unwrap();
    run(dir, script, &[&prefix.display().to_string()]).expect_success();
    prefix
}

#[test]
fn three_languages_write_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let prefix = install(dir.path());
    let build = "cmake -S $SOURCE/examples -B build -DCMAKE_PREFIX_PATH=$PREFIX
        cmake --build build --target first first_cpp first_fortran
        mpicc -std=c99 -Wall -Werror $SOURCE/examples/c/first.c $(pkg-config --cflags --libs swae) -Wl,-rpath,$PREFIX/lib -o shared
        mpicc $SOURCE/examples/c/first.c $(pkg-config --cflags swae) $PREFIX/lib/libswae.a \
            $(pkg-config --static --libs-only-L swae) $(pkg-config --static --libs swae | sed 's/-lswae//') -o static
        ldd static | grep -q libswae && exit 1 || true";
    shell(dir.path(), build, &prefix).expect_success();
    let programs =
        ["build/c/first", "build/cpp/first_cpp", "build/fortran/first_fortran", "shared", "static"];
    for ranks in [1, 2, 4] {
        let mut reference = None;
        let path = dir.path().join(format!("{ranks}.h5"));
        for program in programs {
            let program = dir.path().join(program);
            mpirun(dir.path(), ranks, &program, &[&path.display().to_string()]).expect_success();
            let bytes = fs::read(&path).unwrap();
            let reference = reference.get_or_insert_with(|| bytes.clone());
            assert!(bytes == *reference, "{} on {ranks} ranks writes other bytes", program.display());
        }
    }
}

#[test]
fn the_library_exports_its_own_names_alone() {
    let library = installed().join("lib/libswae.so");
    let library = library.display().to_string();
    let symbols = run(Path::new("."), "nm", &["-D", "--defined-only", &library]).expect_success();
    let names: Vec<_> = symbols.lines().filter_map(|line| line.split_whitespace().last()).collect();
    assert!(names.contains(&"swae_put_boxes"));
    let others: Vec<_> = names.iter().filter(|name| !name.starts_with("swae_")).collect();
    assert!(others.is_empty(), "{others:?}");
    let header = fs::read_to_string(tree("include/swae.h")).unwrap();
    for name in names {
        assert!(header.contains(&format!("{name}(")), "{name} is not in swae.h");
    }
    let dynamic = run(Path::new("."), "readelf", &["-d", &library]).expect_success();
    assert!(dynamic.contains("Library soname: [libswae.so.0]"), "{dynamic}");
}

#[test]
fn boxes_of_a_hierarchy_come_back_on_their_levels() {
    let dir = tempfile::tempdir().unwrap();
    compile(dir.path(), "boxes.c", "-fsanitize=address,undefined", "boxes");
    let build = "mpicxx -std=c++17 -Wall $SOURCE/tests/c/views.cpp $(pkg-config --cflags --libs swae) -Wl,-rpath,$PREFIX/lib -o views";
    shell(dir.path(), build, &installed()).expect_success();
    for (ranks, file) in [(2, "a.h5"), (2, "a.bp"), (4, "b.h5"), (8, "b.bp")] {
        // Memory that MPI itself never frees is not reported.
        let program = format!("ASAN_OPTIONS=detect_leaks=0 exec ./boxes {file}");
        mpirun(dir.path(), ranks, Path::new("sh"), &["-c", &program]).expect_success();
    }
    mpirun(dir.path(), 2, &dir.path().join("views"), &["views.h5"]).expect_success();
}

#[test]
fn fortran_arrays_come_back_as_they_were() {
    let dir = tempfile::tempdir().unwrap();
    let build = "mpifort -std=f2018 -Wall -Werror -g -fcheck=all $PREFIX/include/swae.f90 $SOURCE/tests/fortran/fields.f90 \
        $(pkg-config --libs swae) -Wl,-rpath,$PREFIX/lib -o fields";
    shell(dir.path(), build, &installed()).expect_success();
    for (ranks, file) in [(1, "a.h5"), (2, "b.bp"), (4, "c.h5"), (8, "d.bp")] {
        mpirun(dir.path(), ranks, &dir.path().join("fields"), &[file]).expect_success();
    }
}
