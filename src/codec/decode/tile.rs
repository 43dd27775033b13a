//! A tile's bytes become its values, block by block.

use crate::blocks::{Block, Places, VALUES};
use crate::element::Element;
use crate::engine::for_engines;
use crate::entropy::range_coder::Coder;
use crate::entropy::symbols::{BlockContext, Contexts, Symbols, code};
use crate::legendre::inverse;
use crate::order::Entry;
use crate::predict::links::Links;
use crate::predict::reference::ReferenceTile;
use crate::predict::tile::Tile;
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
    pub(crate) context: &'a BlockContext<'a>,
    pub(crate) symbols: &'a Symbols,
    /// Bits that it took.
    pub(crate) bits: f64,
    /// What the autoencoder says of it.
    pub(crate) from_latents: Option<&'a Block>,
    /// Of a coded block.
    pub(crate) coefficients: &'a Block,
}

/// Decodes the tile that `reader` reads: puts every block's values into the windows of its pieces,
/// unless none is wanted, shows each block to `observe`, and gives what the next step may be
/// predicted from. `latent_predictions` are the autoencoder's, by entry; `missing` is what missing
/// points hold.
pub(crate) fn decode<T: Element>(
    mut tile: Tile<'_, T>,
    entries: &[Entry],
    reader: &mut impl Coder,
    latent_predictions: &[Option<Box<Block>>],
    missing: T,
    mut windows: Option<&mut [Window<'_, T>]>,
    mut observe: impl FnMut(&DecodedBlock<'_, T>),
) -> ReferenceTile<T> {
    let mut contexts = Contexts::new();
    let zeros = [0.0; VALUES];
    let mut workspace =
        Box::new(Workspace { coefficients: zeros, decoded: zeros, values: [T::default(); VALUES] });
    let Workspace { coefficients, decoded, values } = &mut *workspace;
    let links = Links::possible(entries).then(|| Links::code(reader, Links::default(), entries.len()));
    for (number, entry) in entries.iter().enumerate() {
        tile.prepare(entries, number);
        if tile.is_missing(entry) {
            if let Some(windows) = &mut windows {
                values.fill(missing);
                windows[entry.piece].put(entry.place, values);
            }
            tile.keep_missing(entry);
            continue;
        }
        let from_latents = latent_predictions.get(number).and_then(Option::as_deref);
        let entry = &match links {
            Some(links) => {
                let linked = links.code_piece(reader, contexts.links(), entry.piece, [None; 3]);
                tile.entry(&entries[..number], &Links::apply(linked, entry))
            }
            None => *entry,
        };
        if let Some(windows) = &windows {
            windows[entry.piece].fetch(entry.place);
        }
        let context = tile.context(entry, from_latents.is_some());
        let before = reader.spent();
        let symbols = code(reader, &mut contexts, &context, None);
        let bits = reader.spent() - before;
        let places = tile.places(entry);
        match &symbols {
            Symbols::Coded(coded) => {
                tile.reconstruct(entry, coded, from_latents, coefficients);
                if windows.is_some() {
                    inverse(tile.engine, coefficients, decoded);
                    correct(tile.engine, decoded, &coded.corrections, &places, tile.frame.quantum);
                    narrow(tile.engine, decoded, values);
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
            if let Some(mask) = tile.missing(entry) {
                (0..VALUES).filter(|&i| mask.has(i)).for_each(|i| values[i] = missing);
            }
            windows[entry.piece].put(entry.place, values);
        }
        observe(&DecodedBlock {
            tile: &tile,
            entry,
            context: &context,
            symbols: &symbols,
            bits,
            from_latents,
            coefficients,
        });
        tile.keep(entry, &symbols, coefficients);
    }
    tile.into_reference()
}

for_engines! {
    fn narrow<T: Element>(block: &Block, out: &mut [T; VALUES]) {
        for (out, &v) in out.iter_mut().zip(block) {
            *out = T::from_f64(v);
        }
    }
}
