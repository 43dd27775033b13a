//! Latent mode: a block is stored as the encoder's latents and its mean and standard deviation,
//! nothing else.
//!
//! The rate is fixed (with 16 latents in f16: 40 bytes a block of float32, 44 of float64) and no
//! error is promised. Blocks that the network has no business with keep their values: constant
//! blocks by their one value, blocks with NaN, infinities or a value range outside the range of
//! float32 by all of them. The bytes are laid out in docs/format.md.

use crate::blocks::{BlockGrid, EDGE, VALUES, deviation, gather, mean};
use crate::device::Device;
use crate::element::Element;
use crate::engine::{Engine, LANES, Lanes};
use crate::error::{Error, Result};
use crate::memory;
use crate::model::{Model, ModelId};
use crate::models::Models;
use crate::network::Network;
use crate::threads;
use crate::view::FieldView;
use crate::wire::ByteReader;
use half::f16;
use std::ops::Range;

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

/// Encodes a box with a model.
///
/// # Errors
/// [`Error::Model`] where the model has no encoder.
pub fn encode<T: Element>(
    view: &FieldView<'_, T>,
    model: &Model,
    coding: LatentCoding,
    device: &Device,
) -> Result<Vec<u8>> {
    let grid = BlockGrid::new(view.count());
    let tasks = grid.len().div_ceil(LANES);
    threads::call(tasks, || encode_blocks(view, &grid, model, coding, device))
}

#[allow(clippy::arithmetic_side_effects, reason = "an encoder counts its own blocks")]
fn encode_blocks<T: Element>(
    view: &FieldView<'_, T>,
    grid: &BlockGrid,
    model: &Model,
    coding: LatentCoding,
    device: &Device,
) -> Result<Vec<u8>> {
    let latent = model.metadata.architecture.latent;
    // Norms, numbers of blocks, and latents, which are there twice for a moment.
    memory::room(grid.len() * (size_of::<Norm<T>>() + size_of::<usize>() + 2 * latent * size_of::<f32>()))?;
    let norms: Vec<Norm<T>> = threads::map(0..grid.len(), |block| Norm::of(view, grid, block));
    let of_kind = |kind| {
        let norms = &norms;
        (0..norms.len()).filter(move |&b| norms[b].kind().is_ok_and(|k| k == kind))
    };
    let coded: Vec<usize> = of_kind(Kind::Coded).collect();
    let normal = |i: usize| {
        let Norm { offset, scale } = norms[coded[i]];
        gather(view, grid.block(coded[i])).map(|v| ((v - offset.to_f64()) / f64::from(scale)) as f32)
    };
    let latents = latents(model, coded.len(), normal, device)?;

    let raw: usize = of_kind(Kind::Raw).map(|block| grid.block(block).len()).sum();
    let norm = size_of::<T>() + size_of::<f32>();
    let size = norms.len() * norm + latents.len() * coding.size() + raw * size_of::<T>();
    let mut out = memory::with_capacity(size + 1 + size_of::<ModelId>() + 2 * latent * size_of::<f32>())?;
    out.push(coding as u8);
    out.extend_from_slice(&model.id().0);
    norms.iter().for_each(|n| n.offset.write_le(&mut out));
    norms.iter().for_each(|n| n.scale.write_le(&mut out));
    write_latents(&latents, latent, coding, &mut out);
    for block in of_kind(Kind::Raw) {
        grid.block(block).values().for_each(|(_, at)| view.get(at).write_le(&mut out));
    }
    Ok(out)
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

fn write_latents(latents: &[f32], latent: usize, coding: LatentCoding, out: &mut Vec<u8>) {
    match coding {
        LatentCoding::F32 => latents.iter().for_each(|z| z.write_le(out)),
        LatentCoding::F16 => latents.iter().for_each(|&z| {
            // Latents lie near N(0, 1); a stray one is clamped rather than becoming infinite.
            let z = f16::from_f32(z.clamp(f16::MIN.to_f32(), f16::MAX.to_f32()));
            out.extend_from_slice(&z.to_le_bytes());
        }),
        LatentCoding::U8 => {
            let ranges: Vec<(f32, f32)> = (0..latent)
                .map(|i| {
                    let column = latents.iter().skip(i).step_by(latent);
                    let (lo, hi) = column.fold((f32::MAX, f32::MIN), |(lo, hi), &z| (lo.min(z), hi.max(z)));
                    if lo > hi { (0.0, 0.0) } else { (lo, (hi - lo) / 255.0) }
                })
                .collect();
            for &(lo, step) in &ranges {
                lo.write_le(out);
                step.write_le(out);
            }
            for (z, &(lo, step)) in latents.iter().zip(ranges.iter().cycle()) {
                out.push(if step > 0.0 { ((z - lo) / step).round() as u8 } else { 0 });
            }
        }
    }
}

fn read_latents(
    reader: &mut ByteReader<'_>,
    coded: usize,
    latent: usize,
    coding: LatentCoding,
) -> Result<Vec<f32>> {
    let ranges = match coding {
        LatentCoding::U8 => reader.values::<f32>(latent.saturating_mul(2))?,
        _ => Vec::new(),
    };
    let count = coded.checked_mul(latent).ok_or_else(|| Error::Stream("too many blocks".into()))?;
    let latents: Vec<f32> = match coding {
        LatentCoding::F32 => reader.values(count)?,
        LatentCoding::F16 => {
            let bytes = reader.take(count, 2)?;
            bytes.chunks_exact(2).map(|b| f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
        }
        LatentCoding::U8 => {
            let codes = reader.take(count, 1)?.iter().zip(ranges.chunks_exact(2).cycle());
            codes.map(|(&code, range)| f32::from(code).mul_add(range[1], range[0])).collect()
        }
    };
    if latents.iter().all(|z| z.is_finite()) {
        Ok(latents)
    } else {
        Err(Error::Stream("a latent is not finite".into()))
    }
}

/// What a payload begins with.
pub(crate) fn preamble(reader: &mut ByteReader<'_>) -> Result<(LatentCoding, ModelId)> {
    let coding = LatentCoding::from_tag(reader.array::<1>()?[0])?;
    Ok((coding, ModelId(reader.array()?)))
}

/// Decodes what [`encode`] gave into `out`: the values of the box, x fastest.
///
/// # Errors
/// [`Error::Stream`] where the bytes are damaged, [`Error::MissingModel`] where the model is not
/// known.
///
/// # Panics
/// Where `out` has another size than the box.
pub(crate) fn decode<T: Element>(
    payload: &[u8],
    count: [usize; 3],
    models: &Models,
    out: &mut [T],
) -> Result<()> {
    assert_eq!(out.len(), count.iter().product::<usize>(), "the memory is as large as the box");
    let engine = Engine::best()?;
    let mut reader = ByteReader::new(payload);
    let (coding, id) = preamble(&mut reader)?;
    let model = models.by_id(id)?;
    let latent = model.metadata.architecture.latent;
    let grid = BlockGrid::new(count);
    // Norms and latents are there twice for a moment.
    let of_a_block = size_of::<[Norm<f64>; 2]>().saturating_add(size_of::<[f32; 2]>().saturating_mul(latent));
    memory::room(grid.len().saturating_mul(of_a_block))?;
    let offsets = reader.values::<T>(grid.len())?;
    let scales = reader.values::<f32>(grid.len())?;
    let norms: Vec<Norm<T>> =
        offsets.into_iter().zip(scales).map(|(offset, scale)| Norm { offset, scale }).collect();
    let kinds: Vec<Kind> = norms.iter().map(|n| n.kind()).collect::<Result<_>>()?;
    let coded = kinds.iter().filter(|&&k| k == Kind::Coded).count();
    let latents = read_latents(&mut reader, coded, latent, coding)?;

    // One slab of blocks at a time: slabs are contiguous in the output, and each can be filled on
    // its own.
    let [nx, ny, _] = count;
    let plane = nx.saturating_mul(ny);
    let slab_blocks = nx.div_ceil(EDGE).saturating_mul(ny.div_ceil(EDGE));
    let mut slabs = Vec::new();
    let mut left = &latents[..];
    for first in (0..grid.len()).step_by(slab_blocks.max(1)) {
        let blocks = first..first.saturating_add(slab_blocks);
        let raw = blocks.clone().filter(|&b| kinds[b] == Kind::Raw);
        let raw_len = raw.map(|b| grid.block(b).len()).sum::<usize>();
        let coded_here = blocks.clone().filter(|&b| kinds[b] == Kind::Coded).count();
        let latents;
        (latents, left) = left.split_at(coded_here.saturating_mul(latent));
        slabs.push(Slab { raw: reader.take(raw_len, T::DTYPE.size())?, latents, blocks });
    }
    reader.finish()?;

    let decoder = Decoder { grid, norms, kinds, network: Network::decoder(&model), latent, engine };
    let planes = plane.saturating_mul(EDGE).max(1);
    let slabs = out.chunks_mut(planes).zip(slabs).collect::<Vec<_>>();
    threads::map(slabs, |(out, slab)| decoder.slab(slab, [nx, ny], out));
    Ok(())
}

/// The blocks of eight planes of a box, and what the payload has of them.
struct Slab<'a> {
    blocks: Range<usize>,
    latents: &'a [f32],
    raw: &'a [u8],
}

/// What all slabs of a payload share.
struct Decoder<T> {
    grid: BlockGrid,
    norms: Vec<Norm<T>>,
    kinds: Vec<Kind>,
    network: Network,
    /// Latents of a block.
    latent: usize,
    engine: Engine,
}

impl<T: Element> Decoder<T> {
    /// Decodes a slab into its planes of `[nx, ny]` values.
    #[allow(clippy::arithmetic_side_effects, reason = "indices in a box that was checked")]
    fn slab(&self, slab: Slab<'_>, [nx, ny]: [usize; 2], out: &mut [T]) {
        let Self { grid, norms, kinds, latent, .. } = self;
        let origin_z = grid.block(slab.blocks.start).start[2];
        let index = |at: [usize; 3]| ((at[2] - origin_z) * ny + at[1]) * nx + at[0];
        let mut raw = slab.raw.chunks_exact(T::DTYPE.size());
        let mut coded = Vec::new();
        for block in slab.blocks {
            let values = grid.block(block).values();
            match kinds[block] {
                Kind::Constant => values.for_each(|(_, at)| out[index(at)] = norms[block].offset),
                Kind::Raw => values.zip(&mut raw).for_each(|((_, at), b)| out[index(at)] = T::read_le(b)),
                Kind::Coded => coded.push(block),
            }
        }
        for (blocks, latents) in coded.chunks(LANES).zip(slab.latents.chunks(LANES * latent)) {
            let mut input = vec![Lanes::ZERO; *latent];
            for (lane, z) in latents.chunks_exact(*latent).enumerate() {
                input.iter_mut().zip(z).for_each(|(x, &z)| x.0[lane] = z);
            }
            let decoded = self.network.run(self.engine, &input);
            for (lane, &block) in blocks.iter().enumerate() {
                let Norm { offset, scale } = norms[block];
                for (i, at) in grid.block(block).values() {
                    out[index(at)] = T::denormalise(offset, scale, decoded[i].0[lane]);
                }
            }
        }
    }
}
