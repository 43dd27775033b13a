//! Lets the program find the libraries where they were found when it was built: `srun` and `mpirun`
//! start it as it is.

fn main() {
    for name in ["LIBTORCH", "ADIOS2_DIR", "HDF5_DIR"] {
        println!("cargo:rerun-if-env-changed={name}");
        if let Ok(dir) = std::env::var(name) {
            println!("cargo:rustc-link-arg-bins=-Wl,-rpath,{dir}/lib");
        }
    }
}
