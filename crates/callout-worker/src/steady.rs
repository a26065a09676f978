//! The time a worker goes by.
//!
//! It runs by the clock that nobody sets, from where the clock that people set stood when the worker last
//! followed it. So nothing between two turns is decided by two clocks, and a turn begins by asking whether
//! the clock was set.

use crate::Clock;
use callout_core::time::Timestamp;
use callout_store::clock::Reading;
use std::sync::Arc;
use std::time::Duration;

/// Two readings further apart than this have nothing to say about each other: the process was suspended
/// between them.
const TOGETHER: Duration = Duration::from_secs(1);

pub(crate) struct Steady {
    clock: Arc<dyn Clock>,
    /// The time at `at`.
    then: Timestamp,
    at: Duration,
    /// By how much what waits had been moved when this was last asked; `None`: not asked yet.
    pub(crate) base: Option<i64>,
}

impl Steady {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let (then, at) = together(clock.as_ref());
        Self { clock, then, at, base: None }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.then + self.clock.elapsed().saturating_sub(self.at)
    }

    /// How many milliseconds the clock that people set is ahead of this one.
    pub(crate) fn drift_ms(&self) -> i64 {
        let (wall, at) = together(self.clock.as_ref());
        wall.ms_after(self.then + at.saturating_sub(self.at))
    }

    /// Goes by the clock again that people set, which was so far ahead.
    pub(crate) fn follow(&mut self, drift_ms: i64) {
        // Counted from now on: what a clock that was set to the first hours of its calendar showed when this
        // worker began would lie before the calendar.
        let passed = self.clock.elapsed().saturating_sub(self.at);
        let passed = passed - Duration::from_nanos(u64::from(passed.subsec_nanos() % 1_000_000));
        self.then = (self.then + passed).shifted(drift_ms);
        self.at += passed;
    }

    /// For what the store is asked with the time as of now.
    pub(crate) fn reading(&self) -> Reading {
        Reading::new(self.clock.clone(), self.base.unwrap_or(0))
    }
}

/// Both clocks at one moment, as far as that can be had.
fn together(clock: &dyn Clock) -> (Timestamp, Duration) {
    for _ in 0..3 {
        let (before, wall) = (clock.elapsed(), clock.now());
        if clock.elapsed().saturating_sub(before) < TOGETHER {
            return (wall, before);
        }
    }
    (clock.now(), clock.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    const DAY_MS: u64 = 86_400_000;

    /// What the wall shows, and what has passed, both in milliseconds.
    struct Hands(Mutex<(i64, u64)>);

    #[async_trait::async_trait]
    impl Clock for Hands {
        fn now(&self) -> Timestamp {
            Timestamp::from_unix_ms(self.0.lock().unwrap().0).unwrap()
        }

        fn elapsed(&self) -> Duration {
            Duration::from_millis(self.0.lock().unwrap().1)
        }

        fn entropy(&self) -> [u8; 10] {
            [0; 10]
        }

        async fn wait_until(&self, _: Timestamp) {}
    }

    #[test]
    fn a_clock_that_falls_back_to_1970_is_followed_once_however_long_the_worker_runs() {
        let clock = Arc::new(Hands(Mutex::new((1_800_000_000_000, 7))));
        let mut steady = Steady::new(clock.clone());
        *clock.0.lock().unwrap() = (3_600_000, 7 + 10 * DAY_MS);
        let drift_ms = steady.drift_ms();
        assert_eq!(drift_ms, 3_600_000 - 1_800_000_000_000 - 10 * 86_400_000);
        steady.follow(drift_ms);
        assert_eq!(steady.now(), clock.now());
        assert_eq!(steady.drift_ms(), 0);
    }
}
