//! Who shall hear a message: routes, receivers, and the deliveries that follow from them.

mod news;

pub use news::{EVENT_LABEL, exhausted, follow_up, lost, report, standing_by};

use crate::alert;
use crate::delivery::{self, Given, Standing, State, Wait};
use crate::escalation::{self, Policy, Timer};
use crate::id::{ChannelName, MessageId, ReceiverName};
use crate::level::Level;
use crate::locale::Locale;
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
    /// Whether those who were told of an alert hear who took it.
    pub follow_up: bool,
    /// The language of what Callout itself says.
    pub locale: Locale,
    /// Channels where a duplicate costs money or wakes people, and nothing keeps the provider from sending
    /// it: what may have arrived goes to the next channel instead of being tried again.
    pub costly: BTreeSet<ChannelName>,
    /// Channels that ring a telephone, which news of an alert are no reason for.
    pub ringing: BTreeSet<ChannelName>,
}

/// What shall happen to one new message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Why these receivers, in words an operator understands.
    pub why: String,
    /// One for each receiver. Empty: nobody is told.
    pub deliveries: Vec<Planned>,
    /// What the message has to do with alerts.
    pub part: Part,
}

/// What a new message has to do with alerts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Nothing.
    None,
    /// It becomes one. If one was open for the same problem, this takes its place: it is worse, or nobody
    /// is left to tell of the other.
    Opens(Opening),
    /// It tells more about the open one: it is worse, and nobody has to acknowledge it; or nobody answers
    /// the open one, and this is less bad.
    Joins,
    /// It is one more of the same: counted with the open one, and sent to nobody.
    Repeats,
    /// It ends the open one.
    Resolves,
}

/// How an alert begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opening {
    /// Whom to tell when; a copy that no edit changes.
    pub policy: Policy,
    /// The first step, whose deliveries are among those planned.
    pub timer: Timer,
    /// When those of the first step are told: now, or once the delay is over.
    pub at: Timestamp,
}

/// An alert that is open or acknowledged, for the problem a new message names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Its message.
    pub id: MessageId,
    /// How bad it is.
    pub level: Level,
    /// Where it stands.
    pub state: alert::State,
    /// Whether nobody is told of it any more although it is open: everybody was, in vain.
    pub exhausted: bool,
    /// Whom it has reached, or may have.
    pub told: Vec<ReceiverName>,
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
    /// Decides who hears `message`, given what is `known` of its problem.
    ///
    /// Names in `to` that are not configured are passed over with a word about it; if none is left,
    /// the routes decide, so that a typing error never silences an alert.
    pub fn plan(
        &self,
        message: &Message,
        created_at: Timestamp,
        now: Timestamp,
        blocked: &BTreeSet<ChannelName>,
        known: Option<&Known>,
    ) -> Plan {
        let at = created_at + message.delay.unwrap_or_default();
        let wait = if message.delay.is_some() { Wait::Delay } else { Wait::New };
        let nobody = |why: String, part| Plan { why, deliveries: Vec::new(), part };
        let telling = |to: &[ReceiverName], why, part| Plan {
            why,
            deliveries: self.deliveries(message, to, at, wait, blocked),
            part,
        };
        match known {
            Some(known) if message.resolve => {
                let why = format!("it resolves {}; those who were told hear of it", known.id);
                let told = known.told.iter().filter(|name| self.hears_news(name));
                return telling(&told.cloned().collect::<Vec<_>>(), why, Part::Resolves);
            }
            None if message.resolve => {
                let why = "nothing is open for its dedup key; it is only recorded";
                return nobody(why.to_owned(), Part::None);
            }
            // Nobody answers and nobody is left to tell: the problem reported again begins it again.
            Some(known) if message.level <= known.level && !known.exhausted => {
                let why = format!("it repeats {}, which is {}", known.id, known.state.name());
                return nobody(why, Part::Repeats);
            }
            Some(_) | None => {}
        }
        let Told { mut to, mut why, policy } = self.recipients(message);
        // What Callout itself says has no policy, even if its receiver is gone and the routes decide.
        let is_event = news::is_own(message);
        let is_lesser = known.is_some_and(|known| message.level < known.level);
        let Some(policy) = policy.filter(|_| !is_event && !is_lesser) else {
            let part = if known.is_some() { Part::Joins } else { Part::None };
            return telling(&to, why, part);
        };
        for name in policy.receivers(0) {
            if !to.contains(name) {
                to.push(name.clone());
            }
        }
        why += &match &policy.name {
            Some(name) => format!("; somebody has to acknowledge it, by escalation policy {name}"),
            None => "; somebody has to acknowledge it".to_owned(),
        };
        if let Some(known) = known {
            let than = if known.exhausted { "nobody has answered" } else { "it is worse than" };
            why += &format!("; {than} {}, whose place it takes", known.id);
        }
        let timer = escalation::start(&policy, at, now);
        telling(&to, why, Part::Opens(Opening { policy, timer, at: at.max(now) }))
    }

    /// The deliveries of `message` to these receivers, none before `at` and for that reason. A receiver without a channel
    /// gets none.
    pub fn deliveries(
        &self,
        message: &Message,
        to: &[ReceiverName],
        at: Timestamp,
        wait: Wait,
        blocked: &BTreeSet<ChannelName>,
    ) -> Vec<Planned> {
        let expires_at = at + ttl(message);
        let planned = to.iter().filter_map(|name| {
            // The seed is the delivery's own number, which it does not have yet; a start needs none.
            let state =
                delivery::start(at, wait, &self.given(name, message.level, at, blocked, 0))?;
            Some(Planned { receiver: name.clone(), state, expires_at })
        });
        planned.collect()
    }

    fn recipients(&self, message: &Message) -> Told {
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
        let (to, why, policy) = if known.is_empty() {
            match self.routes.iter().enumerate().find(|(_, route)| route.matches(message)) {
                Some((n, route)) => {
                    let why = format!("route {} matched: {route}{complaint}", n + 1);
                    (route.to.clone(), why, route.escalation.clone())
                }
                None => (Vec::new(), format!("no route matched{complaint}"), None),
            }
        } else {
            let why = format!("the message names its receivers{complaint}");
            (known.into_iter().collect(), why, None)
        };
        let asked = message.require_ack && !to.is_empty();
        let policy = policy.or_else(|| asked.then(|| Policy::of_receivers(to.clone())));
        Told { to, why, policy: policy.map(|policy| policy.with_first_wait(message.ack_within)) }
    }

    /// Whether a receiver can hear news of an alert without being rung up.
    pub(crate) fn hears_news(&self, name: &ReceiverName) -> bool {
        let receiver = self.receivers.get(name);
        let quiet = |channel: &ChannelName| !self.ringing.contains(channel);
        receiver.is_none_or(|receiver| receiver.channels.iter().any(quiet))
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
            costly: &self.costly,
            retry: &self.retry,
            failover_after: receiver
                .map_or(FAILOVER_AFTER, |receiver| receiver.failover_after(level)),
            seed,
        }
    }
}

/// Who hears a message, why, and what follows if nobody acknowledges it.
struct Told {
    to: Vec<ReceiverName>,
    why: String,
    policy: Option<Policy>,
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
    /// It was counted with an alert that is open for the same problem, and sent to nobody.
    Merged,
    /// All that was not delivered was called off, and nothing was delivered.
    Cancelled,
    /// Every receiver's delivery was accepted, but for those called off; or it was only to be recorded.
    Accepted,
    /// Some delivery ran out of time and none fared worse.
    Expired,
    /// Some delivery is dead, or the message itself could not be read.
    Dead,
}

impl MessageState {
    /// Every value.
    pub const ALL: [Self; 6] =
        [Self::Pending, Self::Merged, Self::Cancelled, Self::Accepted, Self::Expired, Self::Dead];

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
            Self::Merged => "merged",
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

#[cfg(test)]
pub(crate) mod tests;
