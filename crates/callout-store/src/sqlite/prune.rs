//! Deleting old messages that are over.
//!
//! A walk by row number, bounded in each transaction, so that neither the disk nor other writers are
//! held up. The newest message always stays: row numbers are never used twice.

use super::counter::Count;
use super::row::{self, time};
use super::tx::Tx;
use crate::crash::crash_point;
use crate::error::StoreError;
use crate::model::{PruneReport, PruneRequest};
use callout_core::delivery::Standing;
use callout_core::plan::MessageState;
use callout_core::time::Timestamp;
use rusqlite::{Row, named_params};

/// The most messages looked at in one transaction, whatever is asked for.
const PRUNE_MAX: usize = 1000;

pub(super) const OLDEST: &str = "
    SELECT p.seq, p.state, p.settled_at, m.created_at, a.state, a.timer,
           max(coalesce(a.at, 0), coalesce(a.last_repeat_at, 0))
      FROM callout_progress p CROSS JOIN callout_message m ON m.seq = p.seq
      LEFT JOIN callout_alert a ON a.seq = p.seq
     WHERE p.seq > :after AND p.seq < (SELECT max(seq) FROM callout_message)
     ORDER BY p.seq LIMIT :limit";

pub(super) const DELIVERIES: &str = "
    SELECT channel, state FROM callout_delivery WHERE message_seq = :seq";

pub(super) const ATTEMPTS: &str = "
    SELECT a.channel, a.outcome
      FROM callout_delivery d CROSS JOIN callout_attempt a ON a.delivery_id = d.id
     WHERE d.message_seq = :seq";

pub(super) const DELETE: &str = "DELETE FROM callout_message WHERE seq = :seq";

/// How much of the file is free.
pub(super) const ROOM: &str = "
    SELECT freelist_count, page_count FROM pragma_freelist_count, pragma_page_count";

/// Gives a few free pages back to the disk.
pub(super) const SHRINK: &str = "PRAGMA incremental_vacuum(200)";

/// One page in so many may be free: new messages take them, and giving them back moves others about.
const FREE_SHARE: i64 = 10;

struct Old {
    seq: i64,
    /// `None` while it is new.
    state: Option<MessageState>,
    /// When it ended, or somebody last did something about its alert.
    settled_at: Option<Timestamp>,
    created_at: Timestamp,
    /// Whether somebody still has to acknowledge it.
    open: Option<Open>,
}

/// An alert that nobody has acknowledged.
enum Open {
    /// Somebody may yet be told.
    Escalating,
    /// Nobody is left to tell.
    Exhausted,
}

/// Looks at up to `ask.limit` messages after row `ask.after` and deletes those that are over and old.
pub(super) fn prune(tx: &mut Tx<'_>, ask: &PruneRequest) -> Result<PruneReport, StoreError> {
    let limit = ask.limit.clamp(1, PRUNE_MAX);
    let params = named_params! {
        ":after": ask.after, ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
    };
    let rows = tx.db.all("look for old messages", OLDEST, params, |row| {
        Ok(Old {
            seq: row.get(0)?,
            state: MessageState::from_name(&row::lossy(row, 1)?),
            settled_at: row.get::<_, Option<i64>>(2)?.max(row.get(6)?).map(time),
            created_at: time(row.get(3)?),
            open: match (row::lossy(row, 4)?.as_str(), row::lossy(row, 5)?.as_str()) {
                ("open", "exhausted") => Some(Open::Exhausted),
                ("open", _) => Some(Open::Escalating),
                _ => None,
            },
        })
    })?;
    let newest = ask.accepted_before.max(ask.dead_before);
    let is_full = rows.len() == limit;
    // A single message dated ahead does not end it; a whole batch of young ones does.
    let is_any_old = rows.iter().any(|old| old.created_at < newest);
    let last = rows.last().map(|old| old.seq);
    let mut report =
        PruneReport { next: last.filter(|_| is_full && is_any_old), ..PruneReport::default() };
    for old in rows {
        if let Some(state) = is_over(&old, ask) {
            delete(tx, old.seq, state)?;
            crash_point("inside_prune");
            report.deleted += 1;
        }
    }
    if report.deleted > 0 {
        shrink(tx)?;
    }
    Ok(report)
}

/// Gives some of what is free back to the disk, if it is much.
fn shrink(tx: &Tx<'_>) -> Result<(), StoreError> {
    const DOING: &str = "shrink the database";
    let room =
        tx.db.one(DOING, ROOM, &[], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
    if room.is_some_and(|(free, all)| free > all / FREE_SHARE) {
        tx.db.all(DOING, SHRINK, &[], |_| Ok(()))?;
        crash_point("after_shrink");
    }
    Ok(())
}

/// The state of a message that may go.
fn is_over(old: &Old, ask: &PruneRequest) -> Option<MessageState> {
    let (state, settled_at) = old.state.zip(old.settled_at)?;
    let before = match state {
        _ if matches!(old.open, Some(Open::Escalating)) => return None,
        MessageState::Pending => return None,
        _ if matches!(old.open, Some(Open::Exhausted)) => ask.dead_before,
        MessageState::Accepted | MessageState::Merged | MessageState::Cancelled => {
            ask.accepted_before
        }
        MessageState::Dead | MessageState::Expired => ask.dead_before,
    };
    (settled_at < before).then_some(state)
}

fn delete(tx: &mut Tx<'_>, seq: i64, state: MessageState) -> Result<(), StoreError> {
    let params = named_params! {":seq": seq};
    let pair = |row: &Row<'_>| Ok((row::named(row, 0)?, row::lossy(row, 1)?));
    let deliveries = tx.db.all("count what goes", DELIVERIES, params, pair)?;
    // What is damaged was counted as something that cannot be told any more.
    let deliveries = deliveries.into_iter().filter_map(|(channel, standing)| {
        Some(Count::deliveries(&channel, Standing::from_name(&standing)?))
    });
    let attempts = tx.db.all("count what goes", ATTEMPTS, params, pair)?;
    let attempts = attempts.into_iter().map(|(channel, outcome)| Count::Attempts(channel, outcome));
    let message = Count::Messages(state);
    for count in deliveries.chain(attempts).chain([message]) {
        tx.counters.add(count, -1);
    }
    tx.db.execute("delete the message", DELETE, named_params! {":seq": seq}).map(drop)
}
