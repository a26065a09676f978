//! The least that any outbox in SQLite has to do: what measurements are compared with.
//!
//! One table of JSON texts with two partial indexes, written by one connection with the settings of
//! ours. No checks, no second row, no queue, no other thread.

use super::connection;
use super::fault::broken;
use crate::error::StoreError;
use rusqlite::{Connection, named_params};
use std::path::Path;

// Nothing of this is in the outbox's schema.
const CREATE: &str = "
    CREATE TABLE floor (
        id    INTEGER PRIMARY KEY,
        state INTEGER NOT NULL,
        due   INTEGER NOT NULL,
        body  TEXT NOT NULL
    ) STRICT;
    CREATE INDEX floor_ready ON floor (due) WHERE state = 0;
    CREATE INDEX floor_leased ON floor (due) WHERE state = 1;";
const BEGIN: &str = "BEGIN IMMEDIATE";
const INSERT: &str = "INSERT INTO floor (state, due, body) VALUES (0, :due, :body)";
const COMMIT: &str = "COMMIT";

/// Raw durable commits, one after the other.
#[derive(Debug)]
pub struct Floor {
    connection: Connection,
    due: i64,
}

impl Floor {
    /// Creates a database at `path`, where there must be none.
    ///
    /// # Errors
    /// What the disk says.
    pub fn create(path: &Path) -> Result<Self, StoreError> {
        if !connection::create_private(path)? {
            return Err(StoreError::Unfit("there is a file of that name".to_owned()));
        }
        let connection = connection::writer(path)?;
        connection.execute_batch(CREATE).map_err(broken("create the floor's table"))?;
        Ok(Self { connection, due: 0 })
    }

    /// Commits `rows` rows that hold `body`, in one transaction.
    ///
    /// # Errors
    /// What the disk says.
    pub fn commit(&mut self, rows: usize, body: &str) -> Result<(), StoreError> {
        self.write(rows, body).map_err(broken("commit"))
    }

    fn write(&mut self, rows: usize, body: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(BEGIN)?.execute([])?;
        {
            let mut insert = self.connection.prepare_cached(INSERT)?;
            for _ in 0..rows {
                self.due += 1;
                insert.execute(named_params! {":due": self.due, ":body": body})?;
            }
        }
        self.connection.prepare_cached(COMMIT)?.execute([]).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_durable_and_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("floor.db");
        let mut floor = Floor::create(&path).unwrap();
        floor.commit(1, "{}").unwrap();
        floor.commit(100, "{}").unwrap();
        let other = connection::reader(&path).unwrap();
        let n: i64 = other.query_row("SELECT count(*) FROM floor", [], |row| row.get(0)).unwrap();
        assert_eq!(n, 101);
        let synchronous: i64 =
            floor.connection.pragma_query_value(None, "synchronous", |row| row.get(0)).unwrap();
        assert_eq!(synchronous, 2, "the floor keeps the promise it is compared by");
        assert!(Floor::create(&path).is_err(), "nothing that is there is touched");
    }
}
