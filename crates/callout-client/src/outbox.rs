//! An outbox in a file of its own, for applications without a database.

use crate::alert::{AlertState, alert};
use crate::embedded::{Receipt, check, enqueue};
use crate::error::{Error, doing};
use crate::install::install;
use crate::resolve::{resolve, resolve_with};
use crate::wait::wait_for_ack;
use callout_core::id::MessageId;
use callout_core::message::Message;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

/// How long to wait for another writer before [`Error::is_retryable`] is the answer.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How often to try to switch a new database to WAL while others do the same.
const SWITCH_TRIES_MAX: usize = 100;

/// An outbox in a file of its own.
///
/// It may move between threads; to share one, put it in a `Mutex` or open one per thread. Each method
/// that writes blocks for one sync of the disk, so call it from async code through `spawn_blocking`.
#[derive(Debug)]
pub struct Outbox {
    conn: Connection,
}

impl Outbox {
    /// Opens the outbox in the database at `path`.
    ///
    /// # Errors
    /// [`Error::Open`] if there is none, [`Error::SchemaMissing`] if it is some other database,
    /// [`Error::NotDurable`] if it cannot be switched to WAL, [`Error::Database`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let outbox = Self { conn: connect(path.as_ref())? };
        check(&outbox.conn)?;
        Ok(outbox)
    }

    /// Opens the outbox in the database at `path` and creates what is missing: the file, readable by
    /// its owner only, and the tables.
    ///
    /// # Errors
    /// [`Error::Create`] if the file cannot be made, and as [`Outbox::open`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        create_file(path).map_err(|source| Error::Create { path: path.to_path_buf(), source })?;
        let outbox = Self { conn: connect(path)? };
        install(&outbox.conn)?;
        check(&outbox.conn)?;
        Ok(outbox)
    }

    /// Enqueues `message`. Once this returns `Ok`, it survives `kill -9` and loss of power.
    ///
    /// # Errors
    /// As [`Outbox::enqueue_all`].
    pub fn enqueue(&mut self, message: &Message) -> Result<Receipt, Error> {
        self.in_transaction(|conn| enqueue(conn, message))
    }

    /// Enqueues all messages or none, with one sync of the disk. The receipts are in the same order.
    ///
    /// # Errors
    /// As [`enqueue`](crate::enqueue()) for the first message that was refused, and
    /// [`Error::Unconfirmed`] if the commit failed.
    pub fn enqueue_all(&mut self, messages: &[Message]) -> Result<Vec<Receipt>, Error> {
        self.in_transaction(|conn| messages.iter().map(|message| enqueue(conn, message)).collect())
    }

    /// Says that the problem named by `dedup_key` is over; see [`resolve`](crate::resolve()).
    ///
    /// # Errors
    /// As [`Outbox::enqueue_all`].
    pub fn resolve(&mut self, dedup_key: &str) -> Result<Receipt, Error> {
        self.in_transaction(|conn| resolve(conn, dedup_key))
    }

    /// Says the same in words of your own; see [`resolve_with`](crate::resolve_with).
    ///
    /// # Errors
    /// As [`Outbox::enqueue_all`].
    pub fn resolve_with(&mut self, dedup_key: &str, message: &Message) -> Result<Receipt, Error> {
        self.in_transaction(|conn| resolve_with(conn, dedup_key, message))
    }

    /// How the alert of message `id` stands; see [`alert`](crate::alert()).
    ///
    /// # Errors
    /// As [`alert`](crate::alert()).
    pub fn alert(&self, id: MessageId) -> Result<Option<AlertState>, Error> {
        alert(&self.conn, id)
    }

    /// Waits until somebody has the alert of message `id`; see [`wait_for_ack`](crate::wait_for_ack).
    ///
    /// It blocks for as long as that takes, so wait on an outbox of its own: one behind a `Mutex` that
    /// others enqueue through would keep them waiting too.
    ///
    /// # Errors
    /// As [`wait_for_ack`](crate::wait_for_ack).
    pub fn wait_for_ack(&self, id: MessageId, timeout: Duration) -> Result<AlertState, Error> {
        wait_for_ack(&self.conn, id, timeout)
    }

    /// Takes the write lock first, so that waiting for another writer is all that can be needed.
    fn in_transaction<T>(
        &mut self,
        write: impl FnOnce(&Connection) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let tx = self
            .conn
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(doing("begin a transaction"))?;
        let written = write(&tx)?;
        tx.commit().map_err(Error::Unconfirmed)?;
        Ok(written)
    }
}

fn connect(path: &Path) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)
        .map_err(|source| Error::Open { path: path.to_path_buf(), source })?;
    configure(&conn).map_err(|source| Error::Open { path: path.to_path_buf(), source })?;
    Ok(conn)
}

/// Whether it took effect, [`check`] reads back.
fn configure(conn: &Connection) -> rusqlite::Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    switch_to_wal(conn)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    // On macOS a plain sync stops at the drive's cache; elsewhere this changes nothing.
    conn.pragma_update(None, "fullfsync", true)
}

/// SQLite does not wait for its turn to switch, which matters only when several programs open a new
/// outbox at once. It does wait for its turn to lock the database, so that is tried in between.
fn switch_to_wal(conn: &Connection) -> rusqlite::Result<()> {
    let switch = || conn.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()));
    for _ in 1..SWITCH_TRIES_MAX {
        match switch() {
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) => {
                Transaction::new_unchecked(conn, TransactionBehavior::Exclusive)?.rollback()?;
            }
            switched => return switched,
        }
    }
    switch()
}

/// Makes an empty file, which SQLite takes for an empty database, unless there is one. Its journals
/// inherit the permissions.
fn create_file(path: &Path) -> std::io::Result<()> {
    match new_file().open(path) {
        Ok(_) => sync_folder(path),
        Err(e) if e.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(e) => Err(e),
    }
}

#[cfg(unix)]
fn new_file() -> std::fs::OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    options
}

#[cfg(not(unix))]
fn new_file() -> std::fs::OpenOptions {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    options
}

/// Makes the file's name survive a loss of power; SQLite does so only for its journals.
#[cfg(unix)]
fn sync_folder(path: &Path) -> std::io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_path: &Path) -> std::io::Result<()> {
    Ok(())
}
