//! What an attempt is given.

use super::*;

#[test]
fn a_link_is_the_same_on_every_try_within_an_hour_and_never_ends_early() {
    let at = |ms| Timestamp::from_unix_ms(ms).unwrap();
    let hour = 3_600_000;
    let end = link_end(at(100 * hour));
    assert_eq!(end, link_end(at(101 * hour - 1)));
    assert_eq!(end, at(101 * hour) + TICKET_TTL);
    assert_ne!(end, link_end(at(101 * hour)));
}
