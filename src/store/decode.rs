//! From a field's boxes to its values: whole or a region, of any step, keyframe or not.

use crate::{BoxRow, Boxes, Error, FieldInfo, Reader, Result, StoredStream, find};
use ndarray::{Array3, s};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Range;
use swae_codec::decode::{advance, block_statistics, decompress_boxes, decompress_regions};
use swae_codec::history::History;
use swae_codec::statistics::BlockStatistics;
use swae_codec::stream::{Header, Kind};
use swae_codec::stream::{Region, Stream, header};
use swae_codec::{Dtype, Element, Field, Models};

/// A stream's boxes of a field: each step's leans on those of the same boxes before.
type StreamId = (String, Boxes);

/// Reads fields, and remembers the last steps of each stream, so that a run read from its first step to its last decodes each
/// step once, or twice where another field of the step leans on it.
#[derive(Default)]
pub struct Decoder {
    histories: BTreeMap<StreamId, Recent>,
    /// Whether anything is remembered.
    remembers: bool,
}

/// What is known of a stream's boxes: up to its last decoded step and, since that may have been decoded for others that lean on
/// it before it is asked for itself, up to the one before.
#[derive(Default)]
struct Recent {
    last: History,
    before: History,
}

impl Recent {
    fn add(&mut self, history: History) {
        self.before = std::mem::replace(&mut self.last, history);
    }

    /// The history up to this stream.
    fn ending_with(&self, bytes: &[u8]) -> Option<&History> {
        [&self.last, &self.before].into_iter().find(|history| history.ends_with(bytes))
    }

    /// The history that a stream of this header comes after.
    fn leading_to(&self, header: &Header) -> Option<&History> {
        let Kind::Bounded(preamble) = &header.kind else { return None };
        [&self.last, &self.before].into_iter().find(|history| history.leads_to(preamble))
    }
}

/// How many steps a stream is away from its keyframe.
fn age(header: &Header) -> u32 {
    if let Kind::Bounded(preamble) = &header.kind { preamble.age } else { 0 }
}

/// Names of the fields of its step that a stream leans on.
fn companions(header: &Header) -> Vec<String> {
    match &header.kind {
        Kind::Bounded(preamble) => preamble.reference_fields().map(String::from).collect(),
        _ => Vec::new(),
    }
}

/// A stream that is decoded for the sake of others.
struct Errand {
    header: Header,
    bytes: Vec<u8>,
    /// What it comes after, where that was known.
    before: Option<History>,
}

/// What has to be decoded for some streams, found before any of it is.
#[derive(Default)]
struct Errands {
    /// By step.
    of: BTreeMap<usize, BTreeMap<StreamId, Errand>>,
    /// What was known of streams that others of their step lean on.
    known: BTreeMap<(usize, StreamId), History>,
    /// What has become of the streams.
    done: BTreeMap<StreamId, Recent>,
}

impl Errands {
    /// What a stream leans on.
    fn history(&self, at: usize, id: &StreamId, header: &Header, before: Option<History>) -> History {
        let done = |id: &StreamId| self.done.get(id).map(|recent| &recent.last);
        let found = before.or_else(|| done(id).cloned()).filter(|_| age(header) > 0);
        let mut history = found.unwrap_or_default();
        for name in companions(header) {
            let id = (name, id.1.clone());
            if let Some(companion) = self.known.get(&(at, id.clone())).or_else(|| done(&id)) {
                history.add_reference(&id.0, companion);
            }
        }
        history
    }

    /// Decodes all, those first that others of their step lean on.
    fn run(&mut self, models: &Models) -> Result<()> {
        while let Some((at, mut errands)) = self.of.pop_first() {
            while !errands.is_empty() {
                let waits = |id: &StreamId, errand: &Errand| {
                    companions(&errand.header)
                        .into_iter()
                        .any(|name| errands.contains_key(&(name, id.1.clone())))
                };
                let ready = errands.iter().filter(|(id, errand)| !waits(id, errand));
                let ready: Vec<_> = ready.map(|(id, _)| id.clone()).collect();
                if ready.is_empty() {
                    let names = errands.keys().map(|id| &id.0[..]).collect::<Vec<_>>().join("', '");
                    let text = format!("the fields '{names}' lean on one another in a circle");
                    return Err(swae_codec::Error::Stream(text).into());
                }
                for id in ready {
                    let Some(Errand { header, bytes, before }) = errands.remove(&id) else { continue };
                    let recent = self.done.entry(id.clone()).or_default();
                    if let Some(before) = &before {
                        recent.last = before.clone();
                    }
                    let mut history = self.history(at, &id, &header, before);
                    advance(&Stream::open(&bytes)?, models, &mut history)?;
                    self.done.entry(id).or_default().add(history);
                }
            }
        }
        Ok(())
    }
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
        let heads: Vec<_> = wanted.iter().map(|(header, stream, _)| (header, stream.boxes())).collect();
        let mut histories = self.lead(reader, index, &info.name, &heads)?.into_iter();
        let mut decoded = Vec::with_capacity(wanted.len());
        for (header, stream, parts) in wanted {
            let history = histories.next().flatten();
            let fields = self.decode(reader.models(), &info, &header, &stream, &parts, history)?;
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

    /// Who won the blocks of a field of a step.
    ///
    /// # Errors
    /// Those of [`Decoder::read_field`].
    pub fn block_statistics(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        field: &str,
    ) -> Result<BlockStatistics> {
        let streams = reader.read_streams(index, field)?;
        let headers = streams.iter().map(|stream| Ok(header(&stream.bytes)?)).collect::<Result<Vec<_>>>()?;
        let heads: Vec<_> = headers.iter().zip(&streams).map(|(h, stream)| (h, stream.boxes())).collect();
        let histories = self.lead(reader, index, field, &heads)?;
        let mut sum = BlockStatistics::default();
        for (stream, history) in streams.iter().zip(histories) {
            let mut history = history.unwrap_or_default();
            let verified = Stream::open(&stream.bytes)?;
            sum = sum.union(&block_statistics(&verified, reader.models(), Some(&mut history))?);
            self.histories.entry((field.into(), stream.boxes())).or_default().add(history);
        }
        Ok(sum)
    }

    /// The histories that streams of a field need, with what they lean on in their own step; nothing for one that needs none and
    /// will not be remembered. Whatever has to be decoded for them is read once, however many streams there are.
    fn lead(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        field: &str,
        wanted: &[(&Header, Boxes)],
    ) -> Result<Vec<Option<History>>> {
        let mut errands = Errands::default();
        // Streams that are still to be found: in this step or, where the number comes with `true`, in the last one before it that
        // has them.
        let mut missing: Vec<(usize, bool, StreamId)> = Vec::new();
        let before = |id: &StreamId, header: &Header| {
            let known = self.histories.get(id).and_then(|recent| recent.leading_to(header));
            known.filter(|_| age(header) > 0).cloned()
        };
        let needs = |at: usize, id: &StreamId, header: &Header, before: &Option<History>| {
            let earlier = (age(header) > 0 && before.is_none()).then(|| (at, true, id.clone()));
            let others = companions(header).into_iter().map(|name| (at, false, (name, id.1.clone())));
            earlier.into_iter().chain(others).collect::<Vec<_>>()
        };
        let mut befores = Vec::with_capacity(wanted.len());
        for (header, boxes) in wanted {
            let id = (field.into(), boxes.clone());
            let before = before(&id, header);
            missing.extend(needs(index, &id, header, &before));
            befores.push((id, before));
        }
        let mut read: BTreeMap<(usize, String), BTreeMap<Boxes, Vec<u8>>> = BTreeMap::new();
        while let Some((at, earlier, id)) = missing.pop() {
            let steps = if earlier { 0..at } else { at..at + 1 };
            for at in steps.rev() {
                let found = errands.of.get(&at).is_some_and(|of| of.contains_key(&id));
                if found || errands.known.contains_key(&(at, id.clone())) {
                    break;
                }
                if !reader.steps()[at].fields.iter().any(|(f, _)| f.name == id.0) {
                    continue;
                }
                let streams = match read.entry((at, id.0.clone())) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(place) => {
                        let streams = reader.read_streams(at, &id.0)?;
                        place.insert(streams.into_iter().map(|s| (s.boxes(), s.bytes)).collect())
                    }
                };
                let Some(bytes) = streams.remove(&id.1) else { continue };
                let known = self.histories.get(&id).and_then(|recent| recent.ending_with(&bytes));
                if let Some(known) = known {
                    errands.known.insert((at, id), known.clone());
                    break;
                }
                let header = header(&bytes)?;
                let before = before(&id, &header);
                missing.extend(needs(at, &id, &header, &before));
                errands.of.entry(at).or_default().insert(id, Errand { header, bytes, before });
                break;
            }
        }
        errands.run(reader.models())?;
        let history = |((header, _), (id, before)): (&(&Header, Boxes), (StreamId, Option<History>))| {
            let needed = self.remembers || age(header) > 0;
            needed.then(|| errands.history(index, &id, header, before))
        };
        let histories = wanted.iter().zip(befores).map(history).collect();
        self.histories.extend(errands.done);
        Ok(histories)
    }

    fn decode(
        &mut self,
        models: &Models,
        info: &FieldInfo,
        header: &Header,
        stream: &StoredStream,
        parts: &[Region],
        mut history: Option<History>,
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
        let values = if as_told {
            decompress_regions(&Stream::open(bytes)?, models, parts, history.as_mut())?
        } else if (0..3).all(|a| parts[0][a].len() == rows[0].count[a]) {
            decompress_boxes(&Stream::open(bytes)?, models, history.as_mut())?
        } else {
            return Err(Error::Unsupported("a list of boxes has no regions".into()));
        };
        if let (true, Some(history)) = (self.remembers, history) {
            self.histories.entry((info.name.clone(), stream.boxes())).or_default().add(history);
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
fn join<T: Element>(shape: [usize; 3], nothing: T, parts: &[([usize; 3], Field)]) -> Field {
    let [nx, ny, nz] = shape;
    let mut whole = Array3::from_elem((nz, ny, nx), nothing);
    for ([x, y, z], part) in parts {
        if let Some(part) = part.as_array::<T>() {
            let (cz, cy, cx) = part.dim();
            whole.slice_mut(s![*z..z + cz, *y..y + cy, *x..x + cx]).assign(part);
        }
    }
    Field::from_array(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::StepInfo;
    use swae_codec::encode::{Bounded, compress_bounded};
    use swae_codec::{Bound, FieldView};

    /// Two fields, of which streams are `[step][field]`.
    struct Two {
        steps: Vec<StepInfo>,
        streams: Vec<[Vec<u8>; 2]>,
        models: Models,
    }

    const COUNT: [usize; 3] = [32, 32, 16];

    impl Reader for Two {
        fn steps(&self) -> &[StepInfo] {
            &self.steps
        }

        fn models(&self) -> &Models {
            &self.models
        }

        fn read_streams(&mut self, index: usize, field: &str) -> Result<Vec<StoredStream>> {
            let bytes = self.streams[index][usize::from(field == "b")].clone();
            let rows = vec![BoxRow { start: [0; 3], count: COUNT, offset: 0, length: bytes.len() as u64 }];
            Ok(vec![StoredStream { rows, bytes, filter: None }])
        }
    }

    fn two(streams: Vec<[Vec<u8>; 2]>) -> Two {
        let field = |name: &str| {
            let info = FieldInfo {
                name: name.into(),
                dtype: Dtype::F64,
                shape: COUNT,
                origin: [0.0; 3],
                spacing: [1.0; 3],
                encoding: String::new(),
                partial: false,
            };
            (info, 0)
        };
        let step = |t: usize| StepInfo { step: t as i64, time: 0.0, fields: ["a", "b"].map(field).to_vec() };
        Two { steps: (0..streams.len()).map(step).collect(), streams, models: Models::built_in() }
    }

    #[test]
    fn fields_that_lean_on_one_another_in_a_circle_are_an_error() {
        let lump = |t: f64| -> Vec<f64> {
            let at = |i: usize| [i % 32, i / 32 % 32, i / 1024].map(|c| c as f64 - 12.0 - 0.1 * t * t);
            (0..32 * 32 * 16)
                .map(at)
                .map(|[x, y, z]| (0.4 * x).sin() / (1.0 + 0.02 * (x * x + 2.0 * y * y + z * z)))
                .collect()
        };
        let code = |values: &[f64], history: &mut History| {
            let view = FieldView::dense(values, COUNT).unwrap();
            compress_bounded(&[view], &Bounded::new(Bound::Absolute(1e-6)), Some(history)).unwrap().0
        };
        // A field and its double: each of the two foretells the other.
        let values: Vec<_> = (0..3).map(|t| lump(f64::from(t))).collect();
        let double = |v: &Vec<f64>| v.iter().map(|v| 2.0 * v).collect::<Vec<_>>();
        let [mut a, mut b] = [History::default(), History::default()];
        let keyframes = [code(&values[0], &mut a), code(&double(&values[0]), &mut b)];
        let leaning = |own: &History, other: &History, name: &str, mine: &[f64], theirs: &[f64]| {
            let (mut own, mut other) = (own.clone(), other.clone());
            code(theirs, &mut other);
            own.add_reference(name, &other);
            code(mine, &mut own)
        };
        let circle = [
            leaning(&a, &b, "b", &values[1], &double(&values[1])),
            leaning(&b, &a, "a", &double(&values[1]), &values[1]),
        ];
        assert_eq!(companions(&header(&circle[0]).unwrap()), ["b"]);
        assert_eq!(companions(&header(&circle[1]).unwrap()), ["a"]);
        let mut reader = two(vec![keyframes, circle]);
        for decoder in [&mut Decoder::default(), &mut Decoder::remembering()] {
            assert!(decoder.read_field(&mut reader, 0, "a", None).is_ok());
            let message = decoder.read_field(&mut reader, 1, "a", None).unwrap_err().to_string();
            assert!(message.contains("circle"), "{message}");
        }
    }
}
