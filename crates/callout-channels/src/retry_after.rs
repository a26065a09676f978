//! The `Retry-After` header.

use callout_core::time::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use std::time::Duration;

/// The shortest wait.
const WAIT_MIN: Duration = Duration::from_secs(1);
/// The longest wait; a provider that asks for more gets asked again.
const WAIT_MAX: Duration = Duration::from_secs(3600);
/// The wait where the header says nothing usable.
const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// When `header` allows the next try: seconds or an HTTP date, between one second and one hour from
/// `at`; 30 seconds if it is missing or garbage.
pub(crate) fn parse(header: Option<&str>, at: Timestamp) -> Timestamp {
    let text = header.unwrap_or_default().trim();
    let wait = seconds(text).or_else(|| until(text, at)).unwrap_or(WAIT_DEFAULT);
    at + wait.clamp(WAIT_MIN, WAIT_MAX)
}

/// When a wait of `seconds`, as some providers put it into their JSON, is over; kept within the same
/// bounds, and rounded up.
pub(crate) fn after(seconds: f64, at: Timestamp) -> Timestamp {
    let wait = Duration::try_from_secs_f64(seconds.ceil()).unwrap_or(WAIT_DEFAULT);
    at + wait.clamp(WAIT_MIN, WAIT_MAX)
}

fn seconds(text: &str) -> Option<Duration> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    // What overflows is a long wait, not garbage.
    digits.then(|| Duration::from_secs(text.parse().unwrap_or(u64::MAX)))
}

fn until(text: &str, at: Timestamp) -> Option<Duration> {
    let date = DateTimeParser::new().parse_timestamp(text).ok().or_else(|| obsolete(text))?;
    Some(Timestamp::from_unix_ms(date.as_millisecond())?.since(at))
}

/// The two older forms of a date, which RFC 9110, section 5.6.7, wants read as well.
fn obsolete(text: &str) -> Option<jiff::Timestamp> {
    httpdate::parse_http_date(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_clamped_and_garbage_is_thirty_seconds() {
        let at = Timestamp::from_unix_ms(1_792_567_680_000).unwrap(); // 2026-10-21 07:28:00 UTC
        for (header, wait) in [
            (Some("0"), 1),
            (Some("7"), 7),
            (Some(" 7 "), 7),
            (Some("3600"), 3600),
            (Some("3601"), 3600),
            (Some("99999999999999999999999"), 3600),
            (Some("Wed, 21 Oct 2026 07:28:09 GMT"), 9),
            (Some("Wed, 21 Oct 2026 07:27:00 GMT"), 1),
            (Some("Thu, 22 Oct 2026 07:28:00 GMT"), 3600),
            (Some("Wed, 21 Oct 1926 07:28:00 GMT"), 30),
            (Some("-5"), 30),
            (Some("1.5"), 30),
            (Some("soon"), 30),
            (Some(""), 30),
            (None, 30),
        ] {
            assert_eq!(parse(header, at).since(at).as_secs(), wait, "{header:?}");
        }
        for (seconds, wait) in
            [(0.25, 1), (1.01, 2), (34.0, 34), (1e12, 3600), (-1.5, 30), (f64::NAN, 30)]
        {
            assert_eq!(after(seconds, at).since(at).as_secs(), wait, "{seconds}");
        }
        assert_eq!(parse(Some("10"), Timestamp::LAST), Timestamp::LAST);
    }

    #[test]
    fn whatever_the_year_there_and_here_the_wait_has_bounds() {
        let year = |ms| Timestamp::from_unix_ms(ms).unwrap();
        // Which is asked in 1970, 2026 and 2100.
        let here = [0, 1_792_567_680_000, 4_102_444_800_000].map(year);
        for (header, waits) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", [1, 1, 1]),
            ("Thu, 01 Jan 1970 00:00:20 GMT", [20, 1, 1]),
            ("Fri, 01 Jan 2100 00:00:00 GMT", [3600, 3600, 1]),
            ("Fri, 01 Jan 2100 00:00:20 GMT", [3600, 3600, 20]),
            ("Wed, 01 Dec 9999 00:00:00 GMT", [3600, 3600, 3600]),
            // No moment that a clock here knows.
            ("Fri, 31 Dec 9999 23:59:59 GMT", [30, 30, 30]),
            ("Sat, 01 Jan 10000 00:00:00 GMT", [30, 30, 30]),
            ("Fri, 31 Dec 1500 23:59:59 GMT", [30, 30, 30]),
            ("4294967296", [3600, 3600, 3600]),
            ("9223372036854775807", [3600, 3600, 3600]),
            ("18446744073709551615", [3600, 3600, 3600]),
            ("18446744073709551616", [3600, 3600, 3600]),
            ("000000000000000000000000000007", [7, 7, 7]),
            ("Thursday, 01-Jan-70 00:00:20 GMT", [20, 1, 1]),
            ("Fri Jan  1 00:00:20 2100", [3600, 3600, 20]),
            ("Fri Jan 32 00:00:20 2100", [30, 30, 30]),
        ] {
            let found = here.map(|at| parse(Some(header), at).since(at).as_secs());
            assert_eq!(found, waits, "{header}");
        }
        let waits = [f64::MAX, f64::INFINITY, f64::NEG_INFINITY, 0.0, -0.0];
        let found = waits.map(|wait| here.map(|at| after(wait, at).since(at).as_secs()));
        assert_eq!(found, [[30; 3], [30; 3], [30; 3], [1; 3], [1; 3]]);
    }
}
