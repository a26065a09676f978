//! The life of one delivery: one message on its way to one receiver.
//!
//! This is the only place where a delivery changes state. Nothing here reads a clock, rolls a die or
//! talks to anyone: time arrives as an argument, jitter follows from the row, and the decision leaves
//! as a value that the store writes down. Everything a restart has to know is in [`State`].
//! `docs/state-machine.md` is generated from [`step`] by a test.

use crate::id::{ChannelName, WorkerId};
use crate::outcome::{Blame, Outcome};
use crate::retry::{Jitter, RetryPolicy};
use crate::time::Timestamp;
use crate::words::words;
use std::collections::BTreeSet;
use std::time::Duration;

/// After so many workers in a row have died in the middle of a try, the message is taken for the cause: it
/// moves on to the next channel that works, and ends where there is none.
pub const LOSSES_MAX: u32 = 3;

/// Where a delivery stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Waiting; a worker may lease it once `at` has passed.
    Ready {
        /// Not before this.
        at: Timestamp,
        /// Why it waits.
        wait: Wait,
        /// Where in its receiver's chain.
        place: Place,
    },
    /// A worker holds the lease and may be talking to the provider right now.
    Leased {
        /// Whose, and until when.
        lease: Lease,
        /// Where in its receiver's chain.
        place: Place,
    },
    /// The provider took it. Final.
    Accepted {
        /// When.
        at: Timestamp,
        /// The channel that took it, and how it got there.
        place: Place,
    },
    /// Nothing in the chain can deliver it. Final until somebody replays it.
    Dead {
        /// When.
        at: Timestamp,
        /// Why.
        cause: Cause,
        /// The last channel tried.
        place: Place,
    },
    /// Its time to live ran out first. Final until somebody replays it.
    Expired {
        /// When.
        at: Timestamp,
        /// The last channel tried.
        place: Place,
    },
    /// An operator called it off. Final until somebody replays it.
    Cancelled {
        /// When.
        at: Timestamp,
        /// The last channel tried.
        place: Place,
    },
}

/// Where in its receiver's chain a delivery is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The channel whose turn it is.
    pub channel: ChannelName,
    /// Failed tries on this channel since it became this channel's turn.
    pub attempt: u32,
    /// After this another channel is preferred to waiting; `None` if the chain has no other.
    pub failover_at: Option<Timestamp>,
    /// How often the chain has started over.
    pub round: u32,
    /// The next try is short plain text, because the provider refused the rich form.
    pub plain: bool,
    /// Whether some channel of this round failed only for now, so that another round makes sense.
    pub soft: bool,
    /// All tries so far, on every channel.
    pub tries: u32,
}

/// A worker's claim on a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Which run of which worker.
    pub owner: WorkerId,
    /// Fencing token: grows with every lease, so that a late result can be told from a current one.
    pub token: i64,
    /// After this anybody may take the delivery over.
    pub until: Timestamp,
}

/// Why a ready delivery waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// It is new.
    New,
    /// Its producer asked for a delay.
    Delay,
    /// Nobody had acknowledged the message, so it is these people's turn.
    Escalated,
    /// The last try failed; it is tried again on the same channel.
    Backoff,
    /// The provider asked us to wait.
    Throttled,
    /// The previous channel was given up.
    Failover,
    /// The whole chain failed; it starts over after a pause.
    Round,
    /// The provider refused the rich form; plain text is next.
    Plain,
    /// The channel's circuit is open and there is no other channel.
    Circuit,
    /// Its worker died in the middle of a try.
    Abandoned,
    /// A stopping worker handed it back untried.
    HandedBack,
    /// An operator put it back.
    Replayed,
}

/// Why a delivery is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Every channel refused it for good.
    Rejected,
    /// Its receiver has no channel any more.
    NoChannel,
    /// The stored message is damaged or breaks the rules, so there is nothing safe to send.
    Quarantined,
    /// Every worker that tried it died in the middle of it: it would take down the next one too.
    Poison,
}

/// The state's word without its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// [`State::Ready`].
    Ready,
    /// [`State::Leased`].
    Leased,
    /// [`State::Accepted`].
    Accepted,
    /// [`State::Dead`].
    Dead,
    /// [`State::Expired`].
    Expired,
    /// [`State::Cancelled`].
    Cancelled,
}

words!(Standing {
    Ready = "ready",
    Leased = "leased",
    Accepted = "accepted",
    Dead = "dead",
    Expired = "expired",
    Cancelled = "cancelled",
});
words!(Wait {
    New = "new",
    Delay = "delay",
    Escalated = "escalated",
    Backoff = "backoff",
    Throttled = "throttled",
    Failover = "failover",
    Round = "round",
    Plain = "plain",
    Circuit = "circuit",
    Abandoned = "abandoned",
    HandedBack = "handed_back",
    Replayed = "replayed",
});
words!(Cause {
    Rejected = "rejected",
    NoChannel = "no_channel",
    Quarantined = "quarantined",
    Poison = "poison",
});

/// Everything that can happen to a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker takes it.
    Leased(Lease),
    /// A try ended.
    Attempted(Outcome),
    /// The lease ended, or its worker died, and nobody knows how far the try got. This many tries in a row
    /// have ended so, with this one.
    LeaseLost(u32),
    /// The worker stops and never began the try.
    HandedBack,
    /// `failover_at` has passed while the channel's limits kept it waiting.
    Overdue,
    /// The channel can send nothing before the given time: its circuit is open, or its provider wants a
    /// longer pause than is worth waiting for.
    Blocked(Timestamp),
    /// The channel is not in the configuration any more.
    ChannelGone,
    /// Its time to live has run out.
    Expired,
    /// The stored message cannot be trusted.
    Quarantined,
    /// An operator calls it off.
    Cancelled,
    /// An operator puts it back.
    Replayed,
}

/// What a decision depends on besides the state.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// The present.
    pub now: Timestamp,
    /// The receiver's channels, most wanted first.
    pub chain: &'a [ChannelName],
    /// Channels whose circuit is open.
    pub blocked: &'a BTreeSet<ChannelName>,
    /// Channels where a duplicate costs money or wakes people, and nothing keeps it from being sent.
    pub costly: &'a BTreeSet<ChannelName>,
    /// When to retry.
    pub retry: &'a RetryPolicy,
    /// How long one channel may keep failing.
    pub failover_after: Duration,
    /// Spreads retries: the delivery's own number.
    pub seed: u64,
}

/// An event that cannot happen in a state; somebody else was faster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a delivery that is {state} cannot be {event}")]
pub struct Illegal {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

/// The first state of a delivery, or `None` if its receiver has no channel.
pub fn start(at: Timestamp, wait: Wait, given: &Given<'_>) -> Option<State> {
    let channel = first_open(given.chain, given)?.clone();
    let place = Place {
        failover_at: failover_at(at, given),
        soft: given.chain.first() != Some(&channel),
        channel,
        attempt: 0,
        round: 0,
        plain: false,
        tries: 0,
    };
    Some(State::Ready { at, wait, place })
}

/// Returns the state that follows `event`.
///
/// # Errors
/// [`Illegal`] if the event cannot happen in this state.
pub fn step(state: &State, event: Event, given: &Given<'_>) -> Result<State, Illegal> {
    let now = given.now;
    match (state, event) {
        (State::Ready { at, place, .. }, Event::Leased(lease)) if *at <= now => {
            Ok(State::Leased { lease, place: Place { tries: place.tries + 1, ..place.clone() } })
        }
        (State::Ready { place, .. }, Event::Overdue)
            if place.failover_at.is_some_and(|due| due <= now) =>
        {
            Ok(overdue(state, place, given))
        }
        (State::Ready { place, .. }, Event::Blocked(until)) => Ok(blocked(place, until, given)),
        (State::Ready { place, .. } | State::Leased { place, .. }, Event::ChannelGone) => {
            Ok(channel_gone(place, given))
        }
        (State::Ready { place, .. }, Event::Expired) => {
            Ok(State::Expired { at: now, place: place.clone() })
        }

        (State::Leased { place, .. }, Event::Attempted(outcome)) => {
            Ok(after_attempt(outcome, place, given))
        }
        (State::Leased { place, .. }, Event::LeaseLost(in_a_row)) => {
            Ok(after_loss(place, in_a_row, given))
        }
        (State::Leased { place, .. }, Event::HandedBack) => {
            let place = Place { tries: place.tries.saturating_sub(1), ..place.clone() };
            Ok(State::Ready { at: now, wait: Wait::HandedBack, place })
        }

        (State::Ready { place, .. } | State::Leased { place, .. }, Event::Cancelled) => {
            Ok(State::Cancelled { at: now, place: place.clone() })
        }
        (State::Ready { place, .. } | State::Leased { place, .. }, Event::Quarantined) => {
            Ok(State::Dead { at: now, cause: Cause::Quarantined, place: place.clone() })
        }
        (
            State::Dead { place, .. }
            | State::Expired { place, .. }
            | State::Cancelled { place, .. },
            Event::Replayed,
        ) => Ok(replayed(place, given)),

        // Every state by name, no wildcard: a new state must answer here before it compiles.
        (
            State::Ready { .. }
            | State::Leased { .. }
            | State::Accepted { .. }
            | State::Dead { .. }
            | State::Expired { .. }
            | State::Cancelled { .. },
            event,
        ) => Err(Illegal { state: state.name(), event: event.name() }),
    }
}

fn after_attempt(outcome: Outcome, place: &Place, given: &Given<'_>) -> State {
    match outcome {
        Outcome::Accepted(_) => State::Accepted { at: given.now, place: place.clone() },
        // "Slow down" is not a failure. It costs no attempt; the message's expiry bounds it.
        Outcome::Throttled { until, .. } if is_too_late(place, until, given) => {
            next(&softened(place), given)
        }
        Outcome::Throttled { until, .. } => {
            State::Ready { at: until, wait: Wait::Throttled, place: place.clone() }
        }
        // It may have arrived, and once more would wake the same people. Others hear of it instead.
        Outcome::Unknown(_) if given.costly.contains(&place.channel) => {
            next(&softened(place), given)
        }
        // We may already have been heard. At-least-once says: ask again, and say so in the record.
        Outcome::Transient(_) | Outcome::Unknown(_) => {
            let place = Place { attempt: place.attempt + 1, ..softened(place) };
            let delay = given.retry.delay_after(place.attempt, jitter(&place, given));
            match delay.filter(|delay| is_worth_waiting(&place, *delay, given)) {
                Some(delay) => State::Ready { at: given.now + delay, wait: Wait::Backoff, place },
                None => next(&place, given),
            }
        }
        Outcome::Rejected { blame: Blame::Message, .. } if !place.plain => {
            let place = Place { plain: true, ..place.clone() };
            State::Ready { at: given.now, wait: Wait::Plain, place }
        }
        Outcome::Rejected { .. } => next(place, given),
    }
}

/// Whether to try the same channel again after `delay` although others may be left.
fn is_worth_waiting(place: &Place, delay: Duration, given: &Given<'_>) -> bool {
    let in_time = !is_past_failover(place, given.now + delay);
    let works = !given.blocked.contains(&place.channel);
    (in_time && works) || next_open(place, given).is_none()
}

/// The worker is gone, not the provider: the first time without a pause. Then those that were on their way
/// together are tried apart, so that the one that kills its workers is found and the others arrive. Where a
/// duplicate is costly it moves on at once, for it may have arrived.
fn after_loss(place: &Place, in_a_row: u32, given: &Given<'_>) -> State {
    if in_a_row >= LOSSES_MAX {
        // What kills a worker on one channel may well be said on another.
        return match next_open(place, given) {
            Some(channel) => enter(channel, Wait::Failover, &softened(place), given),
            None => State::Dead { at: given.now, cause: Cause::Poison, place: place.clone() },
        };
    }
    if given.costly.contains(&place.channel) {
        return next(&softened(place), given);
    }
    let place = Place { attempt: place.attempt + 1, ..softened(place) };
    match given.retry.delay_after(place.attempt, jitter(&place, given)) {
        Some(_) if in_a_row <= 1 => State::Ready { at: given.now, wait: Wait::Abandoned, place },
        Some(delay) => State::Ready { at: given.now + delay, wait: Wait::Abandoned, place },
        None => next(&place, given),
    }
}

fn overdue(state: &State, place: &Place, given: &Given<'_>) -> State {
    match state {
        _ if is_elsewhere(place, given) => next(&softened(place), given),
        // Nowhere better to go: keep waiting, and look again after as long.
        State::Ready { at, wait, .. } => {
            let failover_at = failover_at(given.now, given);
            State::Ready { at: *at, wait: *wait, place: Place { failover_at, ..place.clone() } }
        }
        State::Leased { .. }
        | State::Accepted { .. }
        | State::Dead { .. }
        | State::Expired { .. }
        | State::Cancelled { .. } => state.clone(),
    }
}

fn blocked(place: &Place, until: Timestamp, given: &Given<'_>) -> State {
    if is_elsewhere(place, given) {
        next(&softened(place), given)
    } else {
        State::Ready { at: until, wait: Wait::Circuit, place: place.clone() }
    }
}

fn channel_gone(place: &Place, given: &Given<'_>) -> State {
    match first_open(given.chain, given) {
        Some(channel) => enter(channel, Wait::Failover, &softened(place), given),
        None => State::Dead { at: given.now, cause: Cause::NoChannel, place: place.clone() },
    }
}

fn replayed(place: &Place, given: &Given<'_>) -> State {
    match start(given.now, Wait::Replayed, given) {
        Some(State::Ready { at, wait, place: fresh }) => {
            State::Ready { at, wait, place: Place { tries: place.tries, ..fresh } }
        }
        Some(_) | None => {
            State::Dead { at: given.now, cause: Cause::NoChannel, place: place.clone() }
        }
    }
}

/// The next channel's turn; after the last one a new round, or the end.
fn next(place: &Place, given: &Given<'_>) -> State {
    // Channels passed over because their circuit is open have only failed for now.
    let soft = place.soft || later(place, given).any(|channel| given.blocked.contains(channel));
    if let Some(channel) = next_open(place, given) {
        return enter(channel, Wait::Failover, &Place { soft, ..place.clone() }, given);
    }
    match first_open(given.chain, given) {
        Some(channel) if soft => {
            let round = place.round + 1;
            let at = given.now + given.retry.pause_before(round, jitter(place, given));
            let place = Place {
                channel: channel.clone(),
                attempt: 0,
                failover_at: failover_at(at, given),
                round,
                plain: false,
                // A channel passed over at the top of the chain has only failed for now.
                soft: given.chain.first() != Some(channel),
                tries: place.tries,
            };
            State::Ready { at, wait: Wait::Round, place }
        }
        Some(_) => State::Dead { at: given.now, cause: Cause::Rejected, place: place.clone() },
        None => State::Dead { at: given.now, cause: Cause::NoChannel, place: place.clone() },
    }
}

fn enter(channel: &ChannelName, wait: Wait, place: &Place, given: &Given<'_>) -> State {
    let failover_at = failover_at(given.now, given);
    let place =
        Place { channel: channel.clone(), attempt: 0, failover_at, plain: false, ..place.clone() };
    State::Ready { at: given.now, wait, place }
}

/// When a delivery that enters a channel at `at` should rather move on; never, if there is no other.
fn failover_at(at: Timestamp, given: &Given<'_>) -> Option<Timestamp> {
    (given.chain.len() > 1).then(|| at + given.failover_after)
}

fn is_past_failover(place: &Place, at: Timestamp) -> bool {
    place.failover_at.is_some_and(|due| at > due)
}

/// Whether waiting until `until` is worse than going elsewhere. On the last channel elsewhere means the
/// chain from its top, so it has to be a long wait from now.
fn is_too_late(place: &Place, until: Timestamp, given: &Given<'_>) -> bool {
    let due = match next_open(place, given) {
        Some(_) => place.failover_at,
        None => failover_at(given.now, given),
    };
    due.is_some_and(|due| until > due) && is_elsewhere(place, given)
}

/// Whether another channel of the chain is open.
fn is_elsewhere(place: &Place, given: &Given<'_>) -> bool {
    given.chain.iter().any(|channel| *channel != place.channel && !given.blocked.contains(channel))
}

/// The channels after the present one. All of them, if the present one left the chain.
fn later<'a>(place: &Place, given: &Given<'a>) -> std::slice::Iter<'a, ChannelName> {
    let here = given.chain.iter().position(|channel| *channel == place.channel);
    given.chain.get(here.map_or(0, |at| at + 1)..).unwrap_or_default().iter()
}

fn next_open<'a>(place: &Place, given: &Given<'a>) -> Option<&'a ChannelName> {
    later(place, given).find(|channel| !given.blocked.contains(*channel))
}

fn first_open<'a>(chain: &'a [ChannelName], given: &Given<'_>) -> Option<&'a ChannelName> {
    chain.iter().find(|channel| !given.blocked.contains(*channel)).or_else(|| chain.first())
}

fn softened(place: &Place) -> Place {
    Place { soft: true, ..place.clone() }
}

fn jitter(place: &Place, given: &Given<'_>) -> Jitter {
    Jitter::of(given.seed, place.tries)
}

/// What an operator has to hear about a change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The whole chain failed for the first time; it goes on trying.
    ChainFailed,
    /// It ended without being delivered.
    Dead(Cause),
    /// It ended because its time to live ran out.
    Expired,
}

/// Whether an operator has to hear of the way from `before` to `after`.
pub fn notice(before: &State, after: &State) -> Option<Notice> {
    match after {
        State::Dead { cause, .. } => Some(Notice::Dead(*cause)),
        State::Expired { .. } => Some(Notice::Expired),
        State::Ready { place, .. } => {
            (before.place().round == 0 && place.round == 1).then_some(Notice::ChainFailed)
        }
        State::Leased { .. } | State::Accepted { .. } | State::Cancelled { .. } => None,
    }
}

impl State {
    /// The state's word, without its contents.
    pub fn standing(&self) -> Standing {
        match self {
            Self::Ready { .. } => Standing::Ready,
            Self::Leased { .. } => Standing::Leased,
            Self::Accepted { .. } => Standing::Accepted,
            Self::Dead { .. } => Standing::Dead,
            Self::Expired { .. } => Standing::Expired,
            Self::Cancelled { .. } => Standing::Cancelled,
        }
    }

    /// The word used in commands, documents and the database.
    pub fn name(&self) -> &'static str {
        self.standing().name()
    }

    /// Where in the chain it is, or was.
    pub fn place(&self) -> &Place {
        match self {
            Self::Ready { place, .. }
            | Self::Leased { place, .. }
            | Self::Accepted { place, .. }
            | Self::Dead { place, .. }
            | Self::Expired { place, .. }
            | Self::Cancelled { place, .. } => place,
        }
    }

    /// Whether nothing more happens to it by itself.
    pub fn is_final(&self) -> bool {
        match self {
            Self::Ready { .. } | Self::Leased { .. } => false,
            Self::Accepted { .. }
            | Self::Dead { .. }
            | Self::Expired { .. }
            | Self::Cancelled { .. } => true,
        }
    }
}

impl Event {
    /// The word used in messages and documents.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Leased(_) => "leased",
            Self::Attempted(_) => "attempted",
            Self::LeaseLost(_) => "taken over",
            Self::HandedBack => "handed back",
            Self::Overdue => "overdue",
            Self::Blocked(_) => "blocked",
            Self::ChannelGone => "moved off a removed channel",
            Self::Expired => "expired",
            Self::Quarantined => "quarantined",
            Self::Cancelled => "cancelled",
            Self::Replayed => "replayed",
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
