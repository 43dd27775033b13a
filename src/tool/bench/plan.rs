//! What `swae bench` measures: its flags, and the layouts in which fields are handed over.

use crate::Selection;
use crate::mode;
use crate::predictors::PredictorFlags;
use anyhow::Result;
use clap::ValueEnum;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use swae_codec::bound::Bound;
use swae_codec::config::Effort;
use swae_codec::encode::Bounded;
use swae_codec::predict::PredictorSet;
use swae_codec::{Model, Models};

/// How a field is handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// The last step
    Grid,
    /// All steps
    Series,
    /// The last step, cut into boxes of 8³
    Boxes,
    /// All fields of all steps, with inter-field prediction
    Run,
}

impl Layout {
    /// Whether it is of all steps.
    pub fn is_series(self) -> bool {
        matches!(self, Self::Series | Self::Run)
    }
}

/// Flags of the command.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Files with fields of float32 or float64 values
    #[arg(required = true)]
    pub inputs: Vec<PathBuf>,
    /// Bounds, relative to the value range of each field and step
    #[arg(long, value_delimiter = ',', default_value = "1e-2,1e-3,1e-4,1e-5,1e-6")]
    pub rel: Vec<f64>,
    /// How fields are handed over
    #[arg(long, value_enum, value_delimiter = ',', default_value = "grid")]
    pub layout: Vec<Layout>,
    /// Efforts of swae
    #[arg(long, value_delimiter = ',', default_value = "fast,normal,best", value_parser = mode::effort())]
    pub effort: Vec<Effort>,
    /// Reference compressors
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "sz3,zfp,sperr",
        value_parser = ["sz3", "zfp", "sperr", "none"],
        ignore_case = true
    )]
    pub references: Vec<String>,
    /// Numbers of threads; 0 is all there are
    #[arg(long, value_delimiter = ',', default_value = "1")]
    pub threads: Vec<usize>,
    #[allow(missing_docs, reason = "a comment would become the command's help")]
    #[command(flatten)]
    pub selection: Selection,
    #[allow(missing_docs, reason = "a comment would become the command's help")]
    #[command(flatten)]
    pub predictors: PredictorFlags,
    /// A built-in model by name (gr-mixture, gr-16 …), or a model file: its network is one more
    /// predictor
    #[arg(long)]
    pub model: Option<String>,
    /// Of series and runs: steps that swae codes as a group, predicted from both sides
    #[arg(long, default_value_t = 1, value_name = "STEPS", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub group: u32,
    /// Each timing is the best of so many rounds, in each of which every compressor has its turn
    #[arg(long, default_value_t = 2)]
    pub repeat: usize,
    /// Writes every single result to a JSON file
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draws PSNR against bits per value
    #[arg(long, value_name = "FILE")]
    pub png: Option<PathBuf>,
    /// Draws speed against ratio, a point for each setting and bound
    #[arg(long, value_name = "FILE")]
    pub speed_png: Option<PathBuf>,
}

/// The flags, with the model at hand.
pub struct Plan<'a> {
    /// The flags.
    pub arguments: &'a Arguments,
    predictors: PredictorSet,
    model: Option<Arc<Model>>,
}

impl<'a> Plan<'a> {
    /// Loads the model.
    ///
    /// # Errors
    /// Where there is none of this name.
    pub fn new(arguments: &'a Arguments) -> Result<Self> {
        let model = arguments.model.as_deref().map(Models::named_or_file).transpose()?;
        Ok(Self { arguments, predictors: arguments.predictors.set(), model })
    }

    /// How swae encodes within an absolute bound.
    pub fn bounded(&self, effort: Effort, bound: f64) -> Bounded<'_> {
        let (predictors, model) = (self.predictors, self.model.as_deref());
        Bounded { predictors, model, effort, ..Bounded::new(Bound::Absolute(bound)) }
    }

    /// The models that decode it.
    pub fn models(&self) -> Models {
        let mut models = Models::built_in();
        if let Some(model) = &self.model {
            models.add(model.decoder_only());
        }
        models
    }
}
