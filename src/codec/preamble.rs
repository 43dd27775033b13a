//! The preamble: what the head of a bounded stream says of its mode.

use crate::bound::Tolerance;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::{Model, ModelId};
use crate::models::Models;
use crate::predict::autoencoder::Autoencoder;
use crate::predict::interfield::InterField;
use crate::predict::mixing::MixingNetwork;
use crate::predict::reference::Spacing;
use crate::predict::tile::Frame;
use crate::predict::{Predictor, PredictorMask};
use crate::wire::{ByteReader, write_varint};
use std::sync::Arc;

/// Predictors that a model makes, in the order of the models.
const LEARNED: [Predictor; 2] = [Predictor::Autoencoder, Predictor::Mixing];

/// A number of the upper half of its bits, never greater in magnitude: what the header stores.
fn upper_half(v: f64) -> u32 {
    (v.to_bits() >> 32) as u32
}

pub(crate) fn from_upper_half(bits: u32) -> f64 {
    f64::from_bits(u64::from(bits) << 32)
}

/// What the header's form of a number keeps.
fn stored(v: f64) -> f64 {
    from_upper_half(upper_half(v))
}

/// A tolerance as the header holds it, and the quantum that goes with it: twice the tolerance, or
/// for one relative to each value twice what is allowed of the `largest` magnitude.
pub(crate) fn with_quantum(tolerance: Tolerance, largest: f64) -> (Tolerance, f64) {
    match tolerance {
        Tolerance::Absolute(e) => {
            // Beyond this the quantum would be infinite.
            let e = stored(e.min(f64::MAX / 4.0));
            (Tolerance::Absolute(e), 2.0 * e)
        }
        Tolerance::PointwiseRelative(r) => {
            (Tolerance::PointwiseRelative(stored(r)), stored(2.0 * r * largest.min(f64::MAX / 4.0)))
        }
    }
}

/// What the head of a stream says of bounded mode.
#[derive(Clone, Debug, PartialEq)]
pub struct Preamble {
    /// The bound that was kept.
    pub tolerance: Tolerance,
    /// Steps since the keyframe; 0 is one.
    pub age: u32,
    /// The models that predict.
    pub models: Vec<ModelId>,
    /// What its missing points hold, where there are any.
    pub missing: Option<Missing>,
    pub(crate) quantum: f64,
    /// Predictors that blocks may use.
    pub(crate) predictors: PredictorMask,
    /// Checksum of the stream of the previous step.
    pub(crate) reference_checksum: u32,
    /// To the step that it is predicted from, and to the one behind it; [`Spacing::NEXT`] for a
    /// keyframe.
    pub spacing: Spacing,
    /// Checksum of the stream of the step behind it.
    pub(crate) next_checksum: u32,
    /// How the field is predicted from others of its step.
    pub(crate) inter_field: Option<InterField>,
}

/// The missing points of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The missing value: the bits of a value of the field's type.
    pub bits: u64,
    /// How many points hold it.
    pub points: u64,
}

/// Predictors of a mask that a model makes.
fn learned(predictors: PredictorMask) -> impl Iterator<Item = Predictor> {
    LEARNED.into_iter().filter(move |p| predictors.has(*p))
}

/// No step is predicted from one that is farther away.
pub(crate) const FARTHEST: u32 = 64;

const RELATIVE: u8 = 1;
const PREDICTED: u8 = 2;
const MISSING: u8 = 4;
const SPACED: u8 = 8;

impl Preamble {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let (tolerance, relative) = match self.tolerance {
            Tolerance::Absolute(e) => (e, 0),
            Tolerance::PointwiseRelative(r) => (r, RELATIVE),
        };
        let predicted = if self.age > 0 { PREDICTED } else { 0 };
        let spaced = if self.spacing == Spacing::NEXT { 0 } else { SPACED };
        out.push(relative | predicted | spaced | if self.missing.is_some() { MISSING } else { 0 });
        out.extend_from_slice(&upper_half(tolerance).to_le_bytes());
        if relative != 0 {
            out.extend_from_slice(&upper_half(self.quantum).to_le_bytes());
        }
        out.push(self.predictors.byte());
        for (predictor, id) in self.learned().zip(&self.models) {
            // Built-in mixing networks have numbers from 1.
            let known = Models::mixing_number(*id);
            match known.filter(|_| predictor == Predictor::Mixing) {
                Some(number) => out.push(number),
                None if predictor == Predictor::Mixing => {
                    out.push(0);
                    out.extend_from_slice(&id.0);
                }
                None => out.extend_from_slice(&id.0),
            }
        }
        if self.age > 0 {
            write_varint(u64::from(self.age), out);
            out.extend_from_slice(&self.reference_checksum.to_le_bytes());
        }
        if spaced != 0 {
            write_varint(self.spacing.back.into(), out);
            write_varint(self.spacing.ahead.into(), out);
            if self.spacing.is_between() {
                out.extend_from_slice(&self.next_checksum.to_le_bytes());
            }
        }
        if let Some(inter_field) = &self.inter_field {
            inter_field.write(out);
        }
        if let Some(missing) = self.missing {
            write_varint(missing.bits, out);
            write_varint(missing.points, out);
        }
    }

    pub(crate) fn read(reader: &mut ByteReader<'_>) -> Result<Self> {
        let damaged = |what: &str| Error::Stream(what.into());
        let [flags] = reader.array()?;
        if flags & !(RELATIVE | PREDICTED | MISSING | SPACED) != 0 {
            return Err(Error::Newer(format!("flags {flags:#04x}")));
        }
        let tolerance = from_upper_half(u32::from_le_bytes(reader.array()?));
        if !tolerance.is_finite() || tolerance < 0.0 {
            return Err(damaged("impossible bound"));
        }
        let (tolerance, quantum) = if flags & RELATIVE == 0 {
            (Tolerance::Absolute(tolerance), 2.0 * tolerance)
        } else {
            let quantum = from_upper_half(u32::from_le_bytes(reader.array()?));
            (Tolerance::PointwiseRelative(tolerance), quantum)
        };
        let [predictors] = reader.array()?;
        let unknown = || Error::Newer(format!("predictors {predictors:#04x}"));
        let predictors = PredictorMask::from_byte(predictors).ok_or_else(unknown)?;
        let mut models = Vec::new();
        for predictor in learned(predictors) {
            let number = if predictor == Predictor::Mixing { reader.array::<1>()?[0] } else { 0 };
            models.push(match number {
                0 => ModelId(reader.array()?),
                n => Models::mixing_id(n).ok_or_else(|| Error::Newer(format!("built-in model {n}")))?,
            });
        }
        let (mut age, mut reference_checksum) = (0, 0);
        if flags & PREDICTED != 0 {
            age = u32::try_from(reader.varint()?).unwrap_or(0);
            if age == 0 {
                return Err(damaged("impossible age"));
            }
            reference_checksum = u32::from_le_bytes(reader.array()?);
        }
        let (mut spacing, mut next_checksum) = (Spacing::NEXT, 0);
        if flags & SPACED != 0 {
            let mut distance = || Ok::<_, Error>(u32::try_from(reader.varint()?).unwrap_or(u32::MAX));
            spacing = Spacing { back: distance()?, ahead: distance()? };
            let is_possible = |steps: u32| steps <= FARTHEST;
            if age == 0 || spacing.back == 0 || !is_possible(spacing.back) || !is_possible(spacing.ahead) {
                return Err(damaged("impossible distance of steps"));
            }
            if spacing.is_between() {
                next_checksum = u32::from_le_bytes(reader.array()?);
            }
        }
        let has_inter_field = predictors.has(Predictor::InterField);
        let inter_field = has_inter_field.then(|| InterField::read(reader)).transpose()?;
        let missing = match flags & MISSING {
            0 => None,
            _ => Some(Missing { bits: reader.varint()?, points: reader.varint()? }),
        };
        Ok(Self {
            tolerance,
            age,
            models,
            missing,
            quantum,
            predictors,
            reference_checksum,
            spacing,
            next_checksum,
            inter_field,
        })
    }

    /// Checksum of the stream of the step before it that it is predicted from.
    pub fn reference_checksum(&self) -> u32 {
        self.reference_checksum
    }

    /// Checksum of the stream of the step behind it.
    pub fn next_checksum(&self) -> u32 {
        self.next_checksum
    }

    /// To the steps that it is predicted from; nothing for a keyframe.
    pub(crate) fn reached(&self) -> Spacing {
        if self.age > 0 { self.spacing } else { Spacing { back: 0, ahead: 0 } }
    }

    /// Names of the fields of the same step that it is predicted from.
    pub fn reference_fields(&self) -> impl Iterator<Item = &str> {
        self.inter_field.iter().flat_map(|c| &c.reference_fields).map(|c| &c.name[..])
    }

    /// What the tiles share.
    pub(crate) fn frame(&self, engine: Engine) -> Frame {
        Frame { engine, tolerance: self.tolerance, quantum: self.quantum, predictors: self.predictors }
    }

    /// The autoencoder that predicts, ready to run.
    ///
    /// # Errors
    /// [`Error::MissingModel`].
    pub(crate) fn autoencoder(&self, models: &Models) -> Result<Option<Autoencoder>> {
        self.model(Predictor::Autoencoder, models)?.map(|m| Ok(Autoencoder::new(&m))).transpose()
    }

    /// The mixing network, ready to run.
    ///
    /// # Errors
    /// [`Error::MissingModel`]; [`Error::Model`] where it is of another kind.
    pub(crate) fn mixing_network(&self, models: &Models) -> Result<Option<MixingNetwork>> {
        self.model(Predictor::Mixing, models)?.map(|m| MixingNetwork::new(&m)).transpose()
    }

    fn learned(&self) -> impl Iterator<Item = Predictor> {
        learned(self.predictors)
    }

    fn model(&self, predictor: Predictor, models: &Models) -> Result<Option<Arc<Model>>> {
        let named = self.learned().zip(&self.models).find(|(p, _)| *p == predictor);
        named.map(|(_, id)| models.by_id(*id)).transpose()
    }
}
