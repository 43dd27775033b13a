//! The autoencoder as a predictor: a block's coefficients, decoded from its latents, which are
//! coarsely quantised.
//!
//! It is one candidate of the mode decision for each block (AE-SZ, Liu et al. 2021, chooses between
//! autoencoder and Lorenzo predictor in this way). Networks run on 16 blocks at once, so the
//! latents of a tile stand in front of its other decisions: a reader decodes them all first.

use crate::blocks::{Block, VALUES, deviation, gather, mean};
use crate::element::Element;
use crate::engine::{Engine, LANES, Lanes};
use crate::entropy::range_coder::{BitModel, Coder, Reader, Writer};
use crate::legendre::forward;
use crate::model::Model;
use crate::network::Network;
use crate::order::Entry;
use crate::quantum::quarter_octaves;
use crate::view::FieldView;

/// Latents are stored in steps of this.
const STEP: f32 = 0.125;
/// … of at most so many.
const MOST: i32 = 1 << 10;
/// Scales are stored in quarters of octaves of the quantum, within ± this.
const SCALES: i32 = 2000;
/// Outside this range of deviations, in quanta, a block is no candidate: below, hardly anything is
/// left to predict; above, what the network leaves is too much.
const WORTH: std::ops::Range<f64> = 0.25..64.0;

/// What is stored of a block.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LatentCode {
    /// log₂ of its deviation in quanta, times 4.
    scale: i32,
    /// Latents in steps.
    latents: Vec<i32>,
}

/// A block's latents, and the coefficients that they predict: all but the first.
pub(crate) struct LatentPrediction {
    pub(crate) code: LatentCode,
    pub(crate) coefficients: Box<Block>,
}

impl LatentPrediction {
    /// An estimate of the bits that the code takes.
    pub(crate) fn cost(&self) -> f32 {
        let latent = |&z: &i32| 2.2 + 1.6 * (1.0 + z.abs() as f32).log2();
        8.0 + self.code.latents.iter().map(latent).sum::<f32>()
    }
}

/// An autoencoder, ready to run.
pub(crate) struct Autoencoder {
    encoder: Option<Network>,
    decoder: Network,
    latents: usize,
}

impl Autoencoder {
    pub(crate) fn new(model: &Model) -> Self {
        Self {
            encoder: Network::encoder(model).ok(),
            decoder: Network::decoder(model),
            latents: model.metadata.architecture.latent,
        }
    }

    /// Predictions for the blocks that are worth one, by entry.
    pub(crate) fn predictions<T: Element>(
        &self,
        engine: Engine,
        entries: &[Entry],
        pieces: &[FieldView<'_, T>],
        quantum: f64,
    ) -> Vec<Option<LatentPrediction>> {
        let mut out: Vec<Option<LatentPrediction>> = entries.iter().map(|_| None).collect();
        let Some(encoder) = &self.encoder else { return out };
        let mut worth = Vec::new();
        for (i, entry) in entries.iter().enumerate() {
            let block = gather(&pieces[entry.piece], entry.place);
            let mean = mean(&block);
            let scale = deviation(&block, mean) / quantum;
            if WORTH.contains(&scale) {
                let scale = ((4.0 * scale.log2()).round() as i32).clamp(-SCALES, SCALES);
                worth.push((i, scale, mean, block));
            }
        }
        for some in worth.chunks(LANES) {
            let mut input = vec![Lanes::ZERO; VALUES];
            for (lane, (_, scale, mean, block)) in some.iter().enumerate() {
                let size = quantum * quarter_octaves(*scale);
                for (x, v) in input.iter_mut().zip(block) {
                    x.0[lane] = ((v - mean) / size) as f32;
                }
            }
            let latents = encoder.run(engine, &input);
            let code = |lane: usize, scale: i32| {
                let steps = latents.iter().map(|z| (z.0[lane] / STEP).round() as i32);
                LatentCode { scale, latents: steps.map(|n| n.clamp(-MOST, MOST)).collect() }
            };
            let codes: Vec<LatentCode> =
                some.iter().enumerate().map(|(lane, (_, scale, ..))| code(lane, *scale)).collect();
            let coefficients = self.coefficients(engine, &codes.iter().collect::<Vec<_>>(), quantum);
            for (((i, ..), code), coefficients) in some.iter().zip(codes).zip(coefficients) {
                out[*i] = Some(LatentPrediction { code, coefficients });
            }
        }
        out
    }

    /// What latents predict. A coefficient is the forward transform (as the inverse: along z, y, x,
    /// with fused multiply-adds in ascending order) of scale · output of the network; the first one
    /// is 0.
    fn coefficients(&self, engine: Engine, codes: &[&LatentCode], quantum: f64) -> Vec<Box<Block>> {
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
                let size = quantum * quarter_octaves(code.scale);
                let values = std::array::from_fn(|i| size * f64::from(decoded[i].0[lane]));
                let mut coefficients = Box::new([0.0; VALUES]);
                forward(engine, &values, &mut coefficients);
                coefficients[0] = 0.0;
                out.push(coefficients);
            }
        }
        out
    }

    /// Codes as bytes, by entry.
    pub(crate) fn write(&self, codes: &[Option<LatentCode>]) -> Vec<u8> {
        if codes.iter().all(Option::is_none) {
            return Vec::new();
        }
        let mut writer = Writer::new();
        self.code(&mut writer, codes.len(), |i| codes[i].as_ref());
        writer.finish()
    }

    /// What the latents of a tile predict, by entry.
    pub(crate) fn read(
        &self,
        engine: Engine,
        bytes: &[u8],
        entries: usize,
        quantum: f64,
    ) -> Vec<Option<Box<Block>>> {
        if bytes.is_empty() {
            return (0..entries).map(|_| None).collect();
        }
        let codes = self.code(&mut Reader::new(bytes), entries, |_| None);
        let mut coefficients =
            self.coefficients(engine, &codes.iter().flatten().collect::<Vec<_>>(), quantum).into_iter();
        codes.into_iter().map(|code| code.and_then(|_| coefficients.next())).collect()
    }

    pub(crate) fn code<'a, C: Coder>(
        &self,
        coder: &mut C,
        entries: usize,
        truth: impl Fn(usize) -> Option<&'a LatentCode>,
    ) -> Vec<Option<LatentCode>> {
        let mut flags = [BitModel::NEW; 4];
        let mut scales = [BitModel::NEW; 34];
        let mut latents = vec![[BitModel::NEW; 34]; self.latents];
        let (mut before, mut scale) = (0, 0);
        let mut out = Vec::with_capacity(entries);
        for number in 0..entries {
            let code = truth(number);
            let there = coder.bit(&mut flags[before], code.is_some());
            before = (before << 1 | usize::from(there)) & 3;
            if !there {
                out.push(None);
                continue;
            }
            let change = code.map_or(0, |c| c.scale.saturating_sub(scale));
            let change = coder.signed(&mut scales, change).clamp(-2 * SCALES, 2 * SCALES);
            scale = scale.saturating_add(change).clamp(-SCALES, SCALES);
            let steps = latents.iter_mut().enumerate().map(|(i, models)| {
                let n = code.map_or(0, |c| c.latents[i]);
                coder.signed(models, n).clamp(-MOST, MOST)
            });
            out.push(Some(LatentCode { scale, latents: steps.collect() }));
        }
        out
    }
}
