//! Charts of compressors: a curve for each, such as PSNR against bits per value or speed against
//! ratio.

use crate::font;
use anyhow::Result;
use plotters::coord::Shift;
use plotters::coord::combinators::WithKeyPoints;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;
use std::path::Path;

/// A chart; x is on a logarithmic axis.
#[derive(Clone, Debug, PartialEq)]
pub struct Chart {
    /// What stands above it.
    pub title: String,
    /// What x is.
    pub x: String,
    /// What y is.
    pub y: String,
    /// Whether y is on a logarithmic axis, too.
    pub log_y: bool,
    /// Its curves.
    pub curves: Vec<Curve>,
}

/// A curve of a chart.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Its name in the legend.
    pub name: String,
    /// x and y, in the order in which a line joins the points.
    pub points: Vec<(f64, f64)>,
}

/// Pixels of a chart.
const SIZE: (u32, u32) = (900, 600);

/// Draws rows of charts into a PNG.
///
/// # Errors
/// Where the file cannot be written, or there is no chart.
pub fn draw(path: &Path, rows: &[Vec<Chart>]) -> Result<()> {
    font::register();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let size = (SIZE.0 * columns as u32, SIZE.1 * rows.len() as u32);
    let root = BitMapBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE)?;
    let panels = root.split_evenly((rows.len(), columns));
    for (row, panels) in rows.iter().zip(panels.chunks(columns.max(1))) {
        for (chart, panel) in row.iter().zip(panels) {
            let (lo, hi) = extent(&chart.curves, |(_, y)| y);
            if chart.log_y {
                chart.draw_on(panel, logarithmic(lo * 0.8, hi * 1.25))?;
            } else {
                chart.draw_on(panel, lo - 3.0..hi + 3.0)?;
            }
        }
    }
    root.present()?;
    Ok(())
}

impl Chart {
    fn draw_on<'a, Y: AsRangedCoord<Value = f64>>(
        &self,
        panel: &DrawingArea<BitMapBackend<'a>, Shift>,
        y: Y,
    ) -> Result<()>
    where
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let (lo, hi) = extent(&self.curves, |(x, _)| x);
        let mut chart = ChartBuilder::on(panel)
            .caption(&self.title, ("sans-serif", 18))
            .margin(16)
            .x_label_area_size(48)
            .y_label_area_size(56)
            .build_cartesian_2d(logarithmic(lo * 0.8, hi * 1.25), y)?;
        let label = |v: &f64| format!("{v}");
        let mesh = &mut chart.configure_mesh();
        mesh.x_desc(&self.x).y_desc(&self.y).x_label_formatter(&label).y_label_formatter(&label).draw()?;
        for (i, Curve { name, points }) in self.curves.iter().enumerate() {
            let colour = Palette99::pick(i).to_rgba();
            let line = LineSeries::new(points.iter().copied(), colour.stroke_width(2)).point_size(4);
            let swatch = move |(x, y)| Rectangle::new([(x, y - 2), (x + 18, y + 2)], colour.filled());
            chart.draw_series(line)?.label(name).legend(swatch);
        }
        let legend = &mut chart.configure_series_labels();
        legend.background_style(WHITE.mix(0.8)).border_style(BLACK);
        legend.position(SeriesLabelPosition::LowerRight).draw()?;
        Ok(())
    }
}

/// A logarithmic axis with labels at 1, 2 and 5 of every power of ten, however few powers there are.
fn logarithmic(lo: f64, hi: f64) -> WithKeyPoints<LogCoord<f64>> {
    let decades = lo.log10().floor() as i32..=hi.log10().ceil() as i32;
    let labels = decades.flat_map(|decade| [1.0, 2.0, 5.0].map(|digit| digit * 10.0f64.powi(decade)));
    (lo..hi).log_scale().with_key_points(labels.filter(|label| (lo..hi).contains(label)).collect())
}

/// The smallest and the largest of a coordinate.
fn extent(curves: &[Curve], of: impl Fn((f64, f64)) -> f64) -> (f64, f64) {
    let all = curves.iter().flat_map(|curve| &curve.points).map(|&point| of(point));
    all.fold((f64::MAX, f64::MIN), |(lo, hi), v| (lo.min(v), hi.max(v)))
}
