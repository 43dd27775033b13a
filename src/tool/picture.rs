//! Pictures: for each field its slice, the reconstruction, the error, each with a colour bar.

use crate::bench;
use anyhow::Result;
use ndarray::Array2;
use plotters::prelude::*;
use plotters::style::colors::colormaps::ViridisRGB;
use plotters::style::{FontStyle, register_font};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Once;

/// One field of a picture; slices `[y, x]`.
pub struct Row {
    /// Its name.
    pub name: String,
    /// The original.
    pub original: Array2<f64>,
    /// What came back.
    pub reconstruction: Array2<f64>,
}

const PANEL: u32 = 300;
const HEAD: u32 = 28;
const BAR: u32 = 96;
/// More rows than this make no picture that anyone looks at.
const ROWS: usize = 6;

/// Draws up to six fields into a PNG; y runs upwards.
///
/// # Errors
/// Where the file cannot be written.
pub fn draw(path: &Path, rows: &[Row]) -> Result<()> {
    font();
    let rows = &rows[..rows.len().min(ROWS)];
    let size = (3 * (PANEL + BAR), rows.len() as u32 * (PANEL + HEAD));
    let root = BitMapBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    for (row, area) in rows.iter().zip(root.split_evenly((rows.len(), 1))) {
        let error = &row.reconstruction - &row.original;
        let (lo, hi) = range(&row.original);
        let most = range(&error.mapv(f64::abs)).1;
        let panels = [
            (format!("{}: original", row.name), &row.original, (lo, hi), false),
            (format!("{}: reconstruction", row.name), &row.reconstruction, (lo, hi), false),
            (format!("{}: error", row.name), &error, (-most, most), true),
        ];
        for ((title, slice, range, signed), panel) in panels.into_iter().zip(area.split_evenly((1, 3))) {
            draw_panel(&panel, &title, slice, range, signed)?;
        }
    }
    root.present()?;
    Ok(())
}

fn font() {
    static FONT: Once = Once::new();
    FONT.call_once(|| {
        // It fails only for bytes that are no font, and then texts are missing, nothing else.
        let _ = register_font("sans-serif", FontStyle::Normal, dejavu::sans::regular());
    });
}

/// Draws PSNR against bits per value, a line for each codec and layout: means over the fields.
///
/// # Errors
/// Where the file cannot be written.
pub fn rate_distortion(path: &Path, rows: &[bench::Row]) -> Result<()> {
    font();
    // By bound, the sums of bits and PSNR and the number of fields.
    type Line = BTreeMap<u64, (f64, f64, f64)>;
    let mut lines: BTreeMap<(bench::Layout, &str), Line> = BTreeMap::new();
    let first = rows.first().map_or(0, |r| r.threads);
    for row in rows.iter().filter(|r| r.threads == first && r.psnr.is_finite()) {
        let line = lines.entry((row.layout, &row.codec)).or_default();
        let (bits, psnr, n) = line.entry(row.bound.to_bits()).or_default();
        (*bits, *psnr, *n) = (*bits + row.bits, *psnr + row.psnr, *n + 1.0);
    }
    let lines: Vec<_> = lines
        .into_iter()
        .map(|(key, line)| (key, line.into_values().map(|(b, p, n)| (b / n, p / n)).collect::<Vec<_>>()))
        .collect();
    let points = || lines.iter().flat_map(|(_, line)| line.iter().copied());
    let extent = |of: fn((f64, f64)) -> f64| {
        points().map(of).fold((f64::MAX, f64::MIN), |(lo, hi), v| (lo.min(v), hi.max(v)))
    };
    let (bits, psnr) = (extent(|p| p.0), extent(|p| p.1));
    let root = BitMapBackend::new(path, (1000, 700)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(56)
        .build_cartesian_2d((bits.0 * 0.8..bits.1 * 1.25).log_scale(), psnr.0 - 3.0..psnr.1 + 3.0)?;
    chart.configure_mesh().x_desc("bits per value").y_desc("PSNR / dB").draw()?;
    for (i, ((layout, codec), line)) in lines.into_iter().enumerate() {
        let colour = Palette99::pick(i).to_rgba();
        let drawn = chart.draw_series(LineSeries::new(line, colour.stroke_width(2)).point_size(3))?;
        drawn
            .label(format!("{codec}, {layout:?}"))
            .legend(move |(x, y)| Rectangle::new([(x, y - 2), (x + 18, y + 2)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK)
        .position(SeriesLabelPosition::LowerRight)
        .draw()?;
    root.present()?;
    Ok(())
}

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
    (lo, hi): (f64, f64),
    signed: bool,
) -> Result<()>
where
    DB::ErrorType: 'static,
{
    let colour = |v: f64| {
        let at = ((v - lo) / (hi - lo)).clamp(0.0, 1.0);
        match (v.is_finite(), signed) {
            (false, _) => RGBColor(0, 0, 0),
            (true, true) => diverging(at),
            (true, false) => ViridisRGB.get_color(at),
        }
    };
    let font = |size: u32| ("sans-serif", size).into_font();
    area.draw(&Text::new(title.to_owned(), (6, 6), font(16)))?;
    let (ny, nx) = slice.dim();
    let side = (PANEL - 8) as usize;
    let top = HEAD as i32;
    for py in 0..side {
        for px in 0..side {
            let v = slice[[(side - 1 - py) * ny / side, px * nx / side]];
            area.draw_pixel((4 + px as i32, top + py as i32), &colour(v))?;
        }
        let v = lo + (hi - lo) * (side - 1 - py) as f64 / (side - 1) as f64;
        for px in 0..14 {
            area.draw_pixel((4 + side as i32 + 6 + px, top + py as i32), &colour(v))?;
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
