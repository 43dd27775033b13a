//! What tests have tried, in lines that `make trust` adds up (`setup/trust.py`).

/// What is counted.
#[derive(Clone, Copy, PartialEq)]
pub enum Tried {
    /// Values that were compared with their originals.
    ValuesChecked,
    /// Values that missed their bound.
    BoundViolations,
    /// Arrays, files and arguments that were handed over.
    InputsTried,
    /// Runs that were killed, and whose steps were all there.
    KillsSurvived,
    /// Moments of a recorded run at which a kill was replayed.
    KillsReplayed,
    /// Losses of writes that were not flushed, replayed.
    PowerLossesReplayed,
    /// Writes that failed, files that were refused or changed, on purpose.
    FaultsInjected,
}

impl Tried {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::ValuesChecked,
        Self::BoundViolations,
        Self::InputsTried,
        Self::KillsSurvived,
        Self::KillsReplayed,
        Self::PowerLossesReplayed,
        Self::FaultsInjected,
    ];

    /// The line that says how often it was tried.
    pub fn line(self, times: usize) -> String {
        format!("trust: {} {times}", self.name())
    }

    fn name(self) -> &'static str {
        match self {
            Self::ValuesChecked => "values_checked",
            Self::BoundViolations => "bound_violations",
            Self::InputsTried => "inputs_tried",
            Self::KillsSurvived => "kills_survived",
            Self::KillsReplayed => "kills_replayed",
            Self::PowerLossesReplayed => "power_losses_replayed",
            Self::FaultsInjected => "faults_injected",
        }
    }
}

/// Says how often something was tried.
pub fn tried(what: Tried, times: usize) {
    println!("{}", what.line(times));
}

/// How often a test tries something: more often where `TRUST=long` asks for it.
pub fn times(usually: usize, long: usize) -> usize {
    if std::env::var("TRUST").is_ok_and(|mode| mode == "long") { long } else { usually }
}
