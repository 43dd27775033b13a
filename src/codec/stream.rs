//! The stream: boxes of one field as bytes, with a version, shapes and a checksum.
//!
//! This file, `preamble.rs`, `latent.rs`, `array.rs`, the folders of the bounded mode and
//! docs/format.md are the only places that know the layout.

use crate::element::{Dtype, Element};
use crate::error::{Error, Result};
use crate::latent::{self, LatentCoding};
use crate::memory;
use crate::model::ModelId;
use crate::preamble::Preamble;
use crate::tiling::TILE_BLOCKS;
use crate::view::{FieldView, check_shape};
use crate::wire::{self, ByteReader, checksum, unseal, write_varint};
use std::borrow::Cow;
use std::ops::Range;

/// The format version that this library writes and reads.
pub const FORMAT_VERSION: u16 = 1;
const MAGIC: [u8; 4] = *b"SWAE";

/// Numbers of the modes.
pub(crate) const RAW: u8 = 0;
pub(crate) const LATENT: u8 = 1;
pub(crate) const BOUNDED: u8 = 2;

/// What a stream says of its mode.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Header {
    /// Type of the values.
    pub dtype: Dtype,
    /// `[nx, ny, nz]` of every box.
    pub boxes: Vec<[usize; 3]>,
    /// How they are coded.
    pub kind: Kind,
}

impl Header {
    /// How many steps the stream is away from its keyframe; 0 is one.
    pub fn age(&self) -> u32 {
        if let Kind::Bounded(preamble) = &self.kind { preamble.age } else { 0 }
    }

    /// Names of the fields of the same step that it is predicted from.
    pub fn reference_fields(&self) -> Vec<&str> {
        match &self.kind {
            Kind::Bounded(preamble) => preamble.reference_fields().collect(),
            _ => Vec::new(),
        }
    }
}

/// A part of a box, `[x, y, z]`.
pub type Region = [Range<usize>; 3];

/// A stream whose checksum and header were verified: it is checked once, however often it is
/// decoded.
#[derive(Clone, Debug)]
pub struct Stream<'a> {
    bytes: Cow<'a, [u8]>,
    header: Header,
    payload: Range<usize>,
}

impl<'a> Stream<'a> {
    /// Verifies bytes, borrowed or owned.
    ///
    /// # Errors
    /// [`Error::Stream`] where they are damaged or no stream, [`Error::Version`] where they are of
    /// another format, [`Error::Newer`] where they have what this library does not know.
    pub fn open(bytes: impl Into<Cow<'a, [u8]>>) -> Result<Self> {
        let bytes = bytes.into();
        let mut reader = ByteReader::new(&bytes);
        if reader.array::<4>()? != MAGIC {
            return Err(Error::Stream("it does not begin with 'SWAE'".into()));
        }
        let version = u16::from_le_bytes(reader.array()?);
        if version != FORMAT_VERSION {
            return Err(Error::Version { found: version, known: FORMAT_VERSION });
        }
        let body = unseal(&bytes)?;
        let mut reader = ByteReader::new(&body[6.min(body.len())..]);
        let [dtype, mode] = reader.array()?;
        let dtype = match dtype {
            0 => Dtype::F32,
            1 => Dtype::F64,
            other => return Err(Error::Newer(format!("values of type {other}"))),
        };
        let boxes = shapes(&mut reader)?;
        let payload = reader.rest();
        let kind = match mode {
            RAW => Kind::Raw,
            LATENT if boxes.len() == 1 => {
                let (coding, model) = latent::preamble(&mut ByteReader::new(payload))?;
                Kind::Latent(coding, model)
            }
            BOUNDED => Kind::Bounded(Preamble::read(&mut ByteReader::new(payload))?),
            LATENT => return Err(Error::Stream("latents of more or less than one box".into())),
            other => return Err(Error::Newer(format!("mode {other}"))),
        };
        let payload = body.len().saturating_sub(payload.len())..body.len();
        Ok(Self { header: Header { dtype, boxes, kind }, payload, bytes })
    }

    /// What it says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All of its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes[self.payload.clone()]
    }

    /// What names it to the step after.
    pub(crate) fn checksum(&self) -> u32 {
        checksum(&self.bytes)
    }

    /// All of every box.
    pub(crate) fn whole(&self) -> Vec<Region> {
        self.header.boxes.iter().map(|c| c.map(|n| 0..n)).collect()
    }
}

/// A whole stream of boxes.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn seal<T: Element>(views: &[FieldView<'_, T>], mode: u8, payload: &[u8]) -> Result<Vec<u8>> {
    let mut out = memory::with_capacity(payload.len().saturating_add(64))?;
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&[T::DTYPE as u8, mode]);
    write_varint(views.len() as u64, &mut out);
    let same_shape = views.windows(2).all(|w| w[0].count() == w[1].count());
    if views.len() > 1 {
        out.push(u8::from(!same_shape));
    }
    for view in &views[..if same_shape { views.len().min(1) } else { views.len() }] {
        view.count().iter().for_each(|&n| write_varint(n as u64, &mut out));
    }
    memory::reserve(&mut out, payload.len().saturating_add(4))?;
    out.extend_from_slice(payload);
    wire::seal(&mut out);
    Ok(out)
}

/// Reads what a stream says of itself, and checks that it is whole.
///
/// # Errors
/// Those of [`Stream::open`].
pub fn header(bytes: &[u8]) -> Result<Header> {
    Stream::open(bytes).map(|stream| stream.header)
}

/// Boxes without values that any stream may have.
const EMPTY_BOXES: usize = 1 << 16;

fn shapes(reader: &mut ByteReader<'_>) -> Result<Vec<[usize; 3]>> {
    let impossible = || Error::Stream("impossible shapes".into());
    let boxes = reader.size()?;
    let same_shape = boxes < 2 || reader.array::<1>()? == [0];
    let left = reader.len();
    let mut shape = || -> Result<[usize; 3]> {
        let shape = [reader.size()?, reader.size()?, reader.size()?];
        check_shape(shape).map_err(|_| impossible())?;
        Ok(shape)
    };
    let shapes = if same_shape {
        let shape = if boxes > 0 { shape()? } else { [0; 3] };
        // A tile takes a byte of the stream at least. Boxes of nothing take none, but memory.
        let most = if shape.contains(&0) {
            left.saturating_add(EMPTY_BOXES)
        } else {
            left.saturating_mul(TILE_BLOCKS)
        };
        if boxes > most {
            return Err(impossible());
        }
        memory::collect(boxes, std::iter::repeat_n(shape, boxes))?
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
