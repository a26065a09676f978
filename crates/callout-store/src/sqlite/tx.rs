//! What an operation gets to work with.

use super::counter::Counters;
use super::fault::broken;
use crate::error::StoreError;
use callout_core::id::ReceiverName;
use rusqlite::{CachedStatement, Connection, Row, Statement, ToSql};
use std::cell::RefCell;

/// What is bound to a statement, by name.
pub(super) type Values<'a> = &'a [(&'a str, &'a dyn ToSql)];

/// Prepared statements of one connection, each ready for the next time without being looked up by its text.
pub(super) struct Statements<'c> {
    pub(super) connection: &'c Connection,
    kept: RefCell<Vec<Kept<'c>>>,
}

struct Kept<'c> {
    sql: &'static str,
    statement: CachedStatement<'c>,
    /// Where each value goes, in the order in which they are given; that is always the same.
    places: Vec<usize>,
}

impl<'c> Statements<'c> {
    pub(super) fn of(connection: &'c Connection) -> Self {
        Self { connection, kept: RefCell::default() }
    }

    /// Runs a statement without values that returns nothing.
    pub(super) fn run(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.with(sql, &[], &mut |statement| statement.raw_execute().map(drop))
    }

    fn take(&self, sql: &'static str) -> rusqlite::Result<Kept<'c>> {
        let mut kept = self.kept.borrow_mut();
        // The same constant may lie in several places. What was used last stands last.
        match kept.iter().rposition(|kept| std::ptr::eq(kept.sql, sql) || kept.sql == sql) {
            Some(at) => Ok(kept.remove(at)),
            None => {
                let statement = self.connection.prepare_cached(sql)?;
                Ok(Kept { sql, statement, places: Vec::new() })
            }
        }
    }
}

impl Kept<'_> {
    fn bind(&mut self, values: Values<'_>) -> rusqlite::Result<()> {
        if self.places.is_empty() {
            let unknown = |name: &str| rusqlite::Error::InvalidParameterName(name.to_owned());
            let place = |(name, _): &(&str, _)| {
                self.statement.parameter_index(name)?.ok_or_else(|| unknown(name))
            };
            self.places = values.iter().map(place).collect::<rusqlite::Result<_>>()?;
        }
        let wanted = self.statement.parameter_count();
        if self.places.len() != wanted || values.len() != wanted {
            return Err(rusqlite::Error::InvalidParameterCount(values.len(), wanted));
        }
        debug_assert!(self.are_in_order(values), "given in another order before: {}", self.sql);
        for (place, (_, value)) in self.places.iter().zip(values) {
            self.statement.raw_bind_parameter(*place, value)?;
        }
        Ok(())
    }

    /// Whether the values come in the order of the first time.
    fn are_in_order(&self, values: Values<'_>) -> bool {
        let place = |name| self.statement.parameter_index(name).ok().flatten();
        let places = values.iter().map(|(name, _)| place(name));
        places.eq(self.places.iter().map(|place| Some(*place)))
    }
}

/// Whoever has prepared statements, however long it lives.
trait Prepared {
    fn connection(&self) -> &Connection;

    fn with(
        &self,
        sql: &'static str,
        values: Values<'_>,
        run: &mut dyn FnMut(&mut Statement<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()>;
}

impl Prepared for Statements<'_> {
    fn connection(&self) -> &Connection {
        self.connection
    }

    fn with(
        &self,
        sql: &'static str,
        values: Values<'_>,
        run: &mut dyn FnMut(&mut Statement<'_>) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        let mut kept = self.take(sql)?;
        kept.bind(values)?;
        run(&mut kept.statement)?;
        self.kept.borrow_mut().push(kept);
        Ok(())
    }
}

/// A connection, with prepared statements that are kept and errors that say what was being done.
#[derive(Clone, Copy)]
pub(super) struct Db<'s>(&'s dyn Prepared);

impl<'s> Db<'s> {
    pub(super) fn new(statements: &'s Statements<'_>) -> Self {
        Self(statements)
    }

    /// Runs a statement that returns nothing. Returns how many rows it changed.
    pub(super) fn execute(
        self,
        doing: &'static str,
        sql: &'static str,
        values: Values<'_>,
    ) -> Result<usize, StoreError> {
        let mut changed = 0;
        let run = &mut |statement: &mut Statement<'_>| {
            changed = statement.raw_execute()?;
            Ok(())
        };
        self.0.with(sql, values, run).map_err(broken(doing))?;
        Ok(changed)
    }

    /// Fetches the first row, if there is one.
    pub(super) fn one<T>(
        self,
        doing: &'static str,
        sql: &'static str,
        values: Values<'_>,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        let mut found = None;
        let run = &mut |statement: &mut Statement<'_>| {
            found = statement.raw_query().next()?.map(&mut read).transpose()?;
            Ok(())
        };
        self.0.with(sql, values, run).map_err(broken(doing))?;
        Ok(found)
    }

    /// Fetches all rows; the statement bounds them.
    pub(super) fn all<T>(
        self,
        doing: &'static str,
        sql: &'static str,
        values: Values<'_>,
        mut read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        let run = &mut |statement: &mut Statement<'_>| {
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                found.push(read(row)?);
            }
            Ok(())
        };
        self.0.with(sql, values, run).map_err(broken(doing))?;
        Ok(found)
    }

    /// The row number of the last insert.
    pub(super) fn last_rowid(self) -> i64 {
        self.0.connection().last_insert_rowid()
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
    pub(super) fn new(statements: &'c Statements<'_>) -> Self {
        Self {
            db: Db::new(statements),
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
        self.0.connection().total_changes()
    }
}
