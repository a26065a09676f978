//! What happened to a message besides attempts.

use super::tx::Tx;
use crate::error::StoreError;
use callout_core::alert::Via;
use callout_core::time::Timestamp;
use rusqlite::named_params;

pub(super) const NOTE: &str = "
    INSERT INTO callout_journal (at, message_seq, event, detail, by, via, origin)
    VALUES (:at, :message, :event, :detail, :by, :via, :origin)";

/// What somebody did.
pub(super) struct Entry<'a> {
    pub(super) at: Timestamp,
    pub(super) event: &'a str,
    pub(super) detail: &'a str,
    pub(super) by: Option<&'a str>,
    pub(super) via: Option<Via>,
    pub(super) origin: Option<String>,
}

/// Adds an entry about the message in row `message`, by nobody.
pub(super) fn note(
    tx: &mut Tx<'_>,
    at: Timestamp,
    message: i64,
    event: &str,
    detail: &str,
) -> Result<(), StoreError> {
    write(tx, message, &Entry { at, event, detail, by: None, via: None, origin: None })
}

/// Adds an entry about the message in row `message`.
pub(super) fn write(tx: &mut Tx<'_>, message: i64, entry: &Entry<'_>) -> Result<(), StoreError> {
    let params = named_params! {
        ":at": entry.at.unix_ms(), ":message": message, ":event": entry.event,
        ":detail": entry.detail, ":by": entry.by, ":via": entry.via.map(Via::name),
        ":origin": entry.origin,
    };
    tx.db.execute("write the journal", NOTE, params)?;
    tx.news.journal = tx.news.journal.max(tx.db.last_rowid());
    Ok(())
}
