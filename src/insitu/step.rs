//! A step on a rank, on its way from the program's memory to the file: the boxes that were put,
//! encoded or copied. The types that the parts of a session hand on to one another are here; what
//! is done with them is not.

use crate::lock_ticket::LockTicket;
use crate::options::{RangeOf, Repeat};
use crate::{Error, Result};
use std::collections::BTreeMap;
use swae_codec::bound::ValueRange;
use swae_codec::{Bound, Compression, Element, Field, FieldView, memory};
use swae_store::{BoxRow, BoxValues, FieldInfo, split_level};

/// A field's grid, or one level of it. All triples are `[x, y, z]`.
#[derive(Clone, Debug, PartialEq)]
pub struct Grid {
    /// Level of refinement; the field of a level above 0 is called `name@level` in the file.
    pub level: u32,
    /// Whether boxes need not cover the grid; above level 0 they never need.
    pub partial: bool,
    /// Points of the whole grid.
    pub shape: [usize; 3],
    /// Coordinates of the grid's point 0.
    pub origin: [f64; 3],
    /// Distance between points.
    pub spacing: [f64; 3],
}

/// A box of values, and the point of the grid where it begins.
pub type Placed<'a, T> = ([usize; 3], FieldView<'a, T>);

/// A copy of a box of values, and the point of the grid where it begins.
pub(crate) type PlacedField = ([usize; 3], Field);

/// The range of each field, as it is called in files, on all ranks.
pub(crate) type Ranges = BTreeMap<String, ValueRange>;

/// A rank's part of a step.
pub(crate) struct Step {
    pub number: i64,
    pub time: f64,
    /// The first thing that went wrong.
    pub failure: Option<Error>,
    /// What is ready to be written, in the order of the puts.
    pub puts: Vec<Put>,
    /// What is not.
    pub copies: Vec<Copied>,
    /// When it may be written, where another thread does it.
    pub ticket: Option<LockTicket>,
    /// The ranges of those fields that need one, as soon as they are gathered from all ranks.
    pub ranges: Ranges,
    /// What becomes of the last step, where this one has its number.
    pub repeat: Option<Repeat>,
    /// Whether it is to be predicted from no other step, for the last one will be gone.
    pub forgets_last: bool,
    /// Settings of fields that have named none on this rank so far.
    pub idle_settings: Vec<String>,
}

/// A rank's boxes of one field, ready to be written.
pub(crate) struct Put {
    pub info: FieldInfo,
    pub boxes: Vec<BoxRow>,
    pub content: Content,
}

/// What is written of a field.
pub(crate) enum Content {
    /// The streams of its boxes, one after the other.
    Streams(Vec<u8>),
    /// The values of its boxes, which the store compresses.
    Values(Vec<BoxValues>),
}

/// Boxes of a field that are encoded later: because their bound depends on the range that the field
/// has on all ranks, or because the simulation goes on meanwhile.
pub(crate) struct Copied {
    pub info: FieldInfo,
    pub compression: Compression,
    pub range: RangeOf,
    pub boxes: Vec<PlacedField>,
}

impl Step {
    pub(crate) fn new(number: i64, time: f64, failure: Option<Error>) -> Self {
        Self {
            number,
            time,
            failure,
            puts: Vec::new(),
            copies: Vec::new(),
            ticket: None,
            ranges: Ranges::new(),
            repeat: None,
            forgets_last: false,
            idle_settings: Vec::new(),
        }
    }

    /// Notes an error, if it is the first.
    pub(crate) fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Bytes of the copies.
    pub(crate) fn copied(&self) -> usize {
        let values = self.puts.iter().map(Put::copied).sum::<usize>();
        values + self.copies.iter().map(Copied::bytes).sum::<usize>()
    }

    /// This rank's ranges of the fields that need one, which wait for the end of the step; missing
    /// values are left out. `compression` is that of a field, as it is called in files.
    pub(crate) fn own_ranges<'a>(&self, compression: impl Fn(&str) -> Option<&'a Compression>) -> Ranges {
        let copies = self
            .copies
            .iter()
            .flat_map(|copied| copied.boxes.iter().map(|(_, field)| (&copied.info.name, field)));
        let values = self.puts.iter().flat_map(|put| {
            let values = put.content.values().iter().map(BoxValues::values);
            values.map(|field| (&put.info.name, field))
        });
        let mut ranges = Ranges::new();
        for (name, field) in copies.chain(values) {
            let Some(compression) = compression(name).filter(|c| needs_range(c)) else { continue };
            let range = match field {
                Field::F32(a) => FieldView::of_array(a).map(|v| ValueRange::without(&v, compression.fill)),
                Field::F64(a) => FieldView::of_array(a).map(|v| ValueRange::without(&v, compression.fill)),
            };
            // A copy is contiguous; whatever happens, the others wait for this rank in the
            // exchange.
            widen(&mut ranges, name.clone(), range.unwrap_or(ValueRange::EMPTY));
        }
        ranges
    }

    /// The range that a field's bound refers to, as soon as ranges are gathered.
    pub(crate) fn range(&self, stored: &str, of: RangeOf) -> Option<ValueRange> {
        if of == RangeOf::Level {
            return self.ranges.get(stored).copied();
        }
        let name = base_name(stored);
        let levels = self.ranges.iter().filter(|(other, _)| base_name(other) == name);
        levels.map(|(_, range)| *range).reduce(ValueRange::union)
    }

    /// The field's put of this step, if there is one.
    pub(crate) fn put(&self, name: &str) -> Option<&Put> {
        self.puts.iter().find(|put| put.info.name == name)
    }

    /// This rank's put of a field, to which boxes are added; a new one has this content, which is
    /// empty.
    pub(crate) fn put_of(&mut self, info: &FieldInfo, empty: fn() -> Content) -> Result<&mut Put> {
        let at = match self.puts.iter().position(|put| put.info.name == info.name) {
            Some(at) => at,
            None => {
                self.puts.push(Put { info: info.clone(), boxes: Vec::new(), content: empty() });
                self.puts.len() - 1
            }
        };
        let put = &mut self.puts[at];
        if &put.info != info {
            return Err(Error::Argument(format!(
                "field '{}': its boxes of one step have different grids",
                info.name
            )));
        }
        Ok(put)
    }
}

impl Put {
    /// Adds boxes whose values the store compresses.
    pub(crate) fn add_values(&mut self, added: BoxValues) {
        let Content::Values(copies) = &mut self.content else { return };
        for &(start, count) in added.boxes() {
            let offset = self.boxes.last().map_or(0, |row| row.offset + row.length);
            let length = (count.iter().product::<usize>() * self.info.dtype.size()) as u64;
            self.boxes.push(BoxRow { start, count, offset, length });
        }
        copies.push(added);
    }

    /// Bytes of the values that the store compresses.
    fn copied(&self) -> usize {
        self.content.values().iter().map(BoxValues::bytes).sum()
    }
}

impl Content {
    /// The streams of this rank's boxes; none where the store compresses values.
    pub(crate) fn streams(&self) -> &[u8] {
        if let Self::Streams(bytes) = self { bytes } else { &[] }
    }

    /// The values of this rank's boxes, where the store compresses them.
    pub(crate) fn values(&self) -> &[BoxValues] {
        if let Self::Values(copies) = self { copies } else { &[] }
    }
}

impl Copied {
    /// # Errors
    /// [`Error::Memory`].
    pub(crate) fn new<T: Element>(
        info: FieldInfo,
        compression: Compression,
        range: RangeOf,
        boxes: &[Placed<'_, T>],
    ) -> Result<Self> {
        let copy = |(start, view): &Placed<'_, T>| {
            let [nx, ny, nz] = view.count();
            let values = memory::collect(view.len(), view.values())?;
            let copy = ndarray::Array3::from_shape_vec((nz, ny, nx), values);
            Ok((*start, Field::from_array(copy.expect("a view has as many values as its shape says"))))
        };
        Ok(Self { info, compression, range, boxes: boxes.iter().map(copy).collect::<Result<_>>()? })
    }

    fn bytes(&self) -> usize {
        let of = |field: &Field| field.count().iter().product::<usize>() * field.dtype().size();
        self.boxes.iter().map(|(_, field)| of(field)).sum()
    }
}

/// Whether boxes must wait for the range that the field has on all ranks.
pub(crate) fn needs_range(compression: &Compression) -> bool {
    compression.bound().is_some_and(Bound::needs_range)
}

pub(crate) fn widen(ranges: &mut Ranges, name: String, range: ValueRange) {
    let entry = ranges.entry(name).or_insert(ValueRange::EMPTY);
    *entry = entry.union(range);
}

/// A field's name without its level.
fn base_name(stored: &str) -> &str {
    split_level(stored).0
}
