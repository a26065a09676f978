//! Writing down what became of claimed deliveries.
//!
//! Every change names the lease under which the work was done. If that lease is not the current one,
//! the try is kept as late evidence and the state is left to whoever owns it now.

use super::alert;
use super::attempt;
use super::channel::Channels;
use super::delivery;
use super::enqueue;
use super::journal;
use super::row::Delivery;
use super::tx::Tx;
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::model::{Claimed, Settled, Settlement};
use callout_core::alert::Standing;
use callout_core::delivery::State;
use callout_core::time::Timestamp;

/// Settles each in turn, all or nothing.
pub(super) fn settle(
    tx: &mut Tx<'_>,
    now: Timestamp,
    settlements: &[Settlement],
) -> Result<Vec<Settled>, StoreError> {
    let mut channels = Channels::default();
    let settled =
        settlements.iter().map(|settlement| settle_one(tx, &mut channels, now, settlement));
    let settled = settled.collect::<Result<_, _>>()?;
    channels.write(tx)?;
    Ok(settled)
}

fn settle_one(
    tx: &mut Tx<'_>,
    channels: &mut Channels,
    now: Timestamp,
    settlement: &Settlement,
) -> Result<Settled, StoreError> {
    let row = leased(&settlement.claimed);
    let called_off = called_off(tx, &row, &settlement.after, now)?;
    let after = called_off.as_ref().map_or(&settlement.after, |(after, _)| after);
    // Nearly always the row is as it was leased.
    if !delivery::write(tx, &row, after, now)? {
        // Somebody else has it by now; or the clock was set, and it moved along.
        let found = delivery::read(tx, row.id, now)?.filter(|found| is_same_lease(found, &row));
        let written = found.map(|found| delivery::write(tx, &found, after, now)).transpose()?;
        if written != Some(true) {
            return late(tx, channels, now, settlement);
        }
    }
    if let Some((_, standing)) = &called_off {
        let detail = delivery::called_off_because(&row, *standing);
        journal::note(tx, now, row.message, "cancelled", &detail)?;
    }
    if let Some(attempt) = &settlement.attempt {
        attempt::write(tx, settlement.claimed.delivery, attempt)?;
        crash_point("inside_settle");
        let channel = channels.get(tx.db, &attempt.channel)?;
        channel.learn(&attempt.outcome, now);
        channel.overspend(settlement.extra_sends, now);
    }
    if let Some(report) = settlement.report.as_ref().filter(|_| called_off.is_none()) {
        enqueue::insert(tx, report)?;
    }
    Ok(Settled::Written)
}

/// The state instead of one in which the delivery would be tried again although its alert is not open,
/// and how that stands.
fn called_off(
    tx: &mut Tx<'_>,
    row: &Delivery,
    after: &State,
    now: Timestamp,
) -> Result<Option<(State, Standing)>, StoreError> {
    if row.decision.is_none() || !matches!(after, State::Ready { .. }) {
        return Ok(None);
    }
    let Some(standing) = alert::closed(tx.db, row)? else { return Ok(None) };
    Ok(delivery::called_off(after, now).ok().map(|called_off| (called_off, standing)))
}

/// Whether both are under one lease: its token and its owner are the same.
fn is_same_lease(found: &Delivery, row: &Delivery) -> bool {
    match (&found.state, &row.state) {
        (State::Leased { lease: found, .. }, State::Leased { lease, .. }) => {
            (found.token, found.owner) == (lease.token, lease.owner)
        }
        _ => false,
    }
}

/// The row as it was leased.
fn leased(claimed: &Claimed) -> Delivery {
    Delivery {
        id: claimed.delivery.0,
        message: claimed.entry.message,
        receiver: claimed.receiver.clone(),
        level: claimed.message.level,
        expires_at: claimed.entry.expires_at,
        state: claimed.state.clone(),
        ready_at: claimed.due_at,
        wait: claimed.wait,
        token: claimed.lease().map_or(0, |lease| lease.token),
        leased_at: None,
        decision: claimed.entry.decision,
    }
}

fn late(
    tx: &mut Tx<'_>,
    channels: &mut Channels,
    now: Timestamp,
    settlement: &Settlement,
) -> Result<Settled, StoreError> {
    let Some(attempt) = &settlement.attempt else { return Ok(Settled::Late) };
    let delivery = settlement.claimed.delivery;
    if delivery::read(tx, delivery.0, now)?.is_none() {
        return Ok(Settled::Late);
    }
    if attempt::write_late(tx, delivery, attempt)? {
        return Ok(Settled::Written);
    }
    channels.get(tx.db, &attempt.channel)?.overspend(settlement.extra_sends, now);
    Ok(Settled::Late)
}
