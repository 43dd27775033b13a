//! How good a model is on runs: every field of every step through the codec, as latents.
//! Quality, spectra and the Hamiltonian constraint are measured on what comes back.

use super::{constraint, spectrum};
use crate::pool;
use anyhow::Result;
use ndarray::{Array2, Array3};
use std::collections::BTreeMap;
use std::path::PathBuf;
use swae_codec::config::LatentCoding;
use swae_codec::decode::decompress_box;
use swae_codec::encode::{Method, compress_box};
use swae_codec::{Field, FieldView, Model, Models};
use swae_metrics::quality::{middle_slice, quality};
use swae_store::Reader;

/// One field, over all steps of all runs. Means are those of steps; errors are in units of the
/// field's value range in a step.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Row {
    /// Its name.
    pub field: String,
    /// Steps that it varies in: in others it is stored as it is, and left out of all that follows.
    pub steps: usize,
    /// Raw bytes over stored bytes.
    pub ratio: f64,
    /// Mean PSNR in dB, against the value range.
    pub psnr: f64,
    /// Mean structural similarity.
    pub ssim: f64,
    /// Greatest error.
    pub max_error: f64,
    /// Mean share of each shell of wave numbers that is lost; see [`spectrum::error`].
    pub spectrum_error: Vec<f64>,
}

/// A step's violation of the Hamiltonian constraint, root mean square; see
/// [`constraint::hamiltonian`].
#[derive(Clone, Debug, serde::Serialize)]
pub struct Violation {
    /// The run's file.
    pub run: PathBuf,
    /// The simulation's number of the step.
    pub step: i64,
    /// By the fields as they were.
    pub original: f64,
    /// By the fields that came back.
    pub reconstructed: f64,
}

/// The quality of a model on some runs.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Report {
    /// The model.
    pub model: String,
    /// How its latents are stored.
    pub coding: &'static str,
    /// The files.
    pub runs: Vec<PathBuf>,
    /// By field.
    pub fields: Vec<Row>,
    /// Mean over the fields that vary.
    pub mean_psnr: f64,
    /// Raw bytes over stored bytes, of all.
    pub ratio: f64,
    /// By step, of runs that have the fields for it.
    pub hamiltonian: Vec<Violation>,
    /// Middle slices `z = nz/2` of the last step of the last run, `[y, x]`: original and
    /// reconstruction.
    #[serde(skip)]
    pub pictures: BTreeMap<String, (Array2<f64>, Array2<f64>)>,
}

/// Compresses all steps of all runs among these files and folders.
///
/// # Errors
/// Where a file cannot be read, or the model cannot encode.
pub fn report(model: &Model, from: &[PathBuf], coding: LatentCoding) -> Result<Report> {
    let mut models = Models::built_in();
    models.add(model.clone());
    let runs = pool::files(from)?;
    let mut sums: BTreeMap<String, FieldSums> = BTreeMap::new();
    let (mut hamiltonian, mut pictures) = (Vec::new(), BTreeMap::new());
    for run in &runs {
        let mut reader = swae_store::open(run)?;
        for index in 0..reader.steps().len() {
            let mut step = Step::default();
            for Stored { name, raw, field, stream } in encode(reader.as_mut(), index, model, coding)? {
                let (original, back) = (field.to_f64(), decompress_box(&stream, &models)?.to_f64());
                sums.entry(name.clone()).or_default().add(&original, &back, raw, stream.len() as u64);
                step.original.insert(name.clone(), original);
                step.reconstructed.insert(name, back);
            }
            let info = &reader.steps()[index];
            let spacing = info.fields.first().map_or([1.0; 3], |(f, _)| f.spacing);
            if let Some([original, reconstructed]) = step.hamiltonian(spacing) {
                hamiltonian.push(Violation { run: run.clone(), step: info.step, original, reconstructed });
            }
            pictures = step.slices();
        }
    }
    let [raw, stored] =
        sums.values().fold([0, 0], |[raw, stored], f| [raw + f.raw_bytes, stored + f.stored_bytes]);
    let fields: Vec<Row> = sums.into_iter().map(|(name, sums)| sums.mean(name)).collect();
    let varying: Vec<f64> = fields.iter().filter(|r| r.steps > 0).map(|r| r.psnr).collect();
    Ok(Report {
        model: model.metadata.name.clone(),
        coding: coding.name(),
        runs,
        mean_psnr: varying.iter().sum::<f64>() / varying.len().max(1) as f64,
        ratio: raw as f64 / stored.max(1) as f64,
        fields,
        hamiltonian,
        pictures,
    })
}

/// The fields of a step by name, before and after compression.
#[derive(Default)]
struct Step {
    original: BTreeMap<String, Array3<f64>>,
    reconstructed: BTreeMap<String, Array3<f64>>,
}

impl Step {
    /// Violations of the Hamiltonian constraint, before and after; none where it lacks fields for it.
    fn hamiltonian(&self, spacing: [f64; 3]) -> Option<[f64; 2]> {
        let before = constraint::hamiltonian(&self.original, spacing)?;
        Some([before, constraint::hamiltonian(&self.reconstructed, spacing)?])
    }

    fn slices(&self) -> BTreeMap<String, (Array2<f64>, Array2<f64>)> {
        let both = self.original.iter().zip(self.reconstructed.values());
        both.map(|((name, a), b)| (name.clone(), (middle_slice(a), middle_slice(b)))).collect()
    }
}

/// Sums over the steps of a field.
#[derive(Default)]
struct FieldSums {
    /// Sums where [`Row`] has means.
    row: Row,
    raw_bytes: u64,
    stored_bytes: u64,
}

impl FieldSums {
    fn add(&mut self, original: &Array3<f64>, back: &Array3<f64>, raw_bytes: u64, stored_bytes: u64) {
        self.raw_bytes += raw_bytes;
        self.stored_bytes += stored_bytes;
        let q = quality(original, back);
        if q.peak > 0.0 && q.psnr.is_finite() {
            let row = &mut self.row;
            row.steps += 1;
            row.psnr += q.psnr;
            row.ssim += q.ssim;
            row.max_error = row.max_error.max(q.max_error / q.peak);
            let lost = spectrum::error(original, back);
            row.spectrum_error.resize(lost.len().max(row.spectrum_error.len()), 0.0);
            row.spectrum_error.iter_mut().zip(lost).for_each(|(sum, e)| *sum += e);
        }
    }

    fn mean(self, field: String) -> Row {
        let row = self.row;
        let n = row.steps.max(1) as f64;
        let spectrum_error = row.spectrum_error.iter().map(|e| e / n).collect();
        let ratio = self.raw_bytes as f64 / self.stored_bytes.max(1) as f64;
        Row { field, ratio, psnr: row.psnr / n, ssim: row.ssim / n, spectrum_error, ..row }
    }
}

/// A field of a step, and its stream.
struct Stored {
    name: String,
    /// Bytes of its values.
    raw: u64,
    field: Field,
    stream: Vec<u8>,
}

/// Encodes the fields of a step.
fn encode(reader: &mut dyn Reader, index: usize, model: &Model, coding: LatentCoding) -> Result<Vec<Stored>> {
    let fields = reader.steps()[index].fields.iter();
    let fields: Vec<_> = fields.map(|(f, _)| (f.name.clone(), f.raw_bytes())).collect();
    let mut all = Vec::with_capacity(fields.len());
    for (name, raw) in fields {
        let field = swae_store::read_field(reader, index, &name)?;
        let method = Method::Latent { model, coding };
        let stream = match &field {
            Field::F32(a) => compress_box(&FieldView::of_array(a)?, method)?,
            Field::F64(a) => compress_box(&FieldView::of_array(a)?, method)?,
        };
        all.push(Stored { name, raw, field, stream });
    }
    Ok(all)
}

impl Report {
    /// The table that people read.
    pub fn print(&self) {
        println!(
            "{} ({}), {} runs: ratio {:.1}, mean PSNR {:.2} dB",
            self.model,
            self.coding,
            self.runs.len(),
            self.ratio,
            self.mean_psnr
        );
        println!(
            "{:<10} {:>7} {:>9} {:>9} {:>10} {:>32}",
            "field", "ratio", "PSNR/dB", "SSIM", "max error", "lost at low, middle, high |k|"
        );
        for r in &self.fields {
            let thirds: Vec<String> = r.thirds().iter().map(|e| format!("{e:9.1e}")).collect();
            println!(
                "{:<10} {:>7.1} {:>9.2} {:>9.5} {:>10.3e} {:>32}",
                r.field,
                r.ratio,
                r.psnr,
                r.ssim,
                r.max_error,
                thirds.join(" ")
            );
        }
        for v in &self.hamiltonian {
            println!(
                "{} step {}: Hamiltonian constraint {:.3e}, reconstructed {:.3e} ({:.1} times)",
                v.run.display(),
                v.step,
                v.original,
                v.reconstructed,
                v.reconstructed / v.original
            );
        }
    }
}

impl Row {
    /// Mean shares lost in the lower, middle and upper third of the wave numbers.
    pub fn thirds(&self) -> [f64; 3] {
        let n = self.spectrum_error.len();
        [0, 1, 2].map(|i| {
            let part = &self.spectrum_error[i * n / 3..(i + 1) * n / 3];
            part.iter().sum::<f64>() / part.len().max(1) as f64
        })
    }
}
