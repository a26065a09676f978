//! Saying that a problem is over.
//!
//! It is a message like any other: one row, in the caller's transaction. The worker resolves the alert
//! when it reads that row.

use crate::embedded::{Receipt, enqueue};
use crate::error::Error;
use callout_core::message::Message;
use rusqlite::Connection;

/// Says that the problem named by `dedup_key` is over, in the transaction that `conn` has open.
///
/// Once it has committed, the worker resolves the alert with that key, and those who were told hear of
/// it. The text is [`Message::resolved`]'s; for words of your own there is [`resolve_with`].
///
/// # Errors
/// As [`enqueue`].
pub fn resolve(conn: &Connection, dedup_key: &str) -> Result<Receipt, Error> {
    enqueue(conn, &Message::resolved(dedup_key))
}

/// Resolves like [`resolve`], and `message` is what those who were told read.
///
/// Its own `dedup_key` and `resolve` do not matter.
///
/// # Errors
/// As [`enqueue`]; [`Error::Invalid`] among others if `message` itself wants to be acknowledged.
pub fn resolve_with(
    conn: &Connection,
    dedup_key: &str,
    message: &Message,
) -> Result<Receipt, Error> {
    enqueue(conn, &resolving(dedup_key, message))
}

/// `message` as one that resolves.
pub(crate) fn resolving(dedup_key: &str, message: &Message) -> Message {
    let mut message = message.clone().with_dedup_key(dedup_key);
    message.resolve = true;
    message
}
