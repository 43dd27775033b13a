//! The stream: boxes of one field as bytes. A head says what they are and where their tiles are, and
//! is verified when a stream is opened; the tiles behind it are, when they are decoded.
//!
//! This file, `index.rs`, `preamble.rs`, `raw.rs`, `latent.rs`, `array.rs`, the folders of the
//! bounded mode and docs/format.md are the only places that know the layout.

use crate::element::Dtype;
use crate::error::{Error, Result};
use crate::history::Spacing;
use crate::index::Index;
use crate::latent::{self, LatentCoding};
use crate::memory;
use crate::model::ModelId;
use crate::preamble::Preamble;
use crate::tiling::{TILE, TILE_BLOCKS, tile_count, tiles, touches};
use crate::view::check_shape;
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

    /// How many steps it is from those that it is predicted from.
    pub fn spacing(&self) -> Spacing {
        if let Kind::Bounded(preamble) = &self.kind { preamble.spacing } else { Spacing::NEXT }
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

/// A stream whose head was verified: it is checked once, however often it is decoded. Its tiles are
/// checked when they are decoded.
#[derive(Clone, Debug)]
pub struct Stream<'a> {
    bytes: Cow<'a, [u8]>,
    header: Header,
    /// What the head says of the mode.
    preamble: Range<usize>,
    index: Index,
    /// The bytes of all tiles.
    tiles: Range<usize>,
    checksum: u32,
}

impl<'a> Stream<'a> {
    /// Verifies the head of a stream, borrowed or owned.
    ///
    /// # Errors
    /// [`Error::Stream`] where it is damaged, or the bytes are no stream; [`Error::Version`] where
    /// they are of another format, [`Error::Newer`] where they have what this library does not know.
    pub fn open(bytes: impl Into<Cow<'a, [u8]>>) -> Result<Self> {
        let bytes = bytes.into();
        let (begin, sealed) = head(&bytes)?;
        let all = sealed.is_none();
        let sealed = bytes.get(..sealed.unwrap_or(bytes.len()));
        let sealed = sealed.ok_or_else(|| Error::Stream("it ends too early".into()))?;
        let (body, checksum) = (unseal(sealed)?, checksum(sealed));
        let mut reader = ByteReader::new(&body[begin.min(body.len())..]);
        let at = |reader: &ByteReader<'_>| body.len().saturating_sub(reader.len());
        let (dtype, mode, boxes) = boxes(&mut reader)?;
        let preamble = at(&reader);
        let kind = kind(&mut reader, mode, boxes.len())?;
        let preamble = preamble..at(&reader);
        let count = tile_count(&boxes);
        // A tile takes a byte of the stream at least.
        if count > bytes.len() {
            return Err(Error::Stream("its length does not fit its shape".into()));
        }
        let (index, tiles) = if all {
            let index = Index::read_before(&mut reader, count)?;
            (index, at(&reader)..body.len())
        } else {
            let index = Index::read(&mut reader, count)?;
            reader.finish()?;
            (index, sealed.len()..bytes.len())
        };
        if index.bytes() != tiles.len() {
            return Err(Error::Stream("its tiles do not fit its length".into()));
        }
        Ok(Self { header: Header { dtype, boxes, kind }, preamble, index, tiles, checksum, bytes })
    }

    /// What it says of itself.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// All of its bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What its head says of its mode, as bytes.
    pub(crate) fn preamble(&self) -> ByteReader<'_> {
        ByteReader::new(&self.bytes[self.preamble.clone()])
    }

    /// Bytes of all tiles.
    pub(crate) fn size_of_tiles(&self) -> usize {
        self.tiles.len()
    }

    /// The bytes of a tile.
    ///
    /// # Errors
    /// [`Error::Stream`] where they were damaged.
    pub(crate) fn tile(&self, tile: usize) -> Result<&[u8]> {
        self.index.tile(tile, &self.bytes[self.tiles.clone()])
    }

    /// What names it to the step after: the checksum of its head, which has those of its tiles.
    pub fn checksum(&self) -> u32 {
        self.checksum
    }

    /// All of every box.
    pub fn whole(&self) -> Vec<Region> {
        self.header.boxes.iter().map(|c| c.map(|n| 0..n)).collect()
    }

    /// Where the bytes are that decoding these regions needs beside the head, in order.
    fn needed(&self, regions: &[Region]) -> Vec<Range<usize>> {
        let (mut needed, tiles) = (Vec::<Range<usize>>::new(), tiles(&self.header.boxes));
        let at = |place: usize| self.tiles.start.saturating_add(place);
        for i in (0..tiles.len()).filter(|&i| touches(&tiles[i], regions)) {
            let range = self.index.checked_range(i);
            let range = at(range.start)..at(range.end);
            match needed.last_mut() {
                Some(last) if last.end >= range.start => last.end = range.end,
                _ => needed.push(range),
            }
        }
        needed
    }
}

/// Bytes of a stream that are read first, where not all are: most heads are shorter.
const FIRST: usize = 4096;

impl Stream<'static> {
    /// Opens a stream of so many bytes in a file, and reads no more of it than its head and what
    /// decoding some regions needs. `read` fills memory with the bytes from a place on; `regions`
    /// are one of each box, or nothing where all of the stream is needed, as it is by one that is
    /// predicted from another step. To decode other regions is an error.
    ///
    /// # Errors
    /// Those of [`Stream::open`] and of `read`; [`Error::Memory`].
    pub fn read<E: From<Error>>(
        length: usize,
        mut read: impl FnMut(usize, &mut [u8]) -> std::result::Result<(), E>,
        regions: impl FnOnce(&Header) -> Option<Vec<Region>>,
    ) -> std::result::Result<Self, E> {
        memory::room(length)?;
        // What is not read takes no memory.
        let mut bytes = vec![0; length];
        let mut have = length.min(FIRST);
        read(0, &mut bytes[..have])?;
        let sealed = head(&bytes[..have])?.1.unwrap_or(length).min(length);
        if sealed > have {
            read(have, &mut bytes[have..sealed])?;
            have = sealed;
        }
        let mut stream = Self::open(bytes)?;
        let needed = match regions(&stream.header) {
            Some(regions) => stream.needed(&regions),
            None => std::iter::once(have..length).collect(),
        };
        for range in needed {
            let range = range.start.max(have)..range.end;
            if !range.is_empty() {
                read(range.start, &mut stream.bytes.to_mut()[range])?;
            }
        }
        Ok(stream)
    }
}

/// Where the head of a stream begins, and how many bytes its checksum closes; none for all of them.
fn head(stream: &[u8]) -> Result<(usize, Option<usize>)> {
    let mut reader = ByteReader::new(stream);
    if reader.array::<4>()? != MAGIC {
        return Err(Error::Stream("it does not begin with 'SWAE'".into()));
    }
    let version = u16::from_le_bytes(reader.array()?);
    if version != FORMAT_VERSION {
        return Err(Error::Version { found: version, known: FORMAT_VERSION });
    }
    let head = reader.size()?;
    let begin = stream.len().saturating_sub(reader.len());
    let sealed = begin.saturating_add(head).saturating_add(wire::CHECKSUM);
    Ok((begin, (head > 0).then_some(sealed)))
}

/// What a stream of these boxes is made of.
pub(crate) struct Content<'a> {
    pub(crate) dtype: Dtype,
    pub(crate) mode: u8,
    pub(crate) boxes: &'a [[usize; 3]],
    /// What the head says of the mode.
    pub(crate) preamble: &'a [u8],
    /// The bytes of each tile.
    pub(crate) tiles: &'a [Vec<u8>],
}

/// A whole stream, and the checksum that names it.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn seal(content: &Content<'_>) -> Result<(Vec<u8>, u32)> {
    let Content { dtype, mode, boxes, preamble, tiles } = *content;
    let index = Index::of(tiles)?;
    let mut head = vec![dtype as u8, mode];
    write_varint(boxes.len() as u64, &mut head);
    let same_shape = boxes.windows(2).all(|w| w[0] == w[1]);
    if boxes.len() > 1 {
        head.push(u8::from(!same_shape));
    }
    for count in &boxes[..if same_shape { boxes.len().min(1) } else { boxes.len() }] {
        count.iter().for_each(|&n| write_varint(n as u64, &mut head));
    }
    head.extend_from_slice(preamble);
    index.write(&mut head);
    let mut out = memory::with_capacity(index.bytes().saturating_add(head.len()).saturating_add(32))?;
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    write_varint(if index.has_checksums() { head.len() as u64 } else { 0 }, &mut out);
    out.extend_from_slice(&head);
    if index.has_checksums() {
        wire::seal(&mut out);
    }
    let head = out.len();
    tiles.iter().for_each(|tile| out.extend_from_slice(tile));
    if !index.has_checksums() {
        wire::seal(&mut out);
    }
    let sealed = if index.has_checksums() { &out[..head] } else { &out[..] };
    let checksum = checksum(sealed);
    Ok((out, checksum))
}

/// Bytes that a stream of one box's values as they are never exceeds; none where that is no size.
pub fn max_raw_size(count: [usize; 3], dtype: Dtype) -> Option<usize> {
    let multiply = |n: usize, by: usize| n.checked_mul(by);
    let values = count.into_iter().try_fold(dtype.size(), multiply)?;
    let tiles = count.into_iter().map(|n| n.div_ceil(TILE)).try_fold(1, multiply)?;
    // Of each tile a length and a checksum, and what else a head has.
    values.checked_add(tiles.checked_mul(8)?)?.checked_add(56)
}

/// Reads what a stream says of itself.
///
/// # Errors
/// Those of [`Stream::open`].
pub fn header(bytes: &[u8]) -> Result<Header> {
    Stream::open(bytes).map(|stream| stream.header)
}

/// The first part of a head: type, mode and boxes.
fn boxes(reader: &mut ByteReader<'_>) -> Result<(Dtype, u8, Vec<[usize; 3]>)> {
    let [dtype, mode] = reader.array()?;
    let dtype = match dtype {
        0 => Dtype::F32,
        1 => Dtype::F64,
        other => return Err(Error::Newer(format!("values of type {other}"))),
    };
    Ok((dtype, mode, shapes(reader)?))
}

/// The second part: what a head says of the mode of so many boxes.
fn kind(reader: &mut ByteReader<'_>, mode: u8, boxes: usize) -> Result<Kind> {
    match mode {
        RAW => Ok(Kind::Raw),
        LATENT if boxes == 1 => {
            let latent::Preamble { coding, model, .. } = latent::Preamble::read(reader)?;
            Ok(Kind::Latent(coding, model))
        }
        LATENT => Err(Error::Stream("latents of more or less than one box".into())),
        BOUNDED => Ok(Kind::Bounded(Preamble::read(reader)?)),
        other => Err(Error::Newer(format!("mode {other}"))),
    }
}

/// Makes the checksums of a stream right whose bytes were changed, as far as it says where they are:
/// what stands behind them is reached then. For tests and fuzz targets.
#[doc(hidden)]
pub fn reseal(stream: &mut [u8]) {
    let Ok((begin, sealed)) = head(stream) else { return };
    let Some((sealed, tiles)) = stream.split_at_mut_checked(sealed.unwrap_or(stream.len())) else { return };
    let Some((body, sum)) = sealed.split_last_chunk_mut::<{ wire::CHECKSUM }>() else { return };
    if let Some(head) = body.get_mut(begin..).filter(|_| !tiles.is_empty()) {
        let mut reader = ByteReader::new(head);
        let index = boxes(&mut reader).and_then(|(_, mode, boxes)| {
            kind(&mut reader, mode, boxes.len())?;
            Index::read(&mut reader, tile_count(&boxes).min(head.len()))
        });
        if let Ok(index) = index {
            let end = head.len().saturating_sub(reader.len());
            index.write_checksums(tiles, &mut head[..end]);
        }
    }
    *sum = crc32fast::hash(body).to_le_bytes();
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
