//! The stream: one box of one field as bytes, with a version, a shape and a checksum. This file and
//! docs/format.md are the only places that know the layout.

use crate::{
    Dtype, Error, FieldView, LatentCoding, Model, ModelId, Models, Result, Value, check_shape, latent,
};
use ndarray::Array3;

/// The newest format version that this library reads, and the one that it writes. 0 is provisional.
pub const FORMAT_VERSION: u16 = 0;
const MAGIC: [u8; 4] = *b"SWAE";
const HEADER: usize = 40;
const CHECKSUM: usize = 4;

/// How a box is coded.
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
}

/// What a stream says of itself before its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Type of the values.
    pub dtype: Dtype,
    /// `[nx, ny, nz]`.
    pub count: [usize; 3],
    /// Coding and model; none where the values are stored as they are.
    pub latent: Option<(LatentCoding, ModelId)>,
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
/// [`Error::Model`] where the mode's model has no encoder.
pub fn compress<T: Value>(view: &FieldView<'_, T>, mode: Mode<'_>) -> Result<Vec<u8>> {
    let (tag, payload) = match mode {
        Mode::Raw => {
            let mut bytes = Vec::with_capacity(view.len() * T::DTYPE.size());
            view.values().for_each(|v| v.write_le(&mut bytes));
            (0, bytes)
        }
        Mode::Latent { model, coding } => (1, latent::encode(view, model, coding)?),
    };
    let mut out = Vec::with_capacity(HEADER + payload.len() + CHECKSUM);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    out.extend_from_slice(&[T::DTYPE as u8, tag]);
    for n in view.count() {
        out.extend_from_slice(&(n as u64).to_le_bytes());
    }
    out.extend_from_slice(&(payload.len() as u64).to_le_bytes());
    out.extend_from_slice(&payload);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    Ok(out)
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
    if version > FORMAT_VERSION {
        return Err(Error::Version { found: version, known: FORMAT_VERSION });
    }
    let [dtype, mode] = reader.array()?;
    let dtype = match dtype {
        0 => Dtype::F32,
        1 => Dtype::F64,
        other => return Err(Error::Stream(format!("unknown type {other}"))),
    };
    let mut count = [0usize; 3];
    for n in &mut count {
        *n = reader.size()?;
    }
    check_shape(count).map_err(|_| Error::Stream(format!("impossible shape {count:?}")))?;
    let length = reader.size()?;
    let payload = reader.take(length, 1)?;
    let sum = u32::from_le_bytes(reader.array()?);
    reader.finish()?;
    if crc32fast::hash(&bytes[..bytes.len() - CHECKSUM]) != sum {
        return Err(Error::Stream("the checksum is wrong".into()));
    }
    let latent = match mode {
        0 => None,
        1 => Some(latent::preamble(&mut Reader::new(payload))?),
        other => return Err(Error::Stream(format!("unknown mode {other}"))),
    };
    Ok((Header { dtype, count, latent }, payload))
}

/// Decodes a box.
///
/// # Errors
/// [`Error::Stream`] where the bytes are damaged or are no stream, [`Error::Version`] where they are of a newer format,
/// [`Error::MissingModel`] where their model is not in `models`.
pub fn decompress(bytes: &[u8], models: &Models) -> Result<Field> {
    let (header, payload) = open(bytes)?;
    match header.dtype {
        Dtype::F32 => values(&header, payload, models).map(Field::F32),
        Dtype::F64 => values(&header, payload, models).map(Field::F64),
    }
}

fn values<T: Value>(header: &Header, payload: &[u8], models: &Models) -> Result<Array3<T>> {
    let [nx, ny, nz] = header.count;
    let values = match header.latent {
        Some(_) => latent::decode::<T>(payload, header.count, models)?,
        None => {
            let mut reader = Reader::new(payload);
            let values = reader.values(nx * ny * nz)?;
            reader.finish()?;
            values
        }
    };
    Array3::from_shape_vec((nz, ny, nx), values).map_err(|e| Error::Stream(e.to_string()))
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

    fn size(&mut self) -> Result<usize> {
        let n = u64::from_le_bytes(self.array()?);
        usize::try_from(n).map_err(|_| Error::Stream(format!("impossible length {n}")))
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
