//! Alerts: how they stand, what people do about them, and whom to tell next.

use crate::clock::Reading;
use callout_core::alert::{self, Deed, Via};
use callout_core::escalation::{Cause, Policy, Timer};
use callout_core::id::ReceiverName;
use callout_core::level::Level;
use callout_core::plan::Directory;
use callout_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// How the alerts stand that a list is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlertFilter {
    /// Open, exhausted ones included.
    Unacknowledged,
    /// Acknowledged and not resolved.
    Acknowledged,
    /// Open, and nobody is left to tell.
    Exhausted,
    /// Resolved.
    Resolved,
}

/// One alert in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertSummary {
    /// Where it stands.
    pub state: alert::State,
    /// Whether everybody was told as often as the policy says, in vain.
    pub exhausted: bool,
    /// The present step, counted from 1.
    pub step: usize,
    /// When the next step follows if nobody acts.
    pub next_step_at: Option<Timestamp>,
}

/// Everything about one alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Where it stands.
    pub state: alert::State,
    /// Where its escalation stands.
    pub timer: Timer,
    /// Whom to tell when.
    pub policy: Policy,
    /// When it opened.
    pub opened_at: Timestamp,
    /// How often it was opened again after it was resolved.
    pub epoch: u32,
    /// How often the same problem was reported again.
    pub repeats: u64,
    /// When it was last reported again.
    pub last_repeat_at: Option<Timestamp>,
    /// Every time somebody was told, oldest first.
    pub steps: Vec<StepRecord>,
    /// Whom it has reached, or may have (accepted or under way), by name.
    pub told: Vec<ReceiverName>,
    /// The message of the alert that took its place, for the same problem.
    pub superseded_by: Option<String>,
}

/// One recorded decision about whom to tell next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// Counts from 1.
    pub decision: u32,
    /// When.
    pub at: Timestamp,
    /// Index into the policy's steps.
    pub step: usize,
    /// How often the policy had started over.
    pub round: u32,
    /// Why.
    pub cause: Cause,
    /// How much too late, because no worker ran.
    pub late: Duration,
    /// Who is told. Empty: nobody was left, the escalation ended.
    pub to: Vec<ReceiverName>,
    /// When the next step was to follow.
    pub due_at: Option<Timestamp>,
}

/// What became of alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertStats {
    /// All that nobody has acknowledged, exhausted ones included.
    pub open: u64,
    /// All that somebody has.
    pub acknowledged: u64,
    /// All whose escalation ended in vain and that are still open.
    pub exhausted: u64,
    /// The latest alerts (at most 1000), by level.
    pub levels: Vec<(Level, AlertCounts)>,
    /// The same by receiver; an alert counts for everybody whom it reached.
    pub receivers: Vec<(ReceiverName, AlertCounts)>,
}

/// Counts of some alerts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AlertCounts {
    /// All.
    pub total: u64,
    /// Still open.
    pub open: u64,
    /// That went beyond their first step.
    pub escalated: u64,
    /// Whose escalation ended in vain.
    pub exhausted: u64,
    /// From opening to acknowledgment, for those acknowledged: p50, p90.
    pub time_to_ack: Option<[Duration; 2]>,
}

/// Asks for escalation steps that are due.
#[derive(Clone, Debug)]
pub struct EscalateRequest {
    /// The present.
    pub now: Timestamp,
    /// How old that is by the time it is used.
    pub reading: Reading,
    /// What decides.
    pub directory: Arc<Directory>,
    /// The most alerts to look at in one go.
    pub limit: usize,
    /// For the ids of reports to the operator.
    pub entropy: [u8; 10],
}

/// What came of that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EscalateReport {
    /// Alerts whose escalation went on or ended.
    pub stepped: usize,
    /// When the next one is due, as far as it is known.
    pub next_at: Option<Timestamp>,
    /// Whether more may be due now.
    pub more: bool,
}

/// Who acts. It is written down with what they do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// A person's name, or that of a program.
    pub by: String,
    /// On which way.
    pub via: Via,
    /// From where, as far as it is known: an address, the receiver whose link it was.
    pub origin: Option<String>,
}

impl Actor {
    /// A person at the command line.
    pub fn at_the_command_line(by: impl Into<String>) -> Self {
        Self { by: by.into(), via: Via::Command, origin: None }
    }

    /// What they do at `at`.
    pub fn deed(&self, at: Timestamp) -> Deed {
        Deed { by: self.by.clone(), at, via: self.via }
    }
}

/// What somebody does about an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// "I have it": nobody else is told.
    Acknowledge,
    /// Takes an acknowledgment, or a resolution, back: escalation begins again.
    Unacknowledge,
    /// It is over.
    Resolve,
    /// The next people, now.
    Escalate,
}

/// Asks for an answer to be written down.
#[derive(Clone, Debug)]
pub struct AnswerRequest {
    /// The present.
    pub now: Timestamp,
    /// What decides.
    pub directory: Arc<Directory>,
    /// The message, by its whole id. One that was counted with an alert, or joined it, stands for that.
    pub message: String,
    /// What is done.
    pub answer: Answer,
    /// Who does it.
    pub who: Actor,
    /// What they note.
    pub note: Option<String>,
    /// Only if the alert still stands as somebody has seen it, so that a second press does nothing more.
    pub only: Option<Seen>,
    /// Only if the alert was opened again exactly so often; from a link.
    pub epoch: Option<u32>,
    /// For the ids of messages to the people concerned.
    pub entropy: [u8; 10],
}

/// How somebody has seen an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where it stood.
    pub standing: alert::Standing,
    /// The latest decision about whom to tell.
    pub decision: u32,
}

/// How an answer came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It is written down. How the alert stands now.
    Done(Box<Alert>),
    /// It makes no sense as the alert stands, so nothing has changed.
    Refused {
        /// How the alert stands.
        alert: Box<Alert>,
        /// Why, in words.
        why: String,
    },
    /// Nobody has to acknowledge that message. Nothing has changed.
    NoAlert {
        /// Why, in words.
        why: String,
    },
    /// There is no such message.
    Unknown,
}
