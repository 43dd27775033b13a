//! The blocks of many files in one file, for data larger than the memory.
//!
//! Normalised blocks `[z, y, x]` in float32, then the standard deviation that each had (in units of
//! its field's value range, float32), then the files that they are of, as JSON, and its length as
//! u64; all little-endian. All ranks read the one file.

use crate::checkpoint::whole;
use crate::parallel::World;
use anyhow::{Context, Result, ensure};
use ndarray::Array3;
use rayon::prelude::*;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use swae_codec::FieldView;
use swae_codec::blocks::{BlockGrid, VALUES, deviation, gather, mean};

/// Normalised blocks on disk.
pub struct Pool {
    path: PathBuf,
    file: File,
    /// Of each block, in units of its field's value range.
    pub deviations: Vec<f32>,
}

const BLOCK_BYTES: usize = VALUES * 4;
const ENDINGS: [&str; 5] = ["h5", "bp", "npy", "vti", "swae"];

/// What a pool was made of: one of the same origin need not be made again.
#[derive(PartialEq, serde::Serialize, serde::Deserialize)]
struct Origin {
    /// Path, length and time of the last change.
    files: Vec<(PathBuf, u64, u64)>,
    least_deviation: f64,
}

impl Pool {
    /// Opens the pool at `path`; one of these files and folders of files is made first where there
    /// is none.
    ///
    /// # Errors
    /// Where a file cannot be read, the pool cannot be written, or no block varies enough.
    pub fn open(path: &Path, from: &[PathBuf], least_deviation: f64, world: &World) -> Result<Self> {
        let files = files(from)?;
        let stamp = |path: &PathBuf| -> Result<_> {
            let about = path.metadata().with_context(|| path.display().to_string())?;
            let changed = about.modified()?.duration_since(std::time::UNIX_EPOCH)?.as_secs();
            Ok((path.clone(), swae_store::size_on_disk(path)?, changed))
        };
        let stamped = files.iter().map(stamp).collect::<Result<_>>()?;
        let origin = Origin { files: stamped, least_deviation };
        if world.rank() == 0 && Self::read(path, &origin).is_err() {
            whole(path, |path| write(path, &files, &origin))?;
        }
        world.wait();
        Self::read(path, &origin)
    }

    /// Opens a pool of this origin.
    fn read(path: &Path, origin: &Origin) -> Result<Self> {
        let what = || path.display().to_string();
        let file = File::open(path).with_context(what)?;
        let end = file.metadata()?.len();
        let take = |from: u64, n: u64| -> Result<Vec<u8>> {
            ensure!(from + n <= end, "{}: cut short", path.display());
            let mut bytes = vec![0; n as usize];
            file.read_exact_at(&mut bytes, from).with_context(what)?;
            Ok(bytes)
        };
        let length = take(end.saturating_sub(8), 8)?;
        let length = u64::from_le_bytes(length[..].try_into()?);
        let json = end.saturating_sub(8).checked_sub(length).with_context(what)?;
        let found: Origin = serde_json::from_slice(&take(json, length)?).with_context(what)?;
        ensure!(found == *origin, "{}: blocks of other files", path.display());
        let blocks = json / (BLOCK_BYTES as u64 + 4);
        let deviations = take(blocks * BLOCK_BYTES as u64, blocks * 4)?;
        Ok(Self { path: path.into(), file, deviations: floats(&deviations).collect() })
    }

    /// A block, `[z, y, x]`, of mean 0 and variance 1.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn block(&self, i: usize) -> Result<[f32; VALUES]> {
        let mut bytes = [0; BLOCK_BYTES];
        let at = (i * BLOCK_BYTES) as u64;
        self.file.read_exact_at(&mut bytes, at).with_context(|| self.path.display().to_string())?;
        let mut block = [0.0; VALUES];
        block.iter_mut().zip(floats(&bytes)).for_each(|(v, x)| *v = x);
        Ok(block)
    }
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().expect("4 bytes")))
}

/// The files among `from`, and those that lie in its folders.
pub(crate) fn files(from: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let known = |path: &Path| path.extension().is_some_and(|e| ENDINGS.iter().any(|&known| e == known));
    let mut files = Vec::new();
    for path in from {
        if known(path) || !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let entries = std::fs::read_dir(path).with_context(|| path.display().to_string())?;
        let mut inside = entries.map(|e| Ok(e?.path())).collect::<std::io::Result<Vec<_>>>()?;
        inside.retain(|path| known(path));
        ensure!(!inside.is_empty(), "{}: no {} file in this folder", path.display(), ENDINGS.join(", "));
        inside.sort();
        files.extend(inside);
    }
    Ok(files)
}

/// Writes a pool; one field at a time is in memory.
fn write(path: &Path, files: &[PathBuf], origin: &Origin) -> Result<()> {
    let mut out = BufWriter::new(File::create(path)?);
    let mut deviations = Vec::new();
    for file in files {
        let mut reader = swae_store::open(file)?;
        for index in 0..reader.steps().len() {
            let fields = reader.steps()[index].fields.iter();
            let names: Vec<String> = fields.map(|(info, _)| info.name.clone()).collect();
            for name in names {
                let field = swae_store::read_field(reader.as_mut(), index, &name)?.to_f64();
                for (deviation, block) in varying_blocks(&field, origin.least_deviation)? {
                    deviations.push(deviation);
                    out.write_all(block.as_flattened())?;
                }
            }
        }
    }
    ensure!(!deviations.is_empty(), "no block of {files:?} varies enough to train on");
    log::info!("{} blocks of {} files", deviations.len(), files.len());
    deviations.iter().try_for_each(|d| out.write_all(&d.to_le_bytes()))?;
    let json = serde_json::to_vec(origin)?;
    out.write_all(&json)?;
    out.write_all(&(json.len() as u64).to_le_bytes())?;
    Ok(out.flush()?)
}

/// The bytes of a normalised block.
type BlockBytes = [[u8; 4]; VALUES];

/// The blocks of a field whose deviation, in units of its value range, is not below the least:
/// normalised, with their deviations.
fn varying_blocks(field: &Array3<f64>, least_deviation: f64) -> Result<Vec<(f32, BlockBytes)>> {
    let (lo, hi) = field.iter().fold((f64::MAX, f64::MIN), |(lo, hi), &v| (lo.min(v), hi.max(v)));
    let view = FieldView::of_array(field)?;
    let grid = BlockGrid::new(view.count());
    let block = |i| {
        let mut block = gather(&view, grid.block(i));
        let deviation = normalise(&mut block) / (hi - lo);
        let varies = deviation.is_normal() && deviation >= least_deviation;
        varies.then(|| (deviation as f32, block.map(|v| (v as f32).to_le_bytes())))
    };
    Ok((0..grid.len()).into_par_iter().filter_map(block).collect())
}

/// Normalises the block and gives its standard deviation; 0 where it has nothing to normalise.
pub(crate) fn normalise(block: &mut [f64; VALUES]) -> f64 {
    let mean = mean(block);
    let scale = deviation(block, mean);
    block.iter_mut().for_each(|v| *v = (*v - mean) / scale);
    scale
}
