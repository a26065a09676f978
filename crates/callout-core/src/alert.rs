//! The life of an alert: a message that somebody must acknowledge.
//!
//! This is the only place where an alert changes state. Who is told next, and when, is
//! [`crate::escalation`]'s to say; an acknowledgment stops that. `docs/state-machine.md` is generated
//! from [`step`] by a test.

use crate::id::MessageId;
use crate::message::{Invalid, LABEL_VALUE_BYTES_MAX, Message, NAME_BYTES_MAX};
use crate::time::Timestamp;
use crate::words::words;
use std::sync::Arc;

/// Where an alert stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Nobody has it yet.
    Open,
    /// Somebody has it: nobody else is told.
    Acknowledged(Deed),
    /// The problem is over.
    Resolved(Deed),
}

/// Who did something, when and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// A person's name, or that of a program.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// On which way.
    pub via: Via,
}

/// On which way somebody acted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// The page behind the link in a message.
    Page,
    /// A command on the machine of the store.
    Command,
    /// The HTTP API.
    Api,
    /// A message of the producer under the same dedup key.
    Message,
    /// A button or key in the channel itself.
    Channel,
}

/// The state's word without its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// [`State::Open`].
    Open,
    /// [`State::Acknowledged`].
    Acknowledged,
    /// [`State::Resolved`].
    Resolved,
}

words!(Standing { Open = "open", Acknowledged = "acknowledged", Resolved = "resolved" });

impl Standing {
    /// How an alert stands by the event of this name ([`Event::name`]); `None` if there is no such event.
    pub fn after(event: &str) -> Option<Self> {
        match event {
            "acknowledged" => Some(Self::Acknowledged),
            "resolved" | "cancelled" => Some(Self::Resolved),
            "unacknowledged" | "reopened" => Some(Self::Open),
            _ => None,
        }
    }
}

/// The alert that a message brings news of, as one channel told of it before.
#[derive(Clone, Debug, PartialEq)]
pub struct Regarding {
    /// The alert's message.
    pub id: MessageId,
    /// What it said.
    pub message: Arc<Message>,
    /// When it was enqueued.
    pub created_at: Timestamp,
    /// How the alert stands by this news.
    pub standing: Standing,
    /// How it stands now: otherwise, if newer news were faster.
    pub now: Standing,
    /// What the channel accepted it with, each time it told of it, whoever the receiver was: those who
    /// share a channel read the same. Oldest first, and only the latest [`RECEIPTS_MAX`].
    pub receipts: Vec<String>,
}

impl Regarding {
    /// Whether the alert still stands as this news says.
    pub fn is_current(&self) -> bool {
        self.standing == self.now
    }
}

/// The most receipts that news come with.
pub const RECEIPTS_MAX: usize = 8;

words!(Via {
    Page = "page",
    Command = "command",
    Api = "api",
    Message = "message",
    Channel = "channel",
});

/// What can happen to an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Somebody says "I have it".
    Acknowledged(Deed),
    /// Whoever had it gives it back.
    Unacknowledged,
    /// Somebody, or the producer, says that it is over.
    Resolved(Deed),
    /// Its message was called off, so nobody has to acknowledge it any more.
    Cancelled(Deed),
    /// It was not over after all.
    Reopened,
}

/// An event that cannot happen in a state; somebody else was faster.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an alert that is {state} cannot be {event}")]
pub struct Illegal {
    /// The state's name.
    pub state: &'static str,
    /// The event's name.
    pub event: &'static str,
}

/// Returns the state that follows `event`.
///
/// # Errors
/// [`Illegal`] if the event cannot happen in this state.
pub fn step(state: &State, event: Event) -> Result<State, Illegal> {
    match (state, event) {
        (State::Open, Event::Acknowledged(deed)) => Ok(State::Acknowledged(deed)),
        (State::Open | State::Acknowledged(_), Event::Resolved(deed) | Event::Cancelled(deed)) => {
            Ok(State::Resolved(deed))
        }
        (State::Acknowledged(_), Event::Unacknowledged) | (State::Resolved(_), Event::Reopened) => {
            Ok(State::Open)
        }

        // Every state by name, no wildcard: a new state must answer here before it compiles.
        (State::Open | State::Acknowledged(_) | State::Resolved(_), event) => {
            Err(Illegal { state: state.name(), event: event.name() })
        }
    }
}

impl State {
    /// The state's word, without its contents.
    pub fn standing(&self) -> Standing {
        match self {
            Self::Open => Standing::Open,
            Self::Acknowledged(_) => Standing::Acknowledged,
            Self::Resolved(_) => Standing::Resolved,
        }
    }

    /// The word used in commands, documents and the database.
    pub fn name(&self) -> &'static str {
        self.standing().name()
    }

    /// Who brought it here, unless it is open.
    pub fn deed(&self) -> Option<&Deed> {
        match self {
            Self::Open => None,
            Self::Acknowledged(deed) | Self::Resolved(deed) => Some(deed),
        }
    }
}

impl Event {
    /// The word used in messages, documents and the journal.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Acknowledged(_) => "acknowledged",
            Self::Unacknowledged => "unacknowledged",
            Self::Resolved(_) => "resolved",
            Self::Cancelled(_) => "cancelled",
            Self::Reopened => "reopened",
        }
    }
}

/// Takes what somebody typed as their name: trimmed, one plain line.
///
/// # Errors
/// If it is empty, too long or has control characters.
pub fn author(text: &str) -> Result<String, Invalid> {
    let invalid = |problem: String| Invalid { field: "by".to_owned(), problem };
    let text = text.trim();
    if text.is_empty() {
        return Err(invalid("is empty; say who acts".to_owned()));
    }
    if text.chars().any(char::is_control) {
        return Err(invalid(
            "contains a control character; it has to be one plain line".to_owned(),
        ));
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(invalid(format!("has {} bytes; at most {NAME_BYTES_MAX} fit", text.len())));
    }
    Ok(text.to_owned())
}

/// Takes what somebody noted when they acted: trimmed; `None` if nothing is left.
///
/// # Errors
/// If it is too long, or has control characters other than line feeds and tabs.
pub fn note(text: &str) -> Result<Option<String>, Invalid> {
    let invalid = |problem: String| Invalid { field: "note".to_owned(), problem };
    let text = text.trim();
    if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(invalid("contains a control character; write plain text".to_owned()));
    }
    if text.len() > LABEL_VALUE_BYTES_MAX {
        let problem = format!("has {} bytes; at most {LABEL_VALUE_BYTES_MAX} fit", text.len());
        return Err(invalid(problem));
    }
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

#[cfg(test)]
pub(crate) mod tests;
