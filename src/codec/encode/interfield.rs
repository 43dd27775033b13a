//! The reference fields of inter-field prediction: which fields of a step predict which, and with
//! what weights.
//!
//! Both are found on a sample of blocks, from their low coefficients: of a sum of others, least
//! squares say what remains of a field's change, and the logarithm of that what it saves.
//! Reweighted least squares then fit the weights.

use crate::blocks::{VALUES, gather, values};
use crate::element::Element;
use crate::engine::Engine;
use crate::legendre::{SCAN, forward};
use crate::order::Entry;
use crate::predict::interfield::{InterField, ReferenceField, stored};
use crate::predict::reference::{ReferenceStep, ReferenceTile};
use crate::threads;
use crate::tiling::{Piece, entries_of};
use crate::view::FieldView;
use crate::wire::combined_checksum;

/// Coefficients of a block that are looked at: those of degree up to 4.
const SAMPLED: usize = 35;
/// Blocks that are looked at, about.
const LOOKED_AT: usize = 256;
/// Fewer tell nothing.
const FEWEST: usize = 8;
/// A field is predicted from so many others at most.
const MOST: usize = 3;
/// How often weights are fitted again.
const ROUNDS: usize = 4;
/// Squares of residuals, in quanta, below which they hardly take a bit.
const SMALL: f64 = 0.3;
/// What rounding leaves of a coefficient, squared, in quanta.
const NOISE: f64 = 0.05;

/// A sample of a step's whole blocks: the tile and the entry of each.
struct Spots {
    engine: Engine,
    of: Vec<(usize, Entry)>,
    /// So many blocks stand for one of them.
    share: f64,
}

impl Spots {
    /// Blocks of which `is_whole` says that no value is missing.
    fn of(engine: Engine, tiles: &[Vec<Piece>], is_whole: impl Fn(&Piece, &Entry) -> bool) -> Self {
        let entries =
            |(i, tile): (usize, &Vec<Piece>)| entries_of(tile).into_iter().map(move |entry| (i, entry));
        let mut of: Vec<_> =
            tiles.iter().enumerate().flat_map(entries).filter(|(_, t)| t.place.len() == VALUES).collect();
        let all = of.len();
        let every = all.div_ceil(LOOKED_AT).max(1);
        of = of.into_iter().step_by(every).collect();
        let share = all as f64 / of.len().max(1) as f64;
        of.retain(|(tile, entry)| is_whole(&tiles[*tile][entry.piece], entry));
        Self { engine, share, of }
    }

    fn len(&self) -> usize {
        self.of.len() * SAMPLED
    }

    /// Coefficients of the field itself, in quanta.
    fn truth<T: Element>(&self, views: &[FieldView<'_, T>], tiles: &[Vec<Piece>], quantum: f64) -> Vec<f64> {
        let mut coefficients = [0.0; VALUES];
        let mut out = Vec::with_capacity(self.len());
        for (tile, entry) in &self.of {
            let piece = &tiles[*tile][entry.piece];
            let view = views[piece.of].part(piece.start, piece.count);
            forward(self.engine, &gather(&view, entry.place), &mut coefficients);
            out.extend(SCAN.place[..SAMPLED].iter().map(|&k| finite(coefficients[usize::from(k)] / quantum)));
        }
        out
    }

    /// Those of a decoded step, in quanta.
    fn decoded<'a, T: Element>(
        &self,
        previous: &'a ReferenceStep<T>,
        of: impl Fn(&'a ReferenceTile<T>) -> &'a [T],
        quantum: f64,
    ) -> Vec<f64> {
        let mut out = Vec::with_capacity(self.len());
        for (tile, entry) in &self.of {
            let block = &of(&previous.tiles[*tile])[entry.order.block as usize * VALUES..][..VALUES];
            out.extend(
                SCAN.place[..SAMPLED].iter().map(|&k| finite(block[usize::from(k)].to_f64() / quantum)),
            );
        }
        out
    }
}

/// Whether all values of a block are numbers, and none is missing.
fn is_whole<T: Element>(
    views: &[FieldView<'_, T>],
    missing: Option<u64>,
    piece: &Piece,
    entry: &Entry,
) -> bool {
    let mut block = [T::default(); VALUES];
    values(&views[piece.of].part(piece.start, piece.count), entry.place, &mut block);
    block.iter().all(|v| v.to_f64().is_finite() && Some(v.bits()) != missing)
}

fn finite(v: f64) -> f64 {
    if v.is_finite() { v } else { 0.0 }
}

fn latest<T>(tile: &ReferenceTile<T>) -> &[T] {
    &tile.latest
}

fn before<T>(tile: &ReferenceTile<T>) -> &[T] {
    tile.before_or_latest()
}

fn minus(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

/// What least squares need of vectors: all their products.
struct Products {
    of: Vec<Vec<f64>>,
    /// Numbers in each vector.
    length: usize,
}

/// What remains of a vector, and with which weights of others.
struct Fit {
    weights: Vec<f64>,
    /// Squares of what remains, rounding included.
    left: f64,
}

impl Products {
    fn of(vectors: &[Vec<f64>]) -> Self {
        let product = |a: &Vec<f64>, b: &Vec<f64>| {
            // Sums side by side are vectors to the processor.
            let mut sums = [0.0; 8];
            for (a, b) in a.chunks(8).zip(b.chunks(8)) {
                sums.iter_mut().zip(a).zip(b).for_each(|((sum, a), b)| *sum += a * b);
            }
            sums.iter().sum::<f64>()
        };
        let mut of = vec![vec![0.0; vectors.len()]; vectors.len()];
        for (i, a) in vectors.iter().enumerate() {
            for (j, b) in vectors[..=i].iter().enumerate() {
                let product = product(a, b);
                (of[i][j], of[j][i]) = (product, product);
            }
        }
        Self { of, length: vectors.first().map_or(0, Vec::len) }
    }

    /// The best sum of `sources` for a `target`: by Cholesky's method, with a ridge far below what
    /// matters.
    fn fit(&self, target: usize, sources: &[usize]) -> Fit {
        let n = sources.len();
        let mut l = vec![vec![0.0; n]; n];
        let mut y = vec![0.0; n];
        for i in 0..n {
            for j in 0..=i {
                let known: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
                let product = self.of[sources[i]][sources[j]];
                l[i][j] = if i == j {
                    (product * (1.0 + 1e-9) + f64::MIN_POSITIVE - known)
                        .max(1e-12 * product + f64::MIN_POSITIVE)
                        .sqrt()
                } else {
                    (product - known) / l[j][j]
                };
            }
            let known: f64 = (0..i).map(|k| l[i][k] * y[k]).sum();
            y[i] = (self.of[sources[i]][target] - known) / l[i][i];
        }
        let left = self.of[target][target] - y.iter().map(|y| y * y).sum::<f64>();
        let mut weights = y;
        for i in (0..n).rev() {
            let known: f64 = (i + 1..n).map(|k| l[k][i] * weights[k]).sum();
            weights[i] = (weights[i] - known) / l[i][i];
        }
        Fit { weights, left: left.max(0.0) + NOISE * self.length as f64 }
    }
}

/// Better weights of all other vectors for the first: bits go by the logarithm of what remains of a
/// block, so each block counts by the inverse of what the weights so far leave of it.
fn fit_again(vectors: &[Vec<f64>], weights: &[f64]) -> Vec<f64> {
    let mut scaled = vectors.to_vec();
    for first in (0..vectors[0].len()).step_by(SAMPLED) {
        let left =
            |k: usize| vectors[0][k] - weights.iter().zip(&vectors[1..]).map(|(w, v)| w * v[k]).sum::<f64>();
        let squares: f64 = (first..first + SAMPLED).map(|k| left(k).powi(2)).sum();
        let scale = (SMALL + squares / SAMPLED as f64).sqrt().recip();
        scaled.iter_mut().for_each(|v| v[first..first + SAMPLED].iter_mut().for_each(|v| *v *= scale));
    }
    Products::of(&scaled).fit(0, &(1..vectors.len()).collect::<Vec<_>>()).weights
}

/// How many coefficients neither the previous step nor linear extrapolation predicts to within half
/// a quantum.
fn missed(change: &[f64], before: &[f64]) -> f64 {
    let both = change.iter().zip(before);
    both.filter(|&(now, before)| now.abs().min((now - before).abs()) > 0.5).count() as f64
}

/// Bits that are saved in so many coefficients.
fn saved(coefficients: f64, before: f64, after: f64) -> f64 {
    0.5 * coefficients * (before / after).log2()
}

/// Bits that a reference field takes in the stream, and the first one more.
fn price(name: &str) -> f64 {
    8.0 * (7 + name.len()) as f64
}
const FIRST: f64 = 8.0 * 11.0;

/// A field of a step that is about to be coded.
pub(crate) struct Planned<'a, T> {
    pub(crate) name: &'a str,
    pub(crate) views: &'a [FieldView<'a, T>],
    pub(crate) previous: &'a ReferenceStep<T>,
    pub(crate) quantum: f64,
    /// The stated fill value as bits.
    pub(crate) fill: Option<u64>,
}

/// The reference fields of each field, greatest gain first; no field is predicted from itself,
/// however indirectly. All have the same boxes, cut into `tiles`.
pub(crate) fn choose_reference_fields<T: Element>(
    engine: Engine,
    fields: &[Planned<'_, T>],
    tiles: &[Vec<Piece>],
) -> Vec<Vec<usize>> {
    let mut chosen = vec![Vec::new(); fields.len()];
    let is_whole =
        |piece: &Piece, entry: &Entry| fields.iter().all(|f| is_whole(f.views, f.fill, piece, entry));
    let spots = Spots::of(engine, tiles, is_whole);
    if fields.len() < 2 || spots.of.len() < FEWEST {
        return chosen;
    }
    // Of each field: what it changed by, its value in the step before, and what it had changed by
    // until then.
    let vectors = |f: &Planned<'_, T>| {
        let now = spots.truth(f.views, tiles, f.quantum);
        let then = spots.decoded(f.previous, latest, f.quantum);
        let earlier = minus(&then, &spots.decoded(f.previous, before, f.quantum));
        [minus(&now, &then), then, earlier]
    };
    let vectors = threads::map(fields, vectors).concat();
    let products = Products::of(&vectors);
    let rest = |field: usize, on: &[usize]| {
        let own = [3 * field + 2, 3 * field + 1];
        let sources: Vec<_> = own.into_iter().chain(on.iter().flat_map(|g| [3 * g, 3 * g + 1])).collect();
        products.fit(3 * field, &sources).left
    };
    let missed: Vec<_> =
        (0..fields.len()).map(|f| spots.share * missed(&vectors[3 * f], &vectors[3 * f + 2])).collect();
    let gain = |field: usize, on: &[usize], other: usize| {
        let with: Vec<_> = on.iter().copied().chain([other]).collect();
        let gain = saved(missed[field], rest(field, on), rest(field, &with));
        gain - price(fields[other].name) - if on.is_empty() { FIRST } else { 0.0 }
    };
    let mut gains: Vec<Vec<f64>> = (0..fields.len())
        .map(|f| (0..fields.len()).map(|g| if f == g { 0.0 } else { gain(f, &[], g) }).collect())
        .collect();
    loop {
        let pairs = gains
            .iter()
            .enumerate()
            .flat_map(|(f, row)| row.iter().enumerate().map(move |(g, &v)| (v, f, g)));
        let Some((_, f, g)) = pairs.filter(|(v, ..)| *v > 0.0).max_by(|a, b| a.0.total_cmp(&b.0)) else {
            return chosen;
        };
        gains[f][g] = 0.0;
        if depends(&chosen, g, f) {
            continue;
        }
        chosen[f].push(g);
        let on = &chosen[f];
        for (other, known) in gains[f].iter_mut().enumerate().filter(|(_, known)| **known > 0.0) {
            *known = if on.len() < MOST { gain(f, on, other) } else { 0.0 };
        }
    }
}

/// Whether a field is predicted from another, through any others.
fn depends(chosen: &[Vec<usize>], field: usize, on: usize) -> bool {
    field == on || chosen[field].iter().any(|&g| depends(chosen, g, on))
}

/// The weights with which a field is predicted from others, whose last step is the one that is
/// being coded; nothing for a keyframe, or where it does not pay.
pub(crate) fn fit<T: Element>(
    engine: Engine,
    views: &[FieldView<'_, T>],
    tiles: &[Vec<Piece>],
    previous: Option<&ReferenceStep<T>>,
    reference_fields: &[(&str, &ReferenceStep<T>)],
    quantum: f64,
    missing: Option<u64>,
) -> Option<InterField> {
    let previous = previous.filter(|_| !reference_fields.is_empty() && quantum.is_normal())?;
    let spots = Spots::of(engine, tiles, |piece, entry| is_whole(views, missing, piece, entry));
    if spots.of.len() < FEWEST {
        return None;
    }
    let then = spots.decoded(previous, latest, quantum);
    let change = minus(&spots.truth(views, tiles, quantum), &then);
    let earlier = minus(&then, &spots.decoded(previous, before, quantum));
    let missed = spots.share * missed(&change, &earlier);
    let mut vectors = vec![change, earlier, then];
    for (_, reference_field) in reference_fields {
        let then = spots.decoded(reference_field, before, quantum);
        vectors.extend([minus(&spots.decoded(reference_field, latest, quantum), &then), then]);
    }
    let products = Products::of(&vectors);
    let alone = products.fit(0, &[1, 2]).left;
    let all = (1..vectors.len()).collect::<Vec<_>>();
    let Fit { weights, left } = products.fit(0, &all);
    let weights = (0..ROUNDS).fold(weights, |weights, _| fit_again(&vectors, &weights));
    let weights: Vec<_> = weights.into_iter().map(stored).collect();
    let price = FIRST + reference_fields.iter().map(|(name, _)| price(name)).sum::<f64>();
    if saved(missed, alone, left) < price || !weights.iter().all(|w| w.is_finite()) {
        return None;
    }
    let (own, others) = weights.split_at(2);
    let reference_field =
        |((name, _), w): (&(&str, _), &[f32])| ReferenceField { name: (*name).into(), weights: [w[0], w[1]] };
    Some(InterField {
        own: [own[0], own[1]],
        reference_fields: reference_fields.iter().zip(others.chunks(2)).map(reference_field).collect(),
        checksum: combined_checksum(reference_fields.iter().map(|(_, step)| step.checksum)),
    })
}
