//! What providers send to us: somebody pressed the button in a chat, or a key on the telephone.
//!
//! The button carries the same ticket as the acknowledge link in the message, so it allows no more than
//! that; the provider's signature tells that it is the provider who calls. Reading a call is pure; the
//! program answers the alert, and refuses what it has heard before.

use callout_core::locale::Locale;
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use std::fmt;

/// A request that somebody made to `/v1/callbacks/<name>`.
pub struct Inbound<'a> {
    /// Upper case.
    pub method: &'a str,
    /// The address as the provider called it: our public address, the path and the query.
    pub url: &'a str,
    /// Finds a header by its name in lower case; `None` if it is missing or no visible ASCII.
    pub header: &'a dyn Fn(&str) -> Option<&'a str>,
    /// The body as it came; a signature covers these bytes.
    pub body: &'a [u8],
}

/// Without contents, for tickets are credentials.
impl fmt::Debug for Inbound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} *** ({} bytes)", self.method, self.body.len())
    }
}

/// What a call that is certainly the provider's says.
#[derive(Debug)]
pub enum Heard {
    /// Somebody acknowledges.
    Pressed(Press),
    /// Something else; all there is to do is to answer.
    Other(Reply),
}

/// Somebody acknowledges.
#[derive(Debug)]
pub struct Press {
    /// The end of the acknowledge link that the message carried.
    pub ticket: Secret,
    /// Who, as the provider names them; one clean line, such as `ada (Slack U123)`.
    pub by: String,
    /// What no second call has, such as the signature: a call heard before is refused.
    pub once: String,
}

/// What became of a press.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pressed {
    /// The alert is theirs.
    Taken,
    /// It is not open any more: this person was faster, or it is over.
    Answered {
        /// Who.
        by: String,
        /// Whether the problem is over, not only taken.
        resolved: bool,
    },
    /// The ticket is wrong, too old, or what it leads to is gone.
    Gone,
    /// The outbox cannot be written; worth another press.
    Failed,
}

/// What the provider is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The type of the body.
    pub content_type: &'static str,
    /// The body.
    pub body: String,
}

impl Reply {
    /// Status 200 without a body.
    pub fn empty() -> Self {
        Self { status: 200, content_type: "text/plain; charset=utf-8", body: String::new() }
    }
}

/// A channel whose provider calls back.
pub trait Callback {
    /// Reads a call; `None` if it is not certain that this channel's provider made it, now.
    fn hear(&self, inbound: &Inbound<'_>, at: Timestamp) -> Option<Heard>;

    /// What the provider is answered once the press has been dealt with.
    fn reply(&self, pressed: &Pressed, locale: Locale) -> Reply;
}
