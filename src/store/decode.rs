//! From a field's boxes to its values: whole or a region, of any step, keyframe or not.

use crate::{BoxRow, Error, FieldInfo, Reader, Result, find};
use ndarray::{Array3, s};
use std::collections::BTreeMap;
use std::ops::Range;
use swae_codec::stream::header;
use swae_codec::{
    Dtype, Field, Header, History, Kind, Models, Remembered, advance, decompress_boxes, decompress_region,
};

/// A box of a field: the same from step to step, as long as the simulation does not regrid.
type BoxId = (String, [usize; 3], [usize; 3]);

/// Reads fields, and remembers the last step of each box, so that a run read from its first step to its last decodes each
/// step once.
#[derive(Default)]
pub struct Decoder {
    histories: BTreeMap<BoxId, History>,
    /// Whether anything is remembered.
    remembers: bool,
}

/// Decodes a field of a step and puts its boxes together.
///
/// # Errors
/// Those of [`Reader::read_boxes`], and [`Error::Codec`].
pub fn read_field(reader: &mut dyn Reader, index: usize, field: &str) -> Result<Field> {
    Decoder::default().read_field(reader, index, field, None)
}

impl Decoder {
    /// For reading one step after the other. What is remembered of a step is all of it: a reader that wants a region of a
    /// single step takes [`Decoder::default`], which touches no other tile.
    pub fn remembering() -> Self {
        Self { remembers: true, ..Self::default() }
    }

    /// Decodes a field of a step, or the part of it that lies in a region, `[x, y, z]`.
    ///
    /// # Errors
    /// Those of [`Reader::read_boxes`]; [`Error::Content`] where the region leaves the grid; [`Error::Codec`].
    pub fn read_field(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        field: &str,
        region: Option<[Range<usize>; 3]>,
    ) -> Result<Field> {
        let damaged = |reason: String| Error::Content { path: field.into(), reason };
        let info = find(reader, index, field)?;
        let region = region.unwrap_or(info.shape.map(|n| 0..n));
        if (0..3).any(|a| region[a].start > region[a].end || region[a].end > info.shape[a]) {
            return Err(damaged(format!("the region {region:?} leaves its grid of {:?}", info.shape)));
        }
        let boxes = reader.read_boxes(index, field)?;
        check_cover(&info, &boxes).map_err(damaged)?;
        let mut wanted = Vec::with_capacity(boxes.len());
        for (row, bytes) in boxes {
            let part: [Range<usize>; 3] = std::array::from_fn(|a| {
                let clip = |v: usize| v.clamp(row.start[a], row.start[a] + row.count[a]) - row.start[a];
                clip(region[a].start)..clip(region[a].end)
            });
            if part.iter().all(|r| !r.is_empty()) || row.count.contains(&0) {
                wanted.push((header(&bytes)?, row, bytes, part));
            }
        }
        self.lead(reader, index, &info, wanted.iter().map(|(header, row, ..)| (header, row)))?;
        let mut decoded = Vec::with_capacity(wanted.len());
        for (header, row, bytes, part) in wanted {
            let mut start: [usize; 3] =
                std::array::from_fn(|a| row.start[a] + part[a].start - region[a].start);
            for field in self.decode(reader.models(), &info, &header, &row, &bytes, &part)? {
                // Several boxes of one stream lie one behind the other along z.
                let behind = start[2] + field.count()[2];
                decoded.push((start, field));
                start[2] = behind;
            }
        }
        if !self.remembers {
            self.histories.clear();
        }
        let shape = region.map(|r| r.len());
        Ok(match info.dtype {
            Dtype::F32 => join::<f32>(shape, &decoded),
            Dtype::F64 => join::<f64>(shape, &decoded),
        })
    }

    /// Brings the histories of boxes up to the step before `index`. Each earlier step is read once, however many boxes
    /// there are.
    fn lead<'a>(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        info: &FieldInfo,
        boxes: impl Iterator<Item = (&'a Header, &'a BoxRow)>,
    ) -> Result<()> {
        // Of each box that lacks its history, how many steps it needs and the streams of those found, last one first.
        let mut chains: BTreeMap<BoxId, (usize, Vec<Vec<u8>>)> = BTreeMap::new();
        for (header, row) in boxes {
            let Kind::Bounded(preamble) = &header.kind else { continue };
            let id = id(info, row);
            let known = self.histories.get(&id).is_some_and(|history| history.leads_to(preamble));
            if preamble.age > 0 && !known {
                chains.insert(id, (preamble.age as usize, Vec::new()));
            }
        }
        for earlier in (0..index).rev() {
            if chains.values().all(|(age, found)| found.len() >= *age) {
                break;
            }
            if !reader.steps()[earlier].fields.iter().any(|(f, _)| f.name == info.name) {
                continue;
            }
            for (row, bytes) in reader.read_boxes(earlier, &info.name)? {
                if let Some((age, found)) = chains.get_mut(&id(info, &row))
                    && found.len() < *age
                {
                    found.push(bytes);
                }
            }
        }
        for (id, (_, chain)) in chains {
            let mut history = History::default();
            for bytes in chain.iter().rev() {
                advance(bytes, reader.models(), &mut history)?;
            }
            self.histories.insert(id, history);
        }
        Ok(())
    }

    fn decode(
        &mut self,
        models: &Models,
        info: &FieldInfo,
        header: &Header,
        row: &BoxRow,
        bytes: &[u8],
        part: &[Range<usize>; 3],
    ) -> Result<Vec<Field>> {
        let wrong = || Error::Content {
            path: (&info.name).into(),
            reason: format!("box {row:?} does not hold what the table says"),
        };
        let stacked = header.boxes.iter().try_fold([0, 0, 0], |[x, y, z], &[nx, ny, nz]| {
            ((x == nx && y == ny) || z == 0).then_some([nx, ny, z + nz])
        });
        if header.dtype != info.dtype || (stacked != Some(row.count) && !row.count.contains(&0)) {
            return Err(wrong());
        }
        let leans = matches!(&header.kind, Kind::Bounded(preamble) if preamble.age > 0);
        let id = id(info, row);
        let mut history = (self.remembers || leans).then(|| self.histories.remove(&id).unwrap_or_default());
        let values = match header.boxes.len() {
            1 => vec![decompress_region(bytes, models, part.clone(), history.as_mut())?],
            _ if (0..3).all(|a| part[a].len() == row.count[a]) => {
                decompress_boxes(bytes, models, history.as_mut())?
            }
            _ => return Err(Error::Unsupported("a list of boxes has no regions".into())),
        };
        if let (true, Some(history)) = (self.remembers, history) {
            self.histories.insert(id, history);
        }
        Ok(values)
    }
}

fn id(info: &FieldInfo, row: &BoxRow) -> BoxId {
    (info.name.clone(), row.start, row.count)
}

/// Whether the boxes lie in the grid and hold as many values as it has.
fn check_cover(info: &FieldInfo, boxes: &[(BoxRow, Vec<u8>)]) -> std::result::Result<(), String> {
    for (row, _) in boxes {
        let end = |a: usize| row.start[a].checked_add(row.count[a]);
        if !(0..3).all(|a| end(a).is_some_and(|end| end <= info.shape[a])) {
            return Err(format!("box {row:?} leaves its grid of {:?}", info.shape));
        }
    }
    let volume = boxes.iter().map(|(row, _)| row.count.iter().product()).fold(0usize, usize::saturating_add);
    if volume != info.shape.iter().product::<usize>() {
        return Err(format!("its boxes hold {volume} values, its shape is {:?}", info.shape));
    }
    Ok(())
}

/// Puts parts that begin at `[x, y, z]` together.
fn join<T: Remembered>(shape: [usize; 3], parts: &[([usize; 3], Field)]) -> Field {
    let [nx, ny, nz] = shape;
    let mut whole = Array3::default((nz, ny, nx));
    for ([x, y, z], part) in parts {
        if let Some(part) = T::array(part) {
            let (cz, cy, cx) = part.dim();
            whole.slice_mut(s![*z..z + cz, *y..y + cy, *x..x + cx]).assign(part);
        }
    }
    T::field(whole)
}
