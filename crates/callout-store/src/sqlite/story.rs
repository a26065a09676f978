//! Everything about one message.

use super::attempt;
use super::body;
use super::list::{self, listed, summary_columns};
use super::row::{self, time};
use super::tx::Db;
use crate::error::StoreError;
use crate::model::{Delivery, JournalEntry, Story};
use callout_core::id::DeliveryId;
use rusqlite::named_params;

pub(super) const READ: &str = concat!(
    "SELECT ",
    summary_columns!(),
    " FROM callout_message m CROSS JOIN callout_progress p ON p.seq = m.seq WHERE m.id = :id"
);

pub(super) const JOURNAL: &str = "
    SELECT at, event, detail FROM callout_journal WHERE message_seq = :seq ORDER BY id";

/// Tells everything about the message with this id.
pub(super) fn story(db: Db<'_>, id: &str) -> Result<Option<Story>, StoreError> {
    let params = named_params! {":id": id};
    let Some(listed) = db.one("read the message", READ, params, listed)? else { return Ok(None) };
    let rows = list::deliveries(db, listed.seq)?;
    let mut summary = listed.summary;
    summary.deliveries = list::standings(&rows);
    let deliveries = rows.into_iter().map(|row| delivery(db, row));
    let params = named_params! {":seq": listed.seq};
    let journal = db.all("read the journal", JOURNAL, params, |row| {
        Ok(JournalEntry { at: time(row.get(0)?), event: row.get(1)?, detail: row.get(2)? })
    })?;
    Ok(Some(Story {
        summary,
        message: match body::read(db, listed.seq)? {
            Ok(trusted) => Ok(trusted.message),
            Err(damaged) => Err(damaged.to_string()),
        },
        why: listed.why,
        deliveries: deliveries.collect::<Result<_, _>>()?,
        journal,
    }))
}

fn delivery(db: Db<'_>, row: row::Delivery) -> Result<Delivery, StoreError> {
    Ok(Delivery {
        id: DeliveryId(row.id),
        attempts: attempt::of_delivery(db, row.id)?,
        receiver: row.receiver,
        state: row.state,
        expires_at: row.expires_at,
        leased_at: row.leased_at,
    })
}
