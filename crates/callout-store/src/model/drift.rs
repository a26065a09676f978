//! The clock was set: what to move along, and what came of it.

use crate::clock::Reading;
use callout_core::plan::Directory;
use callout_core::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Asks for what waits to be moved along because the clock was set, and for what waits for a time that
/// cannot be.
#[derive(Clone, Debug)]
pub struct RebaseRequest {
    /// The present, by the clock as it is now.
    pub now: Timestamp,
    /// How old that is by the time it is used.
    pub reading: Reading,
    /// By how many milliseconds the clock is off from where the worker expected it.
    pub drift_ms: i64,
    /// What [`Rebased::base`] was when the worker last asked; `None`: it has just started.
    pub base: Option<i64>,
    /// How long a lease lasts.
    pub lease: Duration,
    /// What decides.
    pub directory: Arc<Directory>,
    /// Where the last answer stopped.
    pub after: Option<Waiting>,
    /// For the ids of reports to the operator.
    pub entropy: [u8; 10],
}

/// A place among the waiting deliveries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub(crate) channel: String,
    pub(crate) urgency: i64,
    pub(crate) ready_at: i64,
    pub(crate) id: i64,
}

/// What one call did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rebased {
    /// By how many milliseconds everything that waits has been moved since the database was made.
    pub base: i64,
    /// Whether to ask again, with `after`, before anything else.
    pub more: bool,
    /// Where this stopped.
    pub after: Option<Waiting>,
    /// By how many milliseconds this call began to move what waits; zero if nothing had to be moved.
    pub begun_ms: i64,
    /// Deliveries moved along.
    pub moved: usize,
    /// Deliveries and leases that waited for a time that cannot be, and do no longer.
    pub mended: usize,
}

/// How often the clock was set while workers ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSteps {
    /// How often.
    pub count: u64,
    /// By how many milliseconds the last time; negative: back.
    pub last_ms: i64,
    /// What the clock said after that.
    pub last_at: Timestamp,
}
