//! Where the loader finds the I/O libraries that this build links.

use std::env;

fn main() {
    println!("cargo:rerun-if-env-changed=HDF5_DIR");
    let hdf5 = env::var("HDF5_DIR").map(|dir| format!("{dir}/lib"));
    for lib in [env::var("DEP_ADIOS2_C_LIBDIR"), hdf5].into_iter().flatten() {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-rpath,{lib}");
    }
}
