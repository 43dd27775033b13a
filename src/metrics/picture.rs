//! Pictures of fields: a slice of the original, of the reconstruction, and their difference, each
//! with a colour bar.

use crate::font;
use anyhow::Result;
use ndarray::Array2;
use plotters::prelude::*;
use plotters::style::colors::colormaps::ViridisRGB;
use std::path::Path;

/// One field of a picture; slices `[y, x]`.
pub struct Row {
    /// The field's name.
    pub name: String,
    /// A slice of the original.
    pub original: Array2<f64>,
    /// The same slice of the reconstruction.
    pub reconstruction: Array2<f64>,
}

/// How the values of a panel become colours.
#[derive(Clone, Copy)]
enum Scale {
    /// Viridis, from the first value to the last.
    Sequential(f64, f64),
    /// Blue, white, red: from minus this value to this value.
    Diverging(f64),
}

impl Scale {
    fn ends(self) -> (f64, f64) {
        match self {
            Self::Sequential(lo, hi) => (lo, hi),
            Self::Diverging(most) => (-most, most),
        }
    }

    /// The colour of a value; black where it is not finite.
    fn colour(self, value: f64) -> RGBColor {
        let (lo, hi) = self.ends();
        let at = ((value - lo) / (hi - lo)).clamp(0.0, 1.0);
        match self {
            _ if !value.is_finite() => RGBColor(0, 0, 0),
            Self::Sequential(..) => ViridisRGB.get_color(at),
            Self::Diverging(_) => diverging(at),
        }
    }
}

/// Pixels of a panel's side, of the title above it, and of the colour bar with its labels.
const PANEL: u32 = 300;
const HEAD: u32 = 28;
const BAR: u32 = 96;
/// Rows that a picture has at most.
const ROWS: usize = 6;

/// Draws up to six fields into a PNG; y runs upwards.
///
/// # Errors
/// Where the file cannot be written.
pub fn draw(path: &Path, rows: &[Row]) -> Result<()> {
    font::register();
    let rows = &rows[..rows.len().min(ROWS)];
    let size = (3 * (PANEL + BAR), rows.len() as u32 * (PANEL + HEAD));
    let root = BitMapBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (row, area) in rows.iter().zip(root.split_evenly((rows.len(), 1))) {
        let error = &row.reconstruction - &row.original;
        let (lo, hi) = range(&row.original);
        let (values, errors) = (Scale::Sequential(lo, hi), Scale::Diverging(range(&error.mapv(f64::abs)).1));
        let panels = [
            ("original", &row.original, values),
            ("reconstruction", &row.reconstruction, values),
            ("error", &error, errors),
        ];
        for ((title, slice, scale), panel) in panels.into_iter().zip(area.split_evenly((1, 3))) {
            draw_panel(&panel, &format!("{}: {title}", row.name), slice, scale)?;
        }
    }
    root.present()?;
    Ok(())
}

/// The smallest and the largest finite value, a little apart where they are equal.
fn range(slice: &Array2<f64>) -> (f64, f64) {
    let finite = slice.iter().copied().filter(|v| v.is_finite());
    let (lo, hi) = finite.fold((f64::MAX, f64::MIN), |(lo, hi), v| (lo.min(v), hi.max(v)));
    if lo < hi {
        (lo, hi)
    } else if lo == hi {
        (lo - 0.5, hi + 0.5)
    } else {
        (0.0, 1.0)
    }
}

fn draw_panel<DB: DrawingBackend>(
    area: &DrawingArea<DB, plotters::coord::Shift>,
    title: &str,
    slice: &Array2<f64>,
    scale: Scale,
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    let font = |size: u32| ("sans-serif", size).into_font();
    area.draw(&Text::new(title.to_owned(), (6, 6), font(16)))?;
    let ((ny, nx), (lo, hi)) = (slice.dim(), scale.ends());
    let side = (PANEL - 8) as usize;
    let top = HEAD as i32;
    for py in 0..side {
        for px in 0..side {
            let v = slice[[(side - 1 - py) * ny / side, px * nx / side]];
            area.draw_pixel((4 + px as i32, top + py as i32), &scale.colour(v))?;
        }
        let v = lo + (hi - lo) * (side - 1 - py) as f64 / (side - 1) as f64;
        for px in 0..14 {
            area.draw_pixel((4 + side as i32 + 6 + px, top + py as i32), &scale.colour(v))?;
        }
    }
    let x = 4 + side as i32 + 24;
    for (v, y) in [(hi, top), ((lo + hi) / 2.0, top + side as i32 / 2 - 6), (lo, top + side as i32 - 12)] {
        area.draw(&Text::new(format!("{v:.2e}"), (x, y), font(12)))?;
    }
    Ok(())
}

/// Blue for negative, white for zero, red for positive.
fn diverging(at: f64) -> RGBColor {
    let fade = |t: f64| (255.0 * (1.0 - t)) as u8;
    let t = 2.0 * at - 1.0;
    if t < 0.0 { RGBColor(fade(-t), fade(-t), 255) } else { RGBColor(255, fade(t), fade(t)) }
}
