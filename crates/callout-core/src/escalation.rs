//! The next people, because nobody acknowledged in time.
//!
//! The policy is copied into the alert when it opens, so that neither an edit nor a restart changes
//! what is under way. Every time somebody is told is one numbered decision; the store writes it down
//! once, under compare-and-set on the number before it. `docs/state-machine.md` is generated from
//! [`step`] by a test.

use crate::delivery::Standing;
use crate::id::ReceiverName;
use crate::locale::Locale;
use crate::time::{Timestamp, format_duration};
use crate::words::words;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How long a step waits if nobody says.
pub const ACK_WITHIN: Duration = Duration::from_secs(5 * 60);
/// How often a policy starts over if nobody says.
pub const REPEAT: u32 = 2;
/// The most often a policy may start over.
pub const REPEAT_MAX: u32 = 10;
/// The most steps of a policy.
pub const STEPS_MAX: usize = 10;
/// A deadline that passed longer ago means that no worker ran. The same time then lies between steps,
/// and before people who could not be reached are tried again.
pub const BREATH: Duration = Duration::from_secs(60);

/// Whom to tell, in which order, and how long to wait for each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Its name in the configuration; `None` for a message that asked for acknowledgment by itself.
    pub name: Option<String>,
    /// Never empty.
    pub steps: Vec<Step>,
    /// How often the steps start over after the last one.
    pub repeat: u32,
}

/// One step of a policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Who is told, all at once. Never empty.
    pub to: Vec<ReceiverName>,
    /// How long they have before the next step.
    #[serde(with = "milliseconds")]
    pub ack_within: Duration,
}

/// Where an escalation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Somebody was told and has time until `due_at`.
    Waiting {
        /// The step.
        place: Place,
        /// When the next step follows.
        due_at: Timestamp,
    },
    /// Nobody else is told, for the alert is acknowledged or resolved.
    Stopped {
        /// The last step.
        place: Place,
    },
    /// Everybody was told as often as the policy says and nobody acknowledged.
    Exhausted {
        /// The end; its step is the last one.
        place: Place,
    },
}

/// One decision: which step, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Counts decisions about this alert from 1.
    pub decision: u32,
    /// Index into the policy's steps.
    pub step: usize,
    /// How often the policy has started over.
    pub round: u32,
    /// When it was decided. Moved to the present if the clock was set back behind it, or if no worker ran
    /// and those of the step are told only now.
    pub since: Timestamp,
    /// Why.
    pub cause: Cause,
    /// How much too late it was, or its deadline was looked at, because no worker ran; zero if in time.
    pub late: Duration,
}

/// Why a step was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The alert opened.
    Opened,
    /// Nobody acknowledged in time.
    Due,
    /// Nobody of the step before could be reached.
    Unreachable,
    /// Somebody asked for the next step.
    Pushed,
    /// Whoever had it gave it back, or it was not over after all.
    Restarted,
}

words!(Cause {
    Opened = "opened",
    Due = "due",
    Unreachable = "unreachable",
    Pushed = "pushed",
    Restarted = "restarted",
});

/// How the deliveries of the present step stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// At least one was accepted.
    Told,
    /// None was accepted yet, some are on their way.
    Underway,
    /// None was accepted and none is on its way.
    Nobody,
}

impl Reach {
    /// How far a step has come whose deliveries stand like this; without any, it reaches nobody.
    pub fn of(deliveries: impl IntoIterator<Item = Standing>) -> Self {
        let reaches = deliveries.into_iter().map(|standing| match standing {
            Standing::Accepted => Self::Told,
            Standing::Ready | Standing::Leased => Self::Underway,
            Standing::Dead | Standing::Expired | Standing::Cancelled => Self::Nobody,
        });
        reaches.fold(Self::Nobody, |a, b| match (a, b) {
            (Self::Told, _) | (_, Self::Told) => Self::Told,
            (Self::Underway, _) | (_, Self::Underway) => Self::Underway,
            (Self::Nobody, Self::Nobody) => Self::Nobody,
        })
    }
}

/// What can happen to an escalation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It is time to look, because a deadline passed or deliveries ended.
    Looked(Reach),
    /// Somebody asks for the next step now.
    Pushed,
    /// The alert is acknowledged or resolved.
    Stopped,
    /// The alert is open again.
    Restarted,
}

/// An event that cannot happen in a state.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an escalation that is {state} cannot be {event}")]
pub struct Illegal {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

impl Policy {
    /// What a message asks for that wants to be acknowledged and has no policy: the same people again.
    pub fn of_receivers(to: Vec<ReceiverName>) -> Self {
        Self { name: None, steps: vec![Step { to, ack_within: ACK_WITHIN }], repeat: REPEAT }
    }

    /// The same with another length of the first wait.
    #[must_use]
    pub fn with_first_wait(mut self, wait: Option<Duration>) -> Self {
        if let (Some(first), Some(wait)) = (self.steps.first_mut(), wait) {
            first.ack_within = wait;
        }
        self
    }

    /// The receivers of a step.
    pub fn receivers(&self, step: usize) -> &[ReceiverName] {
        self.steps.get(step).map_or(&[], |step| &step.to)
    }

    fn wait(&self, step: usize) -> Duration {
        self.steps.get(step).map_or(ACK_WITHIN, |step| step.ack_within)
    }

    /// The step after this one and its round; `None` after the last.
    fn after(&self, place: &Place) -> Option<(usize, u32)> {
        if place.step + 1 < self.steps.len() {
            Some((place.step + 1, place.round))
        } else {
            (place.round < self.repeat).then(|| (0, place.round.saturating_add(1)))
        }
    }
}

/// The first state: those of the first step are told at `told_at`, which may lie ahead.
pub fn start(policy: &Policy, told_at: Timestamp, now: Timestamp) -> Timer {
    let place = Place {
        decision: 1,
        step: 0,
        round: 0,
        since: now,
        cause: Cause::Opened,
        late: Duration::ZERO,
    };
    Timer::Waiting { place, due_at: told_at.max(now) + policy.wait(0) }
}

/// Returns the state that follows `event`. Somebody is to be told if its decision has a new number.
///
/// # Errors
/// [`Illegal`] if the event cannot happen in this state.
pub fn step(
    timer: &Timer,
    event: Event,
    policy: &Policy,
    now: Timestamp,
) -> Result<Timer, Illegal> {
    match (timer, event) {
        (Timer::Waiting { place, due_at }, Event::Looked(reach)) => {
            Ok(looked(place, *due_at, reach, policy, now))
        }
        // A person may always push on, beyond the last repetition too.
        (Timer::Waiting { place, .. } | Timer::Exhausted { place }, Event::Pushed) => {
            let (step, round) = policy.after(place).unwrap_or((0, place.round.saturating_add(1)));
            Ok(tell(place, step, round, Cause::Pushed, Duration::ZERO, policy, now))
        }
        (
            Timer::Waiting { place, .. } | Timer::Stopped { place } | Timer::Exhausted { place },
            Event::Stopped,
        ) => Ok(Timer::Stopped { place: place.clone() }),
        (Timer::Stopped { place }, Event::Restarted) => {
            Ok(tell(place, 0, 0, Cause::Restarted, Duration::ZERO, policy, now))
        }

        // Every state by name, no wildcard: a new state must answer here before it compiles.
        (Timer::Waiting { .. } | Timer::Stopped { .. } | Timer::Exhausted { .. }, event) => {
            Err(Illegal { state: timer.name(), event: event.name() })
        }
    }
}

fn looked(
    place: &Place,
    due_at: Timestamp,
    reach: Reach,
    policy: &Policy,
    now: Timestamp,
) -> Timer {
    // The clock was set back: the wait begins again now.
    let due_at = if now < place.since { now + due_at.since(place.since) } else { due_at };
    let place = &Place { since: place.since.min(now), ..place.clone() };
    let next = policy.after(place);
    let late = if now.since(due_at) > BREATH { now.since(due_at) } else { Duration::ZERO };
    match (reach, next) {
        // The next people at once. The same people again, who have just been out of reach, not at once.
        (Reach::Nobody, Some((step, round))) if round == place.round => {
            tell(place, step, round, Cause::Unreachable, late, policy, now)
        }
        (Reach::Nobody, None) => exhaust(place, Cause::Unreachable, late, now),
        (Reach::Nobody, Some((step, round))) => {
            let again_at = due_at.min(place.since + BREATH);
            if now < again_at {
                return Timer::Waiting { place: place.clone(), due_at: again_at };
            }
            tell(place, step, round, Cause::Unreachable, late, policy, now)
        }
        _ if now < due_at => Timer::Waiting { place: place.clone(), due_at },
        // No worker ran, so those of this step are told only now. They get a moment, once.
        (Reach::Underway, _) if late > Duration::ZERO && place.late == Duration::ZERO => {
            Timer::Waiting {
                place: Place { since: now, late, ..place.clone() },
                due_at: now + BREATH,
            }
        }
        (Reach::Told | Reach::Underway, Some((step, round))) => {
            tell(place, step, round, Cause::Due, late, policy, now)
        }
        (Reach::Told | Reach::Underway, None) => exhaust(place, Cause::Due, late, now),
    }
}

fn tell(
    place: &Place,
    step: usize,
    round: u32,
    cause: Cause,
    late: Duration,
    policy: &Policy,
    now: Timestamp,
) -> Timer {
    let wait = policy.wait(step);
    let wait = if late > Duration::ZERO { wait.max(BREATH) } else { wait };
    let place =
        Place { decision: place.decision.saturating_add(1), step, round, since: now, cause, late };
    Timer::Waiting { place, due_at: now + wait }
}

fn exhaust(place: &Place, cause: Cause, late: Duration, now: Timestamp) -> Timer {
    let decision = place.decision.saturating_add(1);
    Timer::Exhausted { place: Place { decision, since: now, cause, late, ..place.clone() } }
}

/// What follows if nobody acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upcoming {
    /// When.
    pub at: Timestamp,
    /// Who is told then; empty: nobody is left, the escalation ends.
    pub to: Vec<ReceiverName>,
    /// Index into the policy's steps.
    pub step: usize,
    /// How often the policy will have started over.
    pub round: u32,
}

impl Timer {
    /// The state's word.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Waiting { .. } => "waiting",
            Self::Stopped { .. } => "stopped",
            Self::Exhausted { .. } => "exhausted",
        }
    }

    /// The latest decision.
    pub fn place(&self) -> &Place {
        match self {
            Self::Waiting { place, .. } | Self::Stopped { place } | Self::Exhausted { place } => {
                place
            }
        }
    }

    /// When the next step follows.
    pub fn due_at(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { due_at, .. } => Some(*due_at),
            Self::Stopped { .. } | Self::Exhausted { .. } => None,
        }
    }

    /// What follows if nobody acts and everybody can be reached.
    pub fn upcoming(&self, policy: &Policy) -> Option<Upcoming> {
        let at = self.due_at()?;
        let place = self.place();
        Some(match policy.after(place) {
            Some((step, round)) => {
                Upcoming { at, to: policy.receivers(step).to_vec(), step, round }
            }
            None => Upcoming { at, to: Vec::new(), step: place.step, round: place.round },
        })
    }
}

impl Event {
    /// The word used in messages and documents.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Looked(Reach::Told) => "looked at, told",
            Self::Looked(Reach::Underway) => "looked at, under way",
            Self::Looked(Reach::Nobody) => "looked at, nobody reached",
            Self::Pushed => "pushed",
            Self::Stopped => "stopped",
            Self::Restarted => "restarted",
        }
    }
}

/// Which telling of an alert a delivery belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telling {
    /// The decision.
    pub place: Place,
    /// How many steps the policy has.
    pub steps: usize,
    /// When the alert opened, or was opened again.
    pub opened_at: Timestamp,
    /// How often the alert was opened again after it was resolved.
    pub epoch: u32,
}

impl Telling {
    /// Why the reader hears of it now, in one sentence; nothing for those who hear of it first.
    pub fn note(&self, locale: Locale) -> Option<String> {
        if self.place.cause == Cause::Opened {
            return None;
        }
        Some(locale.pick(self.english(), self.chinese()))
    }

    fn english(&self) -> String {
        let why = match self.place.cause {
            Cause::Opened => "This is new".to_owned(),
            Cause::Due => format!("Nobody has acknowledged this for {}", in_seconds(self.age())),
            Cause::Unreachable => "Nobody else could be reached".to_owned(),
            Cause::Pushed => "Somebody asked for help with this".to_owned(),
            Cause::Restarted => "This is open again".to_owned(),
        };
        let late = match self.place.late {
            Duration::ZERO => String::new(),
            late => format!(", and Callout was down: this comes {} late", in_seconds(late)),
        };
        let again = match self.place.round {
            0 => String::new(),
            round => format!(", round {}", u64::from(round) + 1),
        };
        format!("{why} (step {} of {}{again}){late}.", self.place.step + 1, self.steps)
    }

    fn chinese(&self) -> String {
        let why = match self.place.cause {
            Cause::Opened => "这是一条新告警".to_owned(),
            Cause::Due => format!("这条告警已有 {}无人确认", in_chinese(self.age())),
            Cause::Unreachable => "前一组人员均无法送达".to_owned(),
            Cause::Pushed => "有人请求支援，手动升级了这条告警".to_owned(),
            Cause::Restarted => "这条告警已重新打开".to_owned(),
        };
        let late = match self.place.late {
            Duration::ZERO => String::new(),
            late => format!("；Callout 曾停止运行，本次通知晚了 {}", in_chinese(late)),
        };
        let again = match self.place.round {
            0 => String::new(),
            round => format!("，第 {} 轮", u64::from(round) + 1),
        };
        format!("{why}（第 {} 步，共 {} 步{again}）{late}。", self.place.step + 1, self.steps)
    }

    /// How long the alert had been open when this was decided.
    fn age(&self) -> Duration {
        self.place.since.since(self.opened_at)
    }
}

/// A length of time for people, who do not care for milliseconds.
fn in_seconds(length: Duration) -> String {
    format_duration(Duration::from_secs(length.as_secs()))
}

/// The same in Chinese, with at most two units.
fn in_chinese(length: Duration) -> String {
    let mut left = length.as_secs();
    let mut parts = Vec::new();
    for (name, size) in [("天", 86_400), ("小时", 3600), ("分钟", 60), ("秒", 1)] {
        if parts.len() < 2 && left >= size {
            parts.push(format!("{} {name}", left / size));
            left %= size;
        }
    }
    if parts.is_empty() { "0 秒".to_owned() } else { parts.join(" ") }
}

/// Lengths of time as whole milliseconds in JSON.
mod milliseconds {
    use serde::{Deserialize, Deserializer, Serializer};
    use std::time::Duration;

    pub(super) fn serialize<S: Serializer>(length: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(length.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

#[cfg(test)]
pub(crate) mod tests;
