//! ADIOS2 BP5. For each step the variables `step`, `time` and, for each field, `chi/stream` and
//! `chi/boxes`; attributes of a field are what does not change from step to step. Models are
//! variables of the first step that needs them.
//!
//! ADIOS2 waits for ever for data that a file cut short no longer has, and crashes on half its
//! metadata. So the writer notes in `swae.sizes`, inside the output's folder, how large every file
//! was when the last step was complete. The reader checks that before ADIOS2 opens the files, and
//! keeps from it what a run that was killed has left half written.

mod copy;
mod group;
mod handle;
mod index;
mod reader;
mod writer;

pub(crate) use reader::Adios2Reader;
pub(crate) use writer::{Adios2Writer, forget};

/// The file that holds the sizes of the others.
const SIZES: &str = "swae.sizes";
