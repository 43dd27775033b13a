//! Raw bindings to the C API of ADIOS2 (with MPI), generated at build time from the installed `adios2_c.h`.
#![allow(non_camel_case_types, non_upper_case_globals, non_snake_case, missing_docs, clippy::all)]

include!(concat!(env!("OUT_DIR"), "/bindings.rs"));
