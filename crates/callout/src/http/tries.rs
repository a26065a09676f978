//! Counts wrong guesses by address.
//!
//! Whoever guesses too often is told to wait. Right credentials are checked first and never asked
//! here, so nobody is shut out by somebody else's guesses.

use super::peer;
use callout_core::time::Timestamp;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long a wrong guess counts.
pub(super) const WINDOW: Duration = Duration::from_secs(60);
/// The most addresses that are remembered. All others share one count while there is no room.
const ADDRESSES_MAX: usize = 10_000;
/// A full table is looked through for old guesses at most so often.
const SWEEP: Duration = Duration::from_secs(1);

/// Wrong guesses of the last minute.
#[derive(Debug)]
pub(crate) struct Tries {
    most: u32,
    wrong: Mutex<Table>,
}

#[derive(Debug)]
struct Table {
    known: HashMap<IpAddr, Wrong>,
    others: Wrong,
    swept_at: Timestamp,
}

#[derive(Debug)]
struct Wrong {
    count: u32,
    since: Timestamp,
}

impl Tries {
    /// One address may guess `most` times within [`WINDOW`].
    pub(super) fn new(most: u32) -> Self {
        let others = Wrong { count: 0, since: Timestamp::EPOCH };
        let table = Table { known: HashMap::new(), others, swept_at: Timestamp::EPOCH };
        Self { most, wrong: Mutex::new(table) }
    }

    /// Whether this address has to wait.
    pub(super) fn are_too_many(&self, peer: IpAddr, now: Timestamp) -> bool {
        let table = self.table();
        let wrong = match table.known.get(&peer::network(peer)) {
            Some(wrong) => wrong,
            None if table.is_full() => &table.others,
            None => return false,
        };
        wrong.count >= self.most && !wrong.is_old(now)
    }

    /// Counts a wrong guess.
    pub(super) fn note(&self, peer: IpAddr, now: Timestamp) {
        let peer = peer::network(peer);
        let mut table = self.table();
        if table.is_full() && !table.known.contains_key(&peer) {
            table.sweep(now);
        }
        let wrong = if table.is_full() && !table.known.contains_key(&peer) {
            &mut table.others
        } else {
            table.known.entry(peer).or_insert(Wrong { count: 0, since: now })
        };
        if wrong.is_old(now) {
            *wrong = Wrong { count: 0, since: now };
        }
        wrong.count = wrong.count.saturating_add(1);
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.wrong.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn is_full(&self) -> bool {
        self.known.len() >= ADDRESSES_MAX
    }

    fn sweep(&mut self, now: Timestamp) {
        if now.since(self.swept_at) >= SWEEP {
            self.swept_at = now;
            self.known.retain(|_, wrong| !wrong.is_old(now));
        }
    }
}

impl Wrong {
    fn is_old(&self, now: Timestamp) -> bool {
        now.since(self.since) >= WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn addresses_of_one_network_share_a_count() {
        let tries = Tries::new(3);
        let address = |network: u16, host: u16| {
            IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, network, 0, 0, 0, host))
        };
        for host in 0..3 {
            assert!(!tries.are_too_many(address(1, host), at(100)));
            tries.note(address(1, host), at(100));
        }
        assert!(tries.are_too_many(address(1, 99), at(100)));
        assert!(!tries.are_too_many(address(2, 99), at(100)));
        assert!(!tries.are_too_many(address(1, 99), at(160)), "after a minute");
        tries.note(address(1, 99), at(160));
        assert!(!tries.are_too_many(address(1, 99), at(160)), "counted anew");
    }

    #[test]
    fn nobody_guesses_freely_because_too_many_do() {
        let tries = Tries::new(3);
        let address = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(n));
        let many = u32::try_from(ADDRESSES_MAX).unwrap();
        for n in 0..many {
            tries.note(address(n), at(100));
        }
        for n in 0..3 {
            assert!(!tries.are_too_many(address(many + n), at(101)));
            tries.note(address(many + n), at(101));
        }
        assert!(tries.are_too_many(address(many + 9), at(101)));
        assert!(!tries.are_too_many(address(1), at(101)), "it has a count of its own");
        assert_eq!(tries.table().known.len(), ADDRESSES_MAX);
        tries.note(address(many + 9), at(170));
        assert!(!tries.are_too_many(address(many + 10), at(170)));
        assert_eq!(tries.table().known.len(), 1, "the old ones are forgotten");
    }
}
