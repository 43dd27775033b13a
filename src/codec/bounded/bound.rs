//! What error is allowed.

use crate::{Error, FieldView, Result, Value};

/// What a user asks for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// |decoded − true| ≤ this, everywhere.
    Absolute(f64),
    /// |decoded − true| ≤ this × (greatest − least finite value of the whole field).
    Relative(f64),
    /// |decoded − true| ≤ this × |true|, everywhere: for fields that fall to zero.
    PointwiseRelative(f64),
    /// At least so many dB of peak signal-to-noise ratio, the peak being the range of the field.
    Psnr(f64),
}

/// A bound as one box needs it: no other box's values are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// |decoded − true| ≤ this. At 0 every value comes back as it was.
    Absolute(f64),
    /// |decoded − true| ≤ this × |true|.
    PointwiseRelative(f64),
}

impl Bound {
    /// Whether it means anything.
    ///
    /// # Errors
    /// [`Error::Bound`].
    pub fn check(self) -> Result<()> {
        let good = match self {
            Self::Absolute(e) | Self::Relative(e) => e.is_finite() && e >= 0.0,
            Self::PointwiseRelative(e) => (0.0..1.0).contains(&e),
            Self::Psnr(db) => db.is_finite() && db > 0.0,
        };
        if good { Ok(()) } else { Err(Error::Bound(format!("{self:?} is no error bound"))) }
    }

    /// What a box must keep, given the range of the whole field. For [`Bound::Psnr`] that is where a search starts: errors
    /// spread evenly over the tolerance would just meet it.
    pub fn tolerance(self, range: Spread) -> Tolerance {
        match self {
            Self::Absolute(e) => Tolerance::Absolute(e),
            Self::Relative(e) => Tolerance::Absolute(e * range.width()),
            Self::PointwiseRelative(e) => Tolerance::PointwiseRelative(e),
            Self::Psnr(db) => Tolerance::Absolute(range.width() * 10f64.powf(-db / 20.0) * 3f64.sqrt()),
        }
    }

    /// Whether it needs the range of the whole field.
    pub fn needs_range(self) -> bool {
        matches!(self, Self::Relative(_) | Self::Psnr(_))
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Absolute(e) => write!(f, "abs {e:e}"),
            Self::Relative(e) => write!(f, "rel {e:e}"),
            Self::PointwiseRelative(e) => write!(f, "pwrel {e:e}"),
            Self::Psnr(db) => write!(f, "psnr {db}"),
        }
    }
}

/// Least and greatest finite value.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Spread {
    /// Least; +∞ where there is no finite value.
    pub least: f64,
    /// Greatest; −∞ where there is no finite value.
    pub greatest: f64,
}

impl Spread {
    /// Of no values.
    pub const EMPTY: Self = Self { least: f64::INFINITY, greatest: f64::NEG_INFINITY };

    /// Of a box.
    pub fn of<T: Value>(view: &FieldView<'_, T>) -> Self {
        let finite = view.values().map(Value::to_f64).filter(|v| v.is_finite());
        finite.fold(Self::EMPTY, |s, v| Self { least: s.least.min(v), greatest: s.greatest.max(v) })
    }

    /// Of both.
    pub fn and(self, other: Self) -> Self {
        Self { least: self.least.min(other.least), greatest: self.greatest.max(other.greatest) }
    }

    /// Greatest − least, 0 where there is nothing.
    pub fn width(self) -> f64 {
        let width = self.greatest - self.least;
        if width > 0.0 { width.min(f64::MAX) } else { 0.0 }
    }

    /// Greatest magnitude.
    pub fn magnitude(self) -> f64 {
        self.least.abs().max(self.greatest.abs())
    }
}
