//! Groups of steps: the last one is predicted from the step before the group, and the others from
//! steps on both sides of them, halfway each time (hierarchical bidirectional prediction, as in video
//! coders).

use crate::config::Effort;
use crate::decode::decompress_boxes;
use crate::element::Element;
use crate::encode::{Bounded, Report, compress_bounded};
use crate::error::{Error, Result};
use crate::field::Field;
use crate::history::History;
use crate::models::Models;
use crate::step::coding_groups;
use crate::stream::Stream;
use crate::view::FieldView;
use std::collections::BTreeMap;

/// A step of a group, by the time since the step before the group, in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupStep {
    /// Which one, from 1 on.
    pub at: usize,
    /// The step before it that it is predicted from; 0 is the one before the group.
    pub previous: usize,
    /// The one behind it, where there is one.
    pub next: Option<usize>,
}

/// The order in which a group of so many steps is coded.
#[allow(clippy::arithmetic_side_effects, reason = "numbers of a group's steps")]
pub fn coding_order(steps: usize) -> Vec<GroupStep> {
    let mut order = Vec::with_capacity(steps);
    if steps == 0 {
        return order;
    }
    order.push(GroupStep { at: steps, previous: 0, next: None });
    let mut spans = std::collections::VecDeque::from([(0, steps)]);
    while let Some((previous, next)) = spans.pop_front() {
        let at = (previous + next) / 2;
        if at > previous {
            order.push(GroupStep { at, previous, next: Some(next) });
            spans.extend([(previous, at), (at, next)]);
        }
    }
    order
}

/// Encodes a group of steps, each as [`compress_bounded`] does, and gives them in the order of time.
/// Where the history has no last step, the first step is a keyframe, and the others are the group. At
/// effort `best` the steps are also encoded one after the other, and what takes fewer bytes is given.
///
/// # Errors
/// Those of [`compress_bounded`].
pub fn compress_group<T: Element>(
    steps: &[&[FieldView<'_, T>]],
    settings: &Bounded<'_>,
    history: &mut History,
) -> Result<Vec<(Vec<u8>, Report)>> {
    let mut out = Vec::with_capacity(steps.len());
    let mut group = steps;
    if !history.has_last::<T>()
        && let Some((first, others)) = steps.split_first()
    {
        out.push(compress_bounded(first, settings, Some(history))?);
        group = others;
    }
    let mut coded = in_order(&coding_order(group.len()), group, settings, history)?;
    if settings.effort == Effort::Best && group.len() > 1 {
        let one_by_one: Vec<_> = (1..=group.len())
            .map(|at| GroupStep { at, previous: at.saturating_sub(1), next: None })
            .collect();
        let others = in_order(&one_by_one, group, settings, history)?;
        if others.bytes() < coded.bytes() {
            coded = others;
        }
    }
    *history = coded.last;
    out.extend(coded.steps.into_values());
    Ok(out)
}

/// A group that was encoded.
struct Coded {
    /// By time.
    steps: BTreeMap<usize, (Vec<u8>, Report)>,
    /// The history that ends with the last one.
    last: History,
}

impl Coded {
    fn bytes(&self) -> usize {
        self.steps.values().map(|(stream, _)| stream.len()).sum()
    }
}

fn in_order<T: Element>(
    order: &[GroupStep],
    group: &[&[FieldView<'_, T>]],
    settings: &Bounded<'_>,
    history: &History,
) -> Result<Coded> {
    let mut histories = BTreeMap::from([(0, history.clone())]);
    let mut steps = BTreeMap::new();
    for &GroupStep { at, previous, next } in order {
        let mut own = led(&histories, at, previous, next);
        steps.insert(at, compress_bounded(group[at.saturating_sub(1)], settings, Some(&mut own))?);
        histories.insert(at, own);
    }
    let last = histories.remove(&group.len()).unwrap_or_else(|| history.clone());
    Ok(Coded { steps, last })
}

/// Decodes the streams of a group, in the order of time: all boxes of each.
///
/// # Errors
/// Those of [`decompress_boxes`]; [`Error::Stream`] where one is predicted from a step that is neither
/// in the group nor the one before it.
pub fn decompress_group(
    streams: &[Stream<'_>],
    models: &Models,
    history: &mut History,
) -> Result<Vec<Vec<Field>>> {
    // The first history is of the step before the group.
    let spacings: Vec<_> = streams.iter().map(|stream| stream.header().spacing()).collect();
    let (mut steps, mut dependencies) = (vec![(0, None)], vec![Vec::new()]);
    for (before, spacing) in spacings.iter().enumerate() {
        let at = before.saturating_add(1);
        let previous = at.checked_sub(spacing.back as usize);
        let next = spacing.is_between().then(|| at.saturating_add(spacing.ahead as usize));
        let (Some(previous), true) = (previous, next.is_none_or(|next| next <= streams.len())) else {
            return Err(Error::Stream("it is predicted from a step outside its group".into()));
        };
        let is_keyframe = streams[before].header().age() == 0;
        steps.push((previous, next));
        dependencies.push(if is_keyframe {
            Vec::new()
        } else {
            std::iter::once(previous).chain(next).collect()
        });
    }
    let order =
        coding_groups(&dependencies).map_err(|_| Error::Stream("its steps wait for one another".into()))?;
    let mut decoded = BTreeMap::new();
    let mut histories = BTreeMap::from([(0, history.clone())]);
    for at in order.concat().into_iter().filter(|&at| at > 0) {
        let (previous, next) = steps[at];
        let mut own = if dependencies[at].is_empty() {
            History::default()
        } else {
            led(&histories, at, previous, next)
        };
        decoded.insert(at, decompress_boxes(&streams[at.saturating_sub(1)], models, Some(&mut own))?);
        histories.insert(at, own);
    }
    if let Some(last) = histories.remove(&streams.len()) {
        *history = last;
    }
    Ok(decoded.into_values().collect())
}

/// The history that a step of a group is predicted from.
fn led(histories: &BTreeMap<usize, History>, at: usize, previous: usize, next: Option<usize>) -> History {
    let mut own = histories[&previous].clone();
    let distance = |other: usize| other.abs_diff(at) as u32;
    own.lead(distance(previous), next.map(|next| (distance(next), &histories[&next])));
    own
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_coded_once_and_after_those_that_it_is_predicted_from() {
        for steps in 0..20 {
            let mut coded = vec![false; steps + 1];
            coded[0] = true;
            for GroupStep { at, previous, next } in coding_order(steps) {
                assert!(previous < at && coded[previous] && next.is_none_or(|next| at < next && coded[next]));
                assert!(!std::mem::replace(&mut coded[at], true));
            }
            assert!(coded.into_iter().all(|coded| coded), "{steps}");
        }
    }
}
