//! What the selected predictors saved: an estimate of what each block would have taken with the
//! best of the others.

use super::tile::DecodedBlock;
use crate::element::Element;
use crate::entropy::symbols::{BlockContext, Coded, Symbols};
use crate::predict::Predictor;
use crate::residual::Residual;
use crate::statistics::BlockStatistics;

/// Counts a block, and what the way that it is coded saved.
pub(super) fn count<T: Element>(statistics: &mut BlockStatistics, block: &DecodedBlock<'_, T>) {
    let DecodedBlock { symbols, bits, .. } = block;
    let context = block.context();
    let as_it_is = context.values as f64 * f64::from(context.width);
    statistics.count(symbols, *bits);
    statistics.of_symbols(symbols).saved += match symbols {
        Symbols::Coded(coded) => saved(block, &context, coded).unwrap_or(as_it_is - bits),
        Symbols::Constant(_) => as_it_is - bits,
        Symbols::Raw(_) => 0.0,
    };
}

/// What the predictor of a block saved beside the best of the others that the block could have had.
fn saved<T: Element>(block: &DecodedBlock<'_, T>, context: &BlockContext<'_>, coded: &Coded) -> Option<f64> {
    let DecodedBlock { tile, entry, from_latents, coefficients, .. } = block;
    let mut residual = Residual::empty();
    let mut bits = |predictor: Predictor, spatial: bool| {
        match (predictor, from_latents) {
            (Predictor::Autoencoder, Some(prediction)) => residual.prediction = **prediction,
            _ => tile.predict(entry, predictor, &mut residual.prediction),
        }
        if spatial {
            tile.add_spatial(entry, predictor, &mut residual.prediction);
        }
        if let Some(offset) = coded.offset {
            residual.prediction[0] = T::of_bits(offset).to_f64();
        }
        residual.compare::<T>(tile.engine, coefficients, tile.frame.quantum);
        f64::from(residual.rough_bits(tile.engine, coded.step_exponent))
    };
    let others = context.predictors.without(Predictor::Autoencoder).without(coded.predictor);
    let ways = others.iter().flat_map(|p| [(p, false), (p, context.spatial)]);
    let best = ways.map(|(p, spatial)| bits(p, spatial)).reduce(f64::min)?;
    Some(best - bits(coded.predictor, coded.spatial))
}
