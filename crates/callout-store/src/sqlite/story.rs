//! Everything about one message.

use super::alert;
use super::attempt;
use super::body;
use super::list::{self, listed, summary_columns};
use super::row::{self, lossy, time};
use super::tx::Db;
use crate::error::StoreError;
use crate::model::{Delivery, JournalEntry, Story};
use callout_core::id::DeliveryId;
use rusqlite::named_params;
use rusqlite::types::ValueRef;
use std::sync::Arc;

pub(super) const READ: &str = concat!(
    "SELECT ",
    summary_columns!(),
    ", (SELECT other.id FROM callout_message other WHERE other.seq = p.alert)
      FROM callout_message m LEFT JOIN callout_progress p ON p.seq = m.seq
      LEFT JOIN callout_alert a ON a.seq = m.seq
     WHERE m.id = :id"
);

pub(super) const JOURNAL: &str = "
    SELECT at, event, detail, by, via, origin
      FROM callout_journal WHERE message_seq = :seq ORDER BY id";

/// Tells everything about the message with this id.
pub(super) fn story(db: Db<'_>, id: &str) -> Result<Option<Story>, StoreError> {
    let params = named_params! {":id": id};
    let found = db.one("read the message", READ, params, |row| {
        let is_tied = row.get_ref(16)? != ValueRef::Null;
        Ok((listed(row)?, is_tied.then(|| lossy(row, 16)).transpose()?))
    })?;
    let Some((listed, belongs_to)) = found else { return Ok(None) };
    let rows = list::deliveries(db, listed.seq)?;
    let mut summary = listed.summary;
    summary.deliveries = list::standings(&rows);
    let deliveries = rows.into_iter().map(|row| delivery(db, row));
    let params = named_params! {":seq": listed.seq};
    let journal = db.all("read the journal", JOURNAL, params, |row| {
        Ok(JournalEntry {
            at: time(row.get(0)?),
            event: row.get(1)?,
            detail: row.get(2)?,
            by: row.get(3)?,
            via: row.get(4)?,
            origin: row.get(5)?,
        })
    })?;
    Ok(Some(Story {
        summary,
        message: match body::read(db, listed.seq)? {
            Ok(trusted) => Ok(Arc::unwrap_or_clone(trusted.message)),
            Err(damaged) => Err(damaged.to_string()),
        },
        why: listed.why,
        deliveries: deliveries.collect::<Result<_, _>>()?,
        journal,
        alert: match alert::read(db, listed.seq)? {
            Some(row) => Some(alert::whole(db, row)?),
            None => None,
        },
        belongs_to,
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
        decision: row.decision,
    })
}
