//! Where compressed steps are kept. A path's ending chooses the store: `.h5` parallel HDF5, `.bp`
//! ADIOS2 BP5 (both hold steps of many fields, written by many ranks), `.swae`, `.npy`, `.vti` one
//! field.
//!
//! Both big stores hold the same things under the same names, which `h5dump` and `bpls` show: for
//! each step its number and time, for each field its `stream` (the bytes of its boxes, one after
//! the other) and its `boxes` (a table: first point and size along x, y, z, and where in `stream`
//! the box lies), and beside them what a reader needs: type, shape, origin, spacing, encoding. With
//! `storage = datasets`, a field of an HDF5 file is an ordinary dataset behind the filter instead.
//!
//! A [`Writer`] takes bytes and never codes; a [`Reader`] gives verified streams or values
//! ([`Stored`]), and a [`Decoder`] makes fields of them.

#[cfg(feature = "adios2")]
mod adios2;
mod box_values;
mod decode;
mod durable;
mod error;
mod free_space;
mod hdf5;
mod names;
mod new_file;
mod new_run;
pub mod plain;
mod reader;
mod references;
mod size;
mod step;
mod vti;
pub mod vtk;
mod writer;

pub use box_values::BoxValues;
pub use decode::{Decoder, read_field};
pub use error::{Cause, Error, Result};
pub use free_space::check_writable;
pub use names::{check_name, escaped, split_level, with_level};
pub use new_file::{NewFile, folder_of, write_file};
pub use new_run::NewRun;
pub use reader::{Lost, Reader, Selection, Stored, find, missing_value};
pub use size::size_on_disk;
pub use step::{BoxRow, Boxes, FieldInfo, FieldPart, Payload, StepInfo};
pub use writer::{Kept, Storage, Writer};

use mpi_sys::MPI_Comm;
use std::path::Path;

/// Creates the file that `path`'s ending chooses. Collective over `comm`.
///
/// # Errors
/// [`Error::Unsupported`] for an unknown ending, [`Error::Io`] where the file cannot be created.
///
/// # Safety
/// `comm` is a valid communicator that outlives the writer.
pub unsafe fn create(path: &Path, comm: MPI_Comm, storage: Storage) -> Result<Box<dyn Writer>> {
    match Kind::of(path)? {
        // SAFETY: the caller's promise.
        Kind::Hdf5 => Ok(Box::new(unsafe { hdf5::Hdf5Writer::create(path, Some(comm), storage)? })),
        #[cfg(feature = "adios2")]
        // SAFETY: the caller's promise.
        Kind::Adios2 => Ok(Box::new(unsafe { adios2::Adios2Writer::create(path, Some(comm))? })),
        #[cfg(not(feature = "adios2"))]
        Kind::Adios2 => Err(no_adios2()),
        Kind::Plain => Err(unwritable_ending(path)),
    }
}

/// As [`create`], by one process without MPI.
///
/// # Errors
/// Those of [`create`].
pub fn create_alone(path: &Path, storage: Storage) -> Result<Box<dyn Writer>> {
    match Kind::of(path)? {
        // SAFETY: there is no communicator.
        Kind::Hdf5 => Ok(Box::new(unsafe { hdf5::Hdf5Writer::create(path, None, storage)? })),
        #[cfg(feature = "adios2")]
        // SAFETY: there is no communicator.
        Kind::Adios2 => Ok(Box::new(unsafe { adios2::Adios2Writer::create(path, None)? })),
        #[cfg(not(feature = "adios2"))]
        Kind::Adios2 => Err(no_adios2()),
        Kind::Plain => Err(unknown_ending(path)),
    }
}

/// Begins a file of streams by one process, which takes its place when it is finished: a file that is
/// there is replaced, a folder is not.
///
/// # Errors
/// Those of [`create`]; [`Error::Unsupported`] for a folder that is there.
pub fn create_run(path: &Path) -> Result<NewRun> {
    check_ending(path)?;
    NewRun::at(path, |beside| create_alone(beside, Storage::Streams))
}

/// What [`append`] keeps of a file: the steps before the one of this number. One rank calls it
/// while the others wait: the file is repaired where a run that was killed has left half of
/// something, and prepared to lose the other steps.
///
/// # Errors
/// Those of [`open`].
pub fn kept(path: &Path, before: i64) -> Result<Kept> {
    match Kind::of(path)? {
        Kind::Hdf5 => {
            let mut reader = hdf5::Hdf5Reader::open(path)?;
            check_whole(&mut reader)?;
            Ok(reader.repaired()?.kept(before))
        }
        #[cfg(feature = "adios2")]
        Kind::Adios2 => {
            adios2::Adios2Reader::repair(path)?;
            let mut reader = adios2::Adios2Reader::open(path)?;
            check_whole(&mut reader)?;
            let steps = reader.steps();
            let count = steps.partition_point(|s| s.step < before);
            if count < steps.len() {
                adios2::forget(path, count)?;
            }
            Ok(Kept::of(&steps[..count]))
        }
        #[cfg(not(feature = "adios2"))]
        Kind::Adios2 => Err(no_adios2()),
        Kind::Plain => Err(unwritable_ending(path)),
    }
}

/// Continues a file of [`create`] behind the steps that are kept. Collective over `comm`; all ranks
/// pass the same.
///
/// # Errors
/// As [`create`].
///
/// # Safety
/// `comm` is a valid communicator that outlives the writer.
pub unsafe fn append(path: &Path, comm: MPI_Comm, kept: &Kept, storage: Storage) -> Result<Box<dyn Writer>> {
    match Kind::of(path)? {
        // SAFETY: the caller's promise.
        Kind::Hdf5 => Ok(Box::new(unsafe { hdf5::Hdf5Writer::append(path, comm, kept, storage)? })),
        #[cfg(feature = "adios2")]
        // SAFETY: the caller's promise.
        Kind::Adios2 => Ok(Box::new(unsafe { adios2::Adios2Writer::append(path, comm, kept)? })),
        #[cfg(not(feature = "adios2"))]
        Kind::Adios2 => Err(no_adios2()),
        Kind::Plain => Err(unwritable_ending(path)),
    }
}

/// Whether [`create`] knows the ending; a check that needs no other rank.
///
/// # Errors
/// [`Error::Unsupported`].
pub fn check_ending(path: &Path) -> Result<()> {
    match Kind::of(path) {
        Ok(Kind::Adios2) if !cfg!(feature = "adios2") => Err(no_adios2()),
        Ok(Kind::Hdf5 | Kind::Adios2) => Ok(()),
        _ => Err(unwritable_ending(path)),
    }
}

/// Whether the library behind the ending admits one thread at a time, and waits there for the other
/// ranks.
pub fn is_exclusive(path: &Path) -> bool {
    matches!(Kind::of(path), Ok(Kind::Hdf5))
}

/// Opens a file that holds steps. An HDF5 file of another program is one step of its
/// three-dimensional datasets.
///
/// # Errors
/// [`Error::Unsupported`] for an unknown ending, [`Error::Io`] where there is no such file,
/// [`Error::Content`] where it is none of ours, or damaged.
pub fn open(path: &Path) -> Result<Box<dyn Reader>> {
    let mut reader = open_as_it_is(path)?;
    check_whole(reader.as_mut())?;
    Ok(reader)
}

/// Fails where something of a file is lost.
fn check_whole(reader: &mut dyn Reader) -> Result<()> {
    reader.take_lost().into_iter().next().map_or(Ok(()), |lost| Err(lost.error))
}

/// Opens a file of which a part may be damaged: what it says of such steps, fields and models is
/// [`Reader::take_lost`], and the others can be read. Whether the bytes of a field are sound shows
/// when it is read.
///
/// # Errors
/// [`Error::Unsupported`] for an unknown ending, [`Error::Io`] where there is no such file,
/// [`Error::Content`] where it is none of ours.
pub fn open_damaged(path: &Path) -> Result<Box<dyn Reader>> {
    let cut: Option<Result<Box<dyn Reader>>> = match Kind::of(path)? {
        Kind::Hdf5 => hdf5::Hdf5Reader::open_cut(path).map(|cut| Ok(Box::new(cut?) as _)),
        #[cfg(feature = "adios2")]
        Kind::Adios2 => adios2::Adios2Reader::open_cut(path).map(|cut| Ok(Box::new(cut?) as _)),
        _ => None,
    };
    cut.unwrap_or_else(|| open_as_it_is(path))
}

fn open_as_it_is(path: &Path) -> Result<Box<dyn Reader>> {
    if !path.exists() {
        return Err(error::io(path, std::io::Error::new(std::io::ErrorKind::NotFound, "no such file")));
    }
    // What the operating system refuses is not damaged.
    std::fs::File::open(path).map_err(|e| error::io(path, e))?;
    match Kind::of(path)? {
        Kind::Hdf5 => match hdf5::Hdf5Reader::open(path) {
            Ok(reader) => Ok(Box::new(reader)),
            Err(e) => match hdf5::DatasetsReader::open(path) {
                Some(reader) => Ok(Box::new(reader)),
                None if hdf5::is_foreign(path) => Err(error::content(
                    path,
                    "it holds neither steps of swae nor a dataset of three axes of float32 or float64",
                )),
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

/// The stores, by a path's ending.
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

fn unknown_ending(path: &Path) -> Error {
    Error::Unsupported(format!(
        "{}: the ending chooses the store; known: .h5 and .bp (steps of a simulation), .swae, .npy and .vti (one field)",
        path.display()
    ))
}

fn unwritable_ending(path: &Path) -> Error {
    Error::Unsupported(format!("{}: steps are written to .h5 or .bp", path.display()))
}

fn no_adios2() -> Error {
    Error::Unsupported("this build has no ADIOS2; build swae with --features adios2, or write .h5".into())
}
