//! Says whether the HDF5 that is there can leave files without locks, as 1.10.7 and 1.12.1 can.

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(hdf5_file_locking)");
    let is_at_least = |version: &str| env::var_os(format!("DEP_HDF5_VERSION_{version}")).is_some();
    if is_at_least("1_12_1") || is_at_least("1_10_7") && !is_at_least("1_12_0") {
        println!("cargo:rustc-cfg=hdf5_file_locking");
    }
}
