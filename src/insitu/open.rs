//! Opening a session: arguments and options are validated on all ranks, and the file is made or
//! found. Nothing is encoded or written here; `session` takes over what this gives.

use crate::collective::Ranks;
use crate::device_pool::{DevicePool, NodeLoads, Threads};
use crate::encoder::{Encoder, EncoderSettings};
use crate::file_lock::FileLock;
use crate::lock::lock;
use crate::lock_ticket::LockTicket;
use crate::open_files::OpenFileGuard;
use crate::options::{Asynchronous, Options, Storage};
use crate::output::{Communicators, File, Output};
use crate::written::Written;
use crate::{Error, Result};
use mpi::environment::{Threading, threading_support};
use mpi::ffi::MPI_Comm;
use mpi::traits::*;
use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Mutex};
use swae_codec::config::{DEFAULT_MODEL, Mode};
use swae_codec::predict::mixing::is_mixing_model;
use swae_codec::threads::cores;
use swae_codec::{Model, Models};
use swae_filter::panics::caught;
use swae_store::FieldInfo;

/// The parts of a session that has opened.
pub(crate) struct Opened {
    pub options: Options,
    pub model: Option<Arc<Model>>,
    pub encoder: Arc<Mutex<Encoder>>,
    pub output: Arc<Mutex<Output>>,
    /// A second communicator, where a thread in the background uses the first one.
    pub for_calls: Option<Ranks>,
    /// Whether the library that writes the file lets one thread in at a time.
    pub is_exclusive: bool,
    pub guard: OpenFileGuard,
    pub file_lock: Option<FileLock>,
    pub written: Arc<Mutex<Written>>,
}

/// What each rank can do on its own before the file is made.
struct Prepared {
    model: Option<Arc<Model>>,
    pool: DevicePool,
    guard: OpenFileGuard,
}

/// Opens an output. Collective.
///
/// # Errors
/// Those of [`crate::Session::open`].
///
/// # Safety
/// That of [`crate::Session::open`].
pub(crate) unsafe fn open(comm: MPI_Comm, arguments: Result<(&Path, &Options)>) -> Result<Opened> {
    // SAFETY: the caller's promise.
    let ranks = unsafe { Ranks::duplicate(comm)? };
    let options = arguments.as_ref().map_or_else(|_| Options::default(), |(_, options)| (*options).clone());
    let node = ranks.of_node();
    let is_same = are_same(&ranks, &arguments);
    let prepared = arguments.and_then(|(path, options)| {
        if !is_same {
            return Err(Error::Mismatch("the ranks pass different paths or options".into()));
        }
        let prepared = caught(|| prepare(path, options, &node));
        Ok((path, prepared.unwrap_or_else(|text| Err(Error::Internal(text)))?))
    });
    let (path, Prepared { model, pool, guard }) = ranks.validated(prepared)?;
    let is_exclusive = swae_store::is_exclusive(path);
    let written = Arc::<Mutex<Written>>::default();
    lock(&written).threads = pool.threads();
    let (file, file_lock) = file(&ranks, path, &options, &written)?;
    let settings = EncoderSettings { model: model.clone(), inter_field: options.inter_field };
    let encoder = Arc::new(Mutex::new(Encoder::new(settings, pool, written.clone())));
    let for_calls = match options.asynchronous {
        // SAFETY: it is ours, and valid.
        Asynchronous::Write if allows_threads(&ranks) => Some(unsafe { Ranks::duplicate(ranks.as_raw())? }),
        _ => None,
    };
    let models = model.iter().cloned().collect();
    let communicators = Communicators { ranks, node };
    let output = Output::new(communicators, file, is_exclusive, models, options.clone(), written.clone());
    let output = Arc::new(Mutex::new(output));
    Ok(Opened { options, model, encoder, output, for_calls, is_exclusive, guard, file_lock, written })
}

/// Makes the file, or finds the one that is continued. Rank 0 locks it. Collective.
fn file(
    ranks: &Ranks,
    path: &Path,
    options: &Options,
    written: &Mutex<Written>,
) -> Result<(File, Option<FileLock>)> {
    let ticket = swae_store::is_exclusive(path).then(LockTicket::take);
    ticket.iter().for_each(LockTicket::wait);
    let locked =
        |create| ranks.validated(if ranks.rank() == 0 { FileLock::take(path, create) } else { Ok(None) });
    let mut file_lock = locked(!options.append)?;
    let existing = if options.append { ranks.broadcast(|| fields_of(path))? } else { None };
    if options.append {
        // A repair may have put another file in its place.
        drop(file_lock);
        file_lock = locked(existing.is_none())?;
    }
    if let Some(fields) = existing {
        lock(written).fields = fields;
        return Ok((File::Continued(path.into()), file_lock));
    }
    // SAFETY: the duplicate lives as long as the output, and the writer is dropped before it.
    let made = unsafe { swae_store::create(path, ranks.as_raw(), options.storage) }.map_err(Error::from);
    Ok((File::Open(ranks.validated(made)?), file_lock))
}

fn prepare(path: &Path, options: &Options, node: &Ranks) -> Result<Prepared> {
    check_path(path, options)?;
    if node.rank() == 0 {
        // Before an existing file is replaced.
        swae_store::check_writable(path)?;
    }
    let model = load_model(options)?;
    // How much each rank has to do is not known yet.
    let loads = vec![1; node.size() as usize];
    let node = NodeLoads { loads: &loads, rank: node.rank() as usize };
    let threads = Threads { cores: cores(), requested: (options.threads > 0).then_some(options.threads) };
    let encoding = model.clone().filter(|m| m.encoder.is_some());
    let pool = DevicePool::new(&options.devices, encoding, threads, node)?;
    Ok(Prepared { model, pool, guard: OpenFileGuard::of(path)? })
}

/// Whether a file of these options can be made at a path.
fn check_path(path: &Path, options: &Options) -> Result<()> {
    swae_store::check_ending(path)?;
    if options.storage == Storage::Datasets && path.extension().is_some_and(|e| e == "bp") {
        let text = "storage = datasets needs HDF5; ADIOS2 programs read through the operator plugin";
        return Err(Error::Unsupported(format!("{}: {text}", path.display())));
    }
    let folder = swae_store::folder_of(path);
    if !folder.is_dir() {
        return Err(Error::Io(format!("{}: the folder {} does not exist", path.display(), folder.display())));
    }
    Ok(())
}

/// The model that fields need: within a bound, one takes part only where it is named.
fn load_model(options: &Options) -> Result<Option<Arc<Model>>> {
    let is_latent = options.compressions().any(|c| matches!(c.mode, Mode::Latent(_)));
    let is_bounded = options.compressions().any(|c| c.bound().is_some());
    let name = options.model.as_deref().unwrap_or(DEFAULT_MODEL);
    if !is_latent && (!is_bounded || name == DEFAULT_MODEL) {
        return Ok(None);
    }
    let model = Models::named_or_file(name)?;
    if is_latent && model.encoder.is_none() {
        return Err(Error::Model(format!("{name}: it holds a decoder alone and cannot encode")));
    }
    // An autoencoder does nothing for a bound, and need not travel.
    Ok(Some(model).filter(|m| is_latent || is_mixing_model(m)))
}

/// The fields of a file, if there is one. A file or folder with nothing in it is what a run leaves
/// that ended before it began to write.
fn fields_of(path: &Path) -> Result<Option<BTreeMap<String, FieldInfo>>> {
    let failed = |e: std::io::Error| Error::Io(format!("{}: {e}", path.display()));
    let is_empty = match path.metadata() {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(failed(e)),
        Ok(found) if found.is_dir() => std::fs::read_dir(path).map_err(failed)?.next().is_none(),
        Ok(found) => found.len() == 0,
    };
    if is_empty {
        return Ok(None);
    }
    let kept = swae_store::kept(path, i64::MAX)?;
    Ok(Some(kept.fields.into_iter().map(|info| (info.name.clone(), info)).collect()))
}

/// Whether all ranks pass the same arguments; only the threads may differ. Collective.
fn are_same(ranks: &Ranks, arguments: &Result<(&Path, &Options)>) -> bool {
    let digest = |(path, options): &(&Path, &Options)| {
        let mut digest = DefaultHasher::new();
        (path, format!("{:?}", Options { threads: 0, ..(*options).clone() })).hash(&mut digest);
        (digest.finish() >> 1) as i64
    };
    // A rank that could not read its arguments has an error of its own, which counts more.
    let digest = arguments.as_ref().map(digest);
    let min = ranks.reduced_min(digest.as_ref().copied().unwrap_or(i64::MAX));
    let max = -ranks.reduced_min(digest.map_or(i64::MAX, |d| -d));
    min == max
}

/// Whether MPI may be called from other threads, on all ranks. Collective.
fn allows_threads(ranks: &Ranks) -> bool {
    let allowed = ranks.reduced_min((threading_support() == Threading::Multiple).into()) == 1;
    if !allowed {
        log::warn!(
            "MPI was initialised without MPI_THREAD_MULTIPLE: steps are encoded in the background, but written in begin_step"
        );
    }
    allowed
}
