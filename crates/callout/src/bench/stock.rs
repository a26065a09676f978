//! Outboxes of a certain age and size.

use super::ground::{NAME, Plot, message};
use crate::command::Failure;
use anyhow::Context as _;
use callout_core::level::Level;
use callout_core::time::Timestamp;
use callout_store::clock::{Clock as _, SystemClock};
use callout_store::{Filler, Past};
use std::path::Path;
use std::time::Duration;

/// Messages in one transaction.
const BATCH: usize = 5_000;
/// The age of the oldest message.
const AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// When messages that wait for later may go.
const LATER: Duration = Duration::from_secs(24 * 3600);
/// What a message takes on the disk, with all that belongs to it; rather too much.
const MESSAGE_BYTES: u64 = 2_000;

/// How many messages of which kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stock {
    /// Delivered.
    pub(super) history: usize,
    /// Due.
    pub(super) waiting: usize,
    /// Due tomorrow, and more urgent than those that are due.
    pub(super) future: usize,
}

impl Stock {
    fn all(self) -> usize {
        self.history + self.waiting + self.future
    }

    /// Makes an outbox of it.
    pub(super) async fn fill(self, plot: &Plot, path: &Path) -> Result<(), Failure> {
        check_room(plot, self)?;
        let receiver = NAME.parse().context("the receiver has no name")?;
        let channel = NAME.parse().context("the channel has no name")?;
        let now = SystemClock.now();
        let mut filler = Filler::create(path, receiver, channel, now)?;
        let long_ago = Timestamp::EPOCH + now.since(Timestamp::EPOCH + AGE);
        let mut done = 0;
        let mut urgent = message();
        urgent.level = Level::Critical;
        // What waits longer than its message asked for would be taken for a clock that was set back.
        urgent.delay = Some(AGE + LATER);
        let kinds = [
            (self.history, message(), None),
            (self.future, urgent, Some(now + LATER)),
            (self.waiting, message(), Some(now)),
        ];
        for (n, message, due) in kinds {
            let mut left = n;
            while left > 0 {
                let batch = left.min(BATCH);
                let age = AGE.mul_f64(done as f64 / self.all() as f64);
                let past = due.map_or(Past::Accepted, Past::Waiting);
                filler.add(batch, &message, long_ago + age, past)?;
                (left, done) = (left - batch, done + batch);
                // Lets a signal through.
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

/// Refuses to fill more than half of what is free.
fn check_room(plot: &Plot, stock: Stock) -> Result<(), Failure> {
    let needed = u64::try_from(stock.all()).unwrap_or(u64::MAX).saturating_mul(MESSAGE_BYTES);
    match free_bytes(&plot.file("")) {
        Some(free) if free / 2 < needed => Err(Failure::new(
            format_args!(
                "{} MB are free, and {} messages take {} MB, of which twice as much has to be free",
                free / 1_000_000,
                stock.all(),
                needed / 1_000_000
            ),
            "free some space, or name another disk with --folder",
        )),
        Some(_) | None => Ok(()),
    }
}

#[cfg(unix)]
fn free_bytes(folder: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(folder).ok()?;
    about.f_bavail.checked_mul(about.f_frsize)
}

/// Other systems find out when the disk is full.
#[cfg(not(unix))]
fn free_bytes(_folder: &Path) -> Option<u64> {
    None
}
