//! The settings of swae that are measured.

use swae_codec::config::Effort;
use swae_codec::encode::Bounded;

/// A setting: its name in the tables, and what it changes of how swae encodes by default.
pub struct Setting {
    /// Its name in the tables.
    pub name: &'static str,
    /// Changes the default.
    pub apply: for<'a> fn(Bounded<'a>) -> Bounded<'a>,
}

/// All settings, a line for each.
pub const SETTINGS: &[Setting] = &[
    Setting { name: Effort::Fast.name(), apply: |bounded| Bounded { effort: Effort::Fast, ..bounded } },
    Setting { name: Effort::Normal.name(), apply: |bounded| bounded },
    Setting { name: Effort::Best.name(), apply: |bounded| Bounded { effort: Effort::Best, ..bounded } },
];
