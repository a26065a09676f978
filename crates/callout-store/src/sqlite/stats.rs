//! Counts, times, and how channels fare. Nothing here scans history.

use super::alert_stats;
use super::channel;
use super::claim::NEXT_READY;
use super::counter::{self, Count};
use super::rebase;
use super::row::{self, time, urgency};
use super::tend::waiting_channels;
use super::tx::Db;
use super::unplanned;
use crate::error::StoreError;
use crate::model::{Health, Stats};
use callout_core::delivery::Standing;
use callout_core::id::ChannelName;
use callout_core::level::Level;
use callout_core::plan::MessageState;
use callout_core::time::Timestamp;
use rusqlite::named_params;
use std::collections::BTreeMap;
use std::time::Duration;

// Looks at the latest deliveries only, accepted or not.
pub(super) const LATEST: &str = "
    SELECT (SELECT min(a.due_at) FROM callout_attempt a WHERE a.delivery_id = d.id), d.ended_at
      FROM (SELECT id, state, ended_at FROM callout_delivery ORDER BY id DESC LIMIT 5000) d
     WHERE d.state = 'accepted'
     LIMIT 1000";

pub(super) const CHANNELS: &str = "
    SELECT name, x'', throttled_until, failures, probe_at, last_accepted_at, last_failed_at,
           last_failure
      FROM callout_channel
     ORDER BY name";

/// Counts and times.
pub(super) fn stats(db: Db<'_>, now: Timestamp) -> Result<Stats, StoreError> {
    let mut stats = Stats {
        oldest_due: oldest_due(db)?.filter(|at| *at <= now).map(|at| now.since(at)),
        accept_latency: accept_latency(db)?,
        alerts: alert_stats::read(db)?,
        clock: rebase::steps(db)?,
        unplanned: unplanned::count(db)?,
        ..Stats::default()
    };
    let mut messages = BTreeMap::from([(MessageState::Pending, stats.unplanned)]);
    for (count, n) in counter::read(db)? {
        match count {
            Count::Messages(state) => *messages.entry(state).or_default() += n,
            Count::Deliveries(channel, state) => {
                if let Some(standing) = Standing::from_name(state) {
                    stats.deliveries.push((channel, standing, n));
                }
            }
            Count::Attempts(channel, outcome) => stats.attempts.push((channel, outcome, n)),
        }
    }
    stats.messages = messages.into_iter().filter(|(_, n)| *n > 0).collect();
    Ok(stats)
}

fn oldest_due(db: Db<'_>) -> Result<Option<Timestamp>, StoreError> {
    let mut oldest = unplanned::oldest(db)?;
    for channel in waiting_channels(db)? {
        for level in Level::ALL {
            let params = named_params! {":channel": channel, ":urgency": urgency(level)};
            let at = db.one("look for the oldest delivery", NEXT_READY, params, |row| {
                row.get(0).map(time)
            })?;
            oldest = at.into_iter().chain(oldest).min();
        }
    }
    Ok(oldest)
}

fn accept_latency(db: Db<'_>) -> Result<Option<[Duration; 3]>, StoreError> {
    let times = db.all("read the latest deliveries", LATEST, &[], |row| {
        Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?))
    })?;
    let mut waits: Vec<Duration> =
        times.into_iter().filter_map(|(due, ended)| Some(time(ended?).since(time(due?)))).collect();
    waits.sort_unstable();
    let percentile = |n: usize| percentile(&waits, n);
    Ok(percentile(50).zip(percentile(90)).zip(percentile(99)).map(|((a, b), c)| [a, b, c]))
}

/// The length of time, of those sorted, that `n` per cent of them do not exceed.
pub(super) fn percentile(sorted: &[Duration], n: usize) -> Option<Duration> {
    sorted.get((sorted.len() * n).div_ceil(100).saturating_sub(1)).copied()
}

/// How each channel that was ever used, or is waited for, fares.
pub(super) fn health(db: Db<'_>) -> Result<Vec<Health>, StoreError> {
    let rows = db.all("read the channels", CHANNELS, &[], |row| {
        Ok((row::lossy(row, 0)?.parse::<ChannelName>().ok(), channel::read(row)?))
    })?;
    let rows = rows.into_iter().filter_map(|(name, channel)| Some((name?, channel)));
    let mut channels: BTreeMap<ChannelName, channel::Channel> = rows.collect();
    let mut waiting: BTreeMap<ChannelName, u64> = BTreeMap::new();
    for (count, n) in counter::read(db)? {
        if let Count::Deliveries(channel, state) = count
            && state == Standing::Ready.name()
        {
            channels.entry(channel.clone()).or_default();
            waiting.insert(channel, n);
        }
    }
    let health = channels.into_iter().map(|(name, channel)| Health {
        failures: channel.circuit.failures,
        probe_at: channel.circuit.probe_at,
        throttled_until: channel.throttled_until,
        last_accepted_at: channel.last_accepted_at,
        last_failed_at: channel.last_failed_at,
        last_failure: channel.last_failure,
        waiting: waiting.get(&name).copied().unwrap_or(0),
        channel: name,
    });
    Ok(health.collect())
}
