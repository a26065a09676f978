//! Enqueueing: one row in one table.

use super::row::{self, message_columns};
use super::tx::Tx;
use crate::enqueue::{INSERT, Row, Value};
use crate::error::StoreError;
use crate::model::{Enqueued, NewMessage};
use callout_core::id::MessageId;
use callout_core::message::Invalid;
use rusqlite::ToSql;
use rusqlite::named_params;
use rusqlite::types::{Null, ToSqlOutput, ValueRef};

pub(super) const HOLDER_OF_KEY: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM callout_message m WHERE m.idempotency_key = :key"
);

pub(super) const HOLDER_OF_ID: &str =
    concat!("SELECT ", message_columns!(), " FROM callout_message m WHERE m.id = :id");

/// What [`INSERT`] calls its values.
const PLACES: [&str; 11] = ["?1", "?2", "?3", "?4", "?5", "?6", "?7", "?8", "?9", "?10", "?11"];

/// A message as it will be written, made before the writer is asked: it has enough to do.
pub(super) struct Laid {
    id: MessageId,
    row: Result<Row, Invalid>,
}

/// Checks a message and lays it out.
pub(super) fn lay_out(new: &NewMessage) -> Laid {
    Laid { id: new.id, row: Row::new(new.id, &new.message, new.created_at) }
}

/// Enqueues messages, each for itself. What is no fault of a message fails them all.
pub(super) fn enqueue(
    tx: &mut Tx<'_>,
    messages: &[Laid],
) -> Result<Vec<Result<Enqueued, StoreError>>, StoreError> {
    let results = messages.iter().map(|Laid { id, row }| match row {
        Err(invalid) => Ok(Err(invalid.clone().into())),
        Ok(row) => match write(tx, *id, row) {
            Err(
                fault @ (StoreError::Full(_) | StoreError::Busy(_) | StoreError::Failing { .. }),
            ) => Err(fault),
            result => Ok(result),
        },
    });
    results.collect()
}

/// Enqueues one message.
pub(super) fn insert(tx: &mut Tx<'_>, new: &NewMessage) -> Result<Enqueued, StoreError> {
    write(tx, new.id, &Row::new(new.id, &new.message, new.created_at)?)
}

fn write(tx: &mut Tx<'_>, id: MessageId, row: &Row) -> Result<Enqueued, StoreError> {
    let values = row.values().map(Bound);
    let mut values = values.iter().map(|value| value as &dyn ToSql);
    let values = PLACES.map(|place| (place, values.next().unwrap_or(&Null)));
    match tx.db.execute("enqueue", INSERT, &values) {
        Ok(1) => {
            tx.news.message = tx.news.message.max(tx.db.last_rowid());
            tx.news.work = true;
            Ok(Enqueued { id, fresh: true })
        }
        Ok(_) => known_key(tx, id, row),
        // Somebody who does not know whether a commit happened asks again with the same id.
        Err(refused) if is_repeated(tx, row)? => {
            drop(refused);
            Ok(Enqueued { id, fresh: false })
        }
        Err(refused) => Err(refused),
    }
}

fn known_key(tx: &Tx<'_>, id: MessageId, row: &Row) -> Result<Enqueued, StoreError> {
    let key = row.idempotency_key.clone().unwrap_or_default();
    let holder = tx.db.one(
        "look up the idempotency key",
        HOLDER_OF_KEY,
        named_params! {":key": key},
        |row| Ok((row::message(row)?.1, row::lossy(row, 1)?)),
    )?;
    match holder {
        Some((Ok(holder), id)) if holder.is_same_request(row) => {
            let id = id.parse().map_err(|e| StoreError::Broken {
                doing: "read the id of the message that holds the key",
                source: Box::new(e),
            })?;
            Ok(Enqueued { id, fresh: false })
        }
        Some((_, holder)) => Err(StoreError::KeyTaken { key, holder }),
        None => Err(StoreError::KeyTaken { key, holder: id.to_string() }),
    }
}

/// Whether the very same message is there already.
fn is_repeated(tx: &Tx<'_>, row: &Row) -> Result<bool, StoreError> {
    let holder =
        tx.db.one("look up the id", HOLDER_OF_ID, named_params! {":id": row.id}, row::message)?;
    Ok(holder.is_some_and(|(_, holder)| holder.is_ok_and(|holder| holder == *row)))
}

/// A value of the enqueue contract, for this driver.
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
