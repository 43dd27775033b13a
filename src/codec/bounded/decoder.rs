//! A tile's bytes become its values, block by block.

use super::entropy::{Coder, Reader};
use super::legendre::{Block, inverse};
use super::links::Links;
use super::pieces::Window;
use super::symbols::{Contexts, Known, Symbols, code};
use super::tile::{PastTile, Places, Tile, Turn};
use crate::Value;
use crate::blocks::VALUES;

crate::engine::for_engines! {
    fn correct(values: &mut Block, corrections: &[(u16, i32)], places: &Places, unit: f64) {
        for &(i, units) in corrections {
            let at = places.block(i);
            values[at] = corrected(values[at], units, unit);
        }
    }
}

/// The value that a correction makes of another.
#[inline(always)]
pub(crate) fn corrected(value: f64, units: i32, unit: f64) -> f64 {
    f64::from(units).mul_add(unit, value)
}

/// What a block is decoded in.
#[repr(C, align(64))]
struct Room<T> {
    coefficients: Block,
    decoded: Block,
    values: [T; VALUES],
}

/// What a reader knows of a block that it has decoded.
pub(crate) struct Told<'a, T> {
    pub(crate) tile: &'a Tile<'a, T>,
    pub(crate) turn: &'a Turn,
    pub(crate) known: &'a Known<'a>,
    pub(crate) symbols: &'a Symbols,
    /// Bits that it took.
    pub(crate) bits: f64,
    /// The network's prediction.
    pub(crate) guess: Option<&'a Block>,
    /// Of a coded block.
    pub(crate) coefficients: &'a Block,
}

/// Decodes a tile: puts every block's values into the windows of its pieces, unless none is wanted, tells of each block, and
/// keeps what the next step needs.
pub(crate) fn decode<T: Value>(
    mut tile: Tile<'_, T>,
    turns: &[Turn],
    bytes: &[u8],
    network: &[Option<Box<Block>>],
    mut windows: Option<&mut [Window<'_, T>]>,
    mut tell: impl FnMut(&Told<'_, T>),
) -> PastTile<T> {
    let mut reader = Reader::new(bytes);
    let mut contexts = Contexts::new();
    let zeros = [0.0; VALUES];
    let mut room = Box::new(Room { coefficients: zeros, decoded: zeros, values: [T::default(); VALUES] });
    let Room { coefficients, decoded, values } = &mut *room;
    let links = Links::possible(turns).then(|| Links::code(&mut reader, Links::default(), turns.len()));
    for (number, turn) in turns.iter().enumerate() {
        let guess = network.get(number).and_then(Option::as_deref);
        let turn = &match links {
            Some(links) => {
                let linked = links.code_piece(&mut reader, contexts.links(), turn.piece, [None; 3]);
                Links::apply(linked, turn)
            }
            None => *turn,
        };
        if let Some(windows) = &windows {
            windows[turn.piece].fetch(turn.place);
        }
        tile.prepare(turns, number);
        let known = tile.known(turn, guess.is_some());
        let before = reader.spent();
        let symbols = code(&mut reader, &mut contexts, &known, None);
        let bits = reader.spent() - before;
        let places = Places::of(turn.place);
        match &symbols {
            Symbols::Coded(coded) => {
                tile.reconstruct(turn, coded, guess, coefficients);
                if windows.is_some() {
                    inverse(tile.engine, coefficients, decoded);
                    correct(tile.engine, decoded, &coded.corrections, &places, tile.frame.unit);
                    narrow(tile.engine, decoded, values);
                    for &(i, bits) in &coded.literals {
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
            windows[turn.piece].put(turn.place, values);
        }
        tell(&Told { tile: &tile, turn, known: &known, symbols: &symbols, bits, guess, coefficients });
        tile.keep(turn, &symbols, coefficients);
    }
    tile.into_past()
}

crate::engine::for_engines! {
    fn narrow<T: Value>(block: &Block, out: &mut [T; VALUES]) {
        for (out, &v) in out.iter_mut().zip(block) {
            *out = T::from_f64(v);
        }
    }
}
