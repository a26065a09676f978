//! Telling the next people.
//!
//! What follows is `escalation::step`'s to say. Each of its decisions is one row, written once, in the
//! transaction that makes the deliveries and under compare-and-set on the decision before it.

use super::alert::{self, Change, count, json, milliseconds};
use super::alert_row::{self, Row, alert_columns};
use super::body;
use super::channel;
use super::delivery::{self, Scene};
use super::fault::torn;
use super::plan;
use super::report::{self, Ids};
use super::row::{Trusted, time};
use super::tx::{Db, Tx};
use crate::crash::crash_point;
use crate::enqueue::Damaged;
use crate::error::StoreError;
use crate::model::{EscalateReport, EscalateRequest};
use callout_core::alert::State;
use callout_core::delivery::{Standing, Wait};
use callout_core::escalation::{self, Event, Place, Policy, Reach, Timer};
use callout_core::id::ReceiverName;
use callout_core::plan::{Planned, exhausted};
use callout_core::time::Timestamp;
use rusqlite::named_params;
use std::collections::BTreeMap;

/// The most alerts in one go, whatever is asked for.
const ESCALATE_MAX: usize = 1024;

pub(super) const FIRST: &str = "
    SELECT (SELECT min(look_at) FROM callout_alert WHERE look_at IS NOT NULL),
           (SELECT max(since) FROM callout_alert WHERE look_at IS NOT NULL)";

pub(super) const DUE: &str = concat!(
    "SELECT ",
    alert_columns!(),
    " FROM callout_alert a CROSS JOIN callout_message m ON m.seq = a.seq
     WHERE a.look_at IS NOT NULL AND a.look_at <= :now
     ORDER BY a.look_at LIMIT :limit"
);

pub(super) const AHEAD: &str = concat!(
    "SELECT ",
    alert_columns!(),
    " FROM callout_alert a CROSS JOIN callout_message m ON m.seq = a.seq
     WHERE a.look_at IS NOT NULL AND a.since > :now
     ORDER BY a.since DESC LIMIT :limit"
);

pub(super) const STANDINGS: &str = "
    SELECT state FROM callout_delivery WHERE message_seq = :seq AND decision = :decision";

pub(super) const DECIDE: &str = "
    INSERT INTO callout_step (alert, decision, at, step, round, cause, late_ms, receivers, due_at)
    VALUES (:seq, :decision, :at, :step, :round, :cause, :late_ms, :receivers, :due_at)
        ON CONFLICT (alert, decision) DO NOTHING";

/// Looks at up to `ask.limit` escalations that are due.
pub(super) fn escalate(
    tx: &mut Tx<'_>,
    ask: &EscalateRequest,
) -> Result<EscalateReport, StoreError> {
    let (next_at, since) = first(tx.db)?;
    let is_due = next_at.is_some_and(|at| at <= ask.now);
    if !is_due && since.is_none_or(|since| since <= ask.now) {
        return Ok(EscalateReport { next_at, ..EscalateReport::default() });
    }
    let mut scene = Scene {
        now: ask.now,
        directory: &ask.directory,
        blocked: channel::blocked(tx.db, ask.now)?,
        ids: Ids::new(ask.entropy),
    };
    let limit = ask.limit.min(ESCALATE_MAX);
    let mut stepped = 0;
    let rows = due(tx.db, ask.now, limit)?;
    if rows.is_empty() && limit > 0 {
        // Looking again and again would not find it.
        return Err(torn("look for due escalations"));
    }
    for row in rows {
        stepped += usize::from(look(tx, &mut scene, &row)?);
    }
    let (next_at, since) = first(tx.db)?;
    let is_left = next_at.is_some_and(|at| at <= ask.now) || since.is_some_and(|at| at > ask.now);
    // A report to the operator has to be planned, and that is not for later.
    let more = limit > 0 && is_left || tx.news.message > 0;
    Ok(EscalateReport { stepped, next_at, more })
}

/// When the first escalation is due, and when the latest decision of one that waits was made.
fn first(db: Db<'_>) -> Result<(Option<Timestamp>, Option<Timestamp>), StoreError> {
    let times = db.one("look for escalations", FIRST, &[], |row| {
        Ok((row.get::<_, Option<i64>>(0)?.map(time), row.get::<_, Option<i64>>(1)?.map(time)))
    })?;
    Ok(times.unwrap_or_default())
}

/// Escalations that are due, and those from the future: the clock was set back.
fn due(db: Db<'_>, now: Timestamp, limit: usize) -> Result<Vec<Row>, StoreError> {
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = BTreeMap::new();
    for sql in [DUE, AHEAD] {
        let params = named_params! {":now": now.unix_ms(), ":limit": most};
        let found = db.all("look for due escalations", sql, params, alert_row::alert)?;
        rows.extend(found.into_iter().map(|row| (row.seq, row)));
    }
    Ok(rows.into_values().take(limit).collect())
}

/// Takes one escalation further. Says whether it went on or ended.
fn look(tx: &mut Tx<'_>, scene: &mut Scene<'_>, row: &Row) -> Result<bool, StoreError> {
    if let Some(damage) = &row.damage {
        alert::set_aside(tx, scene, row.seq, damage)?;
        return Ok(true);
    }
    let reach = reach(tx.db, row.seq, row.timer.place().decision)?;
    let timer = match escalation::step(&row.timer, Event::Looked(reach), &row.policy, scene.now) {
        Ok(timer) => timer,
        Err(illegal) => {
            alert::set_aside(tx, scene, row.seq, &illegal.to_string())?;
            return Ok(true);
        }
    };
    let is_new = timer.place().decision != row.timer.place().decision;
    let told = advance(tx, scene, row, State::Open, row.epoch, timer)?;
    if told.is_none() {
        alert::set_aside(tx, scene, row.seq, "its row does not hold together")?;
    }
    Ok(is_new || told.is_none())
}

/// How the deliveries of a decision stand.
pub(super) fn reach(db: Db<'_>, seq: i64, decision: u32) -> Result<Reach, StoreError> {
    let params = named_params! {":seq": seq, ":decision": decision};
    let standings = db.all("read whom it reached", STANDINGS, params, alert_row::standing)?;
    Ok(Reach::of(standings))
}

/// Writes how an alert stands now, and carries out a new decision. Returns who is told by that; `None`
/// if somebody else was faster and nothing was written.
pub(super) fn advance(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    row: &Row,
    state: State,
    epoch: u32,
    timer: Timer,
) -> Result<Option<Vec<ReceiverName>>, StoreError> {
    let is_new = timer.place().decision > row.timer.place().decision;
    let trusted = if is_new { Some(body::read(tx.db, row.seq)?) } else { None };
    let planned = match (&timer, trusted) {
        (Timer::Waiting { place, .. }, Some(Ok(trusted))) => {
            Some(people(scene, &row.policy, place, &trusted))
        }
        (Timer::Waiting { .. }, Some(Err(damaged))) => {
            return halt(tx, scene, row, state, epoch, &damaged);
        }
        _ => None,
    };
    let in_vain = planned.as_ref().is_some_and(Vec::is_empty);
    let look_at = timer.due_at().map(|at| if in_vain { scene.now } else { at });
    let change = Change { state, epoch, timer, look_at };
    if !alert::write(tx, row, &change)? {
        return Ok(None);
    }
    let to = match &change.timer {
        Timer::Waiting { place, .. } => row.policy.receivers(place.step),
        Timer::Stopped { .. } | Timer::Exhausted { .. } => &[],
    };
    if !is_new || !record(tx, row.seq, &change.timer, to)? {
        return Ok(Some(Vec::new()));
    }
    match planned {
        Some(planned) => tell(tx, scene, row, change.timer.place().decision, &planned).map(Some),
        None => give_up(tx, scene, row).map(|()| Some(Vec::new())),
    }
}

/// Whom a decision tells, as deliveries.
fn people(scene: &Scene<'_>, policy: &Policy, place: &Place, trusted: &Trusted) -> Vec<Planned> {
    let to = policy.receivers(place.step);
    let Scene { now, directory, blocked, .. } = scene;
    directory.deliveries(&trusted.message, to, *now, Wait::Escalated, blocked)
}

/// Writes how an alert stands now, but tells nobody, because what to tell is damaged.
fn halt(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    row: &Row,
    state: State,
    epoch: u32,
    damaged: &Damaged,
) -> Result<Option<Vec<ReceiverName>>, StoreError> {
    let timer = Timer::Stopped { place: row.timer.place().clone() };
    if !alert::write(tx, row, &Change { state, epoch, timer, look_at: None })? {
        return Ok(None);
    }
    alert::set_aside(tx, scene, row.seq, &damaged.to_string())?;
    Ok(Some(Vec::new()))
}

/// Writes down a decision to tell these people, or that nobody is left. Says whether that is the first
/// time.
pub(super) fn record(
    tx: &Tx<'_>,
    seq: i64,
    timer: &Timer,
    to: &[ReceiverName],
) -> Result<bool, StoreError> {
    let place = timer.place();
    let params = named_params! {
        ":seq": seq, ":decision": place.decision, ":at": place.since.unix_ms(),
        ":step": count(place.step), ":round": place.round, ":cause": place.cause.name(),
        ":late_ms": milliseconds(place.late), ":receivers": json(to)?,
        ":due_at": timer.due_at().map(Timestamp::unix_ms),
    };
    Ok(tx.db.execute("write the decision", DECIDE, params)? == 1)
}

fn tell(
    tx: &mut Tx<'_>,
    scene: &Scene<'_>,
    row: &Row,
    decision: u32,
    planned: &[Planned],
) -> Result<Vec<ReceiverName>, StoreError> {
    let to: Vec<_> = planned.iter().map(|planned| planned.receiver.clone()).collect();
    // Who has not even heard the last time need not hear it twice.
    alert::call_off(tx, scene, row.seq, Some(&to))?;
    for planned in planned {
        plan::insert(tx, row.seq, row.level, planned, Some(decision))?;
        crash_point("inside_escalation");
    }
    if !planned.is_empty() {
        delivery::sum_up(tx, row.seq, Standing::Ready, scene.now)?;
        tx.news.work = true;
    }
    Ok(to)
}

/// Nobody is left: the operator hears of it.
fn give_up(tx: &mut Tx<'_>, scene: &mut Scene<'_>, row: &Row) -> Result<(), StoreError> {
    let about = body::rescued(tx, row.seq)?;
    let told = alert::told(tx.db, row.seq)?;
    match exhausted(scene.directory, &about.message, about.id, &told) {
        Some(message) => report::post(tx, scene, message),
        None => Ok(()),
    }
}
