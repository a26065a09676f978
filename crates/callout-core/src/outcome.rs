//! What one attempt told us.
//!
//! Being refused by a provider is not an error of our program; it is a value that `delivery::step`
//! decides on. `Unknown` is a case of its own because only there may a retry send a duplicate.

use crate::time::Timestamp;
use std::fmt;

/// What one attempt told us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The provider took responsibility, and its body proves it.
    Accepted(Reason),
    /// The provider asked us to wait. Nothing was delivered and the attempt does not count.
    Throttled {
        /// When the channel may be used again.
        until: Timestamp,
        /// What the provider said.
        reason: Reason,
    },
    /// Certainly not delivered; worth trying again.
    Transient(Reason),
    /// Certainly not delivered, and the same bytes cannot succeed here.
    Rejected {
        /// What is to blame.
        blame: Blame,
        /// What the provider said.
        reason: Reason,
    },
    /// The request left and no proof came back. It may have been delivered.
    Unknown(Reason),
}

/// What a rejection is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// This message: too long, ill-formed, refused content. A shorter or plainer one may pass.
    Message,
    /// The endpoint or its credential: nothing can be delivered here until somebody mends it.
    Endpoint,
}

/// The provider's words, or ours where it had none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reason {
    /// The provider's own code, or the HTTP status where there is none.
    pub code: Option<String>,
    /// The provider's text, cut to [`DETAIL_BYTES_MAX`].
    pub detail: String,
}

/// How much of a provider's text is kept.
pub const DETAIL_BYTES_MAX: usize = 512;

impl Reason {
    /// A code and a text.
    pub fn new(code: impl fmt::Display, detail: impl Into<String>) -> Self {
        Self { code: Some(code.to_string()), detail: cut(detail.into()) }
    }

    /// A text of ours; the provider gave no code.
    pub fn text(detail: impl Into<String>) -> Self {
        Self { code: None, detail: cut(detail.into()) }
    }
}

fn cut(mut text: String) -> String {
    if text.len() > DETAIL_BYTES_MAX {
        let end = (0..=DETAIL_BYTES_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.code, self.detail.as_str()) {
            (Some(code), "") => f.write_str(code),
            (Some(code), detail) => write!(f, "{code}: {detail}"),
            (None, detail) => f.write_str(detail),
        }
    }
}

impl Outcome {
    /// The name used in commands, documents and the database.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Accepted(_) => "accepted",
            Self::Throttled { .. } => "throttled",
            Self::Transient(_) => "transient",
            Self::Rejected { .. } => "rejected",
            Self::Unknown(_) => "unknown",
        }
    }

    /// The provider's words.
    pub fn reason(&self) -> &Reason {
        match self {
            Self::Accepted(reason)
            | Self::Throttled { reason, .. }
            | Self::Transient(reason)
            | Self::Rejected { reason, .. }
            | Self::Unknown(reason) => reason,
        }
    }

    /// The same outcome with other words; used to mask and to add notes.
    #[must_use]
    pub fn with_reason(self, new: Reason) -> Self {
        match self {
            Self::Accepted(_) => Self::Accepted(new),
            Self::Throttled { until, .. } => Self::Throttled { until, reason: new },
            Self::Transient(_) => Self::Transient(new),
            Self::Rejected { blame, .. } => Self::Rejected { blame, reason: new },
            Self::Unknown(_) => Self::Unknown(new),
        }
    }
}
