//! Latent mode: a block is stored as the encoder's latents and its mean and standard deviation,
//! nothing else.
//!
//! A tile has the norms of its blocks, then the latents of those that have any, then the values of
//! the others. The rate is fixed (with 16 latents in f16: 40 bytes a block of float32, 44 of float64) and no
//! error is promised. Blocks that the network has no business with keep their values: constant
//! blocks by their one value, blocks with NaN, infinities or a value range outside the range of
//! float32 by all of them. The bytes are laid out in docs/format.md.

use crate::blocks::{BlockGrid, VALUES, deviation, gather, mean};
use crate::device::Device;
use crate::element::Element;
use crate::engine::{Engine, LANES, Lanes};
use crate::error::{Error, Result};
use crate::memory;
use crate::model::{Model, ModelId};
use crate::models::Models;
use crate::network::Network;
use crate::threads;
use crate::tiling::{Piece, Window, tiles};
use crate::view::FieldView;
use crate::wire::{ByteReader, write_varint};
use half::f16;
use std::array::from_fn;

/// How a latent is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[repr(u8)]
pub enum LatentCoding {
    /// As the network gave it, 4 bytes.
    F32 = 0,
    /// Rounded to binary16, 2 bytes.
    #[default]
    F16 = 1,
    /// 256 levels between the least and the greatest value of that latent in the box, 1 byte.
    U8 = 2,
}

impl LatentCoding {
    /// Bytes per latent.
    pub const fn size(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
            Self::U8 => 1,
        }
    }

    /// The name that options take: `f32`, `f16`, `u8`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::U8 => "u8",
        }
    }

    /// The coding of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::F32, Self::F16, Self::U8].into_iter().find(|c| c.name() == name)
    }

    fn from_tag(tag: u8) -> Result<Self> {
        [Self::F32, Self::F16, Self::U8]
            .into_iter()
            .find(|&c| c as u8 == tag)
            .ok_or_else(|| Error::Newer(format!("latent coding {tag}")))
    }
}

/// What is stored of a block before its latents; `scale` tells its kind.
#[derive(Clone, Copy)]
struct Norm<T> {
    offset: T,
    scale: f32,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// `scale` is 0: every value is `offset`.
    Constant,
    /// `scale` is a normal positive number: value = offset + scale · decoded.
    Coded,
    /// `scale` is NaN: the values follow as they are.
    Raw,
}

impl<T: Element> Norm<T> {
    const RAW: f32 = f32::NAN;

    fn of(view: &FieldView<'_, T>, grid: &BlockGrid, block: usize) -> Self {
        let place = grid.block(block);
        let first = view.get(place.start);
        if place.values().all(|(_, at)| view.get(at).same_bits(first)) {
            return Self { offset: first, scale: 0.0 };
        }
        let values = gather(view, place);
        let offset = T::from_f64(mean(&values));
        let mean = offset.to_f64();
        let scale = deviation(&values, mean) as f32;
        // A sum, a product or a padded value that overflowed shows here too.
        if mean.is_finite() && scale.is_normal() {
            Self { offset, scale }
        } else {
            Self { offset: T::default(), scale: Self::RAW }
        }
    }

    fn kind(self) -> Result<Kind> {
        if self.scale == 0.0 {
            Ok(Kind::Constant)
        } else if self.scale.is_nan() {
            Ok(Kind::Raw)
        } else if self.scale.is_normal() && self.scale > 0.0 && self.offset.to_f64().is_finite() {
            Ok(Kind::Coded)
        } else {
            Err(Error::Stream(format!("a block's scale is {}", self.scale)))
        }
    }
}

/// Encodes a box with a model: what the head of its stream says of the mode, and the tiles.
///
/// # Errors
/// [`Error::Model`] where the model has no encoder.
pub(crate) fn encode<T: Element>(
    view: &FieldView<'_, T>,
    model: &Model,
    coding: LatentCoding,
    device: &Device,
) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let tiles = tiles(&[view.count()]);
    let parts: Vec<_> = tiles.iter().flatten().map(|piece| view.part(piece.start, piece.count)).collect();
    let blocks: usize = parts.iter().map(|part| BlockGrid::new(part.count()).len()).sum();
    let tasks = parts.len().max(blocks.div_ceil(LANES));
    threads::call(tasks, || encode_tiles(&parts, blocks, model, coding, device))
}

#[allow(clippy::arithmetic_side_effects, reason = "an encoder counts its own blocks")]
fn encode_tiles<T: Element>(
    parts: &[FieldView<'_, T>],
    blocks: usize,
    model: &Model,
    coding: LatentCoding,
    device: &Device,
) -> Result<(Vec<u8>, Vec<Vec<u8>>)> {
    let latent = model.metadata.architecture.latent;
    // Norms, places of blocks, and latents, which are there twice for a moment.
    let of_a_block = size_of::<Norm<T>>() + size_of::<[usize; 2]>() + 2 * latent * size_of::<f32>();
    memory::room(blocks * of_a_block)?;
    let norms_of = |part: &FieldView<'_, T>| {
        let grid = BlockGrid::new(part.count());
        (0..grid.len()).map(|block| Norm::of(part, &grid, block)).collect::<Vec<_>>()
    };
    let norms: Vec<Vec<Norm<T>>> = threads::map(parts, norms_of);
    let of_kind = |tile: usize, kind| {
        let norms = &norms[tile];
        (0..norms.len()).filter(move |&block| norms[block].kind().is_ok_and(|k| k == kind))
    };
    let coded = (0..parts.len()).flat_map(|tile| of_kind(tile, Kind::Coded).map(move |block| (tile, block)));
    let coded: Vec<_> = coded.collect();
    let normal = |i: usize| {
        let (tile, block) = coded[i];
        let (part, Norm { offset, scale }) = (&parts[tile], norms[tile][block]);
        let place = BlockGrid::new(part.count()).block(block);
        gather(part, place).map(|v| ((v - offset.to_f64()) / f64::from(scale)) as f32)
    };
    let latents = latents(model, coded.len(), normal, device)?;
    let levels = if coding == LatentCoding::U8 { levels(&latents, latent) } else { Vec::new() };
    let mut left = &latents[..];
    let mut tiles = Vec::new();
    for (tile, (part, norms)) in parts.iter().zip(&norms).enumerate() {
        let latents;
        (latents, left) = left.split_at(of_kind(tile, Kind::Coded).count() * latent);
        let grid = BlockGrid::new(part.count());
        let raw: usize = of_kind(tile, Kind::Raw).map(|block| grid.block(block).len()).sum();
        let of_a_norm = size_of::<T>() + size_of::<f32>();
        let size = norms.len() * of_a_norm + latents.len() * coding.size() + raw * size_of::<T>();
        let mut out = memory::with_capacity(size)?;
        norms.iter().for_each(|n| n.offset.write_le(&mut out));
        norms.iter().for_each(|n| n.scale.write_le(&mut out));
        write_latents(latents, coding, &levels, &mut out);
        for block in of_kind(tile, Kind::Raw) {
            grid.block(block).values().for_each(|(_, at)| part.get(at).write_le(&mut out));
        }
        tiles.push(out);
    }
    let mut preamble = Vec::new();
    Preamble { coding, model: model.id(), levels }.write(&mut preamble);
    Ok((preamble, tiles))
}

/// What the head of a stream says of latents.
pub(crate) struct Preamble {
    pub(crate) coding: LatentCoding,
    pub(crate) model: ModelId,
    /// With eight-bit coding the least value of each latent, and the step between two.
    levels: Vec<[f32; 2]>,
}

impl Preamble {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(self.coding as u8);
        out.extend_from_slice(&self.model.0);
        if self.coding == LatentCoding::U8 {
            write_varint(self.levels.len() as u64, out);
            self.levels.iter().flatten().for_each(|v| v.write_le(out));
        }
    }

    pub(crate) fn read(reader: &mut ByteReader<'_>) -> Result<Self> {
        let coding = LatentCoding::from_tag(reader.array::<1>()?[0])?;
        let model = ModelId(reader.array()?);
        let count = if coding == LatentCoding::U8 { reader.size()?.saturating_mul(2) } else { 0 };
        let levels = reader.values::<f32>(count)?.chunks_exact(2).map(|level| [level[0], level[1]]).collect();
        Ok(Self { coding, model, levels })
    }
}

/// The latents of so many blocks, one block after the other; `normal` gives a block's values, x
/// fastest.
#[allow(clippy::arithmetic_side_effects, reason = "an encoder counts its own blocks")]
fn latents(
    model: &Model,
    count: usize,
    normal: impl Fn(usize) -> [f32; VALUES] + Sync,
    device: &Device,
) -> Result<Vec<f32>> {
    if let Some(latents) = device.latents(model, count, &normal) {
        return Ok(latents);
    }
    let encoder = Network::encoder(model)?;
    let engine = Engine::best()?;
    let run = |batch: usize| {
        let first = batch * LANES;
        let blocks = LANES.min(count - first);
        let mut input = vec![Lanes::ZERO; VALUES];
        for lane in 0..blocks {
            input.iter_mut().zip(normal(first + lane)).for_each(|(x, v)| x.0[lane] = v);
        }
        let output = encoder.run(engine, &input);
        let output = &output;
        (0..blocks).flat_map(|lane| output.iter().map(move |z| z.0[lane])).collect::<Vec<_>>()
    };
    let batches = threads::map(0..count.div_ceil(LANES), run);
    memory::collect(count * model.metadata.architecture.latent, batches.into_iter().flatten())
}

/// The least value of each latent, and the step between two of 256 levels.
fn levels(latents: &[f32], latent: usize) -> Vec<[f32; 2]> {
    let level = |i: usize| {
        let column = latents.iter().skip(i).step_by(latent);
        let (lo, hi) = column.fold((f32::MAX, f32::MIN), |(lo, hi), &z| (lo.min(z), hi.max(z)));
        if lo > hi { [0.0; 2] } else { [lo, (hi - lo) / 255.0] }
    };
    (0..latent).map(level).collect()
}

fn write_latents(latents: &[f32], coding: LatentCoding, levels: &[[f32; 2]], out: &mut Vec<u8>) {
    match coding {
        LatentCoding::F32 => latents.iter().for_each(|z| z.write_le(out)),
        LatentCoding::F16 => latents.iter().for_each(|&z| {
            // Latents lie near N(0, 1); a stray one is clamped rather than becoming infinite.
            let z = f16::from_f32(z.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
            out.extend_from_slice(&z.to_le_bytes());
        }),
        LatentCoding::U8 => out.extend(
            latents
                .iter()
                .zip(levels.iter().cycle())
                .map(|(z, &[lo, step])| if step > 0.0 { ((z - lo) / step).round() as u8 } else { 0 }),
        ),
    }
}

fn read_latents(
    reader: &mut ByteReader<'_>,
    count: usize,
    coding: LatentCoding,
    levels: &[[f32; 2]],
) -> Result<Vec<f32>> {
    let latents: Vec<f32> = match coding {
        LatentCoding::F32 => reader.values(count)?,
        LatentCoding::F16 => {
            let bytes = reader.take(count, 2)?;
            bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        LatentCoding::U8 => {
            let codes = reader.take(count, 1)?.iter().zip(levels.iter().cycle());
            codes.map(|(&code, &[lo, step])| f32::from(code).mul_add(step, lo)).collect()
        }
    };
    if latents.iter().all(|z| z.is_finite()) {
        Ok(latents)
    } else {
        Err(Error::Stream("a latent is not finite".into()))
    }
}

/// What all tiles of a stream share.
pub(crate) struct Decoder {
    coding: LatentCoding,
    levels: Vec<[f32; 2]>,
    network: Network,
    /// Latents of a block.
    latent: usize,
    engine: Engine,
}

impl Decoder {
    /// For a stream with this preamble.
    ///
    /// # Errors
    /// [`Error::MissingModel`] where its model is not known; [`Error::Stream`] where it is damaged.
    pub(crate) fn new(preamble: Preamble, models: &Models) -> Result<Self> {
        let Preamble { coding, model, levels } = preamble;
        let model = models.by_id(model)?;
        let latent = model.metadata.architecture.latent;
        if coding == LatentCoding::U8 && levels.len() != latent {
            return Err(Error::Stream(format!("levels of {} latents, not of {latent}", levels.len())));
        }
        Ok(Self { coding, levels, network: Network::decoder(&model), latent, engine: Engine::best()? })
    }

    /// Decodes what the windows of a tile need of its bytes.
    ///
    /// # Errors
    /// [`Error::Stream`] where they are damaged.
    pub(crate) fn tile<T: Element>(
        &self,
        bytes: &[u8],
        pieces: &[Piece],
        windows: &mut [Window<'_, T>],
    ) -> Result<()> {
        let mut reader = ByteReader::new(bytes);
        for (piece, window) in pieces.iter().zip(windows) {
            self.piece(&mut reader, &BlockGrid::new(piece.count), window)?;
        }
        reader.finish()
    }

    fn piece<T: Element>(
        &self,
        reader: &mut ByteReader<'_>,
        grid: &BlockGrid,
        window: &mut Window<'_, T>,
    ) -> Result<()> {
        let offsets = reader.values::<T>(grid.len())?;
        let scales = reader.values::<f32>(grid.len())?;
        let norms = offsets.into_iter().zip(scales).map(|(offset, scale)| Norm { offset, scale });
        let norms: Vec<Norm<T>> = norms.collect();
        let kinds: Vec<Kind> = norms.iter().map(|n| n.kind()).collect::<Result<_>>()?;
        let coded = kinds.iter().filter(|&&k| k == Kind::Coded).count();
        let latents = read_latents(reader, coded.saturating_mul(self.latent), self.coding, &self.levels)?;
        let mut latents = latents.chunks_exact(self.latent);
        let mut wanted = Vec::new();
        for (i, (norm, kind)) in norms.iter().zip(kinds).enumerate() {
            let place = grid.block(i);
            match kind {
                Kind::Constant => window.put(place, &[norm.offset; VALUES]),
                Kind::Raw => {
                    let values = reader.take(place.len(), T::DTYPE.size())?;
                    let mut block = [T::default(); VALUES];
                    let places = place.values().zip(values.chunks_exact(T::DTYPE.size()));
                    places.for_each(|((i, _), v)| block[i] = T::read_le(v));
                    window.put(place, &block);
                }
                Kind::Coded => wanted.extend(latents.next().filter(|_| window.needs(place)).map(|z| (i, z))),
            }
        }
        for blocks in wanted.chunks(LANES) {
            let mut input = vec![Lanes::ZERO; self.latent];
            for (lane, (_, z)) in blocks.iter().enumerate() {
                input.iter_mut().zip(*z).for_each(|(x, &z)| x.0[lane] = z);
            }
            let decoded = self.network.run(self.engine, &input);
            for (lane, &(i, _)) in blocks.iter().enumerate() {
                let Norm { offset, scale } = norms[i];
                let block = from_fn(|i| T::denormalise(offset, scale, decoded[i].0[lane]));
                window.put(grid.block(i), &block);
            }
        }
        Ok(())
    }
}
