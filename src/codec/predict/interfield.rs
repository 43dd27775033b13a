//! Inter-field prediction: the evolution equations tie the fields of a step together, and a field's
//! change is nearly a sum of multiples of the changes and values of others.
//!
//! The prediction of a coefficient, in this order and with one rounding each: the previous step,
//! `own[0]` times its change since the step before that, `own[1]` times itself; and of each
//! reference field its change since the previous step and its value there, times its two weights.
//! The weights are fitted by least squares to the step itself, and are the same for all blocks;
//! sparse sums of this kind are what SINDy (Brunton, Proctor and Kutz, PNAS 113, 2016) finds
//! equations of motion with.

use super::reference::{ReferenceStep, ReferenceTile, block_of};
use crate::blocks::{Block, VALUES};
use crate::element::Element;
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::wire::{ByteReader, combined_checksum, write_varint};
use std::cell::OnceCell;

/// A field of the same step that another is predicted from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ReferenceField {
    pub(crate) name: String,
    pub(crate) weights: [f32; 2],
}

/// How a field is predicted from others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct InterField {
    pub(crate) own: [f32; 2],
    pub(crate) reference_fields: Vec<ReferenceField>,
    /// Checksum of the checksums of their streams.
    pub(crate) checksum: u32,
}

/// No field has more reference fields.
const MOST: usize = 64;

/// A weight as a stream holds it: the upper 24 bits.
pub(crate) fn stored(weight: f64) -> f32 {
    f32::from_bits((weight as f32).to_bits() & !0xff)
}

fn write_weights(weights: [f32; 2], out: &mut Vec<u8>) {
    weights.iter().for_each(|w| out.extend_from_slice(&w.to_bits().to_le_bytes()[1..]));
}

fn read_weights(reader: &mut ByteReader<'_>) -> Result<[f32; 2]> {
    let mut weight = || {
        let [a, b, c] = reader.array()?;
        let weight = f32::from_le_bytes([0, a, b, c]);
        weight.is_finite().then_some(weight).ok_or_else(|| Error::Stream("impossible weight".into()))
    };
    Ok([weight()?, weight()?])
}

impl InterField {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        write_varint(self.reference_fields.len() as u64, out);
        for ReferenceField { name, weights } in &self.reference_fields {
            write_varint(name.len() as u64, out);
            out.extend_from_slice(name.as_bytes());
            write_weights(*weights, out);
        }
        write_weights(self.own, out);
        out.extend_from_slice(&self.checksum.to_le_bytes());
    }

    pub(crate) fn read(reader: &mut ByteReader<'_>) -> Result<Self> {
        let count = reader.size()?;
        if count == 0 || count > MOST {
            return Err(Error::Stream(format!("impossible number of reference fields {count}")));
        }
        let mut reference_field = || {
            let name = std::str::from_utf8(reader.part()?);
            let name = name.map_err(|_| Error::Stream("impossible name".into()))?.into();
            Ok(ReferenceField { name, weights: read_weights(reader)? })
        };
        let reference_fields = (0..count).map(|_| reference_field()).collect::<Result<_>>()?;
        Ok(Self {
            reference_fields,
            own: read_weights(reader)?,
            checksum: u32::from_le_bytes(reader.array()?),
        })
    }

    /// The steps of the reference fields, in their order; `given` are the fields of the step that
    /// are decoded already.
    ///
    /// # Errors
    /// [`Error::Stream`] where one is missing or is of another step.
    pub(crate) fn find<'a, T: Element>(
        &self,
        boxes: &[[usize; 3]],
        given: &[(&str, Option<&'a ReferenceStep<T>>)],
    ) -> Result<Vec<&'a ReferenceStep<T>>> {
        let find = |field: &ReferenceField| {
            let found = given.iter().find(|(name, _)| *name == field.name);
            let step = found.and_then(|(_, step)| *step).filter(|step| step.boxes == boxes);
            step.ok_or_else(|| {
                Error::Stream(format!(
                    "it is predicted from the field '{}' of the same step, which was not decoded before it",
                    field.name
                ))
            })
        };
        let found = self.reference_fields.iter().map(find).collect::<Result<Vec<_>>>()?;
        if combined_checksum(found.iter().map(|step| step.checksum)) != self.checksum {
            let names: Vec<_> = self.reference_fields.iter().map(|field| &field.name[..]).collect();
            let names = names.join("', '");
            return Err(Error::Stream(format!(
                "it is predicted from '{names}' of the same step, and what was decoded is of another"
            )));
        }
        Ok(found)
    }
}

/// Coefficients of a tile in the last step of a field and in the one before, which may be the same.
#[derive(Clone, Copy)]
struct Sources<'a, T> {
    now: &'a [T],
    then: &'a [T],
}

impl<'a, T> Sources<'a, T> {
    fn of(tile: &'a ReferenceTile<T>) -> Self {
        Self { now: &tile.latest, then: tile.before_or_latest() }
    }
}

/// What other fields say of a tile; each block is computed when it is asked for.
pub(crate) struct InterFieldPrediction<'a, T> {
    inter_field: &'a InterField,
    own: Sources<'a, T>,
    reference_fields: Vec<Sources<'a, T>>,
    blocks: Vec<OnceCell<Box<Block>>>,
}

impl<'a, T: Element> InterFieldPrediction<'a, T> {
    /// From a tile of the previous step, and the same tile of each reference field.
    pub(crate) fn new(
        inter_field: &'a InterField,
        own: &'a ReferenceTile<T>,
        reference_fields: impl Iterator<Item = &'a ReferenceTile<T>>,
    ) -> Self {
        let own = Sources::of(own);
        let blocks = vec![OnceCell::new(); own.now.len() / VALUES];
        Self { inter_field, own, reference_fields: reference_fields.map(Sources::of).collect(), blocks }
    }

    pub(crate) fn block(&self, engine: Engine, number: usize) -> &Block {
        self.blocks[number].get_or_init(|| {
            let mut out = Box::new([0.0; VALUES]);
            let of = |s: &Sources<'a, T>| [s.now, s.then].map(|all| block_of(all, number));
            let [now, then] = of(&self.own);
            begin(engine, &mut out, now, then, self.inter_field.own.map(f64::from));
            for (sources, reference_field) in
                self.reference_fields.iter().zip(&self.inter_field.reference_fields)
            {
                let [now, then] = of(sources);
                add(engine, &mut out, now, then, reference_field.weights.map(f64::from));
            }
            if !out.iter().all(|v| v.is_finite()) {
                out.fill(0.0);
            }
            out
        })
    }
}

crate::engine::for_engines! {
    fn begin<T: Element>(out: &mut Block, now: &Block<T>, then: &Block<T>, weights: [f64; 2]) {
        for k in 0..VALUES {
            let (now, then) = (now[k].to_f64(), then[k].to_f64());
            out[k] = weights[1].mul_add(now, weights[0].mul_add(now - then, now));
        }
    }
}

crate::engine::for_engines! {
    fn add<T: Element>(out: &mut Block, now: &Block<T>, then: &Block<T>, weights: [f64; 2]) {
        for k in 0..VALUES {
            let (now, then) = (now[k].to_f64(), then[k].to_f64());
            out[k] = weights[1].mul_add(then, weights[0].mul_add(now - then, out[k]));
        }
    }
}
