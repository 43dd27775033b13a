//! Bytes as streams hold them: numbers of variable length, a reader that never reads too far,
//! checksums.
//!
//! A leaf of the crate: what the bytes mean is for those who call it.

use crate::element::Element;
use crate::error::{Error, Result};
use crate::memory;

/// Bytes of a checksum.
pub(crate) const CHECKSUM: usize = 4;

/// Appends a number in 7 bits a byte, low ones first; the highest bit says that more follow.
pub(crate) fn write_varint(mut v: u64, out: &mut Vec<u8>) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// A part behind its length, and what follows it: see [`ByteReader::part`].
pub(crate) fn behind(part: &[u8], then: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    write_varint(part.len() as u64, &mut out);
    out.extend_from_slice(part);
    out.extend_from_slice(then);
    out
}

/// Appends the CRC-32 of all bytes.
pub(crate) fn seal(out: &mut Vec<u8>) {
    out.extend_from_slice(&crc32fast::hash(out).to_le_bytes());
}

/// The bytes that [`seal`] was given.
///
/// # Errors
/// [`Error::Stream`] where they are too few, or are not those that were sealed.
pub(crate) fn unseal(bytes: &[u8]) -> Result<&[u8]> {
    let Some((body, sum)) = bytes.split_last_chunk::<CHECKSUM>() else {
        return Err(Error::Stream("it ends too early".into()));
    };
    if crc32fast::hash(body) != u32::from_le_bytes(*sum) {
        return Err(Error::Stream("the checksum is wrong".into()));
    }
    Ok(body)
}

/// The checksum that sealed bytes end with: what names a stream to the step after. (A CRC of a
/// stream together with its own CRC is the same number for all streams.)
pub(crate) fn checksum(sealed: &[u8]) -> u32 {
    sealed.last_chunk().map_or(0, |sum| u32::from_le_bytes(*sum))
}

/// A checksum of checksums.
pub(crate) fn combined_checksum(sums: impl Iterator<Item = u32>) -> u32 {
    crc32fast::hash(&sums.flat_map(u32::to_le_bytes).collect::<Vec<_>>())
}

/// Takes bytes off the front, never more than there are.
pub(crate) struct ByteReader<'a> {
    left: &'a [u8],
}

impl<'a> ByteReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { left: bytes }
    }

    /// How many bytes are left.
    pub(crate) fn len(&self) -> usize {
        self.left.len()
    }

    /// So many items of a size.
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

    /// A varint that is a length.
    pub(crate) fn size(&mut self) -> Result<usize> {
        let n = self.varint()?;
        usize::try_from(n).map_err(|_| Error::Stream(format!("impossible length {n}")))
    }

    /// Bytes behind their number.
    pub(crate) fn part(&mut self) -> Result<&'a [u8]> {
        let length = self.size()?;
        self.take(length, 1)
    }

    /// All that is left.
    pub(crate) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.left)
    }

    /// So many values, little-endian.
    pub(crate) fn values<T: Element>(&mut self, count: usize) -> Result<Vec<T>> {
        let bytes = self.take(count, T::DTYPE.size())?;
        memory::collect(count, bytes.chunks_exact(T::DTYPE.size()).map(T::read_le))
    }

    /// Whether nothing is left.
    ///
    /// # Errors
    /// [`Error::Stream`] where something is.
    pub(crate) fn finish(self) -> Result<()> {
        if self.left.is_empty() {
            Ok(())
        } else {
            Err(Error::Stream(format!("{} bytes too many", self.left.len())))
        }
    }
}
