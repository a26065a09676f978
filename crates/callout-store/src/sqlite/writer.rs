//! The one thread that writes.
//!
//! It takes every operation that waits, runs them in one transaction and answers only after the commit.
//! There is no time window: while one group is being synced, the next one gathers. If one of them fails,
//! all are run once more, each in a savepoint of its own, so that it takes back only its own changes.
//! Savepoints copy pages, so nobody pays for them while all goes well. What an operation notes about
//! counts and news is dropped with its changes.

use super::counter::Counters;
use super::fault::{is_failing, is_full, meaning};
use super::guard::{Guard, Stop};
use super::mark::{self, Marker};
use super::tx::{Db, News, Statements, Tx};
use super::watch::Bell;
use crate::crash::crash_point;
use crate::error::StoreError;
use rusqlite::Connection;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
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
    /// Instead of the thread: whoever asks does the work.
    #[cfg(feature = "conformance")]
    inline: Option<std::sync::Mutex<Desk>>,
}

impl Writer {
    pub(super) fn start(desk: Desk) -> Result<Self, StoreError> {
        let (queue, waiting) = channel();
        let thread = std::thread::Builder::new()
            .name("callout-writer".to_owned())
            .spawn(move || desk.serve(&waiting))
            .map_err(super::fault::disk("start the writer"))?;
        Ok(Self {
            room: Arc::new(Semaphore::new(QUEUE_MAX)),
            queue: Some(queue),
            thread: Some(thread),
            #[cfg(feature = "conformance")]
            inline: None,
        })
    }

    /// A writer without a thread: every operation runs where it is asked for, alone in its transaction,
    /// so that a simulation is the same each time.
    #[cfg(feature = "conformance")]
    pub(super) fn inline(desk: Desk) -> Self {
        let room = Arc::new(Semaphore::new(QUEUE_MAX));
        Self { room, queue: None, thread: None, inline: Some(desk.into()) }
    }

    /// Runs `work` in a transaction and returns after the commit. It may be run a second time, when what
    /// the first one did was taken back.
    pub(super) async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        let room = Arc::clone(&self.room);
        let permit = room.acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let (reply, answer) = oneshot::channel();
        let task = Box::new(Task { work, result: None, reply, _permit: permit });
        #[cfg(feature = "conformance")]
        if let Some(desk) = &self.inline {
            desk.lock().unwrap_or_else(std::sync::PoisonError::into_inner).write(task);
            return answer.await.map_err(|_| StoreError::Closed)?;
        }
        let queue = self.queue.as_ref().ok_or(StoreError::Closed)?;
        queue.send(task).map_err(|_| StoreError::Closed)?;
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
    /// The store has stopped.
    Refused(Stop),
}

impl Fate {
    fn error(&self) -> Option<StoreError> {
        match self {
            Self::Committed => None,
            Self::Undone(e) => {
                Some(meaning("write", e.sqlite_error().copied(), Box::new(Arc::clone(e))))
            }
            Self::Unknown(e) => Some(StoreError::CommitUnknown(Box::new(Arc::clone(e)))),
            Self::Refused(stop) => Some(stop.error()),
        }
    }

    /// The error after which the disk cannot be trusted.
    fn failing(&self) -> Option<&rusqlite::Error> {
        let (Self::Undone(error) | Self::Unknown(error)) = self else { return None };
        error.sqlite_error().copied().is_some_and(is_failing).then_some(error)
    }
}

trait Job: Send {
    /// Does the work, perhaps once more, and says whether it succeeded.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// What went wrong with the work, as opposed to its transaction.
    fn error(&self) -> Option<&StoreError>;
    /// Makes the result an error, because the counts could not be kept.
    fn fail(&mut self, error: StoreError);
    /// Tells whoever waits.
    fn reply(self: Box<Self>, fate: &Fate);
}

struct Task<T, F> {
    work: F,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
    _permit: OwnedSemaphorePermit,
}

impl<T, F> Job for Task<T, F>
where
    T: Send,
    F: Fn(&mut Tx<'_>) -> Result<T, StoreError> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        // The transaction survives a panic: whatever was half done is taken back.
        let work = AssertUnwindSafe(|| (self.work)(tx));
        let result = catch_unwind(work).unwrap_or_else(|panic| {
            let words = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let words = words.or_else(|| panic.downcast_ref::<String>().cloned());
            let source = words.unwrap_or_else(|| "it panicked".to_owned()).into();
            Err(StoreError::Broken { doing: "a store operation", source })
        });
        let succeeded = result.is_ok();
        self.result = Some(result);
        succeeded
    }

    fn error(&self) -> Option<&StoreError> {
        self.result.as_ref()?.as_ref().err()
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

/// What the writer works with.
pub(super) struct Desk {
    pub(super) connection: Connection,
    pub(super) hand: Hand,
}

/// What the writer works with besides its connection.
pub(super) struct Hand {
    pub(super) bell: Arc<Bell>,
    pub(super) guard: Guard,
    pub(super) marker: Marker,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").field("connection", &self.connection).finish_non_exhaustive()
    }
}

impl Desk {
    pub(super) fn new(connection: Connection, path: &Path) -> Result<Self, StoreError> {
        let bell = Arc::new(Bell::new(&connection)?);
        let marker = mark::compare(path, &connection)?;
        let hand = Hand { bell, guard: Guard::new(path), marker };
        Ok(Self { connection, hand })
    }

    fn serve(self, waiting: &Receiver<Box<dyn Job>>) {
        let Self { connection, mut hand } = self;
        let statements = Statements::of(&connection);
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
                    hand.write(&statements, group.collect());
                }
                Err(RecvTimeoutError::Timeout) => {
                    checkpointed_at = connection.total_changes();
                    hand.marker.rest(&connection);
                    hand.checkpoint(&connection);
                }
                Err(RecvTimeoutError::Disconnected) => return hand.marker.rest(&connection),
            }
        }
    }

    /// Runs one operation and answers it.
    #[cfg(feature = "conformance")]
    fn write(&mut self, task: Box<dyn Job>) {
        self.hand.write(&Statements::of(&self.connection), vec![task]);
    }
}

impl Hand {
    fn checkpoint(&mut self, connection: &Connection) {
        crash_point("before_checkpoint");
        if let Err(error) = connection.query_row(CHECKPOINT, [], |_| Ok(())) {
            tracing::warn!(error = %error, "checkpoint failed");
            self.distrust(&Fate::Unknown(Arc::new(error)), &[]);
        }
        crash_point("after_checkpoint");
    }

    /// Runs a group of operations in one transaction and answers them.
    fn write(&mut self, statements: &Statements<'_>, mut group: Vec<Box<dyn Job>>) {
        let (connection, bell) = (statements.connection, Arc::clone(&self.bell));
        let fate = bell.while_writing(|| {
            let before = connection.total_changes();
            let (fate, news) = self.transact(statements, &mut group);
            self.distrust(&fate, &group);
            if matches!(fate, Fate::Committed) {
                bell.committed(news);
                if connection.total_changes() != before {
                    self.marker.committed(connection);
                }
            }
            fate
        });
        for job in group {
            job.reply(&fate);
        }
        crash_point("after_answers");
    }

    fn transact(
        &mut self,
        statements: &Statements<'_>,
        group: &mut [Box<dyn Job>],
    ) -> (Fate, News) {
        let connection = statements.connection;
        if let Err(stop) = self.guard.admit(connection) {
            return (Fate::Refused(stop), News::default());
        }
        let run = Run { statements };
        let mut done = match run.begin() {
            Ok(()) => run.group(group, Each::Bare),
            // Whoever has the database locked has had all the patience there is.
            Err(fate) => {
                run.make_sure_nothing_is_open();
                return (fate, News::default());
            }
        };
        if done.is_err() && group.len() > 1 {
            // The second time may hide what a failing disk did the first time.
            distrust_after(&mut self.guard, group);
            if let Err(stop) = self.guard.admit(connection) {
                return (Fate::Refused(stop), News::default());
            }
            done = run.begin().and_then(|()| run.group(group, Each::InSavepoint));
        }
        match done.and_then(|news| run.commit().map(|()| news)) {
            Ok(news) => {
                (self.guard.check_files().map_or_else(Fate::Refused, |()| Fate::Committed), news)
            }
            Err(fate) => {
                run.make_sure_nothing_is_open();
                (fate, News::default())
            }
        }
    }

    /// Stops the store if the disk failed.
    fn distrust(&mut self, fate: &Fate, group: &[Box<dyn Job>]) {
        if let Some(error) = fate.failing() {
            self.guard.distrust(error);
        }
        distrust_after(&mut self.guard, group);
    }
}

/// Stops the store if an operation met a disk that failed.
fn distrust_after(guard: &mut Guard, group: &[Box<dyn Job>]) {
    for error in group.iter().filter_map(|job| job.error()) {
        if let StoreError::Failing { source, .. } = error {
            guard.distrust(source.as_ref());
        }
    }
}

/// How each operation of a group is run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Each {
    /// With all others, for better or worse.
    Bare,
    /// So that its changes can be taken back alone.
    InSavepoint,
}

/// One transaction.
struct Run<'r, 'c> {
    statements: &'r Statements<'c>,
}

impl Run<'_, '_> {
    fn begin(&self) -> Result<(), Fate> {
        self.statements.run(BEGIN).map_err(|error| Fate::Undone(Arc::new(error)))
    }

    /// Runs all operations in the transaction, which stays open if all is well.
    fn group(&self, group: &mut [Box<dyn Job>], each: Each) -> Result<News, Fate> {
        let done = self.operations(group, each);
        if done.is_err() {
            self.make_sure_nothing_is_open();
        }
        done.map_err(|error| Fate::Undone(Arc::new(error)))
    }

    fn operations(&self, group: &mut [Box<dyn Job>], each: Each) -> rusqlite::Result<News> {
        let (mut news, mut counters) = (News::default(), Counters::default());
        let before = self.statements.connection.total_changes();
        for job in &mut *group {
            if each == Each::InSavepoint {
                self.statements.run(SAVE)?;
            }
            let mut tx = Tx::new(self.statements);
            let succeeded = job.run(&mut tx);
            // A full disk, for one, rolls everything back by itself.
            if self.statements.connection.is_autocommit() {
                return Err(rolled_back());
            }
            match (succeeded, each) {
                (true, _) => {
                    news.add(tx.news);
                    counters.merge(tx.counters);
                }
                (false, Each::Bare) => return Err(rolled_back()),
                (false, Each::InSavepoint) => self.statements.run(UNDO)?,
            }
            if each == Each::InSavepoint {
                self.statements.run(RELEASE)?;
            }
            crash_point("inside_group");
        }
        self.count(group, &counters, news, before)?;
        Ok(news)
    }

    fn count(
        &self,
        group: &mut [Box<dyn Job>],
        counters: &Counters,
        news: News,
        before: u64,
    ) -> rusqlite::Result<()> {
        let db = Db::new(self.statements);
        let counted = counters.write(db).and_then(|()| {
            // What changed nothing is no step forward; a new message's row is one, and counts itself.
            let is_counted =
                self.statements.connection.total_changes() == before || news.message > 0;
            if is_counted { Ok(()) } else { mark::count(db) }
        });
        if let Err(error) = counted {
            tracing::warn!(error = %error, "counting failed");
            for job in group {
                job.fail(StoreError::Broken { doing: "count", source: error.to_string().into() });
            }
            return Err(rolled_back());
        }
        Ok(())
    }

    fn commit(&self) -> Result<(), Fate> {
        crash_point("before_commit");
        self.statements.run(COMMIT).map_err(|error| {
            // The log had no room for all of the transaction, so its end, which is what counts, is not there.
            let error = Arc::new(error);
            if is_full(&error) { Fate::Undone(error) } else { Fate::Unknown(error) }
        })?;
        crash_point("after_commit");
        Ok(())
    }

    fn make_sure_nothing_is_open(&self) {
        if !self.statements.connection.is_autocommit()
            && let Err(error) = self.statements.run(ROLLBACK)
        {
            tracing::error!(error = %error, "rollback failed");
        }
    }
}

fn rolled_back() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK),
        Some("another operation in the same transaction failed and took it back".to_owned()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::tests::{path, store};
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[tokio::test]
    async fn who_has_the_database_locked_is_waited_for_once() {
        let (folder, _store) = store();
        let locker = Connection::open(path(&folder)).unwrap();
        let mut connection = Connection::open(path(&folder)).unwrap();
        let waits = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&waits);
        let give_up = move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            false
        };
        connection.busy_handler(Some(give_up)).unwrap();
        let Desk { connection, mut hand } = Desk::new(connection, &path(&folder)).unwrap();
        locker.execute_batch("BEGIN IMMEDIATE").unwrap();

        let room = Arc::new(Semaphore::new(2));
        let (group, answers): (Vec<Box<dyn Job>>, Vec<_>) = (0..2)
            .map(|_| {
                let (reply, answer) = oneshot::channel();
                let permit = Arc::clone(&room).try_acquire_owned().unwrap();
                let work = |_: &mut Tx<'_>| Ok(());
                let task = Task { work, result: None, reply, _permit: permit };
                (Box::new(task) as Box<dyn Job>, answer)
            })
            .unzip();
        hand.write(&Statements::of(&connection), group);
        for answer in answers {
            assert!(matches!(answer.await.unwrap(), Err(StoreError::Busy(_))));
        }
        assert_eq!(waits.load(Ordering::Relaxed), 1);
    }
}
