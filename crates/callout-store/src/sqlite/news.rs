//! Messages that bring news of an alert: somebody took it, gave it back or ended it.
//!
//! The tie is `callout_progress.alert`: planning writes it for what a producer says under the alert's
//! dedup key, and [`tie`] for what Callout itself says. Labels alone, which anybody can write, tie nothing.

use super::alert;
use super::body;
use super::row::{self, Trusted, time};
use super::tx::{Db, Tx};
use crate::error::StoreError;
use callout_core::alert::{RECEIPTS_MAX, Regarding};
use callout_core::id::ChannelName;
use callout_core::message::Message;
use callout_core::plan;
use rusqlite::named_params;

pub(super) const TIE: &str = "
    INSERT INTO callout_progress (seq, state, alert) VALUES (:seq, 'new', :alert)
        ON CONFLICT (seq) DO UPDATE SET alert = excluded.alert";

pub(super) const TIED: &str = "SELECT alert FROM callout_progress WHERE seq = :seq";

// Newest first by delivery, which is the order of their making, so that nothing has to be sorted.
pub(super) const RECEIPTS: &str = "
    SELECT t.started_at, t.code
      FROM callout_delivery d CROSS JOIN callout_attempt t ON t.delivery_id = d.id
     WHERE d.message_seq = :alert AND t.channel = :channel AND t.outcome = 'accepted'
       AND t.code IS NOT NULL
     ORDER BY d.id DESC, t.number DESC LIMIT :limit";

/// Notes that the new message in row `seq` tells of the alert in row `alert`.
pub(super) fn tie(tx: &Tx<'_>, seq: i64, alert: i64) -> Result<(), StoreError> {
    let params = named_params! {":seq": seq, ":alert": alert};
    tx.db.execute("tie the news to the alert", TIE, params).map(drop)
}

/// The alert that the message in row `seq` brings news of, as `channel` told of it. `None` if it brings
/// none, or if nothing can be said about the alert any more; it is sent nevertheless.
pub(super) fn about(
    db: Db<'_>,
    seq: i64,
    message: &Message,
    channel: &ChannelName,
) -> Result<Option<Regarding>, StoreError> {
    let Some(standing) = plan::standing_by(message) else { return Ok(None) };
    let tied =
        db.one("read what the news are about", TIED, named_params! {":seq": seq}, |row| {
            row.get::<_, Option<i64>>(0)
        })?;
    let Some(row) = tied.flatten() else { return Ok(None) };
    let Ok(Trusted { id, message, created_at, .. }) = body::read(db, row)? else { return Ok(None) };
    let now = alert::standing(db, row).unwrap_or(standing);
    let receipts = receipts(db, row, channel)?;
    Ok(Some(Regarding { id, message, created_at, standing, now, receipts }))
}

/// What a channel accepted an alert with, whoever the receiver was: those who share a channel read the
/// same. Oldest first.
fn receipts(db: Db<'_>, alert: i64, channel: &ChannelName) -> Result<Vec<String>, StoreError> {
    let limit = i64::try_from(RECEIPTS_MAX).unwrap_or(i64::MAX);
    let params = named_params! {":alert": alert, ":channel": channel.as_str(), ":limit": limit};
    let mut receipts = db.all("read the receipts", RECEIPTS, params, |row| {
        Ok((time(row.get(0)?), row::lossy(row, 1)?))
    })?;
    receipts.reverse();
    // A delivery that was put back is older than what it told.
    receipts.sort_by_key(|(at, _)| *at);
    Ok(receipts.into_iter().map(|(_, code)| code).collect())
}
