//! Apprise addresses, which hold a service and its credentials.

#![no_main]

use callout_channels::{Channel, apprise};
use callout_fuzz::is_clean;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// What stands in for a credential; no complaint may show it.
const SECRET: &str = "Zq7Secret9Wv";

fuzz_target!(|text: &str| {
    let address = text.replace("SECRET", SECRET);
    match apprise::translate(&address) {
        Ok((kind, settings)) => {
            let Err(problems) = Channel::build(kind, Value::Object(settings)) else { return };
            for problem in problems {
                assert!(!problem.text.contains(SECRET), "{kind}: {problem:?}");
                assert!(is_clean(&problem.text) && problem.text.len() <= 2048, "{problem:?}");
            }
        }
        Err(text) => {
            assert!(!text.contains(SECRET), "{address:?}: {text}");
            assert!(is_clean(&text) && text.len() <= 2048, "{text:?}");
        }
    }
});
