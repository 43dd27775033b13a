//! What every store gives to readers: the steps that it holds, and the streams or values of a field.
//!
//! The head of a stream is verified here, once; `decode.rs` turns streams into values.

use crate::error::{Error, Result, content};
use crate::step::{BoxRow, Boxes, FieldInfo, StepInfo, boxes_of};
use std::collections::BTreeSet;
use std::path::Path;
use swae_codec::stream::{Kind, Region, Stream};
use swae_codec::{Compression, Dtype, Element, Field, Models, memory};

/// Some boxes of a field, as the file holds them.
#[derive(Clone, Debug)]
pub enum Stored {
    /// As a stream, whose head is verified.
    Stream {
        /// Its boxes, in its order; a list of boxes along z may be one row here.
        rows: Vec<BoxRow>,
        /// The stream; of a region it may have no other tiles than those that the region needs.
        stream: Stream<'static>,
    },
    /// As values: of a file that holds no streams, or a dataset that came through the HDF5 filter.
    Values {
        /// The one box.
        rows: Vec<BoxRow>,
        /// Its values.
        field: Field,
        /// How the HDF5 filter coded them, where it did.
        compression: Option<Compression>,
    },
}

/// What the missing points of a field hold, in double precision: where its stream has any.
pub fn missing_value(stored: &Stored) -> Option<f64> {
    let Stored::Stream { stream, .. } = stored else { return None };
    let Kind::Bounded(preamble) = &stream.header().kind else { return None };
    let bits = preamble.missing?.bits;
    Some(match stream.header().dtype {
        Dtype::F32 => f32::of_bits(bits).to_f64(),
        Dtype::F64 => f64::of_bits(bits),
    })
}

impl Stored {
    /// Where its boxes lie, in the grid and in the file.
    pub fn rows(&self) -> &[BoxRow] {
        match self {
            Self::Stream { rows, .. } | Self::Values { rows, .. } => rows,
        }
    }

    /// First point and size of each box.
    pub fn boxes(&self) -> Boxes {
        boxes_of(self.rows())
    }
}

/// What is read of the boxes of a stream.
#[derive(Clone, Debug, PartialEq)]
pub enum Selection {
    /// Nothing.
    Nothing,
    /// What a region of the grid needs, `[x, y, z]`; all where they are predicted from another step.
    Region(Region),
    /// All of them.
    All,
}

/// Opens the stream of some boxes, of which something is selected; `read` fills memory with its bytes
/// from a place on. No more is read than is needed.
pub(crate) fn open_stream<E: From<swae_codec::Error>>(
    rows: &[BoxRow],
    selection: &Selection,
    mut read: impl FnMut(usize, &mut [u8]) -> std::result::Result<(), E>,
) -> std::result::Result<Stream<'static>, E> {
    let length = rows.first().map_or(0, |row| usize::try_from(row.length).unwrap_or(usize::MAX));
    let Selection::Region(region) = selection else {
        let mut bytes = memory::zeros(length)?;
        read(0, &mut bytes)?;
        return Ok(Stream::open(bytes)?);
    };
    Stream::read(length, read, |header| {
        let as_rows = header.boxes.iter().copied().eq(rows.iter().map(|row| row.count));
        (as_rows && header.age() == 0).then(|| rows.iter().map(|row| row.part(region)).collect())
    })
}

/// What a file holds, and cannot give.
#[derive(Debug)]
pub struct Lost {
    /// A step, a field of a step, or a model.
    pub what: String,
    /// Why.
    pub error: Error,
}

/// A file that gives steps.
pub trait Reader: Send {
    /// The steps, in the order in which they were written.
    fn steps(&self) -> &[StepInfo];

    /// The models that its fields need: built in, or out of the file.
    fn models(&self) -> &Models;

    /// What the file holds and cannot give, once: [`open_damaged`](crate::open_damaged) leaves it
    /// out.
    fn take_lost(&mut self) -> Vec<Lost> {
        Vec::new()
    }

    /// Writes a file of the same kind that has of each step only the fields that are kept, and no
    /// step without any. Streams are copied as they are.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the file holds no streams; else those of reading and writing.
    fn copy(&mut self, _to: &Path, _kept: &[BTreeSet<String>]) -> Result<()> {
        Err(Error::Unsupported("only files that hold steps of swae can be copied in part".into()))
    }

    /// The streams or values of a field of whose boxes something is selected: `select` is called once
    /// for each of them, in the order of the file, and nothing is read or verified of the others.
    /// `index` counts in [`Reader::steps`].
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Content`]; [`Error::Codec`] for a damaged stream.
    fn read_selected(
        &mut self,
        index: usize,
        field: &str,
        select: &mut dyn FnMut(&[BoxRow]) -> Selection,
    ) -> Result<Vec<Stored>>;

    /// All streams or values of a field.
    ///
    /// # Errors
    /// Those of [`Reader::read_selected`].
    fn read_streams(&mut self, index: usize, field: &str) -> Result<Vec<Stored>> {
        self.read_selected(index, field, &mut |_| Selection::All)
    }

    /// The boxes of a field, without their bytes.
    ///
    /// # Errors
    /// Those of [`Reader::read_selected`].
    fn read_boxes(&mut self, index: usize, field: &str) -> Result<Vec<BoxRow>> {
        let mut rows = Vec::new();
        self.read_selected(index, field, &mut |some| {
            rows.extend_from_slice(some);
            Selection::Nothing
        })?;
        Ok(rows)
    }
}

/// What a file says of a field of a step.
///
/// # Errors
/// [`Error::Content`] where the step has no such field.
pub fn find(reader: &dyn Reader, index: usize, field: &str) -> Result<FieldInfo> {
    let step = &reader.steps()[index];
    let found = step.fields.iter().find(|(info, _)| info.name == field);
    found
        .map(|(info, _)| info.clone())
        .ok_or_else(|| content(field.as_ref(), format!("step {} has no field of this name", step.step)))
}
