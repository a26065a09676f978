//! Bringing the schema up to date.
//!
//! Several programs may start at once: the versions are read again inside the transaction that
//! applies a step. The notes live in a table of our own; `PRAGMA user_version` is the application's.

use super::fault::broken;
use super::tx::{Db, Statements};
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::schema::{Migration, NOTE_VERSION, SQLITE, VERSION_TABLE};
use callout_core::time::Timestamp;
use rusqlite::{Connection, TransactionBehavior, params};

pub(super) const HAS_VERSIONS: &str =
    "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'callout_schema'";

pub(super) const VERSIONS: &str = "SELECT version, checksum FROM callout_schema ORDER BY version";

/// A step of the schema and whether a database has taken it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// Counts from 1.
    pub version: u32,
    /// What it is called.
    pub name: &'static str,
    /// Whether the database has it.
    pub applied: bool,
}

/// All steps this program knows, as the database has them.
pub(super) fn steps(connection: &Connection) -> Result<Vec<Step>, StoreError> {
    let applied = applied(connection)?;
    Ok(unapplied(applied))
}

/// The steps of a database that has taken the first `applied` of them.
pub(super) fn unapplied(applied: usize) -> Vec<Step> {
    let step = |(n, step): (usize, &Migration)| Step {
        version: step.version,
        name: step.name,
        applied: n < applied,
    };
    SQLITE.iter().enumerate().map(step).collect()
}

/// Whether there is an outbox in this database.
pub(super) fn has_outbox(connection: &Connection) -> Result<bool, StoreError> {
    Ok(Db::new(&Statements::of(connection))
        .one("look for the schema", HAS_VERSIONS, &[], |_| Ok(()))?
        .is_some())
}

/// Applies what is missing, all or nothing.
pub(super) fn migrate(connection: &mut Connection, now: Timestamp) -> Result<(), StoreError> {
    const DOING: &str = "bring the schema up to date";
    if applied(connection)? == SQLITE.len() {
        return Ok(());
    }
    crash_point("before_migrate");
    let tx = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(broken(DOING))?;
    tx.execute_batch(VERSION_TABLE).map_err(broken(DOING))?;
    for step in SQLITE.iter().skip(applied(&tx)?) {
        tx.execute_batch(step.sql).map_err(broken(DOING))?;
        crash_point("inside_migrate");
        let note = params![step.version, step.name, step.checksum(), now.unix_ms()];
        tx.execute(NOTE_VERSION, note).map_err(broken(DOING))?;
    }
    crash_point("before_migrate_commit");
    tx.commit().map_err(|e| StoreError::CommitUnknown(Box::new(e)))?;
    crash_point("after_migrate");
    Ok(())
}

/// How many steps the database has, having checked that they are ours.
fn applied(connection: &Connection) -> Result<usize, StoreError> {
    if !has_outbox(connection)? {
        return Ok(0);
    }
    let versions = Db::new(&Statements::of(connection)).all(
        "read the schema's version",
        VERSIONS,
        &[],
        |row| Ok((row.get::<_, u32>(0)?, row.get::<_, i64>(1)?)),
    )?;
    let known = SQLITE.last().map_or(0, |step| step.version);
    for (n, (version, checksum)) in versions.iter().enumerate() {
        if *version > known {
            let found = versions.last().map_or(*version, |(version, _)| *version);
            return Err(StoreError::SchemaTooNew { found, known });
        }
        let ours = SQLITE.get(n).is_some_and(|ours| {
            ours.version == *version && i64::from(ours.checksum()) == *checksum
        });
        if !ours {
            return Err(StoreError::SchemaChanged { version: *version });
        }
    }
    Ok(versions.len())
}
