//! Boxes within an error bound become a stream: tiles are encoded side by side, and kept for the
//! next step.

use super::decide::Rules;
use super::interfield::{self, Planned};
use super::observer::Observer;
use super::tile::{EncodedTile, encode};
use super::verify::ErrorStatistics;
use crate::blocks::{BlockGrid, VALUES};
use crate::bound::{Bound, Tolerance, ValueRange};
use crate::config::Effort;
use crate::element::Element;
use crate::engine::Engine;
use crate::entropy::mask;
use crate::entropy::range_coder::Writer;
use crate::error::Result;
use crate::history::History;
use crate::mask::{Extent, Mask};
use crate::memory;
use crate::missing::{Census, stated};
use crate::model::{Model, ModelId};
use crate::order::Entry;
use crate::preamble::{Missing, Preamble, with_quantum};
use crate::predict::autoencoder::Autoencoder;
use crate::predict::interfield::{InterField, InterFieldPrediction};
use crate::predict::mixing::{MixingNetwork, is_mixing_model};
use crate::predict::reference::{ReferenceStep, ReferenceTile, Spacing, StepReferences};
use crate::predict::tile::{References, Tile};
use crate::predict::{Predictor, PredictorSet};
use crate::statistics::BlockStatistics;
use crate::stream::{BOUNDED, Content, seal};
use crate::threads;
use crate::tiling::{Piece, entries_of, tile_count, tiles};
use crate::view::FieldView;
use crate::wire::behind;
use std::sync::Arc;

/// How boxes are encoded within a bound.
#[derive(Clone, Copy, Debug)]
pub struct Bounded<'a> {
    /// What error is allowed.
    pub bound: Bound,
    /// The range of the whole field, where the boxes are not all of it.
    pub range: Option<ValueRange>,
    /// The value that missing points hold. Without one, or where no point holds it, they hold the
    /// most frequent NaN.
    pub fill: Option<f64>,
    /// What the mode decision chooses from.
    pub predictors: PredictorSet,
    /// An autoencoder, or a mixing network ([`crate::predict::mixing::is_mixing_model`]), for the
    /// predictor of its kind; none leaves both out.
    pub model: Option<&'a Model>,
    /// How long the encoder looks for a small stream.
    pub effort: Effort,
}

impl Bounded<'_> {
    /// With all predictors that need no model.
    pub fn new(bound: Bound) -> Self {
        Self {
            bound,
            range: None,
            fill: None,
            predictors: PredictorSet::ALL,
            model: None,
            effort: Effort::Normal,
        }
    }

    /// What the mode decision chooses from at this effort.
    fn candidates(&self) -> PredictorSet {
        match self.effort {
            Effort::Fast => self.predictors.without_networks_and_fields(),
            Effort::Normal | Effort::Best => self.predictors,
        }
    }

    /// The range of the field, where the bound needs one.
    fn range_of<T: Element>(&self, views: &[FieldView<'_, T>]) -> ValueRange {
        let needs_range = self.bound.needs_range() || matches!(self.bound, Bound::PointwiseRelative(_));
        match self.range {
            Some(range) => range,
            None if needs_range => {
                let range = |view| ValueRange::without(view, self.fill);
                views.iter().map(range).fold(ValueRange::EMPTY, ValueRange::union)
            }
            None => ValueRange::EMPTY,
        }
    }
}

/// What an encoder reports of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// What was kept.
    pub tolerance: Tolerance,
    /// Largest error, in the tolerance's terms, of all values as a reader will decode them.
    pub max_error: f64,
    /// Mean squared error of the finite values that are not missing.
    pub mse: f64,
    /// How blocks are coded.
    pub statistics: BlockStatistics,
}

/// Encodes boxes within an error bound, and reports how it went. With a history, the step is
/// predicted from the history's last step, and becomes it.
///
/// # Errors
/// [`Error::Bound`](crate::Error::Bound) for a bound that means nothing,
/// [`Error::Model`](crate::Error::Model).
pub fn compress_bounded<T: Element>(
    views: &[FieldView<'_, T>],
    settings: &Bounded<'_>,
    history: Option<&mut History>,
) -> Result<(Vec<u8>, Report)> {
    encode_observed(views, settings, history, &())
}

/// The same, while an observer looks on.
pub(crate) fn encode_observed<T: Element>(
    views: &[FieldView<'_, T>],
    settings: &Bounded<'_>,
    history: Option<&mut History>,
    observer: &impl Observer<T>,
) -> Result<(Vec<u8>, Report)> {
    let boxes: Vec<_> = views.iter().map(FieldView::count).collect();
    threads::call(tile_count(&boxes), || {
        // A search for a PSNR keeps the best of its attempts beside the latest.
        let attempts = if matches!(settings.bound, Bound::Psnr(_)) { 2 } else { 1 };
        memory::room(memory_of_blocks::<T>(&boxes).saturating_mul(attempts))?;
        encode_here(views, settings, history, observer)
    })
}

/// Bytes that coded boxes hold before their stream is put together: coefficients and what else is
/// kept of each block, and some of a stream.
fn memory_of_blocks<T: Element>(boxes: &[[usize; 3]]) -> usize {
    let blocks = boxes.iter().map(|&count| BlockGrid::new(count).len()).fold(0, usize::saturating_add);
    blocks.saturating_mul(VALUES * size_of::<T>() * 5 / 4)
}

/// The same on the threads that there are.
fn encode_here<T: Element>(
    views: &[FieldView<'_, T>],
    settings: &Bounded<'_>,
    mut history: Option<&mut History>,
    observer: &impl Observer<T>,
) -> Result<(Vec<u8>, Report)> {
    let encoded = encode_boxes(views, settings, history.as_deref_mut(), observer)?;
    if let Some(history) = history {
        history.set_last(encoded.reference);
    }
    Ok((encoded.stream, encoded.report))
}

/// Encoded boxes.
struct Encoded<T> {
    stream: Vec<u8>,
    report: Report,
    /// What the next step may be predicted from.
    reference: Option<ReferenceStep<T>>,
}

fn encode_boxes<T: Element>(
    views: &[FieldView<'_, T>],
    settings: &Bounded<'_>,
    mut history: Option<&mut History>,
    observer: &impl Observer<T>,
) -> Result<Encoded<T>> {
    // They are of this step alone, whatever becomes of it.
    let given = history.as_mut().map(|h| std::mem::take(&mut h.references)).unwrap_or_default();
    settings.bound.check()?;
    let engine = Engine::best()?;
    let predictors = settings.candidates();
    let range = settings.range_of(views);
    let boxes: Vec<_> = views.iter().map(FieldView::count).collect();
    let keeps_reference = history.is_some();
    let history = history.map(|h| &*h);
    let steps = history.and_then(|h| h.references_of::<T>(&boxes));
    let previous = steps.map(|steps| steps.previous);
    let fields = given.iter().filter_map(|(name, h)| Some((&name[..], h.last::<T>()?)));
    let fields = fields.filter(|(_, step)| step.boxes == boxes && predictors.has(Predictor::InterField));
    let has_two_steps = previous.is_some_and(|p| p.tiles.iter().any(ReferenceTile::has_two_steps))
        && steps.is_some_and(|steps| steps.next.is_none());
    let mixes = predictors.has(Predictor::Mixing) && has_two_steps;
    let mixing = settings.model.filter(|m| mixes && is_mixing_model(m));
    let mixing = mixing.map(|m| Ok((m.id(), MixingNetwork::new(m)?))).transpose()?;
    let is_autoencoder = |m: &&Model| m.encoder.is_some() && predictors.has(Predictor::Autoencoder);
    let autoencoder = settings.model.filter(is_autoencoder);
    let constant = predictors.has_constant();
    let fill = stated::<T>(settings.fill);
    let census = Census::of(engine, views, fill);
    let missing = census.missing(fill);
    let tiles = tiles(&boxes);
    let work = Work {
        engine,
        views,
        masks: masks(views, &tiles, missing, previous),
        tiles,
        missing: missing.map(|(bits, points)| Missing { bits, points: points as u64 }),
        numbers: census.numbers,
        reference_fields: fields.collect(),
        boxes,
        rules: Rules {
            constant,
            exact_constants: constant && is_constant(views, missing),
            effort: settings.effort,
        },
        predictors,
        steps,
        keeps_reference,
        mixing,
        observer,
    };
    let with = |tolerance| work.encode(with_quantum(tolerance, range.magnitude()), autoencoder);
    let Bound::Psnr(db) = settings.bound else {
        return with(settings.bound.tolerance(range));
    };
    // Errors are seldom as large as they may be: the tolerance grows until the target is just met.
    let target = range.width() * 10f64.powf(-db / 20.0);
    let sure = Tolerance::Absolute(target);
    let Tolerance::Absolute(mut e) = settings.bound.tolerance(range) else { return with(sure) };
    let mut best: Option<Encoded<T>> = None;
    for _ in 0..5 {
        let found = with(Tolerance::Absolute(e))?;
        let rms = found.report.mse.sqrt();
        let met = rms <= target;
        if met && best.as_ref().is_none_or(|b| found.stream.len() < b.stream.len()) {
            best = Some(found);
        }
        if rms == 0.0 || (met && rms > 0.95 * target) {
            break;
        }
        e *= (0.975 * target / rms).clamp(0.1, 10.0);
    }
    best.map_or_else(|| with(sure), Ok)
}

/// A field of these boxes that may be predicted from others, and they from it; nothing where it may
/// not.
pub(crate) fn plan<'a, T: Element>(
    name: &'a str,
    views: &'a [FieldView<'a, T>],
    settings: &Bounded<'_>,
    history: &'a History,
    boxes: &[[usize; 3]],
) -> Option<Planned<'a, T>> {
    let previous = history.references_of::<T>(boxes)?.previous;
    let tolerance = settings.bound.tolerance(settings.range_of(views));
    let quantum = with_quantum(tolerance, 0.0).1;
    let same_boxes = views.iter().map(FieldView::count).eq(boxes.iter().copied());
    let fits = settings.candidates().has(Predictor::InterField)
        && same_boxes
        && matches!(tolerance, Tolerance::Absolute(_))
        && quantum.is_normal();
    let fill = stated::<T>(settings.fill);
    fits.then_some(Planned { name, views, previous, quantum, fill })
}

/// Boxes to be encoded.
struct Work<'a, T, O> {
    engine: Engine,
    views: &'a [FieldView<'a, T>],
    boxes: Vec<[usize; 3]>,
    tiles: Vec<Vec<Piece>>,
    missing: Option<Missing>,
    /// The missing points of each tile, where there are any in the stream.
    masks: Vec<TileMask>,
    /// Finite values that are not missing.
    numbers: usize,
    rules: Rules,
    predictors: PredictorSet,
    /// The decoded steps that this one may be predicted from.
    steps: Option<StepReferences<'a, T>>,
    /// The fields of the step that this one may be predicted from.
    reference_fields: Vec<(&'a str, &'a ReferenceStep<T>)>,
    /// Whether the next step may be predicted from this one.
    keeps_reference: bool,
    mixing: Option<(ModelId, MixingNetwork)>,
    observer: &'a O,
}

impl<T: Element, O: Observer<T>> Work<'_, T, O> {
    /// # Errors
    /// [`Error::Memory`](crate::Error::Memory).
    fn encode(
        &self,
        (tolerance, quantum): (Tolerance, f64),
        autoencoder: Option<&Model>,
    ) -> Result<Encoded<T>> {
        let has_step = matches!(tolerance, Tolerance::Absolute(_)) && quantum.is_normal();
        let mixing = self.mixing.as_ref().filter(|_| has_step);
        let inter_field = self.inter_field(quantum).filter(|_| has_step);
        let predictors = self.predictors.mask();
        let previous = self.steps.map(|steps| steps.previous);
        let preamble = Preamble {
            tolerance,
            age: self.steps.map_or(0, |steps| steps.previous.age + steps.spacing.back),
            models: autoencoder.map(|m| m.id()).into_iter().chain(mixing.map(|m| m.0)).collect(),
            missing: self.missing,
            quantum,
            predictors: predictors
                .without(Predictor::Autoencoder)
                .without(Predictor::Mixing)
                .without(Predictor::InterField)
                .with(Predictor::Autoencoder, autoencoder.is_some())
                .with(Predictor::Mixing, mixing.is_some())
                .with(Predictor::InterField, inter_field.is_some()),
            reference_checksum: previous.map_or(0, |p| p.checksum),
            spacing: self.steps.map_or(Spacing::NEXT, |steps| steps.spacing),
            next_checksum: self.steps.and_then(|steps| steps.next).map_or(0, |next| next.checksum),
            inter_field,
        };
        let network = autoencoder.map(Autoencoder::new);
        let tile = |i: usize| self.tile(i, &preamble, network.as_ref(), mixing.map(|m| &m.1));
        let encoded = threads::map(0..self.tiles.len(), tile);
        let saved: f64 = encoded.iter().map(|tile| tile.saved).sum();
        if autoencoder.is_some() && saved < 8.0 * (16 + encoded.len()) as f64 {
            // Less was saved than it takes to name the model.
            return self.encode((tolerance, quantum), None);
        }
        let points = self.missing.map_or(0, |missing| missing.points);
        let mut statistics = BlockStatistics::default();
        statistics.missing = points;
        let mut errors = ErrorStatistics::default();
        let (mut tiles, mut references) = (Vec::new(), Vec::new());
        for tile in encoded {
            tiles.push(tile.bytes);
            statistics = statistics.union(&tile.statistics);
            errors = errors.union(tile.errors);
            if self.keeps_reference {
                references.push(tile.reference);
            }
        }
        let report = Report {
            tolerance,
            max_error: errors.largest,
            mse: errors.squares / self.numbers.max(1) as f64,
            statistics,
        };
        let mut head = Vec::new();
        preamble.write(&mut head);
        let content =
            Content { dtype: T::DTYPE, mode: BOUNDED, boxes: &self.boxes, preamble: &head, tiles: &tiles };
        let (stream, checksum) = seal(&content)?;
        let (boxes, tiles) = (self.boxes.clone(), Arc::new(references));
        let (age, spacing) = (preamble.age, preamble.reached());
        let reference = ReferenceStep { boxes, tiles, age, spacing, checksum };
        Ok(Encoded { stream, report, reference: self.keeps_reference.then_some(reference) })
    }

    /// How the field is predicted from others of its step, where that pays.
    fn inter_field(&self, quantum: f64) -> Option<InterField> {
        let missing = self.missing.map(|missing| missing.bits);
        let fields = &self.reference_fields;
        let previous = self.steps.map(|steps| steps.previous);
        interfield::fit(self.engine, self.views, &self.tiles, previous, fields, quantum, missing)
    }

    /// A tile; where there is an autoencoder, the latents stand in front of its bytes, and their
    /// length before them.
    fn tile(
        &self,
        i: usize,
        preamble: &Preamble,
        network: Option<&Autoencoder>,
        mixing: Option<&MixingNetwork>,
    ) -> EncodedTile<T> {
        let pieces = &self.tiles[i];
        let mask = self.masks.get(i);
        let missing = mask.and_then(|mask| mask.points.clone());
        let entries = entries_of(pieces);
        let entries = missing.as_ref().map_or(entries.clone(), |mask| mask.entries(&entries));
        let views: Vec<_> = pieces.iter().map(|p| self.views[p.of].part(p.start, p.count)).collect();
        let steps = self.steps.map(|steps| steps.tile(i));
        let previous = steps.map(|steps| steps.previous);
        let inter_field = preamble.inter_field.as_ref().zip(previous).map(|(inter_field, previous)| {
            // It is predicted from all of them.
            let fields = self.reference_fields.iter().map(|(_, step)| &step.tiles[i]);
            InterFieldPrediction::new(inter_field, previous, fields)
        });
        let references = References { steps, inter_field, mixing };
        let tile = Tile::new(
            preamble.frame(self.engine),
            entries.len(),
            references,
            missing.clone(),
            self.keeps_reference,
        );
        let predict = |n: &Autoencoder| n.predictions(tile.engine, &entries, &views, preamble.quantum);
        let possible = network.filter(|_| preamble.quantum.is_normal());
        let mut predictions = possible.map_or_else(Vec::new, predict);
        // Networks know of no missing points.
        if let Some(missing) = &missing {
            let unknown = |entry: &Entry| missing.extent(entry.order.block as usize) != Extent::None;
            predictions
                .iter_mut()
                .zip(&entries)
                .filter(|(_, entry)| unknown(entry))
                .for_each(|(p, _)| *p = None);
        }
        let mut encoded = encode(tile, &entries, &views, self.rules, predictions, self.observer);
        if let Some(network) = network {
            encoded.bytes = behind(&network.write(&encoded.codes), &encoded.bytes);
        }
        if let Some(mask) = mask {
            encoded.bytes = behind(&mask.bytes, &encoded.bytes);
        }
        encoded
    }
}

/// The missing points of a tile.
struct TileMask {
    points: Option<Arc<Mask>>,
    bytes: Vec<u8>,
}

/// The masks of tiles; none at all where no point is missing.
fn masks<T: Element>(
    views: &[FieldView<'_, T>],
    tiles: &[Vec<Piece>],
    missing: Option<(u64, usize)>,
    previous: Option<&ReferenceStep<T>>,
) -> Vec<TileMask> {
    let Some((missing, _)) = missing else { return Vec::new() };
    let mask = |(i, pieces): (usize, &Vec<Piece>)| {
        let parts: Vec<_> = pieces.iter().map(|p| views[p.of].part(p.start, p.count)).collect();
        let shapes: Vec<_> = pieces.iter().map(|p| p.count).collect();
        let points = Mask::of(&entries_of(pieces), &parts, missing).map(Arc::new);
        let then = previous.and_then(|previous| previous.tiles[i].missing.as_deref());
        let mut writer = Writer::new();
        mask::code(&mut writer, &shapes, then, points.as_deref());
        TileMask { points, bytes: writer.finish() }
    };
    threads::map(tiles.iter().enumerate().collect::<Vec<_>>(), mask)
}

/// Whether all values of all boxes that are not missing are the same.
fn is_constant<T: Element>(views: &[FieldView<'_, T>], missing: Option<(u64, usize)>) -> bool {
    let is_missing = |v: &T| missing.is_some_and(|(bits, _)| v.bits() == bits);
    let with_values = views.iter().filter(|view| !view.is_empty());
    let mut values = with_values.flat_map(|v| v.values()).filter(|v| !is_missing(v));
    values.next().is_some_and(|first| values.all(|v| v.same_bits(first)))
}
