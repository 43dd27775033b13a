//! The HDF5 filter as a plugin: the two functions that HDF5 looks up in a library of
//! `HDF5_PLUGIN_PATH`.
//!
//! The filter itself is the crate `swae-filter`.

use std::ffi::{c_int, c_void};
use swae_filter::filter::CLASS;

/// H5PL_TYPE_FILTER.
#[unsafe(no_mangle)]
pub extern "C" fn H5PLget_plugin_type() -> c_int {
    0
}

/// The filter's H5Z_class2_t.
#[unsafe(no_mangle)]
pub extern "C" fn H5PLget_plugin_info() -> *const c_void {
    (&raw const CLASS).cast()
}
