//! What a command takes of a file: fields, steps, a region of the grid. Flags of several commands.

use anyhow::{Context, Result, ensure};
use glob::Pattern;
use std::ops::Range;
use std::str::FromStr;
use swae_store::{Reader, StepInfo};

/// Fields and steps of a file.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Selection {
    /// Only these fields, names or patterns ('At_*'), several between commas; may be repeated
    #[arg(long = "var", value_name = "FIELD", value_delimiter = ',')]
    pub variables: Vec<Variable>,
    /// Only this step (10, or last, or -2 for the last but one), or those from A to B, both included
    /// (A..B, A.., ..B)
    #[arg(long, allow_hyphen_values = true)]
    pub step: Option<Steps>,
}

impl Selection {
    /// Whether a field of this name is selected.
    pub fn has_field(&self, name: &str) -> bool {
        self.variables.is_empty() || self.variables.iter().any(|variable| variable.is(name))
    }

    /// A variable that none of some names is.
    pub fn missing<'a>(&self, names: impl Iterator<Item = &'a str> + Clone) -> Option<&Variable> {
        self.variables.iter().find(|variable| !names.clone().any(|name| variable.is(name)))
    }

    /// Which of all steps, whose numbers rise, are selected.
    pub fn numbers(&self, all: &[i64]) -> Vec<i64> {
        let selected = |number: &i64| self.step.is_none_or(|steps| steps.has(*number, all));
        all.iter().copied().filter(selected).collect()
    }

    /// Indices of the selected steps of a file.
    pub fn steps_of(&self, reader: &dyn Reader) -> Vec<usize> {
        let all: Vec<_> = reader.steps().iter().map(|step| step.step).collect();
        let numbers = self.numbers(&all);
        let steps = reader.steps().iter().enumerate();
        let selected = |(_, step): &(usize, &StepInfo)| numbers.contains(&step.step);
        steps.filter(selected).map(|(index, _)| index).collect()
    }
}

/// A field's name, or a pattern of names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Variable {
    text: String,
    /// None where the text is none: `gxx[0` is a name.
    pattern: Option<Pattern>,
}

impl Variable {
    fn is(&self, name: &str) -> bool {
        self.text == name || self.pattern.as_ref().is_some_and(|pattern| pattern.matches(name))
    }
}

impl std::fmt::Display for Variable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.text.fmt(f)
    }
}

impl FromStr for Variable {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        ensure!(!text.is_empty(), "a name is missing");
        Ok(Self { text: text.into(), pattern: Pattern::new(text).ok() })
    }
}

/// A range of steps, both ends included; an end that is not given is that of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Steps {
    first: Option<Place>,
    last: Option<Place>,
}

/// An end of a range of steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// The number that the simulation gave.
    Number(i64),
    /// So many steps before the end; 1 is the last one.
    FromEnd(usize),
}

impl Steps {
    fn has(self, number: i64, all: &[i64]) -> bool {
        let place = |place: Place| match place {
            Place::Number(number) => number,
            // Before the first one where there are fewer.
            Place::FromEnd(steps) => all.len().checked_sub(steps).map_or(i64::MIN, |index| all[index]),
        };
        self.first.is_none_or(|first| place(first) <= number)
            && self.last.is_none_or(|last| number <= place(last))
    }
}

impl FromStr for Place {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "last" {
            return Ok(Self::FromEnd(1));
        }
        let number: i64 = text.parse().with_context(|| format!("'{text}' is no number of a step"))?;
        Ok(if number < 0 { Self::FromEnd(number.unsigned_abs() as usize) } else { Self::Number(number) })
    }
}

impl FromStr for Steps {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let Some((first, last)) = text.split_once("..") else {
            let only = Some(text.trim().parse()?);
            return Ok(Self { first: only, last: only });
        };
        let end = |text: &str| if text.is_empty() { Ok(None) } else { text.parse().map(Some) };
        let steps = Self { first: end(first.trim())?, last: end(last.trim())? };
        if let (Some(Place::Number(first)), Some(Place::Number(last))) = (steps.first, steps.last) {
            ensure!(first <= last, "the first step comes after the last");
        }
        Ok(steps)
    }
}

/// A region of the grid: `x0:x1,y0:y1,z0:z1`, ends not included; an end that is not given is the grid's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region([[Option<usize>; 2]; 3]);

impl Region {
    /// That of a grid.
    pub fn of(&self, shape: [usize; 3]) -> [Range<usize>; 3] {
        std::array::from_fn(|a| {
            let [first, end] = self.0[a];
            first.unwrap_or(0)..end.unwrap_or(shape[a])
        })
    }
}

impl FromStr for Region {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self> {
        let axis = |part: &str| -> Result<[Option<usize>; 2]> {
            let (first, end) = part.split_once(':').context("an axis is FIRST:END")?;
            let number = |text: &str| if text.is_empty() { Ok(None) } else { text.parse().map(Some) };
            let ends = [number(first.trim())?, number(end.trim())?];
            ensure!(ends[1].is_none_or(|end| ends[0].unwrap_or(0) < end), "the region is empty");
            Ok(ends)
        };
        let axes = text.split(',').map(axis).collect::<Result<Vec<_>>>()?;
        Ok(Self(axes.try_into().ok().context("a region is x0:x1,y0:y1,z0:z1")?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(text: &str) -> Vec<i64> {
        let selection = Selection { step: Some(text.parse().unwrap()), variables: Vec::new() };
        selection.numbers(&[0, 10, 20, 30])
    }

    #[test]
    fn steps_are_numbers_or_count_from_the_end() {
        for (text, expected) in [
            ("10", &[10][..]),
            ("7", &[]),
            ("last", &[30]),
            ("-1", &[30]),
            ("-4", &[0]),
            ("-5", &[]),
            ("5..20", &[10, 20]),
            ("20..", &[20, 30]),
            ("..10", &[0, 10]),
            ("-2..", &[20, 30]),
            ("-9..-3", &[0, 10]),
            ("10..last", &[10, 20, 30]),
            ("..", &[0, 10, 20, 30]),
        ] {
            assert_eq!(steps(text), expected, "{text}");
        }
        for text in ["4..1", "a", "", "1..b", "1.5"] {
            assert!(text.parse::<Steps>().is_err(), "{text}");
        }
    }

    #[test]
    fn regions_take_the_ends_of_the_grid_where_none_are_given() {
        let of = |text: &str| text.parse::<Region>().unwrap().of([5, 6, 7]);
        assert_eq!(of("0:2,1:3,4:9"), [0..2, 1..3, 4..9]);
        assert_eq!(of(":,2:,:3"), [0..5, 2..6, 0..3]);
        for text in ["0:2,1:1,4:9", "0:2", "::,1:2,1:2", "a:,:,:", ":0,:,:"] {
            assert!(text.parse::<Region>().is_err(), "{text}");
        }
    }

    #[test]
    fn fields_are_named_or_matched() {
        let of = |names: &[&str]| {
            let variables = names.iter().map(|name| name.parse().unwrap()).collect();
            Selection { step: None, variables }
        };
        let names = ["chi", "At_xx", "At_xy", "gxx[0]", "X(He4)"];
        let selected = |words: &[&str]| {
            let selection = of(words);
            names.into_iter().filter(|name| selection.has_field(name)).collect::<Vec<_>>()
        };
        assert_eq!(selected(&[]), names);
        assert_eq!(selected(&["At_*"]), ["At_xx", "At_xy"]);
        assert_eq!(selected(&["gxx[0]", "X(He4)"]), ["gxx[0]", "X(He4)"]);
        assert_eq!(of(&["chi", "K*"]).missing(names.into_iter()).map(Variable::to_string), Some("K*".into()));
        assert!(of(&["c?i"]).missing(names.into_iter()).is_none());
        assert!("gxx[0".parse::<Variable>().unwrap().is("gxx[0"));
    }
}
