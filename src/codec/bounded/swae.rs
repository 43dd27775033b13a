//! The network as a predictor: a block's latents, coarsely quantised, foretell its coefficients.
//!
//! It competes with the other predictors block by block (AE-SZ, Liu et al. 2021, chooses between autoencoder and Lorenzo
//! predictor in this way). Networks run on 16 blocks at once, so the latents of a tile stand in front of its other
//! decisions: a reader decodes them all first.

use super::entropy::{Bit, Coder, Reader, Writer};
use super::legendre::{Block, forward};
use super::symbols::quarter_octaves;
use super::tile::Turn;
use crate::blocks::{VALUES, deviation, gather, mean};
use crate::engine::{Engine, LANES, Lanes};
use crate::network::Network;
use crate::{FieldView, Model, Value};

/// Latents are stored in steps of this.
const STEP: f32 = 0.125;
/// … of at most so many.
const MOST: i32 = 1 << 10;
/// Scales are stored in quarters of octaves of the unit, within ± this.
const SCALES: i32 = 2000;
/// Outside this range of deviations, in units, a block is no candidate: below, hardly anything is left to predict; above, what
/// the network leaves is too much.
const WORTH: std::ops::Range<f64> = 0.25..64.0;

/// What is stored of a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Code {
    /// log₂ of its deviation in units, times 4.
    scale: i32,
    /// Latents in steps.
    latents: Vec<i32>,
}

/// A block's code, and the coefficients that it foretells: all but the first.
pub(crate) struct Guess {
    pub(crate) code: Code,
    pub(crate) coefficients: Box<Block>,
}

impl Guess {
    /// An estimate of the bits that the code takes.
    pub(crate) fn cost(&self) -> f32 {
        let latent = |&z: &i32| 2.2 + 1.6 * (1.0 + z.abs() as f32).log2();
        8.0 + self.code.latents.iter().map(latent).sum::<f32>()
    }
}

/// A model, ready to run.
pub(crate) struct Predictor {
    encoder: Option<Network>,
    decoder: Network,
    latents: usize,
}

impl Predictor {
    pub(crate) fn new(model: &Model) -> Self {
        Self {
            encoder: Network::encoder(model).ok(),
            decoder: Network::decoder(model),
            latents: model.metadata.architecture.latent,
        }
    }

    /// Guesses for the blocks that are worth one, by turn.
    pub(crate) fn guesses<T: Value>(
        &self,
        engine: Engine,
        turns: &[Turn],
        pieces: &[FieldView<'_, T>],
        unit: f64,
    ) -> Vec<Option<Guess>> {
        let mut out: Vec<Option<Guess>> = turns.iter().map(|_| None).collect();
        let Some(encoder) = &self.encoder else { return out };
        let mut worth = Vec::new();
        for (i, turn) in turns.iter().enumerate() {
            let block = gather(&pieces[turn.piece], turn.place);
            let mean = mean(&block);
            let scale = deviation(&block, mean) / unit;
            if WORTH.contains(&scale) {
                let scale = ((4.0 * scale.log2()).round() as i32).clamp(-SCALES, SCALES);
                worth.push((i, scale, mean, block));
            }
        }
        for some in worth.chunks(LANES) {
            let mut input = vec![Lanes::ZERO; VALUES];
            for (lane, (_, scale, mean, block)) in some.iter().enumerate() {
                let size = unit * quarter_octaves(*scale);
                for (x, v) in input.iter_mut().zip(block) {
                    x.0[lane] = ((v - mean) / size) as f32;
                }
            }
            let latents = encoder.run(engine, &input);
            let code = |lane: usize, scale: i32| {
                let steps = latents.iter().map(|z| (z.0[lane] / STEP).round() as i32);
                Code { scale, latents: steps.map(|n| n.clamp(-MOST, MOST)).collect() }
            };
            let codes: Vec<Code> =
                some.iter().enumerate().map(|(lane, (_, scale, ..))| code(lane, *scale)).collect();
            let coefficients = self.coefficients(engine, &codes.iter().collect::<Vec<_>>(), unit);
            for (((i, ..), code), coefficients) in some.iter().zip(codes).zip(coefficients) {
                out[*i] = Some(Guess { code, coefficients });
            }
        }
        out
    }

    /// What codes foretell. A coefficient is the forward transform (as the inverse: along z, y, x, with fused
    /// multiply-adds in ascending order) of scale · output of the network; the first one is 0.
    fn coefficients(&self, engine: Engine, codes: &[&Code], unit: f64) -> Vec<Box<Block>> {
        let mut out = Vec::with_capacity(codes.len());
        for some in codes.chunks(LANES) {
            let mut input = vec![Lanes::ZERO; self.latents];
            for (lane, code) in some.iter().enumerate() {
                for (x, &n) in input.iter_mut().zip(&code.latents) {
                    x.0[lane] = n as f32 * STEP;
                }
            }
            let decoded = self.decoder.run(engine, &input);
            for (lane, code) in some.iter().enumerate() {
                let size = unit * quarter_octaves(code.scale);
                let values = std::array::from_fn(|i| size * f64::from(decoded[i].0[lane]));
                let mut coefficients = Box::new([0.0; VALUES]);
                forward(engine, &values, &mut coefficients);
                coefficients[0] = 0.0;
                out.push(coefficients);
            }
        }
        out
    }

    /// Codes as bytes, by turn.
    pub(crate) fn write(&self, codes: &[Option<Code>]) -> Vec<u8> {
        if codes.iter().all(Option::is_none) {
            return Vec::new();
        }
        let mut writer = Writer::new();
        self.code(&mut writer, codes.len(), |i| codes[i].as_ref());
        writer.finish()
    }

    /// What the codes of a tile foretell, by turn.
    pub(crate) fn read(
        &self,
        engine: Engine,
        bytes: &[u8],
        turns: usize,
        unit: f64,
    ) -> Vec<Option<Box<Block>>> {
        if bytes.is_empty() {
            return (0..turns).map(|_| None).collect();
        }
        let codes = self.code(&mut Reader::new(bytes), turns, |_| None);
        let mut coefficients =
            self.coefficients(engine, &codes.iter().flatten().collect::<Vec<_>>(), unit).into_iter();
        codes.into_iter().map(|code| code.and_then(|_| coefficients.next())).collect()
    }

    fn code<'a, C: Coder>(
        &self,
        coder: &mut C,
        turns: usize,
        truth: impl Fn(usize) -> Option<&'a Code>,
    ) -> Vec<Option<Code>> {
        let mut flags = [Bit::NEW; 4];
        let mut scales = [Bit::NEW; 34];
        let mut latents = vec![[Bit::NEW; 34]; self.latents];
        let (mut before, mut scale) = (0, 0);
        let mut out = Vec::with_capacity(turns);
        for turn in 0..turns {
            let code = truth(turn);
            let there = coder.bit(&mut flags[before], code.is_some());
            before = (before << 1 | usize::from(there)) & 3;
            if !there {
                out.push(None);
                continue;
            }
            let change = code.map_or(0, |c| c.scale - scale);
            let change = coder.signed(&mut scales, change).clamp(-2 * SCALES, 2 * SCALES);
            scale = (scale + change).clamp(-SCALES, SCALES);
            let steps = latents.iter_mut().enumerate().map(|(i, models)| {
                let n = code.map_or(0, |c| c.latents[i]);
                coder.signed(models, n).clamp(-MOST, MOST)
            });
            out.push(Some(Code { scale, latents: steps.collect() }));
        }
        out
    }
}
