//! The results as tables and as a rate–distortion chart: means over the fields.

use super::measure::Row;
use super::plan::Layout;
use std::collections::BTreeMap;
use swae_metrics::chart::{Curve, Point};

/// Rows of one compressor.
struct Group<'a> {
    codec: &'a str,
    rows: Vec<&'a Row>,
}

impl Group<'_> {
    fn mean(&self, of: impl Fn(&Row) -> f64) -> f64 {
        self.rows.iter().map(|row| of(row)).sum::<f64>() / self.rows.len().max(1) as f64
    }

    /// Of ratios and speeds: all fields have the same size, so it is that of all together.
    fn harmonic_mean(&self, of: impl Fn(&Row) -> f64) -> f64 {
        1.0 / self.mean(|row| 1.0 / of(row))
    }

    fn largest(&self, of: impl Fn(&Row) -> f64) -> f64 {
        self.rows.iter().map(|row| of(row)).fold(0.0, f64::max)
    }
}

/// Prints a table for each layout and number of threads, and how many times smaller than the best
/// reference compressor swae is.
pub fn print(rows: &[Row]) {
    let mut tables: BTreeMap<(Layout, usize), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        tables.entry((row.layout, row.threads)).or_default().push(row);
    }
    for ((layout, threads), rows) in tables {
        let threads = if threads == 0 { "all threads".into() } else { format!("{threads} thread(s)") };
        println!("\n{layout:?}, {threads}: means over the fields; MB/s of uncompressed data");
        println!(
            "    bound   codec  fields  bits/value     ratio  PSNR/dB  error÷bound  compress  decompress  memory"
        );
        let mut bounds: Vec<f64> = rows.iter().map(|r| r.bound).collect();
        bounds.sort_by(|a, b| b.total_cmp(a));
        bounds.dedup();
        for bound in bounds {
            print_bound(bound, rows.iter().copied().filter(|row| row.bound == bound));
        }
    }
}

/// Prints the lines of a bound.
fn print_bound<'a>(bound: f64, rows: impl Iterator<Item = &'a Row>) {
    let mut groups: Vec<Group<'a>> = Vec::new();
    for row in rows {
        match groups.iter_mut().find(|group| group.codec == row.codec) {
            Some(group) => group.rows.push(row),
            None => groups.push(Group { codec: &row.codec, rows: vec![row] }),
        }
    }
    for group in &groups {
        let violated = group.rows.iter().filter(|row| row.error > 1.0).count();
        println!(
            "    {bound:<7.0e} {:<6} {:>6} {:>11.4} {:>9.1} {:>8.1} {:>12.4} {:>9.0} {:>11.0} {:>7.2}{}",
            group.codec,
            group.rows.len(),
            group.mean(|r| r.bits),
            group.harmonic_mean(|r| r.ratio),
            group.mean(|r| r.psnr.min(999.0)),
            group.largest(|r| r.error),
            group.harmonic_mean(|r| r.compress_mb_s),
            group.harmonic_mean(|r| r.decompress_mb_s),
            group.largest(|r| r.peak_memory),
            if violated > 0 { format!("  BOUND VIOLATED on {violated} field(s)") } else { String::new() }
        );
    }
    let (own, references): (Vec<_>, Vec<_>) = groups.iter().partition(|group| group.codec == "swae");
    let bits = |group: &&Group<'_>| group.mean(|r| r.bits);
    let best = references.into_iter().min_by(|a, b| bits(a).total_cmp(&bits(b)));
    if let (Some(own), Some(best)) = (own.first(), best) {
        println!("            {:.2} times smaller than {}", bits(&best) / bits(own), best.codec);
    }
}

/// A curve for each compressor and layout, on the first number of threads.
pub fn curves(rows: &[Row]) -> Vec<Curve> {
    let first = rows.first().map_or(0, |row| row.threads);
    // The rows of each curve, by bound: all bounds are positive, so their bits have their order.
    let mut curves: BTreeMap<(Layout, &str), BTreeMap<u64, Vec<&Row>>> = BTreeMap::new();
    for row in rows.iter().filter(|row| row.threads == first && row.psnr.is_finite()) {
        let curve = curves.entry((row.layout, &row.codec)).or_default();
        curve.entry(row.bound.to_bits()).or_default().push(row);
    }
    let curve = |((layout, codec), bounds): ((Layout, &str), BTreeMap<u64, Vec<&Row>>)| {
        let groups = bounds.into_values().map(|rows| Group { codec, rows });
        let points = groups.map(|g| Point { bits: g.mean(|r| r.bits), psnr: g.mean(|r| r.psnr) });
        Curve { name: format!("{codec}, {layout:?}"), points: points.collect() }
    };
    curves.into_iter().map(curve).collect()
}
