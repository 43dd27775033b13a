//! The fields of one step, together: each may be predicted from others
//! ([`History::add_reference`]).

use crate::decode::decompress_boxes;
use crate::element::Element;
use crate::encode::bounded::plan;
use crate::encode::interfield::choose_reference_fields;
use crate::encode::{Bounded, Report, compress_bounded};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::field::Field;
use crate::history::History;
use crate::models::Models;
use crate::stream::Stream;
use crate::threads;
use crate::tiling::{tile_count, tiles};
use crate::view::FieldView;

/// A field that is encoded with others.
pub struct StepField<'a, T> {
    /// Its name, by which a stream names it that is predicted from it.
    pub name: &'a str,
    /// Its boxes: the same for all.
    pub views: &'a [FieldView<'a, T>],
    /// How it is encoded.
    pub settings: Bounded<'a>,
    /// Its previous steps; this one becomes the last of them.
    pub history: &'a mut History,
}

/// A field that is decoded with others.
pub struct StepStream<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its stream.
    pub stream: Stream<'a>,
    /// Its previous steps; this one becomes the last of them.
    pub history: &'a mut History,
}

/// Groups of a step's fields such that each comes after all that it depends on: the fields of a
/// group may be coded side by side. `dependencies` are, for each field, the numbers of the fields
/// that it is predicted from.
///
/// # Errors
/// The numbers of the fields that depend on one another in a circle.
pub fn coding_groups(dependencies: &[Vec<usize>]) -> std::result::Result<Vec<Vec<usize>>, Vec<usize>> {
    let mut done = vec![false; dependencies.len()];
    let mut left: Vec<usize> = (0..dependencies.len()).collect();
    let mut groups = Vec::new();
    while !left.is_empty() {
        let (group, rest): (Vec<_>, Vec<_>) =
            left.iter().partition(|&&field| dependencies[field].iter().all(|&other| done[other]));
        if group.is_empty() {
            return Err(circle(dependencies, &left));
        }
        group.iter().for_each(|&field| done[field] = true);
        groups.push(group);
        left = rest;
    }
    Ok(groups)
}

/// A circle among fields of which each depends on another of them.
fn circle(dependencies: &[Vec<usize>], waiting: &[usize]) -> Vec<usize> {
    let mut path: Vec<usize> = waiting.first().copied().into_iter().collect();
    loop {
        let Some(&last) = path.last() else { return path };
        let next = dependencies[last].iter().copied().find(|other| waiting.contains(other));
        let Some(next) = next else { return path };
        if let Some(first) = path.iter().position(|&field| field == next) {
            return path.split_off(first);
        }
        path.push(next);
    }
}

/// Takes what is at some places, and goes over it side by side; gives each result with its place.
fn side_by_side<A: Send, B: Send>(
    waiting: &mut [Option<A>],
    places: Vec<usize>,
    each: impl Fn(usize, A) -> B + Sync,
) -> Vec<(usize, B)> {
    let taken: Vec<_> = places.into_iter().filter_map(|i| Some((i, waiting[i].take()?))).collect();
    threads::map(taken, |(i, field)| (i, each(i, field)))
}

/// Encodes the fields of a step, each as [`compress_bounded`] does. Before, it is found out which
/// of them predict which: they can be decoded in any order in which each comes after its
/// [`Header::reference_fields`](crate::stream::Header::reference_fields). Keyframes are predicted
/// from no other field.
///
/// ```
/// use swae_codec::encode::Bounded;
/// use swae_codec::history::History;
/// use swae_codec::step::{StepField, StepStream, compress_step, decompress_step};
/// use swae_codec::stream::Stream;
/// use swae_codec::{Bound, FieldView, Models};
///
/// let (u, v) = (vec![1.0f64; 512], vec![2.0f64; 512]);
/// let views = [[FieldView::dense(&u, [8; 3])?], [FieldView::dense(&v, [8; 3])?]];
/// let settings = Bounded::new(Bound::Absolute(1e-3));
/// let mut histories = [History::new(16), History::new(16)];
/// let fields = ["u", "v"].iter().zip(&views).zip(&mut histories);
/// let fields = fields.map(|((name, views), history)| StepField { name, views, settings, history });
/// let mut streams = Vec::new();
/// for made in compress_step(fields.collect()) {
///     streams.push(made?.0);
/// }
///
/// let mut histories = [History::default(), History::default()];
/// let mut fields = Vec::new();
/// for ((name, bytes), history) in ["u", "v"].iter().zip(&streams).zip(&mut histories) {
///     fields.push(StepStream { name, stream: Stream::open(&bytes[..])?, history });
/// }
/// let decoded = decompress_step(fields, &Models::built_in());
/// assert!(decoded.iter().all(Result::is_ok));
/// # Ok::<(), swae_codec::Error>(())
/// ```
pub fn compress_step<T: Element>(fields: Vec<StepField<'_, T>>) -> Vec<Result<(Vec<u8>, Report)>> {
    let boxes = |field: &StepField<'_, T>| field.views.iter().map(FieldView::count).collect::<Vec<_>>();
    let tasks = fields.iter().map(|field| tile_count(&boxes(field))).fold(0, usize::saturating_add);
    threads::call(tasks, || compress_step_here(fields))
}

/// The same on the threads that there are.
fn compress_step_here<T: Element>(fields: Vec<StepField<'_, T>>) -> Vec<Result<(Vec<u8>, Report)>> {
    let references = reference_fields(&fields);
    let needed = |i: usize| references.iter().flatten().any(|&other| other == i);
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    let mut waiting: Vec<_> = fields.into_iter().map(Some).collect();
    let mut histories: Vec<Option<History>> = vec![None; names.len()];
    let mut results: Vec<_> = names.iter().map(|_| None).collect();
    // They were chosen so that there is no circle.
    for group in coding_groups(&references).unwrap_or_default() {
        let encode = |i: usize, field: StepField<'_, T>| {
            for &reference in &references[i] {
                // A field that could not be encoded has none.
                if let Some(history) = &histories[reference] {
                    field.history.add_reference(names[reference], history);
                }
            }
            let result = compress_bounded(field.views, &field.settings, Some(field.history));
            let history = (needed(i) && result.is_ok()).then(|| field.history.clone());
            (history, result)
        };
        for (i, (history, result)) in side_by_side(&mut waiting, group, encode) {
            histories[i] = history;
            results[i] = Some(result);
        }
    }
    results.into_iter().flatten().collect()
}

/// Decodes the fields of a step, in whatever order they are given: each after those that it is
/// predicted from.
///
/// # Errors
/// For each field those of [`decompress_boxes`]; [`Error::Stream`] where fields are predicted from
/// one another in a circle.
pub fn decompress_step(fields: Vec<StepStream<'_>>, models: &Models) -> Vec<Result<Vec<Field>>> {
    let tasks = fields.iter().map(|field| tile_count(&field.stream.header().boxes));
    let tasks = tasks.fold(0, usize::saturating_add);
    threads::call(tasks, || decompress_step_here(fields, models))
}

/// The same on the threads that there are.
fn decompress_step_here(fields: Vec<StepStream<'_>>, models: &Models) -> Vec<Result<Vec<Field>>> {
    let names: Vec<_> = fields.iter().map(|field| field.name).collect();
    let number = |name: &str| names.iter().position(|known| *known == name);
    let references: Vec<Vec<usize>> = fields
        .iter()
        .map(|field| field.stream.header().reference_fields().into_iter().filter_map(number).collect())
        .collect();
    let groups = match coding_groups(&references) {
        Ok(groups) => groups,
        Err(circle) => {
            let circle = circle.into_iter().map(|i| names[i]).collect::<Vec<_>>().join("', '");
            let error = || Error::Stream(format!("the fields '{circle}' are predicted from one another"));
            return names.iter().map(|_| Err(error())).collect();
        }
    };
    let mut waiting: Vec<_> = fields.into_iter().map(Some).collect();
    let mut histories: Vec<Option<History>> = vec![None; names.len()];
    let mut results: Vec<_> = names.iter().map(|_| None).collect();
    for group in groups {
        let decode = |i: usize, field: StepStream<'_>| {
            for &reference in &references[i] {
                if let Some(history) = &histories[reference] {
                    field.history.add_reference(names[reference], history);
                }
            }
            let result = decompress_boxes(&field.stream, models, Some(field.history));
            let history = result.is_ok().then(|| field.history.clone());
            (history, result)
        };
        for (i, (history, result)) in side_by_side(&mut waiting, group, decode) {
            histories[i] = history;
            results[i] = Some(result);
        }
    }
    results.into_iter().flatten().collect()
}

/// The fields that each field of a step is to be predicted from.
fn reference_fields<T: Element>(fields: &[StepField<'_, T>]) -> Vec<Vec<usize>> {
    let mut chosen = vec![Vec::new(); fields.len()];
    // Where there is no engine, each field's encoding says so.
    let ([first, _, ..], Ok(engine)) = (fields, Engine::best()) else { return chosen };
    let boxes: Vec<_> = first.views.iter().map(FieldView::count).collect();
    let is_first = |i: usize| fields[..i].iter().all(|other| other.name != fields[i].name);
    let planned = (0..fields.len()).filter(|&i| is_first(i)).filter_map(|i| {
        let StepField { name, views, settings, history } = &fields[i];
        Some((i, plan(name, views, settings, history, &boxes)?))
    });
    let (numbers, planned): (Vec<_>, Vec<_>) = planned.unzip();
    let references = choose_reference_fields(engine, &planned, &tiles(&boxes));
    for (number, references) in numbers.iter().zip(references) {
        chosen[*number] = references.into_iter().map(|i| numbers[i]).collect();
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_come_after_those_that_they_depend_on_and_circles_are_named() {
        let groups = coding_groups(&[vec![2], vec![], vec![1], vec![0, 1]]);
        assert_eq!(groups, Ok(vec![vec![1], vec![2], vec![0], vec![3]]));
        assert_eq!(coding_groups(&[vec![2], vec![2], vec![1], vec![]]), Err(vec![2, 1]));
        assert_eq!(coding_groups(&[vec![0]]), Err(vec![0]));
        assert_eq!(coding_groups(&[]), Ok(vec![]));
    }
}
