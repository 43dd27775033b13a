//! Who looks on while a tile is encoded: training does, an encoder does not.

use crate::blocks::Block;
use crate::entropy::symbols::Symbols;
use crate::entropy::tables::Tables;
use crate::order::Entry;
use crate::predict::tile::Tile;

/// Sees blocks and tiles as they are encoded. The unit type sees nothing and costs nothing.
pub(crate) trait Observer<T>: Sync {
    /// A block is about to be coded: `truth` are its coefficients.
    fn block(&self, _tile: &Tile<'_, T>, _entry: &Entry, _truth: &Block, _symbols: &Symbols) {}

    /// A batch of blocks is coded: these are the rows, and what was counted of it.
    fn batch(&self, _tables: &Tables) {}
}

impl<T> Observer<T> for () {}
