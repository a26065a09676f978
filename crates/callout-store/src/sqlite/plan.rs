//! Turning new messages into deliveries, and into alerts.

use super::alert;
use super::alert_row::Row as Alert;
use super::answer;
use super::body;
use super::channel;
use super::counter::Count;
use super::delivery::Scene;
use super::escalate;
use super::journal::{self, Entry};
use super::rebase::Written;
use super::report::Ids;
use super::row::{self, Delivery, Trusted, time, urgency};
use super::tx::Tx;
use super::unplanned::{self, New};
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::model::{Actor, PlanReport, PlanRequest};
use callout_core::alert::{self as life, Event, Via};
use callout_core::delivery::State;
use callout_core::drift::written_at;
use callout_core::escalation::Timer;
use callout_core::id::{ChannelName, ReceiverName};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::plan::{Known, MessageState, Opening, Part, Plan, Planned};
use callout_core::time::Timestamp;
use rusqlite::named_params;
use std::collections::BTreeSet;

/// The most messages in one go, whatever is asked for.
const PLAN_MAX: usize = 1024;

pub(super) const INSERT: &str = "
    INSERT INTO callout_delivery
           (message_seq, receiver, urgency, expires_at, state, channel, attempt, failover_at,
            round, plain, soft, tries, ready_at, wait, lease_owner, lease_token, lease_until,
            leased_at, decision, checksum)
    VALUES (:message, :receiver, :urgency, :expires_at, :state, :channel, :attempt, :failover_at,
            :round, :plain, :soft, :tries, :ready_at, :wait, :lease_owner, :lease_token,
            :lease_until, :leased_at, :decision, :checksum)";

pub(super) const PLANNED: &str = "
    INSERT INTO callout_progress (seq, state, why, settled_at, alert, content)
    VALUES (:seq, :state, :why, :settled_at, :alert, :content)
        ON CONFLICT (seq) DO UPDATE
       SET state = excluded.state, why = excluded.why, settled_at = excluded.settled_at,
           alert = excluded.alert, content = excluded.content";

/// Plans up to `ask.limit` new messages, oldest first.
pub(super) fn plan(tx: &mut Tx<'_>, ask: &PlanRequest) -> Result<PlanReport, StoreError> {
    let mut scene = Scene {
        now: ask.now,
        directory: &ask.directory,
        blocked: channel::blocked(tx.db, ask.now)?,
        ids: Ids::new(ask.entropy),
    };
    plan_some(tx, &mut scene, ask.limit, &mut Nursery::default())
}

/// Plans up to `limit` new messages, oldest first. Deliveries that the nursery admits are put there
/// instead of being written.
pub(super) fn plan_some(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    limit: usize,
    nursery: &mut Nursery,
) -> Result<PlanReport, StoreError> {
    let found = unplanned::next(tx.db, limit.min(PLAN_MAX))?;
    let mut report = PlanReport { more: found.more, ..PlanReport::default() };
    if let Some(seq) = found.reached {
        unplanned::reach(tx, seq)?;
    }
    if found.messages.is_empty() {
        return Ok(report);
    }
    let written = Written::read(tx.db)?;
    let mut newest = written.newest;
    for New { seq, row, again_at, alert } in found.messages {
        match row::trusted(row) {
            Ok(message) => {
                let created_at = written.moved(message.created_at, scene.now);
                let created_at = match again_at {
                    Some(at) => {
                        let again_at = written.moved(at, scene.now);
                        created_again_at(&message.message, created_at, scene.now, again_at)
                    }
                    None => *newest.insert(written_at(created_at, newest, scene.now)),
                };
                plan_one(tx, scene, seq, &message, created_at, alert, nursery)?;
                report.planned += 1;
            }
            Err(damaged) => {
                body::quarantine(tx, scene, seq, &damaged)?;
                report.quarantined += 1;
            }
        }
    }
    written.note(tx, newest, !found.more)?;
    Ok(report)
}

/// Deliveries that are to be written as what a claim makes of them.
#[derive(Default)]
pub(super) struct Nursery {
    /// The channels whose deliveries come here.
    pub(super) channels: BTreeSet<ChannelName>,
    pub(super) newborns: Vec<Newborn>,
}

/// A delivery that is not in the database yet.
pub(super) struct Newborn {
    pub(super) row: Delivery,
    pub(super) trusted: Trusted,
}

impl Nursery {
    fn admits(&self, row: &Delivery, now: Timestamp) -> bool {
        let is_due = row.ready_at <= now && row.expires_at > now;
        is_due && self.channels.contains(&row.state.place().channel)
    }

    /// Takes out up to `n` deliveries on a channel, of one level, oldest message first.
    pub(super) fn hand_out(
        &mut self,
        n: usize,
        channel: &ChannelName,
        level: Level,
    ) -> Vec<Newborn> {
        let mut left = n;
        let (out, rest) = std::mem::take(&mut self.newborns).into_iter().partition(|newborn| {
            let row = &newborn.row;
            let is_wanted = left > 0 && row.level == level && row.state.place().channel == *channel;
            left -= usize::from(is_wanted);
            is_wanted
        });
        self.newborns = rest;
        out
    }
}

fn plan_one(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    seq: i64,
    trusted: &Trusted,
    created_at: Timestamp,
    alert: Option<i64>,
    nursery: &mut Nursery,
) -> Result<(), StoreError> {
    let message = &trusted.message;
    let found = match &message.dedup_key {
        Some(key) => alert::of_problem(tx.db, key)?,
        None => None,
    };
    let known = found.as_ref().map(|row| known(tx, row)).transpose()?;
    let mut plan =
        scene.directory.plan(message, created_at, scene.now, &scene.blocked, known.as_ref());
    let state = match plan.part {
        Part::Repeats => MessageState::Merged,
        _ if plan.deliveries.is_empty() => {
            plan.why.push_str("; nobody is told, it is only recorded");
            MessageState::Accepted
        }
        _ => MessageState::Pending,
    };
    take_part(tx, scene, seq, trusted, &plan, found.as_ref())?;
    let decision = if let Part::Opens(opening) = &plan.part {
        Some(opening.timer.place().decision)
    } else {
        None
    };
    // Whatever has to do with an alert is looked at by what is planned after it.
    let stands_alone = plan.part == Part::None && message.dedup_key.is_none() && alert.is_none();
    for planned in &plan.deliveries {
        let row = delivery(seq, message.level, planned, decision)?;
        if stands_alone && nursery.admits(&row, scene.now) {
            nursery.newborns.push(Newborn { row, trusted: trusted.clone() });
        } else {
            write(tx, &row)?;
        }
        crash_point("inside_plan");
    }
    let settled_at = (state != MessageState::Pending).then(|| scene.now.unix_ms());
    let belongs_to = match plan.part {
        Part::Joins | Part::Repeats | Part::Resolves => found.map(|row| row.seq),
        // What Callout itself says of an alert was tied to it when it was posted.
        Part::None if message.dedup_key.is_none() => alert,
        Part::None | Part::Opens(_) => None,
    };
    let params = named_params! {
        ":seq": seq, ":state": state.name(), ":why": plan.why, ":settled_at": settled_at,
        ":alert": belongs_to, ":content": trusted.content,
    };
    tx.db.execute("note the plan", PLANNED, params)?;
    tx.counters.add(Count::Messages(state), 1);
    Ok(())
}

/// When a message counts as written that was put back to be planned again: it lives from then on, and does
/// not wait twice.
fn created_again_at(
    message: &Message,
    created_at: Timestamp,
    now: Timestamp,
    again_at: Timestamp,
) -> Timestamp {
    let delay = message.delay.map_or(0, alert::milliseconds);
    created_at.min(now).max(time(again_at.min(now).unix_ms() - delay))
}

/// What the plan may know of an alert.
fn known(tx: &Tx<'_>, row: &Alert) -> Result<Known, StoreError> {
    Ok(Known {
        id: row.id,
        level: row.level,
        state: row.state.clone(),
        // A damaged one that stands still is not to silence its problem either.
        exhausted: row.state == life::State::Open && !matches!(row.timer, Timer::Waiting { .. }),
        told: alert::told(tx.db, row.seq)?,
    })
}

/// Does to alerts what the plan says.
fn take_part(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    seq: i64,
    trusted: &Trusted,
    plan: &Plan,
    found: Option<&Alert>,
) -> Result<(), StoreError> {
    match (&plan.part, found) {
        (Part::Opens(opening), found) => {
            if let Some(found) = found {
                let detail = format!("{} took its place", trusted.id);
                end(tx, scene, found, "callout", "superseded", &detail)?;
                alert::succeed(tx, found.seq, seq)?;
            }
            open(tx, scene.now, seq, trusted, opening, plan)
        }
        (Part::Repeats, Some(found)) => alert::repeat(tx, found.seq, scene.now),
        (Part::Resolves, Some(found)) => {
            let detail = format!("by message {}", trusted.id);
            end(tx, scene, found, "producer", "resolved", &detail)
        }
        (Part::None | Part::Joins | Part::Repeats | Part::Resolves, _) => Ok(()),
    }
}

fn open(
    tx: &mut Tx<'_>,
    now: Timestamp,
    seq: i64,
    trusted: &Trusted,
    opening: &Opening,
    plan: &Plan,
) -> Result<(), StoreError> {
    let Opening { policy, timer, .. } = opening;
    // Where nobody can be told, the next step follows at once.
    let look_at = timer.due_at().map(|at| if plan.deliveries.is_empty() { now } else { at });
    if !alert::open(tx, seq, &trusted.message, opening, look_at)? {
        return Ok(());
    }
    let mut to: Vec<ReceiverName> =
        plan.deliveries.iter().map(|planned| planned.receiver.clone()).collect();
    let silent = policy.receivers(0).iter().filter(|name| !to.contains(name));
    to.extend(silent.cloned().collect::<Vec<_>>());
    escalate::record(tx, seq, timer, &to).map(drop)
}

/// Resolves an alert on behalf of a message.
fn end(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    row: &Alert,
    by: &str,
    event: &str,
    detail: &str,
) -> Result<(), StoreError> {
    let who = Actor { by: by.to_owned(), via: Via::Message, origin: None };
    let resolved = Event::Resolved(who.deed(scene.now));
    let Ok(state) = life::step(&row.state, resolved) else { return Ok(()) };
    if answer::settle(tx, scene, row, state)? {
        let entry = Entry { at: scene.now, event, detail, who: Some(&who) };
        journal::write(tx, row.seq, &entry)?;
    }
    Ok(())
}

/// Makes a delivery; by which decision of the message's alert, if there is one.
pub(super) fn insert(
    tx: &mut Tx<'_>,
    seq: i64,
    level: Level,
    planned: &Planned,
    decision: Option<u32>,
) -> Result<(), StoreError> {
    write(tx, &delivery(seq, level, planned, decision)?).map(drop)
}

/// A delivery as it is planned.
fn delivery(
    seq: i64,
    level: Level,
    planned: &Planned,
    decision: Option<u32>,
) -> Result<Delivery, StoreError> {
    let State::Ready { at, wait, .. } = &planned.state else {
        let source = "a delivery has to start ready".into();
        return Err(StoreError::Broken { doing: "plan a delivery", source });
    };
    Ok(Delivery {
        id: 0,
        message: seq,
        receiver: planned.receiver.clone(),
        level,
        expires_at: planned.expires_at,
        state: planned.state.clone(),
        ready_at: *at,
        wait: *wait,
        token: 0,
        leased_at: None,
        decision,
    })
}

/// Writes a new delivery, ready or leased, and returns its number.
pub(super) fn write(tx: &mut Tx<'_>, row: &Delivery) -> Result<i64, StoreError> {
    let place = row.state.place();
    let lease = match &row.state {
        State::Leased { lease, .. } => Some(*lease),
        _ => None,
    };
    let params = named_params! {
        ":message": row.message, ":receiver": row.receiver.as_str(),
        ":urgency": urgency(row.level), ":expires_at": row.expires_at.unix_ms(),
        ":state": row.state.name(), ":channel": place.channel.as_str(),
        ":attempt": place.attempt, ":failover_at": place.failover_at.map(Timestamp::unix_ms),
        ":round": place.round, ":plain": place.plain, ":soft": place.soft, ":tries": place.tries,
        ":ready_at": row.ready_at.unix_ms(), ":wait": row.wait.name(),
        ":lease_owner": lease.map(|lease| lease.owner.to_string()), ":lease_token": row.token,
        ":lease_until": lease.map(|lease| lease.until.unix_ms()),
        ":leased_at": row.leased_at.map(Timestamp::unix_ms), ":decision": row.decision,
        ":checksum": row.checksum(),
    };
    tx.db.execute("plan a delivery", INSERT, params)?;
    tx.counters.add(Count::deliveries(&place.channel, row.state.standing()), 1);
    Ok(tx.db.last_rowid())
}
