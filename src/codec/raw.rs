//! Raw mode: values as they are, tile by tile.

use crate::element::Element;
use crate::error::{Error, Result};
use crate::memory;
use crate::threads;
use crate::tiling::{Piece, Window, tiles};
use crate::view::FieldView;

/// The bytes of each tile of boxes.
///
/// # Errors
/// [`Error::Memory`].
pub(crate) fn encode<T: Element>(views: &[FieldView<'_, T>]) -> Result<Vec<Vec<u8>>> {
    let boxes: Vec<_> = views.iter().map(FieldView::count).collect();
    let tiles = tiles(&boxes);
    let tile = |pieces: &Vec<Piece>| {
        let mut bytes = memory::with_capacity(size::<T>(pieces))?;
        let parts = pieces.iter().map(|piece| views[piece.of].part(piece.start, piece.count));
        parts.for_each(|part| part.for_rows(|row| row.iter().for_each(|v| v.write_le(&mut bytes))));
        Ok(bytes)
    };
    threads::call(tiles.len(), || threads::map(&tiles, tile)).into_iter().collect()
}

/// Bytes of a tile.
fn size<T: Element>(pieces: &[Piece]) -> usize {
    let values = pieces.iter().map(|piece| piece.count.iter().product()).fold(0, usize::saturating_add);
    values.saturating_mul(T::DTYPE.size())
}

/// Copies what the windows of a tile need of its bytes.
///
/// # Errors
/// [`Error::Stream`] where they are not as many as it has.
#[allow(clippy::arithmetic_side_effects, reason = "places in a tile, whose bytes were counted")]
pub(crate) fn decode_tile<T: Element>(
    bytes: &[u8],
    pieces: &[Piece],
    windows: &mut [Window<'_, T>],
) -> Result<()> {
    if bytes.len() != size::<T>(pieces) {
        return Err(Error::Stream("a tile's length does not fit its shape".into()));
    }
    let mut left = bytes;
    for (Piece { count, .. }, window) in pieces.iter().zip(windows) {
        let values;
        (values, left) = left.split_at(count.iter().product::<usize>() * T::DTYPE.size());
        for ([x, y, z], row) in window.rows() {
            let first = (z * count[1] + y) * count[0] + x;
            let values = values[first * T::DTYPE.size()..].chunks_exact(T::DTYPE.size());
            row.iter_mut().zip(values).for_each(|(out, value)| *out = T::read_le(value));
        }
    }
    Ok(())
}
