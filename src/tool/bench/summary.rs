//! Means over the fields: what a compressor in one of its settings takes at a bound.

use super::measure::{Name, Row};
use super::plan::Layout;
use std::collections::BTreeMap;

/// All that was measured in a layout on so many threads.
pub struct Table {
    /// How fields were handed over.
    pub layout: Layout,
    /// Threads; 0 is all there are.
    pub threads: usize,
    /// From the largest to the smallest.
    pub bounds: Vec<AtBound>,
}

/// All compressors at one bound.
pub struct AtBound {
    /// The bound, relative to the value range.
    pub bound: f64,
    /// swae, in each of its settings.
    pub own: Vec<Mean>,
    /// Reference compressors, in each of their settings.
    pub references: Vec<Mean>,
}

/// One compressor in one setting: means over the fields.
pub struct Mean {
    /// Which compressor, and which setting.
    pub name: Name,
    /// Fields that it took.
    pub fields: usize,
    /// Of them, those on which it missed the bound.
    pub violated: usize,
    /// Stored bits per value.
    pub bits: f64,
    /// Bytes as handed over, divided by bytes stored.
    pub ratio: f64,
    /// In dB.
    pub psnr: f64,
    /// Of any field, in units of the bound.
    pub largest_error: f64,
    /// MB/s of uncompressed data.
    pub compress: f64,
    /// MB/s of uncompressed data.
    pub decompress: f64,
    /// Of any field, in units of the data.
    pub peak_memory: f64,
}

/// The means of all rows.
pub fn tables(rows: &[Row]) -> Vec<Table> {
    let mut tables: BTreeMap<(Layout, usize), Vec<&Row>> = BTreeMap::new();
    for row in rows {
        tables.entry((row.case.layout, row.case.threads)).or_default().push(row);
    }
    let table = |((layout, threads), rows): (_, Vec<&Row>)| {
        let mut bounds: Vec<f64> = rows.iter().map(|row| row.case.bound).collect();
        bounds.sort_by(|a, b| b.total_cmp(a));
        bounds.dedup();
        Table { layout, threads, bounds: bounds.into_iter().map(|bound| AtBound::of(&rows, bound)).collect() }
    };
    let mut tables: Vec<Table> = tables.into_iter().map(table).collect();
    tables.sort_by_key(|table| (table.layout, table.threads == 0, table.threads));
    tables
}

impl AtBound {
    fn of(rows: &[&Row], bound: f64) -> Self {
        // In the order in which they were measured.
        let mut groups: Vec<(&Name, Vec<&Row>)> = Vec::new();
        for row in rows.iter().filter(|row| row.case.bound == bound) {
            match groups.iter_mut().find(|(name, _)| **name == row.name) {
                Some((_, group)) => group.push(row),
                None => groups.push((&row.name, vec![row])),
            }
        }
        let means = groups.into_iter().map(|(name, rows)| Mean::of(name, &rows));
        let (own, references) = means.partition(|mean| mean.name.codec == Name::OWN);
        Self { bound, own, references }
    }

    /// swae and the reference compressors, in all settings.
    pub fn all(&self) -> impl Iterator<Item = &Mean> {
        self.own.iter().chain(&self.references)
    }

    /// Each reference compressor in the setting that takes the fewest bits. One that misses the bound
    /// is taken only where all of them do.
    pub fn best_references(&self) -> Vec<&Mean> {
        let mut best: Vec<&Mean> = Vec::new();
        for mean in &self.references {
            let order = |m: &Mean| (m.violated > 0, m.bits);
            match best.iter_mut().find(|b| b.name.codec == mean.name.codec) {
                Some(b) if order(mean) < order(b) => *b = mean,
                Some(_) => {}
                None => best.push(mean),
            }
        }
        best
    }
}

impl Mean {
    fn of(name: &Name, rows: &[&Row]) -> Self {
        let count = rows.len() as f64;
        let mean = |of: &dyn Fn(&Row) -> f64| rows.iter().map(|row| of(row)).sum::<f64>() / count;
        // Of ratios and speeds: where all fields have the same size, it is that of all together.
        let harmonic_mean = |of: &dyn Fn(&Row) -> f64| 1.0 / mean(&|row| 1.0 / of(row));
        let largest = |of: &dyn Fn(&Row) -> f64| rows.iter().map(|row| of(row)).fold(0.0, f64::max);
        Self {
            name: name.clone(),
            fields: rows.len(),
            violated: rows.iter().filter(|row| row.result.error > 1.0).count(),
            bits: mean(&|row| row.result.bits),
            ratio: harmonic_mean(&|row| row.result.ratio),
            psnr: mean(&|row| row.result.psnr.min(999.0)),
            largest_error: largest(&|row| row.result.error),
            compress: harmonic_mean(&|row| row.speed.compress_mb_s),
            decompress: harmonic_mean(&|row| row.speed.decompress_mb_s),
            peak_memory: largest(&|row| row.speed.peak_memory),
        }
    }

    /// Whether it takes no more bits than the other and is as fast.
    pub fn dominates(&self, other: &Self) -> bool {
        self.bits <= other.bits && self.compress >= other.compress && self.decompress >= other.decompress
    }

    /// What it is called in texts and charts.
    pub fn title(&self) -> String {
        let Name { codec, version, setting } = &self.name;
        if codec == Name::OWN { format!("{codec} {setting}") } else { format!("{codec} {version} {setting}") }
    }
}
