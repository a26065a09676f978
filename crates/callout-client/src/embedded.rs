//! Enqueueing over a connection of the application's own, in the transaction it has open.
//!
//! Nothing here begins, commits or rolls back: the message shares the fate of whatever the
//! application writes beside it. No statement is cached either; older rusqlite has no such feature
//! to count on, and preparing this one costs microseconds beside the sync of the commit.

use crate::durability::Weakness;
use crate::error::{Error, doing};
use crate::statement::Statement;
use crate::tables::{check_alerts, check_outbox, explain};
use callout_core::id::MessageId;
use callout_core::message::Message;
use callout_store::enqueue::{Row, Value};
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};

/// What enqueueing left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Receipt {
    /// The message; what `callout why` and `callout ack` take.
    pub id: MessageId,
    /// Whether this call enqueued it. `false`: it was there already, under the same idempotency key.
    pub fresh: bool,
}

/// Enqueues `message` in the transaction that `conn` has open.
///
/// A [`Transaction`](rusqlite::Transaction) and a [`Savepoint`](rusqlite::Savepoint) can be passed as
/// they are. It neither begins nor ends a transaction: once yours has committed, the message cannot
/// get lost; if yours rolls back, there never was one. Without an open transaction it commits by
/// itself before it returns.
///
/// The outbox must be in the main database of the connection, not in an attached one: SQLite commits
/// several files in WAL mode one after the other.
///
/// # Errors
/// [`Error::Invalid`], [`Error::KeyTaken`], [`Error::SchemaMissing`]; [`Error::SchemaOld`] if the message
/// asks for acknowledgment or resolves and the outbox knows no alerts; [`Error::NotDurable`] if a loss of
/// power could undo the commit; [`Error::Database`] for anything SQLite reports. Nothing was written,
/// and your transaction is as it was, unless SQLite itself has rolled it back (a full disk, for
/// example). That your COMMIT failed, only you can see: then the message may be there or not, as
/// may everything else you wrote.
pub fn enqueue(conn: &Connection, message: &Message) -> Result<Receipt, Error> {
    check_durable(conn)?;
    enqueue_best_effort(conn, message)
}

/// Enqueues like [`enqueue`], whatever becomes of it when the power fails.
///
/// For in-memory databases in tests, and for applications that run `synchronous=NORMAL` knowingly.
/// The message still survives the end of every process.
///
/// # Errors
/// As [`enqueue`], without [`Error::NotDurable`].
pub fn enqueue_best_effort(conn: &Connection, message: &Message) -> Result<Receipt, Error> {
    let statement = Statement::new(message)?;
    if message.require_ack || message.resolve {
        check_alerts(conn)?;
    }
    let values = statement.values().into_iter().map(Bound);
    let inserted = conn
        .execute(statement.sql(), params_from_iter(values))
        .map_err(|e| explain(check_outbox(conn), doing("insert the message")(e)))?;
    if inserted == 1 {
        return Ok(Receipt { id: statement.id(), fresh: true });
    }
    already_there(conn, &statement, message.idempotency_key.as_deref().unwrap_or_default())
}

/// Says whether [`enqueue`] would work on `conn`; worth a call when the application starts.
///
/// # Errors
/// [`Error::SchemaMissing`], [`Error::NotDurable`], [`Error::Database`].
pub fn check(conn: &Connection) -> Result<(), Error> {
    check_outbox(conn)?;
    check_durable(conn)
}

fn check_durable(conn: &Connection) -> Result<(), Error> {
    match Weakness::of(conn).map_err(doing("read the connection's settings"))? {
        Some(weakness) => Err(Error::NotDurable(weakness)),
        None => Ok(()),
    }
}

/// Never takes "nothing inserted" for an answer: without a holder this is an error.
fn already_there(conn: &Connection, statement: &Statement, key: &str) -> Result<Receipt, Error> {
    let holder = conn
        .query_row(Statement::FIND_BY_KEY, [key], stored_row)
        .map_err(doing("read the message that holds the idempotency key"))?;
    match holder.id.parse() {
        Ok(id) if statement.is_same_request(&holder) => Ok(Receipt { id, fresh: false }),
        _ => Err(Error::KeyTaken { key: key.to_owned(), holder: holder.id }),
    }
}

fn stored_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: row.get("id")?,
        level: row.get("level")?,
        title: row.get("title")?,
        body: row.get("body")?,
        details: row.get("details")?,
        idempotency_key: row.get("idempotency_key")?,
        dedup_key: row.get("dedup_key")?,
        delay_ms: row.get("delay_ms")?,
        ttl_ms: row.get("ttl_ms")?,
        created_at: row.get("created_at")?,
        checksum: row.get("checksum")?,
    })
}

/// A value as rusqlite binds it.
struct Bound<'a>(Value<'a>);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Integer(n) => ValueRef::Integer(n),
        }))
    }
}
