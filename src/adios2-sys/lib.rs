//! Raw bindings to the C API of ADIOS2 (with MPI), generated at build time from the installed `adios2_c.h`.
//!
//! The library is loaded when it is first needed: loading ADIOS2 with all that it needs takes a program
//! five milliseconds, which most commands of a tool never need.
#![allow(
    unsafe_op_in_unsafe_fn,
    non_camel_case_types,
    non_upper_case_globals,
    non_snake_case,
    missing_docs,
    clippy::all
)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));

/// ADIOS2's C API: of two libraries, the second has what takes a communicator.
pub struct Libraries {
    /// All functions but one.
    pub serial: Adios2,
    /// `adios2_init_mpi`.
    pub mpi: Adios2,
}

/// The libraries, which are looked for where the loader looks, and then where they were at build time.
///
/// # Errors
/// What the loader says.
pub fn libraries() -> Result<&'static Libraries, String> {
    static LIBRARIES: std::sync::OnceLock<Result<Libraries, String>> = std::sync::OnceLock::new();
    let load = |name: &str, path: &str| {
        // SAFETY: loading ADIOS2 runs its initialisers, as linking it would.
        let found = unsafe { Adios2::new(name).or_else(|_| Adios2::new(path)) };
        found.map_err(|e| format!("ADIOS2 cannot be loaded: {e}"))
    };
    let both = || {
        Ok(Libraries {
            serial: load(env!("ADIOS2_C"), concat!(env!("ADIOS2_LIBDIR"), "/", env!("ADIOS2_C")))?,
            mpi: load(env!("ADIOS2_C_MPI"), concat!(env!("ADIOS2_LIBDIR"), "/", env!("ADIOS2_C_MPI")))?,
        })
    };
    LIBRARIES.get_or_init(both).as_ref().map_err(Clone::clone)
}
