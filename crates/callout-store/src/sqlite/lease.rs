//! Leases whose worker is gone, and the workers themselves.

use super::alert;
use super::attempt;
use super::channel;
use super::delivery::{self, Scene, happen};
use super::journal;
use super::report::Ids;
use super::row::{self, Delivery, delivery_columns};
use super::tx::{Db, Tx};
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::model::Attempt;
use callout_core::delivery::{Cause, Event, State};
use callout_core::id::{DeliveryId, WorkerId};
use callout_core::outcome::{Outcome, Reason};
use callout_core::plan::Directory;
use callout_core::time::Timestamp;
use rusqlite::named_params;

pub(super) const REGISTER: &str = "
    INSERT INTO callout_worker (id, started_at) VALUES (:id, :now) ON CONFLICT (id) DO NOTHING";

pub(super) const WORKERS: &str = "SELECT id FROM callout_worker ORDER BY id";

pub(super) const FORGET: &str = "DELETE FROM callout_worker WHERE id = :id";

// Only what is under way has a lease, so going through all of them is short.
pub(super) const LEASES_OF: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery WHERE state = 'leased' AND lease_owner = :owner ORDER BY lease_until"
);

/// Takes a delivery from a worker that did not finish, leaving a record of the try.
pub(super) fn lose(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    row: &Delivery,
) -> Result<bool, StoreError> {
    if !matches!(row.state, State::Leased { .. }) {
        return Ok(false);
    }
    let started_at = row.leased_at.unwrap_or(row.ready_at);
    let words = Reason::text(attempt::LOST);
    let attempt = Attempt {
        number: row.state.place().tries,
        channel: row.state.place().channel.clone(),
        due_at: row.ready_at,
        wait: row.wait,
        started_at,
        duration: scene.now.since(started_at),
        outcome: Outcome::Unknown(words),
    };
    attempt::write(tx, DeliveryId(row.id), &attempt)?;
    let in_a_row = attempt::lost_in_a_row(tx.db, DeliveryId(row.id))?;
    let is_ready = delivery::decide(scene, row, Event::LeaseLost(in_a_row))
        .is_ok_and(|after| matches!(after, State::Ready { .. }));
    if is_ready && let Some(standing) = alert::closed(tx.db, row)? {
        return delivery::call_off(tx, scene, row, standing);
    }
    let after = happen(tx, scene, row, Event::LeaseLost(in_a_row))?;
    if let Some(State::Dead { cause: Cause::Poison, .. }) = after {
        let detail =
            format!("{}: {in_a_row} workers in a row died while they tried it", row.receiver);
        journal::note(tx, scene.now, row.message, "quarantined", &detail)?;
    }
    Ok(after.is_some())
}

pub(super) fn register(
    tx: &mut Tx<'_>,
    worker: WorkerId,
    now: Timestamp,
) -> Result<(), StoreError> {
    let params = named_params! {":id": worker.to_string(), ":now": now.unix_ms()};
    tx.db.execute("note the worker", REGISTER, params)?;
    crash_point("inside_register");
    Ok(())
}

pub(super) fn workers(db: Db<'_>) -> Result<Vec<WorkerId>, StoreError> {
    // One whose id is damaged is nobody; what it held is taken over when the leases end.
    let ids = db.all("list the workers", WORKERS, &[], |row| row::lossy(row, 0))?;
    Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
}

/// Ends a worker. Returns how many leases it lost.
pub(super) fn retire(
    tx: &mut Tx<'_>,
    worker: WorkerId,
    directory: &Directory,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let owner = worker.to_string();
    let params = named_params! {":owner": owner};
    let rows = delivery::fetch(tx, now, "look for leases", LEASES_OF, params)?;
    let blocked = channel::blocked(tx.db, now)?;
    let mut scene = Scene { now, directory, blocked, ids: Ids::of_worker(worker) };
    let mut lost = 0;
    for row in &rows {
        lost += usize::from(lose(tx, &mut scene, row)?);
        crash_point("inside_take_over");
    }
    delivery::report_set_aside(tx, &mut scene)?;
    tx.news.work |= lost > 0;
    tx.db.execute("forget the worker", FORGET, named_params! {":id": owner})?;
    crash_point("inside_retire");
    Ok(lost)
}
