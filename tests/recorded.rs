//! What a run did to its files, recorded by tests/c/recorded.c, and the files that it would have
//! left if it had been stopped in the middle: by a kill, or by a loss of power.

use crate::{compile_preloaded, mpirun};
use fastrand::Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// An operation on a file, or the end of a step; in the order in which they happened.
pub struct Event {
    /// `make` (of a file), `size`, `write`, `rename`, `syncing` and `sync` (begin and end of a
    /// flush), `made` (the folder of the output is flushed), `ended` (a step).
    pub what: String,
    /// The process.
    pub rank: u32,
    /// Offset of a write, or a size.
    pub at: usize,
    /// Relative to the path of the output.
    pub file: String,
    /// Of a write; the new name of a rename.
    pub bytes: Vec<u8>,
}

/// A program that writes steps, and the library that records it.
pub struct Recorder {
    /// Where files are made.
    pub dir: PathBuf,
    /// The program.
    pub program: PathBuf,
    /// The ending of the output.
    pub store: String,
}

impl Recorder {
    const LIBRARY: &str = "recorded.so";

    /// Builds the library in `dir`.
    pub fn new(dir: &Path, program: &Path, store: &str) -> Self {
        compile_preloaded(dir, "recorded.c", Self::LIBRARY);
        Self { dir: dir.into(), program: program.into(), store: store.into() }
    }

    /// Runs the program's steps of a range; gives all events of this and of earlier runs on so many
    /// ranks.
    ///
    /// # Panics
    /// Where the program fails.
    pub fn record(&self, ranks: usize, range: [usize; 2], settings: &str) -> Vec<Event> {
        let path = self.dir.join(format!("{ranks}.{}", self.store)).display().to_string();
        let log = self.dir.join(format!("events-{ranks}"));
        let [preloaded, of, into] = [
            format!("LD_PRELOAD={}", self.dir.join(Self::LIBRARY).display()),
            format!("RECORD_OF={path}"),
            format!("RECORD_IN={}", log.display()),
        ];
        let program = self.program.display().to_string();
        let [begin, end] = range.map(|n| n.to_string());
        // Of the ranks alone, not of mpirun.
        let arguments = [&preloaded, &of, &into, &program, &path, &begin, &end, settings];
        mpirun(&self.dir, ranks, Path::new("env"), &arguments).expect_success();
        parse(&std::fs::read(log).expect("the library has written it"), &path)
    }
}

fn parse(mut rest: &[u8], path: &str) -> Vec<Event> {
    let mut all = Vec::new();
    while let Some(end) = rest.iter().position(|&b| b == b'\n') {
        let line = std::str::from_utf8(&rest[..end]).expect("a line of text");
        let words: Vec<_> = line.split(' ').collect();
        let number = |n: usize| words[n].parse::<usize>().expect("a number");
        let (bytes, behind) = rest[end + 1..].split_at(number(3));
        all.push(Event {
            what: words[0].into(),
            rank: number(1) as u32,
            at: number(2),
            file: words[4].strip_prefix(path).unwrap_or_default().into(),
            bytes: if words[0] == "rename" { bytes[path.len()..].into() } else { bytes.into() },
        });
        rest = behind;
    }
    all
}

/// Files by their names, relative to the path of the output.
#[derive(Default)]
pub struct Files(BTreeMap<String, Vec<u8>>);

impl Files {
    /// Does what an event did. Of a write, the ranges of bytes that are kept.
    fn apply(&mut self, event: &Event, kept: &[[usize; 2]]) {
        match event.what.as_str() {
            "size" => self.0.entry(event.file.clone()).or_default().resize(event.at, 0),
            "write" => {
                let file = self.0.entry(event.file.clone()).or_default();
                for &[begin, end] in kept {
                    file.resize(file.len().max(end), 0);
                    file[begin..end].copy_from_slice(&event.bytes[begin - event.at..end - event.at]);
                }
            }
            "rename" => {
                if let Some(file) = self.0.remove(&event.file) {
                    self.0.insert(String::from_utf8_lossy(&event.bytes).into_owned(), file);
                }
            }
            _ => (),
        }
    }

    /// Writes them, in the place of what was at `path`.
    ///
    /// # Panics
    /// Where that is not possible.
    pub fn write(&self, path: &Path) {
        if path.is_dir() {
            std::fs::remove_dir_all(path).expect("it is ours");
        } else if path.exists() {
            std::fs::remove_file(path).expect("it is ours");
        }
        for (name, bytes) in &self.0 {
            let file = PathBuf::from(format!("{}{name}", path.display()));
            let written = std::fs::create_dir_all(file.parent().unwrap_or(path));
            written.and_then(|()| std::fs::write(&file, bytes)).unwrap_or_else(|e| panic!("{e}"));
        }
    }
}

/// The files after a kill: those events have happened for which `happened` holds. Each rank's last
/// write may be cut at a page.
pub fn after_kill(events: &[Event], happened: impl Fn(usize) -> bool, random: &mut Rng) -> Files {
    let done = || events.iter().enumerate().filter(|&(index, _)| happened(index));
    let last: BTreeMap<u32, usize> = done().map(|(index, event)| (event.rank, index)).collect();
    let mut files = Files::default();
    for (index, event) in done() {
        let mut end = event.at + event.bytes.len();
        if last[&event.rank] == index {
            let pages: Vec<_> = (event.at..end).filter(|n| n % 4096 == 0).chain([end]).collect();
            end = pages[random.usize(..pages.len())].max(event.at);
        }
        files.apply(event, &[[event.at, end]]);
    }
    files
}

/// The files after a loss of power behind the event `now`. What a rank had flushed is there; of
/// everything else any part: whole operations, and of writes any pages. Nothing is kept for being
/// older, and one rank's flush does not count for another, which may be on another node.
pub fn after_power_loss(events: &[Event], now: usize, random: &mut Rng) -> Files {
    let events = &events[..=now];
    let safe = Flushed::of(events);
    let luck = [0.0, 0.5, 0.9, 1.0][random.usize(..4)];
    let page = [512, 4096, usize::MAX][random.usize(..3)];
    // Half of the time the disk keeps the order.
    let until = if random.bool() { events.len() } else { random.usize(..events.len()) };
    let mut files = Files::default();
    let mut lost = BTreeSet::new();
    for (index, event) in events.iter().enumerate() {
        let is_safe = safe.holds(index, event);
        let mut keeps = || is_safe || (index < until && random.f64() < luck);
        match event.what.as_str() {
            "write" => {
                let pages = pages(event.at, event.bytes.len(), page);
                let kept: Vec<_> = pages.into_iter().filter(|_| keeps()).collect();
                files.apply(event, &kept);
            }
            "make" if !keeps() => drop(lost.insert(event.file.clone())),
            "make" => drop(lost.remove(&event.file)),
            "rename" if keeps() => {
                files.apply(event, &[]);
                lost.remove(&*String::from_utf8_lossy(&event.bytes));
            }
            "size" if keeps() => files.apply(event, &[]),
            _ => (),
        }
    }
    files.0.retain(|name, _| !lost.contains(name));
    files
}

/// The parts of a write that a disk writes one by one.
fn pages(at: usize, length: usize, page: usize) -> Vec<[usize; 2]> {
    let end = at + length;
    let mut begin = at;
    let mut all = Vec::new();
    while begin < end {
        let next = (begin / page).saturating_add(1).saturating_mul(page).min(end);
        all.push([begin, next]);
        begin = next;
    }
    all
}

/// What is certain to be on a disk.
struct Flushed<'a> {
    /// Each rank's events of a file before this one.
    files: BTreeMap<(u32, &'a str), usize>,
    /// Names in the output's folder, and in the folder that is the output.
    names: [usize; 2],
}

impl<'a> Flushed<'a> {
    fn of(events: &'a [Event]) -> Self {
        let mut begun = BTreeMap::new();
        let mut safe = Self { files: BTreeMap::new(), names: [0; 2] };
        for (index, event) in events.iter().enumerate() {
            let file = (event.rank, event.file.as_str());
            match event.what.as_str() {
                "syncing" => drop(begun.insert(file, index)),
                "sync" => drop(safe.files.insert(file, begun[&file])),
                "made" => safe.names[0] = index,
                _ => (),
            }
            if event.what == "sync" && event.file.is_empty() {
                safe.names[1] = begun[&file];
            }
        }
        safe
    }

    fn holds(&self, index: usize, event: &Event) -> bool {
        match event.what.as_str() {
            "make" | "rename" => index < self.names[usize::from(event.file.starts_with('/'))],
            _ => self.files.get(&(event.rank, event.file.as_str())).is_some_and(|&safe| index < safe),
        }
    }
}
