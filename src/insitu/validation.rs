//! Validation of a step: each rank reports its fields and boxes, and rank 0 checks that they fit
//! together. What follows is where each rank's boxes lie in the file. Plain code: it needs no MPI.

use crate::step::Step;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use swae_codec::config::nearest;
use swae_store::{BoxRow, Boxes, FieldInfo, split_level};

/// What a rank reports of its step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Report {
    pub step: i64,
    pub time: f64,
    /// The first thing that went wrong on the rank.
    pub failure: Option<Error>,
    /// The sets of boxes that its fields have; most have the same.
    pub box_sets: Vec<Boxes>,
    /// The rank's fields in the order in which they were put, each with the
    /// number of its set of boxes.
    pub fields: Vec<(FieldInfo, usize)>,
    /// Settings of fields that have named none so far.
    pub idle_settings: Vec<String>,
}

/// The outcome of an earlier validation: it holds as long as every rank's fields and boxes stay the
/// same.
pub(crate) struct ValidatedLayout {
    /// The same on all ranks.
    pub number: i64,
    /// This rank's own.
    pub report: Report,
    /// All fields, sorted by name.
    pub infos: Vec<FieldInfo>,
}

/// Where a rank's part of a field lies among those of all ranks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Part {
    /// Boxes and bytes of all ranks.
    pub all: [u64; 2],
    /// Boxes and bytes of the ranks before.
    pub before: [u64; 2],
    /// The rank's boxes, their offsets counted in the whole field.
    pub boxes: Vec<BoxRow>,
}

/// A step that was validated: its fields, sorted by name, each with this rank's part.
pub(crate) type ValidatedStep = Vec<(FieldInfo, Part)>;

impl Report {
    pub(crate) fn of(step: &Step) -> Self {
        let (mut box_sets, mut fields) = (Vec::<Boxes>::new(), Vec::new());
        for put in &step.puts {
            let places: Boxes = put.boxes.iter().map(|row| (row.start, row.count)).collect();
            let known = box_sets.iter().rposition(|set| *set == places);
            let set = known.unwrap_or_else(|| {
                box_sets.push(places);
                box_sets.len() - 1
            });
            fields.push((put.info.clone(), set));
        }
        let (failure, idle_settings) = (step.failure.clone(), step.idle_settings.clone());
        Self { step: step.number, time: step.time, failure, box_sets, fields, idle_settings }
    }

    /// Whether another step had the same fields in the same boxes.
    pub(crate) fn same_fields(&self, other: &Self) -> bool {
        self.fields == other.fields && self.box_sets == other.box_sets
    }

    /// The number of the set of boxes that a field has.
    fn boxes_of(&self, name: &str) -> Option<usize> {
        self.fields.iter().find(|(info, _)| info.name == name).map(|(_, set)| *set)
    }
}

impl Part {
    /// Of a rank, given the boxes and bytes of all, and of those before it.
    pub(crate) fn new(all: [u64; 2], before: [u64; 2], boxes: &[BoxRow]) -> Self {
        let boxes = boxes.iter().map(|b| BoxRow { offset: before[1] + b.offset, ..*b }).collect();
        Self { all, before, boxes }
    }

    /// How many boxes these are, and how many bytes; boxes may share a stream.
    pub(crate) fn size(boxes: &[BoxRow]) -> [u64; 2] {
        [boxes.len() as u64, boxes.iter().map(|b| b.offset + b.length).max().unwrap_or(0)]
    }
}

/// Checks that what all ranks report fits together; gives the fields of the step, sorted by name.
///
/// A rank without boxes puts nothing; the fields of the others must still be the same.
///
/// # Errors
/// The first failure of any rank; [`Error::Mismatch`] where steps or fields differ, or the boxes of
/// a field overlap or leave holes; [`Error::Argument`] where settings name no field.
pub(crate) fn validate(reports: &[Report]) -> Result<Vec<FieldInfo>> {
    for (r, report) in reports.iter().enumerate() {
        if let Some(failure) = &report.failure {
            let alone = reports.len() == 1;
            return Err(if alone { failure.clone() } else { failure.clone().with(&format!("rank {r}")) });
        }
        let first = &reports[0];
        if (report.step, report.time.to_bits()) != (first.step, first.time.to_bits()) {
            return Err(Error::Mismatch(format!(
                "rank 0 ends step {} at time {}, rank {r} ends step {} at time {}",
                first.step, first.time, report.step, report.time
            )));
        }
    }
    let infos = union(reports)?;
    check_settings(reports, &infos)?;
    // Fields on the same boxes are checked once.
    let mut seen = BTreeSet::new();
    for info in &infos {
        let sets: Vec<Option<usize>> = reports.iter().map(|r| r.boxes_of(&info.name)).collect();
        let boxes =
            |(r, set): (&Report, &Option<usize>)| set.map_or(Boxes::new(), |set| r.box_sets[set].clone());
        if seen.insert((sets.clone(), info.shape, info.partial)) {
            let parts: Vec<Boxes> = reports.iter().zip(&sets).map(boxes).collect();
            check_cover(info, &parts)?;
        }
    }
    Ok(infos)
}

/// Whether all settings of fields name one that some rank has put so far.
fn check_settings(reports: &[Report], infos: &[FieldInfo]) -> Result<()> {
    let is_idle = |name: &&String| reports.iter().all(|report| report.idle_settings.contains(name));
    let Some(name) = reports[0].idle_settings.iter().find(is_idle).filter(|_| !infos.is_empty()) else {
        return Ok(());
    };
    let mut names: Vec<_> = infos.iter().map(|info| split_level(&info.name).0).collect();
    names.dedup();
    let hint = nearest(name, &names)
        .map_or_else(|| format!("fields are {}", names.join(", ")), |near| format!("did you mean '{near}'?"));
    Err(Error::Argument(format!("settings of fields.{name}: no field of this name is put; {hint}")))
}

/// The fields of all ranks, by name.
fn union(reports: &[Report]) -> Result<Vec<FieldInfo>> {
    let mut fields: BTreeMap<&str, (&FieldInfo, usize)> = BTreeMap::new();
    for (rank, report) in reports.iter().enumerate() {
        for (info, _) in &report.fields {
            let (known, first) = *fields.entry(&info.name).or_insert((info, rank));
            if known != info {
                return Err(Error::Mismatch(format!(
                    "field '{}': rank {first} says {}, rank {rank} says {}",
                    info.name,
                    describe(known),
                    describe(info)
                )));
            }
        }
    }
    // On a level of a hierarchy a rank may have no box.
    for (info, first) in fields.values().filter(|(info, _)| !info.partial) {
        let lacks = |r: &Report| {
            let whole = || r.fields.iter().any(|(f, _)| !f.partial);
            whole() && !r.fields.iter().any(|(f, _)| f.name == info.name)
        };
        if let Some(rank) = reports.iter().position(lacks) {
            return Err(Error::Mismatch(format!(
                "step {}: rank {first} put field '{}', rank {rank} did not",
                reports[0].step, info.name
            )));
        }
    }
    Ok(fields.into_values().map(|(info, _)| info.clone()).collect())
}

pub(crate) fn describe(info: &FieldInfo) -> String {
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
fn check_cover(info: &FieldInfo, parts: &[Boxes]) -> Result<()> {
    type Place = ([usize; 3], [usize; 3]);
    let place = |(start, count): &Place| format!("{start:?} + {count:?}");
    let mut boxes: Vec<(usize, Place)> =
        parts.iter().enumerate().flat_map(|(rank, boxes)| boxes.iter().map(move |b| (rank, *b))).collect();
    boxes.retain(|(_, (_, count))| !count.contains(&0));
    let wrong = |text: String| Err(Error::Mismatch(format!("field '{}': {text}", info.name)));
    let outside = |(start, count): &Place| (0..3).any(|a| start[a] + count[a] > info.shape[a]);
    if let Some((rank, b)) = boxes.iter().find(|(_, b)| outside(b)) {
        return wrong(format!("rank {rank}'s box {} leaves the grid of {:?}", place(b), info.shape));
    }
    // A box is compared with those alone that reach into the same cells of a grid as coarse as the
    // boxes are large.
    let number = boxes.len().max(1);
    let cell: [usize; 3] = std::array::from_fn(|a| {
        boxes.iter().map(|(_, (_, count))| count[a]).sum::<usize>().div_ceil(number).max(1)
    });
    let mut cells = HashMap::<[usize; 3], Vec<usize>>::new();
    for (i, (rank, b)) in boxes.iter().enumerate() {
        let along = |a: usize| b.0[a] / cell[a]..=(b.0[a] + b.1[a] - 1) / cell[a];
        for at in along(0).flat_map(|x| along(1).flat_map(move |y| along(2).map(move |z| [x, y, z]))) {
            let inside = cells.entry(at).or_default();
            let meets = |c: &Place| (0..3).all(|a| b.0[a] < c.0[a] + c.1[a] && c.0[a] < b.0[a] + b.1[a]);
            if let Some((other, c)) = inside.iter().map(|&j| &boxes[j]).find(|(_, c)| meets(c)) {
                return wrong(format!(
                    "rank {other}'s box {} and rank {rank}'s box {} overlap",
                    place(c),
                    place(b)
                ));
            }
            inside.push(i);
        }
    }
    let covered: usize = boxes.iter().map(|(_, (_, count))| count.iter().product::<usize>()).sum();
    let whole: usize = info.shape.iter().product();
    if covered != whole && !info.partial {
        return wrong(format!("the boxes of all ranks hold {covered} of the grid's {whole} points"));
    }
    Ok(())
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
        let fields = fields.iter().map(|name| (info(name), 0)).collect();
        let box_sets = vec![vec![([0, 0, z], [8, 8, depth])]];
        Report { step: 3, time: 1.5, failure: None, box_sets, fields, idle_settings: Vec::new() }
    }

    fn message(reports: &[Report]) -> String {
        validate(reports).unwrap_err().to_string()
    }

    #[test]
    fn fields_are_sorted_whatever_the_order_of_the_puts() {
        let reports = [report(&["chi", "alpha"], 0, 8), report(&["alpha", "chi"], 8, 8)];
        let names: Vec<_> = validate(&reports).unwrap().into_iter().map(|info| info.name).collect();
        assert_eq!(names, ["alpha", "chi"]);
    }

    #[test]
    fn parts_follow_one_another_and_boxes_may_share_a_stream() {
        let row = |z, offset, length| BoxRow { start: [0, 0, z], count: [8, 8, 8], offset, length };
        let boxes = [row(0, 0, 10), row(8, 0, 10), row(16, 10, 7)];
        assert_eq!(Part::size(&boxes), [3, 17]);
        let part = Part::new([5, 40], [2, 23], &boxes);
        assert_eq!(part.boxes.iter().map(|b| b.offset).collect::<Vec<_>>(), [23, 23, 33]);
    }

    #[test]
    fn a_rank_with_nothing_to_write_is_fine() {
        let mut reports = vec![report(&["chi"], 0, 16), report(&[], 0, 0)];
        assert_eq!(validate(&reports).unwrap(), [info("chi")]);
        reports[1] = Report { box_sets: vec![vec![]], ..report(&["chi"], 0, 0) };
        assert_eq!(validate(&reports).unwrap(), [info("chi")]);
    }

    #[test]
    fn a_field_with_boxes_of_its_own_is_checked_itself() {
        let mut reports = [report(&["chi", "K"], 0, 8), report(&["chi", "K"], 8, 8)];
        reports[1].box_sets.push(vec![([0, 0, 9], [8, 8, 7])]);
        assert!(validate(&reports).is_ok());
        reports[1].fields[1].1 = 1;
        assert!(message(&reports).contains("'K': the boxes of all ranks hold 960"), "{}", message(&reports));
    }

    #[test]
    fn settings_that_name_no_field_of_any_rank_are_refused() {
        let mut reports = [report(&["chi", "K"], 0, 8), report(&["chi", "K"], 8, 8)];
        reports[0].idle_settings = vec!["K".into(), "chj".into()];
        assert!(validate(&reports).is_ok());
        reports[1].idle_settings = vec!["chj".into()];
        let said = "settings of fields.chj: no field of this name is put; did you mean 'chi'?";
        assert_eq!(message(&reports), said);
        // As long as nothing is put, nothing can be said.
        let mut nothing = [report(&[], 0, 8)];
        nothing[0].idle_settings = vec!["chi".into()];
        assert!(validate(&nothing).is_ok());
    }

    #[test]
    fn every_mismatch_names_field_and_ranks() {
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
