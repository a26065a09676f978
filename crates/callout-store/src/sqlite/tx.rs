//! What an operation gets to work with.

use super::counter::Counters;
use super::fault::broken;
use crate::error::StoreError;
use callout_core::id::ReceiverName;
use rusqlite::{Connection, Params, Row};

/// A connection, with prepared statements that are kept and errors that say what was being done.
#[derive(Clone, Copy)]
pub(super) struct Db<'c>(&'c Connection);

impl<'c> Db<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self(connection)
    }

    /// Runs a statement that returns nothing. Returns how many rows it changed.
    pub(super) fn execute(
        self,
        doing: &'static str,
        sql: &'static str,
        params: impl Params,
    ) -> Result<usize, StoreError> {
        let mut statement = self.0.prepare_cached(sql).map_err(broken(doing))?;
        statement.execute(params).map_err(broken(doing))
    }

    /// Fetches the first row, if there is one.
    pub(super) fn one<T>(
        self,
        doing: &'static str,
        sql: &'static str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut statement = self.0.prepare_cached(sql).map_err(broken(doing))?;
        let mut rows = statement.query(params).map_err(broken(doing))?;
        rows.next().map_err(broken(doing))?.map(read).transpose().map_err(broken(doing))
    }

    /// Fetches all rows; the statement bounds them.
    pub(super) fn all<T>(
        self,
        doing: &'static str,
        sql: &'static str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.0.prepare_cached(sql).map_err(broken(doing))?;
        let rows = statement.query_map(params, read).map_err(broken(doing))?;
        rows.collect::<Result<_, _>>().map_err(broken(doing))
    }

    /// The row number of the last insert.
    pub(super) fn last_rowid(self) -> i64 {
        self.0.last_insert_rowid()
    }
}

/// One operation inside the writer's transaction. What it notes here counts only if it succeeds.
pub(super) struct Tx<'c> {
    /// The connection.
    pub(super) db: Db<'c>,
    /// Changes to the counts.
    pub(super) counters: Counters,
    /// What others might be waiting for.
    pub(super) news: News,
    /// Damaged deliveries that were set aside: message, receiver, problem.
    pub(super) set_aside: Vec<(i64, ReceiverName, String)>,
}

impl<'c> Tx<'c> {
    pub(super) fn new(connection: &'c Connection) -> Self {
        Self {
            db: Db::new(connection),
            counters: Counters::default(),
            news: News::default(),
            set_aside: Vec::new(),
        }
    }
}

/// The latest rows somebody may be waiting for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// The newest message.
    pub(super) message: i64,
    /// The newest entry in the journal.
    pub(super) journal: i64,
    /// Whether work that was not there before may be due.
    pub(super) work: bool,
}

impl News {
    pub(super) fn add(&mut self, other: Self) {
        self.message = self.message.max(other.message);
        self.journal = self.journal.max(other.journal);
        self.work |= other.work;
    }
}

#[cfg(test)]
impl Db<'_> {
    /// Rows changed since the connection was opened.
    pub(super) fn total_changes(self) -> u64 {
        self.0.total_changes()
    }
}
