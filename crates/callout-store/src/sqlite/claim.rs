//! Leasing due deliveries.
//!
//! One range over the index per channel and urgency, so the cost does not grow with the backlog, with
//! what is due later, or with another channel's backlog. Limits are spent in the transaction that
//! leases, so neither a restart nor a second worker can exceed them.

use super::alert;
use super::body;
use super::channel::{self, Channels, Gate};
use super::delivery::{self, Scene};
use super::journal;
use super::news;
use super::plan::{self, Newborn, Nursery};
use super::report::Ids;
use super::row::{self, Delivery, Trusted, delivery_columns, urgency};
use super::tend;
use super::tx::Tx;
use crate::error::StoreError;
use crate::model::{ClaimRequest, Claimed, Claims, Entry, LaneAsk};
use callout_core::alert::{Regarding, Standing};
use callout_core::delivery::{Event, Lease, State};
use callout_core::escalation::Telling;
use callout_core::id::{ChannelName, DeliveryId};
use callout_core::level::Level;
use callout_core::time::Timestamp;
use rusqlite::named_params;
use std::sync::Arc;

/// The most deliveries one channel gets in one go, whatever is asked for.
const CLAIM_MAX: usize = 1024;

/// So many new messages are planned although others wait already: one of them may be more urgent.
const PLAN_AHEAD: usize = 8;

pub(super) const DUE: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery
     WHERE state = 'ready' AND channel = :channel AND urgency = :urgency AND ready_at <= :now
     ORDER BY ready_at
     LIMIT :limit"
);

pub(super) const WAITING: &str = "
    SELECT count(*) FROM (
        SELECT 1 FROM callout_delivery
         WHERE state = 'ready' AND channel = :channel AND urgency IN (0, 1, 2, 3)
           AND ready_at <= :now
         LIMIT :limit)";

pub(super) const NEXT_READY: &str = "
    SELECT ready_at FROM callout_delivery
     WHERE state = 'ready' AND channel = :channel AND urgency = :urgency
     ORDER BY ready_at
     LIMIT 1";

/// What a claim has found out so far.
pub(super) struct Sight<'a> {
    pub(super) scene: Scene<'a>,
    pub(super) channels: Channels,
    pub(super) ask: &'a ClaimRequest,
    pub(super) claims: Claims,
}

impl Sight<'_> {
    /// Something happens at `at`.
    pub(super) fn look_again(&mut self, at: Timestamp) {
        self.claims.next_at = Some(self.claims.next_at.map_or(at, |next| next.min(at)));
    }
}

/// Plans what is new, steps what time has overtaken, then leases what may go now.
pub(super) fn claim(tx: &mut Tx<'_>, ask: &ClaimRequest) -> Result<Claims, StoreError> {
    let scene = Scene {
        now: ask.now,
        directory: &ask.directory,
        blocked: channel::blocked(tx.db, ask.now)?,
        ids: Ids::new(ask.entropy),
    };
    let mut sight = Sight { scene, channels: Channels::default(), ask, claims: Claims::default() };
    for lane in &ask.lanes {
        sight.channels.get(tx.db, &lane.channel)?.rebase(ask.now);
    }
    let mut nursery = plan(tx, &mut sight)?;
    tend::tend(tx, &mut sight)?;
    for lane in &ask.lanes {
        take(tx, &mut sight, lane, &mut nursery)?;
    }
    for newborn in &nursery.newborns {
        plan::write(tx, &newborn.row)?;
        // What has waited too long for a channel that is out of limits is moved on by the next claim.
        let overdue = newborn.row.state.place().failover_at.is_some_and(|at| at <= ask.now);
        sight.claims.more |= overdue;
    }
    for lane in &ask.lanes {
        note_what_waits(tx, &mut sight, lane)?;
    }
    tend::look_ahead(tx, &mut sight)?;
    sight.channels.write(tx)?;
    delivery::report_set_aside(tx, &mut sight.scene)?;
    // A report to the operator, and the next people, are not for later.
    let more = sight.claims.more || tx.news.message > 0 || tx.news.work;
    Ok(Claims { more, blocked: channel::blocked(tx.db, ask.now)?, ..sight.claims })
}

/// Plans new messages. Deliveries that may go at once are not written yet.
fn plan(tx: &mut Tx<'_>, sight: &mut Sight<'_>) -> Result<Nursery, StoreError> {
    let (ask, mut nursery) = (sight.ask, Nursery::default());
    if ask.plan == 0 {
        return Ok(nursery);
    }
    let mut room = 0;
    for lane in &ask.lanes {
        // A message whose channel is in a pause may have to be sent away from there.
        let channel = sight.channels.get(tx.db, &lane.channel)?;
        let is_open = channel.gate(ask.now) == Gate::Open;
        let most = channel.room(&lane.rate, Level::Critical, ask.now).min(lane.limit);
        if is_open && most > 0 {
            let most = most.min(CLAIM_MAX);
            room += most - count_waiting(tx, &lane.channel, most, ask.now)?;
            nursery.channels.insert(lane.channel.clone());
        }
    }
    // What can be leased at once need not be written as waiting, so no more is planned than that. If nothing
    // can be leased, nobody waits for this.
    let mut left = ask.plan;
    loop {
        let missing = room.saturating_sub(nursery.newborns.len()).max(PLAN_AHEAD);
        let limit = if nursery.channels.is_empty() { left } else { missing.min(left) };
        let more = plan::plan_some(tx, &mut sight.scene, limit, &mut nursery)?.more;
        left -= limit;
        if !more || left == 0 || nursery.newborns.len() >= room {
            sight.claims.more |= more;
            return Ok(nursery);
        }
    }
}

/// How many deliveries are due on a channel, up to `limit`.
fn count_waiting(
    tx: &Tx<'_>,
    channel: &ChannelName,
    limit: usize,
    now: Timestamp,
) -> Result<usize, StoreError> {
    let params = named_params! {
        ":channel": channel.as_str(), ":now": now.unix_ms(),
        ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
    };
    let n = tx.db.one("count what waits", WAITING, params, |row| row.get::<_, i64>(0))?;
    Ok(n.and_then(|n| usize::try_from(n).ok()).unwrap_or(0))
}

/// Leases what one channel may send now, most urgent first.
fn take(
    tx: &mut Tx<'_>,
    sight: &mut Sight<'_>,
    lane: &LaneAsk,
    nursery: &mut Nursery,
) -> Result<(), StoreError> {
    let now = sight.ask.now;
    let gate = sight.channels.get(tx.db, &lane.channel)?.gate(now);
    let mut left = match gate {
        Gate::Open => lane.limit.min(CLAIM_MAX),
        Gate::Probe => lane.limit.min(1),
        Gate::Shut(_) => 0,
    };
    for level in Level::ALL.into_iter().rev() {
        let room = sight.channels.get(tx.db, &lane.channel)?.room(&lane.rate, level, now);
        let wanted = left.min(room);
        if wanted > 0 {
            for row in due(tx, &lane.channel, level, now, wanted)? {
                if lease(tx, sight, lane, &row)? {
                    left -= 1;
                } else {
                    // It made room for one that was not looked at.
                    sight.claims.more = true;
                }
            }
        }
        let room = sight.channels.get(tx.db, &lane.channel)?.room(&lane.rate, level, now);
        for newborn in nursery.hand_out(left.min(room), &lane.channel, level) {
            bear(tx, sight, lane, &newborn)?;
            left -= 1;
        }
    }
    // Once the probe is under way, those behind it take another channel.
    sight.claims.more |= gate == Gate::Probe && left < lane.limit.min(1);
    sight.claims.more |= left == 0 && lane.limit > CLAIM_MAX;
    Ok(())
}

pub(super) fn due(
    tx: &mut Tx<'_>,
    channel: &ChannelName,
    level: Level,
    now: Timestamp,
    limit: usize,
) -> Result<Vec<Delivery>, StoreError> {
    let params = named_params! {
        ":channel": channel.as_str(), ":urgency": urgency(level), ":now": now.unix_ms(),
        ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
    };
    delivery::fetch(tx, now, "look for due deliveries", DUE, params)
}

/// Leases one delivery, unless it is too late or its message is damaged. Says whether it did.
fn lease(
    tx: &mut Tx<'_>,
    sight: &mut Sight<'_>,
    lane: &LaneAsk,
    row: &Delivery,
) -> Result<bool, StoreError> {
    let now = sight.ask.now;
    if row.expires_at <= now {
        tend::expire(tx, sight, row)?;
        return Ok(false);
    }
    let telling = match row.decision {
        Some(decision) => alert::telling(tx.db, row.message, decision)?,
        None => None,
    };
    if let Some((standing, _)) = &telling
        && *standing != Standing::Open
    {
        delivery::call_off(tx, &mut sight.scene, row, *standing)?;
        return Ok(false);
    }
    let trusted = match body::read(tx.db, row.message)? {
        Ok(trusted) => trusted,
        Err(damaged) => {
            journal::note(tx, now, row.message, "quarantined", &damaged.to_string())?;
            delivery::happen(tx, &mut sight.scene, row, Event::Quarantined)?;
            return Ok(false);
        }
    };
    let lease =
        Lease { owner: sight.ask.worker, token: row.token + 1, until: sight.ask.lease_until };
    let Some(state) = delivery::happen(tx, &mut sight.scene, row, Event::Leased(lease))? else {
        // Nobody can have been faster since it was read.
        delivery::mend_indexes(tx)?;
        return Ok(false);
    };
    sight.channels.get(tx.db, &lane.channel)?.spend(&lane.rate, now);
    let telling = telling.map(|(_, telling)| telling);
    let about = news::about(tx.db, row.message, &trusted.message, &lane.channel)?;
    sight.claims.claimed.push(claimed(row, &trusted, state, telling, about));
    Ok(true)
}

/// Writes a new delivery as leased. It has nothing to do with an alert.
fn bear(
    tx: &mut Tx<'_>,
    sight: &mut Sight<'_>,
    lane: &LaneAsk,
    newborn: &Newborn,
) -> Result<(), StoreError> {
    let Newborn { row, trusted } = newborn;
    let now = sight.ask.now;
    let lease =
        Lease { owner: sight.ask.worker, token: row.token + 1, until: sight.ask.lease_until };
    let state = delivery::decide(&sight.scene, row, Event::Leased(lease));
    let state = state
        .map_err(|e| StoreError::Broken { doing: "lease a new delivery", source: Box::new(e) })?;
    let id = plan::write(tx, &row.became(&state, now))?;
    sight.channels.get(tx.db, &lane.channel)?.spend(&lane.rate, now);
    let row = Delivery { id, ..row.clone() };
    sight.claims.claimed.push(claimed(&row, trusted, state, None, None));
    Ok(())
}

fn claimed(
    row: &Delivery,
    trusted: &Trusted,
    state: State,
    telling: Option<Telling>,
    about: Option<Regarding>,
) -> Claimed {
    Claimed {
        delivery: DeliveryId(row.id),
        id: trusted.id,
        message: Arc::clone(&trusted.message),
        created_at: trusted.created_at,
        receiver: row.receiver.clone(),
        state,
        due_at: row.ready_at,
        wait: row.wait,
        telling,
        about,
        entry: Entry { message: row.message, expires_at: row.expires_at, decision: row.decision },
    }
}

/// Finds out when the first deliveries that were not taken can go.
fn note_what_waits(tx: &Tx<'_>, sight: &mut Sight<'_>, lane: &LaneAsk) -> Result<(), StoreError> {
    for level in Level::ALL {
        note_first(tx, sight, lane, level)?;
    }
    Ok(())
}

/// Finds out when the first delivery of one level can go.
fn note_first(
    tx: &Tx<'_>,
    sight: &mut Sight<'_>,
    lane: &LaneAsk,
    level: Level,
) -> Result<(), StoreError> {
    let now = sight.ask.now;
    let params = named_params! {":channel": lane.channel.as_str(), ":urgency": urgency(level)};
    let first = tx
        .db
        .one("look for the next delivery", NEXT_READY, params, |row| row.get(0).map(row::time))?;
    let Some(ready_at) = first else { return Ok(()) };
    let channel = sight.channels.get(tx.db, &lane.channel)?;
    let opens = match channel.gate(now) {
        Gate::Shut(until) => Some(until),
        Gate::Open | Gate::Probe => channel.reopens_at(&lane.rate, level, now),
    };
    // Without a place to send from, the end of a try brings the worker back.
    if let Some(at) = opens.map(|at| at.max(ready_at)).or((ready_at > now).then_some(ready_at)) {
        sight.look_again(at);
    }
    Ok(())
}
