//! How long an attempt may take, put together.

use callout_channels::transport::CONNECT_TIMEOUT;
use callout_channels::{ATTEMPT_TIMEOUT, FOLLOW_UPS_TIMEOUT, Settings};
use callout_worker::{DRAIN, GUARD, LEASE};
use std::time::Duration;

#[test]
fn every_limit_fits_into_the_next() {
    assert_eq!(Settings::default().timeout, ATTEMPT_TIMEOUT);
    assert!(ATTEMPT_TIMEOUT <= Duration::from_secs(15));
    assert!(CONNECT_TIMEOUT < ATTEMPT_TIMEOUT);
    let whole = ATTEMPT_TIMEOUT + FOLLOW_UPS_TIMEOUT;
    // Whoever stops waits for attempts to end by themselves; what is cut off might be sent again.
    assert!(whole < DRAIN, "{whole:?}");
    assert!(DRAIN + Duration::from_secs(1) < Duration::from_secs(25));
    assert!(whole < GUARD && GUARD < LEASE);
}
