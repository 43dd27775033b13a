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

/// The library, which is looked for where the loader looks, and then where it was at build time.
///
/// # Errors
/// What the loader says.
pub fn library() -> Result<&'static Adios2, String> {
    static LIBRARY: std::sync::OnceLock<Result<Adios2, String>> = std::sync::OnceLock::new();
    let load = || {
        let names = [env!("ADIOS2_SONAME"), concat!(env!("ADIOS2_LIBDIR"), "/", env!("ADIOS2_SONAME"))];
        // SAFETY: loading ADIOS2 runs its initialisers, as linking it would.
        let loaded = names.map(|name| unsafe { Adios2::new(name) }.map_err(|e| e.to_string()));
        let [first, second] = loaded;
        first.or(second)
    };
    LIBRARY.get_or_init(load).as_ref().map_err(|e| format!("ADIOS2 cannot be loaded: {e}"))
}
