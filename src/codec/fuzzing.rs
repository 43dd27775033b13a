//! Streams of any symbols: whole to every check, and what no encoder would write.
//!
//! A [`Generator`] stands where a decoder has its reader. It takes each decision from a fuzzer's
//! input and writes it, so that a mutation of the input changes one decision and leaves the rest of
//! the stream readable. Behind the feature `fuzzing`; nothing here is in the way of a field.

use crate::blocks::Block;
use crate::bound::Tolerance;
use crate::decode::tile::{DecodedBlock, decode as decode_tile};
use crate::element::Element;
use crate::engine::Engine;
use crate::entropy::mask;
use crate::entropy::range_coder::{self, BitModel, Coder};
use crate::entropy::rans::{Reader, SymbolCoder, Writer, low_bits};
use crate::entropy::symbols::{Symbols, code, start};
use crate::entropy::tables::Tables;
use crate::error::Result;
use crate::history::History;
use crate::mask::Mask;
use crate::models::Models;
use crate::preamble::{Missing, Preamble, from_upper_half};
use crate::predict::autoencoder::Autoencoder;
use crate::predict::interfield::{InterField, InterFieldPrediction, ReferenceField, stored};
use crate::predict::links::Links;
use crate::predict::reference::{ReferenceStep, Spacing, StepReferences};
use crate::predict::tile::{References, Tile};
use crate::predict::{Predictor, PredictorMask};
use crate::stream::{BOUNDED, Content, Region, seal};
use crate::tiling::{Piece, entries_of, tiles, windows};
use crate::wire::{ByteReader, behind, combined_checksum};
use std::sync::Arc;

/// What a stream of any symbols is made of.
#[derive(Clone, Debug, Default)]
pub struct Recipe<'a> {
    /// `[nx, ny, nz]` of every box.
    pub boxes: Vec<[usize; 3]>,
    /// Whether the tolerance is relative to each value.
    pub relative: bool,
    /// The upper halves of the bits of the tolerance and, of a relative one, the quantum.
    pub tolerance: u32,
    /// See `tolerance`.
    pub quantum: u32,
    /// Predictors that blocks may use, a bit for each; those that cannot be had are left out.
    pub predictors: u8,
    /// Weights of the field itself and of another in inter-field prediction.
    pub weights: [f32; 4],
    /// The missing value, where the stream has masks.
    pub missing: Option<u64>,
    /// The decisions, a bit each; all further ones are 0.
    pub decisions: &'a [u8],
}

/// A stream, and the values of each of its boxes, x fastest.
pub type StreamOfSymbols<T> = (Vec<u8>, Vec<Vec<T>>);

/// Takes decisions from bytes, and writes them with a writer of either kind.
struct Generator<'b, 'a, W> {
    writer: W,
    decisions: &'b mut Decisions<'a>,
}

struct Decisions<'a> {
    left: &'a [u8],
    bits: u32,
    bits_left: u32,
}

impl Decisions<'_> {
    fn next(&mut self) -> bool {
        if self.bits_left == 0
            && let Some((&byte, left)) = self.left.split_first()
        {
            (self.left, self.bits, self.bits_left) = (left, byte.into(), 8);
        }
        self.bits_left = self.bits_left.saturating_sub(1);
        let bit = self.bits & 1 == 1;
        self.bits >>= 1;
        bit
    }

    fn bits(&mut self, count: u32) -> u32 {
        (0..count).fold(0, |value, _| value << 1 | u32::from(self.next()))
    }

    /// Codes what has a binary coder; gives it, and its bytes behind their length.
    fn part<R>(
        &mut self,
        code: impl FnOnce(&mut Generator<'_, '_, range_coder::Writer>) -> R,
    ) -> (R, Vec<u8>) {
        let mut generator = Generator { writer: range_coder::Writer::new(), decisions: self };
        let result = code(&mut generator);
        let coded = generator.writer.finish();
        (result, behind(&coded, &[]))
    }
}

impl SymbolCoder for Generator<'_, '_, Writer> {
    const READS: bool = true;

    fn symbol(&mut self, lane: usize, tables: &mut Tables, row: usize, _: usize) -> usize {
        let symbol = self.decisions.bits(4) as usize;
        self.writer.symbol(lane, tables, row, symbol)
    }

    fn raw(&mut self, lane: usize, _: u32, count: u32) -> u32 {
        let value = self.decisions.bits(count);
        self.writer.raw(lane, value, count)
    }

    fn spent(&self, lane: usize) -> f64 {
        self.writer.spent(lane)
    }
}

impl Coder for Generator<'_, '_, range_coder::Writer> {
    fn bit(&mut self, model: &mut BitModel, _: bool) -> bool {
        let bit = self.decisions.next();
        self.writer.bit(model, bit)
    }

    fn flat(&mut self, _: u32, count: u32) -> u32 {
        let value = self.decisions.bits(count);
        self.writer.flat(low_bits(value.into(), count) as u32, count)
    }
}

/// The stream of a recipe, and what it must decode to with the same history. It is predicted from
/// the history's last step and the first of its references, where they have the same boxes. None
/// where no stream has such a tolerance.
///
/// # Errors
/// Those of [`crate::decode::decompress_boxes`].
///
/// # Panics
/// Where a block's symbols are not read as they were written.
pub fn stream_of_symbols<T: Element>(
    recipe: &Recipe<'_>,
    models: &Models,
    history: &History,
) -> Result<Option<StreamOfSymbols<T>>> {
    let boxes = &recipe.boxes[..];
    let steps = history.references_of::<T>(boxes);
    let field = history.references.first().and_then(|(name, field)| Some((&name[..], field.last::<T>()?)));
    let field = field.filter(|(_, step)| step.boxes == boxes);
    let Some(mut preamble) = preamble(recipe, steps, field) else { return Ok(None) };

    let mut values: Vec<Vec<T>> = boxes.iter().map(|c| vec![T::default(); c.iter().product()]).collect();
    let mut out: Vec<_> = values.iter_mut().map(Vec::as_mut_slice).collect();
    let whole: Vec<Region> = boxes.iter().map(|c| c.map(|n| 0..n)).collect();
    let pieces = tiles(boxes);
    let mut decisions = Decisions { left: recipe.decisions, bits: 0, bits_left: 0 };
    let (autoencoder, mixing) = (preamble.autoencoder(models)?, preamble.mixing_network(models)?);
    let mut tiles = Vec::new();
    for (i, mut windows) in windows(&pieces, boxes, &whole, &mut out).into_iter().enumerate() {
        let mut entries = entries_of(&pieces[i]);
        let steps = steps.map(|steps| steps.tile(i));
        let previous = steps.map(|steps| steps.previous);
        let inter_field = preamble.inter_field.as_ref().zip(previous).map(|(inter_field, previous)| {
            InterFieldPrediction::new(inter_field, previous, field.iter().map(|(_, step)| &step.tiles[i]))
        });
        let references = References { steps, inter_field, mixing: mixing.as_ref() };
        let (mut mask, mut mask_bytes) = (None, Vec::new());
        if let Some(missing) = &mut preamble.missing {
            let then = previous.and_then(|previous| previous.missing.as_deref());
            (mask, mask_bytes) = masks(&pieces[i], then, &mut decisions);
            let points = |mask: &Mask| entries.iter().map(|e| mask.block(e.order.block as usize).len()).sum();
            let points: usize = mask.as_ref().map_or(0, points);
            missing.points = missing.points.saturating_add(points as u64);
        }
        if let Some(mask) = &mask {
            entries = mask.entries(&entries);
        }
        let missing = T::of_bits(recipe.missing.unwrap_or_default());
        let mask = mask.map(Arc::new);
        let tile = Tile::new(preamble.frame(Engine::best()?), entries.len(), references, mask, true);
        let (latents, predictions) =
            latents(autoencoder.as_ref(), &tile, &preamble, &mut decisions, entries.len());
        let mut links = Vec::new();
        if Links::possible(&entries) {
            (entries, links) = decisions.part(|coder| Links::code_all(coder, &entries, tile.mask(), None));
        }
        let mut coder = Generator { writer: Writer::new(), decisions: &mut decisions };
        decode_tile(tile, &entries, &mut coder, &predictions, missing, Some(&mut windows), check);
        tiles.push([mask_bytes, latents, links, coder.writer.finish()].concat());
    }
    let mut head = Vec::new();
    preamble.write(&mut head);
    let content = Content { dtype: T::DTYPE, mode: BOUNDED, boxes, preamble: &head, tiles: &tiles };
    Ok(Some((seal(&content)?.0, values)))
}

fn preamble<T>(
    recipe: &Recipe<'_>,
    steps: Option<StepReferences<'_, T>>,
    field: Option<(&str, &ReferenceStep<T>)>,
) -> Option<Preamble> {
    let tolerance = from_upper_half(recipe.tolerance);
    if !tolerance.is_finite() || tolerance < 0.0 {
        return None;
    }
    let (tolerance, quantum) = match recipe.relative {
        false => (Tolerance::Absolute(tolerance), 2.0 * tolerance),
        true => (Tolerance::PointwiseRelative(tolerance), from_upper_half(recipe.quantum)),
    };
    let autoencoder = Models::built_in().autoencoders().next().map(|model| model.id());
    let mixing = Models::mixing_id(1);
    let weights = recipe.weights.map(|w| stored(if w.is_finite() { w.into() } else { 1.0 }));
    let inter_field = field.filter(|_| recipe.predictors >> Predictor::InterField as u8 & 1 == 1);
    let inter_field = inter_field.map(|(name, step)| InterField {
        own: [weights[0], weights[1]],
        reference_fields: vec![ReferenceField { name: name.into(), weights: [weights[2], weights[3]] }],
        checksum: combined_checksum([step.checksum].into_iter()),
    });
    let asked = PredictorMask::from_byte(recipe.predictors & PredictorMask::ALL.byte()).unwrap_or_default();
    let (asked_autoencoder, asked_mixing) = (asked.has(Predictor::Autoencoder), asked.has(Predictor::Mixing));
    let predictors = asked
        .without(Predictor::Autoencoder)
        .without(Predictor::Mixing)
        .without(Predictor::InterField)
        .with(Predictor::Autoencoder, asked_autoencoder && autoencoder.is_some())
        .with(Predictor::Mixing, asked_mixing && mixing.is_some())
        .with(Predictor::InterField, inter_field.is_some());
    let models = autoencoder.filter(|_| asked_autoencoder).into_iter();
    Some(Preamble {
        tolerance,
        age: steps.map_or(0, |steps| steps.previous.age.saturating_add(steps.spacing.back)),
        models: models.chain(mixing.filter(|_| asked_mixing)).collect(),
        missing: recipe.missing.map(|bits| Missing { bits, points: 0 }),
        quantum,
        predictors,
        reference_checksum: steps.map_or(0, |steps| steps.previous.checksum),
        spacing: steps.map_or(Spacing::NEXT, |steps| steps.spacing),
        next_checksum: steps.and_then(|steps| steps.next).map_or(0, |next| next.checksum),
        inter_field,
    })
}

/// The mask of a tile, and its bytes behind their length.
fn masks(pieces: &[Piece], then: Option<&Mask>, decisions: &mut Decisions<'_>) -> (Option<Mask>, Vec<u8>) {
    let shapes: Vec<_> = pieces.iter().map(|piece| piece.count).collect();
    decisions.part(|coder| mask::code(coder, &shapes, then, None))
}

/// The bytes of a tile's latents behind their length, and what they predict; nothing without an
/// autoencoder.
fn latents<T: Element>(
    autoencoder: Option<&Autoencoder>,
    tile: &Tile<'_, T>,
    preamble: &Preamble,
    decisions: &mut Decisions<'_>,
    entries: usize,
) -> (Vec<u8>, Vec<Option<Box<Block>>>) {
    let Some(autoencoder) = autoencoder else { return Default::default() };
    let (_, bytes) = decisions.part(|coder| autoencoder.code(coder, entries, |_| None));
    let mut reader = ByteReader::new(&bytes);
    let latents = reader.part().expect("a part was written");
    let predictions = autoencoder.read(tile.engine, latents, entries, preamble.quantum);
    (bytes, predictions)
}

/// Whether a block's symbols are read as an encoder would write them.
fn check<T: Element>(block: &DecodedBlock<'_, T>) {
    let (mut writer, contexts) = (Writer::new(), [block.context()]);
    let mut written = [block.symbols.clone()];
    code(&mut writer, &mut start(), &contexts, &mut written);
    let mut read = [Symbols::Constant(0)];
    code(&mut Reader::new(&writer.finish(), false), &mut start(), &contexts, &mut read);
    assert_eq!(read[0], *block.symbols, "symbols are read as they were written");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decompress_boxes;
    use crate::stream::Stream;
    use proptest::prelude::*;

    fn bits<T: Element>(values: &[T]) -> Vec<u64> {
        values.iter().map(|v| v.bits()).collect()
    }

    /// Three steps of two fields, the second predicted from the first.
    fn series<T: Element>(recipes: &[Recipe<'_>]) {
        let models = Models::built_in();
        let mut histories = [History::default(), History::default()];
        let mut before = History::default();
        for (i, recipe) in recipes.iter().enumerate() {
            let [first, second] = &mut histories;
            let history = if i >= 4 {
                // Between two steps; the last one has a third step before it.
                before.lead(1, Some((2, first)));
                &mut before
            } else if i % 2 == 0 {
                before = first.clone();
                first
            } else {
                second.add_reference("first", first);
                second
            };
            let Some((stream, values)) = stream_of_symbols::<T>(recipe, &models, history).unwrap() else {
                continue;
            };
            let stream = Stream::open(stream).unwrap();
            let fields = decompress_boxes(&stream, &models, Some(history)).unwrap();
            let found = fields.into_iter().map(|f| bits(f.into_array::<T>().unwrap().as_slice().unwrap()));
            let expected: Vec<_> = values.iter().map(|v| bits(v)).collect();
            assert!(found.collect::<Vec<_>>() == expected, "{recipe:?}");
        }
    }

    fn shapes() -> impl Strategy<Value = Vec<[usize; 3]>> {
        prop_oneof![
            Just(vec![[32, 32, 32]]),
            (1usize..20).prop_map(|n| vec![[8, 8, 8]; n]),
            prop::collection::vec(prop::array::uniform3(0usize..20), 0..4),
            Just(vec![[70, 9, 3]]),
        ]
    }

    /// Eight decisions. Many of one kind in a row make large numbers.
    fn decisions() -> impl Strategy<Value = u8> {
        prop_oneof![any::<u8>(), Just(0xff)]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_symbols_are_read_as_they_were_written_and_mean_the_same(
            boxes in shapes(),
            relative: bool,
            tolerances in prop::collection::vec((prop_oneof![0x3e00_0000u32..0x4000_0000, any::<u32>()], any::<u32>()), 6),
            predictors: u8,
            missing in prop::option::of(any::<u64>()),
            weights in prop::array::uniform4(-2f32..2.0),
            decisions in prop::collection::vec(prop::collection::vec(decisions(), 0..3000), 6),
        ) {
            let recipe = |(&(tolerance, quantum), decisions): (&(u32, u32), _)| {
                let boxes = boxes.clone();
                Recipe { boxes, relative, tolerance, quantum, predictors, weights, missing, decisions }
            };
            let recipes: Vec<_> = tolerances.iter().zip(decisions.iter().map(Vec::as_slice)).map(recipe).collect();
            series::<f32>(&recipes);
            series::<f64>(&recipes);
        }
    }
}
