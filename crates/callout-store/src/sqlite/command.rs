//! What an operator does to messages that are already there.

use super::alert;
use super::alert_row::Row;
use super::answer;
use super::body;
use super::channel;
use super::counter::Count;
use super::delivery::{self, Scene};
use super::journal::{self, Entry};
use super::list;
use super::report::Ids;
use super::row::{self, Delivery};
use super::tx::Tx;
use crate::error::StoreError;
use crate::model::{Command, CommandRequest};
use callout_core::alert as life;
use callout_core::delivery::{Event, State};
use callout_core::id::ReceiverName;
use callout_core::plan::{self, MessageState};
use callout_core::time::Timestamp;
use rusqlite::named_params;
use std::collections::BTreeSet;

/// Messages that one transaction changes.
pub(super) const CHUNK: usize = 256;

pub(super) const FIND: &str = "
    SELECT m.seq, coalesce(p.state, 'new')
      FROM callout_message m LEFT JOIN callout_progress p ON p.seq = m.seq
     WHERE m.id = :id";

pub(super) const CANCEL_NEW: &str = "
    INSERT INTO callout_progress (seq, state, settled_at) VALUES (:seq, 'cancelled', :now)
        ON CONFLICT (seq) DO UPDATE SET state = excluded.state, settled_at = excluded.settled_at
     WHERE state = 'new'";

pub(super) const PLAN_AGAIN: &str = "
    UPDATE callout_progress SET state = 'new', why = NULL, settled_at = NULL, again_at = :now
     WHERE seq = :seq AND state = :was";

pub(super) const PROLONG: &str =
    "UPDATE callout_delivery SET expires_at = :expires_at, checksum = :checksum WHERE id = :id";

/// Carries out a command. Returns how many deliveries, or messages without any, it changed.
pub(super) fn command(tx: &mut Tx<'_>, ask: &CommandRequest) -> Result<usize, StoreError> {
    let mut scene = Scene {
        now: ask.now,
        directory: &ask.directory,
        blocked: channel::blocked(tx.db, ask.now)?,
        // Whoever gives the command sees what comes of it; nothing is reported to the operator.
        ids: Ids::new([0; 10]),
    };
    let mut changed = 0;
    for id in &ask.messages {
        let found = tx.db.one("find the message", FIND, named_params! {":id": id}, |row| {
            Ok((row.get::<_, i64>(0)?, row::lossy(row, 1)?))
        })?;
        let Some((seq, state)) = found else { continue };
        let alert = alert::read(tx.db, seq)?;
        let is_open = alert.as_ref().is_none_or(|alert| alert.state == life::State::Open);
        if matches!(ask.command, Command::Replay) && !is_open {
            continue;
        }
        // Whoever is being told right now is taken to have been told.
        let told = if alert.is_some() { alert::told(tx.db, seq)? } else { Vec::new() };
        let params = named_params! {":seq": seq};
        let rows = delivery::fetch(tx, ask.now, "read the deliveries", list::DELIVERIES, params)?;
        let mut n = if rows.is_empty() {
            usize::from(without_deliveries(tx, ask, seq, &state)?)
        } else {
            with_deliveries(tx, &mut scene, ask, &rows)?
        };
        if let (Command::Cancel, Some(alert)) = (&ask.command, alert) {
            n = n.max(usize::from(resolve(tx, &mut scene, ask, &alert, &told)?));
        }
        if n > 0 {
            let event = match ask.command {
                Command::Replay => "replayed",
                Command::Cancel => "cancelled",
            };
            let entry = Entry { at: ask.now, event, detail: "", who: Some(&ask.who) };
            journal::write(tx, seq, &entry)?;
            tx.news.work = true;
        }
        changed += n;
    }
    Ok(changed)
}

/// What is cancelled needs nobody's acknowledgment any more. Says whether it did until now.
fn resolve(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    ask: &CommandRequest,
    row: &Row,
    told: &[ReceiverName],
) -> Result<bool, StoreError> {
    let event = life::Event::Cancelled(ask.who.deed(ask.now));
    let Ok(state) = life::step(&row.state, event.clone()) else { return Ok(false) };
    if !answer::settle(tx, scene, row, state)? {
        return Ok(false);
    }
    scene.ids = Ids::of_message(row.id);
    answer::follow_up(tx, scene, row, &event, &ask.who.by, None, told)?;
    Ok(true)
}

/// A message that was not planned, or could not be.
fn without_deliveries(
    tx: &mut Tx<'_>,
    ask: &CommandRequest,
    seq: i64,
    state: &str,
) -> Result<bool, StoreError> {
    match (&ask.command, MessageState::from_name(state)) {
        (Command::Cancel, None) => {
            let params = named_params! {":seq": seq, ":now": ask.now.unix_ms()};
            let changed = tx.db.execute("cancel the message", CANCEL_NEW, params)? == 1;
            if changed {
                tx.counters.add(Count::Messages(MessageState::Cancelled), 1);
            }
            Ok(changed)
        }
        (Command::Replay, Some(was @ (MessageState::Dead | MessageState::Cancelled))) => {
            let params = named_params! {":seq": seq, ":was": state, ":now": ask.now.unix_ms()};
            let changed = tx.db.execute("plan the message again", PLAN_AGAIN, params)? == 1;
            if changed {
                tx.counters.add(Count::Messages(was), -1);
            }
            Ok(changed)
        }
        _ => Ok(false),
    }
}

fn with_deliveries(
    tx: &mut Tx<'_>,
    scene: &mut Scene<'_>,
    ask: &CommandRequest,
    rows: &[Delivery],
) -> Result<usize, StoreError> {
    let mut changed = 0;
    let mut heard = BTreeSet::new();
    for row in rows.iter().rev() {
        // Who was told of an alert several times needs to be told once.
        if matches!(ask.command, Command::Replay) && !heard.insert(&row.receiver) {
            continue;
        }
        let event = match ask.command {
            Command::Replay => Event::Replayed,
            Command::Cancel => Event::Cancelled,
        };
        let Ok(after) = delivery::decide(scene, row, event) else { continue };
        if after.standing() == row.state.standing() || !delivery::write(tx, row, &after, ask.now)? {
            continue;
        }
        if let State::Ready { at, .. } = &after {
            prolong(tx, row.became(&after, ask.now), *at)?;
        }
        changed += 1;
    }
    Ok(changed)
}

/// Gives a replayed delivery its whole time to live again.
fn prolong(tx: &Tx<'_>, mut row: Delivery, at: Timestamp) -> Result<(), StoreError> {
    // What is damaged is found out when it is leased.
    let ttl = body::read(tx.db, row.message)?.map_or(plan::TTL, |t| plan::ttl(&t.message));
    row.expires_at = at + ttl;
    let params = named_params! {
        ":id": row.id, ":expires_at": row.expires_at.unix_ms(), ":checksum": row.checksum(),
    };
    tx.db.execute("prolong the delivery", PROLONG, params).map(drop)
}
