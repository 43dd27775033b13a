//! Bounded mode: boxes cut into tiles, tiles coded side by side, and the steps before them remembered.
//!
//! Writer and reader share the `tile` and what it is made of: the `order` of its blocks, the `links` of boxes, what
//! neighbours say of one another (`spatial`), the `legendre` basis, the network (`swae`), the `symbols` of a block, and
//! the `entropy` coder that turns them into bytes. What only a writer needs lies in `encoder`. The payload is laid out in
//! docs/format.md.

mod bound;
mod coupling;
mod decoder;
mod encoder;
mod entropy;
mod history;
mod legendre;
mod links;
pub mod mixture;
mod order;
mod pieces;
mod preamble;
#[cfg(feature = "learn")]
pub mod priors;
#[cfg(not(feature = "learn"))]
mod priors;
mod spatial;
mod swae;
mod symbols;
mod tile;

pub use bound::{Bound, Spread, Tolerance};
pub use encoder::{Share, Tally};
pub use history::{History, Remembered};
pub use pieces::TILE;
pub use preamble::Preamble;

use crate::stream::{Reader, write_varint};
use crate::together::Together;
use crate::{Error, FieldView, Model, ModelId, Models, Result, Value};
use coupling::{Coupling, Foretold};
use decoder::Told;
use encoder::{Encoded, Errors, Listener, Planned, Rules, encode, fit};
use history::Past;
use mixture::Mixer;
use pieces::{Piece, Window, least_tiles, tiles, turns_of, windows};
use preamble::with_unit;
use rayon::prelude::*;
use std::ops::Range;
use std::sync::Arc;
use swae::Predictor;
use tile::{COUPLED, EXTRAPOLATION, LEGENDRE, MIXTURE, PREVIOUS, PastTile, SWAE, Tile};

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
    /// The autoencoder; needs its model.
    pub swae: bool,
    /// The neighbours and the two steps before as a network weighs them; needs its model.
    pub mixture: bool,
    /// What other fields of the same step foretell; needs them ([`History::lean_on`]).
    pub coupled: bool,
}

impl Candidates {
    /// All of them.
    pub const ALL: Self = Self {
        constant: true,
        legendre: true,
        previous: true,
        extrapolation: true,
        swae: true,
        mixture: true,
        coupled: true,
    };
    /// The names that options take.
    pub const NAMES: [&'static str; 7] =
        ["constant", "legendre", "previous", "extrapolation", "swae", "mixture", "coupled"];

    /// Switches one off by its name; false where there is none of this name.
    pub fn remove(&mut self, name: &str) -> bool {
        let entry = match name {
            "constant" => &mut self.constant,
            "legendre" => &mut self.legendre,
            "previous" => &mut self.previous,
            "extrapolation" => &mut self.extrapolation,
            "swae" => &mut self.swae,
            "mixture" => &mut self.mixture,
            "coupled" => &mut self.coupled,
            _ => return false,
        };
        *entry = false;
        true
    }

    fn mask(self, model: bool, mixer: bool, coupled: bool) -> u8 {
        u8::from(self.legendre) << LEGENDRE
            | u8::from(self.previous) << PREVIOUS
            | u8::from(self.extrapolation) << EXTRAPOLATION
            | u8::from(self.swae && model) << SWAE
            | u8::from(self.mixture && mixer) << MIXTURE
            | u8::from(self.coupled && coupled) << COUPLED
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
    /// A network's model: an autoencoder competes as `swae`, one that weighs predictions ([`mixture::weighs`]) as `mixture`; none
    /// leaves both out.
    pub model: Option<&'a Model>,
}

impl Bounded<'_> {
    /// Everything takes part that needs no model.
    pub fn new(bound: Bound) -> Self {
        Self { bound, range: None, candidates: Candidates::ALL, model: None }
    }

    /// The range of the field, where the bound needs one.
    fn range_of<T: Value>(&self, views: &[FieldView<'_, T>]) -> Spread {
        let needs_range = self.bound.needs_range() || matches!(self.bound, Bound::PointwiseRelative(_));
        match self.range {
            Some(range) => range,
            None if needs_range => views.iter().map(Spread::of).fold(Spread::EMPTY, Spread::and),
            None => Spread::EMPTY,
        }
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
    mut history: Option<&mut History>,
    listener: Option<&Listener<'_>>,
) -> Result<Coded<T>> {
    // They are of this step alone, whatever becomes of it.
    let given = history.as_mut().map(|h| std::mem::take(&mut h.companions)).unwrap_or_default();
    settings.bound.check()?;
    let range = settings.range_of(views);
    let boxes: Vec<_> = views.iter().map(FieldView::count).collect();
    let every = history.as_ref().map(|h| h.every);
    let history = history.map(|h| &*h);
    let past = history.and_then(|h| h.leads::<T>(&boxes));
    let companions = given.iter().filter(|_| settings.candidates.coupled);
    let companions = companions.filter_map(|(name, h)| Some((&name[..], T::last(h)?)));
    let companions = companions.filter(|(_, past)| past.boxes == boxes).collect();
    let model = settings.model.filter(|m| settings.candidates.swae && m.encoder.is_some());
    let two_steps = past.is_some_and(|p| p.tiles.iter().any(PastTile::is_long));
    let mixes = settings.candidates.mixture && two_steps;
    let mixture = settings.model.filter(|m| mixes && mixture::weighs(m));
    let mixture = mixture.map(|m| Ok((m.id(), Mixer::new(m)?))).transpose()?;
    let constant = settings.candidates.constant;
    let rules = Rules { constant, exact_constants: constant && is_constant(views) };
    let work = Work {
        views,
        tiles: tiles(&boxes),
        boxes,
        rules,
        candidates: settings.candidates,
        past,
        companions,
        remembers: every.is_some(),
        mixture,
        listener,
    };
    let with = |tolerance| work.code(with_unit(tolerance, range.magnitude()), model);
    let Bound::Psnr(db) = settings.bound else {
        return Ok(with(settings.bound.tolerance(range)));
    };
    // Errors are seldom as large as they may be: the tolerance grows until the target is just met.
    let target = range.width() * 10f64.powf(-db / 20.0);
    let sure = Tolerance::Absolute(target);
    let Tolerance::Absolute(mut e) = settings.bound.tolerance(range) else { return Ok(with(sure)) };
    let mut best: Option<Coded<T>> = None;
    for _ in 0..5 {
        let found = with(Tolerance::Absolute(e));
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
    Ok(best.unwrap_or_else(|| with(sure)))
}

/// On which of the others each field of a step is to lean.
pub(crate) fn companions<T: Remembered>(fields: &[Together<'_, T>]) -> Vec<Vec<usize>> {
    let mut chosen = vec![Vec::new(); fields.len()];
    let Some(first) = fields.first() else { return chosen };
    let boxes: Vec<_> = first.views.iter().map(FieldView::count).collect();
    let alone = |i: usize| fields[..i].iter().all(|other| other.name != fields[i].name);
    let planned =
        (0..fields.len()).filter(|&i| alone(i)).filter_map(|i| Some((i, plan(&fields[i], &boxes)?)));
    let (numbers, planned): (Vec<_>, Vec<_>) = planned.unzip();
    for (number, on) in numbers.iter().zip(encoder::companions(&planned, &tiles(&boxes))) {
        chosen[*number] = on.into_iter().map(|i| numbers[i]).collect();
    }
    chosen
}

/// A field of these boxes that may lean on others, and they on it.
fn plan<'a, T: Remembered>(field: &'a Together<'_, T>, boxes: &[[usize; 3]]) -> Option<Planned<'a, T>> {
    let Together { name, views, settings, history } = field;
    let past = history.leads::<T>(boxes).filter(|_| settings.candidates.coupled)?;
    let tolerance = settings.bound.tolerance(settings.range_of(views));
    let unit = with_unit(tolerance, 0.0).1;
    let alike = views.iter().map(FieldView::count).eq(boxes.iter().copied());
    let fits = alike && matches!(tolerance, Tolerance::Absolute(_)) && unit.is_normal();
    fits.then_some(Planned { name, views, past, unit })
}

/// Boxes to be coded.
struct Work<'a, T> {
    views: &'a [FieldView<'a, T>],
    boxes: Vec<[usize; 3]>,
    tiles: Vec<Vec<Piece>>,
    rules: Rules,
    candidates: Candidates,
    /// The step before, if this one may lean on it.
    past: Option<&'a Past<T>>,
    /// The fields that it may lean on.
    companions: Vec<(&'a str, &'a Past<T>)>,
    /// Whether the next step may lean on this one.
    remembers: bool,
    mixture: Option<(ModelId, Mixer)>,
    listener: Option<&'a Listener<'a>>,
}

impl<T: Remembered> Work<'_, T> {
    fn code(&self, (tolerance, unit): (Tolerance, f64), model: Option<&Model>) -> Coded<T> {
        let weighs = matches!(tolerance, Tolerance::Absolute(_)) && unit.is_normal();
        let mixture = self.mixture.as_ref().filter(|_| weighs);
        let coupling = self.coupling(unit).filter(|_| weighs);
        let preamble = Preamble {
            tolerance,
            age: self.past.map_or(0, |p| p.age + 1),
            models: model.map(|m| m.id()).into_iter().chain(mixture.map(|m| m.0)).collect(),
            unit,
            predictors: self.candidates.mask(model.is_some(), mixture.is_some(), coupling.is_some()),
            sum_before: self.past.map_or(0, |p| p.sum),
            coupling,
        };
        let network = model.map(Predictor::new);
        let tile = |i: usize| self.tile(i, &preamble, network.as_ref(), mixture.map(|m| &m.1));
        let coded: Vec<_> = (0..self.tiles.len()).into_par_iter().map(tile).collect();
        let saved: f64 = coded.iter().map(|tile| tile.saved).sum();
        if model.is_some() && saved < 8.0 * (16 + coded.len()) as f64 {
            // Less was saved than it takes to name the model.
            return self.code((tolerance, unit), None);
        }
        let mut payload = Vec::new();
        preamble.write(&mut payload);
        coded.iter().for_each(|tile| write_varint(tile.bytes.len() as u64, &mut payload));
        let (mut tally, mut errors) = (Tally::default(), Errors::default());
        let mut pasts = Vec::new();
        for tile in coded {
            payload.extend_from_slice(&tile.bytes);
            tally = tally.and(&tile.tally);
            errors = errors.and(tile.errors);
            pasts.extend(tile.past);
        }
        let values: usize = self.boxes.iter().map(|c| c.iter().product::<usize>()).sum();
        let report = Report {
            tolerance,
            max_error: errors.largest,
            mse: errors.squares / values.max(1) as f64,
            tally,
        };
        let past = Past { boxes: self.boxes.clone(), tiles: Arc::new(pasts), age: preamble.age, sum: 0 };
        Coded { payload, report, past: self.remembers.then_some(past) }
    }

    /// What the companions foretell, where that pays.
    fn coupling(&self, unit: f64) -> Option<Coupling> {
        fit(self.views, &self.tiles, self.past, &self.companions, unit)
    }

    /// A tile; where there is a network, the latents stand in front of its bytes, and their length before them.
    fn tile(
        &self,
        i: usize,
        preamble: &Preamble,
        network: Option<&Predictor>,
        mixer: Option<&Mixer>,
    ) -> Encoded<T> {
        let pieces = &self.tiles[i];
        let turns = turns_of(pieces);
        let views: Vec<_> = pieces.iter().map(|p| self.views[p.of].part(p.start, p.count)).collect();
        let past = self.past.map(|p| &p.tiles[i]);
        let coupled = preamble.coupling.as_ref().zip(past).map(|(coupling, past)| {
            // The coupling is with all of them.
            Foretold::new(coupling, past, self.companions.iter().map(|(_, companion)| &companion.tiles[i]))
        });
        let tile = Tile::new(preamble.frame(), turns.len(), past, coupled, mixer);
        let guess = |n: &Predictor| n.guesses(tile.engine, &turns, &views, preamble.unit);
        let guesses = network.filter(|_| preamble.unit.is_normal()).map_or_else(Vec::new, guess);
        let mut encoded = encode(tile, &turns, &views, self.rules, guesses, self.listener);
        if let Some(network) = network {
            let latents = network.write(&encoded.codes);
            let mut whole = Vec::new();
            write_varint(latents.len() as u64, &mut whole);
            whole.extend_from_slice(&latents);
            whole.append(&mut encoded.bytes);
            encoded.bytes = whole;
        }
        encoded.past.take_if(|_| !self.remembers);
        encoded
    }
}

/// Whether all values of all boxes are the same.
fn is_constant<T: Remembered>(views: &[FieldView<'_, T>]) -> bool {
    let mut values = views.iter().flat_map(|v| v.values());
    values.next().is_some_and(|first| values.all(|v| v.same_bits(first)))
}

/// Decodes the part of each box that lies in `regions`: its values, x fastest. Without a history, tiles outside are not
/// touched; a history, which comes with this stream's checksum, remembers all of them. Who won the blocks is told where it
/// is to be weighed.
///
/// # Errors
/// [`Error::Stream`] where the payload is damaged, or leans on a step that the history does not hold.
pub(crate) fn decode<T: Remembered>(
    payload: &[u8],
    boxes: &[[usize; 3]],
    regions: &[[Range<usize>; 3]],
    models: &Models,
    history: Option<(&mut History, u32)>,
    weighs: bool,
) -> Result<(Vec<Vec<T>>, Tally)> {
    let mut reader = Reader::new(payload);
    let preamble = Preamble::read(&mut reader)?;
    if least_tiles(boxes) > payload.len() {
        return Err(Error::Stream("it is too short for its shape".into()));
    }
    let tiles = tiles(boxes);
    let lengths = tiles.iter().map(|_| reader.size()).collect::<Result<Vec<_>>>()?;
    let bytes = lengths.into_iter().map(|n| reader.take(n, 1)).collect::<Result<Vec<_>>>()?;
    reader.finish()?;
    let network = preamble.network(models)?;
    let mixer = preamble.mixer(models)?;
    let keeps = history.is_some();
    let mut history = history;
    let companions = history.as_mut().map(|(history, _)| std::mem::take(&mut history.companions));
    let companions =
        preamble.coupling.as_ref().map(|c| c.find::<T>(boxes, companions.as_deref().unwrap_or_default()));
    let companions = companions.transpose()?.unwrap_or_default();
    let past = history.as_mut().and_then(|(history, _)| T::past(history).as_ref());
    let past = Past::before(&preamble, boxes, past)?;
    let mut out: Vec<Vec<T>> = Vec::with_capacity(boxes.len());
    for region in regions {
        let n = region.iter().map(|r| r.len()).product();
        let mut values = Vec::new();
        values.try_reserve_exact(n).map_err(|_| Error::Stream(format!("no memory for {n} values")))?;
        values.resize(n, T::default());
        out.push(values);
    }
    let mut windows = windows(&tiles, boxes, regions, &mut out);
    // What remains of a tile, and who won.
    let one =
        |(i, windows): (usize, &mut Vec<Window<'_, T>>)| -> Result<Option<(Option<PastTile<T>>, Tally)>> {
            let wanted = !windows.iter().all(Window::is_empty);
            if !wanted && !keeps {
                return Ok(None);
            }
            let turns = turns_of(&tiles[i]);
            let past = past.map(|p| &p.tiles[i]);
            let coupled = preamble.coupling.as_ref().zip(past);
            let coupled =
                coupled.map(|(c, past)| Foretold::new(c, past, companions.iter().map(|c| &c.tiles[i])));
            let tile = Tile::new(preamble.frame(), turns.len(), past, coupled, mixer.as_ref());
            let (mut bytes, mut guesses) = (bytes[i], Vec::new());
            if let Some(network) = &network {
                let mut reader = Reader::new(bytes);
                let latents = reader.size()?;
                let latents = reader.take(latents, 1)?;
                guesses = network.read(tile.engine, latents, turns.len(), preamble.unit);
                bytes = reader.rest();
            }
            let mut tally = Tally::default();
            let windows = wanted.then_some(&mut windows[..]);
            let tell = |told: &Told<'_, T>| {
                if weighs {
                    tally.weigh(told);
                }
            };
            let past = decoder::decode(tile, &turns, bytes, &guesses, windows, tell);
            Ok(Some((keeps.then_some(past), tally)))
        };
    let decoded: Vec<_> = windows.par_iter_mut().enumerate().map(one).collect::<Result<_>>()?;
    let (mut tally, mut pasts) = (Tally::default(), Vec::new());
    for (past, counted) in decoded.into_iter().flatten() {
        tally = tally.and(&counted);
        pasts.extend(past);
    }
    if let Some((history, sum)) = history {
        *T::past(history) =
            Some(Past { boxes: boxes.to_vec(), tiles: Arc::new(pasts), age: preamble.age, sum });
    }
    Ok((out, tally))
}
