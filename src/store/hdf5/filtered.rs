//! Fields as ordinary datasets, `[z, y, x]`, behind the HDF5 filter: every HDF5 program that finds
//! the filter opens them.
//!
//! HDF5 itself collects the values of a chunk from all ranks and calls the filter, so boxes may lie
//! anywhere. Chunks are compressed one by one: no step is predicted from another.

use super::attributes::{set, set_array, text};
use super::layout::encoding;
use crate::box_values::{BoxValues, in_grid_order};
use crate::names::escaped;
use crate::step::FieldInfo;
use hdf5::{Dataset, Group, H5Type};
use hdf5_sys::{h5d, h5i, h5p, h5s, h5z};
use std::sync::Once;
use swae_codec::{Compression, Dtype, Element};
use swae_filter::filter::{CLASS, ID};

/// Points of a chunk along each axis, at most: a multiple of the block's.
const CHUNK: usize = 64;

/// Registers the filter with the HDF5 library of this program.
pub(super) fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: it is an H5Z_class2_t, and stays.
        let registered = hdf5::sync::sync(|| unsafe { h5z::H5Zregister((&raw const CLASS).cast()) });
        if registered < 0 {
            log::warn!("HDF5 does not take the filter; datasets behind it cannot be read or written");
        }
    });
}

/// Who writes a file.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Access {
    /// All ranks of a communicator.
    Collective,
    /// One process, without MPI.
    Alone,
}

/// Writes this rank's boxes of a field. Collective. Gives the bytes that the field takes.
pub(super) fn write(
    step: &Group,
    info: &FieldInfo,
    copies: &[BoxValues],
    compression: &Compression,
    access: Access,
) -> hdf5::Result<u64> {
    let dataset = match info.dtype {
        Dtype::F32 => create(step, info, compression, f32::NAN),
        Dtype::F64 => create(step, info, compression, f64::NAN),
    }?;
    match info.dtype {
        Dtype::F32 => write_as::<f32>(&dataset, copies, access),
        Dtype::F64 => write_as::<f64>(&dataset, copies, access),
    }?;
    Ok(dataset.storage_size())
}

fn create<T: Element + H5Type>(
    step: &Group,
    info: &FieldInfo,
    compression: &Compression,
    nothing: T,
) -> hdf5::Result<Dataset> {
    let [nx, ny, nz] = info.shape;
    let chunk = [nz, ny, nx].map(|n| n.clamp(1, CHUNK));
    let builder = step.new_dataset::<T>().shape((nz, ny, nx)).chunk(chunk);
    let builder = builder.add_filter(ID, &compression.to_cd_values()).obj_track_times(false);
    // The filter takes the dataset's fill value for the missing value.
    let fill = if info.partial { Some(nothing) } else { compression.fill.map(T::from_f64) };
    let builder = match fill {
        Some(fill) => builder.fill_value(fill),
        None => builder,
    };
    let name = escaped(&info.name);
    let dataset = builder.char_encoding(encoding(&name)).create(&*name)?;
    set_attributes(&dataset, info)?;
    Ok(dataset)
}

fn write_as<T: Element + H5Type>(
    dataset: &Dataset,
    copies: &[BoxValues],
    access: Access,
) -> hdf5::Result<()> {
    // A rank without memory writes nothing, but it does take part: the others wait for it.
    let values = in_grid_order::<T>(copies);
    let written = if values.is_ok() { copies } else { &[] };
    let boxes = written.iter().flat_map(BoxValues::boxes).filter(|(_, count)| !count.contains(&0));
    write_selected(dataset, boxes, values.as_deref().unwrap_or_default(), access)?;
    values.map(drop).map_err(|e| e.to_string().into())
}

fn set_attributes(dataset: &Dataset, info: &FieldInfo) -> hdf5::Result<()> {
    set_array(dataset, "origin_xyz", &info.origin)?;
    set_array(dataset, "spacing_xyz", &info.spacing)?;
    set(dataset, "encoding", &text::<64>(&info.encoding))?;
    if info.partial { set(dataset, "partial", &1u8) } else { Ok(()) }
}

/// Writes the values of the boxes, in the order of a selection of all of them. Collective.
fn write_selected<'a, T: H5Type>(
    dataset: &Dataset,
    boxes: impl Iterator<Item = &'a ([usize; 3], [usize; 3])>,
    values: &[T],
    access: Access,
) -> hdf5::Result<()> {
    let kind = hdf5::Datatype::from_type::<T>()?;
    // SAFETY: the identifiers are valid until they are closed, and there are as many values as
    // points are selected.
    hdf5::sync::sync(|| unsafe {
        let space = h5d::H5Dget_space(dataset.id());
        h5s::H5Sselect_none(space);
        for (start, count) in boxes {
            let reversed = |[x, y, z]: [usize; 3]| [z, y, x].map(|n| n as u64);
            let (start, count) = (reversed(*start), reversed(*count));
            let (or, no) = (h5s::H5S_seloper_t::H5S_SELECT_OR, std::ptr::null());
            h5s::H5Sselect_hyperslab(space, or, start.as_ptr(), no, count.as_ptr(), no);
        }
        let size = [values.len() as u64];
        let memory = h5s::H5Screate_simple(1, size.as_ptr(), std::ptr::null());
        if values.is_empty() {
            h5s::H5Sselect_none(memory);
        }
        let transfer = h5p::H5Pcreate(*hdf5::globals::H5P_DATASET_XFER);
        if access == Access::Collective {
            h5p::H5Pset_dxpl_mpio(transfer, h5p::H5FD_mpio_xfer_t::H5FD_MPIO_COLLECTIVE);
        }
        let written = h5d::H5Dwrite(dataset.id(), kind.id(), memory, space, transfer, values.as_ptr().cast());
        h5p::H5Pclose(transfer);
        h5i::H5Idec_ref(memory);
        h5i::H5Idec_ref(space);
        if written < 0 { Err("the values cannot be written through the filter".into()) } else { Ok(()) }
    })
}
