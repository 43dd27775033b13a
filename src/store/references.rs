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

/// Histories of some boxes that end with the steps that were decoded last: another field may have
/// needed a step before it is asked for itself, and steps of a group need one another.
#[derive(Default)]
struct CachedReferences(Vec<History>);

/// So many of them are kept; more where steps come in groups.
const KEPT: usize = 2;
const KEPT_OF_GROUPS: usize = 6;

impl CachedReferences {
    fn add(&mut self, history: History, most: usize) {
        self.0.push(history);
        self.0.drain(..self.0.len().saturating_sub(most));
    }

    fn find(&self, fits: impl Fn(&History) -> bool) -> Option<&History> {
        self.0.iter().rev().find(|history| fits(history))
    }
}

/// What was decoded, for the steps that come after.
#[derive(Default)]
pub(crate) struct ReferenceCache {
    references: BTreeMap<StreamKey, CachedReferences>,
    /// Whether a step of a group was seen.
    has_groups: bool,
}

impl ReferenceCache {
    pub(crate) fn add(&mut self, key: StreamKey, history: History) {
        let most = if self.has_groups { KEPT_OF_GROUPS } else { KEPT };
        self.references.entry(key).or_default().add(history, most);
    }

    pub(crate) fn clear(&mut self) {
        self.references.clear();
    }

    fn find(&self, key: &StreamKey, fits: impl Fn(&History) -> bool) -> Option<&History> {
        self.references.get(key)?.find(fits)
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
        let Search { tasks, has_groups, .. } = search;
        self.has_groups |= has_groups;
        let mut decoded = Decoded::default();
        needs.iter().for_each(|needs| decoded.expect(needs));
        decoded.run(tasks, reader.models())?;
        let history = |((_, header), needs): (&(StreamKey, &Header), Needs)| {
            let needed = keep || header.age() > 0 || !needs.fields.is_empty();
            needed.then(|| decoded.history(&needs))
        };
        let histories = wanted.iter().zip(needs).map(history).collect();
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

    /// Decodes all, each stream after those that it is predicted from; keeps what is needed still.
    fn run(&mut self, mut tasks: Tasks, models: &Models) -> Result<()> {
        tasks.values().for_each(|task| self.expect(&task.needs));
        let nodes: Vec<_> = tasks.keys().cloned().collect();
        let number = |node: &Node| nodes.binary_search(node).ok();
        let dependencies: Vec<Vec<usize>> =
            tasks.values().map(|task| task.needs.tasks().filter_map(number).collect()).collect();
        let order = coding_groups(&dependencies).map_err(|circle| circle_error(&nodes, &circle))?;
        for node in order.concat().into_iter().map(|i| &nodes[i]) {
            let Some(DecodeTask { stream, needs }) = tasks.remove(node) else { continue };
            let mut history = self.history(&needs);
            advance(&stream, models, &mut history)?;
            self.histories.insert(node.clone(), history);
            for used in needs.tasks() {
                let left = self.uses.get_mut(used).map_or(0, |uses| {
                    *uses = uses.saturating_sub(1);
                    *uses
                });
                if left == 0 {
                    self.histories.remove(used);
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

fn circle_error(nodes: &[Node], circle: &[usize]) -> Error {
    let names = circle.iter().map(|&i| &nodes[i].1.field[..]).collect::<Vec<_>>().join("', '");
    Error::Stream(format!("the fields '{names}' are predicted from one another in a circle"))
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
    has_groups: bool,
}

impl<'a> Search<'a> {
    fn new(cache: &'a ReferenceCache, wanted: &[(StreamKey, &Header)]) -> Self {
        let boxes = wanted.iter().map(|(key, _)| key.boxes.clone()).collect();
        let (tasks, waiting, read) = Default::default();
        Self { cache, boxes, tasks, waiting, read, has_groups: false }
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
            self.has_groups |= spacing != Spacing::NEXT;
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
                let behind = index.saturating_add(1)..reader.steps().len();
                needs.next = match cached {
                    Some(history) => Some(Source::Cached(history)),
                    None => {
                        let wanted = Wanted::Stream(preamble.next_checksum());
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

    /// A stream that is wanted, among the first `most` of some steps that have one.
    fn find(
        &mut self,
        reader: &mut dyn Reader,
        steps: impl Iterator<Item = usize>,
        most: u32,
        key: &StreamKey,
        wanted: Wanted,
    ) -> Result<Option<Source>> {
        let mut left = most;
        for index in steps {
            let node = (index, key.clone());
            let is_task = self.tasks.contains_key(&node);
            let Some(checksum) = self.checksum(reader, &node)? else { continue };
            if matches!(wanted, Wanted::Stream(of) if of != checksum) {
                left = left.saturating_sub(1);
                if left == 0 {
                    break;
                }
                continue;
            }
            let streams = self.read.get_mut(&(index, key.field.clone()));
            let stream = streams.and_then(|streams| streams.remove(&key.boxes)).filter(|_| !is_task);
            if let Some(stream) = stream {
                if let Some(cached) = self.cache.find(key, |history| history.ends_with(&stream)) {
                    return Ok(Some(Source::Cached(cached.clone())));
                }
                self.tasks.insert(node.clone(), DecodeTask { stream, needs: Needs::default() });
                self.waiting.push(node.clone());
            }
            return Ok(Some(Source::Task(node)));
        }
        Ok(None)
    }

    /// The checksum of a stream, if the step has it; it is read then.
    fn checksum(&mut self, reader: &mut dyn Reader, node: &Node) -> Result<Option<u32>> {
        let (index, key) = (node.0, &node.1);
        if let Some(task) = self.tasks.get(node) {
            return Ok(Some(task.stream.checksum()));
        }
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
        Ok(streams.get(&key.boxes).map(Stream::checksum))
    }
}
