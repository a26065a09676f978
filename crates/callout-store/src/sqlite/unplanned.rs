//! Messages that nobody has planned yet.
//!
//! A message is new if it has no row in `callout_progress`, or one that says so. Those without a row come
//! after the number that planning has reached: whatever comes in before it is given its row by a trigger. So
//! enqueueing writes nothing but the message itself, and finding what is new looks at nothing else.

use super::row::{self, message_columns, time};
use super::tx::{Db, Tx};
use crate::enqueue::{Damaged, Row};
use crate::error::StoreError;
use callout_core::time::Timestamp;
use rusqlite::named_params;

/// So many are counted one by one; how many more there are is told from their numbers.
const COUNT_MAX: i64 = 10_000;
/// Among so many of the oldest, the one that has waited longest is looked for: others may be delayed.
const OLDEST_MAX: i64 = 256;

// It is noted twice, since a disk forgets. The smaller one counts, none if one is missing: to look at a message
// again does no harm.
pub(super) const REACHED: &str = "
    SELECT CASE count(n) WHEN 2 THEN min(n) END FROM callout_counter
     WHERE name = 'planned' OR name = 'planned:copy'";

pub(super) const REACH: &str = "
    INSERT INTO callout_counter (name, n) VALUES ('planned', :seq), ('planned:copy', :seq)
        ON CONFLICT (name) DO UPDATE SET n = excluded.n";

// The second condition is what the partial index is about; SQLite cannot see that it follows. The row is asked
// once more, since a damaged index would have the same message planned again and again.
pub(super) const PUT_BACK: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", 1, p.again_at, p.alert
      FROM callout_progress i CROSS JOIN callout_progress p ON p.seq = i.seq
     CROSS JOIN callout_message m ON m.seq = p.seq
     WHERE i.state = 'new' AND i.state <> 'accepted' AND i.seq <= :reached AND p.state = 'new'
     ORDER BY i.seq
     LIMIT :limit"
);

pub(super) const NEXT: &str = concat!(
    "SELECT ",
    message_columns!(),
    ", p.seq IS NULL OR p.state = 'new', p.again_at, p.alert
      FROM callout_message m LEFT JOIN callout_progress p ON p.seq = m.seq
     WHERE m.seq > :reached
     ORDER BY m.seq
     LIMIT :limit"
);

// The second condition is what the partial index is about; SQLite cannot see that it follows.
pub(super) const COUNT: &str = "
    SELECT (SELECT count(*) FROM callout_progress WHERE state = 'new' AND state <> 'accepted')
         + (SELECT count(*) FROM (
                SELECT 1 FROM callout_message m
                 WHERE m.seq > :reached
                   AND NOT EXISTS (SELECT 1 FROM callout_progress p WHERE p.seq = m.seq)
                 LIMIT :limit))";

pub(super) const SPAN: &str = "
    SELECT (SELECT max(seq) FROM callout_message)
         - max(:reached, (SELECT min(seq) FROM callout_message) - 1)
         - (SELECT count(*) FROM callout_progress WHERE seq > :reached AND state <> 'new')
         + (SELECT count(*) FROM callout_progress
             WHERE state = 'new' AND state <> 'accepted' AND seq <= :reached)";

// The delay counts from when it was written.
pub(super) const OLDEST: &str = "
    SELECT min(due) FROM (
        SELECT m.created_at + coalesce(m.delay_ms, 0) AS due
          FROM callout_message m LEFT JOIN callout_progress p ON p.seq = m.seq
         WHERE m.seq > :reached AND p.seq IS NULL
         ORDER BY m.seq
         LIMIT :limit)";

/// Messages that planning looks at next.
pub(super) struct Found {
    pub(super) messages: Vec<New>,
    /// Whether there may be more.
    pub(super) more: bool,
    /// What planning has reached once these are planned, if that is further than before.
    pub(super) reached: Option<i64>,
}

/// A message to be planned.
pub(super) struct New {
    pub(super) seq: i64,
    pub(super) row: Result<Row, Damaged>,
    /// When it was put back to be planned again.
    pub(super) again_at: Option<Timestamp>,
    /// The alert that it brings news of.
    pub(super) alert: Option<i64>,
}

/// The number of the last message that planning has looked at, before all others if there is none.
pub(super) fn reached(db: Db<'_>) -> Result<i64, StoreError> {
    let reached = db.one("read how far planning has come", REACHED, &[], |row| {
        // What is no number is none.
        Ok(row.get::<_, Option<i64>>(0).unwrap_or_default())
    })?;
    Ok(reached.flatten().unwrap_or(i64::MIN))
}

/// Notes how far planning has come.
pub(super) fn reach(tx: &Tx<'_>, seq: i64) -> Result<(), StoreError> {
    tx.db.execute("note how far planning has come", REACH, named_params! {":seq": seq}).map(drop)
}

/// Looks at up to `limit` messages for new ones, oldest first.
pub(super) fn next(db: Db<'_>, limit: usize) -> Result<Found, StoreError> {
    let reached = reached(db)?;
    let mut found = look(db, PUT_BACK, reached, limit)?;
    let left = limit - found.len();
    let next = if left > 0 { look(db, NEXT, reached, left)? } else { Vec::new() };
    let last = next.last().map(|(new, _)| new.seq);
    found.extend(next);
    let more = found.len() == limit;
    let is_new = |(new, is_new)| if is_new { Some(new) } else { None };
    Ok(Found { messages: found.into_iter().filter_map(is_new).collect(), more, reached: last })
}

fn look(
    db: Db<'_>,
    sql: &'static str,
    reached: i64,
    limit: usize,
) -> Result<Vec<(New, bool)>, StoreError> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let params = named_params! {":reached": reached, ":limit": limit};
    db.all("look for new messages", sql, params, |row| {
        let is_new = row.get(12)?;
        let again_at = row.get::<_, Option<i64>>(13)?.map(time);
        let alert = row.get(14)?;
        let (seq, row) = row::message(row)?;
        Ok((New { seq, row, again_at, alert }, is_new))
    })
}

/// Since when one of the oldest messages that nobody has planned yet could be on its way.
pub(super) fn oldest(db: Db<'_>) -> Result<Option<Timestamp>, StoreError> {
    let params = named_params! {":reached": reached(db)?, ":limit": OLDEST_MAX};
    let due = db.one("look for the oldest new message", OLDEST, params, |row| row.get(0))?;
    Ok(due.flatten().map(time))
}

/// How many messages nobody has planned yet. If they are many, numbers among theirs that no message has, by
/// somebody's hand, are counted too.
pub(super) fn count(db: Db<'_>) -> Result<u64, StoreError> {
    let reached = reached(db)?;
    let params = named_params! {":reached": reached, ":limit": COUNT_MAX};
    let number = |row: &rusqlite::Row<'_>| Ok(row.get::<_, i64>(0).unwrap_or(0));
    let mut n = db.one("count new messages", COUNT, params, number)?.unwrap_or(0);
    if n >= COUNT_MAX {
        let params = named_params! {":reached": reached};
        n = n.max(db.one("count new messages", SPAN, params, number)?.unwrap_or(0));
    }
    Ok(u64::try_from(n).unwrap_or(0))
}
