//! Lists of messages, newest first.
//!
//! A page walks back by row number, over an index where a state other than `accepted` or an alert's is
//! asked for, and looks at a bounded number of messages: what few messages have may take several pages to find.

use super::alert_row;
use super::row::{self, Delivery, delivery_columns, lossy, time};
use super::tx::Db;
use super::unplanned;
use crate::error::StoreError;
use crate::model::{AlertFilter, Filter, Found, Page, Summary};
use callout_core::alert::Standing;
use callout_core::plan::MessageState;
use callout_core::time::Timestamp;
use rusqlite::{Row, named_params};
use std::time::Duration;

/// The most messages on one page.
const PAGE_MAX: usize = 1000;
/// Messages fetched at a time.
const STRIDE: usize = 256;
/// The most messages one page looks at.
const LOOK_MAX: usize = 20_000;
/// Rows are numbered as they are committed, which may be a while after they are dated.
const COMMIT_LAG: Duration = Duration::from_secs(3600);
/// The most messages named when a prefix is not unique.
const MANY: usize = 5;

/// The columns [`listed`] reads.
macro_rules! summary_columns {
    () => {
        "m.seq, m.id, m.level, m.title, m.details, m.created_at, coalesce(p.state, 'new'),
         p.settled_at, p.why, a.state, a.by, a.at, a.via, a.timer, a.step, a.due_at"
    };
}
pub(super) use summary_columns;

pub(super) const ALL: &str = concat!(
    "SELECT ",
    summary_columns!(),
    " FROM callout_message m LEFT JOIN callout_progress p ON p.seq = m.seq
      LEFT JOIN callout_alert a ON a.seq = m.seq
     WHERE m.seq < :before
     ORDER BY m.seq DESC LIMIT :limit"
);

// The second condition is what the partial index is about; SQLite cannot see that it follows.
pub(super) const IN_STATE: &str = concat!(
    "SELECT ",
    summary_columns!(),
    " FROM callout_progress p CROSS JOIN callout_message m ON m.seq = p.seq
      LEFT JOIN callout_alert a ON a.seq = p.seq
     WHERE p.state = :state AND p.state <> 'accepted' AND p.seq < :before
     ORDER BY p.seq DESC LIMIT :limit"
);

pub(super) const UNPLANNED: &str = concat!(
    "SELECT ",
    summary_columns!(),
    " FROM callout_message m LEFT JOIN callout_progress p ON p.seq = m.seq
      LEFT JOIN callout_alert a ON a.seq = m.seq
     WHERE m.seq > :reached AND m.seq < :before AND p.seq IS NULL
     ORDER BY m.seq DESC LIMIT :limit"
);

pub(super) const WITH_ALERT: &str = concat!(
    "SELECT ",
    summary_columns!(),
    " FROM callout_alert a CROSS JOIN callout_progress p ON p.seq = a.seq
     CROSS JOIN callout_message m ON m.seq = a.seq
     WHERE a.state = :state AND a.seq < :before
     ORDER BY a.seq DESC LIMIT :limit"
);

pub(super) const EXHAUSTED: &str = concat!(
    "SELECT ",
    summary_columns!(),
    " FROM callout_alert a CROSS JOIN callout_progress p ON p.seq = a.seq
     CROSS JOIN callout_message m ON m.seq = a.seq
     WHERE a.timer = 'exhausted' AND a.seq < :before
     ORDER BY a.seq DESC LIMIT :limit"
);

pub(super) const DELIVERIES: &str = concat!(
    "SELECT ",
    delivery_columns!(),
    " FROM callout_delivery WHERE message_seq = :seq ORDER BY id"
);

pub(super) const WITH_PREFIX: &str = "
    SELECT id FROM callout_message WHERE id >= :from AND id < :to ORDER BY id LIMIT :limit";

/// One message as a list reads it.
pub(super) struct Listed {
    pub(super) seq: i64,
    details: String,
    pub(super) summary: Summary,
    pub(super) why: Option<String>,
}

/// Lists up to `limit` messages before row `after`.
pub(super) fn list(
    db: Db<'_>,
    filter: &Filter,
    after: Option<i64>,
    limit: usize,
) -> Result<Page, StoreError> {
    let limit = limit.clamp(1, PAGE_MAX);
    let mut page = Page { messages: Vec::new(), next: after };
    let mut looked_at = 0;
    loop {
        let stride = candidates(db, filter, page.next.unwrap_or(i64::MAX))?;
        let is_last = stride.len() < STRIDE;
        for listed in stride {
            if is_before(&listed.summary, filter.since) {
                return Ok(Page { next: None, ..page });
            }
            looked_at += 1;
            page.next = Some(listed.seq);
            if let Some(summary) = pick(db, filter, listed)? {
                page.messages.push(summary);
            }
            if page.messages.len() == limit || looked_at == LOOK_MAX {
                return Ok(page);
            }
        }
        if is_last {
            return Ok(Page { next: None, ..page });
        }
    }
}

fn is_before(summary: &Summary, since: Option<Timestamp>) -> bool {
    since.is_some_and(|since| summary.created_at + COMMIT_LAG < since)
}

/// The next messages that may match, newest first.
fn candidates(db: Db<'_>, filter: &Filter, before: i64) -> Result<Vec<Listed>, StoreError> {
    const DOING: &str = "list messages";
    let limit = i64::try_from(STRIDE).unwrap_or(i64::MAX);
    if let Some(alert) = filter.alert {
        return with_alert(db, alert, before, limit);
    }
    let states: &[&str] = match filter.state {
        None | Some(MessageState::Accepted) => {
            return db.all(DOING, ALL, named_params! {":before": before, ":limit": limit}, listed);
        }
        Some(MessageState::Pending) => &["pending", "new"],
        Some(MessageState::Merged) => &["merged"],
        Some(MessageState::Cancelled) => &["cancelled"],
        Some(MessageState::Expired) => &["expired"],
        Some(MessageState::Dead) => &["dead"],
    };
    let mut found = Vec::new();
    for state in states {
        let params = named_params! {":state": state, ":before": before, ":limit": limit};
        found.extend(db.all(DOING, IN_STATE, params, listed)?);
    }
    if filter.state == Some(MessageState::Pending) {
        let reached = unplanned::reached(db)?;
        let params = named_params! {":reached": reached, ":before": before, ":limit": limit};
        found.extend(db.all(DOING, UNPLANNED, params, listed)?);
    }
    found.sort_by_key(|listed| std::cmp::Reverse(listed.seq));
    found.truncate(STRIDE);
    Ok(found)
}

/// The next messages whose alert stands as wanted, newest first.
fn with_alert(
    db: Db<'_>,
    alert: AlertFilter,
    before: i64,
    limit: i64,
) -> Result<Vec<Listed>, StoreError> {
    const DOING: &str = "list alerts";
    let standing = match alert {
        AlertFilter::Exhausted => {
            let params = named_params! {":before": before, ":limit": limit};
            return db.all(DOING, EXHAUSTED, params, listed);
        }
        AlertFilter::Unacknowledged => Standing::Open,
        AlertFilter::Acknowledged => Standing::Acknowledged,
        AlertFilter::Resolved => Standing::Resolved,
    };
    let params = named_params! {":state": standing.name(), ":before": before, ":limit": limit};
    db.all(DOING, WITH_ALERT, params, listed)
}

/// The message with its deliveries, if it is one of those asked for.
fn pick(db: Db<'_>, filter: &Filter, listed: Listed) -> Result<Option<Summary>, StoreError> {
    let Listed { seq, details, mut summary, .. } = listed;
    let wanted = filter.state.is_none_or(|state| summary.state == state)
        && filter.level.is_none_or(|level| summary.level == level.name())
        && filter.since.is_none_or(|since| summary.created_at >= since)
        && has_labels(&details, &filter.labels);
    if !wanted {
        return Ok(None);
    }
    let deliveries = deliveries(db, seq)?;
    let named = |delivery: &Delivery| {
        filter.receiver.as_ref().is_none_or(|name| delivery.receiver == *name)
            && filter.channel.as_ref().is_none_or(|name| delivery.state.place().channel == *name)
    };
    let is_free = filter.receiver.is_none() && filter.channel.is_none();
    if !is_free && !deliveries.iter().any(named) {
        return Ok(None);
    }
    summary.deliveries = standings(&deliveries);
    Ok(Some(summary))
}

fn has_labels(details: &str, wanted: &[(String, String)]) -> bool {
    if wanted.is_empty() {
        return true;
    }
    let Ok(details) = serde_json::from_str::<serde_json::Value>(details) else { return false };
    wanted.iter().all(|(name, value)| {
        let found = details.get("labels").and_then(|labels| labels.get(name));
        found.and_then(serde_json::Value::as_str) == Some(value)
    })
}

/// How each delivery stands.
pub(super) fn standings(
    deliveries: &[Delivery],
) -> Vec<(callout_core::id::ReceiverName, callout_core::delivery::Standing)> {
    deliveries.iter().map(|row| (row.receiver.clone(), row.state.standing())).collect()
}

/// A message's deliveries, oldest first, as they are found: to be shown.
pub(super) fn deliveries(db: Db<'_>, seq: i64) -> Result<Vec<Delivery>, StoreError> {
    db.all("read the deliveries", DELIVERIES, named_params! {":seq": seq}, row::shown)
}

/// Reads [`summary_columns`]; damaged text is shown as far as it can be.
pub(super) fn listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    let state = match lossy(row, 6)?.as_str() {
        "new" => MessageState::Pending,
        // As everywhere, a damaged word counts as the worst there is.
        word => MessageState::from_name(word).unwrap_or(MessageState::Dead),
    };
    Ok(Listed {
        seq: row.get(0)?,
        details: lossy(row, 4)?,
        summary: Summary {
            id: lossy(row, 1)?,
            level: lossy(row, 2)?,
            title: lossy(row, 3)?,
            state,
            created_at: time(row.get(5)?),
            settled_at: row.get::<_, Option<i64>>(7)?.map(time),
            deliveries: Vec::new(),
            alert: alert_row::summary(row, 9)?,
        },
        why: Some(lossy(row, 8)?).filter(|why| !why.is_empty()),
    })
}

/// Finds the message whose id is `text` or begins with it.
pub(super) fn find(db: Db<'_>, text: &str) -> Result<Found, StoreError> {
    let from = text.trim().to_ascii_lowercase();
    if from.is_empty() {
        return Ok(Found::None);
    }
    // No id contains a character that sorts after this one.
    let to = format!("{from}\u{10ffff}");
    let limit = i64::try_from(MANY).unwrap_or(i64::MAX);
    let params = named_params! {":from": from, ":to": to, ":limit": limit};
    let mut ids = db.all("find the message", WITH_PREFIX, params, |row| lossy(row, 0))?;
    Ok(match ids.len() {
        0 => Found::None,
        1 => Found::One(ids.swap_remove(0)),
        _ if ids.first() == Some(&from) => Found::One(from),
        _ => Found::Many(ids),
    })
}
