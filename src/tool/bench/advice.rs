//! A recommendation in a few sentences: which setting of swae to take, and where a reference
//! compressor is better.

use super::summary::{AtBound, Mean, Table};
use super::table::title;

/// Prints the recommendation for what was measured; nothing where there is nothing to compare.
pub fn print(table: &Table) {
    if let Some(text) = recommendation(table) {
        println!("    {}: {text}", title(table));
    }
}

/// The setting of swae that is both smaller and faster than most rivals, of those the smallest.
fn recommendation(table: &Table) -> Option<String> {
    let settings = table.bounds.first()?.own.iter().map(|mean| &mean.name.setting[..]);
    let candidates: Vec<_> = settings.filter_map(|setting| Candidate::of(table, setting)).collect();
    let order = |a: &&Candidate<'_>, b: &&Candidate<'_>| {
        a.dominated().cmp(&b.dominated()).then(b.size().total_cmp(&a.size()))
    };
    let best = candidates.iter().max_by(order)?;
    let smaller = candidates.iter().filter(|other| other.size() < best.size());
    let smaller = smaller.min_by(|a, b| a.size().total_cmp(&b.size()));
    let smaller = smaller.map(|other| {
        let factor = ((other.size() - best.size()) / best.at.len() as f64).exp();
        format!("{} takes {factor:.2} times its bits.", other.title)
    });
    let sentences = [Some(best.on_size()), Some(best.on_speed()), smaller];
    Some(sentences.into_iter().flatten().collect::<Vec<_>>().join(" "))
}

/// One setting of swae at all bounds, beside its rivals: the reference compressors in all settings
/// that keep the bound on all fields.
struct Candidate<'a> {
    title: String,
    at: Vec<Duel<'a>>,
}

/// A setting of swae at a bound.
struct Duel<'a> {
    bound: f64,
    own: &'a Mean,
    rivals: Vec<&'a Mean>,
}

impl<'a> Candidate<'a> {
    /// The candidate of a setting; none where it was not measured beside reference compressors.
    fn of(table: &'a Table, setting: &str) -> Option<Self> {
        let duel = |AtBound { bound, own, references }: &'a AtBound| {
            let own = own.iter().find(|mean| mean.name.setting == setting)?;
            let is_rival = |mean: &&Mean| mean.violated == 0 && mean.fields == own.fields;
            let rivals: Vec<_> = references.iter().filter(is_rival).collect();
            (!rivals.is_empty()).then_some(Duel { bound: *bound, own, rivals })
        };
        let at: Vec<_> = table.bounds.iter().filter_map(duel).collect();
        Some(Self { title: at.first()?.own.title(), at })
    }

    /// How many rivals are neither smaller nor faster, at all bounds together.
    fn dominated(&self) -> usize {
        let dominated =
            |duel: &Duel<'_>| duel.rivals.iter().filter(|rival| duel.own.dominates(rival)).count();
        self.at.iter().map(dominated).sum()
    }

    /// The logarithm of its bits at all bounds together.
    fn size(&self) -> f64 {
        self.at.iter().map(|duel| duel.own.bits.ln()).sum()
    }

    /// What to take for the fewest bits.
    fn on_size(&self) -> String {
        let smallest = |duel: &Duel<'a>| {
            let rival = duel.rivals.iter().copied().min_by(|a, b| a.bits.total_cmp(&b.bits))?;
            Some((duel.bound, rival, rival.bits / duel.own.bits))
        };
        let smallest: Vec<_> = self.at.iter().filter_map(smallest).collect();
        let factors = smallest.iter().map(|(_, _, factor)| *factor);
        let (lo, hi) = factors.fold((f64::MAX, 0.0f64), |(lo, hi), f| (lo.min(f), hi.max(f)));
        let better = smallest.iter().filter(|(_, _, factor)| *factor < 1.0);
        let better = better.map(|(bound, rival, factor)| {
            format!("{} at {bound:.0e} ({factor:.2} of its bits)", rival.title())
        });
        let better: Vec<_> = better.collect();
        match better.len() {
            0 if lo == hi => {
                format!("take {}: the best reference compressor takes {lo:.2} times its bits.", self.title)
            }
            0 => format!(
                "take {}: the best reference compressor takes {lo:.2} to {hi:.2} times its bits.",
                self.title
            ),
            n if n == smallest.len() => {
                format!("reference compressors take fewer bits than {}: {}.", self.title, better.join(", "))
            }
            _ => format!("take {}, but {}.", self.title, better.join(", ")),
        }
    }

    /// Which reference compressors are faster.
    fn on_speed(&self) -> String {
        // The most times as fast at any bound: compressing, decompressing.
        let mut most: Vec<(String, f64, f64)> = Vec::new();
        for Duel { own, rivals, .. } in &self.at {
            for rival in rivals {
                let factors = (rival.compress / own.compress, rival.decompress / own.decompress);
                let codec = format!("{} {}", rival.name.codec, rival.name.version);
                match most.iter_mut().find(|(name, ..)| *name == codec) {
                    Some(most) => (most.1, most.2) = (most.1.max(factors.0), most.2.max(factors.1)),
                    None => most.push((codec, factors.0, factors.1)),
                }
            }
        }
        let faster = most.into_iter().filter_map(|(codec, compress, decompress)| {
            let verbs = [("compresses", compress), ("decompresses", decompress)];
            let verbs = verbs.into_iter().filter(|(_, factor)| *factor >= 1.05);
            let verbs: Vec<_> = verbs.map(|(verb, factor)| format!("{verb} up to {factor:.1}")).collect();
            (!verbs.is_empty()).then(|| format!("{codec} {} times as fast", verbs.join(" and ")))
        });
        let faster: Vec<_> = faster.collect();
        match faster.is_empty() {
            true => "No reference compressor is faster.".into(),
            false => format!("Where speed counts more, {}.", faster.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::measure::Name;
    use super::super::plan::Layout;
    use super::*;

    /// A compressor: its name and setting, bits, and the speed of both directions.
    fn mean(codec: &str, setting: &str, bits: f64, speed: f64) -> Mean {
        let name = Name { codec: codec.into(), version: "1".into(), setting: setting.into() };
        let (compress, decompress) = (speed, speed);
        let (fields, violated, ratio, psnr, largest_error, peak_memory) = (1, 0, 64.0 / bits, 90.0, 1.0, 1.0);
        Mean { name, fields, violated, bits, ratio, psnr, largest_error, compress, decompress, peak_memory }
    }

    fn advice(own: Vec<Mean>, references: Vec<Mean>) -> Option<String> {
        let bounds = vec![AtBound { bound: 1e-3, own, references }];
        recommendation(&Table { layout: Layout::Grid, threads: 1, bounds })
    }

    #[test]
    fn a_setting_that_is_smaller_and_faster_is_recommended() {
        let own = vec![mean("swae", "fast", 0.8, 20.0), mean("swae", "best", 0.4, 5.0)];
        let text = advice(own, vec![mean("SZ3", "", 1.0, 10.0)]).unwrap();
        assert!(text.starts_with("take swae fast: the best reference compressor takes 1.25 times"), "{text}");
        assert!(text.contains("No reference compressor is faster."), "{text}");
        assert!(text.ends_with("swae best takes 0.50 times its bits."), "{text}");
    }

    #[test]
    fn where_a_reference_compressor_is_better_it_says_so() {
        let own = || vec![mean("swae", "normal", 1.0, 10.0)];
        let text = advice(own(), vec![mean("SZ3", "", 2.0, 25.0), mean("ZFP", "", 4.0, 5.0)]).unwrap();
        assert!(
            text.contains("SZ3 1 compresses up to 2.5 and decompresses up to 2.5 times as fast."),
            "{text}"
        );
        let text = advice(own(), vec![mean("SZ3", "x", 0.9, 5.0)]).unwrap();
        assert!(text.contains("fewer bits than swae normal: SZ3 1 x at 1e-3 (0.90 of its bits)"), "{text}");
    }

    #[test]
    fn a_reference_compressor_that_misses_the_bound_is_no_rival() {
        let missed = Mean { violated: 1, ..mean("ZFP", "", 0.1, 99.0) };
        assert_eq!(advice(vec![mean("swae", "normal", 1.0, 10.0)], vec![missed]), None);
        assert_eq!(advice(vec![mean("swae", "normal", 1.0, 10.0)], vec![]), None);
    }
}
