//! A clock that stands still until a test moves it.

use callout_core::time::Timestamp;
use callout_store::clock::Clock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::watch;

pub(crate) struct VirtualClock {
    now: watch::Sender<Timestamp>,
    alarms: Mutex<BTreeMap<Timestamp, usize>>,
    dice: AtomicU64,
}

impl VirtualClock {
    pub(crate) fn new() -> Self {
        let start = Timestamp::from_unix_ms(1_700_000_000_000).unwrap();
        Self { now: watch::Sender::new(start), alarms: Mutex::default(), dice: AtomicU64::new(1) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        *self.now.borrow()
    }

    pub(crate) fn set(&self, at: Timestamp) {
        self.now.send_replace(at);
    }

    /// When the next of those who wait wants to be woken.
    pub(crate) fn next_alarm(&self) -> Option<Timestamp> {
        let now = self.now();
        self.alarms.lock().unwrap().keys().find(|at| **at > now).copied()
    }

    fn change(&self, at: Timestamp, up: bool) {
        let mut alarms = self.alarms.lock().unwrap();
        let count = alarms.entry(at).or_default();
        *count = if up { *count + 1 } else { *count - 1 };
        if *count == 0 {
            alarms.remove(&at);
        }
    }
}

#[async_trait::async_trait]
impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        Self::now(self)
    }

    fn entropy(&self) -> [u8; 10] {
        let n = self.dice.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        std::array::from_fn(|i| n.get(i.wrapping_sub(2)).copied().unwrap_or(0))
    }

    async fn wait_until(&self, at: Timestamp) {
        struct Alarm<'a>(&'a VirtualClock, Timestamp);
        impl Drop for Alarm<'_> {
            fn drop(&mut self) {
                self.0.change(self.1, false);
            }
        }
        // As with the machine's clock, what is over completes without giving others a turn.
        if Self::now(self) >= at {
            return;
        }
        self.change(at, true);
        let _alarm = Alarm(self, at);
        self.now.subscribe().wait_for(|now| *now >= at).await.unwrap();
    }
}
