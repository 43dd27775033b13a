//! A tile's bytes become its values, block by block.

use crate::blocks::{Block, Places, VALUES};
use crate::element::Element;
use crate::engine::for_engines;
use crate::entropy::rans::SymbolCoder;
use crate::entropy::symbols::{BlockContext, Symbols, code};
use crate::legendre::inverse;
use crate::order::{Entry, batches};
use crate::predict::reference::ReferenceTile;
use crate::predict::tile::{Tile, narrow};
use crate::quantum::corrected;
use crate::tiling::Window;

for_engines! {
    fn correct(values: &mut Block, corrections: &[(u16, i32)], places: &Places, quantum: f64) {
        for &(i, quanta) in corrections {
            let at = places.block(i);
            values[at] = corrected(values[at], quanta, quantum);
        }
    }
}

/// Memory that blocks are decoded in.
#[repr(C, align(64))]
struct Workspace<T> {
    coefficients: Block,
    decoded: Block,
    values: [T; VALUES],
}

/// A decoded block, for those who count.
pub(crate) struct DecodedBlock<'a, T> {
    pub(crate) tile: &'a Tile<'a, T>,
    pub(crate) entry: &'a Entry,
    pub(crate) symbols: &'a Symbols,
    /// Bits that it took.
    pub(crate) bits: f64,
    /// What the autoencoder says of it.
    pub(crate) from_latents: Option<&'a Block>,
    /// Of a coded block.
    pub(crate) coefficients: &'a Block,
}

impl<T: Element> DecodedBlock<'_, T> {
    /// What was known of it before it was coded.
    pub(crate) fn context(&self) -> BlockContext<'_> {
        self.tile.context(self.entry, self.from_latents.is_some())
    }
}

/// Decodes the tile that `reader` reads: puts every block's values into the windows of its pieces,
/// unless none is wanted, shows each block to `observe`, and gives what the next step may be
/// predicted from. `latent_predictions` are the autoencoder's, by entry; `missing` is what missing
/// points hold.
pub(crate) fn decode<T: Element>(
    mut tile: Tile<'_, T>,
    entries: &[Entry],
    reader: &mut impl SymbolCoder,
    latent_predictions: &[Option<Box<Block>>],
    missing: T,
    mut windows: Option<&mut [Window<'_, T>]>,
    mut observe: impl FnMut(&DecodedBlock<'_, T>),
) -> ReferenceTile<T> {
    let mut tables = tile.first_tables();
    let zeros = [0.0; VALUES];
    let mut workspace =
        Box::new(Workspace { coefficients: zeros, decoded: zeros, values: [T::default(); VALUES] });
    let Workspace { coefficients, decoded, values } = &mut *workspace;
    for batch in &batches(entries) {
        tile.begin_batch(entries, batch);
        let from_latents = |number: u32| latent_predictions.get(number as usize).and_then(Option::as_deref);
        let mut present = Vec::with_capacity(batch.len());
        for &number in batch {
            let entry = &entries[number as usize];
            if !tile.is_missing(entry) {
                present.push((entry, from_latents(number)));
                continue;
            }
            if let Some(windows) = &mut windows {
                values.fill(missing);
                windows[entry.piece].put(entry.place, values);
            }
            tile.keep_missing(entry);
        }
        let contexts: Vec<_> =
            present.iter().map(|(e, latents)| tile.context(e, latents.is_some())).collect();
        let mut symbols = vec![Symbols::Constant(0); present.len()];
        let bits = code(reader, &mut tables, &contexts, &mut symbols);
        tables.learn(tile.engine);
        for ((&(entry, from_latents), symbols), bits) in present.iter().zip(&symbols).zip(bits) {
            if let Some(windows) = &windows {
                windows[entry.piece].fetch(entry.place);
            }
            let (places, mask) = (tile.places(entry), tile.missing(entry));
            let mut is_decoded = false;
            match symbols {
                Symbols::Coded(coded) => {
                    tile.reconstruct(entry, coded, from_latents, coefficients);
                    if windows.is_some() {
                        inverse(tile.engine, coefficients, decoded);
                        correct(tile.engine, decoded, &coded.corrections, &places, tile.frame.quantum);
                        is_decoded = coded.unpredictable.is_empty() && mask.is_none();
                        if !is_decoded {
                            narrow(tile.engine, decoded, values);
                        }
                        for &(i, bits) in &coded.unpredictable {
                            values[places.block(i)] = T::of_bits(bits);
                        }
                    }
                }
                Symbols::Constant(bits) => values.fill(T::of_bits(*bits)),
                Symbols::Raw(raw) => {
                    for (i, &bits) in raw.iter().enumerate() {
                        values[places.block(i as u16)] = T::of_bits(bits);
                    }
                }
            }
            if let Some(windows) = &mut windows {
                if let Some(mask) = mask {
                    (0..VALUES).filter(|&i| mask.has(i)).for_each(|i| values[i] = missing);
                }
                let window = &mut windows[entry.piece];
                if is_decoded {
                    window.put_with(entry.place, decoded, |row| row.map(T::from_f64));
                } else {
                    window.put(entry.place, values);
                }
            }
            observe(&DecodedBlock { tile: &tile, entry, symbols, bits, from_latents, coefficients });
            tile.keep(entry, symbols, coefficients);
        }
        tile.end_batch(entries, batch);
    }
    tile.into_reference(&tables)
}
