//! The configuration. `SECRET` in the text stands for a credential, which nobody may see again.

#![no_main]

use callout::fuzzing;
use libfuzzer_sys::fuzz_target;
use std::path::Path;

/// Stands for a credential.
const SECRET: &str = "zq7secret9wvzq7secret9wvzq7secret9wv";

fuzz_target!(|text: &str| {
    let text = text.replace("SECRET", SECRET);
    match fuzzing::config(Path::new("/nowhere"), &text) {
        Ok(config) => {
            let shown = format!("{config:?}");
            assert!(!shown.contains(SECRET) || is_elsewhere(&text), "{shown}");
        }
        Err(errors) => {
            assert!(!errors.0.is_empty(), "what is wrong has a reason");
            for error in &errors.0 {
                let shown = error.to_string();
                assert!(!shown.contains(SECRET) || is_elsewhere(&text), "{shown}");
                if let Some(place) = &error.place {
                    let lines = text.trim_start_matches('\u{feff}').split('\n').count();
                    assert!((1..=lines).contains(&place.line) && place.column >= 1, "{place:?}");
                }
                assert!(shown.chars().all(|c| !c.is_control() || c == '\n'), "{shown:?}");
            }
        }
    }
});

/// Whether it also stands where no credential belongs: outside quotes, as a key or a name.
fn is_elsewhere(text: &str) -> bool {
    let credential = ["access_token", "sign_key", "webhook_url", "token", "ack_key", "auth_token"];
    let ours = |line: &str| credential.iter().any(|key| line == format!("{key} = \"{SECRET}\""));
    text.lines().any(|line| line.contains(SECRET) && !ours(line))
}
