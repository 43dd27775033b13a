//! Streams of any bytes with a valid beginning and checksum: without these a fuzz target would only
//! ever reach the first checks.

pub mod mutate;

/// The beginning of a stream: magic and version.
pub const STREAM: &[u8] = b"SWAE\x01\x00";

/// The bytes after this beginning and before their checksum.
pub fn sealed(beginning: &[u8], bytes: &[u8]) -> Vec<u8> {
    let mut out = beginning.to_vec();
    out.extend_from_slice(bytes);
    out.extend_from_slice(&crc32fast::hash(&out).to_le_bytes());
    out
}
