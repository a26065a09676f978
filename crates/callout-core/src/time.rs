//! Instants and lengths of time.
//!
//! Instants are whole milliseconds, stored as integers, so every database sorts and compares them
//! alike. Lengths are [`Duration`], written the way people write them: `20s`, `5m`, `1h30m`.

use std::ops::Add;
use std::time::Duration;

/// An instant, in whole milliseconds since the Unix epoch, UTC.
///
/// Always within the years 1970 to 9999, so that every calendar library can print it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// The last millisecond of the year 9999.
const LAST_MS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// The earliest instant there is.
    pub const EPOCH: Self = Self(0);
    /// The latest instant there is; "never" where something must have a time.
    pub const LAST: Self = Self(LAST_MS);

    /// Takes milliseconds since the epoch, or `None` outside the years 1970 to 9999.
    pub fn from_unix_ms(ms: i64) -> Option<Self> {
        (0..=LAST_MS).contains(&ms).then_some(Self(ms))
    }

    /// Milliseconds since the epoch.
    pub fn unix_ms(self) -> i64 {
        self.0
    }

    /// The instant so many milliseconds later, or earlier if they are negative; no further than the calendar
    /// goes.
    #[must_use]
    pub fn shifted(self, by_ms: i64) -> Self {
        Self(self.0.saturating_add(by_ms).clamp(0, LAST_MS))
    }

    /// Milliseconds since `other`; negative if that is later.
    pub fn ms_after(self, other: Self) -> i64 {
        self.0.saturating_sub(other.0)
    }

    /// How long ago `earlier` was; zero if it is in fact later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// Stops at [`Timestamp::LAST`] instead of overflowing.
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        let ms = i64::try_from(length.as_millis()).unwrap_or(LAST_MS);
        Self(self.0.saturating_add(ms).min(LAST_MS))
    }
}

/// Why a text is no length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a duration; write it like \"20s\", \"5m\", \"1h30m\" or \"7d\"")]
pub struct BadDuration {
    text: String,
}

/// Units, longest first, in milliseconds.
const UNITS: [(&str, u64); 6] = [
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads a length of time such as `20s`, `5m`, `1h30m`, `7d` or `250ms`.
///
/// # Errors
/// Any other text, among them the empty one, a bare number and what overflows 64 bits of milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, BadDuration> {
    let bad = || BadDuration { text: crate::id::quoted(text) };
    let mut rest = text.trim();
    let mut total: u64 = 0;
    if rest.is_empty() {
        return Err(bad());
    }
    while !rest.is_empty() {
        let (number, tail) =
            rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(bad)?);
        let (unit, tail) =
            tail.split_at(tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len()));
        let (_, ms) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(bad)?;
        let part = number.parse::<u64>().ok().and_then(|n| n.checked_mul(*ms)).ok_or_else(bad)?;
        total = total.checked_add(part).ok_or_else(bad)?;
        rest = tail.trim_start();
    }
    Ok(Duration::from_millis(total))
}

/// Writes a length of time the way [`parse_duration`] reads it, with at most two units and no weeks: most
/// people say `30d` and `7d`.
pub fn format_duration(length: Duration) -> String {
    let mut ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let mut text = String::new();
    let mut units = 0;
    for (name, size) in UNITS.into_iter().filter(|(name, _)| *name != "w") {
        if units < 2 && ms >= size {
            text.push_str(&format!("{}{name}", ms / size));
            ms %= size;
            units += 1;
        }
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}

/// As [`format_duration`] where that says all of it, else in whole milliseconds.
pub fn format_exactly(length: Duration) -> String {
    let short = format_duration(length);
    if parse_duration(&short) == Ok(length) { short } else { format!("{}ms", length.as_millis()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_write_them() {
        for (text, ms) in [
            ("20s", 20_000),
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("250ms", 250),
            ("1h 5s", 3_605_000),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for text in
            ["", "5", "m", "-5s", "5 s 3", "1y", "99999999999999999999s", "18446744073709551615w"]
        {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_complaint_about_a_long_text_is_short() {
        let text = "\0".repeat(1_000_000);
        let complaint = parse_duration(&text).unwrap_err().to_string();
        assert!(complaint.len() < 1000 && complaint.contains("…\" is not"), "{complaint}");
    }

    #[test]
    fn durations_print_in_two_units() {
        for (ms, text) in [
            (0, "0s"),
            (20_000, "20s"),
            (5_400_000, "1h30m"),
            (90_061_001, "1d1h"),
            (1_500, "1s500ms"),
            (7 * 86_400_000, "7d"),
            (30 * 86_400_000, "30d"),
            (8 * 86_400_000 + 3_600_000, "8d1h"),
        ] {
            assert_eq!(format_duration(Duration::from_millis(ms)), text);
        }
    }

    #[test]
    fn instants_stay_between_1970_and_9999() {
        assert_eq!(Timestamp::from_unix_ms(-1), None);
        assert_eq!(Timestamp::from_unix_ms(i64::MAX), None);
        assert_eq!(Timestamp::LAST + Duration::MAX, Timestamp::LAST);
        assert_eq!(Timestamp::EPOCH.since(Timestamp::LAST), Duration::ZERO);
    }
}
