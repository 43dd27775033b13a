//! Which streams are decoded before the ones that are asked for, and what is cached of those that
//! were.
//!
//! A stream depends on the previous step of the same boxes, and on other fields of its step. The
//! search follows both through the file before anything is decoded; it knows neither regions nor
//! values.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::error::Result;
use crate::reader::{Reader, Selection, Stored};
use crate::step::{BoxRow, Boxes, boxes_of};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use swae_codec::decode::advance;
use swae_codec::history::History;
use swae_codec::step::coding_groups;
use swae_codec::stream::{Header, Kind, Stream};
use swae_codec::{Error, Models};

/// Some boxes of a field, whose streams are predicted from one another from step to step.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StreamKey {
    pub(crate) field: String,
    pub(crate) boxes: Boxes,
}

impl StreamKey {
    pub(crate) fn new(field: &str, rows: &[BoxRow]) -> Self {
        Self { field: field.into(), boxes: boxes_of(rows) }
    }

    /// The same boxes of the fields of its step that a stream is predicted from.
    fn reference_fields(&self, header: &Header) -> Vec<Self> {
        let same_boxes = |field: &str| Self { field: field.into(), boxes: self.boxes.clone() };
        header.reference_fields().into_iter().map(same_boxes).collect()
    }
}

/// The history of some boxes up to their last decoded step, and up to the one before: another field
/// may have needed a step before it is asked for itself.
#[derive(Default)]
struct CachedReference {
    last: History,
    previous: History,
}

impl CachedReference {
    fn add(&mut self, history: History) {
        self.previous = std::mem::replace(&mut self.last, history);
    }

    fn find(&self, fits: impl Fn(&History) -> bool) -> Option<&History> {
        [&self.last, &self.previous].into_iter().find(|history| fits(history))
    }
}

/// What was decoded, for the steps that come after.
#[derive(Default)]
pub(crate) struct ReferenceCache(BTreeMap<StreamKey, CachedReference>);

impl ReferenceCache {
    pub(crate) fn add(&mut self, key: StreamKey, history: History) {
        self.0.entry(key).or_default().add(history);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// The history that ends with this stream.
    fn ending_with(&self, key: &StreamKey, stream: &Stream<'_>) -> Option<&History> {
        self.0.get(key)?.find(|history| history.ends_with(stream))
    }

    /// The history that a stream comes after, where it is no keyframe.
    fn leading_to(&self, key: &StreamKey, header: &Header) -> Option<&History> {
        let Kind::Bounded(preamble) = &header.kind else { return None };
        self.0.get(key).filter(|_| header.age() > 0)?.find(|history| history.leads_to(preamble))
    }

    /// The histories that streams of a step need to be decoded, with the fields that they are
    /// predicted from; nothing for a stream that needs none, unless `keep` is set. Whatever has to
    /// be decoded before is read once, however many streams there are.
    pub(crate) fn histories(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        wanted: &[(StreamKey, &Header)],
        keep: bool,
    ) -> Result<Vec<Option<History>>> {
        let mut search = Search::new(self, wanted);
        let previous: Vec<_> = wanted.iter().map(|(key, header)| search.begin(index, key, header)).collect();
        search.follow(reader)?;
        let mut plan = search.plan;
        plan.run(reader.models())?;
        let history = |((key, header), previous): (&(StreamKey, &Header), Option<History>)| {
            let needed = keep || header.age() > 0;
            needed.then(|| plan.history(index, key, header, previous))
        };
        let histories = wanted.iter().zip(previous).map(history).collect();
        self.0.extend(plan.decoded);
        Ok(histories)
    }
}

/// A stream that is decoded because others depend on it.
struct DecodeTask {
    stream: Stream<'static>,
    /// The history that it comes after, where that was cached.
    previous: Option<History>,
}

/// What has to be decoded before some streams.
#[derive(Default)]
struct DecodePlan {
    /// By step.
    tasks: BTreeMap<usize, BTreeMap<StreamKey, DecodeTask>>,
    /// Cached histories of reference fields, by step.
    cached: BTreeMap<(usize, StreamKey), History>,
    /// What the tasks have given.
    decoded: BTreeMap<StreamKey, CachedReference>,
}

impl DecodePlan {
    fn holds(&self, index: usize, key: &StreamKey) -> bool {
        self.tasks.get(&index).is_some_and(|tasks| tasks.contains_key(key))
            || self.cached.contains_key(&(index, key.clone()))
    }

    /// The history that a stream needs, with its reference fields.
    fn history(&self, index: usize, key: &StreamKey, header: &Header, previous: Option<History>) -> History {
        let decoded = |key: &StreamKey| self.decoded.get(key).map(|cached| &cached.last);
        let found = previous.or_else(|| decoded(key).cloned()).filter(|_| header.age() > 0);
        let mut history = found.unwrap_or_default();
        for reference in key.reference_fields(header) {
            let at = (index, reference);
            if let Some(field) = self.cached.get(&at).or_else(|| decoded(&at.1)) {
                history.add_reference(&at.1.field, field);
            }
        }
        history
    }

    /// Decodes all, step by step, each field after those that it is predicted from.
    fn run(&mut self, models: &Models) -> Result<()> {
        while let Some((index, tasks)) = self.tasks.pop_first() {
            let (keys, tasks): (Vec<_>, Vec<_>) = tasks.into_iter().unzip();
            let number = |key: StreamKey| keys.iter().position(|known| *known == key);
            let dependencies: Vec<Vec<usize>> = keys
                .iter()
                .zip(&tasks)
                .map(|(key, task)| key.reference_fields(task.stream.header()).into_iter().filter_map(number))
                .map(Iterator::collect)
                .collect();
            let groups = coding_groups(&dependencies).map_err(|circle| circle_error(&keys, &circle))?;
            let mut tasks: Vec<_> = tasks.into_iter().map(Some).collect();
            for i in groups.concat() {
                if let Some(task) = tasks[i].take() {
                    self.decode(index, &keys[i], task, models)?;
                }
            }
        }
        Ok(())
    }

    fn decode(&mut self, index: usize, key: &StreamKey, task: DecodeTask, models: &Models) -> Result<()> {
        let DecodeTask { stream, previous } = task;
        let cached = self.decoded.entry(key.clone()).or_default();
        if let Some(previous) = &previous {
            cached.last = previous.clone();
        }
        let mut history = self.history(index, key, stream.header(), previous);
        advance(&stream, models, &mut history)?;
        self.decoded.entry(key.clone()).or_default().add(history);
        Ok(())
    }
}

fn circle_error(keys: &[StreamKey], circle: &[usize]) -> Error {
    let names = circle.iter().map(|&i| &keys[i].field[..]).collect::<Vec<_>>().join("', '");
    Error::Stream(format!("the fields '{names}' are predicted from one another in a circle"))
}

/// Where a stream that others depend on is looked for.
#[derive(Clone, Copy)]
enum Place {
    /// In this step.
    At(usize),
    /// In the last step before this one that has it.
    Before(usize),
}

/// Collects the tasks of a plan. All of them are streams of the boxes that are wanted.
struct Search<'a> {
    cache: &'a ReferenceCache,
    boxes: BTreeSet<Boxes>,
    plan: DecodePlan,
    missing: Vec<(Place, StreamKey)>,
    read: BTreeMap<(usize, String), BTreeMap<Boxes, Stream<'static>>>,
}

impl<'a> Search<'a> {
    fn new(cache: &'a ReferenceCache, wanted: &[(StreamKey, &Header)]) -> Self {
        let boxes = wanted.iter().map(|(key, _)| key.boxes.clone()).collect();
        let (plan, missing, read) = Default::default();
        Self { cache, boxes, plan, missing, read }
    }

    /// Notes what a stream depends on as missing, and gives the history that it comes after, if
    /// that is cached.
    fn begin(&mut self, index: usize, key: &StreamKey, header: &Header) -> Option<History> {
        let previous = self.cache.leading_to(key, header).cloned();
        if header.age() > 0 && previous.is_none() {
            self.missing.push((Place::Before(index), key.clone()));
        }
        let references = key.reference_fields(header).into_iter();
        self.missing.extend(references.map(|reference| (Place::At(index), reference)));
        previous
    }

    /// Goes through what is missing until nothing is, or the file does not have it: decoding says
    /// so then.
    fn follow(&mut self, reader: &mut dyn Reader) -> Result<()> {
        while let Some((place, key)) = self.missing.pop() {
            let steps = match place {
                Place::At(index) => index..index.saturating_add(1),
                Place::Before(index) => 0..index,
            };
            for index in steps.rev() {
                if self.plan.holds(index, &key) {
                    break;
                }
                if let Some(stream) = self.stream(reader, index, &key)? {
                    self.plan_for(index, key, stream);
                    break;
                }
            }
        }
        Ok(())
    }

    /// The stream of a step, if the step has it.
    fn stream(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        key: &StreamKey,
    ) -> Result<Option<Stream<'static>>> {
        if !reader.steps()[index].fields.iter().any(|(info, _)| info.name == key.field) {
            return Ok(None);
        }
        let streams = match self.read.entry((index, key.field.clone())) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(place) => {
                let mut select = |rows: &[BoxRow]| match self.boxes.contains(&boxes_of(rows)) {
                    true => Selection::All,
                    false => Selection::Nothing,
                };
                let stored = reader.read_selected(index, &key.field, &mut select)?;
                let streams = stored.into_iter().filter_map(|stored| match stored {
                    Stored::Stream { rows, stream } => Some((boxes_of(&rows), stream)),
                    Stored::Values { .. } => None,
                });
                place.insert(streams.collect())
            }
        };
        Ok(streams.remove(&key.boxes))
    }

    /// Takes a stream out of the cache or makes it a task, with all that it depends on.
    fn plan_for(&mut self, index: usize, key: StreamKey, stream: Stream<'static>) {
        if let Some(cached) = self.cache.ending_with(&key, &stream) {
            self.plan.cached.insert((index, key), cached.clone());
            return;
        }
        let previous = self.begin(index, &key, stream.header());
        self.plan.tasks.entry(index).or_default().insert(key, DecodeTask { stream, previous });
    }
}
