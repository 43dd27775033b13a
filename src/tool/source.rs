//! Decoded fields of a file, whole or a region of them: what `decompress` writes.

use crate::Region;
use anyhow::{Result, anyhow, bail};
use std::collections::BTreeMap;
use std::ops::Range;
use swae_codec::Field;
use swae_store::{Boxes, Decoder, Error, FieldInfo, Reader, StepInfo, Stored, find};

/// Fields of a step with their descriptions.
pub type Fields = Vec<(FieldInfo, Field)>;

/// A file that is decoded.
pub struct Source {
    /// The file.
    pub reader: Box<dyn Reader>,
    decoder: Decoder,
    /// The part of the grid that is decoded; none for all of it.
    pub region: Option<Region>,
}

impl Source {
    /// A file of which so many steps will be read: from several, the last decoded step is kept for
    /// the next one.
    pub fn new(reader: Box<dyn Reader>, steps: usize, region: Option<Region>) -> Self {
        let decoder = if steps > 1 { Decoder::remembering() } else { Decoder::default() };
        Self { reader, decoder, region }
    }

    /// What the file says of a step.
    pub fn step(&self, index: usize) -> &StepInfo {
        &self.reader.steps()[index]
    }

    /// Decodes fields of a step; their shape and origin are those of the region or, of a field whose
    /// boxes need not cover the grid, of the smallest region that holds them. One without boxes is left
    /// out.
    pub fn fields(&mut self, index: usize, names: &[String]) -> Result<Fields> {
        let mut fields = Fields::new();
        // Those of one grid have one region.
        let mut all_boxes = BTreeMap::<_, Boxes>::new();
        for name in names {
            let info = find(self.reader.as_ref(), index, name)?;
            let boxes = boxes(self.reader.as_mut(), index, &info)?;
            all_boxes.entry(info.shape).or_default().extend(boxes);
        }
        for name in names {
            let mut info = find(self.reader.as_ref(), index, name)?;
            let region = match &self.region {
                Some(region) => region.of(info.shape),
                None => match hull(&all_boxes[&info.shape]) {
                    Some(region) => region,
                    None => {
                        log::warn!("step {}: {name} has no boxes", self.step(index).step);
                        continue;
                    }
                },
            };
            let decoded = self.decoder.read_field(self.reader.as_mut(), index, name, Some(region.clone()));
            let field = decoded.map_err(|e| match e {
                Error::Codec(swae_codec::Error::Memory(_)) => {
                    anyhow!(e).context("--region takes a part, and .pvd has each box by itself")
                }
                other => anyhow!(other),
            })?;
            for (a, range) in region.iter().enumerate() {
                info.shape[a] = range.len();
                info.origin[a] += info.spacing[a] * range.start as f64;
            }
            fields.push((info, field));
        }
        Ok(fields)
    }

    /// Decodes the boxes of a field of a step, sorted by their first points.
    pub fn decoded_boxes(&mut self, index: usize, name: &str) -> Result<Vec<([usize; 3], Field)>> {
        let mut boxes = self.decoder.read_boxes(self.reader.as_mut(), index, name)?;
        boxes.retain(|(_, field)| !field.count().contains(&0));
        boxes.sort_by_key(|(start, field)| (*start, field.count()));
        Ok(boxes)
    }

    /// How many boxes the only stream of a field holds, stacked along z; 1 where it holds one, or
    /// where there are several streams.
    pub fn stacked_boxes(&mut self, index: usize, names: &[String]) -> Result<usize> {
        let [name, ..] = names else { bail!("no field is left to write") };
        let streams = self.reader.read_streams(index, name)?;
        Ok(match &streams[..] {
            [Stored::Stream { rows, stream }] if rows.len() == 1 => stream.header().boxes.len(),
            _ => 1,
        })
    }
}

/// Where values of a field lie: its boxes, or the whole grid.
pub fn boxes(reader: &mut dyn Reader, index: usize, info: &FieldInfo) -> Result<Boxes> {
    if !info.partial {
        return Ok(vec![([0; 3], info.shape)]);
    }
    let rows = reader.read_boxes(index, &info.name)?;
    let mut boxes: Boxes = rows.iter().map(|row| (row.start, row.count)).collect();
    boxes.retain(|(_, count)| !count.contains(&0));
    boxes.sort_unstable();
    Ok(boxes)
}

/// The smallest region that holds all boxes; none without boxes.
pub fn hull(boxes: &Boxes) -> Option<[Range<usize>; 3]> {
    let first = |a: usize| boxes.iter().map(|(start, _)| start[a]).min();
    let end = |a: usize| boxes.iter().map(|(start, count)| start[a].saturating_add(count[a])).max();
    Some([first(0)?..end(0)?, first(1)?..end(1)?, first(2)?..end(2)?])
}

/// Bytes of the values of a field as the simulation holds them.
pub fn raw_bytes(reader: &mut dyn Reader, index: usize, info: &FieldInfo) -> Result<u64> {
    let points = |(_, count): &([usize; 3], [usize; 3])| count.iter().copied().fold(1, usize::saturating_mul);
    let all = boxes(reader, index, info)?.iter().map(points).fold(0, usize::saturating_add);
    Ok(all.saturating_mul(info.dtype.size()) as u64)
}
