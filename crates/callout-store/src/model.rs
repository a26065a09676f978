//! What is asked of a store, and what it answers.

mod alert;
mod drift;

pub use alert::{
    Actor, Alert, AlertCounts, AlertFilter, AlertStats, AlertSummary, Answer, AnswerRequest,
    Answered, EscalateReport, EscalateRequest, Seen, StepRecord,
};
pub use drift::{ClockSteps, RebaseRequest, Rebased, Waiting};

use crate::clock::Reading;
use callout_core::alert::Regarding;
use callout_core::delivery::{Lease, Standing, State, Wait};
use callout_core::escalation::Telling;
use callout_core::id::{ChannelName, DeliveryId, MessageId, ReceiverName, WorkerId};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::outcome::Outcome;
use callout_core::plan::{Directory, MessageState};
use callout_core::rate::Rate;
use callout_core::time::Timestamp;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// A message to enqueue.
#[derive(Clone, Debug)]
pub struct NewMessage {
    /// Its id, chosen by the caller.
    pub id: MessageId,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// What it says.
    pub message: Message,
}

/// A message that is in the outbox now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enqueued {
    /// Its id; that of the earlier one if its idempotency key was known.
    pub id: MessageId,
    /// Whether this call wrote it.
    pub fresh: bool,
}

/// Asks for new messages to become deliveries.
#[derive(Clone, Debug)]
pub struct PlanRequest {
    /// The present.
    pub now: Timestamp,
    /// How old that is by the time it is used.
    pub reading: Reading,
    /// What decides.
    pub directory: Arc<Directory>,
    /// The most messages to plan in one go.
    pub limit: usize,
    /// For the ids of reports to the operator.
    pub entropy: [u8; 10],
}

/// What planning did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlanReport {
    /// Messages that became deliveries, or were recorded only.
    pub planned: usize,
    /// Messages that cannot be trusted and were set aside.
    pub quarantined: usize,
    /// Whether there may be more.
    pub more: bool,
}

/// Asks for due deliveries. On the way the store plans new messages and steps those that expired, were abandoned, wait for a
/// channel that cannot send, or belong to no configured channel.
#[derive(Clone, Debug)]
pub struct ClaimRequest {
    /// The present.
    pub now: Timestamp,
    /// How old that is by the time it is used.
    pub reading: Reading,
    /// What decides.
    pub directory: Arc<Directory>,
    /// Who asks.
    pub worker: WorkerId,
    /// When the leases end.
    pub lease_until: Timestamp,
    /// Every configured channel, with the number of deliveries wanted (0 to look only).
    pub lanes: Vec<LaneAsk>,
    /// The most new messages to plan on the way. What can go at once is leased without waiting before.
    pub plan: usize,
    /// For the ids of reports to the operator.
    pub entropy: [u8; 10],
}

/// What one channel could take.
#[derive(Clone, Debug)]
pub struct LaneAsk {
    /// The channel.
    pub channel: ChannelName,
    /// Its limits.
    pub rate: Rate,
    /// Free permits.
    pub limit: usize,
}

/// What a claim brought.
#[derive(Clone, Debug, Default)]
pub struct Claims {
    /// Leased deliveries, most urgent first within each channel.
    pub claimed: Vec<Claimed>,
    /// When it makes sense to ask again even if nothing is enqueued or settled meanwhile.
    pub next_at: Option<Timestamp>,
    /// Whether something was stepped that may be due at once, so that asking again makes sense now.
    pub more: bool,
    /// Channels whose circuit is open now, for the steps that the worker takes until it asks again.
    pub blocked: BTreeSet<ChannelName>,
}

/// A delivery this worker holds the lease on.
///
/// Dropping it loses nothing: the lease ends and the delivery is offered again.
#[must_use = "a claimed delivery should be settled, or its lease has to end first"]
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Which delivery.
    pub delivery: DeliveryId,
    /// The message's id.
    pub id: MessageId,
    /// What to say.
    pub message: Arc<Message>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// To whom.
    pub receiver: ReceiverName,
    /// Its state, which is `Leased`.
    pub state: State,
    /// When it had become due.
    pub due_at: Timestamp,
    /// Why it had been waiting.
    pub wait: Wait,
    /// Which telling of an alert it is, if somebody has to acknowledge the message.
    pub telling: Option<Telling>,
    /// The alert that the message brings news of, as the channel told of it.
    pub about: Option<Regarding>,
    /// What the store wants back when the delivery is settled.
    pub entry: Entry,
}

impl Claimed {
    /// The lease, unless the state is none of those that are claimed.
    pub fn lease(&self) -> Option<Lease> {
        if let State::Leased { lease, .. } = &self.state { Some(*lease) } else { None }
    }
}

/// What the store knows of a claimed delivery and nobody else needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The message's row.
    pub message: i64,
    /// When nobody needs it any more.
    pub expires_at: Timestamp,
    /// Which decision of the message's alert told the receiver.
    pub decision: Option<u32>,
}

/// What to write about one claimed delivery.
#[derive(Clone, Debug)]
pub struct Settlement {
    /// Which delivery, and the lease under which it was done.
    pub claimed: Arc<Claimed>,
    /// The state `delivery::step` returned.
    pub after: State,
    /// The try; `None` if the delivery is handed back untried.
    pub attempt: Option<Attempt>,
    /// Requests beyond the first, which count against the channel's limits.
    pub extra_sends: usize,
    /// What the operator has to be told, enqueued in the same transaction.
    pub report: Option<NewMessage>,
}

/// One try to hand a message to one channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Counts from 1 over all channels.
    pub number: u32,
    /// Which channel.
    pub channel: ChannelName,
    /// When it had become due.
    pub due_at: Timestamp,
    /// Why it had been waiting.
    pub wait: Wait,
    /// When the lease was committed; no byte left before.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// What it told us.
    pub outcome: Outcome,
}

/// What became of a settlement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// The new state is in the store.
    Written,
    /// Somebody else owns the delivery now. The try was recorded as late evidence, the state left alone.
    Late,
}

/// Which messages to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// In this state.
    pub state: Option<MessageState>,
    /// Of this level.
    pub level: Option<Level>,
    /// With a delivery to this receiver.
    pub receiver: Option<ReceiverName>,
    /// With a delivery that is, or ended, on this channel.
    pub channel: Option<ChannelName>,
    /// With these labels.
    pub labels: Vec<(String, String)>,
    /// Enqueued at or after this.
    pub since: Option<Timestamp>,
    /// With an alert that stands like this.
    pub alert: Option<AlertFilter>,
}

/// One page of a list, newest first.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The messages.
    pub messages: Vec<Summary>,
    /// Pass this to get the next page; `None` at the end.
    pub next: Option<i64>,
}

/// One message in a list.
#[derive(Clone, Debug)]
pub struct Summary {
    /// Its id, as stored (a damaged row may hold anything).
    pub id: String,
    /// Its level, as stored.
    pub level: String,
    /// Its title, as stored.
    pub title: String,
    /// Where it stands.
    pub state: MessageState,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// When it reached a final state.
    pub settled_at: Option<Timestamp>,
    /// Its receivers and how each stands. A receiver that was told several times stands there as often.
    pub deliveries: Vec<(ReceiverName, Standing)>,
    /// How its alert stands, if somebody has to acknowledge it.
    pub alert: Option<AlertSummary>,
}

/// Everything about one message.
#[derive(Clone, Debug)]
pub struct Story {
    /// As in a list.
    pub summary: Summary,
    /// What it says, or why it cannot be read.
    pub message: Result<Message, String>,
    /// Why it went where it went.
    pub why: Option<String>,
    /// Its deliveries, oldest first.
    pub deliveries: Vec<Delivery>,
    /// What else happened to it, oldest first.
    pub journal: Vec<JournalEntry>,
    /// Its alert, if somebody has to acknowledge it.
    pub alert: Option<Alert>,
    /// The message of the alert it was counted with, joined or resolved, or that it brings news of.
    pub belongs_to: Option<String>,
}

/// Everything about one delivery.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its number.
    pub id: DeliveryId,
    /// To whom.
    pub receiver: ReceiverName,
    /// Where it stands.
    pub state: State,
    /// When it is not worth delivering any more.
    pub expires_at: Timestamp,
    /// When the try under way began, if one is.
    pub leased_at: Option<Timestamp>,
    /// By which decision of the message's alert, if there is one.
    pub decision: Option<u32>,
    /// Ended tries, oldest first.
    pub attempts: Vec<AttemptRecord>,
}

/// A recorded try. As [`Attempt`], with the outcome as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptRecord {
    /// Counts from 1 over all channels.
    pub number: u32,
    /// Which channel.
    pub channel: ChannelName,
    /// When it had become due.
    pub due_at: Timestamp,
    /// Why it had been waiting.
    pub wait: Wait,
    /// When it began.
    pub started_at: Timestamp,
    /// How long it took.
    pub duration: Duration,
    /// `Outcome::name`.
    pub outcome: String,
    /// The provider's code.
    pub code: Option<String>,
    /// The provider's words.
    pub detail: String,
    /// Whether the result came after somebody else had taken the delivery over.
    pub late: bool,
}

/// Something that happened besides attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalEntry {
    /// When.
    pub at: Timestamp,
    /// What: `replayed`, `cancelled`, `quarantined`, `moved`, `expired`, `acknowledged`,
    /// `unacknowledged`, `resolved`, `reopened`, `escalated`, `superseded`.
    pub event: String,
    /// In words; what somebody noted when they acted.
    pub detail: String,
    /// Who, if somebody acted.
    pub by: Option<String>,
    /// On which way (`Via::name` of `callout_core::alert`), if somebody acted.
    pub via: Option<String>,
    /// From where, as far as it is known: an address, a receiver's link.
    pub origin: Option<String>,
}

/// How a reference to a message came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This one.
    One(String),
    /// No message begins like that.
    None,
    /// Several do; the first few.
    Many(Vec<String>),
}

/// Counts and times.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Messages by state; new ones are pending.
    pub messages: Vec<(MessageState, u64)>,
    /// How many of those pending no worker has planned yet.
    pub unplanned: u64,
    /// Deliveries by channel and state.
    pub deliveries: Vec<(ChannelName, Standing, u64)>,
    /// Ended attempts by channel and outcome.
    pub attempts: Vec<(ChannelName, String, u64)>,
    /// How long the delivery that has been due longest, or the message that no worker has planned, has been due.
    pub oldest_due: Option<Duration>,
    /// From due to accepted, over the latest accepted deliveries (at most 1000): p50, p90, p99.
    pub accept_latency: Option<[Duration; 3]>,
    /// What became of alerts.
    pub alerts: AlertStats,
    /// How often the clock was set under running workers.
    pub clock: Option<ClockSteps>,
}

/// How a channel fares.
#[derive(Clone, Debug)]
pub struct Health {
    /// Which channel.
    pub channel: ChannelName,
    /// Failures in a row.
    pub failures: u32,
    /// When its circuit lets the next probe through, if it is open.
    pub probe_at: Option<Timestamp>,
    /// Until when the provider asked us to wait.
    pub throttled_until: Option<Timestamp>,
    /// When it last accepted something.
    pub last_accepted_at: Option<Timestamp>,
    /// When it last failed.
    pub last_failed_at: Option<Timestamp>,
    /// What it said then.
    pub last_failure: Option<String>,
    /// Deliveries waiting for it.
    pub waiting: u64,
}

impl Health {
    /// Whether it has accepted nothing since it last failed. A provider that refuses messages for what
    /// they say opens no circuit, so that this is the only sign of it.
    pub fn last_try_failed(&self) -> bool {
        self.last_failed_at > self.last_accepted_at
    }
}

/// What an operator does to messages that are already there.
#[derive(Clone, Debug)]
pub enum Command {
    /// Puts dead, expired and cancelled deliveries back.
    Replay,
    /// Calls off deliveries that are not over.
    Cancel,
}

/// Asks for a command on some messages.
#[derive(Clone, Debug)]
pub struct CommandRequest {
    /// The present.
    pub now: Timestamp,
    /// What decides.
    pub directory: Arc<Directory>,
    /// What to do.
    pub command: Command,
    /// To which messages, by id.
    pub messages: Vec<String>,
    /// Who asks.
    pub who: Actor,
}

/// Asks for old messages to be deleted, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct PruneRequest {
    /// Accepted, merged and cancelled messages that ended before this go, but none whose alert is open.
    pub accepted_before: Timestamp,
    /// Dead and expired messages that ended before this go, and those whose alert nobody acknowledged
    /// and nobody is left to tell.
    pub dead_before: Timestamp,
    /// Where the last call stopped; 0 to begin.
    pub after: i64,
    /// The most messages to look at in one transaction.
    pub limit: usize,
}

/// What one call of prune did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Messages deleted.
    pub deleted: usize,
    /// Where to go on; `None` when there is nothing old left to look at.
    pub next: Option<i64>,
}
