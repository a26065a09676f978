//! A disk that loses, reorders and tears what it was not asked to keep.
//!
//! What was synced is certain. Everything since is up to chance: each write and each change of a file's
//! size may be there or not, whichever came first; a write may be there in part; a file may have its new
//! size and zeros in it; and each name that was given or taken since its folder was synced may be
//! there or not.

use super::record::{Entry, Tape};
use crate::crash::Dice;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;

/// Files by name.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

/// The smallest part of a write that a disk writes as a whole.
const SECTOR: usize = 512;
/// The smallest part that a file system does.
const PAGE: usize = 4096;

/// What was done to a file since it was synced.
#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Range<usize> },
    Resize(usize),
}

/// What was done to the names since the folder was synced.
#[derive(Clone)]
enum Naming {
    Give(String, usize),
    Take(String),
    /// Both at once.
    Move(String, String, usize),
}

#[derive(Default)]
struct File {
    certain: Vec<u8>,
    since: Vec<Change>,
}

/// A disk at some point of a recording.
pub(super) struct Disk<'a> {
    log: &'a [u8],
    files: Vec<File>,
    by_inode: HashMap<u64, usize>,
    /// As programs see them.
    names: BTreeMap<String, usize>,
    certain: BTreeMap<String, usize>,
    since: Vec<Naming>,
}

/// How a disk treats what it was not asked to keep.
struct Manner {
    /// In percent.
    kept: u64,
    /// Writes are kept or lost in parts of this size.
    part: Option<usize>,
    /// Nothing is reordered: everything up to some change is there, and nothing after it.
    in_order: bool,
    /// What is lost of a write leaves the file as long as if it were there.
    zeros: bool,
}

impl Manner {
    fn choose(dice: &mut Dice) -> Self {
        let kept = [10, 50, 90][usize::try_from(dice.roll(3)).unwrap()];
        let part = [None, Some(SECTOR), Some(PAGE)][usize::try_from(dice.roll(3)).unwrap()];
        let zeros = dice.roll(4) == 0;
        match dice.roll(8) {
            0 => Self { kept: 0, part: None, in_order: false, zeros },
            1 => Self { kept: 100, part: None, in_order: false, zeros },
            2 | 3 => Self { kept, part, in_order: true, zeros },
            _ => Self { kept, part, in_order: false, zeros },
        }
    }
}

impl<'a> Disk<'a> {
    pub(super) fn new(tape: &'a Tape) -> Self {
        let mut disk = Self {
            log: &tape.log,
            files: Vec::new(),
            by_inode: HashMap::new(),
            names: BTreeMap::new(),
            certain: BTreeMap::new(),
            since: Vec::new(),
        };
        for (name, bytes) in &tape.before {
            disk.certain.insert(name.clone(), disk.files.len());
            disk.files.push(File { certain: bytes.clone(), since: Vec::new() });
        }
        disk.names = disk.certain.clone();
        disk
    }

    /// A program did this.
    pub(super) fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Opened { name, inode } => self.opened(name, *inode),
            Entry::Written { inode, at, bytes } => {
                self.file(*inode).since.push(Change::Write { at: *at, bytes: bytes.clone() });
            }
            Entry::Resized { inode, size } => self.file(*inode).since.push(Change::Resize(*size)),
            Entry::Synced { inode } => {
                let (log, file) = (self.log, self.file(*inode));
                for change in file.since.drain(..) {
                    make(&mut file.certain, &change, log);
                }
            }
            Entry::FolderSynced => {
                self.certain = self.names.clone();
                self.since.clear();
            }
            Entry::Renamed { name, to } => {
                let file = self.names.remove(name).unwrap();
                self.names.insert(to.clone(), file);
                self.since.push(Naming::Move(name.clone(), to.clone(), file));
            }
            Entry::Linked { name, to } => self.give(to, self.names[name]),
            Entry::Removed { name } => {
                self.names.remove(name).unwrap();
                self.since.push(Naming::Take(name.clone()));
            }
        }
    }

    /// A name that was not there is that of a new file, even if the inode served another one before.
    fn opened(&mut self, name: &str, inode: u64) {
        let file = self.names.get(name).copied().unwrap_or_else(|| {
            self.files.push(File::default());
            self.give(name, self.files.len() - 1);
            self.files.len() - 1
        });
        self.by_inode.insert(inode, file);
    }

    fn give(&mut self, name: &str, file: usize) {
        self.names.insert(name.to_owned(), file);
        self.since.push(Naming::Give(name.to_owned(), file));
    }

    fn file(&mut self, inode: u64) -> &mut File {
        &mut self.files[self.by_inode[&inode]]
    }

    /// What programs see.
    pub(super) fn seen(&self) -> Files {
        let whole = |file: &File| {
            let mut bytes = file.certain.clone();
            file.since.iter().for_each(|change| make(&mut bytes, change, self.log));
            bytes
        };
        self.names.iter().map(|(name, file)| (name.clone(), whole(&self.files[*file]))).collect()
    }

    /// What is there when the power comes back.
    pub(super) fn after_power_loss(&self, dice: &mut Dice) -> Files {
        let manner = Manner::choose(dice);
        let mut names = self.certain.clone();
        for naming in &self.since {
            if dice.roll(100) >= manner.kept {
                continue;
            }
            match naming {
                Naming::Give(name, file) => drop(names.insert(name.clone(), *file)),
                Naming::Take(name) => drop(names.remove(name)),
                Naming::Move(name, to, file) => {
                    names.remove(name);
                    names.insert(to.clone(), *file);
                }
            }
        }
        let left = |file: usize, dice: &mut Dice| self.left(&self.files[file], &manner, dice);
        names.into_iter().map(|(name, file)| (name, left(file, dice))).collect()
    }

    fn left(&self, file: &File, manner: &Manner, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = file.certain.clone();
        let until = match manner.in_order {
            true => usize::try_from(dice.roll(file.since.len() as u64 + 1)).unwrap(),
            false => file.since.len(),
        };
        for (n, change) in file.since.iter().take(until).enumerate() {
            let is_torn = !manner.in_order || n + 1 == until;
            let mut keeps = || !is_torn || dice.roll(100) < manner.kept;
            for part in parts(change, manner.part) {
                if keeps() {
                    make(&mut bytes, &part, self.log);
                } else if let (true, Change::Write { at, bytes: lost }) = (manner.zeros, &part) {
                    let size = bytes.len().max(at + lost.len());
                    bytes.resize(size, 0);
                }
            }
        }
        bytes
    }
}

/// A change in the parts that are kept or lost by themselves.
fn parts(change: &Change, size: Option<usize>) -> Vec<Change> {
    let (Change::Write { at, bytes }, Some(size)) = (change, size) else {
        return vec![change.clone()];
    };
    let mut parts = Vec::new();
    let (mut at, mut from) = (*at, bytes.start);
    while from < bytes.end {
        let length = (size - at % size).min(bytes.end - from);
        parts.push(Change::Write { at, bytes: from..from + length });
        (at, from) = (at + length, from + length);
    }
    parts
}

fn make(file: &mut Vec<u8>, change: &Change, log: &[u8]) {
    match change {
        Change::Resize(size) => file.resize(*size, 0),
        Change::Write { at, bytes } => {
            let end = at + bytes.len();
            file.resize(file.len().max(end), 0);
            file[*at..end].copy_from_slice(&log[bytes.clone()]);
        }
    }
}
