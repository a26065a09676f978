//! What somebody does about an alert.
//!
//! The new state, the end of what waits, the journal and the news for those who were told are one
//! transaction: whoever acts before a step is committed keeps it from being taken.

use super::alert;
use super::alert_row::Row;
use super::body;
use super::channel;
use super::delivery::Scene;
use super::escalate::advance;
use super::journal::{self, Entry};
use super::report::{self, About, Ids};
use super::row::lossy;
use super::tx::{Db, Tx};
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::model::{Actor, Answer, AnswerRequest, Answered, Seen};
use callout_core::alert::{self as life, Event, State};
use callout_core::escalation::{self, Timer};
use callout_core::id::ReceiverName;
use callout_core::plan;
use rusqlite::named_params;

pub(super) const FIND: &str = "
    SELECT m.seq, coalesce(p.state, 'new'), p.alert
      FROM callout_message m LEFT JOIN callout_progress p ON p.seq = m.seq
     WHERE m.id = :id";

/// Writes an answer down, or says why not.
pub(super) fn answer(tx: &mut Tx<'_>, ask: &AnswerRequest) -> Result<Answered, StoreError> {
    let who = Actor { by: life::author(&ask.who.by)?, ..ask.who.clone() };
    let ask = &AnswerRequest { who, ..ask.clone() };
    let Some(found) = find(tx.db, &ask.message)? else { return Ok(Answered::Unknown) };
    let row = match found.alert {
        Some(row) => row,
        None => return Ok(Answered::NoAlert { why: no_alert(&found.state).to_owned() }),
    };
    if let Some(successor) = alert::successor(tx.db, row.seq)? {
        return refused(tx.db, row, format!("{successor} took its place"));
    }
    if ask.epoch.is_some_and(|epoch| epoch != row.epoch) {
        return refused(tx.db, row, "it was opened again since".to_owned());
    }
    let seen = Seen { standing: row.state.standing(), decision: row.timer.place().decision };
    if ask.only.is_some_and(|only| only != seen) {
        return refused(tx.db, row, "it has changed since you looked".to_owned());
    }
    let mut scene = Scene {
        now: ask.now,
        directory: &ask.directory,
        blocked: channel::blocked(tx.db, ask.now)?,
        ids: Ids::new(ask.entropy),
    };
    let deed = ask.who.deed(ask.now);
    let refusal = match ask.answer {
        Answer::Acknowledge => close(tx, &mut scene, &row, Event::Acknowledged(deed), ask)?,
        Answer::Resolve => close(tx, &mut scene, &row, Event::Resolved(deed), ask)?,
        Answer::Unacknowledge => reopen(tx, &mut scene, &row, ask)?,
        Answer::Escalate => push(tx, &mut scene, &row, ask)?,
    };
    match refusal {
        Some(why) => refused(tx.db, row, why),
        None => {
            tracing::info!(message = %row.id, answer = ?ask.answer, via = ask.who.via.name(), "answered");
            tx.news.work = true;
            let row = alert::read(tx.db, row.seq)?.unwrap_or(row);
            Ok(Answered::Done(Box::new(alert::whole(tx.db, row)?)))
        }
    }
}

struct Found {
    /// Where the message stands.
    state: String,
    alert: Option<Row>,
}

/// The alert that a message is, was counted with, joined, resolved or brings news of.
fn find(db: Db<'_>, id: &str) -> Result<Option<Found>, StoreError> {
    let found = db.one("find the message", FIND, named_params! {":id": id}, |row| {
        Ok((row.get::<_, i64>(0)?, lossy(row, 1)?, row.get::<_, Option<i64>>(2)?))
    })?;
    let Some((seq, state, alert)) = found else { return Ok(None) };
    Ok(Some(Found { state, alert: alert::read(db, alert.unwrap_or(seq))? }))
}

fn no_alert(state: &str) -> &'static str {
    match state {
        "new" => "no worker has looked at it yet, ask again in a moment (is one running?)",
        "dead" => "nobody has to acknowledge it, and it was not delivered",
        _ => "nobody has to acknowledge it",
    }
}

fn refused(db: Db<'_>, row: Row, why: String) -> Result<Answered, StoreError> {
    Ok(Answered::Refused { alert: Box::new(alert::whole(db, row)?), why })
}

/// Ends or pauses an alert: nobody else is told. Returns why not, if so.
fn close(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    row: &Row,
    event: Event,
    ask: &AnswerRequest,
) -> Result<Option<String>, StoreError> {
    let Ok(state) = life::step(&row.state, event.clone()) else {
        return Ok(Some(format!("it is {} already", row.state.name())));
    };
    if !settle(tx, scene, row, state)? {
        return Ok(Some("somebody else was faster".to_owned()));
    }
    crash_point("inside_answer");
    note(tx, row, event.name(), ask)?;
    let told = alert::told(tx.db, row.seq)?;
    follow_up(tx, scene, row, &event, &ask.who.by, ask.note.as_deref(), &told)?;
    Ok(None)
}

/// Writes a state in which nobody is told any more. Says whether nobody else was faster.
pub(super) fn settle(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    row: &Row,
    state: State,
) -> Result<bool, StoreError> {
    let timer = escalation::step(&row.timer, escalation::Event::Stopped, &row.policy, scene.now)
        .unwrap_or_else(|_| Timer::Stopped { place: row.timer.place().clone() });
    if advance(tx, scene, row, state, row.epoch, timer)?.is_none() {
        return Ok(false);
    }
    alert::call_off(tx, scene, row.seq, None)?;
    Ok(true)
}

/// Opens an alert again: it begins at its first step, whose people are told at once.
fn reopen(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    row: &Row,
    ask: &AnswerRequest,
) -> Result<Option<String>, StoreError> {
    let (event, epoch) = match &row.state {
        State::Open | State::Acknowledged(_) => (Event::Unacknowledged, row.epoch),
        State::Resolved(_) => (Event::Reopened, row.epoch.saturating_add(1)),
    };
    let Ok(state) = life::step(&row.state, event.clone()) else {
        return Ok(Some("nobody has acknowledged it".to_owned()));
    };
    if let Some(key) = &row.dedup_key
        && let Some(other) = alert::of_problem(tx.db, key)?.filter(|other| other.seq != row.seq)
    {
        return Ok(Some(format!("{} is open for the same problem", other.id)));
    }
    let restarted = escalation::Event::Restarted;
    let Ok(timer) = escalation::step(&row.timer, restarted, &row.policy, scene.now) else {
        return Ok(Some("its escalation cannot begin again".to_owned()));
    };
    let before = alert::told(tx.db, row.seq)?;
    let Some(again) = advance(tx, scene, row, state, epoch, timer)? else {
        return Ok(Some("somebody else was faster".to_owned()));
    };
    note(tx, row, event.name(), ask)?;
    let told: Vec<_> = before.into_iter().filter(|name| !again.contains(name)).collect();
    follow_up(tx, scene, row, &event, &ask.who.by, ask.note.as_deref(), &told)?;
    Ok(None)
}

/// Tells the next people at once.
fn push(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    row: &Row,
    ask: &AnswerRequest,
) -> Result<Option<String>, StoreError> {
    if row.state != State::Open {
        return Ok(Some(format!("it is {}", row.state.name())));
    }
    let pushed = escalation::Event::Pushed;
    let timer = match escalation::step(&row.timer, pushed, &row.policy, scene.now) {
        Ok(timer) if row.damage.is_none() => timer,
        Ok(_) | Err(_) => return Ok(Some("its stored escalation is damaged".to_owned())),
    };
    if advance(tx, scene, row, State::Open, row.epoch, timer)?.is_none() {
        return Ok(Some("somebody else was faster".to_owned()));
    }
    note(tx, row, "escalated", ask)?;
    Ok(None)
}

fn note(tx: &mut Tx<'_>, row: &Row, event: &str, ask: &AnswerRequest) -> Result<(), StoreError> {
    let detail = ask.note.as_deref().unwrap_or_default();
    journal::write(tx, row.seq, &Entry { at: ask.now, event, detail, who: Some(&ask.who) })
}

/// Tells those who were told of an alert what became of it.
pub(super) fn follow_up(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    row: &Row,
    event: &Event,
    by: &str,
    note: Option<&str>,
    told: &[ReceiverName],
) -> Result<(), StoreError> {
    let about = body::rescued(tx, row.seq)?;
    let About { id, message } = &about;
    match plan::follow_up(scene.directory, message, *id, event, by, note, told) {
        Some(message) => report::post_about(tx, scene, message, row.seq),
        None => Ok(()),
    }
}
