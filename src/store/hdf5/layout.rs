//! How a file is laid out: its groups, the names in them, and what is written before the first step.
//!
//! HDF5 changes the list of `/steps` in several writes: a program that is killed between two of
//! them leaves a list that cannot be read. So steps are also a chain, which is never changed: each
//! refers to the one `previous` to it, and `/last` to its end.

use super::attributes::{set, text};
use hdf5::plist::GroupCreate;
use hdf5::plist::group_create::LinkPhaseChange;
use hdf5::plist::link_create::CharEncoding;
use hdf5::{File, FileBuilder, ObjectReference1};
use hdf5_sys::h5p;
use std::path::Path;
use swae_codec::stream::FORMAT_VERSION;

pub(super) const STEPS: &str = "steps";
pub(super) const MODELS: &str = "models";
/// Two references to the last step, of which the newer one holds: while one is written, the other
/// is whole.
pub(super) const LAST: &str = "last";

/// Creates a file that has no step yet.
pub(super) fn create_file(builder: &mut FileBuilder, path: &Path) -> hdf5::Result<File> {
    let file = builder
        // Objects of HDF5 1.8: smaller by half than the oldest, which matters for small fields.
        .with_fapl(|p| p.libver_v18())
        .with_fcpl(|p| p.obj_track_times(false))
        .create(path)?;
    set(&file, "creator", &text::<64>(concat!("swae ", env!("CARGO_PKG_VERSION"))))?;
    set(&file, "stream_format_version", &FORMAT_VERSION)?;
    // Links in one list, whatever their number: few blocks change where one is added.
    let one_list = LinkPhaseChange { max_compact: u16::MAX.into(), min_dense: 0 };
    let steps = file.create_group_builder().obj_track_times(false);
    steps.with_gcpl(|p| p.link_phase_change(one_list)).create(STEPS)?;
    // Space for names of models where the list is: it changes in one write while the file has steps
    // to lose.
    let models_list = GroupCreate::build().obj_track_times(false).finish()?;
    let (models, name_length) = (8, 32);
    // SAFETY: the identifier is valid.
    hdf5::sync::sync(|| unsafe { h5p::H5Pset_est_link_info(models_list.id(), models, name_length) });
    file.create_group_builder().set_gcpl(&models_list).create(MODELS)?;
    file.new_dataset::<ObjectReference1>().shape(2).obj_track_times(false).create(LAST)?;
    Ok(file)
}

/// How HDF5 notes a name: only those that need it as UTF-8, so that all others take the bytes that
/// they always took.
pub(super) fn encoding(name: &str) -> CharEncoding {
    if name.is_ascii() { CharEncoding::Ascii } else { CharEncoding::Utf8 }
}

/// A step by its number.
pub(super) fn step_name(step: i64) -> String {
    format!("{step:08}")
}
