//! Writing down what `delivery::step` decided.

use super::alert;
use super::body;
use super::counter::Count;
use super::escalate;
use super::journal;
use super::report::{self, Ids};
use super::row::{self, Delivery, Remains, delivery_columns};
use super::tx::{Db, Tx, Values};
use crate::error::StoreError;
use callout_core::alert as life;
use callout_core::delivery::{self, Cause, Event, Given, Lease, Notice, Standing, State, Wait};
use callout_core::drift;
use callout_core::escalation::Reach;
use callout_core::id::ChannelName;
use callout_core::plan::{Directory, MessageState};
use callout_core::receiver::FAILOVER_AFTER;
use callout_core::retry::RetryPolicy;
use callout_core::time::Timestamp;
use rusqlite::named_params;
use std::collections::BTreeSet;

pub(super) const READ: &str =
    concat!("SELECT ", delivery_columns!(), " FROM callout_delivery WHERE id = :id");

pub(super) const MOVE: &str = "
    UPDATE callout_delivery
       SET state = :state, channel = :channel, attempt = :attempt, failover_at = :failover_at,
           round = :round, plain = :plain, soft = :soft, tries = :tries, ready_at = :ready_at,
           wait = :wait, lease_owner = :lease_owner, lease_token = :lease_token,
           lease_until = :lease_until, leased_at = :leased_at, ended_at = :ended_at, cause = :cause,
           checksum = :checksum
     WHERE id = :id AND state = :was AND lease_token = :token AND expires_at = :expires_at
       AND lease_owner IS :owner";

// The common case in one statement: it was the last delivery that was not accepted.
pub(super) const ALL_ACCEPTED: &str = "
    UPDATE callout_progress SET state = 'accepted', settled_at = :now
     WHERE seq = :seq AND state = 'pending'
       AND NOT EXISTS (SELECT 1 FROM callout_delivery
                        WHERE message_seq = :seq AND state <> 'accepted')";

pub(super) const SHIFT: &str = "
    UPDATE callout_delivery
       SET ready_at = :ready_at, failover_at = :failover_at, expires_at = :expires_at,
           lease_until = :lease_until, leased_at = :leased_at, checksum = :checksum
     WHERE id = :id AND state = :was AND lease_token = :token";

pub(super) const STANDINGS: &str = "SELECT state FROM callout_delivery WHERE message_seq = :seq";

pub(super) const PROGRESS: &str = "SELECT state FROM callout_progress WHERE seq = :seq";

pub(super) const SET_PROGRESS: &str = "
    UPDATE callout_progress SET state = :state, settled_at = :settled_at
     WHERE seq = :seq AND state = :was";

// Nothing of the row is believed but its number and whose message it is.
pub(super) const SET_ASIDE: &str = "
    UPDATE callout_delivery
       SET state = 'dead', cause = :cause, ended_at = :now, receiver = :receiver, urgency = 0,
           channel = :unknown, wait = :wait, attempt = 0, failover_at = NULL, round = 0,
           plain = 0, soft = 0, ready_at = :now, expires_at = :now, lease_owner = NULL,
           lease_token = lease_token + 1, lease_until = NULL, leased_at = NULL, checksum = NULL
     WHERE id = :id";

pub(super) const MEND: &str = "REINDEX callout_delivery";

/// What a decision inside the store depends on.
pub(super) struct Scene<'a> {
    pub(super) now: Timestamp,
    pub(super) directory: &'a Directory,
    /// Channels whose circuit is open.
    pub(super) blocked: BTreeSet<ChannelName>,
    /// For reports to the operator.
    pub(super) ids: Ids,
}

/// Lets `event` happen to a delivery and tells the operator if that is news. Returns the new state;
/// `None` if the event cannot happen or somebody else was faster.
pub(super) fn happen(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    row: &Delivery,
    event: Event,
) -> Result<Option<State>, StoreError> {
    let what = event.name();
    let Ok(after) = decide(scene, row, event) else { return Ok(None) };
    if after == row.state {
        return Ok(None);
    }
    if !write(tx, row, &after, scene.now)? {
        return Ok(None);
    }
    let (from, to) = (&row.state.place().channel, &after.place().channel);
    if from != to && !matches!(row.state, State::Leased { .. }) {
        let detail = format!("{}: {what}, from {from} to {to}", row.receiver);
        journal::note(tx, scene.now, row.message, "moved", &detail)?;
    }
    if let Some(notice) = delivery::notice(&row.state, &after) {
        report::delivery(tx, scene, notice, row)?;
    }
    Ok(Some(after))
}

/// What `event` leads to, without writing it.
pub(super) fn decide(
    scene: &Scene<'_>,
    row: &Delivery,
    event: Event,
) -> Result<State, delivery::Illegal> {
    let seed = row.id.unsigned_abs();
    let given = scene.directory.given(&row.receiver, row.level, scene.now, &scene.blocked, seed);
    delivery::step(&row.state, event, &given)
}

/// Writes the state that followed `row`, unless somebody else was faster, and sums up the message.
pub(super) fn write(
    tx: &mut Tx<'_>,
    row: &Delivery,
    after: &State,
    now: Timestamp,
) -> Result<bool, StoreError> {
    if !save(tx, row, after, now)? {
        return Ok(false);
    }
    let (from, to) = (row.state.place(), after.place());
    let from = Count::deliveries(&from.channel, row.state.standing());
    tx.counters.shift(Some(from), Count::deliveries(&to.channel, after.standing()));
    if row.state.is_final() != after.is_final() {
        sum_up(tx, row.message, after.standing(), now)?;
    }
    if let (Some(decision), State::Dead { .. } | State::Expired { .. }) = (row.decision, after) {
        note_out_of_reach(tx, row.message, decision, now)?;
    }
    Ok(true)
}

/// Once nobody of a step can be reached any more, the next people need not wait.
fn note_out_of_reach(
    tx: &mut Tx<'_>,
    seq: i64,
    decision: u32,
    now: Timestamp,
) -> Result<(), StoreError> {
    match escalate::reach(tx.db, seq, decision)? {
        Reach::Nobody => alert::look_soon(tx, seq, now),
        Reach::Told | Reach::Underway => Ok(()),
    }
}

/// Calls a delivery off because its alert is not open any more. Says whether it is over now.
pub(super) fn call_off(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    row: &Delivery,
    alert: life::Standing,
) -> Result<bool, StoreError> {
    if happen(tx, scene, row, Event::Cancelled)?.is_none() {
        return Ok(false);
    }
    let detail = called_off_because(row, alert);
    journal::note(tx, scene.now, row.message, "cancelled", &detail)?;
    Ok(true)
}

pub(super) fn called_off_because(row: &Delivery, alert: life::Standing) -> String {
    format!("{}: not tried, the alert is {}", row.receiver, alert.name())
}

/// The state of a delivery whose alert is not open any more: nobody needs it.
pub(super) fn called_off(state: &State, now: Timestamp) -> Result<State, delivery::Illegal> {
    let (retry, blocked) = (RetryPolicy::default(), BTreeSet::new());
    let (chain, failover_after, seed) = (&[], FAILOVER_AFTER, 0);
    let (blocked, costly) = (&blocked, &blocked);
    let given = Given { now, chain, blocked, costly, retry: &retry, failover_after, seed };
    delivery::step(state, Event::Cancelled, &given)
}

fn save(tx: &Tx<'_>, row: &Delivery, after: &State, now: Timestamp) -> Result<bool, StoreError> {
    let place = after.place();
    let became = row.became(after, now);
    let lease_of = |state: &State| match state {
        State::Leased { lease, .. } => Some(*lease),
        _ => None,
    };
    let (owner, lease) =
        (lease_of(&row.state).map(|lease| lease.owner.to_string()), lease_of(after));
    let (ended_at, cause) = match after {
        State::Ready { .. } | State::Leased { .. } => (None, None),
        State::Dead { at, cause, .. } => (Some(*at), Some(cause.name())),
        State::Accepted { at, .. } | State::Expired { at, .. } | State::Cancelled { at, .. } => {
            (Some(*at), None)
        }
    };
    let params = named_params! {
        ":id": row.id, ":was": row.state.name(), ":token": row.token,
        ":expires_at": row.expires_at.unix_ms(), ":owner": owner,
        ":state": after.name(), ":channel": place.channel.as_str(), ":attempt": place.attempt,
        ":failover_at": place.failover_at.map(Timestamp::unix_ms), ":round": place.round,
        ":plain": place.plain, ":soft": place.soft, ":tries": place.tries,
        ":ready_at": became.ready_at.unix_ms(), ":wait": became.wait.name(),
        ":lease_owner": lease.map(|lease| lease.owner.to_string()),
        ":lease_token": became.token,
        ":lease_until": lease.map(|lease| lease.until.unix_ms()),
        ":leased_at": became.leased_at.map(Timestamp::unix_ms),
        ":ended_at": ended_at.map(Timestamp::unix_ms), ":cause": cause,
        ":checksum": became.checksum(),
    };
    Ok(tx.db.execute("write the delivery's state", MOVE, params)? == 1)
}

/// Moves all that lies ahead of a delivery that is not over, because the clock was set. No lease ends
/// sooner than `lease_until`, nor later.
pub(super) fn shift(
    tx: &Tx<'_>,
    row: &Delivery,
    by_ms: i64,
    lease_until: Timestamp,
) -> Result<bool, StoreError> {
    let state = match drift::shifted(&row.state, by_ms) {
        State::Leased { lease, place } => {
            State::Leased { lease: Lease { until: lease_until, ..lease }, place }
        }
        state => state,
    };
    let after = Delivery {
        ready_at: row.ready_at.shifted(by_ms),
        expires_at: row.expires_at.shifted(by_ms),
        leased_at: row.leased_at.map(|at| at.shifted(by_ms)),
        state,
        ..row.clone()
    };
    let lease_until = match &after.state {
        State::Leased { lease, .. } => Some(lease.until.unix_ms()),
        _ => None,
    };
    let params = named_params! {
        ":id": row.id, ":was": row.state.name(), ":token": row.token,
        ":ready_at": after.ready_at.unix_ms(),
        ":failover_at": after.state.place().failover_at.map(Timestamp::unix_ms),
        ":expires_at": after.expires_at.unix_ms(), ":lease_until": lease_until,
        ":leased_at": after.leased_at.map(Timestamp::unix_ms), ":checksum": after.checksum(),
    };
    Ok(tx.db.execute("move a delivery along with the clock", SHIFT, params)? == 1)
}

/// Brings a message's state in line with its deliveries, one of which stands as `latest` now.
pub(super) fn sum_up(
    tx: &mut Tx<'_>,
    seq: i64,
    latest: Standing,
    now: Timestamp,
) -> Result<(), StoreError> {
    const DOING: &str = "sum up the message";
    if latest == Standing::Accepted {
        let params = named_params! {":seq": seq, ":now": now.unix_ms()};
        if tx.db.execute(DOING, ALL_ACCEPTED, params)? == 1 {
            let before = Some(Count::Messages(MessageState::Pending));
            tx.counters.shift(before, Count::Messages(MessageState::Accepted));
            return Ok(());
        }
    }
    // A damaged word counts as the worst there is; it must not hold up what can still be written.
    let standings = tx.db.all(DOING, STANDINGS, named_params! {":seq": seq}, |row| {
        Ok(Standing::from_name(&row::lossy(row, 0)?).unwrap_or(Standing::Dead))
    })?;
    let after = MessageState::of(standings);
    let before =
        tx.db.one(DOING, PROGRESS, named_params! {":seq": seq}, |row| row::lossy(row, 0))?;
    match before {
        Some(before) if before != after.name() => set_progress(tx, seq, &before, after, now),
        Some(_) | None => Ok(()),
    }
}

/// Writes a planned message's state.
fn set_progress(
    tx: &mut Tx<'_>,
    seq: i64,
    before: &str,
    after: MessageState,
    now: Timestamp,
) -> Result<(), StoreError> {
    let settled_at = (after != MessageState::Pending).then(|| now.unix_ms());
    let params = named_params! {
        ":seq": seq, ":was": before, ":state": after.name(), ":settled_at": settled_at,
    };
    if tx.db.execute("write the message's state", SET_PROGRESS, params)? == 1 {
        let before = MessageState::from_name(before).map(Count::Messages);
        tx.counters.shift(before, Count::Messages(after));
    }
    Ok(())
}

/// Fetches a delivery.
pub(super) fn read(
    tx: &mut Tx<'_>,
    id: i64,
    now: Timestamp,
) -> Result<Option<Delivery>, StoreError> {
    let rows = fetch(tx, now, "read the delivery", READ, named_params! {":id": id})?;
    Ok(rows.into_iter().next())
}

/// Fetches deliveries. Rows that cannot be read are set aside, so that the others flow.
pub(super) fn fetch(
    tx: &mut Tx<'_>,
    now: Timestamp,
    doing: &'static str,
    sql: &'static str,
    params: Values<'_>,
) -> Result<Vec<Delivery>, StoreError> {
    let (readable, is_misled) = look(tx, now, doing, sql, params)?;
    if !is_misled {
        return Ok(readable);
    }
    mend_indexes(tx)?;
    Ok(look(tx, now, doing, sql, params)?.0)
}

/// Fetches the deliveries that can be read, and says whether an index led to one that it should not.
fn look(
    tx: &mut Tx<'_>,
    now: Timestamp,
    doing: &'static str,
    sql: &'static str,
    params: Values<'_>,
) -> Result<(Vec<Delivery>, bool), StoreError> {
    let rows = tx.db.all(doing, sql, params, |row| {
        row::delivery(row).map(Ok).or_else(|problem| Ok(Err(row::remains(row, &problem)?)))
    })?;
    let mut readable = Vec::with_capacity(rows.len());
    let mut is_misled = false;
    for row in rows {
        match row {
            Ok(delivery) => readable.push(delivery),
            Err(remains) if is_whole(tx.db, remains.id)? => is_misled = true,
            Err(remains) => set_aside(tx, now, remains)?,
        }
    }
    Ok((readable, is_misled))
}

/// Whether a row can be read where no index has a say.
fn is_whole(db: Db<'_>, id: i64) -> Result<bool, StoreError> {
    let whole = db.one("read the delivery", READ, named_params! {":id": id}, |row| {
        Ok(row::delivery(row).is_ok())
    });
    Ok(whole?.unwrap_or(false))
}

/// Makes the indexes anew because one of them says what its row does not. It takes as long as there are
/// deliveries; else nothing the index hides would ever be found.
pub(super) fn mend_indexes(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tracing::error!("an index of the outbox is damaged; all of its deliveries are indexed anew");
    tx.db.execute("index the deliveries anew", MEND, &[])?;
    // What it led to was not what was looked for.
    tx.news.work = true;
    Ok(())
}

/// Ends a delivery whose row is damaged, in words that can be read again.
fn set_aside(tx: &mut Tx<'_>, now: Timestamp, remains: Remains) -> Result<(), StoreError> {
    let Remains { id, message, receiver, counted, problem } = remains;
    tracing::error!(delivery = id, problem, "a damaged delivery was set aside");
    let params = named_params! {
        ":id": id, ":now": now.unix_ms(), ":cause": Cause::Quarantined.name(),
        ":wait": Wait::New.name(), ":unknown": row::UNREADABLE, ":receiver": receiver.as_str(),
    };
    if tx.db.execute("set a delivery aside", SET_ASIDE, params)? == 0 {
        return Ok(());
    }
    if let Ok(nowhere) = row::UNREADABLE.parse() {
        tx.counters.shift(counted, Count::deliveries(&nowhere, Standing::Dead));
    }
    journal::note(tx, now, message, "quarantined", &format!("a delivery's row: {problem}"))?;
    sum_up(tx, message, Standing::Dead, now)?;
    alert::look_soon(tx, message, now)?;
    tx.set_aside.push((message, receiver, problem));
    Ok(())
}

/// Tells the operator about the deliveries that this operation has set aside.
pub(super) fn report_set_aside(tx: &mut Tx<'_>, scene: &mut Scene<'_>) -> Result<(), StoreError> {
    for (message, receiver, problem) in std::mem::take(&mut tx.set_aside) {
        let about = body::rescued(tx, message)?;
        report::send(tx, scene, Notice::Dead(Cause::Quarantined), &about, &receiver, &problem)?;
    }
    Ok(())
}
