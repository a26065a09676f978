//! How often a channel may be used.
//!
//! A limit is exact: never more than `count` sends in *any* window of length `per`. That takes the
//! times of the last `count` sends, which the store keeps with the channel and spends in the same
//! transaction that leases, so restarts and further workers cannot exceed it. A tenth of each limit
//! is kept for critical messages. Waiting for room costs no attempt and loses nothing.

use crate::level::Level;
use crate::time::{Timestamp, format_exactly, parse_duration};
use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The largest `count` of a limit; the store keeps one time for each.
pub const COUNT_MAX: u32 = 1000;

/// At most `count` sends in any window of length `per`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// Sends, 1 to [`COUNT_MAX`].
    pub count: u32,
    /// Length of the window.
    pub per: Duration,
}

/// The limits of one channel, all of which hold. Empty means none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rate(Vec<Limit>);

/// A text that is no rate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is not a rate; write it like \"20/min\", \"5/s\" or \"5/s, 100/min\" (at most {COUNT_MAX} in a window), or \"none\""
)]
pub struct BadRate {
    text: String,
}

impl FromStr for Rate {
    type Err = BadRate;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim() == "none" {
            return Ok(Self::default());
        }
        let limits: Option<Vec<Limit>> = text.split(',').map(|part| limit(part.trim())).collect();
        limits.map(Self).ok_or_else(|| BadRate { text: crate::id::quoted(text) })
    }
}

fn limit(text: &str) -> Option<Limit> {
    let (count, per) = text.split_once('/')?;
    let count = count.trim().parse().ok().filter(|n| (1..=COUNT_MAX).contains(n))?;
    let per = match per.trim() {
        "s" | "sec" | "second" => Duration::from_secs(1),
        "m" | "min" | "minute" => Duration::from_secs(60),
        "h" | "hour" => Duration::from_secs(3600),
        other => parse_duration(other).ok().filter(|per| !per.is_zero())?,
    };
    Some(Limit { count, per })
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("none");
        }
        for (n, limit) in self.0.iter().enumerate() {
            let comma = if n > 0 { ", " } else { "" };
            write!(f, "{comma}{}/", limit.count)?;
            match limit.per.as_millis() {
                1_000 => f.write_str("s")?,
                60_000 => f.write_str("min")?,
                3_600_000 => f.write_str("h")?,
                _ => f.write_str(&format_exactly(limit.per))?,
            }
        }
        Ok(())
    }
}

impl Limit {
    /// How many of `count` a message of this level may use.
    fn ceiling(self, level: Level) -> usize {
        let reserve = if level == Level::Critical { 0 } else { self.count / 10 };
        usize::try_from(self.count - reserve).unwrap_or(usize::MAX)
    }
}

/// When a channel was used lately: as many times as its largest limit counts, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window(VecDeque<Timestamp>);

impl Window {
    /// Reads what [`Window::to_bytes`] wrote. Damaged bytes are dropped: a limit may then be met
    /// once too often, which the provider answers with "slow down".
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let times = bytes.chunks_exact(8).filter_map(|chunk| {
            Timestamp::from_unix_ms(i64::from_le_bytes(chunk.try_into().ok()?))
        });
        Self(times.collect())
    }

    /// The times as little-endian 64-bit milliseconds.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|at| at.unix_ms().to_le_bytes()).collect()
    }

    /// How many more sends of `level` fit now; `None` without limits.
    pub fn room(&self, rate: &Rate, level: Level, now: Timestamp) -> Option<usize> {
        rate.0.iter().map(|limit| limit.ceiling(level).saturating_sub(self.used(*limit, now))).min()
    }

    /// When room for one more send of `level` opens, if there is none now.
    pub fn reopens_at(&self, rate: &Rate, level: Level, now: Timestamp) -> Option<Timestamp> {
        let opens = rate.0.iter().filter_map(|limit| {
            let over = self.used(*limit, now).checked_sub(limit.ceiling(level))?;
            // The (over+1)-th oldest send inside the window has to leave it.
            self.inside(*limit, now).nth(over).map(|at| at + limit.per)
        });
        opens.max()
    }

    /// After the clock was set back: what lies in the future was just now, so that it blocks for one
    /// window and not until the old time comes again. Whoever reads a window calls this, and keeps it.
    pub fn rebase(&mut self, now: Timestamp) {
        for at in &mut self.0 {
            *at = (*at).min(now);
        }
    }

    /// Moves all times because the clock was set by so many milliseconds.
    pub fn shift(&mut self, by_ms: i64) {
        for at in &mut self.0 {
            *at = at.shifted(by_ms);
        }
    }

    /// Records `sends` sends at `now` and forgets what no limit looks at any more.
    pub fn take(&mut self, rate: &Rate, sends: usize, now: Timestamp) {
        let keep = rate.0.iter().map(|limit| limit.count).max().unwrap_or(0);
        self.rebase(now);
        self.0.extend(std::iter::repeat_n(now, sends));
        let surplus = self.0.len().saturating_sub(usize::try_from(keep).unwrap_or(usize::MAX));
        self.0.drain(..surplus);
    }

    fn used(&self, limit: Limit, now: Timestamp) -> usize {
        self.inside(limit, now).count()
    }

    fn inside(&self, limit: Limit, now: Timestamp) -> impl Iterator<Item = Timestamp> {
        self.0.iter().copied().filter(move |at| *at + limit.per > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms).unwrap()
    }

    #[test]
    fn rates_read_as_people_write_them() {
        for (text, printed) in [
            ("20/min", "20/min"),
            ("5/s, 100/min", "5/s, 100/min"),
            ("3/15m", "3/15m"),
            ("none", "none"),
            ("5/1500ms", "5/1s500ms"),
            ("1/1h1m1s", "1/3661000ms"),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap().to_string(), printed);
        }
        for text in ["", "20", "0/min", "1001/min", "5/0s", "x/s", "-1/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_tenth_is_kept_for_critical_messages() {
        let rate: Rate = "20/min".parse().unwrap();
        let mut window = Window::default();
        window.take(&rate, 18, at(0));
        assert_eq!(window.room(&rate, Level::Info, at(1)), Some(0));
        assert_eq!(window.room(&rate, Level::Critical, at(1)), Some(2));
        assert_eq!(window.reopens_at(&rate, Level::Info, at(1)), Some(at(60_000)));
        assert_eq!(window.reopens_at(&rate, Level::Critical, at(1)), None);
    }

    #[test]
    fn a_clock_set_back_blocks_for_one_window_at_most() {
        let rate: Rate = "2/min".parse().unwrap();
        let mut window = Window::default();
        window.take(&rate, 2, at(10_000_000));
        window.rebase(at(1_000));
        assert_eq!(window.room(&rate, Level::Critical, at(61_000)), Some(2));
        assert_eq!(window.reopens_at(&rate, Level::Critical, at(1_000)), Some(at(61_000)));
        assert_eq!(Window::from_bytes(&window.to_bytes()), window);
    }

    proptest! {
        #[test]
        fn no_window_ever_holds_more_than_the_limit(steps in prop::collection::vec((0i64..40_000, 1usize..8), 1..200)) {
            let rate: Rate = "5/10s, 12/min".parse().unwrap();
            let (mut window, mut now, mut sent) = (Window::default(), 0, Vec::new());
            for (pause, want) in steps {
                now += pause;
                let room = window.room(&rate, Level::Critical, at(now)).unwrap();
                prop_assert_eq!(room == 0, window.reopens_at(&rate, Level::Critical, at(now)).is_some());
                let n = want.min(room);
                window.take(&rate, n, at(now));
                sent.extend(std::iter::repeat_n(now, n));
                for (count, per) in [(5, 10_000), (12, 60_000)] {
                    prop_assert!(sent.iter().filter(|t| **t + per > now).count() <= count);
                }
            }
        }
    }
}
