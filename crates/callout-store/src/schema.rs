//! The schema, as the files in `migrations/`.
//!
//! An application that keeps its outbox in its own database may run [`SQLITE`] in its own migrations,
//! or let `callout migrate` do it. All names start with `callout_`; `PRAGMA user_version` stays the
//! application's.

/// One step of the schema.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// Counts from 1 without gaps.
    pub version: u32,
    /// The file's name without its number.
    pub name: &'static str,
    /// The statements.
    pub sql: &'static str,
}

/// Every step for SQLite, oldest first.
pub const SQLITE: &[Migration] = &[
    Migration {
        version: 1,
        name: "outbox",
        sql: include_str!("../migrations/sqlite/0001_outbox.sql"),
    },
    Migration {
        version: 2,
        name: "alerts",
        sql: include_str!("../migrations/sqlite/0002_alerts.sql"),
    },
    Migration {
        version: 3,
        name: "checksums",
        sql: include_str!("../migrations/sqlite/0003_checksums.sql"),
    },
    Migration {
        version: 4,
        name: "unplanned",
        sql: include_str!("../migrations/sqlite/0004_unplanned.sql"),
    },
];

/// Where the store notes which steps a database has taken. Part of no step: it comes first.
pub const VERSION_TABLE: &str = "
    CREATE TABLE IF NOT EXISTS callout_schema (
        version    INTEGER PRIMARY KEY,
        name       TEXT NOT NULL,
        checksum   INTEGER NOT NULL,
        applied_at INTEGER NOT NULL
    ) STRICT";

/// Notes one step; the parameters are version, name, checksum and time.
pub const NOTE_VERSION: &str =
    "INSERT INTO callout_schema (version, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)";

impl Migration {
    /// CRC-32 of the statements, noted with the version: a changed file under an old number is noticed.
    pub fn checksum(&self) -> u32 {
        crc32fast::hash(self.sql.as_bytes())
    }
}
