//! What a bounded payload begins with.

use super::coupling::Coupling;
use super::mixture::Mixer;
use super::swae::Predictor;
use super::tile::{COUPLED, Frame, MIXTURE, SWAE};
use crate::stream::{Reader, write_varint};
use crate::{Error, Model, ModelId, Models, Result, Tolerance};
use std::sync::Arc;

/// Predictors that a model makes, in the order of the models.
const LEARNED: [u8; 2] = [SWAE, MIXTURE];

/// A number of the upper half of its bits, never greater in magnitude: what the header stores.
fn upper_half(v: f64) -> u32 {
    (v.to_bits() >> 32) as u32
}

fn from_upper_half(bits: u32) -> f64 {
    f64::from_bits(u64::from(bits) << 32)
}

/// What the header's form of a number keeps.
fn stored(v: f64) -> f64 {
    from_upper_half(upper_half(v))
}

/// A tolerance as the header holds it, and the unit that goes with it: twice the tolerance, or for one relative to each
/// value twice what is allowed of the `largest` magnitude.
pub(crate) fn with_unit(tolerance: Tolerance, largest: f64) -> (Tolerance, f64) {
    match tolerance {
        Tolerance::Absolute(e) => {
            // Beyond this the unit would be infinite.
            let e = stored(e.min(f64::MAX / 4.0));
            (Tolerance::Absolute(e), 2.0 * e)
        }
        Tolerance::PointwiseRelative(r) => {
            (Tolerance::PointwiseRelative(stored(r)), stored(2.0 * r * largest.min(f64::MAX / 4.0)))
        }
    }
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
    pub(crate) unit: f64,
    /// A bit for each predictor that blocks may use.
    pub(crate) predictors: u8,
    /// Checksum of the stream of the step before.
    pub(crate) sum_before: u32,
    /// What other fields of the step foretell.
    pub(crate) coupling: Option<Coupling>,
}

/// Predictors of a mask that a model makes.
fn learned(predictors: u8) -> impl Iterator<Item = u8> {
    LEARNED.into_iter().filter(move |p| predictors >> p & 1 == 1)
}

const RELATIVE: u8 = 1;
const LEANS: u8 = 2;

impl Preamble {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
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
        for (predictor, id) in self.learned().zip(&self.models) {
            // Models of mixtures that come with the library have numbers from 1.
            let known = Models::mixtures().iter().position(|m| m.id() == *id);
            match known.filter(|_| predictor == MIXTURE) {
                Some(n) => out.push(n as u8 + 1),
                None if predictor == MIXTURE => {
                    out.push(0);
                    out.extend_from_slice(&id.0);
                }
                None => out.extend_from_slice(&id.0),
            }
        }
        if self.age > 0 {
            write_varint(u64::from(self.age), out);
            out.extend_from_slice(&self.sum_before.to_le_bytes());
        }
        if let Some(coupling) = &self.coupling {
            coupling.write(out);
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
        if predictors >> (COUPLED + 1) != 0 {
            return Err(damaged("it uses a predictor that this library does not know; use a newer swae"));
        }
        let mut models = Vec::new();
        for predictor in learned(predictors) {
            let number = if predictor == MIXTURE { reader.array::<1>()?[0] } else { 0 };
            models.push(match number {
                0 => ModelId(reader.array()?),
                n => match Models::mixtures().get(usize::from(n) - 1) {
                    Some(model) => model.id(),
                    None => {
                        return Err(damaged(
                            "it uses a model that this library does not know; use a newer swae",
                        ));
                    }
                },
            });
        }
        let (mut age, mut sum_before) = (0, 0);
        if flags & LEANS != 0 {
            age = u32::try_from(reader.varint()?).unwrap_or(0);
            if age == 0 {
                return Err(damaged("impossible age"));
            }
            sum_before = u32::from_le_bytes(reader.array()?);
        }
        let coupled = predictors >> COUPLED & 1 == 1;
        let coupling = coupled.then(|| Coupling::read(reader)).transpose()?;
        Ok(Self { tolerance, age, models, unit, predictors, sum_before, coupling })
    }

    /// Names of the fields of the same step that it leans on.
    pub fn companions(&self) -> impl Iterator<Item = &str> {
        self.coupling.iter().flat_map(|c| &c.companions).map(|c| &c.name[..])
    }

    /// What the tiles share.
    pub(crate) fn frame(&self) -> Frame {
        Frame { tolerance: self.tolerance, unit: self.unit, predictors: self.predictors }
    }

    /// The model that predicts, ready to run.
    ///
    /// # Errors
    /// [`Error::MissingModel`].
    pub(crate) fn network(&self, models: &Models) -> Result<Option<Predictor>> {
        self.model(SWAE, models)?.map(|m| Ok(Predictor::new(&m))).transpose()
    }

    /// The model that weighs predictions, ready to run.
    ///
    /// # Errors
    /// [`Error::MissingModel`]; [`Error::Model`] where it is of another kind.
    pub(crate) fn mixer(&self, models: &Models) -> Result<Option<Mixer>> {
        self.model(MIXTURE, models)?.map(|m| Mixer::new(&m)).transpose()
    }

    fn learned(&self) -> impl Iterator<Item = u8> {
        learned(self.predictors)
    }

    fn model(&self, predictor: u8, models: &Models) -> Result<Option<Arc<Model>>> {
        let named = self.learned().zip(&self.models).find(|(p, _)| *p == predictor);
        named.map(|(_, id)| models.by_id(*id)).transpose()
    }
}
