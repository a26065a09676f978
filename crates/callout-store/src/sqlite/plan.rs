//! Turning new messages into deliveries.

use super::body;
use super::channel;
use super::counter::Count;
use super::delivery::Scene;
use super::report::Ids;
use super::row::{self, Trusted, message_columns, urgency};
use super::tx::Tx;
use crate::error::StoreError;
use crate::model::{PlanReport, PlanRequest};
use callout_core::delivery::State;
use callout_core::level::Level;
use callout_core::plan::{MessageState, Planned};
use callout_core::time::Timestamp;
use rusqlite::named_params;

/// The most messages in one go, whatever is asked for.
const PLAN_MAX: usize = 1024;

// The second condition is what the partial index is about; SQLite cannot see that it follows.
pub(super) const NEW: &str = concat!(
    "SELECT ",
    message_columns!(),
    " FROM callout_progress p CROSS JOIN callout_message m ON m.seq = p.seq
     WHERE p.state = 'new' AND p.state <> 'accepted'
     ORDER BY p.seq
     LIMIT :limit"
);

pub(super) const INSERT: &str = "
    INSERT INTO callout_delivery
           (message_seq, receiver, urgency, expires_at, state, channel, attempt, failover_at,
            round, plain, soft, tries, ready_at, wait)
    VALUES (:message, :receiver, :urgency, :expires_at, :state, :channel, :attempt, :failover_at,
            :round, :plain, :soft, :tries, :ready_at, :wait)";

pub(super) const PLANNED: &str = "
    UPDATE callout_progress SET state = :state, why = :why, settled_at = :settled_at
     WHERE seq = :seq AND state = 'new'";

/// Plans up to `ask.limit` new messages, oldest first.
pub(super) fn plan(tx: &mut Tx<'_>, ask: &PlanRequest) -> Result<PlanReport, StoreError> {
    let limit = ask.limit.min(PLAN_MAX);
    let params = named_params! {":limit": i64::try_from(limit).unwrap_or(i64::MAX)};
    let rows = tx.db.all("look for new messages", NEW, params, row::message)?;
    let mut report = PlanReport { more: rows.len() == limit, ..PlanReport::default() };
    if rows.is_empty() {
        return Ok(PlanReport::default());
    }
    let mut scene = Scene {
        now: ask.now,
        directory: &ask.directory,
        blocked: channel::blocked(tx.db, ask.now)?,
        ids: Ids::new(ask.entropy),
    };
    for (seq, row) in rows {
        match row::trusted(row) {
            Ok(message) => {
                plan_one(tx, &scene, seq, &message)?;
                report.planned += 1;
            }
            Err(damaged) => {
                body::quarantine(tx, &mut scene, seq, &damaged)?;
                report.quarantined += 1;
            }
        }
    }
    Ok(report)
}

fn plan_one(
    tx: &mut Tx<'_>,
    scene: &Scene<'_>,
    seq: i64,
    trusted: &Trusted,
) -> Result<(), StoreError> {
    // A producer whose clock is ahead, or was set back since, must not delay its own alert.
    let created_at = trusted.created_at.min(scene.now);
    let mut plan = scene.directory.plan(&trusted.message, created_at, &scene.blocked);
    for planned in &plan.deliveries {
        insert(tx, seq, trusted.message.level, planned)?;
    }
    let state = if plan.deliveries.is_empty() {
        plan.why.push_str("; nobody is told, it is only recorded");
        MessageState::Accepted
    } else {
        MessageState::Pending
    };
    let settled_at = (state != MessageState::Pending).then(|| scene.now.unix_ms());
    let params = named_params! {
        ":seq": seq, ":state": state.name(), ":why": plan.why, ":settled_at": settled_at,
    };
    tx.db.execute("note the plan", PLANNED, params)?;
    tx.counters.add(Count::Messages(state), 1);
    Ok(())
}

fn insert(tx: &mut Tx<'_>, seq: i64, level: Level, planned: &Planned) -> Result<(), StoreError> {
    let State::Ready { at, wait, place } = &planned.state else {
        let source = "a delivery has to start ready".into();
        return Err(StoreError::Broken { doing: "plan a delivery", source });
    };
    let params = named_params! {
        ":message": seq, ":receiver": planned.receiver.as_str(), ":urgency": urgency(level),
        ":expires_at": planned.expires_at.unix_ms(), ":state": planned.state.name(),
        ":channel": place.channel.as_str(), ":attempt": place.attempt,
        ":failover_at": place.failover_at.map(Timestamp::unix_ms), ":round": place.round,
        ":plain": place.plain, ":soft": place.soft, ":tries": place.tries,
        ":ready_at": at.unix_ms(), ":wait": wait.name(),
    };
    tx.db.execute("plan a delivery", INSERT, params)?;
    tx.counters.add(Count::deliveries(&place.channel, planned.state.standing()), 1);
    Ok(())
}
