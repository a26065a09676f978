//! What `tests/preload/record.c` wrote down, and what the test wrote down beside it.

use crate::stage::preload;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// One thing that a program did to a file.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    Opened { name: String, inode: u64 },
    Written { inode: u64, at: usize, bytes: Range<usize> },
    Resized { inode: u64, size: usize },
    Synced { inode: u64 },
    FolderSynced,
    Renamed { name: String, to: String },
    Linked { name: String, to: String },
    Removed { name: String },
}

/// A folder whose changes are recorded, and what was promised meanwhile.
pub(super) struct Recording {
    /// `files/` is what is recorded; `log` and `notes` are beside it.
    folder: tempfile::TempDir,
}

/// Where images and recordings are made: in memory, if there is such a place.
pub(super) fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    let made = tempfile::Builder::new().prefix("callout-power-").tempdir_in(memory);
    made.or_else(|_| tempfile::tempdir()).unwrap()
}

impl Recording {
    pub(super) fn new() -> Self {
        let folder = scratch();
        for name in ["files", "before"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("log"), "").unwrap();
        std::fs::write(folder.path().join("notes"), "").unwrap();
        Self { folder }
    }

    /// What is in the folder now is on the disk for certain.
    pub(super) fn begin(&self) {
        for entry in std::fs::read_dir(self.files()).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), self.folder.path().join("before").join(entry.file_name()))
                .unwrap();
        }
    }

    pub(super) fn files(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap().join("files")
    }

    pub(super) fn database(&self) -> PathBuf {
        self.files().join("callout.db")
    }

    pub(super) fn witness(&self) -> Witness {
        Witness { folder: self.folder.path().to_owned() }
    }

    /// What makes a program record what it does.
    pub(super) fn environment(&self) -> [(&'static str, PathBuf); 3] {
        [
            ("LD_PRELOAD", preload::library("record.c")),
            ("CALLOUT_RECORD_FOLDER", self.files()),
            ("CALLOUT_RECORD_LOG", self.folder.path().join("log")),
        ]
    }

    /// Keeps the recording, for whoever looks into a failure.
    pub(super) fn keep(&mut self) -> PathBuf {
        self.folder.disable_cleanup(true);
        self.folder.path().to_owned()
    }

    pub(super) fn read(&self) -> Tape {
        Tape::read(self.folder.path())
    }
}

/// Writes down what a program has been told, with the length that the record had by then.
#[derive(Clone)]
pub(super) struct Witness {
    folder: PathBuf,
}

impl Witness {
    /// The witness in the process of which a test has made a producer.
    pub(super) fn of_environment() -> Option<Self> {
        let log = PathBuf::from(std::env::var_os("CALLOUT_RECORD_LOG")?);
        Some(Self { folder: log.parent()?.to_owned() })
    }

    pub(super) fn database(&self) -> PathBuf {
        self.folder.join("files").join("callout.db")
    }

    pub(super) fn now(&self) -> u64 {
        self.folder.join("log").metadata().unwrap().len()
    }

    pub(super) fn note(&self, what: &str, name: &str, more: &str) {
        self.note_at(self.now(), what, name, more);
    }

    pub(super) fn note_at(&self, at: u64, what: &str, name: &str, more: &str) {
        let line = format!("{}\n", json!([at, what, name, more]));
        let mut notes = std::fs::OpenOptions::new().append(true).open(self.folder.join("notes"));
        notes.as_mut().unwrap().write_all(line.as_bytes()).unwrap();
    }
}

/// Something that must be true of every disk from here on.
#[derive(Clone, Debug)]
pub(super) struct Note {
    /// The length of the record when it had become true.
    pub(super) at: u64,
    pub(super) what: String,
    pub(super) name: String,
    pub(super) more: String,
}

/// A whole recording, read.
pub(super) struct Tape {
    pub(super) log: Vec<u8>,
    /// Each with where it ends in the log.
    pub(super) entries: Vec<(u64, Entry)>,
    pub(super) notes: Vec<Note>,
    /// The files and their inodes when the recording began.
    pub(super) before: BTreeMap<String, Vec<u8>>,
    /// The files when it ended.
    pub(super) after: BTreeMap<String, Vec<u8>>,
}

impl Tape {
    pub(super) fn read(folder: &Path) -> Self {
        let log = std::fs::read(folder.join("log")).unwrap();
        let notes = std::fs::read_to_string(folder.join("notes")).unwrap();
        let mut notes: Vec<Note> = notes.lines().map(note).collect();
        notes.sort_by_key(|note| note.at);
        Self {
            entries: entries(&log),
            log,
            notes,
            before: files(&folder.join("before")),
            after: files(&folder.join("files")),
        }
    }
}

fn note(line: &str) -> Note {
    let line: Value = serde_json::from_str(line).unwrap();
    let word = |n: usize| line[n].as_str().unwrap().to_owned();
    Note { at: line[0].as_u64().unwrap(), what: word(1), name: word(2), more: word(3) }
}

/// The files in a folder, but for shared memory, which no loss of power leaves behind.
pub(super) fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let all = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let kept = all.filter(|path| !path.to_string_lossy().ends_with("-shm"));
    kept.map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, std::fs::read(path).unwrap())
    })
    .collect()
}

fn entries(log: &[u8]) -> Vec<(u64, Entry)> {
    let mut entries = Vec::new();
    let mut at = 0;
    while at < log.len() {
        let short = |n: usize| u32::from_le_bytes(log[at + n..at + n + 4].try_into().unwrap());
        let long = |n: usize| u64::from_le_bytes(log[at + n..at + n + 8].try_into().unwrap());
        let size = |n: usize| usize::try_from(long(n)).unwrap();
        let (kind, inode, offset, length) = (short(0), long(16), size(24), size(32));
        let names = at + 40;
        let middle = names + short(4) as usize;
        let end = middle + short(8) as usize;
        let text = |range: Range<usize>| String::from_utf8(log[range].to_vec()).unwrap();
        let (name, to) = (text(names..middle), text(middle..end));
        let written = if kind == 2 { length } else { 0 };
        let entry = match kind {
            1 => Entry::Opened { name, inode },
            2 => Entry::Written { inode, at: offset, bytes: end..end + length },
            3 => Entry::Resized { inode, size: length },
            4 => Entry::Synced { inode },
            5 => Entry::FolderSynced,
            6 => Entry::Renamed { name, to },
            7 => Entry::Linked { name, to },
            8 => Entry::Removed { name },
            other => panic!("the record has an entry of kind {other}"),
        };
        at = end + written;
        entries.push((at as u64, entry));
    }
    entries
}
