//! What it means for waiting things that somebody sets the clock.
//!
//! Times are stored as the clock shows them. While a worker runs it notices when the clock was set, for a
//! clock that nobody sets runs beside it, and the store moves what waits along. What was set while no
//! worker ran shows in times that cannot be: nothing waits longer than [`longest_wait`], and no message is
//! older than the one written before it.

use crate::delivery::{Place, State, Wait};
use crate::retry::{Jitter, RetryPolicy};
use crate::time::Timestamp;
use std::time::Duration;

/// The clock was set if it is further than this from where it should be. Anything less is followed.
pub const STEP: Duration = Duration::from_secs(5);
/// The longest pause a provider can ask for; channels clamp to it.
pub const PAUSE_MAX: Duration = Duration::from_secs(3600);
/// The first of January 2020. Before this nobody wrote a message; a machine whose clock says so has not
/// learned the time yet.
const NOBODY_BEFORE_MS: i64 = 1_577_836_800_000;

/// Whether the clock was set, so far from where it should be.
pub fn is_step(drift_ms: i64) -> bool {
    drift_ms.unsigned_abs() > u64::try_from(STEP.as_millis()).unwrap_or(u64::MAX)
}

/// By how much what waits has to be moved yet: a worker sees that its clock is off by `drift_ms`, and
/// since it last looked others have moved everything by `moved_ms`. Zero: by nothing.
pub fn left_to_move(drift_ms: i64, moved_ms: i64) -> i64 {
    // A worker that began after the clock was set sees only what others do about it.
    let left = drift_ms.saturating_sub(moved_ms);
    if is_step(drift_ms) && is_step(left) { left } else { 0 }
}

/// A delivery's state once the clock has been set by so many milliseconds.
#[must_use]
pub fn shifted(state: &State, by_ms: i64) -> State {
    let mut state = state.clone();
    let place: &mut Place = match &mut state {
        State::Leased { lease, place } => {
            lease.until = lease.until.shifted(by_ms);
            place
        }
        State::Ready { at, place, .. }
        | State::Accepted { at, place }
        | State::Dead { at, place, .. }
        | State::Expired { at, place }
        | State::Cancelled { at, place } => {
            *at = at.shifted(by_ms);
            place
        }
    };
    place.failover_at = place.failover_at.map(|at| at.shifted(by_ms));
    state
}

/// How long a delivery that waits like this can wait, if its message asks for `delay`.
pub fn longest_wait(
    wait: Wait,
    place: &Place,
    retry: &RetryPolicy,
    delay: Option<Duration>,
) -> Duration {
    match wait {
        Wait::Delay => delay.unwrap_or_default(),
        Wait::Backoff | Wait::Abandoned => {
            retry.delay_after(place.attempt, Jitter::FULL).unwrap_or(retry.cap)
        }
        Wait::Round => retry.pause_before(place.round, Jitter::FULL),
        // A circuit that is open may be in a pause as well.
        Wait::Throttled | Wait::Circuit => PAUSE_MAX,
        Wait::New
        | Wait::Escalated
        | Wait::Failover
        | Wait::Plain
        | Wait::HandedBack
        | Wait::Replayed => Duration::ZERO,
    }
}

/// Whether somebody can have written something then.
pub fn is_date(at: Timestamp) -> bool {
    at.unix_ms() >= NOBODY_BEFORE_MS
}

/// When a message counts as written whose producer says `created_at`: not in the future, and not before
/// `newest`, when the message written before it was. A producer whose clock is wrong must neither delay its
/// own alert nor have it expire untried.
pub fn written_at(created_at: Timestamp, newest: Option<Timestamp>, now: Timestamp) -> Timestamp {
    if !is_date(created_at) && created_at < now {
        return now;
    }
    created_at.max(newest.unwrap_or(Timestamp::EPOCH)).min(now)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::Lease;
    use crate::id::WorkerId;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_unix_ms(ms).unwrap()
    }

    fn place() -> Place {
        Place {
            channel: "hook".parse().unwrap(),
            attempt: 2,
            failover_at: Some(at(30_000)),
            round: 3,
            plain: false,
            soft: true,
            tries: 5,
        }
    }

    #[test]
    fn what_was_moved_already_is_not_moved_again() {
        const HOUR: i64 = 3_600_000;
        for (drift, moved, left) in [
            (0, 0, 0),
            (5_000, 0, 0),
            (5_001, 0, 5_001),
            (-5_001, 0, -5_001),
            (HOUR, 0, HOUR),
            (HOUR, HOUR, 0),
            (HOUR + 12, HOUR - 700, 0),
            // It began after the clock was set; somebody else saw it happen.
            (0, HOUR, 0),
            (3, -HOUR, 0),
            // Set twice, and somebody else has moved everything by the first of it.
            (3 * HOUR, HOUR, 2 * HOUR),
            (-HOUR, HOUR, -2 * HOUR),
            (i64::MIN, i64::MAX, i64::MIN),
        ] {
            assert_eq!(left_to_move(drift, moved), left, "{drift} {moved}");
        }
    }

    #[test]
    fn everything_that_lies_ahead_moves_along() {
        let waiting = State::Ready { at: at(10_000), wait: Wait::Backoff, place: place() };
        let there = shifted(&waiting, 3_600_000);
        let State::Ready { at: due, place: moved, .. } = &there else { panic!("{there:?}") };
        assert_eq!((*due, moved.failover_at), (at(3_610_000), Some(at(3_630_000))));
        assert_eq!(shifted(&there, -3_600_000), waiting, "and back");
        let lease = Lease { owner: WorkerId::new(at(0), [1; 10]), token: 4, until: at(60_000) };
        let leased = shifted(&State::Leased { lease, place: place() }, -50_000);
        let State::Leased { lease, place } = leased else { panic!("{leased:?}") };
        assert_eq!((lease.until, lease.token), (at(10_000), 4));
        assert_eq!(place.failover_at, Some(Timestamp::EPOCH), "not before the calendar begins");
    }

    #[test]
    fn nothing_waits_longer_than_its_reason_allows() {
        let retry = RetryPolicy::default();
        let longest = |wait| longest_wait(wait, &place(), &retry, Some(Duration::from_secs(90)));
        for (wait, seconds) in [
            (Wait::New, 0),
            (Wait::Delay, 90),
            (Wait::Escalated, 0),
            (Wait::Backoff, 4),
            (Wait::Throttled, 3600),
            (Wait::Failover, 0),
            (Wait::Round, 60),
            (Wait::Plain, 0),
            (Wait::Circuit, 3600),
            (Wait::Abandoned, 4),
            (Wait::HandedBack, 0),
            (Wait::Replayed, 0),
        ] {
            assert_eq!(longest(wait), Duration::from_secs(seconds), "{wait:?}");
        }
    }

    #[test]
    fn a_message_is_no_older_than_the_one_before_it_and_no_younger_than_now() {
        let now = at(1_800_000_000_000);
        let hour_ago = now.shifted(-3_600_000);
        for (created_at, newest, counts) in [
            (hour_ago, None, hour_ago),
            (hour_ago, Some(hour_ago.shifted(-9)), hour_ago),
            (hour_ago, Some(hour_ago.shifted(9)), hour_ago.shifted(9)),
            (now.shifted(1), None, now),
            (Timestamp::LAST, Some(hour_ago), now),
            // The clock that the one before went by was ahead.
            (hour_ago, Some(Timestamp::LAST), now),
            // A machine that has not learned the time yet.
            (Timestamp::EPOCH, None, now),
            (at(946_684_800_000), Some(hour_ago), now),
        ] {
            assert_eq!(written_at(created_at, newest, now), counts, "{created_at:?} {newest:?}");
        }
        // Everybody's clock stands in 1970.
        assert_eq!(written_at(at(5), None, at(9)), at(9));
        assert_eq!(written_at(at(9), Some(at(3)), at(9)), at(9));
    }
}
