//! Counts, kept in the transactions that change them.

use super::row;
use super::tx::Db;
use crate::error::StoreError;
use callout_core::delivery::Standing;
use callout_core::id::ChannelName;
use callout_core::plan::MessageState;
use rusqlite::named_params;
use std::collections::BTreeMap;

pub(super) const ADD: &str = "
    INSERT INTO callout_counter (name, n) VALUES (:name, :n)
        ON CONFLICT (name) DO UPDATE SET n = n + excluded.n";

pub(super) const READ: &str = "SELECT name, n FROM callout_counter";

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Count {
    /// Planned messages in a state.
    Messages(MessageState),
    /// Deliveries of a channel in a state, by the state's word.
    Deliveries(ChannelName, &'static str),
    /// Ended attempts on a channel, by the outcome's word.
    Attempts(ChannelName, String),
}

impl Count {
    pub(super) fn deliveries(channel: &ChannelName, standing: Standing) -> Self {
        Self::Deliveries(channel.clone(), standing.name())
    }

    fn name(&self) -> String {
        match self {
            Self::Messages(state) => format!("messages:{}", state.name()),
            Self::Deliveries(channel, state) => format!("deliveries:{channel}:{state}"),
            Self::Attempts(channel, outcome) => format!("attempts:{channel}:{outcome}"),
        }
    }

    /// What a stored name stands for. Names of channels have no colon.
    fn from_name(name: &str) -> Option<Self> {
        let mut parts = name.split(':');
        let count = match (parts.next()?, parts.next()?, parts.next()) {
            ("messages", state, None) => Self::Messages(MessageState::from_name(state)?),
            ("deliveries", channel, Some(state)) => {
                Self::deliveries(&channel.parse().ok()?, Standing::from_name(state)?)
            }
            ("attempts", channel, Some(outcome)) => {
                Self::Attempts(channel.parse().ok()?, outcome.to_owned())
            }
            _ => return None,
        };
        Some(count)
    }
}

/// Changes to the counts that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Counters(BTreeMap<Count, i64>);

impl Counters {
    pub(super) fn add(&mut self, count: Count, n: i64) {
        *self.0.entry(count).or_default() += n;
    }

    /// One thing leaves a count and enters another.
    pub(super) fn shift(&mut self, from: Option<Count>, to: Count) {
        if let Some(from) = from {
            self.add(from, -1);
        }
        self.add(to, 1);
    }

    pub(super) fn merge(&mut self, other: Self) {
        for (count, n) in other.0 {
            self.add(count, n);
        }
    }

    pub(super) fn write(&self, db: Db<'_>) -> Result<(), StoreError> {
        for (count, n) in self.0.iter().filter(|(_, n)| **n != 0) {
            db.execute("count", ADD, named_params! {":name": count.name(), ":n": n})?;
        }
        Ok(())
    }
}

/// All counts that are not zero.
pub(super) fn read(db: Db<'_>) -> Result<Vec<(Count, u64)>, StoreError> {
    let rows = db.all("read the counts", READ, &[], |row| {
        // A damaged count hides no other.
        Ok((row::lossy(row, 0)?, row.get::<_, i64>(1).unwrap_or(0)))
    })?;
    let counts = rows.into_iter().filter_map(|(name, n)| {
        let n = u64::try_from(n).ok().filter(|n| *n > 0)?;
        Some((Count::from_name(&name)?, n))
    });
    Ok(counts.collect())
}
