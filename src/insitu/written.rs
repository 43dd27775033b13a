//! What a session has written so far: the fields of its file, and its figures. The thread that
//! writes updates it, and the program's calls read it.

use crate::validation::describe;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::time::Duration;
use swae_store::FieldInfo;

/// What is in the file, and what it took to write it.
#[derive(Default)]
pub(crate) struct Written {
    /// The fields of all steps: a field keeps its shape, type and grid.
    pub fields: BTreeMap<String, FieldInfo>,
    pub last_step: Option<i64>,
    pub steps: u64,
    /// Of this rank.
    pub bytes: u64,
    /// Number and bytes of the last step that was counted.
    last_counted: Option<(i64, u64)>,
    /// Threads that encode.
    pub threads: usize,
    /// Time that encoding, communication and writing took.
    pub encoding: Duration,
    pub communication: Duration,
    pub writing: Duration,
}

impl Written {
    /// Counts a step that was written, in place of the last one where that has its number.
    pub(crate) fn count(&mut self, step: i64, bytes: u64) {
        match self.last_counted.filter(|(last, _)| *last == step) {
            Some((_, replaced)) => self.bytes = self.bytes.saturating_sub(replaced),
            None => self.steps += 1,
        }
        self.bytes += bytes;
        self.last_counted = Some((step, bytes));
    }

    /// Checks that a field is what it was in earlier steps.
    ///
    /// # Errors
    /// [`Error::Argument`].
    pub(crate) fn check(&self, info: &FieldInfo) -> Result<()> {
        match self.fields.get(&info.name) {
            Some(known) if known != info => Err(Error::Argument(format!(
                "field '{}': it was {} in an earlier step, now it is {}; use another name",
                info.name,
                describe(known),
                describe(info)
            ))),
            _ => Ok(()),
        }
    }
}
