//! The files that sessions of this program have open. A session holds a guard for its file as long
//! as it writes it, because two sessions that write one file would destroy it.

use crate::lock::lock;
use crate::{Error, Result};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard};
use swae_codec::process::PerProcess;
use swae_store::folder_of;

static OPEN: PerProcess<Mutex<BTreeSet<PathBuf>>> = PerProcess::new();

/// A forked child has none of its parent's sessions.
fn open_files() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    lock(OPEN.get(|_| Mutex::default()))
}

/// Keeps other sessions from opening a file until it is dropped.
pub(crate) struct OpenFileGuard(PathBuf);

impl OpenFileGuard {
    /// # Errors
    /// [`Error::State`] where another session has the file open.
    pub(crate) fn of(path: &Path) -> Result<Self> {
        // The file itself need not exist; its folder does, whatever it is called.
        let folder = folder_of(path).canonicalize().ok();
        let whole = folder.map_or_else(|| path.into(), |p| p.join(path.file_name().unwrap_or_default()));
        if !open_files().insert(whole.clone()) {
            return Err(Error::State(format!("{}: another session has it open", path.display())));
        }
        Ok(Self(whole))
    }
}

impl Drop for OpenFileGuard {
    fn drop(&mut self) {
        open_files().remove(&self.0);
    }
}
