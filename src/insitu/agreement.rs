//! What the ranks tell each other at the end of a step, and the verdict that follows. Plain code: every rank
//! has the same reports in the same order, so every rank comes to the same verdict.

use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use swae_store::{BoxRow, FieldInfo};

/// One rank's account of its step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The step's number.
    pub step: i64,
    /// The step's time.
    pub time: f64,
    /// The first thing that went wrong on the rank.
    pub failure: Option<Error>,
    /// The rank's fields in the order in which they were put, with their boxes; offsets count from the rank's own first
    /// byte of the field.
    pub fields: Vec<(FieldInfo, Vec<BoxRow>)>,
}

/// Where a rank's part of a field lies among those of all ranks.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Boxes and bytes of all ranks.
    pub all: (usize, u64),
    /// Boxes and bytes of the ranks before.
    pub before: (usize, u64),
    /// The rank's boxes, their offsets counted in the whole field.
    pub boxes: Vec<BoxRow>,
}

/// A step that all ranks agree on: its fields, sorted by name, each with this rank's part.
pub type Agreed = Vec<(FieldInfo, Part)>;

/// The verdict for `rank`; the error, where there is one, is the same for every rank.
///
/// A rank without boxes puts nothing; the fields of the others must still be the same.
///
/// # Errors
/// The first failure of any rank; [`Error::Disagreement`] where steps or fields differ, or the boxes of a field
/// overlap or leave holes.
pub fn agree(reports: &[Report], rank: usize) -> Result<Agreed> {
    for (r, report) in reports.iter().enumerate() {
        if let Some(failure) = &report.failure {
            return Err(if reports.len() > 1 { on_rank(failure, r) } else { failure.clone() });
        }
        let first = &reports[0];
        if (report.step, report.time.to_bits()) != (first.step, first.time.to_bits()) {
            return Err(Error::Disagreement(format!(
                "rank 0 ends step {} at time {}, rank {r} ends step {} at time {}",
                first.step, first.time, report.step, report.time
            )));
        }
    }
    let infos = union(reports)?;
    infos
        .into_iter()
        .map(|(info, _)| {
            let parts: Vec<&[BoxRow]> = reports.iter().map(|r| boxes_of(r, &info.name)).collect();
            check_cover(&info, &parts)?;
            let part = part(&parts, rank);
            Ok((info, part))
        })
        .collect()
}

fn on_rank(failure: &Error, rank: usize) -> Error {
    let text = format!("rank {rank}: {failure}");
    match failure {
        Error::Argument(_) => Error::Argument(text),
        Error::State(_) => Error::State(text),
        Error::Model(_) => Error::Model(text),
        Error::Io(_) => Error::Io(text),
        Error::Disagreement(_) => Error::Disagreement(text),
        Error::Unsupported(_) => Error::Unsupported(text),
    }
}

fn boxes_of<'a>(report: &'a Report, name: &str) -> &'a [BoxRow] {
    report.fields.iter().find(|(info, _)| info.name == name).map_or(&[], |(_, boxes)| boxes)
}

/// The fields of all ranks, by name, each with the first rank that put it.
fn union(reports: &[Report]) -> Result<Vec<(FieldInfo, usize)>> {
    let mut fields: BTreeMap<&str, (&FieldInfo, usize)> = BTreeMap::new();
    for (rank, report) in reports.iter().enumerate() {
        for (info, _) in &report.fields {
            let (known, giver) = *fields.entry(&info.name).or_insert((info, rank));
            if known != info {
                return Err(Error::Disagreement(format!(
                    "field '{}': rank {giver} says {}, rank {rank} says {}",
                    info.name,
                    describe(known),
                    describe(info)
                )));
            }
        }
    }
    // On a level of a hierarchy a rank may have no box.
    for (info, giver) in fields.values().filter(|(info, _)| !info.partial) {
        let lacks = |r: &Report| {
            let whole = || r.fields.iter().any(|(f, _)| !f.partial);
            whole() && !r.fields.iter().any(|(f, _)| f.name == info.name)
        };
        if let Some(rank) = reports.iter().position(lacks) {
            return Err(Error::Disagreement(format!(
                "step {}: rank {giver} put field '{}', rank {rank} did not",
                reports[0].step, info.name
            )));
        }
    }
    Ok(fields.into_values().map(|(info, giver)| (info.clone(), giver)).collect())
}

fn describe(info: &FieldInfo) -> String {
    format!(
        "{} {:?} at {:?} spaced {:?} ({})",
        info.dtype.name(),
        info.shape,
        info.origin,
        info.spacing,
        info.encoding
    )
}

/// Whether the boxes of all ranks tile the grid: none outside, no two overlapping, none missing.
fn check_cover(info: &FieldInfo, parts: &[&[BoxRow]]) -> Result<()> {
    let place = |b: &BoxRow| format!("{:?} + {:?}", b.start, b.count);
    let mut boxes: Vec<(usize, &BoxRow)> =
        parts.iter().enumerate().flat_map(|(rank, rows)| rows.iter().map(move |b| (rank, b))).collect();
    boxes.retain(|(_, b)| !b.count.contains(&0));
    let wrong = |text: String| Err(Error::Disagreement(format!("field '{}': {text}", info.name)));
    if let Some((rank, b)) =
        boxes.iter().find(|(_, b)| (0..3).any(|a| b.start[a] + b.count[a] > info.shape[a]))
    {
        return wrong(format!("rank {rank}'s box {} leaves the grid of {:?}", place(b), info.shape));
    }
    // Sorted along x, a box can only overlap those behind it that begin before it ends.
    boxes.sort_by_key(|(_, b)| b.start);
    for (i, (rank, b)) in boxes.iter().enumerate() {
        let end = b.start[0] + b.count[0];
        for (other, c) in boxes[i + 1..].iter().take_while(|(_, c)| c.start[0] < end) {
            if (1..3).all(|a| b.start[a] < c.start[a] + c.count[a] && c.start[a] < b.start[a] + b.count[a]) {
                return wrong(format!(
                    "rank {rank}'s box {} and rank {other}'s box {} overlap",
                    place(b),
                    place(c)
                ));
            }
        }
    }
    let covered: usize = boxes.iter().map(|(_, b)| b.count.iter().product::<usize>()).sum();
    let whole: usize = info.shape.iter().product();
    if covered != whole && !info.partial {
        return wrong(format!("the boxes of all ranks hold {covered} of the grid's {whole} points"));
    }
    Ok(())
}

fn part(parts: &[&[BoxRow]], rank: usize) -> Part {
    // Boxes may share a stream.
    let bytes = |rows: &[BoxRow]| rows.iter().map(|b| b.offset + b.length).max().unwrap_or(0);
    let total = |parts: &[&[BoxRow]]| {
        (parts.iter().map(|p| p.len()).sum::<usize>(), parts.iter().map(|p| bytes(p)).sum::<u64>())
    };
    let before = total(&parts[..rank]);
    let boxes = parts[rank].iter().map(|b| BoxRow { offset: before.1 + b.offset, ..*b }).collect();
    Part { all: total(parts), before, boxes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use swae_codec::Dtype;

    fn info(name: &str) -> FieldInfo {
        FieldInfo {
            name: name.into(),
            dtype: Dtype::F64,
            shape: [8, 8, 16],
            origin: [0.0; 3],
            spacing: [1.0; 3],
            encoding: "raw".into(),
            partial: false,
        }
    }

    fn report(fields: &[&str], z: usize, depth: usize) -> Report {
        let row = BoxRow { start: [0, 0, z], count: [8, 8, depth], offset: 0, length: 10 + z as u64 };
        let fields = fields.iter().map(|name| (info(name), vec![row])).collect();
        Report { step: 3, time: 1.5, failure: None, fields }
    }

    fn message(reports: &[Report]) -> String {
        let first = agree(reports, 0).unwrap_err();
        assert_eq!(agree(reports, 1).unwrap_err(), first, "all ranks come to the same verdict");
        first.to_string()
    }

    #[test]
    fn parts_follow_one_another_in_rank_order() {
        let reports = [report(&["chi", "alpha"], 0, 8), report(&["alpha", "chi"], 8, 8)];
        let agreed = agree(&reports, 1).unwrap();
        let names: Vec<_> = agreed.iter().map(|(info, _)| info.name.as_str()).collect();
        assert_eq!(names, ["alpha", "chi"]);
        let part = &agreed[1].1;
        assert_eq!((part.all, part.before), ((2, 28), (1, 10)));
        assert_eq!(part.boxes[0].offset, 10);
    }

    #[test]
    fn a_rank_with_nothing_to_write_is_fine() {
        let mut reports = vec![report(&["chi"], 0, 16), report(&[], 0, 0)];
        assert_eq!(agree(&reports, 1).unwrap()[0].1.boxes, []);
        reports[1].fields = vec![(info("chi"), vec![])];
        assert_eq!(agree(&reports, 0).unwrap()[0].1.all, (1, 10));
    }

    #[test]
    fn every_disagreement_names_field_and_ranks() {
        let whole = [report(&["chi"], 0, 8), report(&["chi"], 8, 8)];
        let overlap = [report(&["chi"], 0, 9), report(&["chi"], 8, 8)];
        assert!(message(&overlap).contains("'chi': rank 0's box"), "{}", message(&overlap));
        let hole = [report(&["chi"], 0, 7), report(&["chi"], 8, 8)];
        assert!(message(&hole).contains("960 of the grid's 1024"), "{}", message(&hole));
        let outside = [report(&["chi"], 0, 8), report(&["chi"], 8, 9)];
        assert!(message(&outside).contains("leaves the grid"));
        let other = [report(&["chi", "K"], 0, 8), report(&["chi"], 8, 8)];
        assert_eq!(message(&other), "step 3: rank 0 put field 'K', rank 1 did not");
        let mut step = whole.clone();
        step[1].step = 4;
        assert!(message(&step).contains("rank 1 ends step 4"));
        let mut dtype = whole.clone();
        dtype[1].fields[0].0.dtype = Dtype::F32;
        assert!(message(&dtype).contains("rank 1 says float32"));
        let mut failed = whole;
        failed[1].failure = Some(Error::Argument("field 'chi': bad".into()));
        assert_eq!(message(&failed), "rank 1: field 'chi': bad");
    }
}
