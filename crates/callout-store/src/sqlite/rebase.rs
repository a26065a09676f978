//! Moving what waits along when somebody sets the clock.
//!
//! What is noted about it are numbers beside the counts: by how much everything has been moved since the
//! database was made, which tells workers whether one of them has seen to it, and how far a move has come,
//! so that a crash in the middle of one is made up for.

use super::alert;
use super::channel;
use super::delivery::{self, Scene};
use super::report::Ids;
use super::row::{self, Delivery, delivery_columns, time, urgency};
use super::tend::waiting_channels;
use super::tx::{Db, Tx};
use super::unplanned;
use crate::clock::Reading;
use crate::error::StoreError;
use crate::model::{ClockSteps, RebaseRequest, Rebased, Waiting};
use callout_core::delivery::{State, Wait};
use callout_core::drift::{self, STEP};
use callout_core::level::Level;
use callout_core::time::Timestamp;
use rusqlite::named_params;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Deliveries that one transaction moves, or looks at.
pub(super) const CHUNK: usize = 512;

/// By how much everything has been moved.
const BASE: &str = "clock:base";
/// By how much everything is being moved, and behind which delivery.
const LEFT: &str = "clock:left";
const LEFT_AT: &str = "clock:left_at";
const LEFT_ID: &str = "clock:left_id";
/// How often the clock was set, by how much the last time, and when.
const STEPS: &str = "clock:steps";
const LAST: &str = "clock:last";
const LAST_AT: &str = "clock:last_at";
/// By how much messages count as written later than they say, if nobody had planned them when the clock was
/// set forward. Until they are planned.
const LATE: &str = "clock:late";
/// When the newest message that was planned counts as written.
const NEWEST: &str = "clock:newest";

pub(super) const NUMBER: &str = "SELECT n FROM callout_counter WHERE name = :name";

pub(super) const NUMBERS: &str =
    "SELECT name, n FROM callout_counter WHERE name >= 'clock:' AND name < 'clock;'";

pub(super) const NOTE: &str = "
    INSERT INTO callout_counter (name, n) VALUES (:name, :n)
        ON CONFLICT (name) DO UPDATE SET n = excluded.n";

pub(super) const DROP: &str = "DELETE FROM callout_counter WHERE name = :name";

// What is moved on lands behind what is still to be moved.
pub(super) const LATEST_FIRST: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery
     WHERE state = 'ready' AND (expires_at, id) < (:at, :id)
     ORDER BY expires_at DESC, id DESC LIMIT :limit"
);

pub(super) const EARLIEST_FIRST: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery
     WHERE state = 'ready' AND (expires_at, id) > (:at, :id)
     ORDER BY expires_at, id LIMIT :limit"
);

// Only what is under way has a lease, so going through all of them is short.
pub(super) const LEASED: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery WHERE state = 'leased' AND lease_until > :after ORDER BY lease_until"
);

pub(super) const AHEAD: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery
     WHERE state = 'ready' AND channel = :channel AND urgency = :urgency
       AND (ready_at, id) > (:at, :id)
     ORDER BY ready_at, id LIMIT :limit"
);

/// How long ago a worker read its clock.
pub(super) fn age(db: Db<'_>, reading: &Reading) -> Result<Duration, StoreError> {
    match reading.base() {
        Some(base) if base != number(db, BASE)?.unwrap_or(0) => Err(StoreError::ClockMoved),
        _ => Ok(reading.age()),
    }
}

/// What bears on when a message counts as written.
pub(super) struct Written {
    /// When the newest message that was planned counts as written.
    pub(super) newest: Option<Timestamp>,
    late_ms: i64,
    set_at: Timestamp,
}

impl Written {
    pub(super) fn read(db: Db<'_>) -> Result<Self, StoreError> {
        let numbers = numbers(db)?;
        let newest = numbers.get(NEWEST).copied().map(time);
        Ok(Self { newest, late_ms: of(&numbers, LATE), set_at: time(of(&numbers, LAST_AT)) })
    }

    /// What the clock as it is `now` would have shown when it showed `at`.
    pub(super) fn moved(&self, at: Timestamp, now: Timestamp) -> Timestamp {
        // Set right while no worker ran, it says nothing any more.
        let is_over = self.set_at > now + STEP;
        let is_moved = at < self.set_at && !is_over && drift::is_date(at);
        if is_moved { at.shifted(self.late_ms) } else { at }
    }

    /// Notes when the newest message counts as written. If `all` are planned, none of them is late.
    pub(super) fn note(
        &self,
        tx: &Tx<'_>,
        newest: Option<Timestamp>,
        all: bool,
    ) -> Result<(), StoreError> {
        if let Some(newest) = newest.filter(|_| newest != self.newest) {
            note_newest(tx, newest)?;
        }
        if all && self.late_ms != 0 {
            note(tx, LATE, 0)?;
        }
        Ok(())
    }
}

fn note_newest(tx: &Tx<'_>, at: Timestamp) -> Result<(), StoreError> {
    note(tx, NEWEST, at.unix_ms())
}

/// How often the clock was set.
pub(super) fn steps(db: Db<'_>) -> Result<Option<ClockSteps>, StoreError> {
    let numbers = numbers(db)?;
    let Some(count) = numbers.get(STEPS).and_then(|n| u64::try_from(*n).ok()) else {
        return Ok(None);
    };
    let of = |name| numbers.get(name).copied().unwrap_or_default();
    Ok(Some(ClockSteps { count, last_ms: of(LAST), last_at: time(of(LAST_AT)) }))
}

/// Moves some of what waits; once everything is moved, mends some of what cannot be.
pub(super) fn rebase(tx: &mut Tx<'_>, ask: &RebaseRequest) -> Result<Rebased, StoreError> {
    let mut numbers = numbers(tx.db)?;
    let mut done = Rebased { base: of(&numbers, BASE), ..Rebased::default() };
    if !numbers.contains_key(LEFT) {
        let by_ms = drift::left_to_move(ask.drift_ms, ask.base.map_or(0, |base| done.base - base));
        if by_ms == 0 {
            mend(tx, ask, &mut done)?;
            return Ok(done);
        }
        done.begun_ms = by_ms;
        begin(tx, ask, &numbers, by_ms)?;
        numbers = self::numbers(tx.db)?;
        done.base = of(&numbers, BASE);
    }
    done.more = true;
    done.moved = go_on(tx, ask, &numbers)?;
    Ok(done)
}

/// Notes a step of the clock and moves everything of which there is little.
fn begin(
    tx: &mut Tx<'_>,
    ask: &RebaseRequest,
    numbers: &BTreeMap<String, i64>,
    by_ms: i64,
) -> Result<(), StoreError> {
    // Forward begins with what expires last, backward with what expires first.
    let first = if by_ms > 0 { i64::MAX } else { i64::MIN };
    // Never negative: what was written after the clock had been set back would age when it is set right.
    let late = match unplanned::count(tx.db)? {
        0 => 0,
        _ => of(numbers, LATE).saturating_add(by_ms).max(0),
    };
    for (name, n) in [
        (BASE, of(numbers, BASE).saturating_add(by_ms)),
        (LEFT, by_ms),
        (LEFT_AT, first),
        (LEFT_ID, first),
        (STEPS, of(numbers, STEPS).saturating_add(1)),
        (LAST, by_ms),
        (LAST_AT, ask.now.unix_ms()),
        (LATE, late),
    ] {
        note(tx, name, n)?;
    }
    if let Some(newest) = numbers.get(NEWEST) {
        note_newest(tx, time(*newest).shifted(by_ms))?;
    }
    channel::shift(tx, by_ms)?;
    alert::shift(tx, by_ms)?;
    // A whole lease, so that none of a living worker ends because of the clock.
    for row in leased(tx, ask, i64::MIN)? {
        delivery::shift(tx, &row, by_ms, ask.now + ask.lease)?;
    }
    Ok(())
}

/// Moves the next of the ready deliveries. Returns how many.
fn go_on(
    tx: &mut Tx<'_>,
    ask: &RebaseRequest,
    numbers: &BTreeMap<String, i64>,
) -> Result<usize, StoreError> {
    let by_ms = of(numbers, LEFT);
    let sql = if by_ms > 0 { LATEST_FIRST } else { EARLIEST_FIRST };
    let params = named_params! {
        ":at": of(numbers, LEFT_AT), ":id": of(numbers, LEFT_ID), ":limit": bound(),
    };
    let rows = delivery::fetch(tx, ask.now, "look for what waits", sql, params)?;
    for row in &rows {
        delivery::shift(tx, row, by_ms, Timestamp::LAST)?;
    }
    match rows.last() {
        Some(last) => {
            note(tx, LEFT_AT, last.expires_at.unix_ms())?;
            note(tx, LEFT_ID, last.id)?;
        }
        // Damaged ones were in the way; there may be more behind them.
        None if !tx.set_aside.is_empty() => {}
        None => {
            for name in [LEFT, LEFT_AT, LEFT_ID] {
                tx.db.execute("forget a number", DROP, named_params! {":name": name})?;
            }
        }
    }
    tell(tx, ask)?;
    Ok(rows.len())
}

/// Makes due what waits for a time that cannot be: the clock was set while no worker ran. A delay begins
/// again.
fn mend(tx: &mut Tx<'_>, ask: &RebaseRequest, done: &mut Rebased) -> Result<(), StoreError> {
    let soon = ask.now + STEP;
    let mut after = ask.after.clone();
    if after.is_none() {
        for row in leased(tx, ask, (soon + ask.lease).unix_ms())? {
            done.mended += usize::from(delivery::shift(tx, &row, 0, ask.now + ask.lease)?);
        }
    }
    let mut looked_at = 0;
    while let Some(cell) = next_cell(tx.db, after.as_ref(), soon)? {
        let rows = ahead(tx, ask, &cell)?;
        for row in &rows {
            let longest = longest_wait(tx.db, ask, row)?;
            if row.ready_at > soon + longest {
                // What its producer wants to wait, waits; nothing else has a reason to.
                let due = if row.wait == Wait::Delay { ask.now + longest } else { ask.now };
                let back_ms = due.ms_after(row.ready_at);
                done.mended += usize::from(delivery::shift(tx, row, back_ms, Timestamp::LAST)?);
            }
        }
        looked_at += rows.len();
        after = Some(match rows.last() {
            Some(last) => Waiting { ready_at: last.ready_at.unix_ms(), id: last.id, ..cell },
            None => Waiting { ready_at: i64::MAX, id: i64::MAX, ..cell },
        });
        if looked_at >= CHUNK {
            done.more = true;
            break;
        }
    }
    done.after = after;
    tell(tx, ask)
}

/// Where to go on looking: behind `after`, or at the next urgency or channel once those are through.
fn next_cell(
    db: Db<'_>,
    after: Option<&Waiting>,
    soon: Timestamp,
) -> Result<Option<Waiting>, StoreError> {
    if let Some(after) = after.filter(|after| after.id != i64::MAX) {
        return Ok(Some(after.clone()));
    }
    let done = after.map(|after| (after.channel.as_str(), after.urgency));
    for channel in waiting_channels(db)? {
        for level in Level::ALL {
            if done.is_none_or(|done| (channel.as_str(), urgency(level)) > done) {
                let (urgency, ready_at) = (urgency(level), soon.unix_ms());
                return Ok(Some(Waiting { channel, urgency, ready_at, id: i64::MAX - 1 }));
            }
        }
    }
    Ok(None)
}

fn ahead(
    tx: &mut Tx<'_>,
    ask: &RebaseRequest,
    cell: &Waiting,
) -> Result<Vec<Delivery>, StoreError> {
    let params = named_params! {
        ":channel": cell.channel, ":urgency": cell.urgency, ":at": cell.ready_at,
        ":id": cell.id, ":limit": bound(),
    };
    delivery::fetch(tx, ask.now, "look for what waits", AHEAD, params)
}

/// Leased deliveries whose lease ends after this.
fn leased(
    tx: &mut Tx<'_>,
    ask: &RebaseRequest,
    after_ms: i64,
) -> Result<Vec<Delivery>, StoreError> {
    let params = named_params! {":after": after_ms};
    delivery::fetch(tx, ask.now, "look for leases", LEASED, params)
}

fn longest_wait(db: Db<'_>, ask: &RebaseRequest, row: &Delivery) -> Result<Duration, StoreError> {
    let State::Ready { wait, place, .. } = &row.state else { return Ok(Duration::MAX) };
    let delay = match wait {
        // A damaged one is set aside when it is due.
        Wait::Delay => super::body::read(db, row.message)?.ok().and_then(|it| it.message.delay),
        _ => None,
    };
    Ok(drift::longest_wait(*wait, place, &ask.directory.retry, delay))
}

/// Tells the operator about damaged deliveries that were met on the way.
fn tell(tx: &mut Tx<'_>, ask: &RebaseRequest) -> Result<(), StoreError> {
    let (now, directory) = (ask.now, ask.directory.as_ref());
    let ids = Ids::new(ask.entropy);
    let mut scene = Scene { now, directory, blocked: BTreeSet::new(), ids };
    delivery::report_set_aside(tx, &mut scene)
}

fn of(numbers: &BTreeMap<String, i64>, name: &str) -> i64 {
    numbers.get(name).copied().unwrap_or_default()
}

fn numbers(db: Db<'_>) -> Result<BTreeMap<String, i64>, StoreError> {
    let rows = db.all("read what is noted about the clock", NUMBERS, &[], |row| {
        Ok((row::lossy(row, 0)?, row.get::<_, i64>(1)?))
    })?;
    Ok(rows.into_iter().collect())
}

fn number(db: Db<'_>, name: &str) -> Result<Option<i64>, StoreError> {
    db.one("read a number", NUMBER, named_params! {":name": name}, |row| row.get(0))
}

fn note(tx: &Tx<'_>, name: &str, n: i64) -> Result<(), StoreError> {
    tx.db.execute("note a number", NOTE, named_params! {":name": name, ":n": n}).map(drop)
}

fn bound() -> i64 {
    i64::try_from(CHUNK).unwrap_or(i64::MAX)
}
