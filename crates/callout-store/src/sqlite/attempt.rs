//! The record of tries.

use super::counter::Count;
use super::row::{self, time};
use super::tx::{Db, Tx};
use crate::error::StoreError;
use crate::model::{Attempt, AttemptRecord};
use callout_core::delivery::{LOSSES_MAX, Wait};
use callout_core::id::DeliveryId;
use rusqlite::{Row, named_params};
use std::time::Duration;

pub(super) const WRITE: &str = "
    INSERT INTO callout_attempt
           (delivery_id, number, channel, due_at, wait, started_at, duration_ms, outcome, code,
            detail, late)
    VALUES (:delivery, :number, :channel, :due_at, :wait, :started_at, :duration, :outcome, :code,
            :detail, :late)
        ON CONFLICT (delivery_id, number) DO UPDATE
       SET channel = excluded.channel, due_at = excluded.due_at, wait = excluded.wait,
           started_at = excluded.started_at, duration_ms = excluded.duration_ms,
           outcome = excluded.outcome, code = excluded.code, detail = excluded.detail,
           late = excluded.late";

pub(super) const READ: &str = "
    SELECT number, channel, due_at, wait, started_at, duration_ms, outcome, code, detail, late
      FROM callout_attempt
     WHERE delivery_id = :delivery AND number = :number";

pub(super) const OF_DELIVERY: &str = "
    SELECT number, channel, due_at, wait, started_at, duration_ms, outcome, code, detail, late
      FROM callout_attempt
     WHERE delivery_id = :delivery
     ORDER BY number";

/// What is noted of a try whose worker never said how it ended.
pub(super) static LOST: &str = "the worker stopped before the outcome was known";

pub(super) const LATEST: &str = "
    SELECT detail, wait FROM callout_attempt
     WHERE delivery_id = :delivery ORDER BY number DESC LIMIT :limit";

/// How many of the latest tries ended with their worker, since somebody last put the delivery back.
pub(super) fn lost_in_a_row(db: Db<'_>, delivery: DeliveryId) -> Result<u32, StoreError> {
    let params = named_params! {":delivery": delivery.0, ":limit": LOSSES_MAX};
    let latest = db.all("look for lost tries", LATEST, params, |row| {
        Ok((row::lossy(row, 0)? == LOST, row::lossy(row, 1)? == Wait::Replayed.name()))
    })?;
    let mut lost = 0;
    for (is_lost, was_replayed) in latest {
        lost += u32::from(is_lost);
        if was_replayed || !is_lost {
            break;
        }
    }
    Ok(lost)
}

/// Records a try that ended in time.
pub(super) fn write(
    tx: &mut Tx<'_>,
    delivery: DeliveryId,
    attempt: &Attempt,
) -> Result<(), StoreError> {
    let outcome = attempt.outcome.name().to_owned();
    tx.counters.add(Count::Attempts(attempt.channel.clone(), outcome), 1);
    put(tx, delivery, attempt, false)
}

/// Records what came after somebody else had taken over. Says whether the try had been recorded in
/// time already: then this is the same settlement once more, and nothing changes.
pub(super) fn write_late(
    tx: &mut Tx<'_>,
    delivery: DeliveryId,
    attempt: &Attempt,
) -> Result<bool, StoreError> {
    let params = named_params! {":delivery": delivery.0, ":number": attempt.number};
    let known = tx.db.one("read the try", READ, params, record)?;
    if known.as_ref().is_some_and(|known| *known == record_of(attempt)) {
        return Ok(true);
    }
    let before = known.map(|known| Count::Attempts(known.channel, known.outcome));
    let outcome = attempt.outcome.name().to_owned();
    tx.counters.shift(before, Count::Attempts(attempt.channel.clone(), outcome));
    put(tx, delivery, attempt, true)?;
    Ok(false)
}

fn put(tx: &Tx<'_>, delivery: DeliveryId, attempt: &Attempt, late: bool) -> Result<(), StoreError> {
    let reason = attempt.outcome.reason();
    let params = named_params! {
        ":delivery": delivery.0, ":number": attempt.number, ":channel": attempt.channel.as_str(),
        ":due_at": attempt.due_at.unix_ms(), ":wait": attempt.wait.name(),
        ":started_at": attempt.started_at.unix_ms(),
        ":duration": i64::try_from(attempt.duration.as_millis()).unwrap_or(i64::MAX),
        ":outcome": attempt.outcome.name(), ":code": reason.code, ":detail": reason.detail,
        ":late": late,
    };
    tx.db.execute("record the try", WRITE, params).map(drop)
}

/// The tries of a delivery, oldest first.
pub(super) fn of_delivery(db: Db<'_>, delivery: i64) -> Result<Vec<AttemptRecord>, StoreError> {
    db.all("read the tries", OF_DELIVERY, named_params! {":delivery": delivery}, record)
}

/// Reads a try to be shown; what is damaged in it hides neither the rest nor other tries.
fn record(row: &Row<'_>) -> rusqlite::Result<AttemptRecord> {
    Ok(AttemptRecord {
        number: row.get(0)?,
        channel: row::named(row, 1)?,
        due_at: time(row.get(2)?),
        wait: Wait::from_name(&row::lossy(row, 3)?).unwrap_or(Wait::New),
        started_at: time(row.get(4)?),
        duration: Duration::from_millis(row.get::<_, i64>(5)?.try_into().unwrap_or(0)),
        outcome: row::lossy(row, 6)?,
        code: Some(row::lossy(row, 7)?).filter(|code| !code.is_empty()),
        detail: row::lossy(row, 8)?,
        late: row.get(9)?,
    })
}

fn record_of(attempt: &Attempt) -> AttemptRecord {
    let reason = attempt.outcome.reason().clone();
    AttemptRecord {
        number: attempt.number,
        channel: attempt.channel.clone(),
        due_at: attempt.due_at,
        wait: attempt.wait,
        started_at: attempt.started_at,
        // As the store rounds it.
        duration: Duration::from_millis(attempt.duration.as_millis().try_into().unwrap_or(0)),
        outcome: attempt.outcome.name().to_owned(),
        code: reason.code,
        detail: reason.detail,
        late: false,
    }
}
