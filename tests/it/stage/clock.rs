//! A clock that stands still until a test moves it.

use callout_core::time::Timestamp;
use callout_store::clock::Clock;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// What both clocks say.
#[derive(Clone, Copy)]
struct Time {
    /// The one that people set.
    wall: Timestamp,
    /// The one that nobody sets.
    elapsed: Duration,
}

pub(crate) struct VirtualClock {
    time: watch::Sender<Time>,
    /// By the clock that nobody sets.
    alarms: Mutex<BTreeMap<Duration, usize>>,
    dice: AtomicU32,
}

impl VirtualClock {
    pub(crate) fn new() -> Self {
        let wall = Timestamp::from_unix_ms(1_700_000_000_000).unwrap();
        let time = Time { wall, elapsed: Duration::from_secs(1000) };
        Self { time: watch::Sender::new(time), alarms: Mutex::default(), dice: AtomicU32::new(1) }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.time.borrow().wall
    }

    /// Time passes. It does not go back; for a clock that is set back there is [`Self::step`].
    pub(crate) fn set(&self, at: Timestamp) {
        self.time.send_modify(|time| {
            assert!(time.wall <= at, "time does not go back");
            time.elapsed += at.since(time.wall);
            time.wall = at;
        });
    }

    /// Somebody sets the clock; no time passes.
    pub(crate) fn step(&self, to: Timestamp) {
        self.time.send_modify(|time| time.wall = to);
    }

    /// When the next of those who wait wants to be woken.
    pub(crate) fn next_alarm(&self) -> Option<Timestamp> {
        let Time { wall, elapsed } = *self.time.borrow();
        let alarms = self.alarms.lock().unwrap();
        alarms.keys().find(|at| **at > elapsed).map(|at| wall + at.saturating_sub(elapsed))
    }

    fn change(&self, at: Duration, up: bool) {
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

    fn elapsed(&self) -> Duration {
        self.time.borrow().elapsed
    }

    fn entropy(&self) -> [u8; 10] {
        // In the middle: an id overwrites bits of the first three bytes, and what the store makes of one
        // roll differs in the last ones. Neither may meet the next roll.
        let [a, b, c, d] = self.dice.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        [0, 0, 0, a, b, c, d, 0, 0, 0]
    }

    async fn wait_until(&self, at: Timestamp) {
        struct Alarm<'a>(&'a VirtualClock, Duration);
        impl Drop for Alarm<'_> {
            fn drop(&mut self) {
                self.0.change(self.1, false);
            }
        }
        let Time { wall, elapsed } = *self.time.borrow();
        // As with the machine's clock, what is over completes without giving others a turn.
        if wall >= at {
            return;
        }
        let end = elapsed + at.since(wall);
        self.change(end, true);
        let _alarm = Alarm(self, end);
        self.time.subscribe().wait_for(|time| time.elapsed >= end).await.unwrap();
    }
}
