//! The rows that every tile begins with. They are part of the format.
//!
//! Fitted: how often each symbol came in tiles of evolved black holes (`make fit`; FITTED.md beside
//! this file).

use super::tables::{Row, SYMBOLS, Tables};

/// For each row how many symbols it stands for, and the frequency of each symbol, u16
/// little-endian.
static TABLE: &[u8] = include_bytes!("initial_tables.bin");
const ROW: usize = 2 * (1 + SYMBOLS);

/// How many rows there are.
pub(crate) const ROWS: usize = TABLE.len() / ROW;

/// All of them.
pub(crate) fn start() -> Tables {
    let numbers = |bytes: &[u8]| -> Vec<u16> {
        bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
    };
    let row = |bytes: &[u8]| {
        let [weight, sizes @ ..] = &numbers(bytes)[..] else { unreachable!("a row has numbers") };
        let mut row = Row { starts: [0; SYMBOLS], sizes: [0; SYMBOLS] };
        row.sizes.copy_from_slice(sizes);
        let mut before = 0u16;
        for (start, size) in row.starts.iter_mut().zip(sizes) {
            *start = before;
            before = before.wrapping_add(*size);
        }
        (row, *weight)
    };
    let (rows, weights): (Vec<_>, _) = TABLE.chunks_exact(ROW).map(row).unzip();
    Tables::new(&rows, weights)
}
