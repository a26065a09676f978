//! The `Retry-After` header.

#![no_main]

use callout_channels::channel::HttpResponse;
use callout_core::time::Timestamp;
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

fuzz_target!(|bytes: &[u8]| {
    let Some((at, text)) = bytes.split_first_chunk::<6>() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let ms = at.iter().fold(0, |ms, byte| ms << 8 | i64::from(*byte));
    let Some(at) = Timestamp::from_unix_ms(ms) else { return };
    let answer = |text: String| HttpResponse { retry_after: Some(text), ..HttpResponse::default() };
    let again = answer(text.to_owned()).retry_at(at);
    let wait = again.since(at);
    let in_bounds = Duration::from_secs(1) <= wait && wait <= Duration::from_secs(3600);
    assert!(in_bounds || again == Timestamp::LAST, "{text:?} asks for {wait:?}");
    assert_eq!(answer(format!(" {text} ")).retry_at(at), again, "white space says nothing");
});
