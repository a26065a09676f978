//! Reading what a message says, without trusting the disk.

use super::counter::Count;
use super::delivery::Scene;
use super::journal;
use super::report::{self, About};
use super::row::{self, Trusted, message_columns};
use super::tx::{Db, Tx};
use crate::enqueue::Damaged;
use crate::error::StoreError;
use callout_core::delivery::{Cause, Notice};
use callout_core::id::ReceiverName;
use callout_core::plan::MessageState;
use rusqlite::named_params;
use std::sync::Arc;

pub(super) const READ: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", p.content FROM callout_message m LEFT JOIN callout_progress p ON p.seq = m.seq
     WHERE m.seq = :seq"
);

pub(super) const REMAINS: &str = "SELECT id, level, title FROM callout_message WHERE seq = :seq";

pub(super) const QUARANTINE: &str = "
    INSERT INTO callout_progress (seq, state, why, settled_at) VALUES (:seq, 'dead', :why, :now)
        ON CONFLICT (seq) DO UPDATE
       SET state = excluded.state, why = excluded.why, settled_at = excluded.settled_at";

/// Reads a message and checks it as if it had just been written, and that it is still what was planned.
pub(super) fn read(db: Db<'_>, seq: i64) -> Result<Result<Trusted, Damaged>, StoreError> {
    let row = db.one("read the message", READ, named_params! {":seq": seq}, |row| {
        // What is no number is no checksum either.
        Ok((row::message(row)?.1, row.get::<_, Option<i64>>(12).unwrap_or(Some(-1))))
    })?;
    let Some((stored, noted)) = row else {
        return Ok(Err(Damaged::Unreadable("its row is gone".to_owned())));
    };
    Ok(row::trusted(stored).and_then(|trusted| unchanged(trusted, noted)))
}

/// A message, unless it has changed since its checksum was `noted`.
fn unchanged(trusted: Trusted, noted: Option<i64>) -> Result<Trusted, Damaged> {
    let found = trusted.content;
    match noted {
        Some(noted) if noted != i64::from(found) => Err(Damaged::Checksum { found, noted }),
        Some(_) | None => Ok(trusted),
    }
}

/// What can be said about a message, even if it is damaged.
pub(super) fn rescued(tx: &Tx<'_>, seq: i64) -> Result<About, StoreError> {
    if let Ok(Trusted { id, message, .. }) = read(tx.db, seq)? {
        return Ok(About { id, message: Arc::unwrap_or_clone(message) });
    }
    let remains = tx.db.one("read the message", REMAINS, named_params! {":seq": seq}, |row| {
        Ok(About::remains(&row::lossy(row, 0)?, &row::lossy(row, 1)?, &row::lossy(row, 2)?))
    })?;
    Ok(remains.unwrap_or_else(|| About::remains("", "", "")))
}

/// Sets a new message aside that cannot be trusted.
pub(super) fn quarantine(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    seq: i64,
    damaged: &Damaged,
) -> Result<(), StoreError> {
    let why = damaged.to_string();
    let params = named_params! {":seq": seq, ":why": why, ":now": scene.now.unix_ms()};
    tx.db.execute("quarantine the message", QUARANTINE, params)?;
    tx.counters.add(Count::Messages(MessageState::Dead), 1);
    journal::note(tx, scene.now, seq, "quarantined", &why)?;
    let about = rescued(tx, seq)?;
    // Nobody knows for whom it was.
    let Ok(anyone) = "anyone".parse::<ReceiverName>() else { return Ok(()) };
    report::send(tx, scene, Notice::Dead(Cause::Quarantined), &about, &anyone, &why)
}
