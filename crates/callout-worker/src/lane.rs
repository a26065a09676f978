//! One channel's share of the worker: how many attempts it may have under way.
//!
//! Limits and circuits live in the store, where they outlast the worker; permits are all that is left.
//!
//! While all is accepted, a few deliveries are leased ahead of their permits, so that the next attempt need not
//! wait for the disk: as many as are likely to begin within a few milliseconds. If anything else comes of an
//! attempt, what waits is handed back, for whether the channel may still be used is the store's to say.

use crate::Clock;
use callout_channels::Channel;
use callout_core::id::ChannelName;
use callout_core::rate::Rate;
use callout_store::model::LaneAsk;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is leased ahead is meant to begin so soon.
const AHEAD: Duration = Duration::from_millis(5);

/// What was leased ahead waits no longer for its permit.
const PATIENCE: Duration = Duration::from_millis(100);

/// One configured channel.
#[derive(Clone, Debug)]
pub struct LaneSetup {
    /// Its name in the configuration.
    pub name: ChannelName,
    /// How it speaks.
    pub channel: Arc<Channel>,
    /// How often it may be used.
    pub rate: Rate,
    /// How many attempts may be under way at once, at least 1.
    pub permits: usize,
}

/// A channel with the attempts that are under way, or wait for their permits.
#[derive(Debug)]
pub(crate) struct Lane {
    pub(crate) setup: LaneSetup,
    /// Whether nothing is leased ahead: a crash makes doubtful what was leased, a lease uses up the limits, and
    /// where either matters nobody is in a hurry.
    is_slow: bool,
    pub(crate) busy: usize,
    gate: Arc<Gate>,
    /// How many were accepted since the latest ask, and when that was, by the clock that nobody sets.
    accepted: usize,
    asked: Duration,
}

impl Lane {
    pub(crate) fn new(setup: LaneSetup, is_costly: bool) -> Self {
        let gate =
            Gate { permits: Arc::new(Semaphore::new(setup.permits)), closings: AtomicU64::new(0) };
        let is_slow = is_costly || setup.rate != Rate::default();
        let asked = Duration::ZERO;
        Self { setup, is_slow, busy: 0, gate: Arc::new(gate), accepted: 0, asked }
    }

    /// Where attempts wait for their permits.
    pub(crate) fn gate(&self) -> Arc<Gate> {
        self.gate.clone()
    }

    /// How many more this lane can hold: free permits, and what may wait for one.
    pub(crate) fn room(&self, now: Duration) -> usize {
        (self.setup.permits + self.ahead(now)).saturating_sub(self.busy)
    }

    /// As many as would begin within [`AHEAD`] if permits came free as fast as since the latest ask.
    fn ahead(&self, now: Duration) -> usize {
        let since = now.saturating_sub(self.asked).as_micros();
        if since == 0 || self.is_slow {
            return 0;
        }
        let pace = u128::try_from(self.accepted).unwrap_or(0) * AHEAD.as_micros() / since;
        usize::try_from(pace).unwrap_or(usize::MAX).min(self.setup.permits)
    }

    /// Asks for what this lane could take now.
    pub(crate) fn ask(&mut self, now: Duration) -> LaneAsk {
        let limit = self.room(now);
        (self.accepted, self.asked) = (0, now);
        LaneAsk { channel: self.setup.name.clone(), rate: self.setup.rate.clone(), limit }
    }

    /// Notes that an attempt ended, or was not begun.
    pub(crate) fn ended(&mut self, is_accepted: bool) {
        self.busy = self.busy.saturating_sub(1);
        self.accepted = if is_accepted { self.accepted + 1 } else { 0 };
    }
}

/// Lets as many attempts under way as there are permits.
#[derive(Debug)]
pub(crate) struct Gate {
    permits: Arc<Semaphore>,
    /// How often what waited was sent back.
    closings: AtomicU64,
}

impl Gate {
    /// Waits for a permit. `None`: there is none soon, or the channel may not be what it was.
    pub(crate) async fn enter(&self, clock: &dyn Clock) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Some(permit);
        }
        let closings = self.closings.load(Ordering::Acquire);
        let permit = tokio::select! {
            biased;
            permit = self.permits.clone().acquire_owned() => permit.ok(),
            () = clock.wait_until(clock.now() + PATIENCE) => None,
        };
        permit.filter(|_| self.closings.load(Ordering::Acquire) == closings)
    }

    /// Sends back what waits now.
    pub(crate) fn close(&self) {
        self.closings.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;
