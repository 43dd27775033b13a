//! Finds ADIOS2 (`ADIOS2_DIR`, else `adios2-config` on the PATH) and generates bindings to its C API,
//! which the program loads when it first needs them.

use std::path::PathBuf;
use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-env-changed=ADIOS2_DIR");
    println!("cargo:rerun-if-changed=build.rs");
    let prefix = prefix();
    let lib = ["lib", "lib64"].map(|d| prefix.join(d)).into_iter().find(|d| d.is_dir());
    let lib = lib.unwrap_or_else(|| panic!("ADIOS2 at {} has no lib folder", prefix.display()));
    // The files that a linked program would ask for: the development links lead to them.
    for (variable, name) in [("ADIOS2_C", "libadios2_c.so"), ("ADIOS2_C_MPI", "libadios2_c_mpi.so")] {
        let linked = std::fs::read_link(lib.join(name)).ok();
        let soname = linked.and_then(|path| Some(path.file_name()?.to_owned()));
        println!("cargo:rustc-env={variable}={}", soname.unwrap_or_else(|| name.into()).display());
    }
    println!("cargo:rustc-env=ADIOS2_LIBDIR={}", lib.display());
    // Dependants see it as DEP_ADIOS2_C_LIBDIR, for their rpath.
    println!("cargo:libdir={}", lib.display());

    let mpi = build_probe_mpi::probe().expect("an MPI with mpicc on the PATH");
    let include = prefix.join("include");
    let bindings = bindgen::Builder::default()
        .header(include.join("adios2_c.h").display().to_string())
        .clang_arg(format!("-I{}", include.display()))
        .clang_args(mpi.include_paths.iter().map(|p| format!("-I{}", p.display())))
        .clang_arg("-DADIOS2_USE_MPI=1")
        .allowlist_item("adios2_.*")
        // A variable, which no function takes.
        .blocklist_item("adios2_local_value_dim")
        .dynamic_library_name("Adios2")
        .blocklist_type("MPI_Comm")
        .blocklist_type("ompi_communicator_t")
        .raw_line("use mpi_sys::MPI_Comm;")
        // Doxygen, which rustdoc reads as broken links.
        .generate_comments(false)
        .default_enum_style(bindgen::EnumVariation::Consts)
        .generate()
        .expect("ADIOS2's C headers can be read; is it an MPI build of 2.9 or newer?");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    bindings.write_to_file(out.join("bindings.rs")).expect("OUT_DIR can be written");
}

fn prefix() -> PathBuf {
    if let Some(dir) = env::var_os("ADIOS2_DIR") {
        return dir.into();
    }
    let asked = Command::new("adios2-config").arg("--prefix").output();
    match asked {
        Ok(output) if output.status.success() => String::from_utf8_lossy(&output.stdout).trim().into(),
        _ => panic!("no ADIOS2 found: set ADIOS2_DIR, put adios2-config on the PATH, or run setup/adios2.sh"),
    }
}
