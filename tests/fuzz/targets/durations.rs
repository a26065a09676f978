//! Lengths of time, rates and names, as the configuration and the command line have them.

#![no_main]

use callout_core::id::{ChannelName, ReceiverName};
use callout_core::rate::Rate;
use callout_core::time::{format_duration, parse_duration};
use callout_fuzz::is_clean;
use libfuzzer_sys::fuzz_target;

/// The longest complaint about a text that may be of any length.
const COMPLAINT_BYTES_MAX: usize = 2048;

fn complains<E: std::fmt::Display>(error: E) {
    let text = error.to_string();
    assert!(is_clean(&text), "{text:?}");
    assert!(text.len() <= COMPLAINT_BYTES_MAX, "{} bytes", text.len());
}

fuzz_target!(|text: &str| {
    match parse_duration(text) {
        Ok(length) => {
            let exact = format!("{}ms", length.as_millis());
            assert_eq!(parse_duration(&exact), Ok(length));
            let shown = parse_duration(&format_duration(length)).expect("what we write, we read");
            assert!(shown <= length && (length - shown) * 2 <= length, "{shown:?} for {length:?}");
        }
        Err(error) => complains(error),
    }
    match text.parse::<Rate>() {
        Ok(rate) => assert_eq!(rate.to_string().parse(), Ok(rate)),
        Err(error) => complains(error),
    }
    match text.parse::<ReceiverName>() {
        Ok(name) => assert!(name.as_str() == text && is_clean(text) && text.len() <= 256),
        Err(error) => complains(error),
    }
    assert_eq!(text.parse::<ChannelName>().is_ok(), text.parse::<ReceiverName>().is_ok());
});
