//! Two kinds of time, both standing still until the simulation moves them: the true time, which only
//! goes forward, and the clock on the wall, which can be set.

use crate::dice::Dice;
use callout_core::time::Timestamp;
use callout_store::clock::Clock;
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Mutex;
use std::task::{Poll, Waker};
use std::time::Duration;

/// What the wall shows when a simulation begins, in milliseconds.
pub(crate) const BEGINNING: i64 = 1_700_000_000_000;

#[derive(Debug)]
pub(crate) struct SimClock(Mutex<Hands>);

#[derive(Debug)]
struct Hands {
    elapsed: i64,
    /// What the wall shows beyond the true time.
    offset: i64,
    /// For ids.
    dice: Dice,
    next: u64,
    /// Who waits until when, in true time.
    sleepers: BTreeMap<u64, (i64, Waker)>,
}

impl Hands {
    fn wake(&mut self) {
        for (until, waker) in self.sleepers.values() {
            if *until <= self.elapsed {
                waker.wake_by_ref();
            }
        }
    }
}

impl SimClock {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(Hands {
            elapsed: 0,
            offset: BEGINNING,
            dice: Dice::new(seed, 4),
            next: 0,
            sleepers: BTreeMap::new(),
        }))
    }

    /// The true time in milliseconds.
    pub(crate) fn elapsed(&self) -> i64 {
        self.0.lock().unwrap().elapsed
    }

    /// What the wall shows, in milliseconds.
    pub(crate) fn wall(&self) -> i64 {
        let hands = self.0.lock().unwrap();
        hands.elapsed + hands.offset
    }

    /// Lets the true time go on to `at`.
    pub(crate) fn advance_to(&self, at: i64) {
        let mut hands = self.0.lock().unwrap();
        hands.elapsed = hands.elapsed.max(at);
        hands.wake();
    }

    /// Sets the clock on the wall forward or back.
    pub(crate) fn step(&self, by: i64) {
        self.0.lock().unwrap().offset += by;
    }

    /// When the next of those who wait wants to be woken, in true time.
    pub(crate) fn next_alarm(&self) -> Option<i64> {
        let hands = self.0.lock().unwrap();
        let alarms = hands.sleepers.values().map(|(until, _)| *until);
        alarms.filter(|at| *at > hands.elapsed).min()
    }

    /// Waits until then, in true time.
    pub(crate) async fn sleep(&self, until: i64) {
        struct Bed<'a>(&'a SimClock, u64);
        impl Drop for Bed<'_> {
            fn drop(&mut self) {
                self.0.0.lock().unwrap().sleepers.remove(&self.1);
            }
        }
        let number = {
            let mut hands = self.0.lock().unwrap();
            hands.next += 1;
            hands.next
        };
        let _bed = Bed(self, number);
        poll_fn(|context| {
            let mut hands = self.0.lock().unwrap();
            if until <= hands.elapsed {
                return Poll::Ready(());
            }
            hands.sleepers.insert(number, (until, context.waker().clone()));
            Poll::Pending
        })
        .await;
    }
}

#[async_trait::async_trait]
impl Clock for SimClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.wall()).unwrap()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_millis(u64::try_from(Self::elapsed(self)).unwrap())
    }

    fn entropy(&self) -> [u8; 10] {
        let mut hands = self.0.lock().unwrap();
        let (high, low) = (hands.dice.next().to_be_bytes(), hands.dice.next().to_be_bytes());
        std::array::from_fn(|n| high.iter().chain(&low).nth(n).copied().unwrap_or(0))
    }

    async fn wait_until(&self, at: Timestamp) {
        let ahead = at.unix_ms() - self.wall();
        self.sleep(Self::elapsed(self) + ahead).await;
    }
}
