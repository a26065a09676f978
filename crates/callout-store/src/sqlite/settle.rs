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
use crate::error::StoreError;
use crate::model::{Settled, Settlement};
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
    let row = delivery::read(tx, settlement.delivery.0, now)?;
    let Some(row) = row.filter(|row| holds(row, settlement.token)) else {
        return late(tx, channels, now, settlement);
    };
    let called_off = called_off(tx, &row, &settlement.after, now)?;
    if !delivery::write(tx, &row, called_off.as_ref().unwrap_or(&settlement.after), now)? {
        return late(tx, channels, now, settlement);
    }
    if let Some(attempt) = &settlement.attempt {
        attempt::write(tx, settlement.delivery, attempt)?;
        let channel = channels.get(tx.db, &attempt.channel)?;
        channel.learn(&attempt.outcome, now);
        channel.overspend(settlement.extra_sends, now);
    }
    if let Some(report) = settlement.report.as_ref().filter(|_| called_off.is_none()) {
        enqueue::insert(tx, report)?;
    }
    Ok(Settled::Written)
}

/// The state instead of one in which the delivery would be tried again although its alert is not open.
fn called_off(
    tx: &mut Tx<'_>,
    row: &Delivery,
    after: &State,
    now: Timestamp,
) -> Result<Option<State>, StoreError> {
    if row.decision.is_none() || !matches!(after, State::Ready { .. }) {
        return Ok(None);
    }
    let Some(standing) = alert::closed(tx.db, row)? else { return Ok(None) };
    let Ok(called_off) = delivery::called_off(after, now) else { return Ok(None) };
    let detail = delivery::called_off_because(row, standing);
    journal::note(tx, now, row.message, "cancelled", &detail)?;
    Ok(Some(called_off))
}

fn holds(row: &Delivery, token: i64) -> bool {
    matches!(row.state, State::Leased { lease, .. } if lease.token == token)
}

fn late(
    tx: &mut Tx<'_>,
    channels: &mut Channels,
    now: Timestamp,
    settlement: &Settlement,
) -> Result<Settled, StoreError> {
    let Some(attempt) = &settlement.attempt else { return Ok(Settled::Late) };
    if delivery::read(tx, settlement.delivery.0, now)?.is_none() {
        return Ok(Settled::Late);
    }
    if attempt::write_late(tx, settlement.delivery, attempt)? {
        return Ok(Settled::Written);
    }
    channels.get(tx.db, &attempt.channel)?.overspend(settlement.extra_sends, now);
    Ok(Settled::Late)
}
