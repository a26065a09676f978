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
    /// The present, by a clock that people set.
    fn now(&self) -> Timestamp;
    /// How much time has passed since some moment that never changes, by a clock that nobody sets. While
    /// the machine sleeps it may stand still.
    fn elapsed(&self) -> Duration;
    /// Ten bytes nobody has seen before, for ids.
    fn entropy(&self) -> [u8; 10];
    /// Completes once as much time has passed as there was until `at` when this was called; a clock that is
    /// set meanwhile makes it neither longer nor shorter. A test's clock completes it when the test moves
    /// time.
    async fn wait_until(&self, at: Timestamp);
}

/// The machine's clock.
#[cfg(feature = "sqlite")]
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

/// What [`SystemClock`] counts from.
#[cfg(feature = "sqlite")]
static STARTED: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();

#[cfg(feature = "sqlite")]
#[async_trait::async_trait]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        now()
    }

    #[expect(clippy::disallowed_methods, reason = "this is where the machine's clock is read")]
    fn elapsed(&self) -> Duration {
        STARTED.get_or_init(std::time::Instant::now).elapsed()
    }

    fn entropy(&self) -> [u8; 10] {
        entropy()
    }

    #[expect(clippy::disallowed_methods, reason = "this is where the program sleeps")]
    async fn wait_until(&self, at: Timestamp) {
        let length = at.since(self.now());
        // A timer may be a little early.
        let end = self.elapsed() + length;
        while let Some(left) = end.checked_sub(self.elapsed()).filter(|left| !left.is_zero()) {
            tokio::time::sleep(left).await;
        }
    }
}

/// When a worker read its clock for what it asks: the store then goes by the time at which it does it.
///
/// A worker may be suspended between reading the clock and the store's doing, and what it asks may wait in
/// the store's queue. By default what is asked is taken as it is.
#[cfg(feature = "sqlite")]
#[derive(Clone, Default)]
pub struct Reading(Option<(std::sync::Arc<dyn Clock>, Duration, i64)>);

#[cfg(feature = "sqlite")]
impl Reading {
    /// Made now, by a worker that knows by how much what waits has been moved.
    pub fn new(clock: std::sync::Arc<dyn Clock>, base: i64) -> Self {
        let at = clock.elapsed();
        Self(Some((clock, at, base)))
    }

    /// How long ago that was.
    pub(crate) fn age(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |(clock, at, _)| clock.elapsed().saturating_sub(*at))
    }

    /// By how many milliseconds the worker believes that what waits has been moved.
    pub(crate) fn base(&self) -> Option<i64> {
        self.0.as_ref().map(|(_, _, base)| *base)
    }
}

#[cfg(feature = "sqlite")]
impl std::fmt::Debug for Reading {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reading({:?} ago, {:?})", self.age(), self.base())
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
