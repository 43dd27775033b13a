//! How a field is compressed: one type behind every way to say it.
//!
//! A program builds a [`Compression`]. People write settings (`mode = rel; bound = 1e-4`), in a
//! text, a TOML file, a command line or the parameters of a plugin: [`Settings`] holds what was
//! said, lets later settings override earlier ones, and gives the [`Compression`] that they come
//! to. HDF5 hands its filter numbers: [`Compression::to_cd_values`].

use crate::bound::Bound;
use crate::error::{Error, Result};
pub use crate::latent::LatentCoding;
use crate::model::Model;
use crate::models::Models;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The model of latents where none is named.
pub const DEFAULT_MODEL: &str = "gr-16";
/// The mode where none is named.
pub const DEFAULT_MODE: ModeName = ModeName::Rel;
/// The bound where neither mode nor bound is named.
pub const DEFAULT_BOUND: f64 = 1e-4;
/// Steps from keyframe to keyframe where nothing is said.
pub const DEFAULT_KEYFRAME_INTERVAL: u32 = 16;

/// What is stored of a field's values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// The values as they are.
    Raw,
    /// The latents of a model, at a fixed rate, without an error bound.
    Latent(LatentCoding),
    /// Values within an error bound.
    Bounded(Bound),
}

/// What the slowest axis of an array is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// An axis in space like the others.
    #[default]
    Grid,
    /// Time: each step is predicted from the steps before.
    Series,
}

impl Layout {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Grid, Self::Series];

    /// The name that settings take.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grid => "grid",
            Self::Series => "series",
        }
    }
}

/// How much time an encoder takes to find small streams within a bound. Any decoder reads them all
/// alike, and the bound is verified at each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Effort {
    /// Predictor and quantisation step of a block by estimates alone; no networks, and no prediction
    /// from other fields.
    Fast = 1,
    /// The best candidates are tried, with several steps each, and the result is refined.
    #[default]
    Normal = 0,
    /// All candidates that come near the best are tried, and the result is refined for longer.
    Best = 2,
}

impl Effort {
    /// All of them, from the fastest on. The numbers are those that an HDF5 filter and swae.h take.
    pub const ALL: [Self; 3] = [Self::Fast, Self::Normal, Self::Best];

    /// The name that settings take.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fast => "fast",
            Self::Normal => "normal",
            Self::Best => "best",
        }
    }

    /// The effort of a number, as in swae.h.
    pub fn numbered(number: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|effort| *effort as u32 == number)
    }
}

/// How a field is compressed.
///
/// ```
/// use swae_codec::Compression;
///
/// let compression = Compression::relative(1e-4).keyframe_interval(8);
/// assert_eq!(compression, "mode = rel; bound = 1e-4; keyframe_interval = 8".parse()?);
/// # Ok::<(), swae_codec::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Settings", into = "Settings")]
#[non_exhaustive]
pub struct Compression {
    /// What is stored.
    pub mode: Mode,
    /// Name of a built-in model, or path of a model file; none for [`DEFAULT_MODEL`] in latent
    /// mode, and for no network within a bound. A mixing model ("gr-mixture") makes series within a
    /// bound smaller, and slower.
    pub model: Option<String>,
    /// Steps from one keyframe, which is predicted from no other step, to the next; 1 makes every
    /// step one.
    pub keyframe_interval: u32,
    /// What the slowest axis of an array is; of no meaning for boxes of a session.
    pub layout: Layout,
    /// The value that missing points hold. Points that hold it are left out of value range and
    /// bound, and come back to the bit. Without one, or where no point holds it, that is the most
    /// frequent NaN.
    pub fill: Option<f64>,
    /// How long the encoder looks for small streams within a bound.
    pub effort: Effort,
}

/// Within a relative bound of [`DEFAULT_BOUND`].
impl Default for Compression {
    fn default() -> Self {
        Self::relative(DEFAULT_BOUND)
    }
}

impl From<Mode> for Compression {
    fn from(mode: Mode) -> Self {
        Self {
            mode,
            model: None,
            keyframe_interval: DEFAULT_KEYFRAME_INTERVAL,
            layout: Layout::Grid,
            fill: None,
            effort: Effort::Normal,
        }
    }
}

impl From<Bound> for Compression {
    fn from(bound: Bound) -> Self {
        Mode::Bounded(bound).into()
    }
}

impl Compression {
    /// Version of the numbers that an HDF5 filter takes.
    pub const CD_VERSION: u32 = 1;
    /// How many numbers an HDF5 filter takes.
    pub const CD_COUNT: usize = 5;
    /// The bit at which the effort begins in the number that it shares with the layout.
    const CD_EFFORT: u32 = 8;

    /// |decoded − true| ≤ `bound`, in the units of the field, at every point.
    pub fn absolute(bound: f64) -> Self {
        Bound::Absolute(bound).into()
    }

    /// |decoded − true| ≤ `bound` × (largest − smallest finite value of the field), at every point.
    pub fn relative(bound: f64) -> Self {
        Bound::Relative(bound).into()
    }

    /// |decoded − true| ≤ `bound` × |true|, at every point.
    pub fn pointwise_relative(bound: f64) -> Self {
        Bound::PointwiseRelative(bound).into()
    }

    /// A peak signal-to-noise ratio of at least `db` decibels; the peak is the field's value range.
    pub fn psnr(db: f64) -> Self {
        Bound::Psnr(db).into()
    }

    /// The latents of a model, at a fixed rate, without an error bound.
    pub fn latent() -> Self {
        Mode::Latent(LatentCoding::default()).into()
    }

    /// The values as they are.
    pub fn raw() -> Self {
        Mode::Raw.into()
    }

    /// With this model: the name of a built-in one, or the path of a model file.
    #[must_use]
    pub fn model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// With a keyframe every so many steps; 0 counts as 1.
    #[must_use]
    pub fn keyframe_interval(mut self, steps: u32) -> Self {
        self.keyframe_interval = steps.max(1);
        self
    }

    /// With this meaning of an array's slowest axis.
    #[must_use]
    pub fn layout(mut self, layout: Layout) -> Self {
        self.layout = layout;
        self
    }

    /// With this value at missing points; NaN, or none, for the most frequent NaN.
    #[must_use]
    pub fn fill(mut self, value: impl Into<Option<f64>>) -> Self {
        self.fill = value.into().filter(|value| !value.is_nan());
        self
    }

    /// With this effort.
    #[must_use]
    pub fn effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// Whether its mode knows fill values.
    ///
    /// # Errors
    /// [`Error::Config`] for latents with one.
    pub(crate) fn check_fill(&self) -> Result<()> {
        match (self.mode, self.fill) {
            (Mode::Latent(_), Some(_)) => Err(Error::Config(
                "latents know no 'fill' value; state a bound, or let missing points be NaN".into(),
            )),
            _ => Ok(()),
        }
    }

    /// The error bound, where there is one.
    pub fn bound(&self) -> Option<Bound> {
        if let Mode::Bounded(bound) = self.mode { Some(bound) } else { None }
    }

    /// The model that takes part, loaded: the one that is named, or the default one of latent mode.
    ///
    /// # Errors
    /// [`Error::UnknownModel`], or [`Error::Model`] where its file cannot be read or is damaged.
    pub fn load_model(&self) -> Result<Option<Arc<Model>>> {
        match (&self.model, self.mode) {
            (_, Mode::Raw) | (None, Mode::Bounded(_)) => Ok(None),
            (None, Mode::Latent(_)) => Models::named_or_file(DEFAULT_MODEL).map(Some),
            (Some(name), _) => Models::named_or_file(name).map(Some),
        }
    }

    /// The numbers that an HDF5 filter takes: version, mode (as [`ModeName`]), low and high half of
    /// the bound's bits, layout and 256 times the effort. A filter's latents are those of the default
    /// model in binary16, and the fill value is a property of the dataset.
    pub fn to_cd_values(&self) -> [u32; Self::CD_COUNT] {
        let bits = self.bound().map_or(0, |bound| bound.number().to_bits());
        let name = ModeName::of(self.mode);
        let layout = (self.effort as u32) << Self::CD_EFFORT | self.layout as u32;
        [Self::CD_VERSION, name as u32, bits as u32, (bits >> 32) as u32, layout]
    }

    /// The compression of these numbers.
    ///
    /// # Errors
    /// [`Error::Config`] where they are too few, of a later version, or mean nothing.
    pub fn from_cd_values(values: &[u32]) -> Result<Self> {
        let how = "`swae hdf5-filter` prints the parameters of the filter";
        let wrong = |text: String| Error::Config(text);
        let [version, mode, low, high, layout] =
            *values.first_chunk().ok_or_else(|| wrong(format!("{} parameters of 5; {how}", values.len())))?;
        if version != Self::CD_VERSION {
            let known = Self::CD_VERSION;
            let advice = if version > known { "a newer plugin reads them" } else { how };
            return Err(wrong(format!(
                "the parameters have version {version}, this plugin knows version {known}; {advice}"
            )));
        }
        let bound = f64::from_bits(u64::from(high) << 32 | u64::from(low));
        let name = ModeName::ALL.into_iter().find(|name| *name as u32 == mode && *name != ModeName::Off);
        let name = name.ok_or_else(|| wrong(format!("unknown mode {mode}; {how}")))?;
        let (effort, layout) = (layout >> Self::CD_EFFORT, layout & ((1 << Self::CD_EFFORT) - 1));
        let known = Layout::ALL.into_iter().find(|known| *known as u32 == layout);
        let layout = known.ok_or_else(|| wrong(format!("unknown layout {layout}; {how}")))?;
        let effort =
            Effort::numbered(effort).ok_or_else(|| wrong(format!("unknown effort {effort}; {how}")))?;
        let settings = Settings { mode: Some(name), bound: Some(bound), ..Settings::default() };
        Ok(settings.compression()?.layout(layout).effort(effort))
    }
}

/// What a file says of a field: `rel 1e-4`, `latent gr-16 f16`, `raw`.
impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mode {
            Mode::Raw => write!(f, "raw"),
            Mode::Bounded(bound) => write!(f, "{bound}"),
            Mode::Latent(coding) => {
                write!(f, "latent {} {}", self.model.as_deref().unwrap_or(DEFAULT_MODEL), coding.name())
            }
        }
    }
}

/// From settings, as [`Settings`] reads them.
impl FromStr for Compression {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        text.parse::<Settings>()?.compression()
    }
}

/// A mode by its name. The numbers are those that an HDF5 filter takes, and are in files; swae.h has
/// its own, of which 0 is the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModeName {
    /// The latents of a model.
    Latent = 0,
    /// The values as they are.
    Raw = 1,
    /// Within an absolute bound.
    #[serde(alias = "absolute")]
    Abs = 2,
    /// Within a bound relative to the field's value range.
    #[serde(alias = "relative")]
    Rel = 3,
    /// Within a bound relative to each value.
    #[serde(alias = "pointwise_relative")]
    Pwrel = 4,
    /// At a peak signal-to-noise ratio.
    Psnr = 5,
    /// Not at all: a session leaves the field out of its file.
    Off = 6,
}

impl ModeName {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Latent, Self::Raw, Self::Abs, Self::Rel, Self::Pwrel, Self::Psnr, Self::Off];

    fn of(mode: Mode) -> Self {
        match mode {
            Mode::Latent(_) => Self::Latent,
            Mode::Raw => Self::Raw,
            Mode::Bounded(Bound::Absolute(_)) => Self::Abs,
            Mode::Bounded(Bound::Relative(_)) => Self::Rel,
            Mode::Bounded(Bound::PointwiseRelative(_)) => Self::Pwrel,
            Mode::Bounded(Bound::Psnr(_)) => Self::Psnr,
        }
    }

    /// The name that settings take.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Latent => "latent",
            Self::Raw => "raw",
            Self::Abs => "abs",
            Self::Rel => "rel",
            Self::Pwrel => "pwrel",
            Self::Psnr => "psnr",
            Self::Off => "off",
        }
    }
}

/// What was said of how a field is compressed; what was not said is left to earlier settings or to
/// the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// What is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<ModeName>,
    /// The bound of the modes that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<f64>,
    /// How latents are stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latents: Option<LatentCoding>,
    /// Name of a built-in model, or path of a model file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Steps from keyframe to keyframe.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keyframe_interval: Option<u32>,
    /// What the slowest axis of an array is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// The value that missing points hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fill: Option<f64>,
    /// How long the encoder looks for small streams within a bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub effort: Option<Effort>,
}

impl Settings {
    /// The keys, in the order of the fields.
    pub const KEYS: [&'static str; 8] =
        ["mode", "bound", "latents", "model", "keyframe_interval", "layout", "fill", "effort"];

    /// Sets what a key says.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown key, with the nearest known one, or for a value that the
    /// key does not take.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        let number = |what: &str| Error::Config(format!("{key} '{value}' is not a {what}"));
        match key {
            "mode" => self.mode = Some(word(key, value)?),
            "bound" => self.bound = Some(value.parse().map_err(|_| number("number"))?),
            "latents" => self.latents = Some(word(key, value)?),
            "model" => self.model = Some(value.into()),
            "keyframe_interval" => {
                self.keyframe_interval = Some(value.parse().map_err(|_| number("number of steps"))?);
            }
            "layout" => self.layout = Some(word(key, value)?),
            "fill" => self.fill = Some(value.parse().map_err(|_| number("number"))?),
            "effort" => self.effort = Some(word(key, value)?),
            _ => return Err(Error::Config(unknown_key(key, &Self::KEYS))),
        }
        Ok(())
    }

    /// Sets a mode in the short form: `rel 1e-4`, `latent gr-16 f16`, `raw`. False where it is none.
    fn set_short(&mut self, text: &str) -> bool {
        let words: Vec<_> = text.split_whitespace().collect();
        let pairs: &[(&str, &str)] = match words[..] {
            ["raw"] => &[("mode", "raw")],
            ["latent", model, latents] => &[("mode", "latent"), ("model", model), ("latents", latents)],
            [mode, bound] => &[("mode", mode), ("bound", bound)],
            _ => return false,
        };
        pairs.iter().all(|(key, value)| self.set(key, value).is_ok())
    }

    /// These settings, and where `later` says something, that instead.
    #[must_use]
    pub fn overridden_by(self, later: Self) -> Self {
        Self {
            mode: later.mode.or(self.mode),
            bound: later.bound.or(self.bound),
            latents: later.latents.or(self.latents),
            model: later.model.or(self.model),
            keyframe_interval: later.keyframe_interval.or(self.keyframe_interval),
            layout: later.layout.or(self.layout),
            fill: later.fill.or(self.fill),
            effort: later.effort.or(self.effort),
        }
    }

    /// What the settings come to. Without a mode that is [`DEFAULT_MODE`], with [`DEFAULT_BOUND`]
    /// where there is no bound either; a mode that is named needs its bound.
    ///
    /// # Errors
    /// [`Error::Config`] with [`ModeName::Off`], or without the bound that the mode needs;
    /// [`Error::Bound`] for a bound that means nothing.
    pub fn compression(&self) -> Result<Compression> {
        let default_bound = if self.mode.is_none() { Some(DEFAULT_BOUND) } else { None };
        let mode = self.mode.unwrap_or(DEFAULT_MODE);
        let bounded = |make: fn(f64) -> Bound| {
            let bound = self.bound.or(default_bound);
            let without = || Error::Config(format!("mode '{}' needs a 'bound'", mode.name()));
            let bound = bound.ok_or_else(without)?;
            make(bound).check()?;
            Ok::<_, Error>(Mode::Bounded(make(bound)))
        };
        let mode = match mode {
            ModeName::Latent => Mode::Latent(self.latents.unwrap_or_default()),
            ModeName::Raw => Mode::Raw,
            ModeName::Abs => bounded(Bound::Absolute)?,
            ModeName::Rel => bounded(Bound::Relative)?,
            ModeName::Pwrel => bounded(Bound::PointwiseRelative)?,
            ModeName::Psnr => bounded(Bound::Psnr)?,
            ModeName::Off => return Err(Error::Config("mode 'off' stores nothing".into())),
        };
        let compression = Compression {
            mode,
            model: self.model.clone(),
            keyframe_interval: self.keyframe_interval.unwrap_or(DEFAULT_KEYFRAME_INTERVAL).max(1),
            layout: self.layout.unwrap_or_default(),
            fill: self.fill.filter(|fill| !fill.is_nan()),
            effort: self.effort.unwrap_or_default(),
        };
        compression.check_fill()?;
        Ok(compression)
    }
}

/// From `key = value` settings, one on each line or behind each semicolon; or as [`Compression`] is
/// displayed, `rel 1e-4`.
impl FromStr for Settings {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut settings = Self::default();
        if !text.contains('=') && settings.set_short(text) {
            return Ok(settings);
        }
        for (key, value) in key_values(text)? {
            settings.set(key, value)?;
        }
        Ok(settings)
    }
}

impl TryFrom<Settings> for Compression {
    type Error = Error;

    fn try_from(settings: Settings) -> Result<Self> {
        settings.compression()
    }
}

impl From<Compression> for Settings {
    fn from(compression: Compression) -> Self {
        let Compression { mode, model, keyframe_interval, layout, fill, effort } = compression;
        Self {
            mode: Some(ModeName::of(mode)),
            bound: if let Mode::Bounded(bound) = mode { Some(bound.number()) } else { None },
            latents: if let Mode::Latent(coding) = mode { Some(coding) } else { None },
            model,
            keyframe_interval: Some(keyframe_interval),
            layout: Some(layout),
            fill,
            effort: Some(effort),
        }
    }
}

/// The pairs of a text of `key = value` settings, one on each line or behind each semicolon; quotes
/// around a value are taken off. Those in a key stay, and hold what would end it.
///
/// # Errors
/// [`Error::Config`] where a setting has no `=`.
pub fn key_values(text: &str) -> Result<Vec<(&str, &str)>> {
    let ends = [';', '\n'];
    let begin = |text| str::trim_start_matches(text, |c: char| c.is_whitespace() || c == ';');
    let (mut pairs, mut rest) = (Vec::new(), begin(text));
    while !rest.is_empty() {
        let key = &rest[..key_end(rest)];
        let Some(behind) = rest[key.len()..].strip_prefix('=') else {
            return Err(Error::Config(format!("'{}' is not of the form key = value", key.trim())));
        };
        let (value, next) = behind.split_at(behind.find(ends).unwrap_or(behind.len()));
        // A comment as TOML has it.
        let value = value.split_once(" #").map_or(value, |(before, _)| before);
        pairs.push((key.trim(), value.trim().trim_matches(['"', '\''])));
        rest = begin(next);
    }
    Ok(pairs)
}

/// Where the key that a text begins with ends: before its `=`, or with its setting.
fn key_end(text: &str) -> usize {
    let mut quote = None;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (None, '=' | ';' | '\n') => return at,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), _) if open == c => quote = None,
            _ => {}
        }
    }
    text.len()
}

/// The word of a list that is most like another one, if any is.
pub fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let likeness = |k: &&str| strsim::jaro_winkler(k, word);
    let near = known.iter().copied().max_by(|a, b| likeness(a).total_cmp(&likeness(b)));
    near.filter(|k| likeness(k) > 0.75)
}

/// What is said of a key that is none of the known ones: the nearest of them, or all.
pub fn unknown_key(key: &str, known: &[&str]) -> String {
    match nearest(key, known) {
        Some(near) => format!("unknown option '{key}'; did you mean '{near}'?"),
        None => format!("unknown option '{key}'; known: {}", known.join(", ")),
    }
}

/// A value that is one of a few words.
fn word<T: serde::de::DeserializeOwned>(key: &str, value: &str) -> Result<T> {
    use serde::de::IntoDeserializer;
    let deserialized = T::deserialize(IntoDeserializer::<serde::de::value::Error>::into_deserializer(value));
    deserialized.map_err(|e| Error::Config(format!("{key} '{value}': {e}").replace('`', "'")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<(&'static str, Compression)> {
        vec![
            ("latent", Compression::latent()),
            ("raw", Compression::raw()),
            ("abs", Compression::absolute(1e-3)),
            ("rel", Compression::relative(1e-3)),
            ("pwrel", Compression::pointwise_relative(1e-3)),
            ("psnr", Compression::psnr(1e-3)),
        ]
    }

    #[test]
    fn settings_numbers_and_json_say_the_same() {
        for (mode, compression) in all() {
            let has_fill = mode != "latent";
            let compression =
                compression.layout(Layout::Series).fill(has_fill.then_some(1e20)).effort(Effort::Best);
            let fill = if has_fill { "fill = 1e20" } else { "fill = nan" };
            let text = format!("mode = {mode}\nbound = 1e-3; layout = 'series'; {fill}; effort = best");
            assert_eq!(text.parse::<Compression>().unwrap(), compression);
            let numbers = compression.to_cd_values();
            assert_eq!(Compression::from_cd_values(&numbers).unwrap(), compression.clone().fill(None));
            let displayed = compression.to_string().parse::<Compression>().unwrap();
            assert_eq!(displayed.mode, compression.mode, "{compression}");
            let json = serde_json::to_string(&compression).unwrap();
            assert_eq!(serde_json::from_str::<Compression>(&json).unwrap(), compression, "{json}");
        }
        let aliases = ["absolute", "relative", "pointwise_relative"]
            .map(|mode| format!("mode = {mode}; bound = 1e-3").parse::<Compression>().unwrap());
        assert_eq!(aliases.to_vec(), all()[2..5].iter().map(|(_, c)| c.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn numbers_of_programs_that_know_no_effort_mean_the_normal_one() {
        let numbers = Compression::relative(1e-4).layout(Layout::Series).to_cd_values();
        assert_eq!(numbers[4], 1);
        assert_eq!(Compression::from_cd_values(&numbers).unwrap().effort, Effort::Normal);
    }

    #[test]
    fn without_a_mode_the_bound_is_relative_and_1e_4_where_none_is_given() {
        let read = |text: &str| text.parse::<Compression>().unwrap();
        assert_eq!(read(""), Compression::relative(1e-4));
        assert_eq!(read(""), Compression::default());
        assert_eq!(read("bound = 1e-6; latents = u8"), Compression::relative(1e-6));
        assert_eq!(read("mode = latent"), Compression::latent());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("mode = rel", "needs a 'bound'"),
            (
                "mode = rel; bound = -1",
                "-1 is no error bound for mode 'rel': it must be a finite number, 0 or more",
            ),
            ("bound = -1", "-1 is no error bound for mode 'rel'"),
            ("mode = rel; bound = much", "bound 'much' is not a number"),
            ("mod = rel", "unknown option 'mod'; did you mean 'mode'?"),
            ("xyzzy = 1", "unknown option 'xyzzy'; known: mode, bound"),
            ("mode = fast", "mode 'fast': unknown variant 'fast'"),
            ("mode = abs; bound = 1; fill = none", "fill 'none' is not a number"),
            ("mode = latent; fill = 1e20", "latents know no 'fill' value"),
            ("mode = raw; layout = list", "expected 'grid' or 'series'"),
            (
                "mode = latent; latents = f8",
                "latents 'f8': unknown variant 'f8', expected one of 'f32', 'f16', 'u8'",
            ),
            ("effort = quick", "effort 'quick': unknown variant 'quick', expected one of 'fast', 'normal'"),
            ("mode", "'mode' is not of the form key = value"),
        ];
        for (text, reason) in cases {
            let found = text.parse::<Compression>().unwrap_err().to_string();
            assert!(found.contains(reason), "{text}: {found}");
        }
        let numbers = Compression::relative(1e-3).to_cd_values();
        let newer = [&[2], &numbers[1..]].concat();
        for (numbers, reason) in [
            (&newer[..], "version 2, this plugin knows version 1; a newer plugin"),
            (&numbers[..4], "4 parameters of 5"),
            (&[1, 9, 0, 0, 0], "unknown mode 9"),
            (&[1, 6, 0, 0, 0], "unknown mode 6"),
            (&[1, 3, 0, 0, 7], "unknown layout 7"),
            (&[1, 3, 0, 0, 3 * 256], "unknown effort 3"),
            (&[1, 3, 0, u32::MAX, 0], "no error bound"),
        ] {
            let found = Compression::from_cd_values(numbers).unwrap_err().to_string();
            assert!(found.contains(reason), "{numbers:?}: {found}");
        }
    }
}
