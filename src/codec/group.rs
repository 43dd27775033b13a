//! Groups of steps: the last one is predicted from the step before the group, and the others from
//! steps on both sides of them, halfway each time (hierarchical bidirectional prediction, as in video
//! coders).

use crate::config::Effort;
use crate::element::Element;
use crate::encode::{Bounded, Report};
use crate::error::{Error, Result};
use crate::field::Field;
use crate::history::History;
use crate::models::Models;
use crate::preamble::FARTHEST;
use crate::step::{StepField, StepStream, coding_groups, compress_step, decompress_step};
use crate::stream::Stream;
use crate::view::FieldView;
use std::collections::BTreeMap;
use std::ops::Range;

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

/// The order in which a group of so many steps is coded: few steps are needed again at any time.
#[allow(clippy::arithmetic_side_effects, reason = "numbers of a group's steps")]
pub fn group_order(steps: usize) -> Vec<GroupStep> {
    let mut order = Vec::with_capacity(steps);
    if steps == 0 {
        return order;
    }
    order.push(GroupStep { at: steps, previous: 0, next: None });
    let mut spans = vec![(0, steps)];
    while let Some((previous, next)) = spans.pop() {
        let at = (previous + next) / 2;
        if at > previous {
            order.push(GroupStep { at, previous, next: Some(next) });
            spans.extend([(at, next), (previous, at)]);
        }
    }
    order
}

/// Steps one after the other.
fn plain_order(steps: usize) -> Vec<GroupStep> {
    (1..=steps).map(|at| GroupStep { at, previous: at.saturating_sub(1), next: None }).collect()
}

/// A stream, and what was measured while it was encoded.
pub type Coded = (Vec<u8>, Report);

/// A field of a group of steps.
pub struct GroupField<'a, T> {
    /// Its name, by which a stream names it that is predicted from it.
    pub name: &'a str,
    /// Its boxes in each step, in the order of time, and how they are encoded.
    pub steps: Vec<(&'a [FieldView<'a, T>], Bounded<'a>)>,
    /// Its steps before the group; the group's last one becomes the last of them.
    pub history: &'a mut History,
}

/// Encodes a group of steps, each as [`compress_bounded`](crate::encode::compress_bounded) does, and gives them in the order of time.
/// Where the history has no last step, the first step is a keyframe, and the others are the group. At
/// effort `best` the steps are also encoded one after the other, and what takes fewer bytes is given.
/// More than 64 steps are several groups.
///
/// # Errors
/// Those of [`compress_bounded`](crate::encode::compress_bounded); the history is as it was then.
pub fn compress_group<T: Element>(
    steps: &[&[FieldView<'_, T>]],
    settings: &Bounded<'_>,
    history: &mut History,
) -> Result<Vec<Coded>> {
    let steps = steps.iter().map(|views| (*views, *settings)).collect();
    let field = GroupField { name: "", steps, history };
    Ok(compress_groups(vec![field])?.into_iter().flatten().collect())
}

/// Encodes a group of steps of several fields, of the same steps and boxes: as [`compress_group`] does
/// each of them, and each step's fields are predicted from one another as
/// [`compress_step`] does. Gives for each step, in the order of time, the fields in their order.
///
/// # Errors
/// Those of [`compress_bounded`](crate::encode::compress_bounded); the histories are as they were then.
pub fn compress_groups<T: Element>(mut fields: Vec<GroupField<'_, T>>) -> Result<Vec<Vec<Coded>>> {
    let steps = fields.iter().map(|field| field.steps.len()).min().unwrap_or(0);
    let is_new = fields.iter().any(|field| field.history.last::<T>().is_none());
    let mut all_settings = fields.iter().flat_map(|field| field.steps.iter().map(|(_, settings)| settings));
    let searches = all_settings.any(|settings| settings.effort == Effort::Best);
    let mut out = Vec::with_capacity(steps);
    let mut last: Vec<_> = fields.iter().map(|field| field.history.clone()).collect();
    // They are of one step.
    last.iter_mut().for_each(|history| history.references.clear());
    let mut first = 0usize;
    while first < steps {
        let most = if first == 0 && is_new { 1 } else { FARTHEST as usize };
        let group = first..first.saturating_add(most).min(steps);
        let mut coded = in_order(group_order(group.len()), &fields, group.clone(), &last)?;
        if searches && group.len() > 1 {
            let others = in_order(plain_order(group.len()), &fields, group.clone(), &last)?;
            if others.bytes() < coded.bytes() {
                coded = others;
            }
        }
        last = coded.last;
        out.extend(coded.steps.into_values());
        first = group.end;
    }
    for (field, last) in fields.iter_mut().zip(last) {
        *field.history = last;
    }
    Ok(out)
}

/// A group that was encoded.
struct CodedGroup {
    /// By time, and of each step the fields.
    steps: BTreeMap<usize, Vec<Coded>>,
    /// The histories that end with the last one.
    last: Vec<History>,
}

impl CodedGroup {
    fn bytes(&self) -> usize {
        self.steps.values().flatten().map(|(stream, _)| stream.len()).sum()
    }
}

/// Encodes the steps of a range in an order.
fn in_order<T: Element>(
    order: Vec<GroupStep>,
    fields: &[GroupField<'_, T>],
    group: Range<usize>,
    before: &[History],
) -> Result<CodedGroup> {
    let mut steps = BTreeMap::new();
    let last = along(order, group.len(), before, |at, histories| {
        let index = group.start.saturating_add(at).saturating_sub(1);
        let step = fields.iter().zip(histories.iter_mut()).map(|(field, history)| {
            let (views, settings) = field.steps[index];
            StepField { name: field.name, views, settings, history }
        });
        let coded = compress_step(step.collect()).into_iter().collect::<Result<_>>()?;
        steps.insert(at, coded);
        Ok(())
    })?;
    Ok(CodedGroup { steps, last })
}

/// A field of a group of steps that is decoded.
pub struct GroupStreams<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its streams, in the order of time.
    pub streams: Vec<Stream<'a>>,
    /// Its steps before the group; the group's last one becomes the last of them.
    pub history: &'a mut History,
}

/// Decodes the streams of a group, in the order of time: all boxes of each.
///
/// # Errors
/// Those of [`decompress_boxes`](crate::decode::decompress_boxes); [`Error::Stream`] where one is
/// predicted from a step that is neither in the group nor the one before it. The history is as it was
/// then.
pub fn decompress_group(
    streams: &[Stream<'_>],
    models: &Models,
    history: &mut History,
) -> Result<Vec<Vec<Field>>> {
    let field = GroupStreams { name: "", streams: streams.to_vec(), history };
    Ok(decompress_groups(vec![field], models)?.into_iter().flatten().collect())
}

/// Decodes the streams of a group of several fields, of which [`compress_groups`] made the streams:
/// gives for each step, in the order of time, the boxes of the fields in their order.
///
/// # Errors
/// Those of [`decompress_group`]; [`Error::Stream`] where fields were coded in different orders.
pub fn decompress_groups(mut fields: Vec<GroupStreams<'_>>, models: &Models) -> Result<Vec<Vec<Vec<Field>>>> {
    let Some(first) = fields.first() else { return Ok(Vec::new()) };
    let (steps, order) = (first.streams.len(), order_of(&first.streams)?);
    for field in &fields {
        if field.streams.len() != steps || order_of(&field.streams)? != order {
            return Err(Error::Stream("fields of a group are predicted from different steps".into()));
        }
    }
    let before: Vec<_> = fields.iter().map(|field| field.history.clone()).collect();
    let mut decoded = BTreeMap::new();
    let last = along(order, steps, &before, |at, histories| {
        let index = at.saturating_sub(1);
        let step = fields.iter().zip(histories.iter_mut()).map(|(field, history)| StepStream {
            name: field.name,
            stream: field.streams[index].clone(),
            history,
        });
        let boxes = decompress_step(step.collect(), models).into_iter().collect::<Result<Vec<_>>>()?;
        decoded.insert(at, boxes);
        Ok(())
    })?;
    for (field, last) in fields.iter_mut().zip(last) {
        *field.history = last;
    }
    Ok(decoded.into_values().collect())
}

/// An order in which streams can be decoded, by what they say of themselves.
fn order_of(streams: &[Stream<'_>]) -> Result<Vec<GroupStep>> {
    // The first is the step before the group.
    let (mut steps, mut dependencies) = (Vec::new(), vec![Vec::new()]);
    for (before, stream) in streams.iter().enumerate() {
        let (at, spacing) = (before.saturating_add(1), stream.header().spacing());
        if stream.header().age() == 0 {
            steps.push(GroupStep { at, previous: 0, next: None });
            dependencies.push(Vec::new());
            continue;
        }
        let previous = at.checked_sub(spacing.back as usize);
        let next = spacing.is_between().then(|| at.saturating_add(spacing.ahead as usize));
        let (Some(previous), true) = (previous, next.is_none_or(|next| next <= streams.len())) else {
            return Err(Error::Stream("it is predicted from a step outside its group".into()));
        };
        steps.push(GroupStep { at, previous, next });
        dependencies.push(std::iter::once(previous).chain(next).collect());
    }
    let circle = |_| Error::Stream("the steps of the group are predicted from one another".into());
    let order = coding_groups(&dependencies).map_err(circle)?.concat();
    Ok(order.into_iter().filter_map(|at| steps.get(at.checked_sub(1)?).copied()).collect())
}

/// Goes through a group of so many steps: `code` is given each step's number and the histories that its
/// fields are predicted from, and makes those end with it. Gives the histories of the last step; those
/// that nothing needs any more are dropped on the way.
fn along(
    order: Vec<GroupStep>,
    steps: usize,
    before: &[History],
    mut code: impl FnMut(usize, &mut [History]) -> Result<()>,
) -> Result<Vec<History>> {
    let needs = |step: &GroupStep| std::iter::once(step.previous).chain(step.next);
    let mut uses = vec![0usize; steps.saturating_add(1)];
    order.iter().flat_map(needs).chain([steps]).for_each(|at| uses[at] = uses[at].saturating_add(1));
    let mut coded = BTreeMap::from([(0, before.to_vec())]);
    for step in order {
        let mut own = coded[&step.previous].clone();
        let distance = |other: usize| other.abs_diff(step.at) as u32;
        for (field, history) in own.iter_mut().enumerate() {
            let next = step.next.map(|next| (distance(next), &coded[&next][field]));
            history.lead(distance(step.previous), next);
        }
        code(step.at, &mut own)?;
        for used in needs(&step) {
            uses[used] = uses[used].saturating_sub(1);
            if uses[used] == 0 {
                coded.remove(&used);
            }
        }
        if uses[step.at] > 0 {
            coded.insert(step.at, own);
        }
    }
    Ok(coded.remove(&steps).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_is_coded_once_and_after_those_that_it_is_predicted_from() {
        for steps in 0..70 {
            let mut coded = vec![false; steps + 1];
            coded[0] = true;
            for GroupStep { at, previous, next } in group_order(steps) {
                assert!(previous < at && coded[previous] && next.is_none_or(|next| at < next && coded[next]));
                assert!(!std::mem::replace(&mut coded[at], true));
            }
            assert!(coded.into_iter().all(|coded| coded), "{steps}");
        }
    }
}
