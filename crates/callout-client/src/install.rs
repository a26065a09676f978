//! Creating the outbox inside a database of the application's own.

use crate::error::{Error, doing};
use callout_store::{clock, schema};
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};

/// Creates the outbox's tables, or brings them up to date. Harmless at every start.
///
/// Outside a transaction it takes one of its own; inside yours it becomes part of it, so it can be a
/// step of your migrations. Tables that a newer release of Callout has already changed are left
/// alone: what this release inserts still fits them. All names start with `callout_`, and
/// `PRAGMA user_version` stays yours.
///
/// # Errors
/// [`Error::Database`], among others if the tables were made without their version table. It creates
/// everything or nothing, and may be called again.
pub fn install(conn: &Connection) -> Result<(), Error> {
    if conn.is_autocommit() {
        let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)
            .map_err(doing("begin a transaction"))?;
        apply(&tx).map_err(doing("create the outbox's tables"))?;
        tx.commit().map_err(doing("commit the outbox's tables"))
    } else {
        within_transaction(conn).map_err(doing("create the outbox's tables"))
    }
}

/// rusqlite opens savepoints only on connections it may change, which a transaction does not lend.
fn within_transaction(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch("SAVEPOINT callout_install")?;
    match apply(conn) {
        Ok(()) => conn.execute_batch("RELEASE callout_install"),
        Err(error) => {
            conn.execute_batch("ROLLBACK TO callout_install; RELEASE callout_install")?;
            Err(error)
        }
    }
}

/// Notes each step before it takes it; a number that is noted already was taken.
fn apply(conn: &Connection) -> rusqlite::Result<()> {
    conn.execute_batch(schema::VERSION_TABLE)?;
    for step in schema::SQLITE {
        let note = (step.version, step.name, step.checksum(), clock::now().unix_ms());
        match conn.execute(schema::NOTE_VERSION, note) {
            Ok(_) => conn.execute_batch(step.sql)?,
            Err(e) if e.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => (),
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
