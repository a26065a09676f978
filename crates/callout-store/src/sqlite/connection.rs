//! Opening the file so that it keeps its promise.
//!
//! Every setting that durability hangs on is read back: SQLite ignores what it cannot do without
//! saying so. An existing database is never opened with ordinary file calls, because closing such a
//! handle drops all of this process's locks on it.

use super::fault::{broken, disk};
use crate::clock;
use crate::error::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The first SQLite without the bug that corrupts a write-ahead log two connections reset at once.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// How long a writer waits for another process.
const WRITER_PATIENCE: Duration = Duration::from_secs(10);
/// How long to let another program go first when several start at once.
const TURN: Duration = Duration::from_millis(5);
/// How long a reader does.
pub(super) const READER_PATIENCE: Duration = Duration::from_secs(2);
/// Prepared statements kept for each connection; more than this crate has.
const STATEMENTS_MAX: usize = 128;
/// The write-ahead log is cut down to this after a checkpoint.
const WAL_BYTES_MAX: i64 = 64 * 1024 * 1024;
/// Pages in the log that start a checkpoint.
const CHECKPOINT_PAGES: i64 = 1000;
/// `PRAGMA synchronous` as SQLite reports FULL.
const SYNCHRONOUS_FULL: i64 = 2;

/// Creates an empty file nobody else can read. Returns whether it was created here.
pub(super) fn create_private(path: &Path) -> Result<bool, StoreError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(e) => Err(disk("create the database file")(e)),
    }
}

/// Makes sure that the names in the folder of `path` survive a loss of power.
pub(super) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    if cfg!(unix) {
        let synced = File::open(folder(path)).and_then(|folder| folder.sync_all());
        synced.map_err(disk("sync the folder of the database"))?;
    }
    Ok(())
}

/// The folder that `path` is in.
pub(super) fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Opens the one connection that writes.
pub(super) fn writer(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path, WRITER_PATIENCE)?;
    if read(&connection, "page_count")? == 0 {
        // Only possible before the first page is written.
        set(&connection, "auto_vacuum", "INCREMENTAL")?;
    }
    use_log(&connection)?;
    set(&connection, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    set(&connection, "journal_size_limit", WAL_BYTES_MAX)?;
    harden(&connection)?;
    Ok(connection)
}

/// Makes the database keep a write-ahead log. Where several programs start at once, SQLite refuses all
/// but one of them without waiting.
fn use_log(connection: &Connection) -> Result<(), StoreError> {
    let is_over = clock::deadline(WRITER_PATIENCE);
    loop {
        match set(connection, "journal_mode", "WAL") {
            Err(StoreError::Busy(_)) if !is_over() => clock::pause(TURN),
            result => return result,
        }
    }
}

/// Opens a connection that cannot write.
pub(super) fn reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(path, READER_PATIENCE)?;
    harden(&connection)?;
    set(&connection, "query_only", true)?;
    expect(&connection, "query_only", 1)?;
    // Whoever closes last would take the log away; leave that to writers.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)
        .map_err(broken("configure the database"))?;
    Ok(connection)
}

/// Opens an existing file without creating or promising anything.
pub(super) fn open(path: &Path, patience: Duration) -> Result<Connection, StoreError> {
    let found = rusqlite::version_number();
    if found < SQLITE_VERSION_MIN {
        return Err(StoreError::Unfit(format!(
            "this program was built with SQLite {}, which can corrupt a database; 3.51.3 or newer is needed",
            rusqlite::version()
        )));
    }
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection =
        Connection::open_with_flags(path, flags).map_err(broken("open the database"))?;
    connection.busy_timeout(patience).map_err(broken("configure the database"))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
    // Otherwise SQLite prepares a statement again whenever a bound value might make a partial index
    // fit, which takes longer than running it.
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)
        .map_err(broken("configure the database"))?;
    Ok(connection)
}

fn harden(connection: &Connection) -> Result<(), StoreError> {
    set(connection, "synchronous", "FULL")?;
    set(connection, "foreign_keys", true)?;
    set(connection, "trusted_schema", false)?;
    set(connection, "cell_size_check", true)?;
    set(connection, "mmap_size", 0)?;
    // What does not fit into the cache would else go to a file elsewhere, and fail with that disk.
    set(connection, "temp_store", "MEMORY")?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)
        .map_err(broken("configure the database"))?;
    let mode: String = connection
        .pragma_query_value(None, "journal_mode", |row| row.get(0))
        .map_err(broken("read the journal mode"))?;
    if mode != "wal" {
        // SQLite does not say why. It may have been an error of the disk that is over by the next start.
        return Err(StoreError::Broken {
            doing: "keeping a write-ahead log",
            source: format!("the database keeps its journal as {mode:?}; is it on a local disk?")
                .into(),
        });
    }
    expect(connection, "synchronous", SYNCHRONOUS_FULL)?;
    expect(connection, "foreign_keys", 1)?;
    expect(connection, "trusted_schema", 0)?;
    expect(connection, "cell_size_check", 1)
}

fn set(connection: &Connection, name: &str, value: impl rusqlite::ToSql) -> Result<(), StoreError> {
    // Some settings answer with a row, some do not.
    connection.pragma_update(None, name, value).map_err(broken("configure the database"))
}

fn expect(connection: &Connection, name: &str, wanted: i64) -> Result<(), StoreError> {
    let found = read(connection, name)?;
    if found == wanted {
        return Ok(());
    }
    Err(StoreError::Unfit(format!("the database has {name} = {found} and needs {wanted}")))
}

fn read(connection: &Connection, name: &str) -> Result<i64, StoreError> {
    connection
        .pragma_query_value(None, name, |row| row.get(0))
        .map_err(broken("read a setting back"))
}
