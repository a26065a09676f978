//! What would happen to a message, on imagined time.
//!
//! Nothing is decided here. What a worker, the providers and a person would do is given as events to
//! [`crate::plan`], [`crate::delivery`], [`crate::alert`] and [`crate::escalation`], in the order in
//! which a worker acts, and what they return is written down. Left out: rate limits, circuits and
//! every other message.

mod world;

use crate::alert;
use crate::delivery::{self, Cause, Wait};
use crate::escalation::{self, Place, Policy};
use crate::id::{ChannelName, ReceiverName};
use crate::message::Message;
use crate::plan::Directory;
use crate::time::Timestamp;
use crate::words::words;
use std::collections::BTreeSet;
use std::time::Duration;

/// The most turns of imagined time; no turn writes down more than a few moments for each delivery.
pub const TURNS_MAX: usize = 100_000;
/// How far ahead it looks: longer than the longest delay, the longest policy and the longest time to
/// live together.
pub const TIME_MAX: Duration = Duration::from_secs(4 * 366 * 86_400);
/// How long an attempt takes if nobody says.
pub const ATTEMPT_TAKES: Duration = Duration::from_secs(1);

/// What is imagined.
#[derive(Clone, Debug)]
pub struct Options {
    /// When the message is enqueued.
    pub start: Timestamp,
    /// Channels on which every attempt fails for now.
    pub down: BTreeSet<ChannelName>,
    /// How long after the start somebody acknowledges, if the alert is still open then.
    pub acknowledged_after: Option<Duration>,
    /// How long every attempt takes.
    pub attempt_takes: Duration,
}

/// What would happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Simulation {
    /// Why these receivers; [`crate::plan::Plan::why`].
    pub why: String,
    /// Whom to tell when, if somebody has to acknowledge it.
    pub policy: Option<Policy>,
    /// What happens, in order.
    pub moments: Vec<Moment>,
    /// How it ends.
    pub end: End,
    /// How long after the start.
    pub ended_after: Duration,
}

/// One thing that happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// How long after the start.
    pub after: Duration,
    /// What.
    pub what: What,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A channel is tried, beginning now. Of a chain that fails again and again, only the first round is
    /// written down.
    Tried {
        /// For whom.
        receiver: ReceiverName,
        /// Which channel.
        channel: ChannelName,
        /// Counts this delivery's tries from 1.
        number: u32,
        /// What follows from it.
        then: Then,
    },
    /// A delivery ends because it is not worth making any more.
    Expired {
        /// To whom.
        receiver: ReceiverName,
        /// How often it was tried.
        tries: u32,
    },
    /// A delivery that waits is called off, because somebody has acknowledged the alert.
    CalledOff {
        /// To whom.
        receiver: ReceiverName,
    },
    /// The next people are told.
    Escalated {
        /// The decision.
        place: Place,
        /// Who.
        to: Vec<ReceiverName>,
    },
    /// Nobody is left to tell.
    Exhausted {
        /// The decision.
        place: Place,
    },
    /// Somebody acknowledges.
    Acknowledged,
    /// Those who were told hear that.
    FollowedUp {
        /// Who.
        to: Vec<String>,
    },
    /// The operator hears what went wrong.
    Reported {
        /// Who.
        to: Vec<String>,
        /// The title of what they hear.
        title: String,
    },
}

/// What follows from an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// The channel took it.
    Told,
    /// It is tried again.
    Again {
        /// On which channel.
        channel: ChannelName,
        /// How long after the start.
        after: Duration,
        /// Why then and there.
        wait: Wait,
    },
    /// No channel can deliver it.
    Dead(Cause),
    /// It is not tried again, because somebody has acknowledged the alert meanwhile.
    CalledOff,
}

/// How it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Nobody is told.
    Recorded,
    /// Everybody was told, and nobody has to acknowledge it.
    Delivered,
    /// Somebody could not be told in time.
    Expired,
    /// Somebody could not be told at all.
    Dead,
    /// Somebody acknowledged.
    Acknowledged,
    /// Nobody acknowledged, and nobody was left to tell.
    Exhausted,
    /// It goes on for longer than was looked at.
    Unfinished,
}

words!(End {
    Recorded = "recorded",
    Delivered = "delivered",
    Expired = "expired",
    Dead = "dead",
    Acknowledged = "acknowledged",
    Exhausted = "exhausted",
    Unfinished = "unfinished",
});

/// A state machine refused what this module gave to it; a fault of this module.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub enum Illegal {
    /// A delivery.
    Delivery(#[from] delivery::Illegal),
    /// The alert.
    Alert(#[from] alert::Illegal),
    /// Its escalation.
    Escalation(#[from] escalation::Illegal),
}

/// Imagines one message.
///
/// # Errors
/// A fault of this module.
pub fn simulate(
    directory: &Directory,
    message: &Message,
    options: &Options,
) -> Result<Simulation, Illegal> {
    world::World::new(directory, message, options).run()
}

#[cfg(test)]
mod tests;
