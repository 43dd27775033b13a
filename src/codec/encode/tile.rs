//! A tile of the caller's values becomes bytes, block by block.

use super::decide::{BlockEncoder, Rules, Workspace};
use super::observer::Observer;
use super::source::Source;
use super::verify::ErrorStatistics;
use crate::blocks::fetch;
use crate::element::Element;
use crate::entropy::range_coder::{Coder, Writer};
use crate::entropy::symbols::{Contexts, Symbols, code};
use crate::legendre::forward;
use crate::order::Entry;
use crate::predict::Predictor;
use crate::predict::autoencoder::{LatentCode, LatentPrediction};
use crate::predict::links::Links;
use crate::predict::reference::ReferenceTile;
use crate::predict::spatial;
use crate::predict::tile::Tile;
use crate::statistics::BlockStatistics;
use crate::view::FieldView;

/// An encoded tile.
pub(crate) struct EncodedTile<T> {
    pub(crate) bytes: Vec<u8>,
    /// Latents of the blocks that the autoencoder predicts, by entry.
    pub(crate) codes: Vec<Option<LatentCode>>,
    /// What the next step may be predicted from.
    pub(crate) reference: ReferenceTile<T>,
    pub(crate) statistics: BlockStatistics,
    pub(crate) errors: ErrorStatistics,
    /// An estimate of the bits that the autoencoder saved.
    pub(crate) saved: f64,
}

/// Encodes a tile of the views' pieces. `latent_predictions` are the autoencoder's, by entry, or
/// empty.
pub(crate) fn encode<T: Element>(
    mut tile: Tile<'_, T>,
    entries: &[Entry],
    pieces: &[FieldView<'_, T>],
    rules: Rules,
    mut latent_predictions: Vec<Option<LatentPrediction>>,
    observer: &impl Observer<T>,
) -> EncodedTile<T> {
    let mut writer = Writer::new();
    let mut contexts = Contexts::new();
    let mut workspace = Workspace::new();
    let mut source = Box::new(Source::empty());
    let (mut statistics, mut errors) = (BlockStatistics::default(), ErrorStatistics::default());
    let mut saved = 0.0;
    let links = Links::possible(entries).then(|| {
        let quantum = 2.0 * tile.frame.quantum;
        let corner = |entry: &Entry| {
            if tile.is_missing(entry) {
                return [0.0; spatial::CORNER];
            }
            source.read(&pieces[entry.piece], entry, tile.missing(entry), tile.engine);
            forward(tile.engine, &source.block, &mut workspace.transformed);
            spatial::corner(tile.engine, &workspace.transformed).map(|c| c / quantum)
        };
        Links::find(&entries.iter().map(corner).collect::<Vec<_>>())
    });
    if let Some((links, _)) = &links {
        Links::code(&mut writer, *links, entries.len());
    }
    for (number, entry) in entries.iter().enumerate() {
        tile.prepare(entries, number);
        if tile.is_missing(entry) {
            tile.keep_missing(entry);
            continue;
        }
        let entry = &match &links {
            Some((links, linked)) => {
                let linked = linked[entry.piece];
                links.code_piece(&mut writer, contexts.links(), entry.piece, linked);
                tile.entry(&entries[..number], &Links::apply(linked, entry))
            }
            None => *entry,
        };
        source.read(&pieces[entry.piece], entry, tile.missing(entry), tile.engine);
        if let Some(next) = entries.get(number + 1) {
            fetch(&pieces[next.piece], next.place);
        }
        let places = tile.places(entry);
        let context = tile.context(entry, false);
        let from_latents = latent_predictions.get(number).and_then(Option::as_ref);
        let block = BlockEncoder { tile: &tile, entry, context: &context, source: &source, places: &places };
        let decision = block.decide(&mut contexts, &mut workspace, rules, from_latents);
        let has_latents = matches!(&decision.symbols,
            Symbols::Coded(coded) if coded.predictor == Predictor::Autoencoder);
        if !has_latents && let Some(unused) = latent_predictions.get_mut(number) {
            *unused = None;
        }
        let context = if has_latents { tile.context(entry, true) } else { context };
        observer.block(&tile, entry, &workspace.transformed, &decision.symbols);
        let before = writer.spent();
        code(&mut writer, &mut contexts, &context, Some(&decision.symbols));
        statistics.count(&decision.symbols, writer.spent() - before);
        errors = errors.union(decision.errors);
        saved += f64::from(decision.saved);
        tile.keep(entry, &decision.symbols, &workspace.quantised.coefficients);
    }
    observer.tile(&contexts);
    let codes = latent_predictions.into_iter().map(|p| p.map(|p| p.code)).collect();
    let reference = tile.into_reference();
    EncodedTile { bytes: writer.finish(), codes, reference, statistics, errors, saved }
}
