//! Which of the outbox's tables a database has.
//!
//! The schema is asked, so that nobody has to read SQLite's error text.

use crate::error::{Error, doing};
use rusqlite::Connection;

/// Without it there is no outbox.
const OUTBOX: &str = "callout_message";

/// Older releases did not make it.
const ALERTS: &str = "callout_alert";

/// Fails with [`Error::SchemaMissing`] if there is no outbox.
pub(crate) fn check_outbox(conn: &Connection) -> Result<(), Error> {
    if has(conn, OUTBOX)? { Ok(()) } else { Err(Error::SchemaMissing) }
}

/// Fails with [`Error::SchemaOld`] if the outbox knows no alerts, and as [`check_outbox`].
pub(crate) fn check_alerts(conn: &Connection) -> Result<(), Error> {
    if has(conn, ALERTS)? {
        return Ok(());
    }
    check_outbox(conn)?;
    Err(Error::SchemaOld)
}

/// Why a statement failed: because of a missing table if one is missing.
pub(crate) fn explain(tables: Result<(), Error>, failure: Error) -> Error {
    match tables {
        Err(missing @ (Error::SchemaMissing | Error::SchemaOld)) => missing,
        Ok(()) | Err(_) => failure,
    }
}

fn has(conn: &Connection, table: &str) -> Result<bool, Error> {
    let mut columns = 0;
    let count = |_: &rusqlite::Row<'_>| {
        columns += 1;
        Ok(())
    };
    conn.pragma(None, "table_info", table, count).map_err(doing("read the schema"))?;
    Ok(columns > 0)
}
