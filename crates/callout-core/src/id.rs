//! Names of things.

use crate::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use uuid::Uuid;

/// Identifies one message outside the store. Sorts by creation time (UUID version 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MessageId(Uuid);

impl MessageId {
    /// Builds an id from values the caller chose, so a test sees the same id on every run.
    pub fn new(at: Timestamp, entropy: [u8; 10]) -> Self {
        let ms = u64::try_from(at.unix_ms()).unwrap_or(0);
        Self(uuid::Builder::from_unix_timestamp_millis(ms, &entropy).into_uuid())
    }
}

impl MessageId {
    /// The sixteen bytes of the id.
    pub fn to_bytes(self) -> [u8; 16] {
        *self.0.as_bytes()
    }

    /// The id with these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

/// A text that is no message id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a message id")]
pub struct BadId {
    text: String,
}

impl FromStr for MessageId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| BadId { text: quoted(text) })
    }
}

/// Identifies one run of one worker process; a new one at every start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkerId(Uuid);

impl WorkerId {
    /// Builds an id from values the caller chose.
    pub fn new(at: Timestamp, entropy: [u8; 10]) -> Self {
        Self(MessageId::new(at, entropy).0)
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_simple().fmt(f)
    }
}

impl FromStr for WorkerId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| BadId { text: quoted(text) })
    }
}

/// Identifies one delivery inside its store (a row number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct DeliveryId(pub i64);

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many characters of a wrong text are said again.
const QUOTED_CHARS_MAX: usize = 100;

/// The beginning of a text that is not what it should be: enough to know it by.
pub(crate) fn quoted(text: &str) -> String {
    match text.char_indices().nth(QUOTED_CHARS_MAX) {
        Some(_) => text.chars().take(QUOTED_CHARS_MAX).chain(['…']).collect(),
        None => text.to_owned(),
    }
}

/// The most characters a configured name may have.
pub const NAME_CHARS_MAX: usize = 64;

/// A text that may not name a channel or receiver.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a name has 1 to {NAME_CHARS_MAX} letters, digits, '-', '_' or '.', in any script; {text:?} does not"
)]
pub struct BadName {
    text: String,
}

fn checked_name(text: &str) -> Result<std::sync::Arc<str>, BadName> {
    let fits = (1..=NAME_CHARS_MAX).contains(&text.chars().count());
    let legal = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.'));
    if fits && legal { Ok(text.into()) } else { Err(BadName { text: quoted(text) }) }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(
            Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(std::sync::Arc<str>);

        impl TryFrom<String> for $name {
            type Error = BadName;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl $name {
            /// The name itself.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                checked_name(text).map(Self)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name! {
    /// Names one configured way out. Cheap to clone.
    ChannelName
}
name! {
    /// Names one configured receiver. Cheap to clone.
    ReceiverName
}
