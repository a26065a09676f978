//! Who shall hear a message: routes, receivers, and the deliveries that follow from them.

use crate::delivery::{self, Cause, Given, Notice, Standing, State, Wait};
use crate::id::{ChannelName, MessageId, ReceiverName};
use crate::level::Level;
use crate::message::Message;
use crate::receiver::{FAILOVER_AFTER, Receiver};
use crate::retry::RetryPolicy;
use crate::route::Route;
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a message is worth delivering if it does not say.
pub const TTL: Duration = Duration::from_secs(24 * 3600);
/// The same for messages of level `info`.
pub const TTL_INFO: Duration = Duration::from_secs(6 * 3600);

/// Everything configured that decides about deliveries.
#[derive(Clone, Debug)]
pub struct Directory {
    /// Tried in order; the last one matches everything.
    pub routes: Vec<Route>,
    /// By name.
    pub receivers: BTreeMap<ReceiverName, Receiver>,
    /// Who hears of dead letters and failing chains.
    pub operator: Option<ReceiverName>,
    /// When to retry.
    pub retry: RetryPolicy,
}

/// What shall happen to one new message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Why these receivers, in words an operator understands.
    pub why: String,
    /// One for each receiver. Empty: the message is only recorded.
    pub deliveries: Vec<Planned>,
}

/// One delivery to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// To whom.
    pub receiver: ReceiverName,
    /// Its first state.
    pub state: State,
    /// When it is not worth delivering any more.
    pub expires_at: Timestamp,
}

impl Directory {
    /// Decides who hears `message`.
    ///
    /// Names in `to` that are not configured are passed over with a word about it; if none is left,
    /// the routes decide, so that a typing error never silences an alert.
    pub fn plan(
        &self,
        message: &Message,
        created_at: Timestamp,
        blocked: &BTreeSet<ChannelName>,
    ) -> Plan {
        let (names, why) = self.recipients(message);
        let at = created_at + message.delay.unwrap_or_default();
        let wait = if message.delay.is_some() { Wait::Delay } else { Wait::New };
        let expires_at = at + ttl(message);
        let deliveries = names.iter().filter_map(|name| {
            // The seed is the delivery's own number, which it does not have yet; a start needs none.
            let state =
                delivery::start(at, wait, &self.given(name, message.level, at, blocked, 0))?;
            Some(Planned { receiver: name.clone(), state, expires_at })
        });
        Plan { why, deliveries: deliveries.collect() }
    }

    fn recipients(&self, message: &Message) -> (Vec<ReceiverName>, String) {
        let known: BTreeSet<ReceiverName> = message
            .to
            .iter()
            .filter_map(|name| name.parse().ok())
            .filter(|name| self.receivers.contains_key(name))
            .collect();
        let unknown: Vec<&str> = message
            .to
            .iter()
            .map(String::as_str)
            .filter(|name| !known.iter().any(|known| known.as_str() == *name))
            .collect();
        let complaint = if unknown.is_empty() {
            String::new()
        } else {
            format!(" (no receiver is called {})", unknown.join(", "))
        };
        if !known.is_empty() {
            return (
                known.into_iter().collect(),
                format!("the message names its receivers{complaint}"),
            );
        }
        match self.routes.iter().enumerate().find(|(_, route)| route.matches(message)) {
            Some((n, route)) => {
                (route.to.clone(), format!("route {} matched: {route}{complaint}", n + 1))
            }
            None => (Vec::new(), format!("no route matched{complaint}")),
        }
    }

    /// What decisions about a delivery to `receiver` depend on; an unknown receiver has no channels.
    pub fn given<'a>(
        &'a self,
        receiver: &ReceiverName,
        level: Level,
        now: Timestamp,
        blocked: &'a BTreeSet<ChannelName>,
        seed: u64,
    ) -> Given<'a> {
        let receiver = self.receivers.get(receiver);
        Given {
            now,
            chain: receiver.map_or(&[], |receiver| &receiver.channels),
            blocked,
            retry: &self.retry,
            failover_after: receiver
                .map_or(FAILOVER_AFTER, |receiver| receiver.failover_after(level)),
            seed,
        }
    }
}

/// How long a message is worth delivering.
pub fn ttl(message: &Message) -> Duration {
    message.ttl.unwrap_or(if message.level == Level::Info { TTL_INFO } else { TTL })
}

/// Where a message stands, seen over all its deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MessageState {
    /// Some delivery is still on its way, or it has not been planned yet.
    Pending,
    /// Every receiver's delivery was accepted, or it was only to be recorded.
    Accepted,
    /// Some delivery was called off and none fared worse.
    Cancelled,
    /// Some delivery ran out of time and none fared worse.
    Expired,
    /// Some delivery is dead, or the message itself could not be read.
    Dead,
}

impl MessageState {
    /// Every value.
    pub const ALL: [Self; 5] =
        [Self::Pending, Self::Accepted, Self::Cancelled, Self::Expired, Self::Dead];

    /// The state of a message whose deliveries stand like this: the worst of them, once all are over.
    pub fn of(deliveries: impl IntoIterator<Item = Standing>) -> Self {
        let states = deliveries.into_iter().map(|standing| match standing {
            Standing::Ready | Standing::Leased => Self::Pending,
            Standing::Accepted => Self::Accepted,
            Standing::Cancelled => Self::Cancelled,
            Standing::Expired => Self::Expired,
            Standing::Dead => Self::Dead,
        });
        states
            .reduce(|a, b| if a.min(b) == Self::Pending { Self::Pending } else { a.max(b) })
            .unwrap_or(Self::Accepted)
    }

    /// The word used in commands, documents and the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Accepted => "accepted",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Dead => "dead",
        }
    }

    /// The value a word stands for.
    pub fn from_name(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == word)
    }
}

/// Marks a message that Callout itself wrote; nothing is reported about these, or it would never end.
pub const EVENT_LABEL: &str = "callout.event";

/// What an operator is told about a delivery, as a message to the operator's receiver.
///
/// `None` without such a receiver, and about messages that are themselves such a report.
pub fn report(
    notice: Notice,
    directory: &Directory,
    about: &Message,
    id: MessageId,
    receiver: &ReceiverName,
    last_words: &str,
) -> Option<Message> {
    let operator = directory.operator.as_ref()?;
    if about.labels.contains_key(EVENT_LABEL) {
        return None;
    }
    let (event, level, what) = match notice {
        Notice::ChainFailed => {
            ("chain_failed", Level::Warning, "no channel works yet, still trying")
        }
        Notice::Dead(Cause::Rejected) => ("dead", Level::Error, "every channel refused it"),
        Notice::Dead(Cause::NoChannel) => ("dead", Level::Error, "its receiver has no channel"),
        Notice::Dead(Cause::Quarantined) => {
            ("quarantined", Level::Error, "the stored message is damaged")
        }
        Notice::Expired => ("expired", Level::Error, "it was not accepted in time"),
    };
    // The original title is somebody else's text: it goes into the body, cut by nobody but the channel.
    let mut report = Message::new(level, format!("Callout: not delivered to {receiver}: {what}"));
    report.body = format!(
        "**{}** ({})\n\nLast answer: {}\n\nThe whole story: `callout why {id}`\n",
        plain(&about.title),
        about.level,
        if last_words.is_empty() { "none".to_owned() } else { plain(last_words) },
    );
    report.to = vec![operator.to_string()];
    report.labels.insert(EVENT_LABEL.to_owned(), event.to_owned());
    report.labels.insert("callout.message".to_owned(), id.to_string());
    Some(report)
}

/// Somebody else's words on one line, without what would be markup or refused.
fn plain(words: &str) -> String {
    words.chars().map(|c| if c.is_control() || matches!(c, '*' | '`') { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests;
