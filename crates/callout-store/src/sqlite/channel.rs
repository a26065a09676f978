//! How channels fare, and how much of their limits is used.

use super::row::{self, time};
use super::tx::{Db, Tx};
use crate::error::StoreError;
use callout_core::circuit::{Circuit, PROBE_EVERY};
use callout_core::drift::PAUSE_MAX;
use callout_core::id::ChannelName;
use callout_core::level::Level;
use callout_core::outcome::Outcome;
use callout_core::rate::{COUNT_MAX, Rate, Window};
use callout_core::time::Timestamp;
use rusqlite::{Row, named_params};
use std::collections::{BTreeMap, BTreeSet};

pub(super) const READ: &str = "
    SELECT name, sends, throttled_until, failures, probe_at, last_accepted_at, last_failed_at,
           last_failure
      FROM callout_channel
     WHERE name = :name";

pub(super) const NAMES: &str = "SELECT name FROM callout_channel";

pub(super) const BLOCKED: &str = "SELECT name FROM callout_channel WHERE probe_at > :now";

pub(super) const WRITE: &str = "
    INSERT INTO callout_channel
           (name, sends, throttled_until, failures, probe_at, last_accepted_at, last_failed_at,
            last_failure)
    VALUES (:name, :sends, :throttled_until, :failures, :probe_at, :last_accepted_at,
            :last_failed_at, :last_failure)
        ON CONFLICT (name) DO UPDATE
       SET sends = excluded.sends, throttled_until = excluded.throttled_until,
           failures = excluded.failures, probe_at = excluded.probe_at,
           last_accepted_at = excluded.last_accepted_at,
           last_failed_at = excluded.last_failed_at, last_failure = excluded.last_failure";

/// One channel's row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Channel {
    window: Window,
    pub(super) throttled_until: Option<Timestamp>,
    pub(super) circuit: Circuit,
    pub(super) last_accepted_at: Option<Timestamp>,
    pub(super) last_failed_at: Option<Timestamp>,
    pub(super) last_failure: Option<String>,
}

/// Whether a channel may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate {
    /// As much as its limits allow.
    Open,
    /// One request, to see whether it works again.
    Probe,
    /// Nothing before this.
    Shut(Timestamp),
}

impl Channel {
    pub(super) fn gate(&self, now: Timestamp) -> Gate {
        let throttled = self.throttled_until.filter(|until| *until > now);
        let blocked = self.circuit.probe_at.filter(|probe_at| *probe_at > now);
        match throttled.max(blocked) {
            Some(until) => Gate::Shut(until),
            None if self.circuit.is_open() => Gate::Probe,
            None => Gate::Open,
        }
    }

    /// After the clock was set back: no pause ends later than the longest one that can be asked for.
    pub(super) fn rebase(&mut self, now: Timestamp) {
        self.window.rebase(now);
        self.throttled_until = self.throttled_until.map(|until| until.min(now + PAUSE_MAX));
        self.circuit.probe_at = self.circuit.probe_at.map(|at| at.min(now + PROBE_EVERY));
    }

    /// The clock was set by so many milliseconds: what lies ahead is as far away as before, and what was sent
    /// as long ago.
    fn shift(&mut self, by_ms: i64) {
        let shift = |at: &mut Option<Timestamp>| *at = at.map(|at| at.shifted(by_ms));
        self.window.shift(by_ms);
        shift(&mut self.throttled_until);
        shift(&mut self.circuit.probe_at);
        shift(&mut self.last_accepted_at);
        shift(&mut self.last_failed_at);
    }

    /// How many messages of this level the limits have room for now.
    pub(super) fn room(&self, rate: &Rate, level: Level, now: Timestamp) -> usize {
        self.window.room(rate, level, now).unwrap_or(usize::MAX)
    }

    pub(super) fn reopens_at(
        &self,
        rate: &Rate,
        level: Level,
        now: Timestamp,
    ) -> Option<Timestamp> {
        self.window.reopens_at(rate, level, now)
    }

    /// Spends the limits on one request, which is the probe if the circuit is open.
    pub(super) fn spend(&mut self, rate: &Rate, now: Timestamp) {
        self.window.take(rate, 1, now);
        self.circuit = self.circuit.probing(now);
    }

    /// Notes what a request told about the channel.
    pub(super) fn learn(&mut self, outcome: &Outcome, now: Timestamp) {
        self.circuit = self.circuit.after(outcome, now);
        match outcome {
            Outcome::Accepted(_) => self.last_accepted_at = Some(now),
            Outcome::Throttled { until, .. } => {
                self.throttled_until = self.throttled_until.max(Some(*until));
            }
            Outcome::Transient(reason)
            | Outcome::Unknown(reason)
            | Outcome::Rejected { reason, .. } => {
                self.last_failed_at = Some(now);
                self.last_failure = Some(reason.to_string());
            }
        }
    }

    /// Counts requests that were made beyond the one the lease had paid for.
    pub(super) fn overspend(&mut self, sends: usize, now: Timestamp) {
        if sends > 0
            && let Ok(widest) = format!("{COUNT_MAX}/h").parse()
        {
            // The limits are not known here; the next lease forgets what none of them looks at.
            self.window.take(&widest, sends, now);
        }
    }
}

/// Channels read in one operation, written back once.
#[derive(Debug, Default)]
pub(super) struct Channels(BTreeMap<ChannelName, (Channel, Channel)>);

impl Channels {
    pub(super) fn get(
        &mut self,
        db: Db<'_>,
        name: &ChannelName,
    ) -> Result<&mut Channel, StoreError> {
        if !self.0.contains_key(name) {
            let params = named_params! {":name": name.as_str()};
            let found = db.one("read the channel", READ, params, read)?.unwrap_or_default();
            self.0.insert(name.clone(), (found.clone(), found));
        }
        Ok(&mut self.0.entry(name.clone()).or_default().1)
    }

    /// Writes what has changed.
    pub(super) fn write(&self, tx: &Tx<'_>) -> Result<(), StoreError> {
        for (name, (_, channel)) in self.0.iter().filter(|(_, (before, after))| before != after) {
            let params = named_params! {
                ":name": name.as_str(), ":sends": channel.window.to_bytes(),
                ":throttled_until": channel.throttled_until.map(Timestamp::unix_ms),
                ":failures": channel.circuit.failures,
                ":probe_at": channel.circuit.probe_at.map(Timestamp::unix_ms),
                ":last_accepted_at": channel.last_accepted_at.map(Timestamp::unix_ms),
                ":last_failed_at": channel.last_failed_at.map(Timestamp::unix_ms),
                ":last_failure": channel.last_failure,
            };
            tx.db.execute("write the channel", WRITE, params)?;
        }
        Ok(())
    }
}

/// Moves the times of all channels because the clock was set.
pub(super) fn shift(tx: &Tx<'_>, by_ms: i64) -> Result<(), StoreError> {
    let names = tx.db.all("list the channels", NAMES, &[], |row| row::lossy(row, 0))?;
    let mut channels = Channels::default();
    for name in names.iter().filter_map(|name| name.parse().ok()) {
        channels.get(tx.db, &name)?.shift(by_ms);
    }
    channels.write(tx)
}

/// Channels whose circuit is open and whose next probe is not due yet. One whose probe is due is taken
/// like any other, so that a message goes there to try it.
pub(super) fn blocked(db: Db<'_>, now: Timestamp) -> Result<BTreeSet<ChannelName>, StoreError> {
    let params = named_params! {":now": now.unix_ms()};
    let names = db.all("look for open circuits", BLOCKED, params, |row| row::lossy(row, 0))?;
    Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
}

/// Reads the columns of [`READ`].
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Channel> {
    let at = |column| row.get::<_, Option<i64>>(column).map(|ms| ms.map(time));
    Ok(Channel {
        window: Window::from_bytes(row.get_ref(1)?.as_blob()?),
        throttled_until: at(2)?,
        circuit: Circuit { failures: row.get(3)?, probe_at: at(4)? },
        last_accepted_at: at(5)?,
        last_failed_at: at(6)?,
        last_failure: row.get(7)?,
    })
}
