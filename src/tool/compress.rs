//! `swae compress`: one field from a file into a `.swae` file.

use crate::{bytes, winners};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use std::path::Path;
use swae_codec::bound::Tolerance;
use swae_codec::config::LatentCoding;
use swae_codec::encode::{Bounded, Method, compress_bounded, compress_box};
use swae_codec::history::History;
use swae_codec::predict::PredictorSet;
use swae_codec::statistics::BlockStatistics;
use swae_codec::{Bound, Dtype, Element, Field, FieldView, Model, Models};
use swae_store::{open, plain, read_field};

/// What the slowest axis of the input means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// z: one field `[z, y, x]`
    #[default]
    Grid,
    /// Time: `[t, z, y, x]`; a step leans on the one before
    Series,
    /// The number of a box: `[n, z, y, x]`, boxes of any place
    Boxes,
}

/// How to compress.
#[derive(Clone, Debug)]
pub enum Coding {
    /// Latents of a model, at a fixed rate.
    Latent {
        /// Name of a built-in model, or a model file.
        model: String,
        /// How latents are stored.
        coding: LatentCoding,
    },
    /// Within an error bound.
    Bounded {
        /// Which.
        bound: Bound,
        /// Who takes part.
        candidates: PredictorSet,
        /// The network's model; none leaves it out.
        model: Option<String>,
        /// Steps from keyframe to keyframe of a series.
        keyframe_interval: u32,
    },
}

/// Compresses the only field of `input`, and says how that went.
///
/// # Errors
/// Where `input` has no single field of this layout, the coding cannot be done, or `output` cannot be written.
pub fn compress_file(input: &Path, output: &Path, layout: Layout, coding: &Coding) -> Result<()> {
    ensure!(
        output.extension().is_some_and(|e| e == "swae"),
        "{}: compress writes .swae files",
        output.display()
    );
    let fields = match layout {
        Layout::Grid => vec![single(input)?],
        _ => {
            ensure!(
                input.extension().is_some_and(|e| e == "npy"),
                "{}: with this layout the input is a .npy file of four axes",
                input.display()
            );
            plain::read_npy_list(input)?
        }
    };
    let raw: u64 =
        fields.iter().map(|f| f.count().iter().product::<usize>() * f.dtype().size()).sum::<usize>() as u64;
    let model = match coding {
        Coding::Latent { model, .. } | Coding::Bounded { model: Some(model), .. } => {
            Some(Models::named_or_file(model)?)
        }
        Coding::Bounded { model: None, .. } => None,
    };
    let streams = match fields.first().map_or(Dtype::F64, Field::dtype) {
        Dtype::F32 => streams::<f32>(&fields, layout, coding, model.as_deref()),
        Dtype::F64 => streams::<f64>(&fields, layout, coding, model.as_deref()),
    }?;
    plain::write_swae(output, &streams, model.as_deref())?;
    let stored = std::fs::metadata(output).with_context(|| output.display().to_string())?.len();
    println!("{} -> {}, ratio {:.1}", bytes(raw), bytes(stored), raw as f64 / stored as f64);
    Ok(())
}

fn single(input: &Path) -> Result<Field> {
    let mut reader = open(input)?;
    let [step] = reader.steps() else { bail!("{} holds several steps; convert one first", input.display()) };
    let [(info, _)] = &step.fields[..] else {
        bail!("{} holds several fields; convert one first", input.display())
    };
    let name = info.name.clone();
    Ok(read_field(reader.as_mut(), 0, &name)?)
}

/// A stream for each step; a list of boxes is one step.
fn streams<T: Element>(
    fields: &[Field],
    layout: Layout,
    coding: &Coding,
    model: Option<&Model>,
) -> Result<Vec<Vec<u8>>> {
    let arrays = fields.iter().filter_map(T::array);
    let views = arrays.map(|a| Ok(FieldView::of_array(a)?)).collect::<Result<Vec<_>>>()?;
    match coding {
        Coding::Latent { coding, .. } => {
            ensure!(layout != Layout::Boxes, "latent mode has no layout for boxes");
            let model = model.context("latent mode needs a model")?;
            let mode = Method::Latent { model, coding: *coding };
            views.iter().map(|view| Ok(compress_box(view, mode)?)).collect()
        }
        Coding::Bounded { bound, candidates, keyframe_interval, .. } => {
            let settings = Bounded { candidates: *candidates, model, ..Bounded::new(*bound) };
            let mut history = History::new(*keyframe_interval);
            let steps: Vec<_> = match layout {
                Layout::Boxes => vec![&views[..]],
                _ => views.chunks(1).collect(),
            };
            let (mut streams, mut tally) = (Vec::new(), BlockStatistics::default());
            let mut worst = 0.0f64;
            for views in steps {
                let history = (layout == Layout::Series).then_some(&mut history);
                let (stream, report) = compress_bounded(views, &settings, history)?;
                let allowed = match report.tolerance {
                    Tolerance::Absolute(e) | Tolerance::PointwiseRelative(e) => e,
                };
                if allowed > 0.0 {
                    worst = worst.max(report.max_error / allowed);
                }
                streams.push(stream);
                tally = tally.and(&report.tally);
            }
            println!("{bound}: largest error {worst:.3} of what is allowed, every value checked");
            winners::print(&tally);
            Ok(streams)
        }
    }
}
