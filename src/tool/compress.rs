//! `swae compress`: the field, series or boxes of one file, into a `.swae` file, or the steps of files
//! into a run.

use crate::mode::{EffortFlag, ModeFlags};
use crate::predictors::PredictorFlags;
use crate::selection::Selection;
use crate::summary::Summary;
use crate::transcode::{Transcoding, Written, transcode};
use crate::{bytes, check_folder};
use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use clap::builder::PossibleValuesParser;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use swae_codec::config::{self, Settings};
use swae_codec::encode::{Bounded, Method, compress_bounded, compress_boxes};
use swae_codec::group::compress_group;
use swae_codec::history::History;
use swae_codec::{Compression, Dtype, Element, Field, FieldView, Model};
use swae_store::{open, plain, read_field, size_on_disk};

/// What the slowest axis of the input is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// z: one field `[z, y, x]`
    #[default]
    Grid,
    /// Time: `[t, z, y, x]`; each step is predicted from the previous ones
    Series,
    /// The number of a box: `[n, z, y, x]`, boxes of any place
    Boxes,
}

impl Layout {
    /// The setting; boxes are compressed as a grid is, each by itself.
    fn setting(self) -> config::Layout {
        if self == Self::Series { config::Layout::Series } else { config::Layout::Grid }
    }
}

/// Flags of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// .npy or .vti; for a run any files that swae reads, in the order of time
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// .swae; for a run, which has all steps, fields and levels, .h5 or .bp
    #[arg(short, long)]
    output: PathBuf,
    /// Of a run: which fields and steps
    #[command(flatten)]
    selection: Selection,
    /// What the slowest axis of a .npy file is
    #[arg(long, value_enum, default_value_t)]
    layout: Layout,
    #[command(flatten)]
    mode: ModeFlags,
    /// A built-in model by name, or a model file: within a bound, its network is one more predictor
    /// [default with --latent: gr-16]
    #[arg(long)]
    model: Option<String>,
    /// How latents are stored
    #[arg(long, default_value = "f16", value_name = "CODING", value_parser = PossibleValuesParser::new(["f16", "f32", "u8"]))]
    latents: String,
    /// Of a series or run: steps from one keyframe, which is predicted from no other step, to the next
    #[arg(long, default_value_t = config::DEFAULT_KEYFRAME_INTERVAL, value_name = "STEPS")]
    keyframe_interval: u32,
    /// Of a series or run: code so many steps as a group, the last one first and then those halfway between
    /// coded ones, predicted from both sides: smooth series take fewer bytes
    #[arg(long, default_value_t = 1, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..=64))]
    group: u32,
    /// Of a run: predict the fields of a step from one another
    #[arg(long)]
    inter_field: bool,
    /// The value that missing points hold; they come back to the bit, and take no part in ranges and
    /// bounds [default: the most frequent NaN]
    #[arg(long, value_name = "VALUE", allow_negative_numbers = true)]
    fill: Option<f64>,
    #[command(flatten)]
    effort: EffortFlag,
    #[command(flatten)]
    predictors: PredictorFlags,
}

impl Arguments {
    fn compression(&self) -> Result<Compression> {
        let mut settings = Settings {
            model: self.model.clone(),
            keyframe_interval: Some(self.keyframe_interval),
            layout: Some(self.layout.setting()),
            fill: self.fill,
            effort: Some(self.effort.effort),
            ..self.mode.settings()
        };
        settings.set("latents", &self.latents)?;
        Ok(settings.compression()?)
    }
}

/// Compresses the only field of a file, or all of a run, and prints how well.
///
/// # Errors
/// Where the input has no single field of this layout, it cannot be compressed in this way, or the
/// output cannot be written.
pub fn run(arguments: &Arguments) -> Result<()> {
    let compression = arguments.compression()?;
    let model = compression.load_model()?;
    let output = &arguments.output;
    check_folder(output)?;
    let raw = match output.extension().and_then(|ending| ending.to_str()) {
        Some("swae") => array(arguments, &compression, model.as_deref())?,
        Some("h5" | "bp") => steps(arguments, &compression, model.as_ref())?,
        _ => bail!("{}: compress writes .swae, .h5 and .bp", output.display()),
    };
    let stored = size_on_disk(output).with_context(|| output.display().to_string())?;
    println!("{} -> {}, ratio {:.1}", bytes(raw), bytes(stored), raw as f64 / stored as f64);
    Ok(())
}

/// Compresses one field, series or list of boxes; gives the bytes of its values.
fn array(arguments: &Arguments, compression: &Compression, model: Option<&Model>) -> Result<u64> {
    let Arguments { inputs, output, layout, selection, inter_field, .. } = arguments;
    let [input] = &inputs[..] else { bail!("{}: it holds the field of one file", output.display()) };
    let is_run = *inter_field || !selection.variables.is_empty() || selection.step.is_some();
    ensure!(!is_run, "--var, --step and --inter-field are for runs, which are .h5 or .bp");
    let fields = read(input, *layout)?;
    let compressor = Compressor { arguments, compression, model };
    let streams = match fields.first().map_or(Dtype::F64, Field::dtype) {
        Dtype::F32 => compressor.streams::<f32>(&fields),
        Dtype::F64 => compressor.streams::<f64>(&fields),
    }?;
    plain::write_swae(output, &streams, model)?;
    let size = |field: &Field| field.count().iter().product::<usize>() * field.dtype().size();
    Ok(fields.iter().map(size).sum::<usize>() as u64)
}

/// Compresses the steps of files; gives the bytes of their values.
fn steps(arguments: &Arguments, compression: &Compression, model: Option<&Arc<Model>>) -> Result<u64> {
    let Arguments { inputs, output, layout, selection, group, inter_field, .. } = arguments;
    ensure!(*layout == Layout::Grid, "--layout is for .swae; a run has its steps and boxes already");
    let how = Transcoding {
        compression,
        model,
        predictors: arguments.predictors.set(),
        group: *group as usize,
        inter_field: *inter_field,
    };
    let Written { steps, values, raw, summary } = transcode(inputs, selection, output, &how)?;
    if let Some(bound) = compression.bound() {
        summary.print(bound, values);
    }
    println!("{}: {steps} step(s)", output.display());
    Ok(raw)
}

/// The field, steps or boxes of a file.
fn read(input: &Path, layout: Layout) -> Result<Vec<Field>> {
    if layout != Layout::Grid {
        ensure!(
            input.extension().is_some_and(|e| e == "npy"),
            "{}: with this layout the input is a .npy file of four axes",
            input.display()
        );
        return Ok(plain::read_npy_list(input)?);
    }
    let mut reader = open(input)?;
    let [step] = reader.steps() else { bail!("{} holds several steps; convert one first", input.display()) };
    let [(info, _)] = &step.fields[..] else {
        bail!("{} holds several fields; convert one first", input.display())
    };
    let name = info.name.clone();
    Ok(vec![read_field(reader.as_mut(), 0, &name)?])
}

/// A compression with its model, and the flags beside it.
struct Compressor<'a> {
    arguments: &'a Arguments,
    compression: &'a Compression,
    model: Option<&'a Model>,
}

impl Compressor<'_> {
    /// A stream for each step; boxes are one step.
    fn streams<T: Element>(&self, fields: &[Field]) -> Result<Vec<Vec<u8>>> {
        let arrays = fields.iter().filter_map(Field::as_array::<T>);
        let views = arrays.map(|a| Ok(FieldView::of_array(a)?)).collect::<Result<Vec<_>>>()?;
        let steps: Vec<_> = match self.arguments.layout {
            Layout::Boxes => vec![&views[..]],
            _ => views.chunks(1).collect(),
        };
        match Method::new(self.compression, self.model)? {
            Method::Bounded(settings) => self.bounded(&steps, &settings),
            method => steps.into_iter().map(|views| Ok(compress_boxes(views, method)?)).collect(),
        }
    }

    /// The same within a bound; prints the largest error and the block statistics.
    fn bounded<T: Element>(
        &self,
        steps: &[&[FieldView<'_, T>]],
        settings: &Bounded<'_>,
    ) -> Result<Vec<Vec<u8>>> {
        let settings = Bounded { predictors: self.arguments.predictors.set(), ..*settings };
        let group = self.arguments.group;
        let mut history = History::new(self.compression.keyframe_interval);
        let (mut coded, mut summary) = (Vec::new(), Summary::default());
        match self.arguments.layout {
            Layout::Series => {
                let (first, others) = steps.split_at(1.min(steps.len()));
                for group in std::iter::once(first).chain(others.chunks(group as usize)) {
                    coded.extend(compress_group(group, &settings, &mut history)?);
                }
            }
            Layout::Grid | Layout::Boxes => {
                for views in steps {
                    coded.push(compress_bounded(views, &settings, None)?);
                }
            }
        }
        let mut streams = Vec::new();
        for (stream, report) in coded {
            summary.add(&report);
            streams.push(stream);
        }
        let points = steps.iter().flat_map(|views| views.iter()).map(|view| view.len() as u64).sum();
        summary.print(settings.bound, points);
        Ok(streams)
    }
}
