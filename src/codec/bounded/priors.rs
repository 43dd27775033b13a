//! The estimates that every tile starts from: those that tiles of evolved black holes ended with, on average
//! (`cargo run --release -p swae-codec --features learn --example learn_priors`). They are part of the format.

use super::entropy::Bit;
use super::symbols::Contexts;

/// For each estimate its chance, u16 little-endian, and how many decisions it is taken to have seen, u8.
static TABLE: &[u8] = include_bytes!("priors.bin");

/// All of them.
pub(crate) fn start() -> Vec<Bit> {
    let bit = |b: &[u8]| Bit::from_table(u16::from_le_bytes([b[0], b[1]]), b[2]);
    TABLE.chunks_exact(3).map(bit).collect()
}

const _: () = assert!(TABLE.len() == 3 * Contexts::LEN);

#[cfg(feature = "learn")]
pub mod learning {
    //! Gathers what tiles end with.

    use super::*;
    use std::sync::Mutex;

    /// Sums over tiles: how much was seen, and chances weighted with it.
    static SUMS: Mutex<Vec<(f64, f64)>> = Mutex::new(Vec::new());

    pub(crate) fn gather(contexts: &Contexts) {
        let mut sums = SUMS.lock().expect("no thread panicked");
        sums.resize(Contexts::LEN, (0.0, 0.0));
        let start = start();
        for ((sum, bit), before) in sums.iter_mut().zip(contexts.bits()).zip(start) {
            // What the table itself brought is no evidence.
            let seen = f64::from(bit.seen() - before.seen());
            *sum = (sum.0 + seen, sum.1 + seen * f64::from(bit.chance()));
        }
    }

    /// The table of all tiles since the start.
    pub fn table() -> Vec<u8> {
        let sums = SUMS.lock().expect("no thread panicked");
        let entry = |&(seen, chances): &(f64, f64)| {
            // A prior counts for little: tiles differ.
            let trust = (seen / 16.0).min(TRUST) as u8;
            let chance = if seen > 0.0 { (chances / seen) as u16 } else { 1 << 14 };
            let [low, high] = chance.clamp(64, (1 << 15) - 64).to_le_bytes();
            [low, high, trust]
        };
        sums.iter().flat_map(entry).collect()
    }

    const TRUST: f64 = 20.0;
}
