//! How rows of alerts become values.
//!
//! What is damaged in such a row is replaced by something harmless and named, so that people can still
//! acknowledge the alert; only its escalation ends, because nobody knows who would be next.

use super::row::{lossy, time};
use crate::model::{AlertSummary, StepRecord};
use callout_core::alert::{Deed, Standing, State, Via};
use callout_core::delivery::Standing as Delivered;
use callout_core::escalation::{Cause, Place, Policy, Timer};
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::time::Timestamp;
use rusqlite::types::ValueRef;
use std::time::Duration;

/// The columns [`alert`] reads.
macro_rules! alert_columns {
    () => {
        "a.seq, m.id, a.level, a.dedup_key, a.state, a.by, a.at, a.via, a.acked_by, a.acked_at,
         a.epoch, a.opened_at, a.policy, a.timer, a.decision, a.step, a.round, a.cause, a.since,
         a.late_ms, a.due_at, a.repeats, a.last_repeat_at"
    };
}
pub(super) use alert_columns;

/// A row of `callout_alert`.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) seq: i64,
    /// The message's id.
    pub(super) id: MessageId,
    pub(super) level: Level,
    pub(super) dedup_key: Option<String>,
    pub(super) state: State,
    /// By whom and when it was acknowledged, even if it was resolved since.
    pub(super) acked: Option<(String, Timestamp)>,
    pub(super) epoch: u32,
    pub(super) opened_at: Timestamp,
    pub(super) policy: Policy,
    pub(super) timer: Timer,
    pub(super) repeats: u64,
    pub(super) last_repeat_at: Option<Timestamp>,
    /// What could not be read and was replaced.
    pub(super) damage: Option<String>,
}

/// Reads [`alert_columns`].
pub(super) fn alert(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    let mut columns = Columns { row, problem: None };
    let state = columns.state(4, 5)?;
    let place = columns.place(14)?;
    let timer = match (lossy(row, 13)?.as_str(), columns.time(20)?) {
        ("waiting", Some(due_at)) => Timer::Waiting { place, due_at },
        ("exhausted", None) => Timer::Exhausted { place },
        ("stopped", None) => Timer::Stopped { place },
        (word, _) => {
            columns.damaged("timer", word);
            Timer::Stopped { place }
        }
    };
    let policy = columns.policy(12)?;
    Ok(Row {
        seq: row.get(0)?,
        id: lossy(row, 1)?.parse().unwrap_or_else(|_| MessageId::new(Timestamp::EPOCH, [0; 10])),
        level: columns.word(2, |word| word.parse().ok(), Level::Critical, "level")?,
        dedup_key: Some(lossy(row, 3)?).filter(|key| !key.is_empty()),
        state,
        acked: columns.time(9)?.map(|at| lossy(row, 8).map(|by| (by, at))).transpose()?,
        epoch: columns.number(10, "epoch")?,
        opened_at: columns.time(11)?.unwrap_or(Timestamp::EPOCH),
        policy,
        timer,
        repeats: columns.number(21, "repeats")?,
        last_repeat_at: columns.time(22)?,
        damage: columns.problem,
    })
}

/// Reads what a list says of an alert from seven columns: state, who, when, way, timer, step, due time.
/// Without an alert they are NULL.
pub(super) fn summary(
    row: &rusqlite::Row<'_>,
    first: usize,
) -> rusqlite::Result<Option<AlertSummary>> {
    if row.get_ref(first)? == ValueRef::Null {
        return Ok(None);
    }
    let mut columns = Columns { row, problem: None };
    Ok(Some(AlertSummary {
        state: columns.state(first, first + 1)?,
        exhausted: lossy(row, first + 4)? == "exhausted",
        step: columns.number::<usize>(first + 5, "step")?.saturating_add(1),
        next_step_at: columns.time(first + 6)?,
    }))
}

/// Reads a decision from six columns: number, step, round, cause, time, lateness.
pub(super) fn place(row: &rusqlite::Row<'_>, first: usize) -> rusqlite::Result<Place> {
    Columns { row, problem: None }.place(first)
}

/// Reads columns of a row that may be damaged.
struct Columns<'r, 's> {
    row: &'r rusqlite::Row<'s>,
    /// The first thing that could not be read.
    problem: Option<String>,
}

impl Columns<'_, '_> {
    fn damaged(&mut self, name: &str, found: &str) {
        self.problem.get_or_insert_with(|| format!("{name} is {found:?}"));
    }

    fn word<T>(
        &mut self,
        column: usize,
        read: impl FnOnce(&str) -> Option<T>,
        instead: T,
        name: &str,
    ) -> rusqlite::Result<T> {
        let word = lossy(self.row, column)?;
        Ok(read(&word).unwrap_or_else(|| {
            self.damaged(name, &word);
            instead
        }))
    }

    fn number<T: TryFrom<i64> + Default>(
        &mut self,
        column: usize,
        name: &str,
    ) -> rusqlite::Result<T> {
        let text = lossy(self.row, column)?;
        let number = text.parse::<i64>().ok().and_then(|n| T::try_from(n).ok());
        Ok(number.unwrap_or_else(|| {
            self.damaged(name, &text);
            T::default()
        }))
    }

    /// The state, from its word and three columns about the deed.
    fn state(&mut self, word: usize, deed: usize) -> rusqlite::Result<State> {
        let standing = self.word(word, Standing::from_name, Standing::Open, "state")?;
        let deed = Deed {
            by: lossy(self.row, deed)?,
            at: self.time(deed + 1)?.unwrap_or(Timestamp::EPOCH),
            via: Via::from_name(&lossy(self.row, deed + 2)?).unwrap_or(Via::Command),
        };
        Ok(match standing {
            Standing::Open => State::Open,
            Standing::Acknowledged => State::Acknowledged(deed),
            Standing::Resolved => State::Resolved(deed),
        })
    }

    fn place(&mut self, first: usize) -> rusqlite::Result<Place> {
        Ok(Place {
            decision: self.decision(first)?,
            step: self.number(first + 1, "step")?,
            round: self.number(first + 2, "round")?,
            cause: self.word(first + 3, Cause::from_name, Cause::Opened, "cause")?,
            since: self.time(first + 4)?.unwrap_or(Timestamp::EPOCH),
            late: Duration::from_millis(self.number(first + 5, "late_ms")?),
        })
    }

    /// Counted from 1 on.
    fn decision(&mut self, column: usize) -> rusqlite::Result<u32> {
        let number: u32 = self.number(column, "decision")?;
        if number == 0 {
            self.damaged("decision", "0");
        }
        Ok(number.max(1))
    }

    fn time(&self, column: usize) -> rusqlite::Result<Option<Timestamp>> {
        Ok(lossy(self.row, column)?.parse().ok().map(time))
    }

    fn policy(&mut self, column: usize) -> rusqlite::Result<Policy> {
        let text = lossy(self.row, column)?;
        match serde_json::from_str::<Policy>(&text) {
            Ok(policy) if !policy.steps.is_empty() => return Ok(policy),
            Ok(_) => self.damaged("its policy", "without steps"),
            Err(problem) => self.damaged("its policy", &problem.to_string()),
        }
        Ok(Policy::of_receivers(Vec::new()))
    }
}

/// Reads a recorded decision.
pub(super) fn step(row: &rusqlite::Row<'_>) -> rusqlite::Result<StepRecord> {
    let mut columns = Columns { row, problem: None };
    let Place { decision, step, round, cause, since, late } = columns.place(0)?;
    Ok(StepRecord {
        decision,
        at: since,
        step,
        round,
        cause,
        late,
        to: serde_json::from_str(&lossy(row, 6)?).unwrap_or_default(),
        due_at: columns.time(7)?,
    })
}

/// How deliveries stand as words that may be damaged: those count as the worst there is.
pub(super) fn standing(row: &rusqlite::Row<'_>) -> rusqlite::Result<Delivered> {
    Ok(Delivered::from_name(&lossy(row, 0)?).unwrap_or(Delivered::Dead))
}
