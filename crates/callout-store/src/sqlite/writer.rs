//! The one thread that writes.
//!
//! It takes every operation that waits, runs them in one transaction, each in a savepoint of its own,
//! and answers only after the commit. There is no time window: while one group is being synced, the
//! next one gathers. What an operation notes about counts and news is dropped with its savepoint.

use super::counter::Counters;
use super::fault::meaning;
use super::tx::{Db, News, Tx};
use super::watch::Bell;
use crate::error::StoreError;
use rusqlite::Connection;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

/// Operations that may wait; whoever comes later waits before entering the queue.
const QUEUE_MAX: usize = 4096;
/// Operations in one transaction.
const GROUP_MAX: usize = 1024;
/// After so long without work the log is copied back into the database.
const IDLE: Duration = Duration::from_millis(500);

const BEGIN: &str = "BEGIN IMMEDIATE";
const COMMIT: &str = "COMMIT";
const ROLLBACK: &str = "ROLLBACK";
const SAVE: &str = "SAVEPOINT callout_operation";
const UNDO: &str = "ROLLBACK TO callout_operation";
const RELEASE: &str = "RELEASE callout_operation";
const CHECKPOINT: &str = "PRAGMA wal_checkpoint(PASSIVE)";

/// The way to the thread. Dropping it ends the thread once everything queued is done.
#[derive(Debug)]
pub(super) struct Writer {
    room: Arc<Semaphore>,
    queue: Option<Sender<Box<dyn Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    pub(super) fn start(connection: Connection, bell: Arc<Bell>) -> Result<Self, StoreError> {
        let (queue, waiting) = channel();
        let thread = std::thread::Builder::new()
            .name("callout-writer".to_owned())
            .spawn(move || serve(&connection, &waiting, &bell))
            .map_err(super::fault::disk("start the writer"))?;
        let room = Arc::new(Semaphore::new(QUEUE_MAX));
        Ok(Self { room, queue: Some(queue), thread: Some(thread) })
    }

    /// Runs `work` in a transaction and returns after the commit.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let room = Arc::clone(&self.room);
        let permit = room.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let task = Task { work: Some(work), result: None, reply, _permit: permit };
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(Box::new(task)).map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the writer's thread had died");
        }
    }
}

/// How a group ended.
#[derive(Clone)]
enum Fate {
    Committed,
    /// Rolled back, or never begun.
    Undone(Arc<rusqlite::Error>),
    /// The commit failed, so nobody knows.
    Unknown(Arc<rusqlite::Error>),
}

impl Fate {
    fn error(&self) -> Option<StoreError> {
        match self {
            Self::Committed => None,
            Self::Undone(e) => {
                Some(meaning("write", e.sqlite_error_code(), Box::new(Arc::clone(e))))
            }
            Self::Unknown(e) => Some(StoreError::CommitUnknown(Box::new(Arc::clone(e)))),
        }
    }
}

trait Job: Send {
    /// Does the work, and says whether it succeeded.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Makes the result an error, because its savepoint could not be kept.
    fn fail(&mut self, error: StoreError);
    /// Tells whoever waits.
    fn reply(self: Box<Self>, fate: &Fate);
}

struct Task<T, F> {
    work: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    _permit: OwnedSemaphorePermit,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let Some(work) = self.work.take() else { return false };
        // The transaction survives a panic: whatever was half done is rolled back with the savepoint.
        let result = catch_unwind(AssertUnwindSafe(|| work(tx))).unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
            let source = words.unwrap_or_else(|| "it panicked".to_owned()).into();
            Err(StoreError::Broken { doing: "a store operation", source })
        });
        let succeeded = result.is_ok();
        self.result = Some(result);
        succeeded
    }

    fn fail(&mut self, error: StoreError) {
        self.result = Some(Err(error));
    }

    fn reply(self: Box<Self>, fate: &Fate) {
        let result = match (self.result, fate.error()) {
            (Some(Ok(_)) | None, Some(error)) => Err(error),
            (Some(result), _) => result,
            (None, None) => Err(StoreError::Closed),
        };
        // Nobody waits any more if the caller was cancelled; the work is done all the same.
        drop(self.reply.send(result));
    }
}

fn serve(connection: &Connection, waiting: &Receiver<Box<dyn Job>>, bell: &Bell) {
    let mut checkpointed_at = connection.total_changes();
    loop {
        let first = if connection.total_changes() == checkpointed_at {
            waiting.recv().map_err(RecvTimeoutError::from)
        } else {
            waiting.recv_timeout(IDLE)
        };
        match first {
            Ok(first) => {
                let group = std::iter::once(first).chain(waiting.try_iter()).take(GROUP_MAX);
                bell.while_writing(|| write(connection, group.collect(), bell));
            }
            Err(RecvTimeoutError::Timeout) => {
                checkpointed_at = connection.total_changes();
                if let Err(error) = connection.query_row(CHECKPOINT, [], |_| Ok(())) {
                    tracing::warn!(error = %error, "checkpoint failed");
                }
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Runs a group of operations in one transaction and answers them.
fn write(connection: &Connection, mut group: Vec<Box<dyn Job>>, bell: &Bell) {
    let (mut news, mut counters) = (News::default(), Counters::default());
    let fate = match run_group(connection, &mut group, &mut news, &mut counters) {
        Ok(()) => match exec(connection, COMMIT) {
            Ok(()) => Fate::Committed,
            Err(error) => Fate::Unknown(Arc::new(error)),
        },
        Err(error) => Fate::Undone(Arc::new(error)),
    };
    if !matches!(fate, Fate::Committed) {
        make_sure_nothing_is_open(connection);
    } else {
        bell.committed(news);
    }
    for job in group {
        job.reply(&fate);
    }
}

fn run_group(
    connection: &Connection,
    group: &mut [Box<dyn Job>],
    news: &mut News,
    counters: &mut Counters,
) -> rusqlite::Result<()> {
    exec(connection, BEGIN)?;
    // Alone, an operation has the whole transaction to itself; a savepoint would copy every page.
    if let [job] = group {
        return run_alone(connection, job, news, counters);
    }
    for job in &mut *group {
        exec(connection, SAVE)?;
        let mut tx = Tx::new(connection);
        let succeeded = job.run(&mut tx);
        // A full disk, for one, rolls everything back by itself.
        if connection.is_autocommit() {
            return Err(rolled_back());
        }
        if succeeded {
            news.add(tx.news);
            counters.merge(tx.counters);
        } else {
            exec(connection, UNDO)?;
        }
        exec(connection, RELEASE)?;
    }
    count(connection, group, counters)
}

fn run_alone(
    connection: &Connection,
    job: &mut Box<dyn Job>,
    news: &mut News,
    counters: &mut Counters,
) -> rusqlite::Result<()> {
    let mut tx = Tx::new(connection);
    if !job.run(&mut tx) || connection.is_autocommit() {
        return Err(rolled_back());
    }
    *news = tx.news;
    *counters = tx.counters;
    count(connection, std::slice::from_mut(job), counters)
}

fn count(
    connection: &Connection,
    group: &mut [Box<dyn Job>],
    counters: &Counters,
) -> rusqlite::Result<()> {
    if let Err(error) = counters.write(Db::new(connection)) {
        tracing::warn!(error = %error, "counting failed");
        for job in group {
            job.fail(StoreError::Broken { doing: "count", source: error.to_string().into() });
        }
        return Err(rolled_back());
    }
    Ok(())
}

fn rolled_back() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
        Some("another operation in the same transaction failed and took it back".to_owned()),
    )
}

fn make_sure_nothing_is_open(connection: &Connection) {
    if !connection.is_autocommit()
        && let Err(error) = exec(connection, ROLLBACK)
    {
        tracing::error!(error = %error, "rollback failed");
    }
}

fn exec(connection: &Connection, sql: &'static str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([]).map(drop)
}
