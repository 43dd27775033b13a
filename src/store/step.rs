//! What a file holds of a step: its fields, their boxes, and the bytes of each.
//!
//! These types are the same for all stores; nothing here knows a file format.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::box_values::BoxValues;
use crate::size::points;
use serde::{Deserialize, Serialize};
use swae_codec::stream::Region;
use swae_codec::{Compression, Dtype};

/// A field without its values. All triples are `[x, y, z]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldInfo {
    /// Its name.
    pub name: String,
    /// Type of the values.
    pub dtype: Dtype,
    /// Points of the whole grid.
    pub shape: [usize; 3],
    /// Coordinates of point 0.
    pub origin: [f64; 3],
    /// Distance between points, in the simulation's units.
    pub spacing: [f64; 3],
    /// How it is compressed, for people: `rel 1e-4`, `latent gr-16 f16`, `raw`.
    pub encoding: String,
    /// Whether boxes need not cover the grid, as on a level of an AMR hierarchy; elsewhere, a
    /// reader gives NaN.
    pub partial: bool,
}

impl FieldInfo {
    /// Bytes of the values as the simulation holds them.
    pub fn raw_bytes(&self) -> u64 {
        (points(self.shape) as u64).saturating_mul(self.dtype.size() as u64)
    }
}

/// A step that a file holds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepInfo {
    /// The number that the simulation gave it.
    pub step: i64,
    /// The time that the simulation gave it.
    pub time: f64,
    /// Its fields, with the bytes that each takes in the file (stream and table of boxes).
    pub fields: Vec<(FieldInfo, u64)>,
}

/// Where one box of a field lies, in the grid and in the field's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BoxRow {
    /// First point.
    pub start: [usize; 3],
    /// Points along each axis.
    pub count: [usize; 3],
    /// First byte in the field's stream.
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
}

impl BoxRow {
    pub(crate) const COLUMNS: usize = 8;

    /// The one box of a field whose values are stored as they are.
    pub(crate) fn whole(info: &FieldInfo) -> Self {
        Self { start: [0; 3], count: info.shape, offset: 0, length: info.raw_bytes() }
    }

    pub(crate) fn to_table(rows: &[Self]) -> Vec<u64> {
        let row = |r: &Self| {
            let at = [r.start, r.count].concat().into_iter().map(|n| n as u64);
            at.chain([r.offset, r.length]).collect::<Vec<_>>()
        };
        rows.iter().flat_map(row).collect()
    }

    pub(crate) fn from_table(table: &[u64]) -> Vec<Self> {
        let triple = |t: &[u64]| std::array::from_fn(|a| t[a] as usize);
        let row =
            |t: &[u64]| Self { start: triple(&t[..3]), count: triple(&t[3..6]), offset: t[6], length: t[7] };
        table.chunks_exact(Self::COLUMNS).map(row).collect()
    }

    /// The part of the box that lies in a region of the grid, from the box's first point.
    pub(crate) fn part(&self, region: &Region) -> Region {
        std::array::from_fn(|a| {
            let (start, end) = (self.start[a], self.start[a].saturating_add(self.count[a]));
            let clip = |v: usize| v.clamp(start, end).saturating_sub(start);
            clip(region[a].start)..clip(region[a].end)
        })
    }

    /// Rows of the same bytes together: one stream may hold many boxes.
    pub(crate) fn by_stream(rows: Vec<Self>) -> Vec<Vec<Self>> {
        let same = |a: &Self, b: &Self| (a.offset, a.length) == (b.offset, b.length);
        rows.chunk_by(same).map(<[Self]>::to_vec).collect()
    }
}

/// First point and size of each box of a stream: the same in every step, until the simulation
/// regrids.
pub type Boxes = Vec<([usize; 3], [usize; 3])>;

/// First point and size of each row.
pub(crate) fn boxes_of(rows: &[BoxRow]) -> Boxes {
    rows.iter().map(|row| (row.start, row.count)).collect()
}

/// One rank's part of one field of one step.
#[derive(Clone, Debug)]
pub struct FieldPart<'a> {
    /// The field; the same on all ranks.
    pub info: &'a FieldInfo,
    /// Boxes of all ranks.
    pub all_boxes: usize,
    /// Bytes of all ranks.
    pub all_bytes: u64,
    /// Boxes of the ranks before this one.
    pub first_box: usize,
    /// This rank's boxes; their bytes follow one another.
    pub boxes: Vec<BoxRow>,
    /// What is written of them.
    pub payload: Payload<'a>,
}

/// What is written of the boxes of a field.
#[derive(Clone, Debug)]
pub enum Payload<'a> {
    /// This rank's streams, one after the other.
    Streams(&'a [u8]),
    /// This rank's values, with `storage = datasets` (HDF5 only): the field becomes an ordinary
    /// dataset, which the filter compresses.
    Values {
        /// Copies of this rank's boxes, all of them those of [`FieldPart::boxes`].
        copies: &'a [BoxValues],
        /// How the filter compresses them; the same on all ranks. The filter sees a chunk at a
        /// time, so a bound depends on no range of the whole field.
        compression: Compression,
    },
}

impl<'a> FieldPart<'a> {
    /// All streams of a field, of one process.
    pub fn alone(info: &'a FieldInfo, boxes: Vec<BoxRow>, streams: &'a [u8]) -> Self {
        let (all_boxes, all_bytes) = (boxes.len(), streams.len() as u64);
        let payload = Payload::Streams(streams);
        Self { info, all_boxes, all_bytes, first_box: 0, boxes, payload }
    }

    /// This rank's streams; none where the store compresses values.
    pub fn streams(&self) -> &'a [u8] {
        if let Payload::Streams(bytes) = self.payload { bytes } else { &[] }
    }
}
