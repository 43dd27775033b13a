//! Bounded mode: boxes cut into tiles, tiles coded side by side, and the steps before them remembered.
//!
//! The payload is laid out in docs/format.md.

use crate::bound::{Bound, Spread, Tolerance};
use crate::competition::{Encoded, Rules, Tally, encode};
use crate::stream::{Field, Reader};
use crate::swae::Predictor;
use crate::tile::{self, EXTRAPOLATION, Frame, LEGENDRE, PREVIOUS, PastTile, SWAE, Tile, Turn, turns};
use crate::{Error, FieldView, Model, ModelId, Models, Result, Value};
use ndarray::Array3;
use rayon::prelude::*;
use std::ops::Range;

/// Values along each edge of a tile.
pub const TILE: usize = 64;
/// Blocks in a full tile; a list of small boxes is cut into groups of at most so many.
const TILE_BLOCKS: usize = 512;
/// The first predictor that a model makes.
const FIRST_LEARNED: u8 = SWAE;

/// Which candidates take part in the competition for a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidates {
    /// One value for a whole block.
    pub constant: bool,
    /// Polynomials, with what the neighbours foretell.
    pub legendre: bool,
    /// The step before.
    pub previous: bool,
    /// The two steps before, continued in a straight line.
    pub extrapolation: bool,
    /// The network; needs a model.
    pub swae: bool,
}

impl Candidates {
    /// All of them.
    pub const ALL: Self =
        Self { constant: true, legendre: true, previous: true, extrapolation: true, swae: true };
    /// The names that options take.
    pub const NAMES: [&'static str; 5] = ["constant", "legendre", "previous", "extrapolation", "swae"];

    /// Switches one off by its name; false where there is none of this name.
    pub fn remove(&mut self, name: &str) -> bool {
        let entry = match name {
            "constant" => &mut self.constant,
            "legendre" => &mut self.legendre,
            "previous" => &mut self.previous,
            "extrapolation" => &mut self.extrapolation,
            "swae" => &mut self.swae,
            _ => return false,
        };
        *entry = false;
        true
    }

    fn mask(self, model: bool) -> u8 {
        u8::from(self.legendre) << LEGENDRE
            | u8::from(self.previous) << PREVIOUS
            | u8::from(self.extrapolation) << EXTRAPOLATION
            | u8::from(self.swae && model) << SWAE
    }
}

/// How boxes are coded within a bound.
#[derive(Clone, Copy, Debug)]
pub struct Bounded<'a> {
    /// What error is allowed.
    pub bound: Bound,
    /// The range of the whole field, where the boxes are not all of it.
    pub range: Option<Spread>,
    /// Who may take part.
    pub candidates: Candidates,
    /// The network's model; none leaves it out.
    pub model: Option<&'a Model>,
}

impl Bounded<'_> {
    /// Everything takes part that needs no model.
    pub fn new(bound: Bound) -> Self {
        Self { bound, range: None, candidates: Candidates::ALL, model: None }
    }
}

/// What a compressor found out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Report {
    /// What was kept.
    pub tolerance: Tolerance,
    /// Largest error, in the tolerance's terms, of all values as a reader will decode them.
    pub max_error: f64,
    /// Mean squared error.
    pub mse: f64,
    /// Who won, and at what cost.
    pub tally: Tally,
}

/// What a series of steps remembers: of the writer, or of a reader, the last decoded steps.
#[derive(Clone, Debug)]
pub struct History {
    every: u32,
    f32: Option<Past<f32>>,
    f64: Option<Past<f64>>,
}

impl History {
    /// With a keyframe every so many steps; 0 or 1 makes every step one. A reader's may be anything.
    pub fn new(every: u32) -> Self {
        Self { every, f32: None, f64: None }
    }
}

impl History {
    /// Whether a step with this preamble can be decoded next.
    pub fn leads_to(&self, preamble: &Preamble) -> bool {
        let follows = |age: u32, sum: u32| age + 1 == preamble.age && sum == preamble.sum_before;
        preamble.age == 0
            || self.f32.as_ref().is_some_and(|p| follows(p.age, p.sum))
            || self.f64.as_ref().is_some_and(|p| follows(p.age, p.sum))
    }
}

impl Default for History {
    fn default() -> Self {
        Self::new(16)
    }
}

/// A type whose steps a [`History`] can hold.
pub trait Remembered: Value {
    /// Its place in a history.
    fn past(history: &mut History) -> &mut Option<Past<Self>>;
    /// An array of it as a field.
    fn field(array: Array3<Self>) -> Field;
    /// A field's values, x fastest, where it is of this type.
    fn values(field: Field) -> Option<Vec<Self>>;
}

impl Remembered for f32 {
    fn past(history: &mut History) -> &mut Option<Past<Self>> {
        &mut history.f32
    }

    fn field(array: Array3<Self>) -> Field {
        Field::F32(array)
    }

    fn values(field: Field) -> Option<Vec<Self>> {
        if let Field::F32(a) = field { Some(a.into_raw_vec_and_offset().0) } else { None }
    }
}

impl Remembered for f64 {
    fn past(history: &mut History) -> &mut Option<Past<Self>> {
        &mut history.f64
    }

    fn field(array: Array3<Self>) -> Field {
        Field::F64(array)
    }

    fn values(field: Field) -> Option<Vec<Self>> {
        if let Field::F64(a) = field { Some(a.into_raw_vec_and_offset().0) } else { None }
    }
}

/// The step before.
#[derive(Clone, Debug)]
pub struct Past<T> {
    boxes: Vec<[usize; 3]>,
    tiles: Vec<PastTile<T>>,
    /// Steps since the keyframe.
    age: u32,
    /// Checksum of its stream.
    sum: u32,
}

/// A part of a box: which one, and where in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    of: usize,
    start: [usize; 3],
    count: [usize; 3],
}

fn blocks(count: [usize; 3]) -> usize {
    count.iter().map(|n| n.div_ceil(8)).product()
}

/// The tiles of a list of boxes, each a list of pieces.
fn tiles(boxes: &[[usize; 3]]) -> Vec<Vec<Piece>> {
    let mut out: Vec<Vec<Piece>> = Vec::new();
    let mut room = 0;
    for (of, &count) in boxes.iter().enumerate() {
        if count.contains(&0) {
            continue;
        }
        if count.iter().all(|&n| n <= TILE) {
            let piece = Piece { of, start: [0; 3], count };
            match out.last_mut() {
                Some(tile) if room >= blocks(count) => tile.push(piece),
                _ => {
                    out.push(vec![piece]);
                    room = TILE_BLOCKS;
                }
            }
            room -= blocks(count);
            continue;
        }
        let along = |a: usize| (0..count[a]).step_by(TILE);
        for z in along(2) {
            for y in along(1) {
                for x in along(0) {
                    let start = [x, y, z];
                    let part = std::array::from_fn(|a| (count[a] - start[a]).min(TILE));
                    out.push(vec![Piece { of, start, count: part }]);
                }
            }
        }
        room = 0;
    }
    out
}

/// How many tiles [`tiles`] would give, at least, without making them.
fn least_tiles(boxes: &[[usize; 3]]) -> usize {
    let blocks = boxes.iter().fold(0usize, |n, &count| n.saturating_add(blocks(count)));
    blocks.div_ceil(TILE_BLOCKS)
}

fn tile_turns(tile: &[Piece]) -> Vec<Turn> {
    turns(&tile.iter().map(|p| p.count).collect::<Vec<_>>())
}

/// A number of the upper half of its bits, never greater in magnitude: what the header stores.
fn upper_half(v: f64) -> u32 {
    (v.to_bits() >> 32) as u32
}

fn from_upper_half(bits: u32) -> f64 {
    f64::from_bits(u64::from(bits) << 32)
}

/// Numbers of 7 bits a byte, low ones first; the highest bit says that more follow.
pub(crate) fn write_varint(mut v: u64, out: &mut Vec<u8>) {
    while v >= 0x80 {
        out.push(v as u8 | 0x80);
        v >>= 7;
    }
    out.push(v as u8);
}

/// What a payload begins with.
#[derive(Clone, Debug, PartialEq)]
pub struct Preamble {
    /// The bound that was kept.
    pub tolerance: Tolerance,
    /// Steps since the keyframe; 0 is one.
    pub age: u32,
    /// The models that predict.
    pub models: Vec<ModelId>,
    unit: f64,
    predictors: u8,
    sum_before: u32,
}

const RELATIVE: u8 = 1;
const LEANS: u8 = 2;

impl Preamble {
    fn write(&self, out: &mut Vec<u8>) {
        let (tolerance, relative) = match self.tolerance {
            Tolerance::Absolute(e) => (e, 0),
            Tolerance::PointwiseRelative(r) => (r, RELATIVE),
        };
        out.push(relative | if self.age > 0 { LEANS } else { 0 });
        out.extend_from_slice(&upper_half(tolerance).to_le_bytes());
        if relative != 0 {
            out.extend_from_slice(&upper_half(self.unit).to_le_bytes());
        }
        out.push(self.predictors);
        self.models.iter().for_each(|id| out.extend_from_slice(&id.0));
        if self.age > 0 {
            write_varint(u64::from(self.age), out);
            out.extend_from_slice(&self.sum_before.to_le_bytes());
        }
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let damaged = |what: &str| Error::Stream(what.into());
        let [flags] = reader.array()?;
        if flags & !(RELATIVE | LEANS) != 0 {
            return Err(damaged("unknown flags"));
        }
        let tolerance = from_upper_half(u32::from_le_bytes(reader.array()?));
        if !tolerance.is_finite() || tolerance < 0.0 {
            return Err(damaged("impossible bound"));
        }
        let (tolerance, unit) = if flags & RELATIVE == 0 {
            (Tolerance::Absolute(tolerance), 2.0 * tolerance)
        } else {
            let unit = from_upper_half(u32::from_le_bytes(reader.array()?));
            (Tolerance::PointwiseRelative(tolerance), unit)
        };
        let [predictors] = reader.array()?;
        if predictors >> (SWAE + 1) != 0 {
            return Err(damaged("it uses a predictor that this library does not know; use a newer swae"));
        }
        let learned = (predictors >> FIRST_LEARNED).count_ones();
        let models = (0..learned).map(|_| Ok(ModelId(reader.array()?))).collect::<Result<_>>()?;
        let (mut age, mut sum_before) = (0, 0);
        if flags & LEANS != 0 {
            age = u32::try_from(reader.varint()?).unwrap_or(0);
            if age == 0 {
                return Err(damaged("impossible age"));
            }
            sum_before = u32::from_le_bytes(reader.array()?);
        }
        Ok(Self { tolerance, age, models, unit, predictors, sum_before })
    }

    fn frame(&self) -> Frame {
        Frame { tolerance: self.tolerance, unit: self.unit, predictors: self.predictors }
    }
}

/// A coded payload, and the memory of it.
pub(crate) struct Coded<T> {
    pub(crate) payload: Vec<u8>,
    pub(crate) report: Report,
    past: Option<Past<T>>,
}

impl<T: Remembered> Coded<T> {
    /// Makes the step the history's last; `sum` is the checksum of its stream.
    pub(crate) fn commit(self, history: &mut History, sum: u32) {
        *T::past(history) = self.past.map(|past| Past { sum, ..past });
    }
}

/// Codes boxes.
///
/// # Errors
/// [`Error::Bound`], [`Error::Model`].
pub(crate) fn code<T: Remembered>(
    views: &[FieldView<'_, T>],
    settings: &Bounded<'_>,
    history: Option<&mut History>,
) -> Result<Coded<T>> {
    settings.bound.check()?;
    let own = || views.iter().map(Spread::of).fold(Spread::EMPTY, Spread::and);
    let relative = matches!(settings.bound, Bound::PointwiseRelative(_));
    let range = match settings.range {
        Some(range) => range,
        None if settings.bound.needs_range() || relative => own(),
        None => Spread::EMPTY,
    };
    let every = history.as_ref().map(|h| h.every);
    let past = history.and_then(|h| T::past(h).as_ref());
    let model = settings.model.filter(|m| settings.candidates.swae && m.encoder.is_some());
    let with = |tolerance: Tolerance| code_within(views, settings, model, tolerance, range, past, every);
    let Bound::Psnr(db) = settings.bound else {
        return with(settings.bound.tolerance(range));
    };
    // Errors are seldom as large as they may be: the tolerance grows until the target is just met.
    let target = range.width() * 10f64.powf(-db / 20.0);
    let sure = Tolerance::Absolute(target);
    let Tolerance::Absolute(mut e) = settings.bound.tolerance(range) else { return with(sure) };
    let mut best: Option<Coded<T>> = None;
    for _ in 0..5 {
        let found = with(Tolerance::Absolute(e))?;
        let rms = found.report.mse.sqrt();
        let met = rms <= target;
        if met && best.as_ref().is_none_or(|b| found.payload.len() < b.payload.len()) {
            best = Some(found);
        }
        if rms == 0.0 || (met && rms > 0.95 * target) {
            break;
        }
        e *= (0.975 * target / rms).clamp(0.1, 10.0);
    }
    best.map_or_else(|| with(sure), Ok)
}

fn code_within<T: Remembered>(
    views: &[FieldView<'_, T>],
    settings: &Bounded<'_>,
    model: Option<&Model>,
    tolerance: Tolerance,
    range: Spread,
    past: Option<&Past<T>>,
    every: Option<u32>,
) -> Result<Coded<T>> {
    let boxes: Vec<[usize; 3]> = views.iter().map(FieldView::count).collect();
    let past = past.filter(|p| p.boxes == boxes && every.is_some_and(|k| p.age + 1 < k));
    let half = |v: f64| from_upper_half(upper_half(v));
    let (tolerance, unit) = match tolerance {
        Tolerance::Absolute(e) => {
            // Beyond this the unit would be infinite.
            let e = half(e.min(f64::MAX / 4.0));
            (Tolerance::Absolute(e), 2.0 * e)
        }
        Tolerance::PointwiseRelative(r) => {
            (Tolerance::PointwiseRelative(half(r)), half(2.0 * r * range.magnitude().min(f64::MAX / 4.0)))
        }
    };
    let preamble = Preamble {
        tolerance,
        age: past.map_or(0, |p| p.age + 1),
        models: model.map(|m| m.id()).into_iter().collect(),
        unit,
        predictors: settings.candidates.mask(model.is_some()),
        sum_before: past.map_or(0, |p| p.sum),
    };
    let network = model.map(Predictor::new);
    let constant = settings.candidates.constant;
    let rules = Rules { constant, exact_constants: constant && is_constant(views) };
    let tiles = tiles(&boxes);
    let one = |(i, pieces): (usize, &Vec<Piece>)| {
        let turns = tile_turns(pieces);
        let views: Vec<_> = pieces.iter().map(|p| views[p.of].part(p.start, p.count)).collect();
        let tile = Tile::new(preamble.frame(), turns.len(), past.map(|p| &p.tiles[i]));
        let guess = |n: &Predictor| n.guesses(tile.engine, &turns, &views, unit);
        let guesses = network.as_ref().filter(|_| unit.is_normal()).map_or_else(Vec::new, guess);
        let Encoded { mut bytes, codes, past, tally } = encode(tile, &turns, &views, rules, guesses);
        if let Some(network) = &network {
            // The latents stand in front, and their length before them.
            let latents = network.write(&codes);
            let mut whole = Vec::new();
            write_varint(latents.len() as u64, &mut whole);
            whole.extend_from_slice(&latents);
            whole.append(&mut bytes);
            bytes = whole;
        }
        (bytes, every.is_some().then_some(past), tally)
    };
    let coded: Vec<_> = tiles.par_iter().enumerate().map(one).collect();
    let tally = coded.iter().fold(Tally::default(), |sum, (.., tally)| sum.and(tally));
    if model.is_some() && tally.saved < 8.0 * (16 + coded.len()) as f64 {
        // Less was saved than it takes to name the model.
        return code_within(views, settings, None, tolerance, range, past, every);
    }
    let mut payload = Vec::new();
    preamble.write(&mut payload);
    coded.iter().for_each(|(bytes, ..)| write_varint(bytes.len() as u64, &mut payload));
    coded.iter().for_each(|(bytes, ..)| payload.extend_from_slice(bytes));
    let values: usize = boxes.iter().map(|c| c.iter().product::<usize>()).sum();
    let report =
        Report { tolerance, max_error: tally.max_error, mse: tally.squares / values.max(1) as f64, tally };
    let tiles: Option<Vec<_>> = coded.into_iter().map(|(_, past, _)| past).collect();
    let past = match (every, tiles) {
        (Some(_), Some(tiles)) => Some(Past { boxes, tiles, age: preamble.age, sum: 0 }),
        _ => None,
    };
    Ok(Coded { payload, report, past })
}

/// Whether all values of all boxes are the same.
fn is_constant<T: Value>(views: &[FieldView<'_, T>]) -> bool {
    let mut values = views.iter().flat_map(|v| v.values());
    values.next().is_some_and(|first| values.all(|v| v.same_bits(first)))
}

/// Decodes the part of each box that lies in `regions`: its values, x fastest. Tiles outside are not touched.
///
/// # Errors
/// [`Error::Stream`] where the payload is damaged, or leans on a step that the history does not hold.
pub(crate) fn decode<T: Remembered>(
    payload: &[u8],
    boxes: &[[usize; 3]],
    regions: &[[Range<usize>; 3]],
    models: &Models,
    history: Option<(&mut History, u32)>,
    mut tally: Option<&mut Tally>,
) -> Result<Vec<Vec<T>>> {
    let mut reader = Reader::new(payload);
    let preamble = Preamble::read(&mut reader)?;
    if least_tiles(boxes) > payload.len() {
        return Err(Error::Stream("it is too short for its shape".into()));
    }
    let tiles = tiles(boxes);
    let lengths = tiles.iter().map(|_| reader.size()).collect::<Result<Vec<_>>>()?;
    let bytes = lengths.into_iter().map(|n| reader.take(n, 1)).collect::<Result<Vec<_>>>()?;
    reader.finish()?;
    let network = match preamble.models[..] {
        [id] => Some(Predictor::new(&*models.by_id(id)?)),
        _ => None,
    };
    let keeps = history.is_some();
    let mut history = history;
    let past = match (preamble.age, &mut history) {
        (0, _) => None,
        (age, Some((history, _))) => {
            let past = T::past(history).as_ref();
            let fits = |p: &&Past<T>| p.boxes == boxes && p.age + 1 == age && p.sum == preamble.sum_before;
            Some(past.filter(fits).ok_or_else(missing)?)
        }
        (_, None) => return Err(missing()),
    };
    let wanted = |p: &Piece| {
        let region = &regions[p.of];
        (0..3).all(|a| region[a].start < p.start[a] + p.count[a] && p.start[a] < region[a].end)
    };
    // One tile's values by piece, what remains of it, and who won.
    let one = |i: usize| -> Result<_> {
        let pieces = &tiles[i];
        let some = pieces.iter().any(wanted);
        if !some && !keeps {
            return Ok(None);
        }
        let turns = tile_turns(pieces);
        let tile = Tile::<T>::new(preamble.frame(), turns.len(), past.map(|p| &p.tiles[i]));
        let empty = if some { pieces.iter().map(|p| p.count.iter().product()).collect() } else { vec![] };
        let mut out: Vec<Vec<T>> = empty.into_iter().map(|n: usize| vec![T::default(); n]).collect();
        let mut give = |turn: &Turn, values: &[T; 512]| {
            let [nx, ny, _] = pieces[turn.piece].count;
            let ([x, y, z], [cx, cy, cz]) = (turn.place.start, turn.place.count);
            for k in 0..cz {
                for j in 0..cy {
                    let to = ((z + k) * ny + y + j) * nx + x;
                    let from = (k * 8 + j) * 8;
                    let to = &mut out[turn.piece][to..to + cx];
                    match to.first_chunk_mut() {
                        // A length that the compiler knows costs no call.
                        Some(whole) => *whole = *row(values, from),
                        None => to.copy_from_slice(&values[from..from + cx]),
                    }
                }
            }
        };
        let mut tally = Tally::default();
        let give: Option<tile::Taker<'_, T>> = if some { Some(&mut give) } else { None };
        let (mut bytes, mut guesses) = (bytes[i], Vec::new());
        if let Some(network) = &network {
            let mut reader = Reader::new(bytes);
            let latents = reader.size()?;
            let latents = reader.take(latents, 1)?;
            guesses = network.read(tile.engine, latents, turns.len(), preamble.unit);
            bytes = reader.rest();
        }
        let past = tile::decode(tile, &turns, bytes, &guesses, give, |s, bits| tally.count(s, bits));
        Ok(Some((out, keeps.then_some(past), tally)))
    };
    let decoded: Vec<_> = (0..tiles.len()).into_par_iter().map(one).collect::<Result<_>>()?;
    let mut out: Vec<Vec<T>> = Vec::with_capacity(boxes.len());
    for region in regions {
        let n = region.iter().map(|r| r.len()).product();
        let mut values = Vec::new();
        values.try_reserve_exact(n).map_err(|_| Error::Stream(format!("no memory for {n} values")))?;
        values.resize(n, T::default());
        out.push(values);
    }
    let mut pasts = Vec::new();
    for (pieces, decoded) in tiles.iter().zip(decoded) {
        let Some((values, past, counted)) = decoded else { continue };
        for (piece, values) in pieces.iter().zip(&values) {
            copy(piece, values, &regions[piece.of], &mut out[piece.of]);
        }
        pasts.extend(past);
        if let Some(tally) = &mut tally {
            **tally = tally.and(&counted);
        }
    }
    if let Some((history, sum)) = history {
        *T::past(history) = Some(Past { boxes: boxes.to_vec(), tiles: pasts, age: preamble.age, sum });
    }
    Ok(out)
}

fn missing() -> Error {
    Error::Stream("it leans on the step before, which was not decoded; begin at its keyframe".into())
}

fn row<T>(values: &[T; 512], from: usize) -> &[T; 8] {
    values[from..].first_chunk().expect("rows lie in their block")
}

/// Copies the part of a piece that lies in its box's region.
fn copy<T: Value>(piece: &Piece, values: &[T], region: &[Range<usize>; 3], out: &mut [T]) {
    let lo: [usize; 3] = std::array::from_fn(|a| piece.start[a].max(region[a].start));
    let hi: [usize; 3] = std::array::from_fn(|a| (piece.start[a] + piece.count[a]).min(region[a].end));
    if (0..3).any(|a| lo[a] >= hi[a]) {
        return;
    }
    let n = hi[0] - lo[0];
    for z in lo[2]..hi[2] {
        for y in lo[1]..hi[1] {
            let [px, py, pz] = piece.start;
            let from = ((z - pz) * piece.count[1] + y - py) * piece.count[0] + lo[0] - px;
            let [rx, ry, rz] = [&region[0], &region[1], &region[2]];
            let to = ((z - rz.start) * ry.len() + y - ry.start) * rx.len() + lo[0] - rx.start;
            out[to..to + n].copy_from_slice(&values[from..from + n]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_hold_every_value_once() {
        for boxes in [
            vec![],
            vec![[0, 5, 5]],
            vec![[96, 130, 7]],
            vec![[8, 8, 8]; 2000],
            vec![[13, 5, 16], [65, 1, 1], [64, 64, 64], [3, 3, 3]],
        ] {
            let tiles = tiles(&boxes);
            let values: usize = tiles.iter().flatten().map(|p| p.count.iter().product::<usize>()).sum();
            assert_eq!(values, boxes.iter().map(|c| c.iter().product::<usize>()).sum::<usize>());
            assert!(tiles.len() >= least_tiles(&boxes));
            for tile in tiles {
                assert!(tile.iter().map(|p| blocks(p.count)).sum::<usize>() <= TILE_BLOCKS);
            }
        }
    }
}
