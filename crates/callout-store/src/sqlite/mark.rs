//! How far the database had come, noted in a file beside it.
//!
//! SQLite takes a write-ahead log whose end cannot be read for one that ends there, and says nothing: a
//! flipped bit, or a disk that forgot what it had called safe, takes acknowledged messages along. So every
//! commit of ours that brings no new message counts up, and the writer puts the count and the newest
//! message's row into `<database>.mark`. A database that is behind its mark has lost something. The mark
//! itself may be old: what was committed within a second before a crash is not vouched for.

use super::counter;
use super::fault::disk;
use super::tx::{Db, Statements};
use crate::clock;
use crate::crash::crash_point;
use crate::error::StoreError;
use callout_core::time::{Timestamp, format_duration};
use rusqlite::{Connection, named_params};
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The least time between two marks while there is work.
const EVERY: Duration = Duration::from_millis(900);
/// Counts commits that bring no message.
const GENERATION: &str = "generation";

pub(super) const REACHED: &str = "
    SELECT (SELECT n FROM callout_counter WHERE name = :name),
           (SELECT max(seq) FROM callout_message)";

/// How far a database has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    /// Commits of our own that brought no message.
    generation: i64,
    /// The row of the newest message.
    message: i64,
    /// When this was noted.
    at: Timestamp,
}

/// What a database lacks that it once had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    had: Mark,
    has: Mark,
}

impl Lost {
    /// Tells this loss from another one.
    pub fn key(&self) -> String {
        format!("callout-lost-{}-{}", self.had.generation, self.had.message)
    }
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { had, has } = self;
        let ago = Duration::from_secs(has.at.since(had.at).as_secs());
        write!(f, "the database lacks what it had {} ago", format_duration(ago))?;
        if has.generation < had.generation {
            let (first, n) = (has.generation + 1, had.generation - has.generation);
            write!(f, "; commits {first} to {} ({n}) are gone", had.generation)?;
        }
        if has.message < had.message {
            write!(f, "; messages in rows {} to {} are gone", has.message + 1, had.message)?;
        }
        write!(
            f,
            ". Either a backup was put back, or its files lost their newest part; \
             what came after that is not in it any more"
        )
    }
}

impl Mark {
    fn of(connection: &Connection) -> Result<Self, StoreError> {
        let params = named_params! {":name": GENERATION};
        let read = Db::new(&Statements::of(connection)).one(
            "read how far it has come",
            REACHED,
            params,
            |row| {
                let number =
                    |column| row.get::<_, Option<i64>>(column).map(Option::unwrap_or_default);
                Ok((number(0)?, number(1)?))
            },
        )?;
        let (generation, message) = read.unwrap_or_default();
        Ok(Self { generation, message, at: clock::now() })
    }

    /// One line; its checksum tells a whole one from what two writers at once may leave.
    fn line(&self) -> String {
        let Self { generation, message, at } = self;
        let line = format!("callout 1 {generation} {message} {}", at.unix_ms());
        format!("{line} {:08x}\n", crc32fast::hash(line.as_bytes()))
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("callout 1 ")?.split_whitespace();
        let mut number = || words.next()?.parse::<i64>().ok();
        let (generation, message) = (number()?, number()?);
        let mark = Self { generation, message, at: Timestamp::from_unix_ms(number()?)? };
        (mark.line() == line).then_some(mark)
    }

    fn read(file: &Path) -> Option<Self> {
        let text = match std::fs::read(file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(%error, "the database's mark cannot be read");
                return None;
            }
        };
        let mark = std::str::from_utf8(&text).ok().and_then(Self::parse);
        if mark.is_none() {
            tracing::warn!(file = %file.display(), "the database's mark is damaged and says nothing");
        }
        mark
    }

    /// Replaces the file; readable by its owner only.
    fn write(&self, file: &Path) -> Result<(), StoreError> {
        const DOING: &str = "write the database's mark";
        // Several programs may be at it.
        let fresh = beside(file, &format!(".{}.new", std::process::id()));
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut written: File = options.open(&fresh).map_err(disk(DOING))?;
        written.write_all(self.line().as_bytes()).map_err(disk(DOING))?;
        written.sync_all().map_err(disk(DOING))?;
        crash_point("before_mark_name");
        std::fs::rename(&fresh, file).map_err(disk(DOING))?;
        crash_point("after_mark_name");
        Ok(())
    }
}

fn beside(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// Counts a commit, inside it.
pub(super) fn count(db: Db<'_>) -> Result<(), StoreError> {
    let params = named_params! {":name": GENERATION, ":n": 1};
    db.execute("count the commit", counter::ADD, params).map(drop)
}

/// Compares a database with its mark. The mark is read first, for the database only grows.
pub(super) fn compare(database: &Path, connection: &Connection) -> Result<Marker, StoreError> {
    let file = beside(database, ".mark");
    let had = Mark::read(&file);
    let has = Mark::of(connection)?;
    let is_behind = |had: &Mark| has.generation < had.generation || has.message < had.message;
    let lost = had.filter(is_behind).map(|had| Lost { had, has });
    if let Some(lost) = &lost {
        tracing::error!(%lost, "the database has lost something");
    }
    let held = Arc::new(AtomicBool::new(lost.is_some()));
    Ok(Marker { file, lost, held, is_due: Box::new(clock::deadline(EVERY)), is_behind: false })
}

/// Keeps the mark. It stays as it is until somebody has told about what it shows to be lost.
pub(super) struct Marker {
    file: PathBuf,
    pub(super) lost: Option<Lost>,
    held: Arc<AtomicBool>,
    is_due: Box<dyn Fn() -> bool + Send>,
    /// Whether there were commits since the mark was written.
    is_behind: bool,
}

impl Marker {
    /// What has to be set to `false` before the mark moves on.
    pub(super) fn held(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.held)
    }

    /// Something was committed.
    pub(super) fn committed(&mut self, connection: &Connection) {
        self.is_behind = true;
        if (self.is_due)() {
            self.rest(connection);
        }
    }

    /// There is a moment's rest.
    pub(super) fn rest(&mut self, connection: &Connection) {
        if !self.is_behind || self.held.load(Ordering::Acquire) {
            return;
        }
        // Not before the next commit again: a folder that cannot be written to does not become so.
        self.is_behind = false;
        self.is_due = Box::new(clock::deadline(EVERY));
        if let Err(error) = Mark::of(connection).and_then(|mark| mark.write(&self.file)) {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let file = self.file.display();
            tracing::warn!(%file, cause = cause.unwrap_or_default(), "{error}; it is tried again");
        }
    }
}
