//! What happened to a message besides attempts.

use super::tx::Tx;
use crate::error::StoreError;
use callout_core::time::Timestamp;
use rusqlite::named_params;

pub(super) const NOTE: &str = "
    INSERT INTO callout_journal (at, message_seq, event, detail)
    VALUES (:at, :message, :event, :detail)";

/// Adds an entry about the message in row `message`.
pub(super) fn note(
    tx: &mut Tx<'_>,
    at: Timestamp,
    message: i64,
    event: &str,
    detail: &str,
) -> Result<(), StoreError> {
    let params = named_params! {
        ":at": at.unix_ms(), ":message": message, ":event": event, ":detail": detail,
    };
    tx.db.execute("write the journal", NOTE, params)?;
    tx.news.journal = tx.news.journal.max(tx.db.last_rowid());
    Ok(())
}
