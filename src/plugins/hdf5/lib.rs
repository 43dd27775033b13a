//! The HDF5 filter as a plugin: what the HDF5 library asks of a file that it finds in `HDF5_PLUGIN_PATH`.

use std::ffi::{c_int, c_void};
use swae_plugins::filter::CLASS;

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
