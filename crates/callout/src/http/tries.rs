//! Counts wrong guesses by address.
//!
//! Whoever guesses too often is told to wait. Right credentials are checked first and never asked
//! here, so nobody is shut out by somebody else's guesses.

use callout_core::time::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How long a wrong guess counts.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// The most addresses that are remembered.
const ADDRESSES_MAX: usize = 10_000;

/// Wrong guesses of the last minute.
#[derive(Debug)]
pub(crate) struct Tries {
    most: u32,
    wrong: Mutex<HashMap<IpAddr, Wrong>>,
}

#[derive(Debug)]
struct Wrong {
    count: u32,
    since: Timestamp,
}

impl Tries {
    /// One address may guess `most` times within [`WINDOW`].
    pub(super) fn new(most: u32) -> Self {
        Self { most, wrong: Mutex::default() }
    }

    /// Whether this address has to wait.
    pub(super) fn are_too_many(&self, peer: IpAddr, now: Timestamp) -> bool {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.get(&peer).is_some_and(|w| w.count >= self.most && now.since(w.since) < WINDOW)
    }

    /// Counts a wrong guess.
    pub(super) fn note(&self, peer: IpAddr, now: Timestamp) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain(|_, w| now.since(w.since) < WINDOW);
        if wrong.len() < ADDRESSES_MAX || wrong.contains_key(&peer) {
            wrong.entry(peer).or_insert(Wrong { count: 0, since: now }).count += 1;
        }
    }
}
