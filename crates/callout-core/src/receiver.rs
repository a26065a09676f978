//! Who hears of it.

use crate::id::{ChannelName, ReceiverName};
use crate::level::Level;
use std::time::Duration;

/// A named, ordered list of channels; the first that accepts wins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receiver {
    /// Its name in the configuration.
    pub name: ReceiverName,
    /// The chain, most wanted first. Never empty.
    pub channels: Vec<ChannelName>,
    /// How long one channel may keep failing before the next one's turn; by level if unset.
    pub failover_after: Option<Duration>,
    /// Whether critical and error messages mention everyone.
    pub mention_all: bool,
    /// People whom every message to this receiver mentions, by name.
    pub mention: Vec<String>,
}

/// How long a critical message stays with a failing channel.
pub const FAILOVER_AFTER_CRITICAL: Duration = Duration::from_secs(20);
/// How long any other message stays with a failing channel.
pub const FAILOVER_AFTER: Duration = Duration::from_secs(120);

impl Receiver {
    /// How long a message of this level stays with one failing channel.
    pub fn failover_after(&self, level: Level) -> Duration {
        self.failover_after.unwrap_or(match level {
            Level::Critical => FAILOVER_AFTER_CRITICAL,
            Level::Info | Level::Warning | Level::Error => FAILOVER_AFTER,
        })
    }
}
