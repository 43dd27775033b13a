//! The flags that say what is stored of a field, and with what effort, as settings of the codec: of
//! `compress` and `hdf5-filter`; `bench` takes efforts, too.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use swae_codec::config::{Effort, ModeName, Settings};

/// What is stored of a field; without a flag, values within a relative bound of 1e-4.
#[derive(Clone, Debug, Default, clap::Args)]
#[group(multiple = false)]
pub struct ModeFlags {
    /// Largest error of any value
    #[arg(long, value_name = "BOUND")]
    pub abs: Option<f64>,
    /// Largest error of any value, relative to the field's value range [default: 1e-4]
    #[arg(long, value_name = "BOUND")]
    pub rel: Option<f64>,
    /// Largest error of any value, relative to that value
    #[arg(long, value_name = "BOUND")]
    pub pwrel: Option<f64>,
    /// Least peak signal-to-noise ratio in dB; the peak is the field's value range
    #[arg(long, value_name = "DB")]
    pub psnr: Option<f64>,
    /// Latents of a model at a fixed rate, without an error bound
    #[arg(long)]
    pub latent: bool,
}

/// How long the encoder looks for a small stream.
#[derive(Clone, Debug, clap::Args)]
pub struct EffortFlag {
    /// How long to look for a small stream within a bound; every reader reads all alike
    #[arg(long, default_value = Effort::Normal.name(), value_parser = effort())]
    pub effort: Effort,
}

/// Efforts by name.
pub fn effort() -> impl TypedValueParser<Value = Effort> {
    let named = |name: String| Effort::ALL.into_iter().find(|effort| effort.name() == name);
    PossibleValuesParser::new(Effort::ALL.map(Effort::name)).map(move |name| named(name).unwrap_or_default())
}

impl ModeFlags {
    /// The flag that was given, as settings.
    pub fn settings(&self) -> Settings {
        let bounds = [
            (ModeName::Abs, self.abs),
            (ModeName::Rel, self.rel),
            (ModeName::Pwrel, self.pwrel),
            (ModeName::Psnr, self.psnr),
        ];
        let given = bounds.into_iter().find_map(|(mode, bound)| Some((mode, bound?)));
        match given {
            Some((mode, bound)) => Settings { mode: Some(mode), bound: Some(bound), ..Settings::default() },
            None => Settings { mode: self.latent.then_some(ModeName::Latent), ..Settings::default() },
        }
    }
}
