//! The stream: boxes of one field as bytes, with a version, shapes and a checksum. This file, `bounded/`, `latent.rs` and
//! docs/format.md are the only places that know the layout.

use crate::bounded::mixture::Lesson;
use crate::bounded::{self, Bounded, Coded, History, Preamble, Remembered, Report, Tally};
use crate::{
    Device, Dtype, Error, FieldView, LatentCoding, Model, ModelId, Models, Result, Value, check_shape, latent,
};
use ndarray::Array3;
use std::ops::Range;

/// The format version that this library writes and reads.
pub const FORMAT_VERSION: u16 = 1;
const MAGIC: [u8; 4] = *b"SWAE";
const CHECKSUM: usize = 4;

/// How boxes are coded.
#[derive(Clone, Copy, Debug)]
pub enum Mode<'a> {
    /// The values as they are.
    Raw,
    /// The latents of a model (see [`latent`]).
    Latent {
        /// The model; it must have an encoder.
        model: &'a Model,
        /// How latents are stored.
        coding: LatentCoding,
    },
    /// Within an error bound (see [`bounded`]).
    Bounded(Bounded<'a>),
}

/// What a stream says of its mode.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// The values as they are.
    Raw,
    /// Latents of a model.
    Latent(LatentCoding, ModelId),
    /// Within an error bound.
    Bounded(Preamble),
}

/// What a stream says of itself before its payload.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Type of the values.
    pub dtype: Dtype,
    /// `[nx, ny, nz]` of every box.
    pub boxes: Vec<[usize; 3]>,
    /// How they are coded.
    pub kind: Kind,
}

/// A decoded box, `[z, y, x]`.
#[derive(Clone, Debug, PartialEq)]
pub enum Field {
    /// Of float32 values.
    F32(Array3<f32>),
    /// Of float64 values.
    F64(Array3<f64>),
}

impl Field {
    /// Type of the values.
    pub fn dtype(&self) -> Dtype {
        match self {
            Self::F32(_) => Dtype::F32,
            Self::F64(_) => Dtype::F64,
        }
    }

    /// `[nx, ny, nz]`.
    pub fn count(&self) -> [usize; 3] {
        let (nz, ny, nx) = match self {
            Self::F32(a) => a.dim(),
            Self::F64(a) => a.dim(),
        };
        [nx, ny, nz]
    }

    /// The values in double precision, `[z, y, x]`.
    pub fn to_f64(&self) -> Array3<f64> {
        match self {
            Self::F32(a) => a.mapv(f64::from),
            Self::F64(a) => a.clone(),
        }
    }
}

/// Codes a box.
///
/// # Errors
/// [`Error::Model`] where the mode's model has no encoder, [`Error::Bound`] where the bound is none.
pub fn compress<T: Remembered>(view: &FieldView<'_, T>, mode: Mode<'_>) -> Result<Vec<u8>> {
    compress_boxes(std::slice::from_ref(view), mode)
}

/// Codes many boxes of one field into one stream: small ones, as octrees and AMR hierarchies have them, share what is learned
/// of the field, and an overhead of a few bytes.
///
/// # Errors
/// Those of [`compress`]; [`Error::Shape`] for more than one box in latent mode.
pub fn compress_boxes<T: Remembered>(views: &[FieldView<'_, T>], mode: Mode<'_>) -> Result<Vec<u8>> {
    compress_boxes_on(&Device::Cores, views, mode)
}

/// The same, where a device runs the networks of latent mode. The bytes are the same too.
///
/// # Errors
/// Those of [`compress_boxes`].
pub fn compress_boxes_on<T: Remembered>(
    device: &Device,
    views: &[FieldView<'_, T>],
    mode: Mode<'_>,
) -> Result<Vec<u8>> {
    let payload = match mode {
        Mode::Raw => {
            let mut bytes = Vec::new();
            views.iter().flat_map(FieldView::values).for_each(|v| v.write_le(&mut bytes));
            return Ok(seal(views, 0, &bytes));
        }
        Mode::Latent { model, coding } => match views {
            [view] => latent::encode(view, model, coding, device)?,
            _ => return Err(Error::Shape("latent mode codes one box at a time".into())),
        },
        Mode::Bounded(settings) => return Ok(compress_bounded(views, &settings, None)?.0),
    };
    Ok(seal(views, 1, &payload))
}

/// Codes boxes within an error bound, says how it went, and, where there is a history, leans on the step before and
/// becomes the history's last step.
///
/// # Errors
/// [`Error::Bound`] where the bound is none.
pub fn compress_bounded<T: Remembered>(
    views: &[FieldView<'_, T>],
    settings: &Bounded<'_>,
    mut history: Option<&mut History>,
) -> Result<(Vec<u8>, Report)> {
    let coded = bounded::code(views, settings, history.as_deref_mut(), None)?;
    let stream = seal(views, 2, &coded.payload);
    let report = coded.report;
    if let Some(history) = history {
        Coded::commit(coded, history, checksum(&stream));
    }
    Ok((stream, report))
}

/// Codes a step as [`compress_bounded`] does, and tells what each of its blocks teaches a model that weighs predictions
/// (`Bounded::model`); lessons begin with the third step of a history.
///
/// # Errors
/// Those of [`compress_bounded`].
pub fn lessons<T: Remembered>(
    views: &[FieldView<'_, T>],
    settings: &Bounded<'_>,
    history: &mut History,
    tell: &(dyn Fn(Lesson) + Sync),
) -> Result<()> {
    let coded = bounded::code(views, settings, Some(history), Some(tell))?;
    let sum = checksum(&seal(views, 2, &coded.payload));
    coded.commit(history, sum);
    Ok(())
}

/// The checksum that a whole stream ends with: what names it to the step after. (A CRC of a stream together with its own
/// CRC is the same number for all streams.)
pub(crate) fn checksum(stream: &[u8]) -> u32 {
    stream.last_chunk().map_or(0, |sum| u32::from_le_bytes(*sum))
}

fn seal<T: Value>(views: &[FieldView<'_, T>], mode: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 32);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&[T::DTYPE as u8, mode]);
    write_varint(views.len() as u64, &mut out);
    let alike = views.windows(2).all(|w| w[0].count() == w[1].count());
    if views.len() > 1 {
        out.push(u8::from(!alike));
    }
    for view in &views[..if alike { views.len().min(1) } else { views.len() }] {
        view.count().iter().for_each(|&n| write_varint(n as u64, &mut out));
    }
    out.extend_from_slice(payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}

/// Reads what a stream says of itself, and checks that it is whole.
///
/// # Errors
/// [`Error::Stream`] or [`Error::Version`].
pub fn header(bytes: &[u8]) -> Result<Header> {
    open(bytes).map(|(header, _)| header)
}

fn open(bytes: &[u8]) -> Result<(Header, &[u8])> {
    let mut reader = Reader::new(bytes);
    if reader.array::<4>()? != MAGIC {
        return Err(Error::Stream("it does not begin with 'SWAE'".into()));
    }
    let version = u16::from_le_bytes(reader.array()?);
    if version != FORMAT_VERSION {
        return Err(Error::Version { found: version, known: FORMAT_VERSION });
    }
    let Some((body, sum)) = bytes.split_last_chunk::<CHECKSUM>() else {
        return Err(Error::Stream("it ends too early".into()));
    };
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err(Error::Stream("the checksum is wrong".into()));
    }
    let mut reader = Reader::new(&body[6.min(body.len())..]);
    let [dtype, mode] = reader.array()?;
    let dtype = match dtype {
        0 => Dtype::F32,
        1 => Dtype::F64,
        other => return Err(Error::Stream(format!("unknown type {other}"))),
    };
    let boxes = shapes(&mut reader)?;
    let payload = reader.rest();
    let kind = match mode {
        0 => Kind::Raw,
        1 if boxes.len() == 1 => {
            let (coding, model) = latent::preamble(&mut Reader::new(payload))?;
            Kind::Latent(coding, model)
        }
        2 => Kind::Bounded(Preamble::read(&mut Reader::new(payload))?),
        other => return Err(Error::Stream(format!("unknown mode {other}"))),
    };
    Ok((Header { dtype, boxes, kind }, payload))
}

fn shapes(reader: &mut Reader<'_>) -> Result<Vec<[usize; 3]>> {
    let impossible = || Error::Stream("impossible shapes".into());
    let boxes = reader.size()?;
    let alike = boxes < 2 || reader.array::<1>()? == [0];
    let left = reader.left.len();
    let mut shape = || -> Result<[usize; 3]> {
        let shape = [reader.size()?, reader.size()?, reader.size()?];
        check_shape(shape).map_err(|_| impossible())?;
        Ok(shape)
    };
    let shapes = if alike {
        let shape = if boxes > 0 { shape()? } else { [0; 3] };
        // Every box takes some bits of the stream; many of nothing at all would take memory alone.
        if boxes > left.saturating_mul(1 << 12) {
            return Err(impossible());
        }
        vec![shape; boxes]
    } else {
        if boxes > left {
            return Err(impossible());
        }
        (0..boxes).map(|_| shape()).collect::<Result<_>>()?
    };
    let sum = shapes.iter().try_fold(0usize, |n, s| n.checked_add(s.iter().product()));
    sum.and_then(|n| check_shape([n, 1, 1]).ok()).ok_or_else(impossible)?;
    Ok(shapes)
}

/// Decodes a box.
///
/// # Errors
/// [`Error::Stream`] where the bytes are damaged, are no stream, hold more or less than one box or lean on another step,
/// [`Error::Version`] where they are of another format, [`Error::MissingModel`] where their model is not in `models`.
pub fn decompress(bytes: &[u8], models: &Models) -> Result<Field> {
    one(decompress_boxes(bytes, models, None)?)
}

fn one(mut fields: Vec<Field>) -> Result<Field> {
    match fields.pop() {
        Some(field) if fields.is_empty() => Ok(field),
        last => Err(Error::Stream(format!(
            "it holds {} boxes, not one",
            fields.len() + usize::from(last.is_some())
        ))),
    }
}

/// Decodes all boxes of a stream. Steps that lean on the one before want the history that decoded it, and become its last.
///
/// # Errors
/// Those of [`decompress`].
pub fn decompress_boxes(bytes: &[u8], models: &Models, history: Option<&mut History>) -> Result<Vec<Field>> {
    Ok(decode(bytes, models, history, |header| Ok(whole(header)), false)?.0)
}

/// Decodes the part of a box that lies in a region, `[x, y, z]`; without a history, other tiles of the stream are not
/// touched.
///
/// # Errors
/// Those of [`decompress`]; [`Error::Shape`] where the region leaves the box.
pub fn decompress_region(
    bytes: &[u8],
    models: &Models,
    region: [Range<usize>; 3],
    history: Option<&mut History>,
) -> Result<Field> {
    one(decompress_regions(bytes, models, vec![region], history)?)
}

/// As [`decompress_region`], of a stream of many boxes: a region of each.
///
/// # Errors
/// Those of [`decompress_region`]; [`Error::Stream`] where there are not as many boxes as regions.
pub fn decompress_regions(
    bytes: &[u8],
    models: &Models,
    regions: Vec<Region>,
    history: Option<&mut History>,
) -> Result<Vec<Field>> {
    let wanted = |header: &Header| {
        let boxes = header.boxes.len();
        if boxes != regions.len() {
            return Err(Error::Stream(format!("it holds {boxes} boxes, not {}", regions.len())));
        }
        for (region, count) in regions.iter().zip(&header.boxes) {
            if (0..3).any(|a| region[a].start > region[a].end || region[a].end > count[a]) {
                let text = format!("the region {region:?} leaves the box of {count:?} values");
                return Err(Error::Shape(text));
            }
        }
        Ok(regions)
    };
    Ok(decode(bytes, models, history, wanted, false)?.0)
}

/// Takes a step into a history without giving its values: how a reader comes from a keyframe to the step it wants.
///
/// # Errors
/// Those of [`decompress`].
pub fn advance(bytes: &[u8], models: &Models, history: &mut History) -> Result<()> {
    let nothing = |header: &Header| Ok(header.boxes.iter().map(|_| [0..0, 0..0, 0..0]).collect());
    decode(bytes, models, Some(history), nothing, false).map(|_| ())
}

/// Which candidates won a bounded stream's blocks, the bits that they took, and what they saved. A stream of another mode
/// has none.
///
/// # Errors
/// Those of [`decompress`].
pub fn tally(bytes: &[u8], models: &Models, history: Option<&mut History>) -> Result<Tally> {
    Ok(decode(bytes, models, history, |header| Ok(whole(header)), true)?.1)
}

/// A part of a box, `[x, y, z]`.
pub type Region = [Range<usize>; 3];

fn whole(header: &Header) -> Vec<Region> {
    header.boxes.iter().map(|c| c.map(|n| 0..n)).collect()
}

fn decode(
    bytes: &[u8],
    models: &Models,
    history: Option<&mut History>,
    wanted: impl FnOnce(&Header) -> Result<Vec<Region>>,
    weighs: bool,
) -> Result<(Vec<Field>, Tally)> {
    let (header, payload) = open(bytes)?;
    let regions = wanted(&header)?;
    let history = history.map(|h| (h, checksum(bytes)));
    match header.dtype {
        Dtype::F32 => fields::<f32>(&header, payload, &regions, models, history, weighs),
        Dtype::F64 => fields::<f64>(&header, payload, &regions, models, history, weighs),
    }
}

fn fields<T: Remembered>(
    header: &Header,
    payload: &[u8],
    regions: &[Region],
    models: &Models,
    history: Option<(&mut History, u32)>,
    weighs: bool,
) -> Result<(Vec<Field>, Tally)> {
    let cut = |values: Vec<Vec<T>>| -> Vec<Vec<T>> {
        let boxes = header.boxes.iter().zip(regions);
        values.into_iter().zip(boxes).map(|(v, (&count, region))| cut(v, count, region)).collect()
    };
    let mut tally = Tally::default();
    let values = match header.kind {
        Kind::Raw => {
            let mut reader = Reader::new(payload);
            let sizes = header.boxes.iter().map(|c| c.iter().product());
            let values = sizes.map(|n| reader.values(n)).collect::<Result<_>>()?;
            reader.finish()?;
            cut(values)
        }
        Kind::Latent(..) => cut(vec![latent::decode(payload, header.boxes[0], models)?]),
        Kind::Bounded(_) => {
            let values;
            (values, tally) = bounded::decode(payload, &header.boxes, regions, models, history, weighs)?;
            values
        }
    };
    let fields = values.into_iter().zip(regions).map(|(v, [x, y, z])| {
        let array = Array3::from_shape_vec((z.len(), y.len(), x.len()), v);
        T::field(array.expect("a region's values were decoded"))
    });
    Ok((fields.collect(), tally))
}

/// The part of a box that lies in a region.
fn cut<T: Value>(values: Vec<T>, count: [usize; 3], region: &Region) -> Vec<T> {
    if (0..3).all(|a| region[a].len() == count[a]) {
        return values;
    }
    let [x, y, z] = region.clone();
    // Not to walk along an axis of any length for no value at all.
    if x.is_empty() || y.is_empty() || z.is_empty() {
        return Vec::new();
    }
    let rows = z.flat_map(|z| y.clone().map(move |y| (z * count[1] + y) * count[0]));
    rows.flat_map(|row| &values[row + x.start..row + x.end]).copied().collect()
}

/// Numbers of 7 bits a byte, low ones first; the highest bit says that more follow.
pub(crate) fn write_varint(mut v: u64, out: &mut Vec<u8>) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// Takes bytes off the front, never more than there are.
pub(crate) struct Reader<'a> {
    left: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    pub(crate) fn take(&mut self, count: usize, size: usize) -> Result<&'a [u8]> {
        let (taken, left) = count
            .checked_mul(size)
            .and_then(|n| self.left.split_at_checked(n))
            .ok_or_else(|| Error::Stream("it ends too early".into()))?;
        self.left = left;
        Ok(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        self.take(N, 1).map(|b| b.try_into().expect("N bytes were taken"))
    }

    /// A number of 7 bits a byte, low ones first.
    pub(crate) fn varint(&mut self) -> Result<u64> {
        let mut v = 0;
        for shift in (0..64).step_by(7) {
            let [byte] = self.array()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            v |= bits << shift;
            if byte < 0x80 {
                return Ok(v);
            }
        }
        Err(Error::Stream("impossible number".into()))
    }

    pub(crate) fn size(&mut self) -> Result<usize> {
        let n = self.varint()?;
        usize::try_from(n).map_err(|_| Error::Stream(format!("impossible length {n}")))
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    pub(crate) fn values<T: Value>(&mut self, count: usize) -> Result<Vec<T>> {
        let bytes = self.take(count, T::DTYPE.size())?;
        Ok(bytes.chunks_exact(T::DTYPE.size()).map(T::read_le).collect())
    }

    pub(crate) fn finish(self) -> Result<()> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(Error::Stream(format!("{} bytes too many", self.left.len())))
        }
    }
}
