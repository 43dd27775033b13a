//! Steps of a BP5 output into a new one: streams go as they are.

use super::{Adios2Reader, Adios2Writer};
use crate::durable;
use crate::error::{Error, Result, io};
use crate::new_file::folder_of;
use crate::reader::{Reader, Stored, find};
use crate::step::{BoxRow, FieldInfo, FieldPart, Payload};
use crate::writer::Writer;
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
    if to.exists() {
        return Err(Error::Unsupported(format!("{}: it is there; a folder is not replaced", to.display())));
    }
    let beside =
        tempfile::Builder::new().prefix(".swae-").tempdir_in(folder_of(to)).map_err(|e| io(to, e))?;
    let new = beside.path().join("new.bp");
    // SAFETY: there is no communicator.
    let mut writer: Box<dyn Writer> = Box::new(unsafe { Adios2Writer::create(&new, None)? });
    let models: Vec<Arc<Model>> = reader.models().iter().cloned().collect();
    let models: Vec<_> = models.into_iter().filter(|model| !Models::is_built_in(model.id())).collect();
    for (index, kept) in kept.iter().enumerate().filter(|(_, kept)| !kept.is_empty()) {
        let fields: Result<Vec<_>> = kept.iter().map(|field| copied(reader, index, field)).collect();
        let (fields, step) = (fields?, &reader.steps()[index]);
        let parts: Vec<_> = fields.iter().map(Copied::part).collect();
        writer.check_free_space(&parts)?;
        writer.write_step(step.step, step.time, &parts, &models, &|fits| fits)?;
    }
    writer.close()?;
    std::fs::rename(new, to).and_then(|()| durable::sync_name(to)).map_err(|e| io(to, e))
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

impl Copied {
    fn part(&self) -> FieldPart<'_> {
        FieldPart {
            info: &self.info,
            all_boxes: self.boxes.len(),
            all_bytes: self.streams.len() as u64,
            first_box: 0,
            boxes: self.boxes.clone(),
            payload: Payload::Streams(&self.streams),
        }
    }
}
