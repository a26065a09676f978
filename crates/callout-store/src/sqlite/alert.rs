//! Reading and writing alerts, and what follows for their deliveries.

use super::alert_row::{Row, alert, alert_columns, place, step};
use super::body;
use super::delivery::{self, Scene};
use super::fault::torn;
use super::journal;
use super::report;
use super::row::{self, Delivery, delivery_columns, lossy};
use super::tx::{Db, Tx};
use crate::error::StoreError;
use crate::model::Alert;
use callout_core::alert::{Standing, State};
use callout_core::delivery::{Cause as Death, Event, Notice};
use callout_core::escalation::{Telling, Timer};
use callout_core::id::ReceiverName;
use callout_core::message::Message;
use callout_core::plan::Opening;
use callout_core::time::Timestamp;
use rusqlite::named_params;
use rusqlite::types::ValueRef;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) const READ: &str = concat!(
    "SELECT ",
    alert_columns!(),
    " FROM callout_alert a CROSS JOIN callout_message m ON m.seq = a.seq WHERE a.seq = :seq"
);

pub(super) const STATE: &str = "SELECT state FROM callout_alert WHERE seq = :seq";

pub(super) const TELLING: &str = concat!(
    "SELECT ",
    alert_columns!(),
    ", s.decision, s.step, s.round, s.cause, s.at, s.late_ms,
            (SELECT max(r.at) FROM callout_step r WHERE r.alert = a.seq AND r.cause = 'restarted')
      FROM callout_alert a CROSS JOIN callout_message m ON m.seq = a.seq
      LEFT JOIN callout_step s ON s.alert = a.seq AND s.decision = :decision
     WHERE a.seq = :seq"
);

pub(super) const OF_PROBLEM: &str = concat!(
    "SELECT ",
    alert_columns!(),
    " FROM callout_alert a CROSS JOIN callout_message m ON m.seq = a.seq
     WHERE a.dedup_key = :key AND a.state <> 'resolved'"
);

pub(super) const SUCCESSOR: &str = "
    SELECT m.id
      FROM callout_alert a CROSS JOIN callout_message m ON m.seq = a.successor
     WHERE a.seq = :seq";

pub(super) const SUCCEED: &str = "
    UPDATE callout_alert SET successor = :successor WHERE seq = :seq";

pub(super) const LATEST_OF_KEY: &str = "
    SELECT m.id
      FROM callout_alert a CROSS JOIN callout_message m ON m.seq = a.seq
     WHERE a.dedup_key = :key
     ORDER BY a.seq DESC LIMIT 1";

pub(super) const OPEN: &str = "
    INSERT INTO callout_alert
           (seq, level, dedup_key, state, opened_at, policy, timer, decision, step, round, cause,
            since, late_ms, due_at, look_at)
    VALUES (:seq, :level, :dedup_key, :state, :opened_at, :policy, :timer, :decision, :step, :round,
            :cause, :since, :late_ms, :due_at, :look_at)
        ON CONFLICT DO NOTHING";

// What was damaged was read as something else; the next decision needs a number of its own.
pub(super) const WRITE: &str = "
    UPDATE callout_alert
       SET state = :state, by = :by, at = :at, via = :via, acked_by = :acked_by,
           acked_at = :acked_at, epoch = :epoch, timer = :timer,
           decision = CASE WHEN :is_damaged
                           THEN max(:decision, (SELECT coalesce(max(s.decision), 1)
                                                  FROM callout_step s WHERE s.alert = :seq))
                           ELSE :decision END,
           step = :step, round = :round, cause = :cause, since = :since, late_ms = :late_ms,
           due_at = :due_at, look_at = :look_at
     WHERE seq = :seq AND (state = :was AND decision = :after OR :is_damaged)";

// Of a damaged row nothing else is touched.
pub(super) const STOP: &str = "
    UPDATE callout_alert SET timer = 'stopped', due_at = NULL, look_at = NULL WHERE seq = :seq";

pub(super) const REMOVE: &str = "DELETE FROM callout_alert WHERE seq = :seq";

pub(super) const REPEAT: &str = "
    UPDATE callout_alert
       SET repeats = max(0, min(repeats, 4294967295)) + 1, last_repeat_at = :now
     WHERE seq = :seq";

pub(super) const LOOK: &str = "
    UPDATE callout_alert SET look_at = :now
     WHERE seq = :seq AND look_at IS NOT NULL AND look_at > :now";

pub(super) const SHIFT: &str = "
    UPDATE callout_alert
       SET opened_at = max(0, min(:last, opened_at + :by)), since = max(0, min(:last, since + :by)),
           due_at = max(0, min(:last, due_at + :by)), look_at = max(0, min(:last, look_at + :by))
     WHERE look_at IS NOT NULL";

pub(super) const TOLD: &str = "
    SELECT receiver FROM callout_delivery
     WHERE message_seq = :seq AND (state = 'accepted' OR state = 'leased')";

// What Callout itself says of an alert has no dedup key. It is news, and nothing calls that off.
pub(super) const WAITING: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery
     WHERE state = 'ready'
       AND message_seq IN (SELECT :seq UNION ALL
                           SELECT p.seq FROM callout_progress p
                            CROSS JOIN callout_message m ON m.seq = p.seq
                            WHERE p.alert = :seq AND p.state = 'pending' AND p.alert IS NOT NULL
                              AND m.dedup_key IS NOT NULL)"
);

pub(super) const STEPS: &str = "
    SELECT decision, step, round, cause, at, late_ms, receivers, due_at
      FROM callout_step WHERE alert = :seq ORDER BY decision";

/// What an alert is changed to.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) state: State,
    pub(super) epoch: u32,
    pub(super) timer: Timer,
    /// When to look at its escalation, while that waits.
    pub(super) look_at: Option<Timestamp>,
}

/// The alert of the message in row `seq`.
pub(super) fn read(db: Db<'_>, seq: i64) -> Result<Option<Row>, StoreError> {
    db.one("read the alert", READ, named_params! {":seq": seq}, alert)
}

/// The alert that is open or acknowledged for a problem.
pub(super) fn of_problem(db: Db<'_>, key: &str) -> Result<Option<Row>, StoreError> {
    db.one("look for an open alert", OF_PROBLEM, named_params! {":key": key}, alert)
}

/// The message whose alert is meant by a dedup key: the one not resolved, or else the latest.
pub(super) fn latest_of_key(db: Db<'_>, key: &str) -> Result<Option<String>, StoreError> {
    if let Some(row) = of_problem(db, key)? {
        return Ok(Some(row.id.to_string()));
    }
    db.one("look for the alert", LATEST_OF_KEY, named_params! {":key": key}, |row| lossy(row, 0))
}

/// Begins an alert in the message's row `seq`. Says whether it did: what stands in its way in a database
/// that somebody changed by hand keeps no message from being planned.
pub(super) fn open(
    tx: &Tx<'_>,
    seq: i64,
    message: &Message,
    opening: &Opening,
    look_at: Option<Timestamp>,
) -> Result<bool, StoreError> {
    let Opening { policy, timer, at } = opening;
    let place = timer.place();
    let params = named_params! {
        ":seq": seq, ":level": message.level.name(), ":dedup_key": message.dedup_key,
        ":state": State::Open.name(), ":opened_at": at.unix_ms(), ":policy": json(policy)?, ":timer": timer.name(),
        ":decision": place.decision, ":step": count(place.step), ":round": place.round,
        ":cause": place.cause.name(), ":since": place.since.unix_ms(),
        ":late_ms": milliseconds(place.late), ":due_at": timer.due_at().map(Timestamp::unix_ms),
        ":look_at": look_at.map(Timestamp::unix_ms),
    };
    Ok(tx.db.execute("open the alert", OPEN, params)? == 1)
}

/// Changes an alert, unless somebody else was faster.
pub(super) fn write(tx: &Tx<'_>, row: &Row, change: &Change) -> Result<bool, StoreError> {
    let deed = change.state.deed();
    let acked = match &change.state {
        State::Open => None,
        State::Acknowledged(deed) => Some((deed.by.clone(), deed.at)),
        State::Resolved(_) => row.acked.clone(),
    };
    let place = change.timer.place();
    let params = named_params! {
        ":seq": row.seq, ":was": row.state.name(), ":after": row.timer.place().decision,
        ":is_damaged": row.damage.is_some(),
        ":state": change.state.name(), ":by": deed.map(|deed| deed.by.as_str()),
        ":at": deed.map(|deed| deed.at.unix_ms()), ":via": deed.map(|deed| deed.via.name()),
        ":acked_by": acked.as_ref().map(|(by, _)| by.as_str()),
        ":acked_at": acked.as_ref().map(|(_, at)| at.unix_ms()), ":epoch": change.epoch,
        ":timer": change.timer.name(), ":decision": place.decision, ":step": count(place.step),
        ":round": place.round, ":cause": place.cause.name(), ":since": place.since.unix_ms(),
        ":late_ms": milliseconds(place.late),
        ":due_at": change.timer.due_at().map(Timestamp::unix_ms),
        ":look_at": change.look_at.map(Timestamp::unix_ms),
    };
    Ok(tx.db.execute("write the alert", WRITE, params)? == 1)
}

/// Ends an escalation that cannot go on because something stored is damaged, and tells the operator.
pub(super) fn set_aside(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    seq: i64,
    problem: &str,
) -> Result<(), StoreError> {
    tracing::error!(message = seq, problem, "an escalation was stopped");
    const DOING: &str = "stop the escalation";
    let stopped = tx.db.execute(DOING, STOP, named_params! {":seq": seq});
    let stopped = match stopped {
        // A row that holds what its table does not allow cannot be changed.
        Err(StoreError::Broken { .. }) => tx.db.execute(DOING, REMOVE, named_params! {":seq": seq}),
        stopped => stopped,
    };
    if stopped? == 0 {
        return Err(torn(DOING));
    }
    let problem = format!("its escalation cannot go on: {problem}");
    journal::note(tx, scene.now, seq, "quarantined", &problem)?;
    let about = body::rescued(tx, seq)?;
    let Ok(anyone) = "anyone".parse::<ReceiverName>() else { return Ok(()) };
    report::send(tx, scene, Notice::Dead(Death::Quarantined), &about, &anyone, &problem)
}

/// Counts one more message about the same problem.
pub(super) fn repeat(tx: &Tx<'_>, seq: i64, now: Timestamp) -> Result<(), StoreError> {
    let params = named_params! {":seq": seq, ":now": now.unix_ms()};
    tx.db.execute("count the repetition", REPEAT, params).map(drop)
}

/// Has the escalation looked at now.
pub(super) fn look_soon(tx: &mut Tx<'_>, seq: i64, now: Timestamp) -> Result<(), StoreError> {
    let params = named_params! {":seq": seq, ":now": now.unix_ms()};
    tx.news.work |= tx.db.execute("look at the escalation", LOOK, params)? == 1;
    Ok(())
}

/// Moves the times of all alerts that wait, because the clock was set by so many milliseconds. Those are
/// open alerts, as many as people have to answer.
pub(super) fn shift(tx: &Tx<'_>, by_ms: i64) -> Result<(), StoreError> {
    let params = named_params! {":by": by_ms, ":last": Timestamp::LAST.unix_ms()};
    tx.db.execute("move alerts along with the clock", SHIFT, params).map(drop)
}

/// Whom an alert has reached, or may have, by name.
pub(super) fn told(db: Db<'_>, seq: i64) -> Result<Vec<ReceiverName>, StoreError> {
    let names = db.all("read who was told", TOLD, named_params! {":seq": seq}, |row| {
        Ok(lossy(row, 0)?.parse::<ReceiverName>().ok())
    })?;
    Ok(names.into_iter().flatten().collect::<BTreeSet<_>>().into_iter().collect())
}

/// Calls off what waits of an alert and of the messages that joined it, or, if people are named, what waits
/// of the alert for them. What is under way ends by itself.
pub(super) fn call_off(
    tx: &mut Tx<'_>,
    scene: &Scene<'_>,
    seq: i64,
    only: Option<&[ReceiverName]>,
) -> Result<usize, StoreError> {
    let params = named_params! {":seq": seq};
    let rows = delivery::fetch(tx, scene.now, "look for what waits", WAITING, params)?;
    let is_meant =
        |row: &Delivery| only.is_none_or(|only| row.message == seq && only.contains(&row.receiver));
    let mut called_off = 0;
    for row in rows.iter().filter(|row| is_meant(row)) {
        let Ok(after) = delivery::decide(scene, row, Event::Cancelled) else { continue };
        called_off += usize::from(delivery::write(tx, row, &after, scene.now)?);
    }
    Ok(called_off)
}

/// Whether nobody is to be told by this delivery any more; says how its alert stands then.
pub(super) fn closed(db: Db<'_>, row: &Delivery) -> Result<Option<Standing>, StoreError> {
    if row.decision.is_none() {
        return Ok(None);
    }
    // A damaged word keeps nobody from being told.
    Ok(standing(db, row.message).filter(|standing| *standing != Standing::Open))
}

/// How an alert stands, unless that cannot be read.
pub(super) fn standing(db: Db<'_>, seq: i64) -> Option<Standing> {
    let params = named_params! {":seq": seq};
    let standing = db
        .one("read the alert's state", STATE, params, |row| row::word(row, 0, Standing::from_name));
    standing.ok().flatten()
}

/// How the alert of a delivery stands, and which telling of it that is.
pub(super) fn telling(
    db: Db<'_>,
    seq: i64,
    decision: u32,
) -> Result<Option<(Standing, Telling)>, StoreError> {
    let params = named_params! {":seq": seq, ":decision": decision};
    db.one("read the alert", TELLING, params, |row| {
        let alert = alert(row)?;
        let place = match row.get_ref(23)? {
            ValueRef::Null => alert.timer.place().clone(),
            _ => place(row, 23)?,
        };
        let telling = Telling {
            place,
            steps: alert.policy.steps.len(),
            opened_at: row.get::<_, Option<i64>>(29)?.map_or(alert.opened_at, row::time),
            epoch: alert.epoch,
        };
        Ok((alert.state.standing(), telling))
    })
}

/// Everything about an alert.
pub(super) fn whole(db: Db<'_>, row: Row) -> Result<Alert, StoreError> {
    Ok(Alert {
        steps: db.all("read the steps", STEPS, named_params! {":seq": row.seq}, step)?,
        told: told(db, row.seq)?,
        state: row.state,
        timer: row.timer,
        policy: row.policy,
        opened_at: row.opened_at,
        epoch: row.epoch,
        repeats: row.repeats,
        last_repeat_at: row.last_repeat_at,
        superseded_by: successor(db, row.seq)?,
    })
}

/// The id of the message whose alert took the place of this one.
pub(super) fn successor(db: Db<'_>, seq: i64) -> Result<Option<String>, StoreError> {
    db.one("read the successor", SUCCESSOR, named_params! {":seq": seq}, |row| lossy(row, 0))
}

/// Notes which alert took the place of one.
pub(super) fn succeed(tx: &Tx<'_>, seq: i64, successor: i64) -> Result<(), StoreError> {
    let params = named_params! {":seq": seq, ":successor": successor};
    tx.db.execute("note the successor", SUCCEED, params).map(drop)
}

/// What is stored as JSON.
pub(super) fn json<T: serde::Serialize + ?Sized>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|e| StoreError::Broken { doing: "write an alert as JSON", source: Box::new(e) })
}

pub(super) fn milliseconds(length: Duration) -> i64 {
    i64::try_from(length.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn count(n: usize) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
