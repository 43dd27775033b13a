//! From the stored boxes of a field to its values: whole or a region, of any step, keyframe or not.
//!
//! Readers give verified streams or values; `references.rs` finds what a stream depends on. Values
//! go into the caller's memory, where a stream allows it without a copy.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::error::{Error, Result, content};
use crate::reader::{Reader, Selection, Stored, find};
use crate::references::{ReferenceCache, StreamKey};
use crate::size::points;
use crate::step::{BoxRow, FieldInfo};
use ndarray::{Array3, ArrayView3, ArrayViewMut3, s};
use std::ops::Range;
use swae_codec::decode::{block_statistics, decompress_boxes, decompress_regions, decompress_regions_into};
use swae_codec::history::History;
use swae_codec::statistics::BlockStatistics;
use swae_codec::stream::{Header, Region, Stream};
use swae_codec::{Dtype, Element, Field, Models, memory};

/// Reads fields, and caches the last steps of each stream, so that a file that is read from its
/// first step to its last decodes each step once, or twice where another field of the step or another
/// step of its group is predicted from it.
#[derive(Default)]
pub struct Decoder {
    cache: ReferenceCache,
    /// Whether anything stays in the cache.
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
    /// For reading one step after the other. All of a step is cached: to read a region of a single
    /// step, take [`Decoder::default`], which touches no other tile.
    pub fn remembering() -> Self {
        Self { remembers: true, ..Self::default() }
    }

    /// Decodes a field of a step, or the part of it that lies in a region, `[x, y, z]`.
    ///
    /// # Errors
    /// Those of [`Reader::read_streams`]; [`Error::Content`] where the region leaves the grid;
    /// [`Error::Codec`].
    pub fn read_field(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        field: &str,
        region: Option<[Range<usize>; 3]>,
    ) -> Result<Field> {
        let info = find(reader, index, field)?;
        let mut parts = Parts::read(reader, index, info, region, self.remembers)?;
        if let Some(field) = parts.take_whole() {
            return Ok(field);
        }
        match parts.info.dtype {
            Dtype::F32 => self.read_new::<f32>(reader, index, parts),
            Dtype::F64 => self.read_new::<f64>(reader, index, parts),
        }
    }

    /// As [`Decoder::read_field`], into the caller's memory: as many values as the region has, x
    /// fastest. After an error the memory holds any values.
    ///
    /// # Errors
    /// Those of [`Decoder::read_field`]; [`Error::Unsupported`] where the memory has another size,
    /// or the field's values are of the other type.
    pub fn read_field_into<T: Element>(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        field: &str,
        region: Option<[Range<usize>; 3]>,
        out: &mut [T],
    ) -> Result<()> {
        let info = find(reader, index, field)?;
        if info.dtype != T::DTYPE {
            let (found, wanted) = (info.dtype.name(), T::DTYPE.name());
            return Err(Error::Unsupported(format!("field {field} holds {found} values, not {wanted}")));
        }
        let parts = Parts::read(reader, index, info, region, self.remembers)?;
        let wanted = points(size_of_region(&parts.region));
        if out.len() != wanted {
            let text = format!("the region has {wanted} values, the memory for it {}", out.len());
            return Err(Error::Unsupported(text));
        }
        if parts.boxes > 1 {
            out.fill(T::default());
        }
        self.fill(reader, index, parts, out)
    }

    /// Reads and decodes all boxes of a field of a step, for the errors alone. It takes the memory of
    /// a stream's boxes and not that of the grid, of which they may be a small part.
    ///
    /// # Errors
    /// Those of [`Decoder::read_field`].
    pub fn check(&mut self, reader: &mut dyn Reader, index: usize, field: &str) -> Result<()> {
        let info = find(reader, index, field)?;
        self.decode_boxes(reader, index, info, |_, _| {})
    }

    /// Decodes the boxes of a field of a step, each with its first point: the whole grid as one box,
    /// or, where boxes need not cover it, those that are there. It takes the memory of the boxes.
    ///
    /// # Errors
    /// Those of [`Decoder::read_field`].
    pub fn read_boxes(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        field: &str,
    ) -> Result<Vec<([usize; 3], Field)>> {
        let info = find(reader, index, field)?;
        if !info.partial {
            return Ok(vec![([0; 3], self.read_field(reader, index, field, None)?)]);
        }
        let mut boxes = Vec::new();
        let keep = |start, field| boxes.push((start, field));
        self.decode_boxes(reader, index, info, keep)?;
        Ok(boxes)
    }

    /// Decodes each box of a field by itself.
    fn decode_boxes(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        info: FieldInfo,
        mut each: impl FnMut([usize; 3], Field),
    ) -> Result<()> {
        let Parts { info, streams, values, .. } = Parts::read(reader, index, info, None, true)?;
        for (rows, field) in values {
            check_values(&info, &rows, &field)?;
            each(rows[0].start, field);
        }
        let key = |rows: &[BoxRow]| StreamKey::new(&info.name, rows);
        let wanted: Vec<_> = streams.iter().map(|(rows, stream)| (key(rows), stream.header())).collect();
        let histories = self.cache.histories(reader, index, &wanted, self.remembers)?;
        for ((rows, stream), history) in streams.iter().zip(histories) {
            let mut history = history.unwrap_or_default();
            let fields = decompress_boxes(stream, reader.models(), Some(&mut history))?;
            let starts = rows.iter().map(|row| row.start).collect();
            placed(starts, fields).for_each(|(start, field)| each(start, field));
            if self.remembers {
                self.cache.add(key(rows), history);
            }
        }
        if !self.remembers {
            self.cache.clear();
        }
        Ok(())
    }

    /// Which predictors were selected for the blocks of a field of a step.
    ///
    /// # Errors
    /// Those of [`Decoder::read_field`].
    pub fn block_statistics(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        field: &str,
    ) -> Result<BlockStatistics> {
        let streams = reader.read_streams(index, field)?.into_iter().filter_map(|stored| match stored {
            Stored::Stream { rows, stream } => Some((StreamKey::new(field, &rows), stream)),
            Stored::Values { .. } => None,
        });
        let streams: Vec<_> = streams.collect();
        let wanted: Vec<_> = streams.iter().map(|(key, stream)| (key.clone(), stream.header())).collect();
        let histories = self.cache.histories(reader, index, &wanted, self.remembers)?;
        let mut sum = BlockStatistics::default();
        for ((key, stream), history) in streams.iter().zip(histories) {
            let mut history = history.unwrap_or_default();
            sum = sum.union(&block_statistics(stream, reader.models(), Some(&mut history))?);
            self.cache.add(key.clone(), history);
        }
        Ok(sum)
    }

    fn read_new<T: Element>(&mut self, reader: &mut dyn Reader, index: usize, parts: Parts) -> Result<Field> {
        let [nx, ny, nz] = size_of_region(&parts.region);
        let mut values = memory::zeros::<T>(points([nx, ny, nz]))?;
        self.fill(reader, index, parts, &mut values)?;
        let array = Array3::from_shape_vec((nz, ny, nx), values);
        array.map(Field::from_array).map_err(|e| Error::Unsupported(e.to_string()))
    }

    fn fill<T: Element>(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        parts: Parts,
        out: &mut [T],
    ) -> Result<()> {
        let Parts { info, region, values, streams, .. } = parts;
        if info.partial {
            out.fill(T::from_f64(f64::NAN));
        }
        let mut target = Target { region, out };
        for (rows, field) in values {
            target.set_values(&info, &rows, &field)?;
        }
        let key = |rows: &[BoxRow]| StreamKey::new(&info.name, rows);
        let wanted: Vec<_> = streams.iter().map(|(rows, stream)| (key(rows), stream.header())).collect();
        let histories = self.cache.histories(reader, index, &wanted, self.remembers)?;
        for ((rows, stream), mut history) in streams.into_iter().zip(histories) {
            target.decode(&info, &rows, &stream, reader.models(), history.as_mut())?;
            if let (true, Some(history)) = (self.remembers, history) {
                self.cache.add(key(&rows), history);
            }
        }
        if !self.remembers {
            self.cache.clear();
        }
        Ok(())
    }
}

/// What a file holds of a region of a field.
struct Parts {
    info: FieldInfo,
    region: Region,
    /// Boxes of the whole field.
    boxes: usize,
    values: Vec<(Vec<BoxRow>, Field)>,
    /// The streams that hold points of the region; they hold what their rows say.
    streams: Vec<(Vec<BoxRow>, Stream<'static>)>,
}

impl Parts {
    /// `whole`: each stream is needed whole.
    fn read(
        reader: &mut dyn Reader,
        index: usize,
        info: FieldInfo,
        region: Option<Region>,
        whole: bool,
    ) -> Result<Self> {
        let region = region.unwrap_or(info.shape.map(|n| 0..n));
        if (0..3).any(|a| region[a].start > region[a].end || region[a].end > info.shape[a]) {
            return Err(damaged(&info, format!("the region {region:?} leaves its grid of {:?}", info.shape)));
        }
        let mut rows = Vec::new();
        let stored = reader.read_selected(index, &info.name, &mut |some| {
            rows.extend_from_slice(some);
            selection(some, &region, whole)
        })?;
        check_cover(&info, &rows).map_err(|reason| damaged(&info, reason))?;
        let (mut values, mut streams) = (Vec::new(), Vec::with_capacity(stored.len()));
        for stored in stored {
            match stored {
                Stored::Values { rows, field, .. } => values.push((rows, field)),
                Stored::Stream { rows, stream } => {
                    arrangement(&info, &rows, stream.header())?;
                    streams.push((rows, stream));
                }
            }
        }
        Ok(Self { info, region, boxes: rows.len(), values, streams })
    }

    /// The values of a file that holds them as they are, where all of them are wanted.
    fn take_whole(&mut self) -> Option<Field> {
        let whole = self.region == self.info.shape.map(|n| 0..n);
        let fits = |field: &Field| (field.count(), field.dtype()) == (self.info.shape, self.info.dtype);
        if whole && matches!(&self.values[..], [(_, field)] if fits(field)) {
            return self.values.pop().map(|(_, field)| field);
        }
        None
    }
}

/// What a region needs of the stream of some boxes.
fn selection(rows: &[BoxRow], region: &Region, whole: bool) -> Selection {
    let parts: Vec<_> = rows.iter().map(|row| size_of_region(&row.part(region))).collect();
    if parts.iter().all(|part| part.contains(&0)) {
        Selection::Nothing
    } else if whole || parts.into_iter().eq(rows.iter().map(|row| row.count)) {
        Selection::All
    } else {
        Selection::Region(region.clone())
    }
}

fn damaged(info: &FieldInfo, reason: String) -> Error {
    content(info.name.as_ref(), reason)
}

fn size_of_region(region: &Region) -> [usize; 3] {
    region.clone().map(|r| r.len())
}

/// Checks that boxes lie in the grid and hold as many values as it has, or, where they need not
/// cover it, no more.
fn check_cover(info: &FieldInfo, rows: &[BoxRow]) -> std::result::Result<(), String> {
    for row in rows {
        let end = |a: usize| row.start[a].checked_add(row.count[a]);
        if !(0..3).all(|a| end(a).is_some_and(|end| end <= info.shape[a])) {
            return Err(format!("box {row:?} leaves its grid of {:?}", info.shape));
        }
    }
    let volume = rows.iter().map(|row| points(row.count)).fold(0usize, usize::saturating_add);
    let whole = points(info.shape);
    if volume > whole || (volume < whole && !info.partial) {
        return Err(format!("its boxes hold {volume} values, its shape is {:?}", info.shape));
    }
    Ok(())
}

/// How the boxes of a stream lie in the rows of its table.
enum Arrangement {
    /// A box for each row.
    AsRows,
    /// A list of boxes, which one row shows as one box: each behind the other along z.
    Stacked,
}

/// The one box that boxes make behind one another along z; none where they do not fit together.
pub(crate) fn stacked(boxes: &[[usize; 3]]) -> Option<[usize; 3]> {
    let first = boxes.first().map_or([0; 3], |[nx, ny, _]| [*nx, *ny, 0]);
    boxes.iter().try_fold(
        first,
        |[x, y, z], &[nx, ny, nz]| {
            if [x, y] == [nx, ny] { Some([x, y, z.checked_add(nz)?]) } else { None }
        },
    )
}

fn arrangement(info: &FieldInfo, rows: &[BoxRow], header: &Header) -> Result<Arrangement> {
    if header.dtype == info.dtype {
        if header.boxes.iter().copied().eq(rows.iter().map(|row| row.count)) {
            return Ok(Arrangement::AsRows);
        }
        if rows.len() == 1 && stacked(&header.boxes) == Some(rows[0].count) {
            return Ok(Arrangement::Stacked);
        }
    }
    Err(damaged(info, format!("the stream of box {:?} does not hold what the table says", rows.first())))
}

/// Checks the values of a box.
fn check_values(info: &FieldInfo, rows: &[BoxRow], field: &Field) -> Result<()> {
    let is_box = matches!(rows, [row] if row.count == field.count()) && field.dtype() == info.dtype;
    is_box.then_some(()).ok_or_else(|| damaged(info, "its values are not those of its box".into()))
}

/// The boxes of a stream, each with the place where it begins: those of a list, of which the first
/// place is known, lie one behind the other along z.
fn placed(places: Vec<[usize; 3]>, fields: Vec<Field>) -> impl Iterator<Item = ([usize; 3], Field)> {
    let (mut places, mut behind) = (places.into_iter(), [0; 3]);
    fields.into_iter().map(move |field| {
        let place = places.next().unwrap_or(behind);
        behind = [place[0], place[1], place[2].saturating_add(field.count()[2])];
        (place, field)
    })
}

/// The memory that the values of a region go to.
struct Target<'a, T> {
    region: Region,
    out: &'a mut [T],
}

impl<T: Element> Target<'_, T> {
    /// Where a part of a box begins, from the region's first point.
    fn place(&self, row: &BoxRow, part: &Region) -> [usize; 3] {
        std::array::from_fn(|a| {
            row.start[a].saturating_add(part[a].start).saturating_sub(self.region[a].start)
        })
    }

    /// The memory of a part, where it is contiguous.
    fn contiguous(&mut self, [x, y, z]: [usize; 3], part: &Region) -> Option<&mut [T]> {
        let [nx, ny, _] = size_of_region(&self.region);
        if x != 0 || y != 0 || part[0].len() != nx || part[1].len() != ny {
            return None;
        }
        let plane = nx.checked_mul(ny)?;
        let end = z.checked_add(part[2].len())?.checked_mul(plane)?;
        self.out.get_mut(z.checked_mul(plane)?..end)
    }

    /// Copies values to where they begin.
    fn set(&mut self, [x, y, z]: [usize; 3], values: ArrayView3<'_, T>) -> Result<()> {
        let [nx, ny, nz] = size_of_region(&self.region);
        let (cz, cy, cx) = values.dim();
        let whole = ArrayViewMut3::from_shape((nz, ny, nx), &mut *self.out);
        let mut whole = whole.map_err(|e| Error::Unsupported(e.to_string()))?;
        let ends = [(x, cx, nx), (y, cy, ny), (z, cz, nz)]
            .map(|(first, count, all)| first.checked_add(count).filter(|end| *end <= all));
        let [Some(xe), Some(ye), Some(ze)] = ends else {
            return Err(Error::Unsupported("a box leaves the memory for its values".into()));
        };
        whole.slice_mut(s![z..ze, y..ye, x..xe]).assign(&values);
        Ok(())
    }

    fn set_values(&mut self, info: &FieldInfo, rows: &[BoxRow], field: &Field) -> Result<()> {
        check_values(info, rows, field)?;
        let Some(array) = field.as_array::<T>() else { return Ok(()) };
        let part = rows[0].part(&self.region);
        let [x, y, z] = part.clone();
        self.set(self.place(&rows[0], &part), array.slice(s![z, y, x]))
    }

    fn decode(
        &mut self,
        info: &FieldInfo,
        rows: &[BoxRow],
        stream: &Stream<'_>,
        models: &Models,
        history: Option<&mut History>,
    ) -> Result<()> {
        let parts: Vec<_> = rows.iter().map(|row| row.part(&self.region)).collect();
        let fields = match arrangement(info, rows, stream.header())? {
            Arrangement::AsRows => {
                if let ([row], [part]) = (rows, &parts[..])
                    && let Some(out) = self.contiguous(self.place(row, part), part)
                {
                    return Ok(decompress_regions_into(stream, models, &parts, history, &mut [out])?);
                }
                decompress_regions(stream, models, &parts, history)?
            }
            Arrangement::Stacked if (0..3).all(|a| parts[0][a].len() == rows[0].count[a]) => {
                decompress_boxes(stream, models, history)?
            }
            Arrangement::Stacked => {
                return Err(Error::Unsupported("a list of boxes has no regions".into()));
            }
        };
        let places = rows.iter().zip(&parts).map(|(row, part)| self.place(row, part)).collect();
        for (place, field) in placed(places, fields) {
            if let Some(array) = field.as_array::<T>().filter(|array| !array.is_empty()) {
                self.set(place, array.view())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::step::StepInfo;
    use swae_codec::encode::{Bounded, compress_bounded};
    use swae_codec::group::compress_group;
    use swae_codec::step::{StepField, compress_step};
    use swae_codec::stream::header;
    use swae_codec::{Bound, FieldView};

    const NAMES: [&str; 3] = ["a", "b", "c"];

    /// The first fields of [`NAMES`], of which streams are `[step][field]`.
    struct Several<const N: usize> {
        steps: Vec<StepInfo>,
        streams: Vec<[Vec<u8>; N]>,
        models: Models,
    }

    const COUNT: [usize; 3] = [32, 32, 16];

    impl<const N: usize> Reader for Several<N> {
        fn steps(&self) -> &[StepInfo] {
            &self.steps
        }

        fn models(&self) -> &Models {
            &self.models
        }

        fn read_selected(
            &mut self,
            index: usize,
            field: &str,
            select: &mut dyn FnMut(&[BoxRow]) -> Selection,
        ) -> Result<Vec<Stored>> {
            let field = NAMES.iter().position(|name| *name == field).unwrap();
            let bytes = self.streams[index][field].clone();
            let rows = vec![BoxRow { start: [0; 3], count: COUNT, offset: 0, length: bytes.len() as u64 }];
            let stream = Stream::open(bytes)?;
            let selected = select(&rows) != Selection::Nothing;
            Ok(if selected { vec![Stored::Stream { rows, stream }] } else { Vec::new() })
        }
    }

    fn several<const N: usize>(streams: Vec<[Vec<u8>; N]>) -> Several<N> {
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
        let step = |t: usize| StepInfo {
            step: t as i64,
            time: 0.0,
            fields: NAMES[..N].iter().map(|name| field(name)).collect(),
        };
        Several { steps: (0..streams.len()).map(step).collect(), streams, models: Models::built_in() }
    }

    #[test]
    fn memory_of_the_caller_takes_regions() {
        let values: Vec<f64> = (0..32 * 32 * 16).map(|i| (f64::from(i) * 1e-3).sin()).collect();
        let view = FieldView::dense(&values, COUNT).unwrap();
        let settings = Bounded::new(Bound::Absolute(1e-6));
        let code = || compress_bounded(std::slice::from_ref(&view), &settings, None).unwrap().0;
        let mut reader = several(vec![[code(), code()]]);
        let mut decoder = Decoder::default();
        for region in [None, Some([0..32, 0..32, 3..11]), Some([5..9, 0..32, 3..4]), Some([0..0, 0..1, 0..1])]
        {
            let field = decoder.read_field(&mut reader, 0, "a", region.clone()).unwrap();
            let expected = field.into_array::<f64>().unwrap();
            let mut out = vec![1.0; expected.len()];
            decoder.read_field_into(&mut reader, 0, "a", region.clone(), &mut out).unwrap();
            assert!(expected.iter().eq(&out), "{region:?}");
            let short = decoder.read_field_into(&mut reader, 0, "a", region.clone(), &mut [0.0; 7]);
            assert!(short.unwrap_err().to_string().contains("the memory for it 7"));
            let other = decoder.read_field_into(&mut reader, 0, "a", region, &mut vec![0f32; out.len()]);
            assert!(other.unwrap_err().to_string().contains("float64 values, not float32"));
        }
    }

    /// A lump that moves, faster with each step.
    fn lump(t: f64) -> Vec<f64> {
        let at = |i: usize| [i % 32, i / 32 % 32, i / 1024].map(|c| c as f64 - 12.0 - 0.1 * t * t);
        (0..32 * 32 * 16)
            .map(at)
            .map(|[x, y, z]| (0.4 * x).sin() / (1.0 + 0.02 * (x * x + 2.0 * y * y + z * z)))
            .collect()
    }

    fn double(v: &[f64]) -> Vec<f64> {
        v.iter().map(|v| 2.0 * v).collect()
    }

    #[test]
    fn steps_and_fields_are_read_in_any_order() {
        let values: Vec<[Vec<f64>; 2]> =
            (0..6).map(|t| lump(f64::from(t))).map(|v| [double(&v), v]).collect();
        let mut histories = [History::new(4), History::new(4)];
        let mut encode = |step: &[Vec<f64>; 2]| {
            let views = step.each_ref().map(|v| [FieldView::dense(v, COUNT).unwrap()]);
            let settings = Bounded::new(Bound::Absolute(1e-6));
            let fields = ["a", "b"].iter().zip(&views).zip(&mut histories);
            let fields = fields.map(|((name, views), history)| StepField { name, views, settings, history });
            let streams: Vec<_> = compress_step(fields.collect()).into_iter().map(|s| s.unwrap().0).collect();
            <[Vec<u8>; 2]>::try_from(streams).unwrap()
        };
        let streams: Vec<_> = values.iter().map(&mut encode).collect();
        let headers = streams[5].each_ref().map(|bytes| header(bytes).unwrap());
        assert!(headers.iter().any(|header| !header.reference_fields().is_empty()));
        assert!(headers.iter().all(|header| header.age() == 1));
        let mut reader = several(streams);
        for decoder in [&mut Decoder::default(), &mut Decoder::remembering()] {
            for step in [5, 0, 1, 2, 3, 3, 2, 5, 4] {
                for (field, name) in ["a", "b"].iter().enumerate().rev() {
                    let decoded = decoder.read_field(&mut reader, step, name, None).unwrap();
                    let decoded = decoded.into_array::<f64>().unwrap();
                    let keeps = decoded.iter().zip(&values[step][field]).all(|(d, v)| (d - v).abs() <= 1e-6);
                    assert!(keeps, "step {step}, field {name}");
                    let region = Some([3..9, 0..32, 4..5]);
                    let part = decoder.read_field(&mut reader, step, name, region).unwrap();
                    assert_eq!(part.into_array::<f64>().unwrap(), decoded.slice(s![4..5, .., 3..9]));
                }
            }
        }
    }

    #[test]
    fn steps_of_groups_are_read_in_any_order() {
        let values: Vec<_> = (0..10).map(|t| lump(f64::from(t))).collect();
        let settings = Bounded::new(Bound::Absolute(1e-6));
        let views: Vec<_> = values.iter().map(|v| [FieldView::dense(v, COUNT).unwrap()]).collect();
        let views: Vec<_> = views.iter().map(|view| &view[..]).collect();
        let code = |groups: &[usize]| {
            let (mut history, mut left, mut streams) = (History::new(2), &views[..], Vec::new());
            for &size in groups {
                let (group, others) = left.split_at(size);
                left = others;
                streams.extend(compress_group(group, &settings, &mut history).unwrap());
            }
            streams.into_iter().map(|(bytes, _)| bytes).collect::<Vec<_>>()
        };
        let streams = code(&[1, 4, 5]).into_iter().zip(code(&[2, 1, 7])).map(|(a, b)| [a, b]).collect();
        let mut reader = several(streams);
        for decoder in [&mut Decoder::default(), &mut Decoder::remembering()] {
            for step in (0..10).chain([3, 9, 1, 4, 0, 6, 2, 8, 5, 7]).chain((0..10).rev()) {
                for name in ["a", "b"] {
                    let decoded = decoder.read_field(&mut reader, step, name, None).unwrap();
                    let decoded = decoded.into_array::<f64>().unwrap();
                    let keeps = decoded.iter().zip(&values[step]).all(|(d, v)| (d - v).abs() <= 1e-6);
                    assert!(keeps, "step {step}, field {name}");
                }
            }
        }
        // A step that cannot be read, and one that is lost, take with them those that are predicted from
        // it, and no others.
        let lost =
            |reader: &mut Several<2>, step: usize| Decoder::default().read_field(reader, step, "a", None);
        let whole = std::mem::replace(&mut reader.streams[1], [vec![0], vec![0]]);
        let sound: Vec<_> = (0..10).map(|step| lost(&mut reader, step).is_ok()).collect();
        assert_eq!(sound, [true, false, true, true, true, true, true, true, true, true]);
        reader.streams[1] = whole;
        reader.steps.remove(1);
        reader.streams.remove(1);
        assert!((0..9).all(|step| lost(&mut reader, step).is_ok()));
        // The middle of the group.
        reader.steps.remove(1);
        reader.streams.remove(1);
        let sound: Vec<_> = (0..8).map(|step| lost(&mut reader, step).is_ok()).collect();
        assert_eq!(sound, [true, false, true, true, true, true, true, true]);
    }

    #[test]
    fn a_field_that_two_others_need_is_read_before_either() {
        // b for itself, c from b, and a from both.
        let values: Vec<_> = (0..3).map(|t| lump(f64::from(t))).collect();
        let scaled = |t: usize, by: f64| values[t].iter().map(|v| by * v).collect::<Vec<_>>();
        let mut histories = [(); 3].map(|()| History::default());
        let code = |values: &[f64], history: &mut History| {
            let view = FieldView::dense(values, COUNT).unwrap();
            compress_bounded(&[view], &Bounded::new(Bound::Absolute(1e-6)), Some(history)).unwrap().0
        };
        let step = |t: usize, histories: &mut [History; 3]| {
            let [a, b, c] = histories;
            let second = code(&scaled(t, 2.0), b);
            c.add_reference("b", b);
            let third = code(&scaled(t, 3.0), c);
            a.add_reference("b", b);
            a.add_reference("c", c);
            [code(&values[t], a), second, third]
        };
        let streams: Vec<_> = (0..3).map(|t| step(t, &mut histories)).collect();
        let of = |field: usize| header(&streams[2][field]).unwrap().reference_fields().len();
        assert_eq!([of(0), of(1), of(2)], [2, 0, 1]);
        let mut reader = several(streams.clone());
        for decoder in [&mut Decoder::default(), &mut Decoder::remembering()] {
            for (t, name) in [(1, "b"), (1, "a"), (1, "c"), (2, "b"), (2, "a"), (2, "c"), (0, "a"), (2, "a")]
            {
                let decoded = decoder.read_field(&mut reader, t, name, None);
                assert!(decoded.is_ok(), "step {t}, field {name}: {:?}", decoded.err());
            }
        }
    }

    #[test]
    fn fields_that_are_predicted_from_one_another_in_a_circle_are_an_error() {
        let code = |values: &[f64], history: &mut History| {
            let view = FieldView::dense(values, COUNT).unwrap();
            compress_bounded(&[view], &Bounded::new(Bound::Absolute(1e-6)), Some(history)).unwrap().0
        };
        // A field and its double: each of the two predicts the other.
        let values: Vec<_> = (0..3).map(|t| lump(f64::from(t))).collect();
        let [mut a, mut b] = [History::default(), History::default()];
        let keyframes = [code(&values[0], &mut a), code(&double(&values[0]), &mut b)];
        let predicted = |own: &History, other: &History, name: &str, mine: &[f64], theirs: &[f64]| {
            let (mut own, mut other) = (own.clone(), other.clone());
            code(theirs, &mut other);
            own.add_reference(name, &other);
            code(mine, &mut own)
        };
        let circle = [
            predicted(&a, &b, "b", &values[1], &double(&values[1])),
            predicted(&b, &a, "a", &double(&values[1]), &values[1]),
        ];
        assert_eq!(header(&circle[0]).unwrap().reference_fields(), ["b"]);
        assert_eq!(header(&circle[1]).unwrap().reference_fields(), ["a"]);
        let mut reader = several(vec![keyframes, circle]);
        for decoder in [&mut Decoder::default(), &mut Decoder::remembering()] {
            assert!(decoder.read_field(&mut reader, 0, "a", None).is_ok());
            let message = decoder.read_field(&mut reader, 1, "a", None).unwrap_err().to_string();
            assert!(message.contains("circle"), "{message}");
        }
    }
}
