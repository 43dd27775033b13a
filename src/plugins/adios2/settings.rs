//! The parameters that a program or an XML file gives the operator.
//!
//! They are settings of the codec, the operator's own `threads`, and keys that ADIOS2 adds for
//! itself.

use std::sync::Arc;
use swae_codec::config::{Settings, unknown_key};
use swae_codec::{Compression, Error, Model, Result};

/// Keys that ADIOS2 itself reads among an operator's parameters.
const HOST_KEYS: [&str; 3] = ["pluginname", "pluginlibrary", "verbose"];
const THREADS: &str = "threads";

/// How the operator codes an array.
#[derive(Clone, Debug)]
pub(crate) struct OperatorSettings {
    pub(crate) compression: Compression,
    /// The model that the compression needs.
    pub(crate) model: Option<Arc<Model>>,
    /// Threads of a call, where a parameter sets them.
    pub(crate) threads: Option<usize>,
}

impl OperatorSettings {
    /// From pairs of key and value.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown key or a value that the key does not take, and those of
    /// [`Settings::compression`] and [`Compression::load_model`].
    pub(crate) fn from_key_values<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Self> {
        let (mut settings, mut threads) = (Settings::default(), None);
        for (key, value) in pairs {
            match key {
                // As if it were not there: templates of XML files leave parameters empty.
                _ if value.is_empty() && Settings::KEYS.contains(&key) => {}
                THREADS => {
                    let wrong = |_| Error::Config(format!("threads '{value}' is not a number of threads"));
                    threads = Some(value.parse().map_err(wrong)?);
                }
                "keyframe_interval" => {
                    let text = "keyframe_interval is for sessions; an array's first step is its keyframe";
                    return Err(Error::Config(text.into()));
                }
                _ if Settings::KEYS.contains(&key) => settings.set(key, value)?,
                _ if HOST_KEYS.contains(&key) => {}
                _ => {
                    let known = [&Settings::KEYS[..], &[THREADS], &HOST_KEYS].concat();
                    return Err(Error::Config(unknown_key(key, &known)));
                }
            }
        }
        let compression = settings.compression()?;
        if let Some(bound) = compression.bound() {
            bound.check()?;
        }
        Ok(Self { model: compression.load_model()?, compression, threads })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swae_codec::config::Effort;

    fn settings(pairs: &[(&str, &str)]) -> Result<OperatorSettings> {
        OperatorSettings::from_key_values(pairs.iter().copied())
    }

    #[test]
    fn parameters_are_settings_threads_and_the_hosts_keys() {
        let found = settings(&[("mode", "rel"), ("bound", "1e-3"), ("threads", "3"), ("pluginname", "swae")]);
        let found = found.unwrap();
        assert_eq!((found.compression, found.threads), (Compression::relative(1e-3), Some(3)));
        assert_eq!(settings(&[("mode", "raw"), ("verbose", "5"), ("bound", "")]).unwrap().threads, None);
        let fast = settings(&[("effort", "fast")]).unwrap().compression;
        assert_eq!(fast, Compression::default().effort(Effort::Fast));
        assert_eq!(settings(&[]).unwrap().compression, Compression::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (&[("mode", "rel")][..], "needs a 'bound'"),
            (&[("mod", "rel")], "unknown option 'mod'; did you mean 'mode'?"),
            (&[("mode", "raw"), ("thread", "1")], "did you mean 'threads'?"),
            (&[("mode", "raw"), ("plugin_name", "swae")], "did you mean 'pluginname'?"),
            (
                &[("xyzzy", "1")],
                "known: mode, bound, latents, model, keyframe_interval, layout, fill, effort, threads",
            ),
            (&[("mode", "raw"), ("keyframe_interval", "2")], "an array's first step is its keyframe"),
            (&[("mode", "raw"), ("threads", "all")], "threads 'all' is not a number"),
            (&[("mode", "latent"), ("model", "gr-17")], "no model named 'gr-17'"),
            (
                &[("mode", "best")],
                "mode 'best': unknown variant 'best', expected one of 'latent', 'raw', 'abs'",
            ),
        ];
        for (pairs, reason) in cases {
            let found = settings(pairs).unwrap_err().to_string();
            assert!(found.contains(reason), "{pairs:?}: {found}");
        }
    }
}
