//! Which streams are decoded before the ones that are asked for, and what is cached of those that
//! were.
//!
//! A stream depends on steps of the same boxes before and behind it, and on other fields of its step.
//! The search follows all through the file before anything is decoded; it knows neither regions nor
//! values.
#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use crate::error::Result;
use crate::reader::{Reader, Selection, Stored};
use crate::step::{BoxRow, Boxes, boxes_of};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use swae_codec::decode::advance;
use swae_codec::history::{History, Spacing};
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

/// Histories of some boxes that end with the steps that were decoded last: another field may have
/// needed a step before it is asked for itself, and steps of a group need one another.
#[derive(Default)]
struct CachedReferences {
    /// Of steps that none lies behind that they are predicted from.
    ends: Vec<History>,
    /// Of steps between others.
    between: Vec<History>,
}

/// So many of each are kept: as many steps between others as a group's order goes deep.
const ENDS: usize = 2;
const BETWEEN: usize = 6;

impl CachedReferences {
    fn add(&mut self, history: History) {
        let is_new = !self.ends.iter().chain(&self.between).any(|known| known.ends_as(&history));
        self.ends.retain(|known| !known.ends_as(&history));
        self.between.retain(|known| !known.ends_as(&history));
        if Self::span(&history) > 0 {
            self.between.push(history);
            if self.between.len() > BETWEEN {
                // The fewest steps lie about the last ones of an order.
                let least = (0..self.between.len()).min_by_key(|&i| Self::span(&self.between[i]));
                self.between.remove(least.unwrap_or(0));
            }
        } else {
            // A group begins.
            if is_new {
                self.between.clear();
            }
            self.ends.push(history);
            self.ends.drain(..self.ends.len().saturating_sub(ENDS));
        }
    }

    /// From the step before its last one to the step behind it; 0 where there is none behind.
    fn span(history: &History) -> u32 {
        let spacing = history.last_spacing().filter(|spacing| spacing.is_between());
        spacing.map_or(0, |spacing| spacing.back.saturating_add(spacing.ahead))
    }

    fn find(&self, fits: impl Fn(&History) -> bool) -> Option<&History> {
        self.ends.iter().rev().chain(&self.between).find(|history| fits(history))
    }
}

/// What was decoded, for the steps that come after.
#[derive(Default)]
pub(crate) struct ReferenceCache(BTreeMap<StreamKey, CachedReferences>);

impl ReferenceCache {
    pub(crate) fn add(&mut self, key: StreamKey, history: History) {
        self.0.entry(key).or_default().add(history);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    fn find(&self, key: &StreamKey, fits: impl Fn(&History) -> bool) -> Option<&History> {
        self.0.get(key)?.find(fits)
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
        let mut needs = Vec::new();
        for (key, header) in wanted {
            needs.push(search.needs(reader, index, key, header)?);
        }
        search.follow(reader)?;
        let tasks = search.tasks;
        let mut decoded = Decoded::default();
        needs.iter().for_each(|needs| decoded.expect(needs));
        decoded.run(tasks, reader.models(), self)?;
        let history = |((_, header), needs): (&(StreamKey, &Header), Needs)| {
            let needed = keep || header.age() > 0 || !needs.fields.is_empty();
            needed.then(|| decoded.history(&needs))
        };
        let histories = wanted.iter().zip(needs).map(history).collect();
        // Those before come first.
        for ((_, key), history) in decoded.histories {
            self.add(key, history);
        }
        Ok(histories)
    }
}

/// A stream of a step.
type Node = (usize, StreamKey);

/// Where the history comes from that ends with a stream.
enum Source {
    Cached(History),
    /// The stream is decoded for it.
    Task(Node),
}

/// What a stream is predicted from. What the file does not have is left out: decoding says so.
#[derive(Default)]
struct Needs {
    previous: Option<Source>,
    next: Option<Source>,
    spacing: Spacing,
    /// Other fields of its step.
    fields: Vec<(String, Source)>,
}

impl Needs {
    fn tasks(&self) -> impl Iterator<Item = &Node> {
        let fields = self.fields.iter().map(|(_, source)| source);
        self.previous.iter().chain(&self.next).chain(fields).filter_map(|source| match source {
            Source::Task(node) => Some(node),
            Source::Cached(_) => None,
        })
    }
}

/// Which stream of some boxes is wanted.
#[derive(Clone, Copy)]
enum Wanted {
    /// The one with this checksum.
    Stream(u32),
    Any,
}

/// A stream that is decoded because others depend on it.
struct DecodeTask {
    stream: Stream<'static>,
    needs: Needs,
}

type Tasks = BTreeMap<Node, DecodeTask>;

/// What was decoded for others.
#[derive(Default)]
struct Decoded {
    histories: BTreeMap<Node, History>,
    /// How many are still to come that need each.
    uses: BTreeMap<Node, usize>,
}

impl Decoded {
    fn expect(&mut self, needs: &Needs) {
        for node in needs.tasks() {
            let uses = self.uses.entry(node.clone()).or_default();
            *uses = uses.saturating_add(1);
        }
    }

    /// Decodes all, each stream after those that it is predicted from. What nothing needs any more goes
    /// into the cache.
    fn run(&mut self, mut tasks: Tasks, models: &Models, cache: &mut ReferenceCache) -> Result<()> {
        tasks.values().for_each(|task| self.expect(&task.needs));
        for node in order(&tasks)? {
            let Some(DecodeTask { stream, needs }) = tasks.remove(&node) else { continue };
            let mut history = self.history(&needs);
            advance(&stream, models, &mut history)?;
            self.histories.insert(node, history);
            for used in needs.tasks() {
                let uses = self.uses.entry(used.clone()).or_default();
                *uses = uses.saturating_sub(1);
                if *uses == 0
                    && let Some(history) = self.histories.remove(used)
                {
                    cache.add(used.1.clone(), history);
                }
            }
        }
        Ok(())
    }

    fn get<'a>(&'a self, source: &'a Source) -> Option<&'a History> {
        match source {
            Source::Cached(history) => Some(history),
            Source::Task(node) => self.histories.get(node),
        }
    }

    /// The history that a stream needs.
    fn history(&self, needs: &Needs) -> History {
        let previous = needs.previous.as_ref().and_then(|previous| self.get(previous));
        let next = needs.next.as_ref().and_then(|next| self.get(next));
        let mut history = previous.cloned().unwrap_or_default();
        history.lead(needs.spacing.back, next.map(|next| (needs.spacing.ahead, next)));
        for (name, source) in &needs.fields {
            if let Some(field) = self.get(source) {
                history.add_reference(name, field);
            }
        }
        history
    }
}

/// An order in which tasks can be run, each soon before those that need it: few histories live at a
/// time.
///
/// # Errors
/// Where tasks need one another in a circle.
fn order(tasks: &Tasks) -> Result<Vec<Node>> {
    let mut order = Vec::with_capacity(tasks.len());
    // Of nodes that were begun, whether they are done.
    let mut is_done: BTreeMap<&Node, bool> = BTreeMap::new();
    for root in tasks.keys() {
        let mut path = vec![root];
        while let Some(&node) = path.last() {
            let needed = tasks.get(node).into_iter().flat_map(|task| task.needs.tasks());
            is_done.entry(node).or_insert(false);
            let mut left = needed.filter(|needed| is_done.get(needed) != Some(&true));
            if let Some(next) = left.next() {
                if is_done.contains_key(next) {
                    return Err(circle_error(path.iter().skip_while(|node| **node != next)).into());
                }
                path.push(next);
                continue;
            }
            path.pop();
            if is_done.insert(node, true) != Some(true) {
                order.push(node.clone());
            }
        }
    }
    Ok(order)
}

fn circle_error<'a>(nodes: impl Iterator<Item = &'a &'a Node>) -> Error {
    let mut names: Vec<_> = nodes.map(|node| &node.1.field[..]).collect();
    names.dedup();
    Error::Stream(match &names[..] {
        [name] => format!("steps of the field '{name}' are predicted from one another in a circle"),
        names => format!("the fields '{}' are predicted from one another in a circle", names.join("', '")),
    })
}

/// Collects what has to be decoded before some streams. All of it are streams of the boxes that are
/// wanted.
struct Search<'a> {
    cache: &'a ReferenceCache,
    boxes: BTreeSet<Boxes>,
    tasks: Tasks,
    /// Tasks whose needs are not known yet.
    waiting: Vec<Node>,
    read: BTreeMap<(usize, String), BTreeMap<Boxes, Stream<'static>>>,
}

impl<'a> Search<'a> {
    fn new(cache: &'a ReferenceCache, wanted: &[(StreamKey, &Header)]) -> Self {
        let boxes = wanted.iter().map(|(key, _)| key.boxes.clone()).collect();
        let (tasks, waiting, read) = Default::default();
        Self { cache, boxes, tasks, waiting, read }
    }

    /// What a stream is predicted from.
    fn needs(
        &mut self,
        reader: &mut dyn Reader,
        index: usize,
        key: &StreamKey,
        header: &Header,
    ) -> Result<Needs> {
        let mut needs = Needs::default();
        if let Kind::Bounded(preamble) = &header.kind
            && header.age() > 0
        {
            let spacing = preamble.spacing;
            needs.spacing = spacing;
            let cached = self.cache.find(key, |history| history.leads_to(preamble)).cloned();
            needs.previous = match cached {
                Some(history) => Some(Source::Cached(history)),
                None => {
                    let wanted = Wanted::Stream(preamble.reference_checksum());
                    self.find(reader, (0..index).rev(), spacing.back, key, wanted)?
                }
            };
            if spacing.is_between() {
                let cached = self.cache.find(key, |history| history.is_behind(preamble)).cloned();
                needs.next = match cached {
                    Some(history) => Some(Source::Cached(history)),
                    None => {
                        let wanted = Wanted::Stream(preamble.next_checksum());
                        let behind = index.saturating_add(1)..reader.steps().len();
                        self.find(reader, behind, spacing.ahead, key, wanted)?
                    }
                };
            }
        }
        for reference in key.reference_fields(header) {
            let source = self.find(reader, std::iter::once(index), 1, &reference, Wanted::Any)?;
            needs.fields.extend(source.map(|source| (reference.field, source)));
        }
        Ok(needs)
    }

    /// Finds out what all tasks need, which may be further tasks.
    fn follow(&mut self, reader: &mut dyn Reader) -> Result<()> {
        while let Some(node) = self.waiting.pop() {
            let Some(header) = self.tasks.get(&node).map(|task| task.stream.header().clone()) else {
                continue;
            };
            let needs = self.needs(reader, node.0, &node.1, &header)?;
            if let Some(task) = self.tasks.get_mut(&node) {
                task.needs = needs;
            }
        }
        Ok(())
    }

    /// A stream that is wanted, among the first `distance` of some steps that have one: where a file has
    /// lost none, it is the last of those.
    fn find(
        &mut self,
        reader: &mut dyn Reader,
        steps: impl Iterator<Item = usize> + Clone,
        distance: u32,
        key: &StreamKey,
        wanted: Wanted,
    ) -> Result<Option<Source>> {
        let has_field = |reader: &dyn Reader, index: usize| {
            reader.steps()[index].fields.iter().any(|(info, _)| info.name == key.field)
        };
        // The nearest one comes at once.
        let farther = (distance as usize).checked_sub(1).filter(|others| *others > 0);
        let first = farther.and_then(|others| steps.clone().filter(|i| has_field(reader, *i)).nth(others));
        let (mut left, mut unreadable) = (distance, None);
        for index in first.into_iter().chain(steps.filter(|index| Some(*index) != first)) {
            if !has_field(reader, index) {
                continue;
            }
            let node = (index, key.clone());
            let fits = match (self.checksum(reader, &node), wanted) {
                (Ok(None), _) => continue,
                (Ok(Some(_)), Wanted::Any) => true,
                (Ok(Some(checksum)), Wanted::Stream(of)) => checksum == of,
                // What is wanted may be behind it.
                (Err(error), _) => {
                    unreadable.get_or_insert(error);
                    false
                }
            };
            if fits {
                return Ok(Some(self.source(node)));
            }
            left = left.saturating_sub(1);
            if left == 0 {
                break;
            }
        }
        unreadable.map_or(Ok(None), Err)
    }

    /// The history of a stream that the file has: cached, or to be decoded.
    fn source(&mut self, node: Node) -> Source {
        let streams = self.read.get_mut(&(node.0, node.1.field.clone()));
        if let Some(streams) = streams
            && let Some(stream) = streams.get(&node.1.boxes)
        {
            if let Some(cached) = self.cache.find(&node.1, |history| history.ends_with(stream)) {
                return Source::Cached(cached.clone());
            }
            if let Some(stream) = streams.remove(&node.1.boxes) {
                self.tasks.insert(node.clone(), DecodeTask { stream, needs: Needs::default() });
                self.waiting.push(node.clone());
            }
        }
        Source::Task(node)
    }

    /// The checksum of a stream, if the step has it; it is read then.
    fn checksum(&mut self, reader: &mut dyn Reader, node: &Node) -> Result<Option<u32>> {
        let (index, key) = (node.0, &node.1);
        if let Some(task) = self.tasks.get(node) {
            return Ok(Some(task.stream.checksum()));
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
        Ok(streams.get(&key.boxes).map(Stream::checksum))
    }
}
