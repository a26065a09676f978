//! What time has overtaken: lost leases, expired deliveries, channels that are gone or cannot send.
//!
//! Each kind is bounded in one transaction. What happens next is `delivery::step`'s to say.

use super::channel::Gate;
use super::claim::Sight;
use super::delivery::{self, happen};
use super::journal;
use super::lease;
use super::row::{self, Delivery, delivery_columns};
use super::tx::{Db, Tx, Values};
use crate::error::StoreError;
use crate::model::LaneAsk;
use callout_core::delivery::{Event, State};
use callout_core::level::Level;
use callout_core::time::Timestamp;
use rusqlite::{Row, named_params};

/// The most deliveries of one kind that one claim steps.
pub(super) const TEND_MAX: usize = 64;

pub(super) const LEASE_ENDED: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery WHERE state = 'leased' AND lease_until <= :now
     ORDER BY lease_until LIMIT :limit"
);

pub(super) const EXPIRED: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery WHERE state = 'ready' AND expires_at <= :now
     ORDER BY expires_at LIMIT :limit"
);

pub(super) const OVERDUE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery
     WHERE state = 'ready' AND failover_at IS NOT NULL AND channel = :channel
       AND failover_at <= :now
     ORDER BY failover_at LIMIT :limit"
);

pub(super) const OF_CHANNEL: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery WHERE state = 'ready' AND channel = :channel LIMIT :limit"
);

pub(super) const NEXT_CHANNEL: &str = "
    SELECT channel FROM callout_delivery
     WHERE state = 'ready' AND channel > :after
     ORDER BY channel LIMIT 1";

pub(super) const NEXT_LEASE_END: &str = "
    SELECT lease_until FROM callout_delivery WHERE state = 'leased'
     ORDER BY lease_until LIMIT 1";

/// Only damage makes such a lease.
pub(super) const LEASE_WITHOUT_END: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery WHERE state = 'leased' AND lease_until IS NULL LIMIT :limit"
);

pub(super) const NEXT_EXPIRY: &str = "
    SELECT expires_at FROM callout_delivery WHERE state = 'ready'
     ORDER BY expires_at LIMIT 1";

pub(super) const NEXT_FAILOVER: &str = "
    SELECT failover_at FROM callout_delivery
     WHERE state = 'ready' AND failover_at IS NOT NULL AND channel = :channel
     ORDER BY failover_at LIMIT 1";

/// Steps everything that time has overtaken, within bounds.
pub(super) fn tend(tx: &mut Tx<'_>, sight: &mut Sight<'_>) -> Result<(), StoreError> {
    let (now, limit) = (sight.ask.now.unix_ms(), bound());
    let ended = batch(tx, sight, LEASE_ENDED, named_params! {":now": now, ":limit": limit})?;
    sight.claims.more |= ended.len() == TEND_MAX;
    for row in &ended {
        lease::lose(tx, &mut sight.scene, row)?;
    }
    let expired = batch(tx, sight, EXPIRED, named_params! {":now": now, ":limit": limit})?;
    sight.claims.more |= expired.len() == TEND_MAX;
    for row in &expired {
        expire(tx, sight, row)?;
    }
    move_strays(tx, sight)?;
    for lane in &sight.ask.lanes {
        let gate = sight.channels.get(tx.db, &lane.channel)?.gate(sight.ask.now);
        if let Gate::Shut(until) = gate {
            clear_shut(tx, sight, lane, until)?;
        }
        move_overdue(tx, sight, lane, gate)?;
    }
    Ok(())
}

/// Ends a delivery that nobody needs any more.
pub(super) fn expire(
    tx: &mut Tx<'_>,
    sight: &mut Sight<'_>,
    row: &Delivery,
) -> Result<(), StoreError> {
    if happen(tx, &mut sight.scene, row, Event::Expired)?.is_some() {
        let detail =
            format!("{}: its time ran out while it waited ({})", row.receiver, row.wait.name());
        journal::note(tx, sight.ask.now, row.message, "expired", &detail)?;
    }
    Ok(())
}

/// Moves deliveries off channels that are not configured any more.
fn move_strays(tx: &mut Tx<'_>, sight: &mut Sight<'_>) -> Result<(), StoreError> {
    for channel in waiting_channels(tx.db)? {
        if sight.ask.lanes.iter().any(|lane| lane.channel.as_str() == channel) {
            continue;
        }
        let params = named_params! {":channel": channel.as_str(), ":limit": bound()};
        let rows = batch(tx, sight, OF_CHANNEL, params)?;
        let mut moved = 0;
        for row in &rows {
            let after = delivery::decide(&sight.scene, row, Event::ChannelGone);
            // A receiver that still names the channel has nowhere else to go.
            if after
                .is_ok_and(|after| after.is_final() || after.place().channel.as_str() != channel)
            {
                moved +=
                    usize::from(happen(tx, &mut sight.scene, row, Event::ChannelGone)?.is_some());
            }
        }
        sight.claims.more |= moved == TEND_MAX;
    }
    Ok(())
}

/// Channels that ready deliveries wait for, as they are stored, by skipping through the index.
pub(super) fn waiting_channels(db: Db<'_>) -> Result<Vec<String>, StoreError> {
    let mut channels: Vec<String> = Vec::new();
    loop {
        let after = channels.last().map_or("", String::as_str);
        let params = named_params! {":after": after};
        let next =
            db.one("look for waiting channels", NEXT_CHANNEL, params, |row| row::lossy(row, 0))?;
        match next.filter(|next| next.as_str() > after) {
            Some(channel) => channels.push(channel),
            None => return Ok(channels),
        }
    }
}

/// Sends due deliveries away from a channel whose circuit is open, or whose provider wants a longer pause
/// than they would wait for.
fn clear_shut(
    tx: &mut Tx<'_>,
    sight: &mut Sight<'_>,
    lane: &LaneAsk,
    until: Timestamp,
) -> Result<(), StoreError> {
    let now = sight.ask.now;
    let is_blocked = sight.scene.blocked.contains(&lane.channel);
    // At the end of the chain a pause is waited for: all channels may be in one.
    let is_in_vain = |row: &Delivery, after: &State| {
        let (before, after) = (row.state.place(), after.place());
        before.failover_at.is_some_and(|due| due < until) && before.round == after.round
    };
    let (mut seen, mut moved) = (0, 0);
    for level in Level::ALL.into_iter().rev() {
        for row in &super::claim::due(tx, &lane.channel, level, now, TEND_MAX - seen)? {
            seen += 1;
            // Those that have no other channel wait where they are; the gate keeps them there.
            let after = delivery::decide(&sight.scene, row, Event::Blocked(until));
            if after.is_ok_and(|after| {
                after.place().channel != lane.channel && (is_blocked || is_in_vain(row, &after))
            }) {
                moved += usize::from(
                    happen(tx, &mut sight.scene, row, Event::Blocked(until))?.is_some(),
                );
            }
        }
    }
    sight.claims.more |= seen == TEND_MAX && moved > 0;
    Ok(())
}

/// Moves on what its channel's limits have kept waiting for too long.
fn move_overdue(
    tx: &mut Tx<'_>,
    sight: &mut Sight<'_>,
    lane: &LaneAsk,
    gate: Gate,
) -> Result<(), StoreError> {
    let now = sight.ask.now;
    if stuck(tx.db, sight, lane, gate)?.is_none() {
        return Ok(());
    }
    let params = named_params! {
        ":channel": lane.channel.as_str(), ":now": now.unix_ms(), ":limit": bound(),
    };
    let rows = batch(tx, sight, OVERDUE, params)?;
    let mut moved = 0;
    for row in &rows {
        // The last tenth of a limit is for critical messages, which are not stuck then.
        if stuck(tx.db, sight, lane, gate)?.is_some_and(|level| row.level <= level) {
            moved += usize::from(happen(tx, &mut sight.scene, row, Event::Overdue)?.is_some());
        }
    }
    sight.claims.more |= rows.len() == TEND_MAX && moved > 0;
    Ok(())
}

/// The highest level that cannot be sent on a channel now, if any.
fn stuck(
    db: Db<'_>,
    sight: &mut Sight<'_>,
    lane: &LaneAsk,
    gate: Gate,
) -> Result<Option<Level>, StoreError> {
    if lane.limit == 0 || matches!(gate, Gate::Shut(_)) {
        return Ok(Some(Level::Critical));
    }
    let channel = sight.channels.get(db, &lane.channel)?;
    let full = |level: &Level| channel.room(&lane.rate, *level, sight.ask.now) == 0;
    Ok(Level::ALL.into_iter().rev().find(full))
}

/// Notes when the next lease or delivery ends, or is overdue on a channel that cannot send.
pub(super) fn look_ahead(tx: &mut Tx<'_>, sight: &mut Sight<'_>) -> Result<(), StoreError> {
    let now = sight.ask.now;
    for at in [next_lease_end(tx, sight)?, next(tx.db, NEXT_EXPIRY, &[])?].into_iter().flatten() {
        sight.look_again(at);
    }
    for lane in &sight.ask.lanes {
        let gate = sight.channels.get(tx.db, &lane.channel)?.gate(now);
        if stuck(tx.db, sight, lane, gate)?.is_some() {
            let params = named_params! {":channel": lane.channel.as_str()};
            if let Some(at) = next(tx.db, NEXT_FAILOVER, params)?.filter(|at| *at > now) {
                sight.look_again(at);
            }
        }
    }
    Ok(())
}

/// When the next lease ends. One without an end stands before all others; reading its row sets it aside.
fn next_lease_end(tx: &mut Tx<'_>, sight: &mut Sight<'_>) -> Result<Option<Timestamp>, StoreError> {
    let first = |row: &Row<'_>| row.get::<_, Option<i64>>(0);
    let first = tx.db.one("look ahead", NEXT_LEASE_END, &[], first)?;
    if first == Some(None) {
        batch(tx, sight, LEASE_WITHOUT_END, named_params! {":limit": bound()})?;
        sight.claims.more = true;
    }
    Ok(first.flatten().map(row::time))
}

fn next(
    db: Db<'_>,
    sql: &'static str,
    params: Values<'_>,
) -> Result<Option<Timestamp>, StoreError> {
    db.one("look ahead", sql, params, |row| row.get(0).map(row::time))
}

fn batch(
    tx: &mut Tx<'_>,
    sight: &Sight<'_>,
    sql: &'static str,
    params: Values<'_>,
) -> Result<Vec<Delivery>, StoreError> {
    delivery::fetch(tx, sight.ask.now, "look for overtaken deliveries", sql, params)
}

fn bound() -> i64 {
    i64::try_from(TEND_MAX).unwrap_or(i64::MAX)
}
