//! Compiles operator.cpp against the operator interface of the ADIOS2 that `ADIOS2_DIR` or
//! `adios2-config` names.

#[cfg(not(feature = "adios2"))]
fn main() {}

#[cfg(feature = "adios2")]
fn main() {
    use std::env;
    use std::path::PathBuf;
    use std::process::Command;
    println!("cargo:rerun-if-env-changed=ADIOS2_DIR");
    println!("cargo:rerun-if-changed=operator.cpp");
    let asked = || {
        let output = Command::new("adios2-config").arg("--prefix").output().ok()?;
        Some(PathBuf::from(String::from_utf8(output.stdout).ok()?.trim()))
    };
    let prefix = env::var_os("ADIOS2_DIR").map(PathBuf::from).or_else(asked);
    let prefix = prefix.expect("no ADIOS2 found: set ADIOS2_DIR, or put adios2-config on the PATH");
    let include = prefix.join("include");
    // Not our headers, not our warnings.
    let include_flag = format!("-isystem{}", include.display());
    cc::Build::new().cpp(true).std("c++17").file("operator.cpp").flag(include_flag).compile("swae_operator");

    // Interface v2 stands in its header alone; v1 (ADIOS2 up to 2.11) derives from a class of
    // ADIOS2's library.
    if !include.join("adios2/plugin/PluginOperatorInterface.h").exists() {
        let lib = ["lib", "lib64"].map(|d| prefix.join(d)).into_iter().find(|d| d.is_dir());
        let lib = lib.unwrap_or_else(|| panic!("ADIOS2 at {} has no lib folder", prefix.display()));
        println!("cargo:rustc-link-search=native={}", lib.display());
        println!("cargo:rustc-link-lib=dylib=adios2_core");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-rpath,{}", lib.display());
    }
}
