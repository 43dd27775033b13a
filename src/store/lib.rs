//! Where compressed steps are kept. A path's ending chooses the store: `.h5` parallel HDF5, `.bp` ADIOS2 BP5 (both
//! hold steps of many fields, written by many ranks), `.swae`, `.npy`, `.vti` one field.
//!
//! Both big stores hold the same things under the same names, which `h5dump` and `bpls` show: for each step its
//! number and time, for each field its `stream` (the bytes of its boxes, one after the other) and its `boxes` (a
//! table: first point and size along x, y, z, and where in `stream` the box lies), and beside them what a reader
//! needs to know: type, shape, origin, spacing, encoding. In HDF5 a field may instead be an ordinary dataset behind
//! the filter.

#[cfg(feature = "adios2")]
mod adios2;
mod box_values;
mod datasets;
mod decode;
mod filtered;
mod hdf5;
pub mod plain;
mod room;
pub mod vtk;

pub use box_values::BoxValues;
pub use decode::{Decoder, read_field};

use mpi_sys::MPI_Comm;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use swae_codec::bound::Tolerance;
use swae_codec::stream::Kind as Coding;
use swae_codec::{Compression, Dtype, Model, Models};
use swae_plugins::parameters::Parameters;

/// What can go wrong between a step and its file.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file cannot be made, opened, written or read.
    #[error("{}: {reason}", .path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system or the I/O library says.
        reason: String,
    },
    /// The file is not one of ours, or is damaged.
    #[error("{}: {reason}", .path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The path's ending, or this build, does not allow it.
    #[error("{0}")]
    Unsupported(String),
    /// A field's bytes cannot be decoded.
    #[error(transparent)]
    Codec(#[from] swae_codec::Error),
}

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// What a reader needs to know of a field beside its values. All triples are `[x, y, z]`.
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
    /// How it is coded, for people: `rel 1e-4`, `latent gr-16 f16`, `raw`.
    pub encoding: String,
    /// Whether boxes need not cover the grid, as on a level of an AMR hierarchy; where none lies, a reader gives NaN.
    pub partial: bool,
}

/// A stream's own account of how it is coded.
fn encoding(kind: &Coding, models: &Models) -> String {
    match kind {
        Coding::Raw => "raw".into(),
        Coding::Latent(coding, id) => {
            let known = models.name_of(*id).map(String::from);
            format!("latent {} {}", known.unwrap_or_else(|| id.to_string()), coding.name())
        }
        Coding::Bounded(preamble) => match preamble.tolerance {
            Tolerance::Absolute(e) => format!("abs {e:.3e}"),
            Tolerance::PointwiseRelative(r) => format!("pwrel {r:.3e}"),
        },
        _ => "of a newer swae".into(),
    }
}

impl FieldInfo {
    /// Bytes of the values as the simulation holds them.
    pub fn raw_bytes(&self) -> u64 {
        self.shape.iter().product::<usize>() as u64 * self.dtype.size() as u64
    }
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
    const COLUMNS: usize = 8;

    fn to_table(rows: &[Self]) -> Vec<u64> {
        let row = |r: &Self| {
            let at = [r.start, r.count].concat().into_iter().map(|n| n as u64);
            at.chain([r.offset, r.length]).collect::<Vec<_>>()
        };
        rows.iter().flat_map(row).collect()
    }

    fn from_table(table: &[u64]) -> Vec<Self> {
        let triple = |t: &[u64]| std::array::from_fn(|a| t[a] as usize);
        let row =
            |t: &[u64]| Self { start: triple(&t[..3]), count: triple(&t[3..6]), offset: t[6], length: t[7] };
        table.chunks_exact(Self::COLUMNS).map(row).collect()
    }

    /// Rows of the same bytes together: one stream may hold many boxes.
    fn by_stream(rows: Vec<Self>) -> Vec<Vec<Self>> {
        let same = |a: &Self, b: &Self| (a.offset, a.length) == (b.offset, b.length);
        rows.chunk_by(same).map(<[Self]>::to_vec).collect()
    }
}

/// A stream of a field, and where the boxes that it holds lie; a list along z may be one box here.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredStream {
    /// Its boxes, in its order.
    pub rows: Vec<BoxRow>,
    /// The stream.
    pub bytes: Vec<u8>,
    /// How the HDF5 filter has coded the values, where they came through it: the stream then holds what it gave.
    pub filter: Option<Parameters>,
}

/// First point and size of each box of a stream: the same from step to step, as long as the simulation does not regrid.
pub type Boxes = Vec<([usize; 3], [usize; 3])>;

impl StoredStream {
    /// Where its boxes lie.
    pub fn boxes(&self) -> Boxes {
        self.rows.iter().map(|row| (row.start, row.count)).collect()
    }
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
    /// This rank's values: the field becomes an ordinary dataset, which the filter compresses (HDF5 alone).
    Values {
        /// Copies of this rank's boxes, all of them those of [`FieldPart::boxes`].
        copies: &'a [BoxValues],
        /// How the filter compresses them; the same on all ranks. The filter sees a chunk at a
        /// time, so a bound depends on no range of the whole field.
        compression: Compression,
    },
}

impl<'a> FieldPart<'a> {
    /// This rank's streams; none where the store compresses values.
    pub fn streams(&self) -> &'a [u8] {
        if let Payload::Streams(bytes) = self.payload { bytes } else { &[] }
    }
}

/// A file that takes steps. Every call is collective over the communicator it was made with.
pub trait Writer: Send {
    /// Writes a step whole, and says how many bytes of it this rank answers for. `all` says whether something holds on all
    /// ranks; each calls it as often as the others. Where a rank fails, readers see nothing of the step, though other ranks may
    /// return without an error.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn write_step(
        &mut self,
        step: i64,
        time: f64,
        fields: &[FieldPart<'_>],
        models: &[Arc<Model>],
        all: &dyn Fn(bool) -> bool,
    ) -> Result<u64>;
    /// The file.
    fn path(&self) -> &Path;
    /// Whether the step fits on the disk: one rank asks before all write, for the libraries below do not survive it if not.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn has_room(&self, fields: &[FieldPart<'_>]) -> Result<()> {
        let full = |e: std::io::Error| Error::Io { path: self.path().into(), reason: e.to_string() };
        room::find(self.path(), fields).map_err(full)
    }
    /// Called when all ranks have written the step: notes what a reader can check the file against.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn seal(&self) -> Result<()> {
        Ok(())
    }
    /// Closes the file; what was written is safe when it returns.
    ///
    /// # Errors
    /// [`Error::Io`].
    fn close(self: Box<Self>) -> Result<()>;
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

/// A file that gives steps.
pub trait Reader: Send {
    /// The steps, in the order in which they were written.
    fn steps(&self) -> &[StepInfo];
    /// The models that its fields need: built in, or out of the file.
    fn models(&self) -> &Models;
    /// The streams of a field. `index` counts in [`Reader::steps`].
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Content`].
    fn read_streams(&mut self, index: usize, field: &str) -> Result<Vec<StoredStream>>;
}

/// Makes the file that `path`'s ending says. Collective over `comm`.
///
/// # Errors
/// [`Error::Unsupported`] for an unknown ending, [`Error::Io`] where the file cannot be made.
///
/// # Safety
/// `comm` is a valid communicator that outlives the writer.
pub unsafe fn create(path: &Path, comm: MPI_Comm) -> Result<Box<dyn Writer>> {
    match Kind::of(path)? {
        // SAFETY: the caller's promise.
        Kind::Hdf5 => Ok(Box::new(unsafe { hdf5::Hdf5Writer::create(path, comm)? })),
        #[cfg(feature = "adios2")]
        // SAFETY: the caller's promise.
        Kind::Adios2 => Ok(Box::new(unsafe { adios2::Adios2Writer::create(path, comm)? })),
        #[cfg(not(feature = "adios2"))]
        Kind::Adios2 => Err(no_adios2()),
        Kind::Plain => Err(unknown_ending(path)),
    }
}

/// Whether this rank is the first one.
///
/// # Safety
/// `comm` is a valid communicator.
unsafe fn is_first(comm: MPI_Comm) -> bool {
    let mut rank = 0;
    // SAFETY: the caller's promise.
    unsafe { mpi_sys::MPI_Comm_rank(comm, &mut rank) };
    rank == 0
}

/// What is kept of a file that is continued.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Fields of its steps.
    pub fields: Vec<FieldInfo>,
    /// How many steps.
    steps: usize,
    /// The name of the last of them.
    last: Option<String>,
    /// Names of what goes.
    dropped: Vec<String>,
}

impl Kept {
    fn of(steps: &[StepInfo]) -> Self {
        let mut fields: Vec<_> = steps.iter().flat_map(|s| &s.fields).map(|(info, _)| info.clone()).collect();
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        fields.dedup_by(|a, b| a.name == b.name);
        Self { fields, steps: steps.len(), ..Self::default() }
    }
}

/// What [`append`] is to keep of a file: the steps before the one of this number. One rank asks, and the others wait: the file
/// is repaired where a run that was killed has left half of something, and made ready to lose the other steps.
///
/// # Errors
/// Those of [`open`].
pub fn kept(path: &Path, before: i64) -> Result<Kept> {
    match Kind::of(path)? {
        Kind::Hdf5 => Ok(hdf5::Hdf5Reader::open(path)?.repaired()?.kept(before)),
        #[cfg(feature = "adios2")]
        Kind::Adios2 => {
            adios2::Adios2Reader::repair(path)?;
            let reader = adios2::Adios2Reader::open(path)?;
            let steps = reader.steps();
            let count = steps.partition_point(|s| s.step < before);
            if count < steps.len() {
                adios2::forget(path, count)?;
            }
            Ok(Kept::of(&steps[..count]))
        }
        #[cfg(not(feature = "adios2"))]
        Kind::Adios2 => Err(no_adios2()),
        Kind::Plain => Err(unknown_ending(path)),
    }
}

/// Goes on with a file that [`create`] has made, behind the steps that are kept. Collective over `comm`; all ranks pass the
/// same.
///
/// # Errors
/// As [`create`].
///
/// # Safety
/// `comm` is a valid communicator that outlives the writer.
pub unsafe fn append(path: &Path, comm: MPI_Comm, kept: &Kept) -> Result<Box<dyn Writer>> {
    match Kind::of(path)? {
        // SAFETY: the caller's promise.
        Kind::Hdf5 => Ok(Box::new(unsafe { hdf5::Hdf5Writer::append(path, comm, kept)? })),
        #[cfg(feature = "adios2")]
        // SAFETY: the caller's promise.
        Kind::Adios2 => Ok(Box::new(unsafe { adios2::Adios2Writer::append(path, comm, kept)? })),
        #[cfg(not(feature = "adios2"))]
        Kind::Adios2 => Err(no_adios2()),
        Kind::Plain => Err(unknown_ending(path)),
    }
}

/// Whether [`create`] knows the ending; a check that needs no other rank.
///
/// # Errors
/// [`Error::Unsupported`].
pub fn check_ending(path: &Path) -> Result<()> {
    match Kind::of(path)? {
        Kind::Plain => Err(unknown_ending(path)),
        Kind::Adios2 if !cfg!(feature = "adios2") => Err(no_adios2()),
        _ => Ok(()),
    }
}

/// Whether the library behind the ending lets one thread in at a time, and waits there for the other ranks.
pub fn is_exclusive(path: &Path) -> bool {
    matches!(Kind::of(path), Ok(Kind::Hdf5))
}

/// Opens a file that holds steps. An HDF5 file of another program is one step of its three-dimensional datasets.
///
/// # Errors
/// [`Error::Unsupported`] for an unknown ending, [`Error::Io`] where there is no such file, [`Error::Content`] where it is
/// none of ours.
pub fn open(path: &Path) -> Result<Box<dyn Reader>> {
    if !path.exists() {
        return Err(Error::Io { path: path.into(), reason: "no such file".into() });
    }
    match Kind::of(path)? {
        Kind::Hdf5 => match hdf5::Hdf5Reader::open(path) {
            Ok(reader) => Ok(Box::new(reader)),
            Err(e) => match datasets::DatasetsReader::open(path) {
                Some(reader) => Ok(Box::new(reader)),
                None => Err(e),
            },
        },
        #[cfg(feature = "adios2")]
        Kind::Adios2 => Ok(Box::new(adios2::Adios2Reader::open(path)?)),
        #[cfg(not(feature = "adios2"))]
        Kind::Adios2 => Err(no_adios2()),
        Kind::Plain => Ok(Box::new(plain::PlainReader::open(path)?)),
    }
}

enum Kind {
    Hdf5,
    Adios2,
    Plain,
}

impl Kind {
    fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|e| e.to_str()) {
            Some("h5" | "hdf5") => Ok(Self::Hdf5),
            Some("bp") => Ok(Self::Adios2),
            Some("swae" | "npy" | "vti") => Ok(Self::Plain),
            _ => Err(unknown_ending(path)),
        }
    }
}

/// Bytes of a file, or of all files in a folder, which a BP5 output is.
///
/// # Errors
/// Where it cannot be read.
pub fn size_on_disk(path: &Path) -> std::io::Result<u64> {
    if path.is_file() {
        return Ok(path.metadata()?.len());
    }
    std::fs::read_dir(path)?.map(|entry| size_on_disk(&entry?.path())).sum()
}

/// Whether so many values of a type can be in a file of `limit` bytes that stores them as they are: a damaged shape must
/// not take memory.
fn check_size<T>(count: usize, limit: u64) -> std::result::Result<usize, String> {
    match count.checked_mul(size_of::<T>()) {
        Some(bytes) if bytes as u64 <= limit => Ok(count),
        _ => Err(format!("it says that it holds {count} values, more than the file has")),
    }
}

fn unknown_ending(path: &Path) -> Error {
    Error::Unsupported(format!(
        "{}: the ending chooses the store; known: .h5 and .bp (steps of a simulation), .swae, .npy and .vti (one field)",
        path.display()
    ))
}

fn no_adios2() -> Error {
    Error::Unsupported("this build has no ADIOS2; build swae with --features adios2, or write .h5".into())
}

/// What a file says of a field of a step.
///
/// # Errors
/// [`Error::Content`] where the step has no such field.
pub fn find(reader: &dyn Reader, index: usize, field: &str) -> Result<FieldInfo> {
    let step = &reader.steps()[index];
    let found = step.fields.iter().find(|(info, _)| info.name == field);
    found.map(|(info, _)| info.clone()).ok_or_else(|| Error::Content {
        path: field.into(),
        reason: format!("step {} has no field of this name", step.step),
    })
}
