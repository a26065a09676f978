//! What happened to a message besides attempts.

use super::tx::Tx;
use crate::error::StoreError;
use crate::model::Actor;
use callout_core::message::LABEL_VALUE_BYTES_MAX;
use callout_core::time::Timestamp;
use rusqlite::named_params;

pub(super) const NOTE: &str = "
    INSERT INTO callout_journal (at, message_seq, event, detail, by, via, origin)
    VALUES (:at, :message, :event, :detail, :by, :via, :origin)";

/// What happened.
pub(super) struct Entry<'a> {
    pub(super) at: Timestamp,
    pub(super) event: &'a str,
    pub(super) detail: &'a str,
    /// `None`: it happened by itself.
    pub(super) who: Option<&'a Actor>,
}

/// Adds an entry about the message in row `message`, by nobody.
pub(super) fn note(
    tx: &mut Tx<'_>,
    at: Timestamp,
    message: i64,
    event: &str,
    detail: &str,
) -> Result<(), StoreError> {
    write(tx, message, &Entry { at, event, detail, who: None })
}

/// Adds an entry about the message in row `message`.
pub(super) fn write(tx: &mut Tx<'_>, message: i64, entry: &Entry<'_>) -> Result<(), StoreError> {
    let params = named_params! {
        ":at": entry.at.unix_ms(), ":message": message, ":event": entry.event,
        ":detail": clean(entry.detail), ":by": entry.who.map(|who| who.by.as_str()),
        ":via": entry.who.map(|who| who.via.name()),
        ":origin": entry.who.and_then(|who| who.origin.as_deref()).map(clean),
    };
    tx.db.execute("write the journal", NOTE, params)?;
    tx.news.journal = tx.news.journal.max(tx.db.last_rowid());
    Ok(())
}

/// Somebody's words without control characters, cut to a length that can be shown.
fn clean(words: &str) -> String {
    let mut clean = String::new();
    for c in words.trim().chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if clean.len() + c.len_utf8() > LABEL_VALUE_BYTES_MAX {
            break;
        }
        clean.push(c);
    }
    clean
}
