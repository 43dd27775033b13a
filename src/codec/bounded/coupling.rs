//! What fields of one step foretell of one another: the evolution equations tie them together, and a field's change is nearly
//! a sum of multiples of the changes and values of others.
//!
//! The prediction of a coefficient, in this order and with one rounding each: the step before, `own[0]` times its change since
//! the step before that, `own[1]` times itself; and of each companion its change since the step before and its value there,
//! times its two weights. The weights are fitted by least squares to the step itself, and are the same for all blocks; sparse
//! sums of this kind are what SINDy (Brunton, Proctor and Kutz, PNAS 113, 2016) finds equations of motion with.

use super::history::{Past, Remembered};
use super::legendre::Block;
use super::tile::PastTile;
use crate::blocks::VALUES;
use crate::engine::Engine;
use crate::stream::{Reader, write_varint};
use crate::{Error, History, Result, Value};
use std::cell::OnceCell;

/// A field of the same step that another leans on.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Companion {
    pub(crate) name: String,
    pub(crate) weights: [f32; 2],
}

/// How a field leans on others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Coupling {
    pub(crate) own: [f32; 2],
    pub(crate) companions: Vec<Companion>,
    /// Checksum of the checksums of the companions' streams.
    pub(crate) sum: u32,
}

/// No field leans on more.
const MOST: usize = 64;

/// A weight as a stream holds it: the upper 24 bits.
pub(crate) fn stored(weight: f64) -> f32 {
    f32::from_bits((weight as f32).to_bits() & !0xff)
}

fn write_weights(weights: [f32; 2], out: &mut Vec<u8>) {
    weights.iter().for_each(|w| out.extend_from_slice(&w.to_bits().to_le_bytes()[1..]));
}

fn read_weights(reader: &mut Reader<'_>) -> Result<[f32; 2]> {
    let mut weight = || {
        let [a, b, c] = reader.array()?;
        let weight = f32::from_le_bytes([0, a, b, c]);
        weight.is_finite().then_some(weight).ok_or_else(|| Error::Stream("impossible weight".into()))
    };
    Ok([weight()?, weight()?])
}

impl Coupling {
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        write_varint(self.companions.len() as u64, out);
        for Companion { name, weights } in &self.companions {
            write_varint(name.len() as u64, out);
            out.extend_from_slice(name.as_bytes());
            write_weights(*weights, out);
        }
        write_weights(self.own, out);
        out.extend_from_slice(&self.sum.to_le_bytes());
    }

    pub(crate) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let count = reader.size()?;
        if count == 0 || count > MOST {
            return Err(Error::Stream(format!("impossible number of companions {count}")));
        }
        let mut companion = || {
            let length = reader.size()?;
            let name = std::str::from_utf8(reader.take(length, 1)?);
            let name = name.map_err(|_| Error::Stream("impossible name".into()))?.into();
            Ok(Companion { name, weights: read_weights(reader)? })
        };
        let companions = (0..count).map(|_| companion()).collect::<Result<_>>()?;
        Ok(Self { companions, own: read_weights(reader)?, sum: u32::from_le_bytes(reader.array()?) })
    }

    /// The companions' last steps, in their order.
    ///
    /// # Errors
    /// [`Error::Stream`] where one is missing or is of another step.
    pub(crate) fn find<'a, T: Remembered>(
        &self,
        boxes: &[[usize; 3]],
        given: &'a [(String, History)],
    ) -> Result<Vec<&'a Past<T>>> {
        let find = |c: &Companion| {
            let found = given.iter().find(|(name, _)| *name == c.name);
            let past = found.and_then(|(_, history)| T::last(history)).filter(|past| past.boxes == boxes);
            past.ok_or_else(|| {
                Error::Stream(format!(
                    "it leans on the field '{}' of the same step, which was not decoded before it",
                    c.name
                ))
            })
        };
        let found = self.companions.iter().map(find).collect::<Result<Vec<_>>>()?;
        if sum(found.iter().map(|past| past.sum)) != self.sum {
            let names: Vec<_> = self.companions.iter().map(|c| &c.name[..]).collect();
            let names = names.join("', '");
            return Err(Error::Stream(format!(
                "it leans on '{names}' of the same step, and what was decoded is of another"
            )));
        }
        Ok(found)
    }
}

/// A checksum of checksums.
pub(crate) fn sum(sums: impl Iterator<Item = u32>) -> u32 {
    crc32fast::hash(&sums.flat_map(u32::to_le_bytes).collect::<Vec<_>>())
}

/// Coefficients of a tile in the last step of a field and in the one before, which may be the same.
#[derive(Clone, Copy)]
struct Sources<'a, T> {
    now: &'a [T],
    then: &'a [T],
}

impl<'a, T> Sources<'a, T> {
    fn of(past: &'a PastTile<T>) -> Self {
        let now = &past.newest;
        Self { now, then: past.before.as_ref().unwrap_or(now) }
    }
}

/// What other fields foretell of a tile; of a block when it is asked for.
pub(crate) struct Foretold<'a, T> {
    coupling: &'a Coupling,
    own: Sources<'a, T>,
    companions: Vec<Sources<'a, T>>,
    blocks: Vec<OnceCell<Box<Block>>>,
}

impl<'a, T: Value> Foretold<'a, T> {
    /// From a tile of the step before, and those of the companions' last steps.
    pub(crate) fn new(
        coupling: &'a Coupling,
        own: &'a PastTile<T>,
        companions: impl Iterator<Item = &'a PastTile<T>>,
    ) -> Self {
        let own = Sources::of(own);
        let blocks = vec![OnceCell::new(); own.now.len() / VALUES];
        Self { coupling, own, companions: companions.map(Sources::of).collect(), blocks }
    }

    pub(crate) fn block(&self, engine: Engine, number: usize) -> &Block {
        self.blocks[number].get_or_init(|| {
            let mut out = Box::new([0.0; VALUES]);
            let of = |s: &Sources<'a, T>| -> [&'a Block<T>; 2] {
                [s.now, s.then].map(|all| {
                    all[number * VALUES..]
                        .first_chunk()
                        .expect("tiles of the same boxes have the same blocks")
                })
            };
            let [now, then] = of(&self.own);
            begin(engine, &mut out, now, then, self.coupling.own.map(f64::from));
            for (sources, companion) in self.companions.iter().zip(&self.coupling.companions) {
                let [now, then] = of(sources);
                add(engine, &mut out, now, then, companion.weights.map(f64::from));
            }
            if !out.iter().all(|v| v.is_finite()) {
                out.fill(0.0);
            }
            out
        })
    }
}

crate::engine::for_engines! {
    fn begin<T: Value>(out: &mut Block, now: &Block<T>, then: &Block<T>, weights: [f64; 2]) {
        for k in 0..VALUES {
            let (now, then) = (now[k].to_f64(), then[k].to_f64());
            out[k] = weights[1].mul_add(now, weights[0].mul_add(now - then, now));
        }
    }
}

crate::engine::for_engines! {
    fn add<T: Value>(out: &mut Block, now: &Block<T>, then: &Block<T>, weights: [f64; 2]) {
        for k in 0..VALUES {
            let (now, then) = (now[k].to_f64(), then[k].to_f64());
            out[k] = weights[1].mul_add(then, weights[0].mul_add(now - then, out[k]));
        }
    }
}
