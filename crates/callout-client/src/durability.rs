//! Whether a committed message would outlive a loss of power.
//!
//! SQLite decides this per connection, by `synchronous` and `journal_mode`, and says nothing when the
//! answer is no. `NORMAL` in WAL mode leaves commits in memory until a checkpoint. Deleting a rollback
//! journal does not sync its folder, so under `FULL` a journal can come back with the power and undo
//! the last commit; SQLite added `EXTRA` for that.

use rusqlite::Connection;
use std::fmt;

const FULL: i64 = 2;
const EXTRA: i64 = 3;

/// Settings of a connection under which a loss of power can undo a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weakness {
    journal_mode: String,
    synchronous: i64,
}

impl Weakness {
    /// Looks for one in the settings of `conn`.
    pub(crate) fn of(conn: &Connection) -> rusqlite::Result<Option<Self>> {
        let journal_mode: String = conn.pragma_query_value(None, "journal_mode", |r| r.get(0))?;
        let synchronous = conn.pragma_query_value(None, "synchronous", |r| r.get(0))?;
        let enough = match journal_mode.as_str() {
            "wal" | "truncate" | "persist" => synchronous >= FULL,
            "delete" => synchronous >= EXTRA,
            _ => false, // `off` and `memory` keep nothing to recover from.
        };
        Ok((!enough).then_some(Self { journal_mode, synchronous }))
    }
}

impl fmt::Display for Weakness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { journal_mode, synchronous } = self;
        let synchronous = match synchronous {
            0 => "OFF",
            1 => "NORMAL",
            2 => "FULL",
            _ => "EXTRA",
        };
        write!(f, "journal_mode={journal_mode} with synchronous={synchronous}")
    }
}
