//! A channel that does not speak HTTP: mail, a program, a file.
//!
//! It does its own input and output, so it also knows what was heard when something goes wrong. It
//! keeps its own time limits, well within [`crate::ATTEMPT_TIMEOUT`], and never tries twice.

use crate::channel::{Outgoing, Refused};
use crate::spec::Problem;
use callout_core::outcome::Outcome;
use callout_core::time::Timestamp;
use std::fmt;

/// A channel that does its own input and output.
#[async_trait::async_trait]
pub trait DirectChannel: Send + Sync + fmt::Debug {
    /// Says `out` once.
    async fn deliver(&self, out: &Outgoing<'_>, at: Timestamp) -> Outcome;

    /// What would be sent, as people read it. It may show credentials, which the caller masks, but none of
    /// them encoded or broken into lines, for there nobody would find them.
    ///
    /// # Errors
    /// [`Refused`] if this channel has no way to say it.
    fn preview(&self, out: &Outgoing<'_>, at: Timestamp) -> Result<String, Refused>;

    /// What it needs of this machine and does not find there now. That may be mended without touching the
    /// settings, so it keeps nothing from starting.
    fn lacks(&self) -> Option<Problem> {
        None
    }
}
