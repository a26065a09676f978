//! The SQLite backend.
//!
//! One thread writes, in groups; a few read-only connections read. The files in the folder are named
//! after what they do: each has its statements right above the functions that run them.

mod alert;
mod alert_row;
mod alert_stats;
mod answer;
mod attempt;
mod backup;
mod body;
mod channel;
mod claim;
mod command;
mod connection;
mod counter;
mod delivery;
mod enqueue;
mod escalate;
mod fault;
mod fill;
mod floor;
mod guard;
mod journal;
mod lease;
mod list;
mod mark;
mod migrate;
mod news;
mod plan;
mod prune;
mod reader;
mod rebase;
mod report;
mod row;
mod settle;
mod stats;
mod story;
mod tend;
mod tx;
mod unplanned;
mod watch;
mod writer;

#[cfg(test)]
mod tests;

pub use self::fill::{Filler, Past};
pub use self::floor::Floor;
pub use self::mark::Lost;
pub use self::migrate::Step;

use self::reader::Readers;
use self::tx::Tx;
use self::watch::{Bell, Watcher};
use self::writer::{Desk, Hand, Writer};
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::model::{
    AnswerRequest, Answered, ClaimRequest, Claims, CommandRequest, Enqueued, EscalateReport,
    EscalateRequest, Filter, Found, Health, NewMessage, Page, PlanReport, PlanRequest, PruneReport,
    PruneRequest, RebaseRequest, Rebased, Settled, Settlement, Stats, Story,
};
use crate::store::Store;
use async_trait::async_trait;
use callout_core::id::WorkerId;
use callout_core::plan::Directory;
use callout_core::time::Timestamp;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::watch as tokio_watch;

/// The most messages one call enqueues, in one transaction.
pub const ENQUEUE_MAX: usize = 10_000;

/// Whether opening may create a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// Create it if there is none.
    IfMissing,
    /// Fail with [`StoreError::Missing`] if there is none.
    Never,
}

/// The outbox in one SQLite file.
///
/// Dropping it finishes what is queued and closes the file, which takes a moment.
#[derive(Debug)]
pub struct SqliteStore {
    path: PathBuf,
    // Readers and the watcher go first, so that the writer is the last to close and tidies up.
    readers: Readers,
    _watcher: Option<Watcher>,
    writer: Writer,
    bell: Arc<Bell>,
    lost: Option<Lost>,
    mark_is_held: Arc<AtomicBool>,
}

impl SqliteStore {
    /// Opens the database at `path` and brings its schema up to date.
    ///
    /// # Errors
    /// [`StoreError::Missing`], [`StoreError::UnsafeDisk`], [`StoreError::SchemaTooNew`],
    /// [`StoreError::Unfit`], and what the disk says.
    pub fn open(path: &Path, create: Create, now: Timestamp) -> Result<Self, StoreError> {
        guard::check_place(path)?;
        Self::open_anywhere(path, create, now)
    }

    /// Opens the database as [`SqliteStore::open`] does, on whatever kind of disk. Where locks do not hold,
    /// two programs can damage the database.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_anywhere(path: &Path, create: Create, now: Timestamp) -> Result<Self, StoreError> {
        let is_new = match create {
            Create::IfMissing => connection::create_private(path)?,
            Create::Never if has_outbox(path)? => false,
            Create::Never => return Err(StoreError::Missing(path.to_owned())),
        };
        crash_point("after_create");
        let mut connection = connection::writer(path)?;
        migrate::migrate(&mut connection, now)?;
        if is_new {
            connection::sync_folder(path)?;
        }
        let desk = Desk::new(connection, path)?;
        let Hand { bell, marker, .. } = &desk.hand;
        let (bell, lost, mark_is_held) = (Arc::clone(bell), marker.lost, marker.held());
        Ok(Self {
            readers: Readers::new(path.to_owned()),
            path: path.to_owned(),
            _watcher: Some(Watcher::start(path, Arc::clone(&bell))?),
            writer: Writer::start(desk)?,
            bell,
            lost,
            mark_is_held,
        })
    }

    /// What this database lacks that it once had, by the mark beside it. Without a mark: nothing known.
    ///
    /// Every opening finds it again until somebody calls [`SqliteStore::loss_is_reported`].
    pub fn lost(&self) -> Option<Lost> {
        self.lost
    }

    /// The operator knows what was lost; from now on the mark follows the database as it is.
    pub fn loss_is_reported(&self) {
        self.mark_is_held.store(false, Ordering::Release);
    }

    /// As [`SqliteStore::open`], but without threads: everything happens where it is asked for, one thing
    /// after the other, and what other processes write rings no bell. For simulations.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    #[cfg(feature = "conformance")]
    pub fn open_inline(path: &Path, now: Timestamp) -> Result<Self, StoreError> {
        connection::create_private(path)?;
        let mut connection = connection::writer(path)?;
        migrate::migrate(&mut connection, now)?;
        let desk = Desk::new(connection, path)?;
        let Hand { bell, marker, .. } = &desk.hand;
        let (bell, lost, mark_is_held) = (Arc::clone(bell), marker.lost, marker.held());
        Ok(Self {
            readers: Readers::inline(path.to_owned()),
            path: path.to_owned(),
            _watcher: None,
            writer: Writer::inline(desk),
            bell,
            lost,
            mark_is_held,
        })
    }

    /// The steps of the schema, and whether the database at `path` has taken them. Creates nothing.
    ///
    /// # Errors
    /// [`StoreError::SchemaTooNew`], [`StoreError::SchemaChanged`], and what the disk says.
    pub fn schema_steps(path: &Path) -> Result<Vec<Step>, StoreError> {
        if !path.exists() {
            return Ok(migrate::unapplied(0));
        }
        migrate::steps(&connection::open(path, connection::READER_PATIENCE)?)
    }
}

fn has_outbox(path: &Path) -> Result<bool, StoreError> {
    Ok(path.exists() && migrate::has_outbox(&connection::open(path, connection::READER_PATIENCE)?)?)
}

#[async_trait]
impl Store for SqliteStore {
    async fn enqueue(
        &self,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<Result<Enqueued, StoreError>>, StoreError> {
        if messages.len() > ENQUEUE_MAX {
            let n = messages.len();
            return Err(StoreError::Unfit(format!("{n} messages at once; at most {ENQUEUE_MAX}")));
        }
        let rows: Vec<enqueue::Laid> = messages.iter().map(enqueue::lay_out).collect();
        self.writer.write(move |tx| enqueue::enqueue(tx, &rows)).await
    }

    async fn plan(&self, ask: PlanRequest) -> Result<PlanReport, StoreError> {
        let work = move |tx: &mut Tx<'_>| {
            let now = ask.now + rebase::age(tx.db, &ask.reading)?;
            plan::plan(tx, &PlanRequest { now, ..ask.clone() })
        };
        self.writer.write(work).await
    }

    async fn escalate(&self, ask: EscalateRequest) -> Result<EscalateReport, StoreError> {
        let work = move |tx: &mut Tx<'_>| {
            let now = ask.now + rebase::age(tx.db, &ask.reading)?;
            escalate::escalate(tx, &EscalateRequest { now, ..ask.clone() })
        };
        self.writer.write(work).await
    }

    async fn answer(&self, ask: AnswerRequest) -> Result<Answered, StoreError> {
        let answered = self.writer.write(move |tx| answer::answer(tx, &ask)).await;
        crash_point("after_answer");
        answered
    }

    async fn alert_of_key(&self, dedup_key: String) -> Result<Option<String>, StoreError> {
        self.readers.read(move |db| alert::latest_of_key(db, &dedup_key)).await
    }

    async fn claim(&self, ask: ClaimRequest) -> Result<Claims, StoreError> {
        let work = move |tx: &mut Tx<'_>| {
            let age = rebase::age(tx.db, &ask.reading)?;
            let (now, lease_until) = (ask.now + age, ask.lease_until + age);
            claim::claim(tx, &ClaimRequest { now, lease_until, ..ask.clone() })
        };
        self.writer.write(work).await
    }

    async fn rebase(&self, ask: RebaseRequest) -> Result<Rebased, StoreError> {
        let work = move |tx: &mut Tx<'_>| {
            // By how much the worker believes that all was moved is what it asks about.
            let now = ask.now + ask.reading.age();
            rebase::rebase(tx, &RebaseRequest { now, ..ask.clone() })
        };
        self.writer.write(work).await
    }

    async fn settle(
        &self,
        now: Timestamp,
        settlements: Vec<Settlement>,
    ) -> Result<Vec<Settled>, StoreError> {
        self.writer.write(move |tx| settle::settle(tx, now, &settlements)).await
    }

    async fn register(&self, worker: WorkerId, now: Timestamp) -> Result<(), StoreError> {
        self.writer.write(move |tx| lease::register(tx, worker, now)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerId>, StoreError> {
        self.readers.read(lease::workers).await
    }

    async fn retire(
        &self,
        worker: WorkerId,
        directory: Arc<Directory>,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        self.writer.write(move |tx| lease::retire(tx, worker, &directory, now)).await
    }

    fn changes(&self) -> tokio_watch::Receiver<u64> {
        self.bell.subscribe()
    }

    async fn list(
        &self,
        filter: Filter,
        after: Option<i64>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.readers.read(move |db| list::list(db, &filter, after, limit)).await
    }

    async fn find(&self, id: String) -> Result<Found, StoreError> {
        self.readers.read(move |db| list::find(db, &id)).await
    }

    async fn story(&self, id: String) -> Result<Option<Story>, StoreError> {
        self.readers.read(move |db| story::story(db, &id)).await
    }

    async fn stats(&self, now: Timestamp) -> Result<Stats, StoreError> {
        self.readers.read(move |db| stats::stats(db, now)).await
    }

    async fn health(&self) -> Result<Vec<Health>, StoreError> {
        self.readers.read(stats::health).await
    }

    async fn command(&self, ask: CommandRequest) -> Result<usize, StoreError> {
        let mut changed = 0;
        for messages in ask.messages.chunks(command::CHUNK) {
            let part = CommandRequest {
                now: ask.now,
                directory: Arc::clone(&ask.directory),
                command: ask.command.clone(),
                messages: messages.to_vec(),
                who: ask.who.clone(),
            };
            changed += self.writer.write(move |tx| command::command(tx, &part)).await?;
        }
        Ok(changed)
    }

    async fn prune(&self, ask: PruneRequest) -> Result<PruneReport, StoreError> {
        self.writer.write(move |tx| prune::prune(tx, &ask)).await
    }

    async fn backup(&self, to: &Path) -> Result<(), StoreError> {
        let (from, to) = (self.path.clone(), to.to_owned());
        let copy = tokio::task::spawn_blocking(move || backup::backup(&from, &to));
        copy.await.map_err(|e| StoreError::Broken { doing: "a backup", source: Box::new(e) })?
    }
}
