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
    /// Counts a step that was written.
    pub(crate) fn count(&mut self, step: i64, bytes: u64) {
        self.steps += 1;
        self.bytes += bytes;
        self.last_counted = Some((step, bytes));
    }

    /// Whether the last step that was counted has this number.
    pub(crate) fn counts(&self, step: i64) -> bool {
        self.last_counted.is_some_and(|(last, _)| last == step)
    }

    /// Counts the last step no more: it is taken away.
    pub(crate) fn uncount_last(&mut self) {
        if let Some((_, bytes)) = self.last_counted.take() {
            self.steps -= 1;
            self.bytes -= bytes;
        }
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
