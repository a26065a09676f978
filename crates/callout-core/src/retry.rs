//! How long to wait before the next try.
//!
//! The schedule is a function of the *stored* attempt number, so a restart resumes it exactly. The
//! `backoff` crate does the multiplication; it is unmaintained (RUSTSEC-2025-0012) and therefore
//! named in this file only, without its randomness and without its process-bound time limit. Jitter
//! is an argument, derived from the row, so the next time can be computed from the row alone.

use backoff::ExponentialBackoff;
use backoff::backoff::Backoff as _;
use std::time::Duration;

/// When to try again, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Longest wait before the second try. Each further one doubles.
    pub base: Duration,
    /// No wait on one channel is longer than this.
    pub cap: Duration,
    /// Tries on one channel before the next channel's turn, at least 1.
    pub attempts_max: u32,
    /// Longest pause after the whole chain failed once. Each further round doubles.
    pub round_base: Duration,
    /// No pause between rounds is longer than this.
    pub round_cap: Duration,
}

/// Even a lucky draw waits this long, so that a retry is never a hammer.
pub const DELAY_MIN: Duration = Duration::from_millis(200);

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            base: Duration::from_secs(2),
            cap: Duration::from_secs(5 * 60),
            attempts_max: 3,
            round_base: Duration::from_secs(15),
            round_cap: Duration::from_secs(15 * 60),
        }
    }
}

impl RetryPolicy {
    /// The wait after the `attempt`-th failed try on a channel, or `None` when the next channel's
    /// turn has come.
    pub fn delay_after(&self, attempt: u32, jitter: Jitter) -> Option<Duration> {
        (attempt < self.attempts_max).then(|| jitter.spread(interval(self.base, self.cap, attempt)))
    }

    /// The pause before the chain starts its `round`-th time again (1 is the first repeat).
    pub fn pause_before(&self, round: u32, jitter: Jitter) -> Duration {
        jitter.spread(interval(self.round_base, self.round_cap, round))
    }
}

/// `base * 2^(n-1)`, at most `cap`.
fn interval(base: Duration, cap: Duration, n: u32) -> Duration {
    let factor = 2f64.powi(i32::try_from(n.clamp(1, 63) - 1).unwrap_or(0));
    let current = Duration::try_from_secs_f64(base.as_secs_f64() * factor).unwrap_or(cap).min(cap);
    let mut schedule = ExponentialBackoff {
        current_interval: current,
        initial_interval: base,
        max_interval: cap,
        multiplier: 2.0,
        randomization_factor: 0.0,
        max_elapsed_time: None,
        ..ExponentialBackoff::default()
    };
    schedule.next_backoff().unwrap_or(cap).min(cap)
}

/// A fixed fraction between 0 and 1 that spreads retries apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Jitter(u32);

impl Jitter {
    /// No shortening: the whole interval.
    pub const FULL: Self = Self(u32::MAX);

    /// Draws from the row: the same `seed` and `n` always give the same fraction (SplitMix64).
    pub fn of(seed: u64, n: u32) -> Self {
        let mut z = seed.wrapping_add((u64::from(n) + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(u32::try_from((z ^ (z >> 31)) >> 32).unwrap_or(u32::MAX))
    }

    /// Full jitter: somewhere between [`DELAY_MIN`] and `interval`.
    pub fn spread(self, interval: Duration) -> Duration {
        interval.mul_f64(f64::from(self.0) / f64::from(u32::MAX)).max(DELAY_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn check(policy: &RetryPolicy, expected: Expect) {
        let delays = (1..).map_while(|n| policy.delay_after(n, Jitter::FULL));
        let words: Vec<String> = delays.map(|d| format!("{}s", d.as_secs_f64())).collect();
        expected.assert_eq(&format!("{} stop", words.join(" ")));
    }

    #[test]
    fn retry_delays_double_and_stop() {
        check(&RetryPolicy::default(), expect!["2s 4s stop"]);
        let patient =
            RetryPolicy { attempts_max: 9, cap: Duration::from_secs(60), ..RetryPolicy::default() };
        check(&patient, expect!["2s 4s 8s 16s 32s 60s 60s 60s stop"]);
    }

    #[test]
    fn rounds_pause_longer_up_to_a_quarter_of_an_hour() {
        let policy = RetryPolicy::default();
        let pauses: Vec<u64> =
            (1..=8).map(|round| policy.pause_before(round, Jitter::FULL).as_secs()).collect();
        assert_eq!(pauses, [15, 30, 60, 120, 240, 480, 900, 900]);
    }

    proptest! {
        #[test]
        fn no_attempt_number_overflows_or_leaves_the_cap(n in any::<u32>(), seed in any::<u64>()) {
            let policy = RetryPolicy { attempts_max: u32::MAX, ..RetryPolicy::default() };
            if let Some(delay) = policy.delay_after(n, Jitter::of(seed, n)) {
                prop_assert!(delay >= DELAY_MIN && delay <= policy.cap);
            }
        }

        #[test]
        fn the_crate_agrees_with_our_own_formula(n in 1u32..200, base in 1u64..100, cap in 1u64..10_000) {
            let ours = (u128::from(base) << (n - 1).min(60)).min(u128::from(cap));
            let theirs = interval(Duration::from_secs(base), Duration::from_secs(cap), n);
            prop_assert_eq!(theirs, Duration::from_secs(u64::try_from(ours).unwrap()));
        }
    }

    #[test]
    fn jitter_spreads_over_the_whole_interval() {
        let draws: Vec<f64> =
            (0..1000).map(|n| f64::from(Jitter::of(7, n).0) / f64::from(u32::MAX)).collect();
        let mean = draws.iter().sum::<f64>() / 1000.0;
        assert!((0.45..0.55).contains(&mean), "{mean}");
        assert!(draws.iter().any(|d| *d < 0.05) && draws.iter().any(|d| *d > 0.95));
        assert_eq!(Jitter::of(7, 3), Jitter::of(7, 3));
    }
}
