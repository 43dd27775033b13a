//! HDF5, written by all ranks into one file.
//!
//! `/steps/00000010/chi/{stream,boxes}` hold a field of a step, attributes of the groups hold the
//! rest. With `storage = datasets`, `/steps/00000010/chi` is a dataset behind the filter, which any
//! HDF5 program reads. `/models/ID` names each model, and holds its decoder where it is not built
//! in.
//!
//! `writer` creates and continues files, `reader` reads and repairs them, `datasets` reads the
//! files of other programs; `filtered` writes datasets behind the filter; `cut` opens files that lost
//! their end.

mod attributes;
mod cut;
mod datasets;
mod filtered;
mod layout;
mod reader;
mod writer;

pub(crate) use datasets::{DatasetsReader, is_foreign};
pub(crate) use reader::Hdf5Reader;
pub(crate) use writer::Hdf5Writer;
