//! What a plugin is told: as words (ADIOS2) or as numbers (HDF5's `cd_values`).

use swae_codec::array;
use swae_codec::config::LatentCoding;
use swae_codec::config::Layout;
use swae_codec::encode::{Bounded, Method};
use swae_codec::{Bound, Element, Models, Result};

/// How an array is coded.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    /// With a bound, as latents, or as it is.
    pub coding: Coding,
    /// What the first axis is.
    pub layout: Layout,
    /// Of latents: a built-in model, or a model file.
    pub model: String,
    /// How latents are stored.
    pub latents: LatentCoding,
    /// Threads of a call.
    pub threads: Option<usize>,
}

/// With a bound, as latents, or as it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coding {
    /// Latents of a model, at a fixed rate.
    Latent,
    /// The values as they are.
    Raw,
    /// Within a bound.
    Bounded(Bound),
}

/// Words that parameters have.
const KEYS: [&str; 6] = ["mode", "bound", "model", "latents", "layout", "threads"];

impl From<Coding> for Parameters {
    fn from(coding: Coding) -> Self {
        let (layout, latents) = Default::default();
        Self { coding, layout, model: "gr-16".into(), latents, threads: None }
    }
}

impl std::fmt::Display for Parameters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.coding {
            Coding::Latent => write!(f, "latent {} {}", self.model, self.latents.name()),
            Coding::Raw => write!(f, "raw"),
            Coding::Bounded(bound) => write!(f, "{bound}"),
        }
    }
}

impl Parameters {
    /// The version of the numbers below.
    pub const VERSION: u32 = 1;
    /// How many numbers there are.
    pub const NUMBERS: usize = 5;

    /// From words: `mode` (latent, raw, abs, rel, pwrel, psnr), `bound`, `model`, `latents` (f16, f32, u8), `layout` (grid,
    /// series), `threads`. Keys in `others` are the host's own.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn of_words<'a>(
        words: impl Iterator<Item = (&'a str, &'a str)>,
        others: &[&str],
    ) -> std::result::Result<Self, String> {
        let mut found: [Option<&str>; 6] = [None; 6];
        for (key, value) in words {
            if let Some(at) = KEYS.iter().position(|k| *k == key) {
                found[at] = Some(value);
            } else if !others.contains(&key) {
                let near = |k: &&&str| strsim::jaro_winkler(k, key) > 0.75;
                let hint = KEYS.iter().find(near).map(|k| format!("did you mean '{k}'?"));
                let hint = hint.unwrap_or_else(|| format!("known: {}", KEYS.join(", ")));
                return Err(format!("unknown parameter '{key}'; {hint}"));
            }
        }
        let [mode, bound, model, latents, layout, threads] = found;
        let bound = || -> std::result::Result<f64, String> {
            let bound = bound.ok_or("this mode needs the parameter 'bound'")?;
            bound.parse().map_err(|_| format!("bound '{bound}' is not a number"))
        };
        let coding = match mode {
            Some("latent") => Coding::Latent,
            Some("raw") => Coding::Raw,
            Some("abs") => Coding::Bounded(Bound::Absolute(bound()?)),
            Some("rel") => Coding::Bounded(Bound::Relative(bound()?)),
            Some("pwrel") => Coding::Bounded(Bound::PointwiseRelative(bound()?)),
            Some("psnr") => Coding::Bounded(Bound::Psnr(bound()?)),
            other => {
                let what =
                    other.map_or_else(|| "there is no parameter 'mode'".into(), |m| format!("mode '{m}'"));
                return Err(format!("{what}; it is one of latent, raw, abs, rel, pwrel, psnr"));
            }
        };
        let mut parameters = Self::from(coding);
        if let Coding::Bounded(bound) = coding {
            bound.check().map_err(|e| e.to_string())?;
        }
        if let Some(model) = model {
            parameters.model = model.into();
        }
        if let Some(name) = latents {
            let known = LatentCoding::from_name(name);
            parameters.latents = known.ok_or_else(|| format!("latents '{name}' are none of f16, f32, u8"))?;
        }
        parameters.layout = match layout {
            None | Some("grid") => Layout::Grid,
            Some("series") => Layout::Series,
            Some(other) => return Err(format!("layout '{other}' is none of grid, series")),
        };
        if let Some(n) = threads {
            parameters.threads = Some(n.parse().map_err(|_| format!("threads '{n}' is not a number"))?);
        }
        Ok(parameters)
    }

    /// As numbers: version, mode (as swae_mode of swae.h), the bound's low and high 32 bits, layout (0 grid, 1 series).
    /// Latents are then those of gr-16, as f16.
    pub fn to_numbers(&self) -> [u32; Self::NUMBERS] {
        let (mode, bound) = match self.coding {
            Coding::Latent => (0, 0.0),
            Coding::Raw => (1, 0.0),
            Coding::Bounded(Bound::Absolute(e)) => (2, e),
            Coding::Bounded(Bound::Relative(e)) => (3, e),
            Coding::Bounded(Bound::PointwiseRelative(e)) => (4, e),
            Coding::Bounded(Bound::Psnr(e)) => (5, e),
        };
        let bits = bound.to_bits();
        [Self::VERSION, mode, bits as u32, (bits >> 32) as u32, self.layout as u32]
    }

    /// From these numbers.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn of_numbers(numbers: &[u32]) -> std::result::Result<Self, String> {
        let how = "`swae hdf5-filter` prints the parameters of the filter";
        let [version, mode, low, high, layout] =
            *numbers.first_chunk().ok_or_else(|| format!("{} parameters of 5; {how}", numbers.len()))?;
        if version != Self::VERSION {
            return Err(format!(
                "the parameters have version {version}, this plugin knows version {}; {}",
                Self::VERSION,
                if version > Self::VERSION { "a newer plugin reads them" } else { how }
            ));
        }
        let bound = f64::from_bits(u64::from(high) << 32 | u64::from(low));
        let coding = match mode {
            0 => Coding::Latent,
            1 => Coding::Raw,
            2 => Coding::Bounded(Bound::Absolute(bound)),
            3 => Coding::Bounded(Bound::Relative(bound)),
            4 => Coding::Bounded(Bound::PointwiseRelative(bound)),
            5 => Coding::Bounded(Bound::Psnr(bound)),
            other => return Err(format!("unknown mode {other}; {how}")),
        };
        if let Coding::Bounded(bound) = coding {
            bound.check().map_err(|e| e.to_string())?;
        }
        let layout = match layout {
            0 => Layout::Grid,
            1 => Layout::Series,
            other => return Err(format!("unknown layout {other}; {how}")),
        };
        Ok(Self { layout, ..coding.into() })
    }

    /// Codes an array.
    ///
    /// # Errors
    /// Those of [`array::compress`], and a model that nobody knows.
    pub fn compress<T: Element>(&self, values: &[T], shape: &[usize]) -> Result<Vec<u8>> {
        match self.coding {
            Coding::Raw => array::compress(values, shape, Method::Raw, self.layout),
            Coding::Bounded(bound) => {
                array::compress(values, shape, Method::Bounded(Bounded::new(bound)), self.layout)
            }
            Coding::Latent => {
                let model = Models::named_or_file(&self.model)?;
                let mode = Method::Latent { model: &model, coding: self.latents };
                array::compress(values, shape, mode, self.layout)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_numbers_say_the_same() {
        let all = [
            ("latent", Coding::Latent),
            ("raw", Coding::Raw),
            ("abs", Coding::Bounded(Bound::Absolute(1e-3))),
            ("rel", Coding::Bounded(Bound::Relative(1e-3))),
            ("pwrel", Coding::Bounded(Bound::PointwiseRelative(1e-3))),
            ("psnr", Coding::Bounded(Bound::Psnr(1e-3))),
        ];
        for (mode, coding) in all {
            let words = [("mode", mode), ("bound", "1e-3"), ("layout", "series"), ("pluginname", "swae")];
            let found = Parameters::of_words(words.into_iter(), &["pluginname"]).unwrap();
            assert_eq!(found, Parameters { layout: Layout::Series, ..coding.into() });
            assert_eq!(Parameters::of_numbers(&found.to_numbers()).unwrap(), found);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            (&[("mode", "rel")][..], "needs the parameter 'bound'"),
            (&[("mode", "rel"), ("bound", "-1")], "no error bound"),
            (&[("mode", "rel"), ("bound", "much")], "'much' is not a number"),
            (&[("mod", "rel")], "did you mean 'mode'?"),
            (&[("xyzzy", "1")], "known: mode, bound"),
            (&[("bound", "1")], "no parameter 'mode'"),
            (&[("mode", "raw"), ("layout", "list")], "none of grid, series"),
            (&[("mode", "latent"), ("latents", "f8")], "none of f16, f32, u8"),
        ];
        for (words, reason) in cases {
            let found = Parameters::of_words(words.iter().copied(), &[]).unwrap_err();
            assert!(found.contains(reason), "{words:?}: {found}");
        }
        let numbers = Parameters::from(Coding::Bounded(Bound::Relative(1e-3))).to_numbers();
        let newer = [&[2], &numbers[1..]].concat();
        for (numbers, reason) in [
            (&newer[..], "version 2, this plugin knows version 1; a newer plugin"),
            (&numbers[..4], "4 parameters of 5"),
            (&[1, 9, 0, 0, 0], "unknown mode 9"),
            (&[1, 3, 0, u32::MAX, 0], "no error bound"),
        ] {
            let found = Parameters::of_numbers(numbers).unwrap_err();
            assert!(found.contains(reason), "{numbers:?}: {found}");
        }
    }
}
