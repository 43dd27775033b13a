//! What the fuzz targets share.

/// What a stream begins with.
pub const STREAM: &[u8] = b"SWAE\x01\x00";

/// The bytes with the right beginning and checksum, so that what stands behind them is reached.
pub fn sealed(beginning: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut out = beginning.to_vec();
    out.extend_from_slice(bytes);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}
