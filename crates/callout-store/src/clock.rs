//! The only door to real time and real dice.
//!
//! Everything that decides takes time as a value; whoever runs the program takes it from here. Tests
//! bring a clock of their own.

use callout_core::time::Timestamp;
use std::time::Duration;

/// The present, by the machine's clock; clamped into the years 1970 to 9999.
#[expect(clippy::disallowed_methods, reason = "this is where the machine's clock is read")]
pub fn now() -> Timestamp {
    let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since_epoch.map_or(Timestamp::EPOCH, |length| Timestamp::EPOCH + length)
}

/// Ten random bytes from the operating system, for ids.
#[expect(clippy::disallowed_methods, reason = "this is where the machine's dice are rolled")]
pub fn entropy() -> [u8; 10] {
    // A version 7 UUID carries 74 random bits after its 48 bits of time and its version.
    let bytes = uuid::Uuid::now_v7().into_bytes();
    std::array::from_fn(|n| bytes.get(n + 6).copied().unwrap_or(0))
}

/// A source of time and dice.
#[cfg(feature = "sqlite")]
#[async_trait::async_trait]
pub trait Clock: Send + Sync {
    /// The present.
    fn now(&self) -> Timestamp;
    /// Ten bytes nobody has seen before, for ids.
    fn entropy(&self) -> [u8; 10];
    /// Completes once `now() >= at`. A test's clock completes it when the test moves time.
    async fn wait_until(&self, at: Timestamp);
}

/// The machine's clock.
#[cfg(feature = "sqlite")]
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// No sleep is longer, so that a clock that was set is noticed soon.
#[cfg(feature = "sqlite")]
const SLEEP_MAX: Duration = Duration::from_secs(30);

#[cfg(feature = "sqlite")]
#[async_trait::async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        now()
    }

    fn entropy(&self) -> [u8; 10] {
        entropy()
    }

    #[expect(clippy::disallowed_methods, reason = "this is where the program sleeps")]
    async fn wait_until(&self, at: Timestamp) {
        while self.now() < at {
            tokio::time::sleep(at.since(self.now()).min(SLEEP_MAX)).await;
        }
    }
}

/// Tells how long ago it was made, by a clock that never goes back.
#[expect(clippy::disallowed_methods, reason = "this is where the machine's clock is read")]
pub fn stopwatch() -> impl Fn() -> Duration + Send + 'static {
    let started = std::time::Instant::now();
    move || started.elapsed()
}

/// A question that is answered with yes once `after` has passed, by a clock that never goes back.
#[cfg(feature = "sqlite")]
pub(crate) fn deadline(after: Duration) -> impl Fn() -> bool + Send + 'static {
    let elapsed = stopwatch();
    move || elapsed() >= after
}

/// Blocks the thread. For threads that may be blocked; whatever is async waits for a `Clock`.
#[expect(clippy::disallowed_methods, reason = "this is where the program sleeps")]
pub fn pause(length: Duration) {
    std::thread::sleep(length);
}
