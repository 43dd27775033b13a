//! A bounded stream becomes values: tiles are decoded side by side, and kept for the next step.

use super::savings;
use super::tile::{DecodedBlock, decode as decode_tile};
use crate::blocks::{BlockGrid, VALUES};
use crate::element::Element;
use crate::engine::Engine;
use crate::entropy::mask;
use crate::entropy::range_coder;
use crate::entropy::rans::Reader;
use crate::error::{Error, Result};
use crate::history::History;
use crate::memory;
use crate::models::Models;
use crate::preamble::Preamble;
use crate::predict::interfield::InterFieldPrediction;
use crate::predict::links::Links;
use crate::predict::reference::{ReferenceStep, ReferenceTile};
use crate::predict::tile::{References, Tile};
use crate::statistics::BlockStatistics;
use crate::stream::{Region, Stream};
use crate::threads;
use crate::tiling::{TILE_BLOCKS, Window, entries_of, memory_of_windows, tiles, windows};
use crate::wire::ByteReader;
use std::sync::Arc;

/// What is wanted of a stream.
pub(super) struct Task<'a, 'h> {
    pub(super) stream: &'a Stream<'a>,
    /// That of the stream.
    pub(super) preamble: &'a Preamble,
    /// The part of each box that is decoded.
    pub(super) regions: &'a [Region],
    pub(super) models: &'a Models,
    /// The history whose last step this stream becomes. All tiles are decoded for it; without one,
    /// those outside the regions are not touched.
    pub(super) history: Option<&'h mut History>,
    /// Whether blocks are counted.
    pub(super) counts: bool,
}

/// A decoded tile.
struct DecodedTile<T> {
    reference: Option<ReferenceTile<T>>,
    statistics: BlockStatistics,
}

/// Bytes that decoding takes beside the values: what is kept of a tile on each thread or, for a
/// history, of all of them, and a slice for each row of the regions.
fn memory_of_tiles<T: Element>(boxes: &[[usize; 3]], regions: &[Region], keeps_reference: bool) -> usize {
    let blocks = boxes.iter().map(|&count| BlockGrid::new(count).len()).fold(0, usize::saturating_add);
    let tiles = if keeps_reference { usize::MAX } else { threads::count() };
    let blocks = blocks.min(tiles.saturating_mul(TILE_BLOCKS));
    let of_a_block = size_of::<T>().saturating_mul(VALUES + VALUES / 4);
    blocks.saturating_mul(of_a_block).saturating_add(memory_of_windows::<T>(regions))
}

/// Decodes into `out`, the values of each region, x fastest.
///
/// # Errors
/// [`crate::Error::Stream`] where the stream is damaged, or is predicted from a step that the
/// history does not hold.
pub(super) fn decode<T: Element>(task: Task<'_, '_>, out: &mut [&mut [T]]) -> Result<BlockStatistics> {
    let Task { stream, preamble, regions, models, mut history, counts } = task;
    let boxes = &stream.header().boxes[..];
    memory::room(memory_of_tiles::<T>(boxes, regions, history.is_some()))?;
    let engine = Engine::best()?;
    let values = boxes.iter().map(|count| count.iter().product::<usize>() as u64);
    if preamble.missing.is_some_and(|missing| missing.points > values.fold(0, u64::saturating_add)) {
        return Err(Error::Stream("more points are missing than there are".into()));
    }
    let tiles = tiles(boxes);
    let autoencoder = preamble.autoencoder(models)?;
    let mixing = preamble.mixing_network(models)?;
    let keeps_reference = history.is_some();
    let given = history.as_mut().map(|history| std::mem::take(&mut history.references));
    let given: Vec<_> = given.iter().flatten().map(|(name, field)| (&name[..], field.last::<T>())).collect();
    let fields = preamble.inter_field.as_ref().map(|inter_field| inter_field.find(boxes, &given));
    let fields = fields.transpose()?.unwrap_or_default();
    let steps = History::references_for::<T>(history.as_deref(), preamble, boxes)?;
    let mut windows = windows(&tiles, boxes, regions, out);
    let tile = |(i, windows): (usize, &mut Vec<Window<'_, T>>)| -> Result<Option<DecodedTile<T>>> {
        let wanted = !windows.iter().all(Window::is_empty);
        if !wanted && !keeps_reference {
            return Ok(None);
        }
        let mut entries = entries_of(&tiles[i]);
        let steps = steps.map(|steps| steps.tile(i));
        let previous = steps.map(|steps| steps.previous);
        let inter_field = preamble.inter_field.as_ref().zip(previous).map(|(inter_field, previous)| {
            InterFieldPrediction::new(inter_field, previous, fields.iter().map(|step| &step.tiles[i]))
        });
        let references = References { steps, inter_field, mixing: mixing.as_ref() };
        let mut bytes = ByteReader::new(stream.tile(i)?);
        let mut mask = None;
        if preamble.missing.is_some() {
            let mut coded = range_coder::Reader::new(bytes.part()?);
            let shapes: Vec<_> = tiles[i].iter().map(|piece| piece.count).collect();
            let then = previous.and_then(|previous| previous.missing.as_deref());
            mask = mask::code(&mut coded, &shapes, then, None).map(Arc::new);
        }
        if let Some(mask) = &mask {
            entries = mask.entries(&entries);
        }
        let tile = Tile::new(preamble.frame(engine), entries.len(), references, mask, keeps_reference);
        let mut from_latents = Vec::new();
        if let Some(autoencoder) = &autoencoder {
            from_latents = autoencoder.read(tile.engine, bytes.part()?, entries.len(), preamble.quantum);
        }
        if Links::possible(&entries) {
            let mut coded = range_coder::Reader::new(bytes.part()?);
            entries = Links::code_all(&mut coded, &entries, tile.mask(), None);
        }
        let mut statistics = BlockStatistics::default();
        let windows = wanted.then_some(&mut windows[..]);
        let observe = |block: &DecodedBlock<'_, T>| {
            if counts {
                savings::count(&mut statistics, block);
            }
        };
        let missing = T::of_bits(preamble.missing.map_or(0, |missing| missing.bits));
        let mut reader = Reader::new(bytes.rest(), counts);
        let reference = decode_tile(tile, &entries, &mut reader, &from_latents, missing, windows, observe);
        Ok(Some(DecodedTile { reference: keeps_reference.then_some(reference), statistics }))
    };
    let decoded = threads::map(windows.iter_mut().enumerate().collect::<Vec<_>>(), tile);
    let decoded = decoded.into_iter().collect::<Result<Vec<_>>>()?;
    let points = preamble.missing.map_or(0, |missing| missing.points);
    let mut statistics = BlockStatistics::default();
    statistics.missing = points;
    let mut references = Vec::new();
    for tile in decoded.into_iter().flatten() {
        statistics = statistics.union(&tile.statistics);
        references.extend(tile.reference);
    }
    if let Some(history) = history {
        let (boxes, tiles) = (boxes.to_vec(), Arc::new(references));
        let (age, checksum) = (preamble.age, stream.checksum());
        let spacing = preamble.reached();
        history.set_last(Some(ReferenceStep { boxes, tiles, age, spacing, checksum }));
    }
    Ok(statistics)
}
