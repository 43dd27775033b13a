//! Steps of a BP5 output into a new one: streams go as they are.

use super::{Adios2Reader, Adios2Writer};
use crate::error::Result;
use crate::new_run::NewRun;
use crate::reader::{Reader, Stored, find};
use crate::step::{BoxRow, FieldInfo, FieldPart};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use swae_codec::{Model, Models};

/// A field with its table of boxes and its streams.
struct Copied {
    info: FieldInfo,
    boxes: Vec<BoxRow>,
    streams: Vec<u8>,
}

/// Writes the fields that are kept of each step. The output appears when it is whole.
pub(super) fn copy(reader: &mut Adios2Reader, to: &Path, kept: &[BTreeSet<String>]) -> Result<()> {
    // SAFETY: there is no communicator.
    let create = |beside: &Path| Ok(Box::new(unsafe { Adios2Writer::create(beside, None)? }) as _);
    let mut run = NewRun::at(to, create)?;
    let models: Vec<Arc<Model>> = reader.models().iter().cloned().collect();
    let models: Vec<_> = models.into_iter().filter(|model| !Models::is_built_in(model.id())).collect();
    for (index, kept) in kept.iter().enumerate().filter(|(_, kept)| !kept.is_empty()) {
        let fields: Result<Vec<_>> = kept.iter().map(|field| copied(reader, index, field)).collect();
        let (fields, step) = (fields?, &reader.steps()[index]);
        let parts = fields.iter().map(|f| FieldPart::alone(&f.info, f.boxes.clone(), &f.streams));
        let parts: Vec<_> = parts.collect();
        run.write_step(step.step, step.time, &parts, &models)?;
    }
    run.finish()
}

fn copied(reader: &mut Adios2Reader, index: usize, field: &str) -> Result<Copied> {
    let info = find(reader, index, field)?;
    let (mut boxes, mut streams) = (Vec::new(), Vec::new());
    for stored in reader.read_streams(index, field)? {
        let Stored::Stream { rows, stream } = stored else { continue };
        let (offset, length) = (streams.len() as u64, stream.bytes().len() as u64);
        boxes.extend(rows.into_iter().map(|row| BoxRow { offset, length, ..row }));
        streams.extend_from_slice(stream.bytes());
    }
    Ok(Copied { info, boxes, streams })
}
