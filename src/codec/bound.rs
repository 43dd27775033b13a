//! What error is allowed.

use crate::element::Element;
use crate::engine::{Engine, for_engines};
use crate::error::{Error, Result};
use crate::floats::with_default_floats;
use crate::view::FieldView;

/// The error that a caller allows.
///
/// ```
/// use swae_codec::{Bound, Compression};
///
/// assert_eq!(Compression::relative(1e-4).bound(), Some(Bound::Relative(1e-4)));
/// assert!(Bound::Absolute(-1.0).check().is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Bound {
    /// |decoded − true| ≤ this, everywhere.
    Absolute(f64),
    /// |decoded − true| ≤ this × (largest − smallest finite value of the whole field).
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
        if good {
            Ok(())
        } else {
            let (number, mode) = (self.number(), self.mode());
            Err(Error::Bound(format!("{number} is no error bound for mode '{mode}': {}", self.expected())))
        }
    }

    /// The number that it is made of.
    pub const fn number(self) -> f64 {
        match self {
            Self::Absolute(v) | Self::Relative(v) | Self::PointwiseRelative(v) | Self::Psnr(v) => v,
        }
    }

    /// The name that settings take.
    const fn mode(self) -> &'static str {
        match self {
            Self::Absolute(_) => "abs",
            Self::Relative(_) => "rel",
            Self::PointwiseRelative(_) => "pwrel",
            Self::Psnr(_) => "psnr",
        }
    }

    const fn expected(self) -> &'static str {
        match self {
            Self::Absolute(_) | Self::Relative(_) => "it must be a finite number, 0 or more",
            Self::PointwiseRelative(_) => "it must be 0 or more, and below 1",
            Self::Psnr(_) => "it must be a finite number of dB, above 0",
        }
    }

    /// What a box must keep, given the range of the whole field. For [`Bound::Psnr`] that is where
    /// a search starts: errors spread evenly over the tolerance would just meet it.
    pub fn tolerance(self, range: ValueRange) -> Tolerance {
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
            Self::Psnr(db) => write!(f, "psnr {db}"),
            _ => write!(f, "{} {:e}", self.mode(), self.number()),
        }
    }
}

/// The smallest and the largest finite value of a field.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct ValueRange {
    /// Smallest; +∞ where there is no finite value.
    pub min: f64,
    /// Largest; −∞ where there is no finite value.
    pub max: f64,
}

impl ValueRange {
    /// Of no values.
    pub const EMPTY: Self = Self { min: f64::INFINITY, max: f64::NEG_INFINITY };

    /// Of a box.
    pub fn of<T: Element>(view: &FieldView<'_, T>) -> Self {
        Self::without(view, None)
    }

    /// Of a box whose missing points hold `fill`, where a fill value is stated.
    pub fn without<T: Element>(view: &FieldView<'_, T>, fill: Option<f64>) -> Self {
        with_default_floats(|| {
            // All engines give the same.
            let engine = Engine::best().unwrap_or(Engine::SCALAR);
            // Without one, a value that does not count in any case.
            let fill = T::from_f64(fill.unwrap_or(f64::NAN)).bits();
            let mut range = Self::EMPTY;
            view.for_rows(|row| range = range.union(finite(engine, row, fill)));
            range
        })
    }

    /// Of both.
    pub fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }

    /// Greatest − min, 0 where there is nothing.
    pub fn width(self) -> f64 {
        let width = self.max - self.min;
        if width > 0.0 { width.min(f64::MAX) } else { 0.0 }
    }

    /// Greatest magnitude.
    pub fn magnitude(self) -> f64 {
        self.min.abs().max(self.max.abs())
    }
}

for_engines! {
    /// The range of the finite values that have other bits than these.
    fn finite<T: Element>(row: &[T], missing: u64) -> ValueRange {
        const LANES: usize = 8;
        let (mut min, mut max) = ([f64::INFINITY; LANES], [f64::NEG_INFINITY; LANES]);
        for values in row.chunks(LANES) {
            for (lane, v) in values.iter().enumerate() {
                let (bits, v) = (v.bits(), v.to_f64());
                let counts = v.abs() < f64::INFINITY && bits != missing;
                min[lane] = if counts && v < min[lane] { v } else { min[lane] };
                max[lane] = if counts && v > max[lane] { v } else { max[lane] };
            }
        }
        let (min, max) = (min.into_iter().fold(f64::INFINITY, f64::min), max.into_iter().fold(f64::NEG_INFINITY, f64::max));
        ValueRange { min, max }
    }
}
