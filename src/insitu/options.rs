//! How a session works, and how people say it: a struct, a TOML file, text of `key = value` lines. What comes later wins.

use crate::devices::Devices;
use crate::{Error, Result};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;
use swae_codec::Bound;
use swae_codec::bound::ValueRange;
use swae_codec::config::LatentCoding;
use swae_plugins::parameters::{self as filter, Parameters};
use toml::{Table, Value};

/// How fields are coded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Coding {
    /// The values as they are.
    Raw,
    /// The latents of a model; no error bound.
    Latent(LatentCoding),
    /// Within an error bound. Steps lean on the steps before, from one keyframe to the next.
    Bounded {
        /// What error is allowed.
        bound: Bound,
        /// Steps from keyframe to keyframe; 1 makes every step one.
        keyframe_interval: u32,
    },
}

impl Coding {
    /// Whether boxes must wait until all ranks have told the range of theirs.
    pub(crate) fn needs_range(self) -> bool {
        matches!(self, Self::Bounded { bound, .. } if bound.needs_range())
    }
}

/// What goes on while the simulation computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asynchronous {
    /// Nothing: a step is in the file when `end_step` returns.
    #[default]
    Off,
    /// A step is encoded in the background, and written when the next one begins, or the session ends; the ranks talk to one
    /// another in the program's calls only.
    Coding,
    /// Steps are also written in the background, by a thread that calls MPI and HDF5 or ADIOS2. Where MPI does not allow that
    /// (`MPI_THREAD_MULTIPLE`), as [`Asynchronous::Coding`].
    Writing,
}

/// What fields are in a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// Streams of boxes: the smallest, and steps lean on one another.
    #[default]
    Streams,
    /// Ordinary datasets behind the HDF5 filter, which every HDF5 program opens that finds the filter.
    Datasets,
}

/// What is done with a field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldOptions {
    /// How it is coded; none leaves it out of the file.
    pub coding: Option<Coding>,
    /// Of the steps that are begun, each so many-th is written, the first one included.
    pub every: u64,
    /// The levels of a hierarchy that are written; none for all.
    pub levels: Option<Vec<u32>>,
}

/// How a session works; all ranks pass the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Of fields that no pattern names.
    pub others: FieldOptions,
    /// Of fields by name, or by pattern with `*` and `?`: a name counts before patterns, a longer pattern before shorter ones.
    pub fields: Vec<(glob::Pattern, FieldOptions)>,
    /// Name of a built-in model, or path of a model file; fields within a bound use one that weighs predictions.
    pub model: String,
    /// Threads that encode on this rank; 0 for this rank's share of the node's cores, which goes by its share of the work.
    pub threads: usize,
    /// The devices of a node that encode.
    pub devices: Devices,
    /// Whether fields within a bound lean on other fields of their step: smaller, but who reads one decodes those too. Their values
    /// are copied until the step ends.
    pub couple: bool,
    /// Whether the steps that a file of this name holds stay in it.
    pub append: bool,
    /// What fields are in the file.
    pub layout: Layout,
    /// What goes on while the simulation computes.
    pub asynchronous: Asynchronous,
    /// Bytes of values that this rank copies at most for steps in the background. What goes beyond waits for earlier steps,
    /// and is encoded in `put` where that is not enough.
    pub memory: usize,
}

impl Default for Options {
    fn default() -> Self {
        Settings::default().options().expect("the defaults are possible")
    }
}

impl Options {
    /// Those of a field.
    pub fn of(&self, name: &str) -> &FieldOptions {
        let named = self.fields.iter().find(|(pattern, _)| pattern.as_str() == name);
        let matched = || self.fields.iter().find(|(pattern, _)| pattern.matches(name));
        named.or_else(matched).map_or(&self.others, |(_, options)| options)
    }

    /// How the HDF5 filter codes a field of this range on all ranks and levels.
    pub(crate) fn filter(&self, name: &str, range: Option<ValueRange>) -> Parameters {
        let width = range.unwrap_or(ValueRange::EMPTY).width();
        Parameters::from(match self.of(name).coding {
            // The filter sees a chunk, not the field: its range is told now.
            Some(Coding::Bounded { bound: Bound::Relative(e), .. }) => {
                filter::Coding::Bounded(Bound::Absolute(e * width))
            }
            // No error above the one that all may have at this ratio.
            Some(Coding::Bounded { bound: Bound::Psnr(db), .. }) => {
                filter::Coding::Bounded(Bound::Absolute(width * 10f64.powf(-db / 20.0)))
            }
            Some(Coding::Bounded { bound, .. }) => filter::Coding::Bounded(bound),
            Some(Coding::Latent(_)) => filter::Coding::Latent,
            Some(Coding::Raw) | None => filter::Coding::Raw,
        })
    }

    /// Of all fields that there may be.
    pub(crate) fn codings(&self) -> impl Iterator<Item = Coding> {
        let fields = self.fields.iter().map(|(_, options)| options);
        fields.chain([&self.others]).filter_map(|options| options.coding)
    }
}

/// How fields are coded, as people say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Latents of a model.
    Latent,
    /// The values.
    Raw,
    /// Within an absolute bound.
    Abs,
    /// Within a bound relative to the field's range.
    Rel,
    /// Within a bound relative to each value.
    Pwrel,
    /// At a peak signal-to-noise ratio.
    Psnr,
    /// Not at all: the field is left out.
    Off,
}

/// What is said of a field; what is not said is as for all fields, or as always.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FieldSettings {
    /// How it is coded; latent if nothing is said.
    pub mode: Option<Mode>,
    /// Of the modes that have one.
    pub bound: Option<f64>,
    /// How latents are stored: `f16`, `f32`, `u8`.
    pub latents: Option<String>,
    /// Steps from keyframe to keyframe; 16 if nothing is said.
    pub keyframe_interval: Option<u32>,
    /// Which steps are written: each so many-th.
    pub every: Option<u64>,
    /// Which levels are written.
    pub levels: Option<Vec<u32>>,
}

/// What is said of a session.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Of all fields.
    #[serde(flatten)]
    pub all: FieldSettings,
    /// Name or path of a model; `gr-16` if nothing is said.
    pub model: Option<String>,
    /// Threads of a rank; its share of the node's cores if nothing is said.
    pub threads: Option<usize>,
    /// Which devices encode: `auto`, `cpu`, `cpu:N`, `cuda`, `cuda:0,1,…`; `auto` if nothing is said.
    pub devices: Option<String>,
    /// Whether fields lean on other fields of their step; not if nothing is said.
    pub couple: Option<bool>,
    /// Whether to go on with a file of this name; it is replaced if nothing is said.
    pub append: Option<bool>,
    /// What fields are in the file; streams if nothing is said.
    pub layout: Option<Layout>,
    /// What goes on while the simulation computes; nothing if nothing is said.
    pub asynchronous: Option<Asynchronous>,
    /// Bytes of copies for steps in the background; 2³⁰ if nothing is said.
    pub memory: Option<f64>,
    /// Of fields by name or pattern.
    pub fields: BTreeMap<String, FieldSettings>,
}

/// The model where nobody names one.
pub(crate) const DEFAULT_MODEL: &str = "gr-16";

const OF_A_FIELD: [&str; 6] = ["mode", "bound", "latents", "keyframe_interval", "every", "levels"];
const OF_A_SESSION: [&str; 9] =
    ["model", "threads", "devices", "couple", "append", "layout", "asynchronous", "memory", "fields"];
/// Bytes of copies if nobody says how many.
const MEMORY: f64 = (1u64 << 30) as f64;

impl Settings {
    /// A TOML file.
    ///
    /// # Errors
    /// [`Error::Argument`] with file, line and key.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |e: &dyn std::fmt::Display| Error::Argument(format!("{}: {e}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
        let table = text.parse::<Table>().map_err(|e| wrong(&e))?;
        Self::of(table).map_err(|e| wrong(&e))
    }

    /// Settings as text, `mode = rel; bound = 1e-4; fields.chi.bound = 1e-6`, one on each line or behind each semicolon.
    ///
    /// # Errors
    /// [`Error::Argument`] with the key.
    pub fn parse(text: &str) -> Result<Self> {
        let mut table = Table::new();
        for setting in text.split([';', '\n']).map(str::trim).filter(|s| !s.is_empty()) {
            let wrong = || Error::Argument(format!("'{setting}' is not of the form key = value"));
            let (key, value) = setting.split_once('=').ok_or_else(wrong)?;
            let (key, value) = (key.trim(), value.trim());
            // What TOML has no value for is a word.
            let parsed = format!("value = {value}").parse::<Table>().ok().and_then(|mut t| t.remove("value"));
            let value = parsed.unwrap_or_else(|| Value::String(value.into()));
            let named = key.strip_prefix("fields.").map(|rest| rest.rsplit_once('.').ok_or_else(wrong));
            let (place, key) = match named.transpose()? {
                None => (&mut table, key),
                Some((name, key)) => {
                    let fields = table.entry("fields").or_insert_with(|| Table::new().into());
                    let fields = fields.as_table_mut().ok_or_else(wrong)?;
                    let field = fields.entry(name).or_insert_with(|| Table::new().into());
                    (field.as_table_mut().ok_or_else(wrong)?, key)
                }
            };
            place.insert(key.into(), value);
        }
        Self::of(table).map_err(Error::Argument)
    }

    fn of(table: Table) -> std::result::Result<Self, String> {
        check_keys(&table, &[&OF_A_FIELD[..], &OF_A_SESSION].concat(), "")?;
        if let Some(Value::Table(fields)) = table.get("fields") {
            for (name, field) in fields {
                let field = field.as_table().ok_or_else(|| format!("fields.{name} is not a table"))?;
                check_keys(field, &OF_A_FIELD, &format!("fields.{name}."))?;
            }
        }
        Value::Table(table).try_into::<Self>().map_err(|e| e.to_string().trim().replace('\n', " "))
    }

    /// These, and what `later` says otherwise.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        let mut fields = self.fields;
        for (name, later) in later.fields {
            let field = fields.remove(&name).unwrap_or_default().and(later);
            fields.insert(name, field);
        }
        Self {
            all: self.all.and(later.all),
            model: later.model.or(self.model),
            threads: later.threads.or(self.threads),
            devices: later.devices.or(self.devices),
            couple: later.couple.or(self.couple),
            append: later.append.or(self.append),
            layout: later.layout.or(self.layout),
            asynchronous: later.asynchronous.or(self.asynchronous),
            memory: later.memory.or(self.memory),
            fields,
        }
    }

    /// What they come to.
    ///
    /// # Errors
    /// [`Error::Argument`] for a bound that is missing or none, latents or a pattern that nobody knows.
    pub fn options(self) -> Result<Options> {
        let mut fields = Vec::new();
        for (name, field) in self.fields {
            let wrong = |e: &dyn std::fmt::Display| Error::Argument(format!("fields.{name}: {e}"));
            let pattern = glob::Pattern::new(&name).map_err(|e| wrong(&e))?;
            let options = self.all.clone().and(field).options().map_err(|e| wrong(&e))?;
            fields.push((pattern, options));
        }
        let memory = self.memory.unwrap_or(MEMORY);
        if memory.is_nan() || memory < 0.0 {
            return Err(Error::Argument(format!("memory is {memory}, expected a number of bytes")));
        }
        fields.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.as_str().len()));
        let options = Options {
            others: self.all.options().map_err(Error::Argument)?,
            fields,
            model: self.model.unwrap_or_else(|| DEFAULT_MODEL.into()),
            threads: self.threads.unwrap_or(0),
            devices: self.devices.as_deref().unwrap_or("auto").parse()?,
            couple: self.couple.unwrap_or(false),
            append: self.append.unwrap_or(false),
            layout: self.layout.unwrap_or_default(),
            asynchronous: self.asynchronous.unwrap_or_default(),
            memory: memory as usize,
        };
        let other = |c: Coding| matches!(c, Coding::Latent(l) if l != LatentCoding::F16 || options.model != DEFAULT_MODEL);
        if options.layout == Layout::Datasets && options.codings().any(other) {
            let text = "layout = datasets has latents of gr-16 in f16 alone";
            return Err(Error::Unsupported(text.into()));
        }
        Ok(options)
    }
}

impl FieldSettings {
    fn and(self, later: Self) -> Self {
        Self {
            mode: later.mode.or(self.mode),
            bound: later.bound.or(self.bound),
            latents: later.latents.or(self.latents),
            keyframe_interval: later.keyframe_interval.or(self.keyframe_interval),
            every: later.every.or(self.every),
            levels: later.levels.or(self.levels),
        }
    }

    fn options(self) -> std::result::Result<FieldOptions, String> {
        let keyframe_interval = self.keyframe_interval.unwrap_or(16).max(1);
        let bounded = |make: fn(f64) -> Bound| {
            let bound = make(self.bound.ok_or("this mode needs a bound")?);
            bound.check().map_err(|e| e.to_string())?;
            Ok::<_, String>(Some(Coding::Bounded { bound, keyframe_interval }))
        };
        let latents = || match self.latents.as_deref() {
            None => Ok(LatentCoding::default()),
            Some("f16") => Ok(LatentCoding::F16),
            Some("f32") => Ok(LatentCoding::F32),
            Some("u8") => Ok(LatentCoding::U8),
            Some(other) => Err(format!("latents '{other}' are none of f16, f32, u8")),
        };
        let coding = match self.mode.unwrap_or(Mode::Latent) {
            Mode::Latent => Some(Coding::Latent(latents()?)),
            Mode::Raw => Some(Coding::Raw),
            Mode::Abs => bounded(Bound::Absolute)?,
            Mode::Rel => bounded(Bound::Relative)?,
            Mode::Pwrel => bounded(Bound::PointwiseRelative)?,
            Mode::Psnr => bounded(Bound::Psnr)?,
            Mode::Off => None,
        };
        Ok(FieldOptions { coding, every: self.every.unwrap_or(1).max(1), levels: self.levels })
    }
}

/// Whether all keys are known; a near one is suggested.
fn check_keys(table: &Table, known: &[&str], before: &str) -> std::result::Result<(), String> {
    let Some(key) = table.keys().find(|key| !known.contains(&key.as_str())) else { return Ok(()) };
    let near = known.iter().map(|k| (strsim::jaro_winkler(k, key), k)).max_by(|a, b| a.0.total_cmp(&b.0));
    let hint =
        near.filter(|(likeness, _)| *likeness > 0.75).map(|(_, k)| format!("; did you mean '{before}{k}'?"));
    let hint = hint.unwrap_or_else(|| format!("; known: {}", known.join(", ")));
    Err(format!("unknown option '{before}{key}'{hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_later_wins_and_names_count_before_patterns() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("swae.toml");
        let file = "mode = 'rel'\nbound = 1e-4\nthreads = 2\n[fields.'At_*']\nbound = 1e-3\nevery = 2\n[fields.K]\nmode = 'off'";
        std::fs::write(&path, file).unwrap();
        let text = "bound=1e-5; fields.At_xx.mode = abs\nfields.At_xx.bound=2; fields.At_??.levels=[0, 1]; model = gr-16\n\
                    asynchronous = writing; memory = 2e9";
        let settings = Settings::read(&path).unwrap().and(Settings::parse(text).unwrap());
        let options = settings.options().unwrap();
        let bounded = |bound| Some(Coding::Bounded { bound, keyframe_interval: 16 });
        assert_eq!(options.others.coding, bounded(Bound::Relative(1e-5)));
        assert_eq!(options.of("chi"), &options.others);
        assert_eq!(options.of("K").coding, None);
        assert_eq!(options.of("At_xx").coding, bounded(Bound::Absolute(2.0)));
        assert_eq!(options.of("At_xy").levels, Some(vec![0, 1]));
        assert_eq!(
            (options.of("At_x").every, options.of("At_x").coding),
            (2, bounded(Bound::Relative(1e-3)))
        );
        assert_eq!((options.threads, &*options.model), (2, "gr-16"));
        assert_eq!((options.asynchronous, options.memory), (Asynchronous::Writing, 2_000_000_000));
    }

    #[test]
    fn wrong_settings_are_named() {
        let cases = [
            ("mode", "'mode' is not of the form key = value"),
            ("bond = 1", "unknown option 'bond'; did you mean 'bound'?"),
            ("fields.chi.boun = 1", "unknown option 'fields.chi.boun'; did you mean 'fields.chi.bound'?"),
            ("xyzzy = 1", "unknown option 'xyzzy'; known: mode, bound"),
            ("mode = fast", "unknown variant `fast`"),
            ("mode = abs", "this mode needs a bound"),
            ("mode = abs; bound = -1", "bound"),
            ("fields.chi.mode = psnr", "fields.chi: this mode needs a bound"),
            ("latents = f8", "latents 'f8' are none of f16, f32, u8"),
            ("threads = many", "invalid type"),
            ("memory = -1", "memory is -1, expected a number of bytes"),
            ("asynchronous = on", "unknown variant `on`"),
            ("layout = files", "unknown variant `files`"),
            ("layout = datasets; latents = u8", "latents of gr-16 in f16 alone"),
            ("fields.[.every = 2", "fields.[: "),
        ];
        for (text, reason) in cases {
            let found = Settings::parse(text).and_then(Settings::options).unwrap_err().to_string();
            assert!(found.contains(reason), "{text}: {found}");
        }
    }
}
