//! Fields as ordinary datasets, `[z, y, x]`, behind the HDF5 filter: every HDF5 program that finds
//! the filter opens them.
//!
//! HDF5 itself collects the values of a chunk from all ranks and calls the filter, so boxes may lie
//! anywhere. Chunks are coded one by one: no step is predicted from another.

use super::attributes::{set, set_array, text};
use crate::step::{BoxRow, FieldInfo, FieldPart};
use hdf5::{Group, H5Type};
use hdf5_sys::{h5d, h5i, h5p, h5s, h5z};
use std::sync::Once;
use swae_codec::decode::decompress_boxes;
use swae_codec::stream::Stream;
use swae_codec::{Compression, Dtype, Element, Models};
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

/// Writes this rank's part of a field, whose bytes are raw streams. Collective. Gives the bytes
/// that the field takes.
pub(super) fn write(step: &Group, part: &FieldPart<'_>, compression: &Compression) -> hdf5::Result<u64> {
    match part.info.dtype {
        Dtype::F32 => write_as::<f32>(step, part, compression, f32::NAN),
        Dtype::F64 => write_as::<f64>(step, part, compression, f64::NAN),
    }
}

fn write_as<T: Element + H5Type>(
    step: &Group,
    part: &FieldPart<'_>,
    compression: &Compression,
    nothing: T,
) -> hdf5::Result<u64> {
    let info = part.info;
    let [nx, ny, nz] = info.shape;
    let chunk = [nz, ny, nx].map(|n| n.clamp(1, CHUNK));
    let builder = step.new_dataset::<T>().shape((nz, ny, nx)).chunk(chunk);
    let builder = builder.add_filter(ID, &compression.to_cd_values()).obj_track_times(false);
    let builder = if info.partial { builder.fill_value(nothing) } else { builder };
    let dataset = builder.create(&*info.name)?;
    set_attributes(&dataset, info)?;
    let values = values::<T>(part)?;
    write_together(&dataset, &part.boxes, &values)?;
    Ok(dataset.storage_size())
}

fn set_attributes(dataset: &hdf5::Dataset, info: &FieldInfo) -> hdf5::Result<()> {
    set_array(dataset, "origin_xyz", &info.origin)?;
    set_array(dataset, "spacing_xyz", &info.spacing)?;
    set(dataset, "encoding", &text::<64>(&info.encoding))?;
    if info.partial { set(dataset, "partial", &1u8) } else { Ok(()) }
}

/// All values of this rank's boxes, in the order in which HDF5 walks through a selection.
fn values<T: Element>(part: &FieldPart<'_>) -> hdf5::Result<Vec<T>> {
    let first = part.boxes.first().map_or(0, |row| row.offset);
    let mut boxes = Vec::new();
    for stream in BoxRow::by_stream(part.boxes.clone()) {
        let begin = (stream[0].offset - first) as usize;
        let bytes = &part.bytes[begin..begin + stream[0].length as usize];
        let verified = Stream::open(bytes).map_err(|e| e.to_string())?;
        let fields = decompress_boxes(&verified, &Models::built_in(), None).map_err(|e| e.to_string())?;
        for (row, field) in stream.into_iter().zip(fields) {
            boxes.push((row, field.into_array::<T>().ok_or("a field has values of two types")?));
        }
    }
    let mut rows = Vec::new();
    for (row, array) in &boxes {
        let places = ndarray::indices((row.count[2], row.count[1])).into_iter();
        let at = |(z, y)| [row.start[2] + z, row.start[1] + y, row.start[0]];
        rows.extend(places.map(at).zip(array.rows()));
    }
    rows.sort_by_key(|(at, _)| *at);
    Ok(rows.iter().flat_map(|(_, values)| values.iter().copied()).collect())
}

/// Writes the values of the boxes, in the order of a selection of all of them. Collective.
fn write_together<T: H5Type>(dataset: &hdf5::Dataset, boxes: &[BoxRow], values: &[T]) -> hdf5::Result<()> {
    let kind = hdf5::Datatype::from_type::<T>()?;
    // SAFETY: the identifiers are valid until they are closed, and there are as many values as
    // points are selected.
    hdf5::sync::sync(|| unsafe {
        let space = h5d::H5Dget_space(dataset.id());
        h5s::H5Sselect_none(space);
        for row in boxes.iter().filter(|row| !row.count.contains(&0)) {
            let reversed = |[x, y, z]: [usize; 3]| [z, y, x].map(|n| n as u64);
            let (start, count) = (reversed(row.start), reversed(row.count));
            let (or, no) = (h5s::H5S_seloper_t::H5S_SELECT_OR, std::ptr::null());
            h5s::H5Sselect_hyperslab(space, or, start.as_ptr(), no, count.as_ptr(), no);
        }
        let size = [values.len() as u64];
        let memory = h5s::H5Screate_simple(1, size.as_ptr(), std::ptr::null());
        if values.is_empty() {
            h5s::H5Sselect_none(memory);
        }
        let together = h5p::H5Pcreate(*hdf5::globals::H5P_DATASET_XFER);
        h5p::H5Pset_dxpl_mpio(together, h5p::H5FD_mpio_xfer_t::H5FD_MPIO_COLLECTIVE);
        let written = h5d::H5Dwrite(dataset.id(), kind.id(), memory, space, together, values.as_ptr().cast());
        h5p::H5Pclose(together);
        h5i::H5Idec_ref(memory);
        h5i::H5Idec_ref(space);
        if written < 0 { Err("the values cannot be written through the filter".into()) } else { Ok(()) }
    })
}
