//! Rate–distortion charts: PSNR against bits per value, a curve for each compressor.

use crate::font;
use anyhow::Result;
use plotters::prelude::*;
use std::path::Path;

/// A point of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// Bits per value.
    pub bits: f64,
    /// Peak signal-to-noise ratio in dB.
    pub psnr: f64,
}

/// A curve of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// Its points, in the order in which a line joins them.
    pub points: Vec<Point>,
}

/// Draws curves into a PNG; bits are on a logarithmic axis.
///
/// # Errors
/// Where the file cannot be written.
pub fn rate_distortion(path: &Path, curves: &[Curve]) -> Result<()> {
    font::register();
    let (bits, psnr) = (extent(curves, |p| p.bits), extent(curves, |p| p.psnr));
    let root = BitMapBackend::new(path, (1000, 700)).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(16)
        .x_label_area_size(48)
        .y_label_area_size(56)
        .build_cartesian_2d((bits.0 * 0.8..bits.1 * 1.25).log_scale(), psnr.0 - 3.0..psnr.1 + 3.0)?;
    chart.configure_mesh().x_desc("bits per value").y_desc("PSNR / dB").draw()?;
    for (i, Curve { name, points }) in curves.iter().enumerate() {
        let colour = Palette99::pick(i).to_rgba();
        let line = points.iter().map(|p| (p.bits, p.psnr));
        let drawn = chart.draw_series(LineSeries::new(line, colour.stroke_width(2)).point_size(3))?;
        drawn
            .label(name)
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

/// The smallest and the largest of a coordinate.
fn extent(curves: &[Curve], of: impl Fn(&Point) -> f64) -> (f64, f64) {
    let all = curves.iter().flat_map(|curve| &curve.points).map(of);
    all.fold((f64::MAX, f64::MIN), |(lo, hi), v| (lo.min(v), hi.max(v)))
}
