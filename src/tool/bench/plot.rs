//! The results as charts: a panel for each table, a curve for each compressor and setting.

use super::summary::{AtBound, Mean, Table};
use super::table::title;
use swae_metrics::chart::{Chart, Curve};

/// PSNR against bits per value, for each layout on the first number of threads.
pub fn rate_distortion(tables: &[Table]) -> Vec<Vec<Chart>> {
    let threads = tables.first().map(|table| table.threads);
    let of_threads = tables.iter().filter(|table| Some(table.threads) == threads);
    let panel =
        |table| vec![chart(table, "", ("bits per value", |m| m.bits), ("PSNR / dB", |m| m.psnr), false)];
    of_threads.map(panel).collect()
}

/// The speed of compressing and that of decompressing, against the ratio.
pub fn speed_against_ratio(tables: &[Table]) -> Vec<Vec<Chart>> {
    let panels = |table| {
        let ratio: Axis<'_> = ("compression ratio", |m| m.ratio);
        vec![
            chart(table, "compress", ratio, ("MB/s", |m| m.compress), true),
            chart(table, "decompress", ratio, ("MB/s", |m| m.decompress), true),
        ]
    };
    tables.iter().map(panels).collect()
}

/// What an axis says, and which of the means it has.
type Axis<'a> = (&'a str, fn(&Mean) -> f64);

fn chart(table: &Table, of: &str, x: Axis<'_>, y: Axis<'_>, log_y: bool) -> Chart {
    let mut curves: Vec<Curve> = Vec::new();
    for mean in table.bounds.iter().flat_map(AtBound::all) {
        let point = (x.1(mean), y.1(mean));
        match curves.iter_mut().find(|curve| curve.name == mean.title()) {
            Some(curve) => curve.points.push(point),
            None => curves.push(Curve { name: mean.title(), points: vec![point] }),
        }
    }
    let title = if of.is_empty() { title(table) } else { format!("{}: {of}", title(table)) };
    Chart { title, x: x.0.into(), y: y.0.into(), log_y, curves }
}
