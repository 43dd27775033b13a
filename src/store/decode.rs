//! From a field's boxes to its values: whole or a region, of any step, keyframe or not.

use crate::{BoxRow, Boxes, Error, FieldInfo, Reader, Result, StoredStream, find};
use ndarray::{Array3, s};
use std::collections::BTreeMap;
use std::ops::Range;
use swae_codec::stream::{Region, header};
use swae_codec::{
    Dtype, Field, Header, History, Kind, Models, Remembered, advance, decompress_boxes, decompress_regions,
};

/// A stream's boxes of a field: each step's leans on those of the same boxes before.
type StreamId = (String, Boxes);

/// Reads fields, and remembers the last step of each stream, so that a run read from its first step to its last decodes each
/// step once.
#[derive(Default)]
pub struct Decoder {
    histories: BTreeMap<StreamId, History>,
    /// Whether anything is remembered.
    remembers: bool,
}

/// Decodes a field of a step and puts its boxes together.
///
/// # Errors
/// Those of [`Reader::read_streams`], and [`Error::Codec`].
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
    /// Those of [`Reader::read_streams`]; [`Error::Content`] where the region leaves the grid; [`Error::Codec`].
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
        let streams = reader.read_streams(index, field)?;
        check_cover(&info, &streams).map_err(damaged)?;
        let mut wanted = Vec::with_capacity(streams.len());
        for stream in streams {
            let part = |(start, count): ([usize; 3], [usize; 3])| -> Region {
                std::array::from_fn(|a| {
                    let clip = |v: usize| v.clamp(start[a], start[a] + count[a]) - start[a];
                    clip(region[a].start)..clip(region[a].end)
                })
            };
            let parts: Vec<_> = stream.boxes().into_iter().map(part).collect();
            if parts.iter().any(|p| p.iter().all(|r| !r.is_empty())) {
                wanted.push((header(&stream.bytes)?, stream, parts));
            }
        }
        self.lead(reader, index, &info, wanted.iter().map(|(header, stream, _)| (header, stream)))?;
        let mut decoded = Vec::with_capacity(wanted.len());
        for (header, stream, parts) in wanted {
            let fields = self.decode(reader.models(), &info, &header, &stream, &parts)?;
            let place = |(row, part): (&BoxRow, &Region)| -> [usize; 3] {
                std::array::from_fn(|a| (row.start[a] + part[a].start).saturating_sub(region[a].start))
            };
            let mut places = stream.rows.iter().zip(&parts).map(place);
            let mut behind = [0; 3];
            for field in fields {
                // Several boxes of one row lie one behind the other along z.
                let start = places.next().unwrap_or(behind);
                behind = [start[0], start[1], start[2] + field.count()[2]];
                if !field.count().contains(&0) {
                    decoded.push((start, field));
                }
            }
        }
        if !self.remembers {
            self.histories.clear();
        }
        let shape = region.map(|r| r.len());
        Ok(match info.dtype {
            Dtype::F32 => join::<f32>(shape, if info.partial { f32::NAN } else { 0.0 }, &decoded),
            Dtype::F64 => join::<f64>(shape, if info.partial { f64::NAN } else { 0.0 }, &decoded),
        })
    }

    /// Brings the histories of streams up to the step before `index`. Each earlier step is read once, however many streams
    /// there are.
    fn lead<'a>(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        info: &FieldInfo,
        streams: impl Iterator<Item = (&'a Header, &'a StoredStream)>,
    ) -> Result<()> {
        // Of each stream that lacks its history, how many steps it needs and the streams of those found, last one first.
        let mut chains: BTreeMap<StreamId, (usize, Vec<Vec<u8>>)> = BTreeMap::new();
        for (header, stream) in streams {
            let Kind::Bounded(preamble) = &header.kind else { continue };
            let id = (info.name.clone(), stream.boxes());
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
            for stream in reader.read_streams(earlier, &info.name)? {
                if let Some((age, found)) = chains.get_mut(&(info.name.clone(), stream.boxes()))
                    && found.len() < *age
                {
                    found.push(stream.bytes);
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
        stream: &StoredStream,
        parts: &[Region],
    ) -> Result<Vec<Field>> {
        let StoredStream { rows, bytes, .. } = stream;
        let counts = rows.iter().map(|row| row.count);
        let as_told = header.boxes.len() == rows.len() && header.boxes.iter().copied().eq(counts);
        let stacked = header.boxes.iter().try_fold([0, 0, 0], |[x, y, z], &[nx, ny, nz]| {
            ((x == nx && y == ny) || z == 0).then_some([nx, ny, z + nz])
        });
        if header.dtype != info.dtype || !(as_told || rows.len() == 1 && stacked == Some(rows[0].count)) {
            return Err(Error::Content {
                path: (&info.name).into(),
                reason: format!("the stream of box {:?} does not hold what the table says", rows[0]),
            });
        }
        let leans = matches!(&header.kind, Kind::Bounded(preamble) if preamble.age > 0);
        let id = (info.name.clone(), stream.boxes());
        let mut history = (self.remembers || leans).then(|| self.histories.remove(&id).unwrap_or_default());
        let values = if as_told {
            decompress_regions(bytes, models, parts.to_vec(), history.as_mut())?
        } else if (0..3).all(|a| parts[0][a].len() == rows[0].count[a]) {
            decompress_boxes(bytes, models, history.as_mut())?
        } else {
            return Err(Error::Unsupported("a list of boxes has no regions".into()));
        };
        if let (true, Some(history)) = (self.remembers, history) {
            self.histories.insert(id, history);
        }
        Ok(values)
    }
}

/// Whether the boxes lie in the grid and hold as many values as it has, or, where they need not cover it, no more.
fn check_cover(info: &FieldInfo, streams: &[StoredStream]) -> std::result::Result<(), String> {
    let rows = || streams.iter().flat_map(|s| &s.rows);
    for row in rows() {
        let end = |a: usize| row.start[a].checked_add(row.count[a]);
        if !(0..3).all(|a| end(a).is_some_and(|end| end <= info.shape[a])) {
            return Err(format!("box {row:?} leaves its grid of {:?}", info.shape));
        }
    }
    let volume = rows().map(|row| row.count.iter().product()).fold(0usize, usize::saturating_add);
    let whole = info.shape.iter().product::<usize>();
    if volume > whole || (volume < whole && !info.partial) {
        return Err(format!("its boxes hold {volume} values, its shape is {:?}", info.shape));
    }
    Ok(())
}

/// Puts parts that begin at `[x, y, z]` together; `nothing` lies between them.
fn join<T: Remembered>(shape: [usize; 3], nothing: T, parts: &[([usize; 3], Field)]) -> Field {
    let [nx, ny, nz] = shape;
    let mut whole = Array3::from_elem((nz, ny, nx), nothing);
    for ([x, y, z], part) in parts {
        if let Some(part) = T::array(part) {
            let (cz, cy, cx) = part.dim();
            whole.slice_mut(s![*z..z + cz, *y..y + cy, *x..x + cx]).assign(part);
        }
    }
    T::field(whole)
}
