//! A stream becomes boxes of values, whole or in part, of its own or in the caller's memory.

use super::bounded::{self, Task};
use crate::blocks::VALUES;
use crate::element::{Dtype, Element};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::field::{Field, wrong_type};
use crate::history::History;
use crate::latent;
use crate::memory;
use crate::models::Models;
use crate::raw;
use crate::statistics::BlockStatistics;
use crate::stream::{Kind, Region, Stream};
use crate::threads;
use crate::tiling::{Piece, Window, memory_of_windows, tile_count, tiles, windows};
use ndarray::Array3;

/// Decompresses a stream of one box of `T` values, as [`compress`](crate::compress) makes it: an
/// array, `[z, y, x]`.
///
/// ```
/// # use swae_codec::{Compression, FieldView, compress, decompress};
/// let values = [1.0f32; 4 * 3 * 2];
/// let bytes = compress(&FieldView::dense(&values, [4, 3, 2])?, &Compression::absolute(0.1))?;
/// assert_eq!(decompress::<f32>(&bytes)?.dim(), (2, 3, 4));
/// assert!(decompress::<f64>(&bytes).is_err()); // it holds float32 values
/// # Ok::<(), swae_codec::Error>(())
/// ```
///
/// # Errors
/// [`Error::Stream`] where the bytes are damaged, are no stream, hold values of the other type,
/// more or less than one box, or are predicted from another step; [`Error::Version`] where they are
/// of another format; [`Error::MissingModel`] where their model is not built in.
pub fn decompress<T: Element>(bytes: &[u8]) -> Result<Array3<T>> {
    decompress_box(bytes, &Models::built_in())?.expect_array()
}

/// Decodes a box of either element type.
///
/// # Errors
/// Those of [`decompress`]; [`Error::MissingModel`] where the model is not in `models`.
pub fn decompress_box(bytes: &[u8], models: &Models) -> Result<Field> {
    only(decompress_boxes(&Stream::open(bytes)?, models, None)?)
}

fn only(mut fields: Vec<Field>) -> Result<Field> {
    match fields.pop() {
        Some(field) if fields.is_empty() => Ok(field),
        last => {
            let count = fields.len().saturating_add(usize::from(last.is_some()));
            Err(Error::Stream(format!("it holds {count} boxes, not one")))
        }
    }
}

/// Decodes all boxes of a stream. Steps that are predicted from the previous one want the history
/// that decoded it, and become its last step.
///
/// # Errors
/// Those of [`decompress_box`].
pub fn decompress_boxes(
    stream: &Stream<'_>,
    models: &Models,
    history: Option<&mut History>,
) -> Result<Vec<Field>> {
    fields(stream, models, &stream.whole(), history)
}

/// Decodes the part of a box that lies in a region, `[x, y, z]`; without a history, other tiles of
/// the stream are not touched.
///
/// # Errors
/// Those of [`decompress_box`]; [`Error::Shape`] where the region leaves the box.
pub fn decompress_region(
    stream: &Stream<'_>,
    models: &Models,
    region: Region,
    history: Option<&mut History>,
) -> Result<Field> {
    only(decompress_regions(stream, models, &[region], history)?)
}

/// As [`decompress_region`], of a stream of many boxes: a region of each.
///
/// # Errors
/// Those of [`decompress_region`]; [`Error::Stream`] where there are not as many boxes as regions.
pub fn decompress_regions(
    stream: &Stream<'_>,
    models: &Models,
    regions: &[Region],
    history: Option<&mut History>,
) -> Result<Vec<Field>> {
    check_regions(stream, regions)?;
    fields(stream, models, regions, history)
}

/// As [`decompress_regions`], into the caller's memory: for each region as many values as it has, x
/// fastest.
///
/// # Errors
/// Those of [`decompress_regions`]; [`Error::Shape`] where `out` has other sizes; [`Error::Stream`]
/// where the values are of the other type.
pub fn decompress_regions_into<T: Element>(
    stream: &Stream<'_>,
    models: &Models,
    regions: &[Region],
    history: Option<&mut History>,
    out: &mut [&mut [T]],
) -> Result<()> {
    check_regions(stream, regions)?;
    let dtype = stream.header().dtype;
    if dtype != T::DTYPE {
        return Err(wrong_type::<T>(dtype));
    }
    check_length::<T>(stream)?;
    if !out.iter().map(|values| values.len()).eq(regions.iter().map(size)) {
        return Err(Error::Shape("the memory for the regions has other sizes".into()));
    }
    decode(stream, models, regions, history, false, out).map(|_| ())
}

/// Takes a step into a history without giving its values: how a reader comes from a keyframe to the
/// step it wants.
///
/// # Errors
/// Those of [`decompress_box`].
pub fn advance(stream: &Stream<'_>, models: &Models, history: &mut History) -> Result<()> {
    let nothing: Vec<Region> = stream.header().boxes.iter().map(|_| [0..0, 0..0, 0..0]).collect();
    fields(stream, models, &nothing, Some(history)).map(|_| ())
}

/// Which predictors were selected for a bounded stream's blocks, the bits that they took, and what
/// they saved. A stream of another mode has no blocks.
///
/// # Errors
/// Those of [`decompress_box`].
pub fn block_statistics(
    stream: &Stream<'_>,
    models: &Models,
    history: Option<&mut History>,
) -> Result<BlockStatistics> {
    match stream.header().dtype {
        Dtype::F32 => counted::<f32>(stream, models, history),
        Dtype::F64 => counted::<f64>(stream, models, history),
    }
}

fn counted<T: Element>(
    stream: &Stream<'_>,
    models: &Models,
    history: Option<&mut History>,
) -> Result<BlockStatistics> {
    let regions = stream.whole();
    let mut values = memory::<T>(stream, &regions)?;
    let mut out: Vec<_> = values.iter_mut().map(Vec::as_mut_slice).collect();
    decode(stream, models, &regions, history, true, &mut out)
}

fn check_regions(stream: &Stream<'_>, regions: &[Region]) -> Result<()> {
    let boxes = &stream.header().boxes;
    if boxes.len() != regions.len() {
        return Err(Error::Stream(format!("it holds {} boxes, not {}", boxes.len(), regions.len())));
    }
    for (region, count) in regions.iter().zip(boxes) {
        if (0..3).any(|a| region[a].start > region[a].end || region[a].end > count[a]) {
            let text = format!("the region {region:?} leaves the box of {count:?} values");
            return Err(Error::Shape(text));
        }
    }
    Ok(())
}

fn size(region: &Region) -> usize {
    region.iter().map(|r| r.len()).product()
}

fn fields(
    stream: &Stream<'_>,
    models: &Models,
    regions: &[Region],
    history: Option<&mut History>,
) -> Result<Vec<Field>> {
    match stream.header().dtype {
        Dtype::F32 => fields_of::<f32>(stream, models, regions, history),
        Dtype::F64 => fields_of::<f64>(stream, models, regions, history),
    }
}

fn fields_of<T: Element>(
    stream: &Stream<'_>,
    models: &Models,
    regions: &[Region],
    history: Option<&mut History>,
) -> Result<Vec<Field>> {
    let mut values = memory::<T>(stream, regions)?;
    let mut out: Vec<_> = values.iter_mut().map(Vec::as_mut_slice).collect();
    decode(stream, models, regions, history, false, &mut out)?;
    let field = |(values, [x, y, z]): (Vec<T>, &Region)| {
        let array = Array3::from_shape_vec((z.len(), y.len(), x.len()), values);
        Field::from_array(array.expect("a region's values were decoded"))
    };
    Ok(values.into_iter().zip(regions).map(field).collect())
}

/// Memory for the regions of a stream that can hold them.
fn memory<T: Element>(stream: &Stream<'_>, regions: &[Region]) -> Result<Vec<Vec<T>>> {
    check_length::<T>(stream)?;
    regions.iter().map(|region| memory::zeros(size(region))).collect()
}

/// Whether a stream is long enough for its shape: memory is taken only after this. One of bounded
/// mode was when it was opened: it has a tile for so many blocks.
fn check_length<T: Element>(stream: &Stream<'_>) -> Result<()> {
    let (header, bytes) = (stream.header(), stream.size_of_tiles());
    let values = header.boxes.iter().fold(0usize, |n, c| n.saturating_add(c.iter().product()));
    let fits = match header.kind {
        Kind::Raw => values.checked_mul(T::DTYPE.size()) == Some(bytes),
        // Every block has at least an offset and a scale.
        Kind::Latent(..) => values.div_ceil(VALUES) <= bytes,
        Kind::Bounded(_) => true,
    };
    if fits { Ok(()) } else { Err(Error::Stream("its length does not fit its shape".into())) }
}

/// Decodes the regions of a stream whose length was checked.
fn decode<T: Element>(
    stream: &Stream<'_>,
    models: &Models,
    regions: &[Region],
    history: Option<&mut History>,
    counts: bool,
    out: &mut [&mut [T]],
) -> Result<BlockStatistics> {
    Engine::best()?;
    let tasks = tile_count(&stream.header().boxes);
    threads::call(tasks, || decode_here(stream, models, regions, history, counts, out))
}

/// The same on the threads that there are.
fn decode_here<T: Element>(
    stream: &Stream<'_>,
    models: &Models,
    regions: &[Region],
    history: Option<&mut History>,
    counts: bool,
    out: &mut [&mut [T]],
) -> Result<BlockStatistics> {
    match &stream.header().kind {
        Kind::Raw => decode_tiles(stream, regions, out, raw::decode_tile)?,
        Kind::Latent(..) => {
            let decoder = latent::Decoder::new(latent::Preamble::read(&mut stream.preamble())?, models)?;
            decode_tiles(stream, regions, out, |bytes, pieces, windows| {
                decoder.tile(bytes, pieces, windows)
            })?;
        }
        Kind::Bounded(preamble) => {
            let task = Task { stream, preamble, regions, models, history, counts };
            return bounded::decode(task, out);
        }
    }
    Ok(BlockStatistics::default())
}

/// Decodes the tiles that regions touch, each by itself.
fn decode_tiles<T: Element>(
    stream: &Stream<'_>,
    regions: &[Region],
    out: &mut [&mut [T]],
    decode: impl Fn(&[u8], &[Piece], &mut [Window<'_, T>]) -> Result<()> + Sync,
) -> Result<()> {
    memory::room(memory_of_windows::<T>(regions))?;
    let boxes = &stream.header().boxes;
    let tiles = tiles(boxes);
    let tile = |(i, mut windows): (usize, Vec<Window<'_, T>>)| {
        if windows.iter().all(Window::is_empty) {
            return Ok(());
        }
        decode(stream.tile(i)?, &tiles[i], &mut windows)
    };
    let windows = windows(&tiles, boxes, regions, out);
    threads::map(windows.into_iter().enumerate().collect::<Vec<_>>(), tile).into_iter().collect()
}
