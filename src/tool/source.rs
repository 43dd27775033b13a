//! Decoded fields of a file, whole or a region of them: what `decompress` writes.

use crate::Region;
use anyhow::{Result, bail};
use swae_codec::Field;
use swae_store::{Boxes, Decoder, FieldInfo, Reader, StepInfo, Stored, find};

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

    /// Decodes fields of a step; their shape and origin are those of the region.
    pub fn fields(&mut self, index: usize, names: &[String]) -> Result<Fields> {
        let region = self.region.clone().map(|Region(region)| region);
        let decode = |name: &String| {
            let mut info = find(self.reader.as_ref(), index, name)?;
            let field = self.decoder.read_field(self.reader.as_mut(), index, name, region.clone())?;
            for (a, range) in region.iter().flatten().enumerate() {
                info.shape[a] = range.len();
                info.origin[a] += info.spacing[a] * range.start as f64;
            }
            Ok((info, field))
        };
        names.iter().map(decode).collect()
    }

    /// Decodes a part of a field of a step, whatever the region is.
    pub fn part(&mut self, index: usize, name: &str, Region(part): Region) -> Result<Field> {
        Ok(self.decoder.read_field(self.reader.as_mut(), index, name, Some(part))?)
    }

    /// Where values of a field lie: its boxes, or the whole grid.
    pub fn boxes(&mut self, index: usize, info: &FieldInfo) -> Result<Boxes> {
        if !info.partial {
            return Ok(vec![([0; 3], info.shape)]);
        }
        let rows = self.reader.read_boxes(index, &info.name)?;
        let mut boxes: Boxes = rows.iter().map(|row| (row.start, row.count)).collect();
        boxes.retain(|(_, count)| !count.contains(&0));
        boxes.sort_unstable();
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
