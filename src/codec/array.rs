//! Arrays of any rank, each coded by itself into a payload that says everything: what plugins and
//! scripts hand over, which know of no grid. This file and docs/format.md are the only places that
//! know its layout.
//!
//! Axes are in C order, the last one fastest. Blocks have three axes: of four and more, all but the
//! last three count boxes; a plane's rows are taken eight at a time, a line's values 64 at a time,
//! so that a block is smooth along all of its axes where the array is.

use crate::bound::ValueRange;
use crate::config::{Compression, Layout};
use crate::decode::decompress_boxes;
use crate::element::{Dtype, Element};
use crate::encode::{Bounded, Method, compress_bounded, compress_box};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::field::Field;
use crate::history::History;
use crate::memory;
use crate::model::Model;
use crate::models::Models;
use crate::stream::Stream;
use crate::threads;
use crate::tiling::TILE;
use crate::view::{FieldView, check_shape};
use crate::wire::{self, ByteReader, unseal, write_varint};
use ndarray::Array3;

const MAGIC: [u8; 4] = *b"SWAA";
const VERSION: u8 = 1;
/// Axes that an array has at most, as in HDF5.
pub const MOST_AXES: usize = 32;

/// A decoded array.
#[derive(Clone, Debug, PartialEq)]
pub struct Array {
    /// Points along each axis, the last one fastest in memory.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Values,
}

/// The values of an [`Array`].
#[derive(Clone, Debug, PartialEq)]
pub enum Values {
    /// IEEE binary32.
    F32(Vec<f32>),
    /// IEEE binary64.
    F64(Vec<f64>),
    /// Of any other type.
    Bytes(Vec<u8>),
}

impl Values {
    /// Bytes of all of them.
    pub fn size(&self) -> usize {
        match self {
            Self::F32(v) => size_of_val(&v[..]),
            Self::F64(v) => size_of_val(&v[..]),
            Self::Bytes(v) => v.len(),
        }
    }

    /// Copies them to the beginning of `out`, in this machine's byte order.
    ///
    /// # Panics
    /// Where `out` is too short.
    pub fn write(&self, out: &mut [u8]) {
        let out = &mut out[..self.size()];
        match self {
            Self::F32(v) => {
                out.chunks_exact_mut(4).zip(v).for_each(|(to, v)| to.copy_from_slice(&v.to_ne_bytes()))
            }
            Self::F64(v) => {
                out.chunks_exact_mut(8).zip(v).for_each(|(to, v)| to.copy_from_slice(&v.to_ne_bytes()))
            }
            Self::Bytes(v) => out.copy_from_slice(v),
        }
    }
}

/// Type tag of bytes that are no floats.
const BYTES: u8 = 255;

/// How the values behind the header are kept.
const STORED: u8 = 0;
const GRID: u8 = 1;
const SERIES: u8 = 2;

/// Bytes that the payload of an array of so many bytes and axes never exceeds.
pub fn max_compressed_size(bytes: usize, axes: usize) -> usize {
    bytes.saturating_add(axes.saturating_mul(10)).saturating_add(32)
}

/// Codes an array; what would become larger than the values themselves is kept as it is.
///
/// # Errors
/// [`Error::Shape`] where the shape does not fit the values, or has more than [`MOST_AXES`] axes;
/// those of [`compress_box`].
pub fn compress<T: Element>(
    values: &[T],
    shape: &[usize],
    method: Method<'_>,
    layout: Layout,
) -> Result<Vec<u8>> {
    Engine::best()?;
    let points = points(shape)?;
    if points != values.len() {
        return Err(Error::Shape(format!("{} values make no array of {shape:?}", values.len())));
    }
    let series = layout == Layout::Series && shape.len() > 1;
    let coded = match method {
        Method::Raw => None,
        _ if points == 0 => None,
        _ => Some(threads::call(tasks(points), || coded(values, shape, method, series))?),
    };
    let plain = points.saturating_mul(T::DTYPE.size());
    let small = coded.filter(|streams| streams.len() < plain);
    match small {
        Some(streams) => seal(T::DTYPE as u8, shape, if series { SERIES } else { GRID }, &streams),
        None => {
            let mut bytes = memory::with_capacity(plain)?;
            values.iter().for_each(|v| v.write_le(&mut bytes));
            seal(T::DTYPE as u8, shape, STORED, &bytes)
        }
    }
}

/// Compresses an array: what programs without an array's model at hand call.
///
/// # Errors
/// Those of [`compress`], and of [`Compression::load_model`].
pub fn compress_with<T: Element>(
    values: &[T],
    shape: &[usize],
    compression: &Compression,
) -> Result<Vec<u8>> {
    let model = compression.load_model()?;
    compress(values, shape, Method::new(compression, model.as_deref())?, compression.layout)
}

/// Keeps bytes of any other type as they are.
///
/// # Errors
/// [`Error::Memory`].
pub fn store(bytes: &[u8]) -> Result<Vec<u8>> {
    seal(BYTES, &[bytes.len()], STORED, bytes)
}

fn seal(dtype: u8, shape: &[usize], kind: u8, rest: &[u8]) -> Result<Vec<u8>> {
    let mut out = memory::with_capacity(rest.len().saturating_add(32 + 10 * MOST_AXES))?;
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[VERSION, dtype]);
    write_varint(shape.len() as u64, &mut out);
    shape.iter().for_each(|&n| write_varint(n as u64, &mut out));
    out.push(kind);
    out.extend_from_slice(rest);
    wire::seal(&mut out);
    Ok(out)
}

/// Number of values of an array.
fn points(shape: &[usize]) -> Result<usize> {
    if shape.len() > MOST_AXES {
        return Err(Error::Shape(format!("{} axes, at most {MOST_AXES} are allowed", shape.len())));
    }
    let points = shape.iter().try_fold(1usize, |n, &a| n.checked_mul(a.max(1)));
    let points =
        points.ok_or_else(|| Error::Shape(format!("an array of {shape:?} does not fit any memory")))?;
    check_shape([points, 1, 1])?;
    Ok(if shape.contains(&0) { 0 } else { points })
}

/// How many threads find something to do, about.
fn tasks(points: usize) -> usize {
    points.div_ceil(TILE.pow(3))
}

/// A part of an array that is one box.
#[derive(Clone, Copy)]
struct Piece {
    first: usize,
    count: [usize; 3],
    stride: [isize; 3],
}

/// The boxes of an array that has values, and fits the address space.
#[allow(clippy::arithmetic_side_effects, reason = "indices in an array whose size was checked")]
fn pieces(shape: &[usize]) -> impl Iterator<Item = Piece> + use<> {
    let axes: Vec<usize> = shape.iter().copied().filter(|&n| n != 1).collect();
    let (outer, inner) = axes.split_at(axes.len().saturating_sub(3));
    let piece = |first, count, stride: [usize; 3]| Piece { first, count, stride: stride.map(|s| s as isize) };
    let one = match *inner {
        [] => vec![piece(0, [1; 3], [1; 3])],
        [n] => vec![
            piece(0, [8, 8, n / 64], [1, 8, 64]),
            piece(n / 64 * 64, [8, n % 64 / 8, 1], [1, 8, 64]),
            piece(n / 8 * 8, [n % 8, 1, 1], [1, 8, 64]),
        ],
        [ny, nx] => vec![
            piece(0, [nx, 8, ny / 8], [1, nx, 8 * nx]),
            piece(ny / 8 * 8 * nx, [nx, ny % 8, 1], [1, nx, 8 * nx]),
        ],
        _ => vec![piece(0, [inner[2], inner[1], inner[0]], [1, inner[2], inner[2] * inner[1]])],
    };
    let size: usize = inner.iter().product();
    let some = one.into_iter().filter(|p| !p.count.contains(&0));
    let boxes: usize = outer.iter().product();
    (0..boxes).flat_map(move |b| some.clone().map(move |p| Piece { first: p.first + b * size, ..p }))
}

/// The boxes of each step, of an array that fits the address space.
#[allow(clippy::arithmetic_side_effects, reason = "indices in an array whose size was checked")]
fn steps(shape: &[usize], series: bool) -> impl Iterator<Item = (usize, Vec<usize>)> + use<> {
    let (count, inside) = if series { (shape[0], shape[1..].to_vec()) } else { (1, shape.to_vec()) };
    let size: usize = inside.iter().product();
    (0..count).map(move |step| (step * size, inside.clone()))
}

/// The decoder that a reader needs and may not have, and the streams, each behind its length.
fn coded<T: Element>(values: &[T], shape: &[usize], method: Method<'_>, series: bool) -> Result<Vec<u8>> {
    let model = match method {
        Method::Latent { model, .. } => Some(model),
        Method::Bounded(Bounded { model, .. }) => model,
        Method::Raw => None,
    };
    let decoder = match model {
        Some(model) if !Models::is_built_in(model.id()) => model.decoder_only().to_bytes(),
        _ => Vec::new(),
    };
    let mut out = Vec::new();
    let mut keep = |bytes: &[u8]| {
        write_varint(bytes.len() as u64, &mut out);
        memory::reserve_growing(&mut out, bytes.len())?;
        out.extend_from_slice(bytes);
        Ok::<_, Error>(())
    };
    keep(&decoder)?;
    // Longer than any step, so that the first one alone is a keyframe.
    let mut history = History::new(u32::MAX);
    for (first, inside) in steps(shape, series) {
        let views =
            pieces(&inside).map(|p| FieldView::new(values, first.saturating_add(p.first), p.count, p.stride));
        let views = views.collect::<Result<Vec<_>>>()?;
        match method {
            Method::Bounded(mut settings) => {
                if settings.bound.needs_range() && settings.range.is_none() {
                    let all = FieldView::dense(values, [values.len(), 1, 1])?;
                    settings.range = Some(ValueRange::without(&all, settings.fill));
                }
                keep(&compress_bounded(&views, &settings, series.then_some(&mut history))?.0)?;
            }
            _ => views.into_iter().try_for_each(|view| keep(&compress_box(&view, method)?))?,
        }
    }
    Ok(out)
}

/// Decodes an array.
///
/// # Errors
/// [`Error::Stream`] where the bytes are damaged or no payload of an array, [`Error::Version`]
/// where they are of a later version, and those of [`decompress_boxes`].
pub fn decompress(payload: &[u8], models: &Models) -> Result<Array> {
    Engine::best()?;
    let damaged = |text: &str| Error::Stream(text.into());
    let mut reader = ByteReader::new(payload);
    if reader.array::<4>()? != MAGIC {
        return Err(damaged("it does not begin with 'SWAA'"));
    }
    let [version] = reader.array()?;
    if version != VERSION {
        return Err(Error::Version { found: version.into(), known: VERSION.into() });
    }
    let body = unseal(payload)?;
    let mut reader = ByteReader::new(&body[5.min(body.len())..]);
    let [dtype] = reader.array()?;
    let axes = reader.size()?;
    if axes > MOST_AXES {
        return Err(damaged("too many axes"));
    }
    let shape = (0..axes).map(|_| reader.size()).collect::<Result<Vec<_>>>()?;
    let points = points(&shape).map_err(|_| damaged("impossible shape"))?;
    let [kind] = reader.array()?;
    let values = match (dtype, kind) {
        (BYTES, STORED) => Values::Bytes(memory::copy(reader.take(points, 1)?)?),
        (0, STORED) => Values::F32(reader.values(points)?),
        (1, STORED) => Values::F64(reader.values(points)?),
        (0 | 1, GRID | SERIES) if points > 0 => {
            let series = kind == SERIES && !shape.is_empty();
            let shape = (&shape[..], points);
            let reader = &mut reader;
            threads::call(tasks(points), || {
                Ok::<_, Error>(match dtype {
                    0 => Values::F32(decoded(reader, Dtype::F32, shape, series, models)?),
                    _ => Values::F64(decoded(reader, Dtype::F64, shape, series, models)?),
                })
            })?
        }
        _ => return Err(Error::Newer(format!("values of type {dtype} in form {kind}"))),
    };
    reader.finish()?;
    Ok(Array { shape, values })
}

fn decoded<T: Element>(
    reader: &mut ByteReader<'_>,
    dtype: Dtype,
    (shape, points): (&[usize], usize),
    series: bool,
    models: &Models,
) -> Result<Vec<T>> {
    let other = || Error::Stream("its boxes are not those of its shape".into());
    let mut models = models.clone();
    let decoder = reader.part()?;
    if !decoder.is_empty() {
        models.add(Model::from_bytes(decoder)?);
    }
    // Memory is taken as streams are decoded, each of which bounds its own.
    let mut fields: Vec<(usize, Piece, Field)> = Vec::new();
    let mut found = 0usize;
    let mut history = History::new(u32::MAX);
    for (first, inside) in steps(shape, series) {
        let mut wanted = pieces(&inside).peekable();
        while wanted.peek().is_some() {
            let stream = Stream::open(reader.part()?)?;
            for field in decompress_boxes(&stream, &models, series.then_some(&mut history))? {
                let piece = wanted.next().ok_or_else(other)?;
                if (field.dtype(), field.count()) != (dtype, piece.count) {
                    return Err(other());
                }
                found = found.saturating_add(piece.count.iter().product());
                fields.push((first, piece, field));
            }
        }
    }
    if found != points {
        return Err(other());
    }
    if let [(0, _, _)] = fields[..]
        && shape.iter().filter(|&&n| n > 1).count() == 3
    {
        // The array itself.
        let array = fields.pop().and_then(|(_, _, field)| field.into_array::<T>());
        return Ok(array.ok_or_else(other)?.into_raw_vec_and_offset().0);
    }
    let mut values = memory::zeros::<T>(points)?;
    for (first, piece, field) in fields {
        let array = field.into_array::<T>().ok_or_else(other)?;
        put(&array, piece, &mut values[first..]);
    }
    Ok(values)
}

/// Copies a box to its place in the values of a step.
#[allow(clippy::arithmetic_side_effects, reason = "indices in an array whose size was checked")]
fn put<T: Element>(array: &Array3<T>, piece: Piece, values: &mut [T]) {
    let Piece { first, stride: [_, y, z], .. } = piece;
    for (iz, plane) in array.outer_iter().enumerate() {
        for (iy, row) in plane.rows().into_iter().enumerate() {
            let begin = first + iy * y as usize + iz * z as usize;
            values[begin..].iter_mut().zip(row).for_each(|(to, from)| *to = *from);
        }
    }
}
