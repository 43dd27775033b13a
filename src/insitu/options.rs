//! How a session works, and how it is said: a struct, a TOML file, text of `key = value` lines.
//! Later settings win. How a field is compressed is the codec's to say
//! ([`swae_codec::Compression`]); what a session adds is here.

use crate::devices::Devices;
use crate::{Error, Result};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;
use swae_codec::bound::ValueRange;
use swae_codec::config::{
    self, DEFAULT_MODEL, Effort, LatentCoding, Mode, ModeName, Settings as CompressionSettings, unknown_key,
};
use swae_codec::{Bound, Compression};
pub use swae_store::Storage;
use swae_store::split_level;
use toml::{Table, Value};

/// What goes on while the simulation computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asynchronous {
    /// Nothing: a step is in the file when `end_step` returns.
    #[default]
    Off,
    /// A step is encoded in the background, and written when the next one begins, or the session
    /// ends; the ranks communicate in the program's calls only.
    Encode,
    /// Steps are also written in the background, by a thread that calls MPI and HDF5 or ADIOS2.
    /// Where MPI does not allow that (`MPI_THREAD_MULTIPLE`), as [`Asynchronous::Encode`].
    Write,
}

/// What becomes of a step with the number of the last one: some codes write their last output again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Repeat {
    /// It takes the place of the one that is there.
    #[default]
    Replace,
    /// It is not written.
    Skip,
    /// Beginning it fails.
    Error,
}

/// The values of which a field's range is taken, where its bound refers to one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RangeOf {
    /// Those of its own level: errors are as small beside what a level shows as they are asked to be.
    #[default]
    Level,
    /// Those of all its levels whose bound refers to a range.
    Field,
}

/// What is done with a field.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldOptions {
    /// How it is compressed; none leaves it out of the file.
    pub compression: Option<Compression>,
    /// Which values have the range that its bound refers to.
    pub range: RangeOf,
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
    /// Of fields by name, or by pattern with `*` and `?`: a name counts before patterns, a longer
    /// pattern before shorter ones.
    pub fields: Vec<(glob::Pattern, FieldOptions)>,
    /// The model of all fields: name of a built-in one, or path of a model file; none for the
    /// default one of latents. Fields within a bound use a mixing model.
    pub model: Option<String>,
    /// Threads that encode on this rank; 0 for this rank's share of the node's cores, which goes by
    /// its share of the work.
    pub threads: usize,
    /// The devices of a node that encode.
    pub devices: Devices,
    /// Whether fields within a bound are predicted from other fields of their step: smaller, but a
    /// reader of one decodes those too. Their values are copied until the step ends.
    pub inter_field: bool,
    /// Whether the steps that a file of this name holds stay in it.
    pub append: bool,
    /// What becomes of a step with the number of the last one.
    pub repeat: Repeat,
    /// What is stored of fields.
    pub storage: Storage,
    /// What goes on while the simulation computes.
    pub asynchronous: Asynchronous,
    /// Bytes of values that this rank copies at most for steps in the background. What goes beyond
    /// waits for earlier steps, and is encoded in `put` where that is not enough.
    pub memory: usize,
}

impl Default for Options {
    fn default() -> Self {
        Settings::default().options().expect("the defaults are possible")
    }
}

impl Options {
    /// Those of a field on a level. A pattern matches the name or, where it has an `@`, the name with
    /// the level, `chi@0`; of names, the one with the level counts first.
    pub fn of(&self, name: &str, level: u32) -> &FieldOptions {
        let on_level = format!("{name}@{level}");
        let is = |text: &str| self.fields.iter().find(|(pattern, _)| pattern.as_str() == text);
        let matches = |(pattern, _): &&(glob::Pattern, _)| {
            pattern.matches(name) || pattern.as_str().contains('@') && pattern.matches(&on_level)
        };
        let found = is(&on_level).or_else(|| is(name)).or_else(|| self.fields.iter().find(matches));
        found.map_or(&self.others, |(_, options)| options)
    }

    /// The same of a field as it is called in files.
    pub(crate) fn of_stored(&self, stored: &str) -> &FieldOptions {
        let (name, level) = split_level(stored);
        self.of(name, level)
    }

    /// Of the settings of fields, which ones name a field of this name: on some level, whichever it
    /// has now.
    pub(crate) fn naming(&self, name: &str) -> impl Iterator<Item = usize> {
        let names = move |(pattern, _): &(glob::Pattern, _)| {
            let of_any_level = pattern.as_str().rsplit_once('@').map(|(name, _)| glob::Pattern::new(name));
            pattern.matches(name) || of_any_level.is_some_and(|of| of.is_ok_and(|of| of.matches(name)))
        };
        self.fields.iter().enumerate().filter(move |(_, field)| names(field)).map(|(number, _)| number)
    }

    /// How the HDF5 filter compresses the chunks of a field, as it is called in files, of this range.
    /// The filter sees a chunk, not the field, so a bound that depends on the field's range becomes
    /// an absolute one.
    pub(crate) fn chunk_compression(&self, stored: &str, range: Option<ValueRange>) -> Compression {
        let width = range.unwrap_or(ValueRange::EMPTY).width();
        let Some(mut compression) = self.of_stored(stored).compression.clone() else {
            return Compression::raw();
        };
        let absolute = |e| Mode::Bounded(Bound::Absolute(e));
        match compression.bound() {
            Some(Bound::Relative(e)) => compression.mode = absolute(e * width),
            // No error above the one that all may have at this ratio.
            Some(Bound::Psnr(db)) => compression.mode = absolute(width * 10f64.powf(-db / 20.0)),
            _ => {}
        }
        compression
    }

    /// Of all fields that there may be.
    pub(crate) fn compressions(&self) -> impl Iterator<Item = &Compression> {
        let fields = self.fields.iter().map(|(_, options)| options);
        fields.chain([&self.others]).filter_map(|options| options.compression.as_ref())
    }

    /// Checks what the filter of datasets can do.
    fn check_storage(self) -> Result<Self> {
        let is_default_model = self.model.as_deref().is_none_or(|model| model == DEFAULT_MODEL);
        let unknown_to_filter = |compression: &Compression| match compression.mode {
            Mode::Latent(coding) => coding != LatentCoding::F16 || !is_default_model,
            _ => false,
        };
        if self.storage == Storage::Datasets && self.compressions().any(unknown_to_filter) {
            let text = format!("storage = datasets has latents of {DEFAULT_MODEL} in f16 alone");
            return Err(Error::Unsupported(text));
        }
        Ok(self)
    }
}

/// What is said of a field; what is not said is as for all fields, or the default.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct FieldSettings {
    /// How it is compressed; within a relative bound of 1e-4 if nothing is said. Its model is that of
    /// the session.
    #[serde(flatten)]
    pub compression: CompressionSettings,
    /// Which values have the range that a bound refers to; those of the level if nothing is said.
    pub range: Option<RangeOf>,
    /// Which steps are written: each so many-th.
    pub every: Option<u64>,
    /// Which levels are written.
    pub levels: Option<Vec<u32>>,
}

/// What is said of a session.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Of all fields, the model included.
    #[serde(flatten)]
    pub all: FieldSettings,
    /// Threads of a rank; its share of the node's cores if nothing is said.
    pub threads: Option<usize>,
    /// Which devices encode: `auto`, `cpu`, `cpu:N`, `cuda`, `cuda:0,1,…`; `auto` if nothing is
    /// said.
    pub devices: Option<String>,
    /// Whether fields are predicted from other fields of their step; if nothing is said, at effort
    /// `best` alone.
    pub inter_field: Option<bool>,
    /// Whether to go on with a file of this name; it is replaced if nothing is said.
    pub append: Option<bool>,
    /// What becomes of a step with the number of the last one; it replaces that if nothing is said.
    pub repeat: Option<Repeat>,
    /// What is stored of fields; streams if nothing is said.
    pub storage: Option<Storage>,
    /// What goes on while the simulation computes; nothing if nothing is said.
    pub asynchronous: Option<Asynchronous>,
    /// Bytes of copies for steps in the background; 2³⁰ if nothing is said.
    pub memory: Option<f64>,
    /// Of fields by name or pattern.
    pub fields: BTreeMap<String, FieldSettings>,
}

/// Bytes of copies if nothing is said.
const MEMORY: f64 = (1u64 << 30) as f64;

impl Settings {
    /// The keys, beside those of a field.
    pub const KEYS: [&'static str; 10] = [
        "model",
        "threads",
        "devices",
        "inter_field",
        "append",
        "repeat",
        "storage",
        "asynchronous",
        "memory",
        "fields",
    ];

    /// A TOML file.
    ///
    /// # Errors
    /// [`Error::Argument`] with file, line and key.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |e: &dyn std::fmt::Display| Error::Argument(format!("{}: {e}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|e| wrong(&e))?;
        let table = text.parse::<Table>().map_err(|e| wrong(&e))?;
        Self::from_table(table).map_err(|e| wrong(&e))
    }

    /// Settings as text, `mode = rel; bound = 1e-4; fields.chi.bound = 1e-6`, one on each line or
    /// behind each semicolon. Quotes around a name let it hold what would end it, as in TOML:
    /// `fields."ADMBASE::gxx".bound = 1e-6`.
    ///
    /// # Errors
    /// [`Error::Argument`] with the key.
    pub fn parse(text: &str) -> Result<Self> {
        let mut settings = Self::default();
        for (key, value) in config::key_values(text)? {
            match key.strip_prefix("fields.").map(|rest| rest.rsplit_once('.')) {
                None => settings.set(key, value)?,
                Some(Some((name, key))) => {
                    let name = unquoted(name);
                    let field = settings.fields.entry(name.into()).or_default();
                    field
                        .set(key, value, &FieldSettings::KEYS)
                        .map_err(|e| e.with(&format!("fields.{name}")))?;
                }
                Some(None) => {
                    return Err(Error::Argument(format!("'{key}' is not of the form fields.NAME.KEY")));
                }
            }
        }
        Ok(settings)
    }

    /// Sets what a key says.
    ///
    /// # Errors
    /// [`Error::Argument`] for an unknown key, with the nearest known one, or for a value that the
    /// key does not take.
    pub fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "model" => self.all.compression.model = Some(value.into()),
            "threads" => self.threads = Some(parsed(key, value)?),
            "devices" => self.devices = Some(value.into()),
            "inter_field" => self.inter_field = Some(parsed(key, value)?),
            "append" => self.append = Some(parsed(key, value)?),
            "repeat" => self.repeat = Some(parsed(key, value)?),
            "storage" => self.storage = Some(parsed(key, value)?),
            "asynchronous" => self.asynchronous = Some(parsed(key, value)?),
            "memory" => self.memory = Some(parsed(key, value)?),
            _ => return self.all.set(key, value, &Self::all_keys()),
        }
        Ok(())
    }

    fn all_keys() -> Vec<&'static str> {
        [&FieldSettings::KEYS[..], &Self::KEYS].concat()
    }

    fn from_table(table: Table) -> std::result::Result<Self, String> {
        check_keys(&table, &Self::all_keys())?;
        if let Some(Value::Table(fields)) = table.get("fields") {
            for (name, field) in fields {
                let field = field.as_table().ok_or_else(|| format!("fields.{name} is not a table"))?;
                check_keys(field, &FieldSettings::KEYS).map_err(|e| format!("fields.{name}: {e}"))?;
            }
        }
        Value::Table(table).try_into::<Self>().map_err(|e| in_one_line(&e))
    }

    /// These settings, and where `later` says something, that instead.
    #[must_use]
    pub fn overridden_by(self, later: Self) -> Self {
        let mut fields = self.fields;
        for (name, later) in later.fields {
            let field = fields.remove(&name).unwrap_or_default().overridden_by(later);
            fields.insert(name, field);
        }
        Self {
            all: self.all.overridden_by(later.all),
            threads: later.threads.or(self.threads),
            devices: later.devices.or(self.devices),
            inter_field: later.inter_field.or(self.inter_field),
            append: later.append.or(self.append),
            repeat: later.repeat.or(self.repeat),
            storage: later.storage.or(self.storage),
            asynchronous: later.asynchronous.or(self.asynchronous),
            memory: later.memory.or(self.memory),
            fields,
        }
    }

    /// What they come to.
    ///
    /// # Errors
    /// [`Error::Argument`] for a bound that is missing or means nothing, or an unknown pattern;
    /// [`Error::Unsupported`] for what datasets cannot hold.
    pub fn options(self) -> Result<Options> {
        let mut fields = Vec::new();
        for (name, field) in self.fields {
            let wrong = |e: &dyn std::fmt::Display| Error::Argument(format!("fields.{name}: {e}"));
            let pattern = glob::Pattern::new(&name).map_err(|e| wrong(&e))?;
            let options = self.all.clone().overridden_by(field).options().map_err(|e| wrong(&e))?;
            fields.push((pattern, options));
        }
        let memory = self.memory.unwrap_or(MEMORY);
        if memory.is_nan() || memory < 0.0 {
            return Err(Error::Argument(format!("memory is {memory}, expected a number of bytes")));
        }
        fields.sort_by_key(|(pattern, _)| std::cmp::Reverse(pattern.as_str().len()));
        let effort = self.all.compression.effort;
        let options = Options {
            model: self.all.compression.model.clone(),
            others: self.all.options()?,
            fields,
            threads: self.threads.unwrap_or(0),
            devices: self.devices.as_deref().unwrap_or("auto").parse()?,
            inter_field: self.inter_field.unwrap_or(effort == Some(Effort::Best)),
            append: self.append.unwrap_or(false),
            repeat: self.repeat.unwrap_or_default(),
            storage: self.storage.unwrap_or_default(),
            asynchronous: self.asynchronous.unwrap_or_default(),
            memory: memory as usize,
        };
        options.check_storage()
    }
}

impl FieldSettings {
    /// The keys of a field.
    pub const KEYS: [&'static str; 9] =
        ["mode", "bound", "range", "latents", "keyframe_interval", "fill", "effort", "every", "levels"];

    /// Sets what one of the known keys says.
    fn set(&mut self, key: &str, value: &str, known: &[&str]) -> Result<()> {
        match key {
            "range" => self.range = Some(parsed(key, value)?),
            "every" => self.every = Some(parsed(key, value)?),
            "levels" => self.levels = Some(parsed(key, value)?),
            _ if known.contains(&key) && CompressionSettings::KEYS.contains(&key) => {
                self.compression.set(key, value)?;
            }
            _ => return Err(Error::Argument(unknown_key(key, known))),
        }
        Ok(())
    }

    fn overridden_by(self, later: Self) -> Self {
        Self {
            compression: self.compression.overridden_by(later.compression),
            range: later.range.or(self.range),
            every: later.every.or(self.every),
            levels: later.levels.or(self.levels),
        }
    }

    fn options(self) -> Result<FieldOptions> {
        let compression = match self.compression.mode {
            Some(ModeName::Off) => None,
            _ => Some(self.compression.compression()?),
        };
        let (range, every) = (self.range.unwrap_or_default(), self.every.unwrap_or(1).max(1));
        Ok(FieldOptions { compression, range, every, levels: self.levels })
    }
}

/// A name without the quotes around it.
fn unquoted(name: &str) -> &str {
    let inside = |quote: char| name.strip_prefix(quote)?.strip_suffix(quote);
    inside('"').or_else(|| inside('\'')).unwrap_or(name)
}

/// A value of a key, as TOML has it; what TOML has no value for is a word.
fn parsed<T: DeserializeOwned>(key: &str, value: &str) -> Result<T> {
    let read = format!("value = {value}").parse::<Table>().ok().and_then(|mut table| table.remove("value"));
    let read = read.unwrap_or_else(|| Value::String(value.into()));
    read.try_into().map_err(|e| Error::Argument(format!("{key} '{value}': {}", in_one_line(&e))))
}

fn in_one_line(e: &toml::de::Error) -> String {
    e.to_string().trim().replace('\n', " ")
}

/// Whether all keys are known; a near one is suggested.
fn check_keys(table: &Table, known: &[&str]) -> std::result::Result<(), String> {
    match table.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => Err(unknown_key(key, known)),
        None => Ok(()),
    }
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
                    asynchronous = write; memory = 2e9";
        let settings = Settings::read(&path).unwrap().overridden_by(Settings::parse(text).unwrap());
        let options = settings.options().unwrap();
        let bounded = |bound: Bound| Some(Compression::from(bound).model("gr-16"));
        assert_eq!(options.others.compression, bounded(Bound::Relative(1e-5)));
        assert_eq!(options.of("chi", 0), &options.others);
        assert_eq!(options.of("K", 0).compression, None);
        assert_eq!(options.of("At_xx", 0).compression, bounded(Bound::Absolute(2.0)));
        assert_eq!(options.of("At_xy", 0).levels, Some(vec![0, 1]));
        let pattern = options.of("At_x", 0);
        assert_eq!((pattern.every, &pattern.compression), (2, &bounded(Bound::Relative(1e-3))));
        assert_eq!((options.threads, options.model.as_deref()), (2, Some("gr-16")));
        assert_eq!((options.asynchronous, options.memory), (Asynchronous::Write, 2_000_000_000));
    }

    #[test]
    fn settings_may_name_levels() {
        let text = "bound = 1e-4; fields.K@0.bound = 1; fields.K.bound = 2; fields.\"*@2\".bound = 3; fields.A*.bound = 4; range = field";
        let options = Settings::parse(text).and_then(Settings::options).unwrap();
        let bound = |name: &str, level| match options
            .of(name, level)
            .compression
            .as_ref()
            .and_then(Compression::bound)
        {
            Some(Bound::Relative(bound)) => bound,
            other => panic!("{other:?}"),
        };
        assert_eq!([0, 1, 2].map(|level| bound("K", level)), [1.0, 2.0, 2.0]);
        assert_eq!([0, 1, 2].map(|level| bound("chi", level)), [1e-4, 1e-4, 3.0]);
        // A pattern without a level is of names alone.
        let ends = Settings::parse("bound = 1e-4; fields.*1.bound = 5").and_then(Settings::options).unwrap();
        assert_eq!((ends.of("chi", 1), ends.of("B1", 0)), (&ends.others, &ends.fields[0].1));
        assert_eq!(bound("A11", 1), 4.0);
        assert_eq!(options.of("K", 0).range, RangeOf::Field);
        let naming =
            |name: &str| options.naming(name).map(|i| options.fields[i].0.as_str()).collect::<Vec<_>>();
        assert_eq!((naming("K"), naming("A")), (vec!["*@2", "K@0", "K"], vec!["*@2", "A*"]));
    }

    #[test]
    fn a_name_in_quotes_may_hold_anything() {
        let text = "mode = abs; bound = 1; fields.\"ADMBASE::gxx\".bound = 2; fields.'a=b;c #.d'.bound = 3\n\
                    fields.\"X(He4)\".bound = 4; fields.\"gxx[0]\".bound = 5; fields.E/x.bound = 6; fields.ψ₄.bound = 7";
        let parsed = Settings::parse(text).unwrap();
        let toml = text
            .replace("; f", "\nf")
            .replace("; bound", "\nbound")
            .replace("E/x", "'E/x'")
            .replace("ψ₄", "'ψ₄'");
        assert_eq!(
            Settings::from_table(toml.replace("= abs", "= 'abs'").parse().unwrap()),
            Ok(parsed.clone())
        );
        let options = parsed.options().unwrap();
        let names = ["other", "ADMBASE::gxx", "a=b;c #.d", "X(He4)", "gxx[0]", "E/x", "ψ₄"];
        for (number, name) in names.iter().enumerate() {
            let expected = Compression::from(Bound::Absolute(number as f64 + 1.0));
            assert_eq!(options.of(name, 0).compression, Some(expected), "{name}");
        }
        assert!(Settings::parse("fields.\"chi.bound = 1").is_err());
    }

    #[test]
    fn the_default_is_a_relative_bound_of_1e_4_and_files_know_the_same_keys_as_text() {
        let others = Options::default().others;
        assert_eq!(
            others,
            FieldOptions {
                compression: Some(Compression::relative(1e-4)),
                range: RangeOf::Level,
                every: 1,
                levels: None
            }
        );
        let latents = Settings::parse("fields.chi.mode = latent").and_then(Settings::options).unwrap();
        assert_eq!(latents.of("chi", 0).compression, Some(Compression::latent()));
        assert_eq!(latents.of("K", 0).compression, Some(Compression::relative(1e-4)));
        let read = |text: &str| Settings::from_table(text.parse().unwrap());
        let text = "model = 'm'\nlatents = 'u8'\nkeyframe_interval = 4\nlevels = [1]\nstorage = 'datasets'\n\
                    inter_field = true\nfields.K.mode = 'raw'";
        assert_eq!(read(text), Ok(Settings::parse(text).unwrap()));
        assert_eq!(read("bond = 1"), Err("unknown option 'bond'; did you mean 'bound'?".into()));
        assert_eq!(
            read("[fields.K]\nboun = 1"),
            Err("fields.K: unknown option 'boun'; did you mean 'bound'?".into())
        );
        assert!(read("layout = 'grid'").is_err() && read("[fields.K]\nmodel = 'm'").is_err());
    }

    #[test]
    fn the_effort_is_one_of_fields_and_the_best_one_predicts_them_from_one_another() {
        let read = |text: &str| Settings::parse(text).and_then(Settings::options).unwrap();
        let options = read("effort = best; fields.K.effort = fast");
        let effort = |name: &str| options.of(name, 0).compression.as_ref().map(|c| c.effort);
        assert_eq!((effort("chi"), effort("K")), (Some(Effort::Best), Some(Effort::Fast)));
        assert_eq!(options.chunk_compression("K", None).effort, Effort::Fast);
        assert!(options.inter_field && !read("").inter_field);
        assert!(!read("effort = best; inter_field = false").inter_field);
    }

    #[test]
    fn wrong_settings_are_named() {
        let cases = [
            ("mode", "'mode' is not of the form key = value"),
            ("bond = 1", "unknown option 'bond'; did you mean 'bound'?"),
            ("fields.chi.boun = 1", "fields.chi: unknown option 'boun'; did you mean 'bound'?"),
            ("xyzzy = 1", "unknown option 'xyzzy'; known: mode, bound"),
            ("fields.chi.model = gr-16", "fields.chi: unknown option 'model'; did you mean 'mode'?"),
            ("fields.chi = off", "'fields.chi' is not of the form fields.NAME.KEY"),
            ("mode = fast", "unknown variant 'fast'"),
            ("mode = abs", "mode 'abs' needs a 'bound'"),
            (
                "mode = abs; bound = -1",
                "-1 is no error bound for mode 'abs': it must be a finite number, 0 or more",
            ),
            ("bound = -1", "-1 is no error bound for mode 'rel'"),
            ("fields.chi.mode = psnr", "fields.chi: mode 'psnr' needs a 'bound'"),
            ("latents = f8", "latents 'f8': unknown variant 'f8'"),
            ("threads = many", "threads 'many': invalid type"),
            ("memory = -1", "memory is -1, expected a number of bytes"),
            ("asynchronous = on", "unknown variant `on`"),
            ("repeat = again", "unknown variant `again`"),
            ("storage = files", "unknown variant `files`"),
            ("layout = grid", "unknown option 'layout'"),
            ("storage = datasets; mode = latent; latents = u8", "latents of gr-16 in f16 alone"),
            ("fields.[.every = 2", "fields.[: "),
        ];
        for (text, reason) in cases {
            let found = Settings::parse(text).and_then(Settings::options).unwrap_err().to_string();
            assert!(found.contains(reason), "{text}: {found}");
        }
    }
}
