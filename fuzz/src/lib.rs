//! What the fuzz targets share.

/// The bytes with the right beginning and checksum, so that what stands behind them is reached.
pub fn sealed(bytes: &[u8]) -> Vec<u8> {
    let mut out = b"SWAE\x01\x00".to_vec();
    out.extend_from_slice(bytes);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}
