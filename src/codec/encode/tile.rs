//! A tile of the caller's values becomes bytes, block by block.

use super::decide::{BlockEncoder, Rules, Workspace};
use super::links;
use super::observer::Observer;
use super::source::Source;
use super::verify::ErrorStatistics;
use crate::blocks::fetch;
use crate::config::Effort;
use crate::element::Element;
use crate::entropy::range_coder;
use crate::entropy::rans::Writer;
use crate::entropy::symbols::{Symbols, code};
use crate::legendre::forward;
use crate::order::{Entry, batches};
use crate::predict::Predictor;
use crate::predict::autoencoder::{LatentCode, LatentPrediction};
use crate::predict::links::Links;
use crate::predict::reference::ReferenceTile;
use crate::predict::spatial;
use crate::predict::tile::Tile;
use crate::statistics::BlockStatistics;
use crate::view::FieldView;
use crate::wire::behind;

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
    let mut tables = tile.first_tables();
    let mut workspace = Workspace::new();
    let mut source = Box::new(Source::empty());
    let (mut statistics, mut errors) = (BlockStatistics::default(), ErrorStatistics::default());
    let mut saved = 0.0;
    let (mut links_bytes, mut linked) = (None, Vec::new());
    if Links::possible(entries) {
        let quantum = 2.0 * tile.frame.quantum;
        let corner = |entry: &Entry| {
            if tile.is_missing(entry) {
                return [0.0; spatial::CORNER];
            }
            source.read(&pieces[entry.piece], entry, tile.missing(entry), tile.engine);
            forward(tile.engine, &source.block, &mut workspace.transformed);
            spatial::corner(tile.engine, &workspace.transformed).map(|c| c / quantum)
        };
        let corners: Vec<_> = entries.iter().map(corner).collect();
        let longest = if rules.effort == Effort::Fast { links::SHORT } else { usize::MAX };
        let links = links::find(tile.engine, &corners, longest);
        let mut coder = range_coder::Writer::new();
        linked = Links::code_all(&mut coder, entries, tile.mask(), Some(&links));
        links_bytes = Some(coder.finish());
    }
    let entries = if linked.is_empty() { entries } else { &linked[..] };
    let batches = batches(entries);
    for batch in &batches {
        tile.begin_batch(entries, batch);
        let (mut coded, mut symbols) = (Vec::new(), Vec::new());
        for (i, &number) in batch.iter().enumerate() {
            let entry = &entries[number as usize];
            if tile.is_missing(entry) {
                tile.keep_missing(entry);
                continue;
            }
            source.read(&pieces[entry.piece], entry, tile.missing(entry), tile.engine);
            if let Some(&next) = batch.get(i + 1) {
                let next = &entries[next as usize];
                fetch(&pieces[next.piece], next.place);
            }
            let places = tile.places(entry);
            let context = tile.context(entry, false);
            let from_latents = latent_predictions.get(number as usize).and_then(Option::as_ref);
            let block =
                BlockEncoder { tile: &tile, entry, context: &context, source: &source, places: &places };
            let decision = block.decide(&mut tables, &mut workspace, rules, from_latents);
            let has_latents = matches!(&decision.symbols,
                Symbols::Coded(coded) if coded.predictor == Predictor::Autoencoder);
            if !has_latents && let Some(unused) = latent_predictions.get_mut(number as usize) {
                *unused = None;
            }
            observer.block(&tile, entry, &workspace.transformed, &decision.symbols);
            errors = errors.union(decision.errors);
            saved += f64::from(decision.saved);
            tile.keep(entry, &decision.symbols, &workspace.quantised.coefficients);
            coded.push((entry, has_latents));
            symbols.push(decision.symbols);
        }
        let contexts: Vec<_> = coded.iter().map(|(entry, latents)| tile.context(entry, *latents)).collect();
        let bits = code(&mut writer, &mut tables, &contexts, &mut symbols);
        symbols.iter().zip(bits).for_each(|(symbols, bits)| statistics.count(symbols, bits));
        observer.batch(&tables);
        tables.learn(tile.engine);
        tile.end_batch(entries, batch);
    }
    let codes = latent_predictions.into_iter().map(|p| p.map(|p| p.code)).collect();
    let reference = tile.into_reference(&tables);
    let bytes = writer.finish();
    let bytes = match links_bytes {
        Some(links) => behind(&links, &bytes),
        None => bytes,
    };
    EncodedTile { bytes, codes, reference, statistics, errors, saved }
}
