//! What the acknowledge page's form sends. The first lines are a header's name, its value and the body's
//! type; the rest is the body.

#![no_main]

use callout::fuzzing;
use callout_fuzz::is_clean;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut lines = bytes.splitn(4, |byte| *byte == b'\n');
    let mut line = || lines.next().and_then(|line| std::str::from_utf8(line).ok());
    let (Some(name), Some(value), Some(kind)) = (line(), line(), line()) else { return };
    let body = lines.next().unwrap_or_default();
    let Some((by, note, remembered)) = fuzzing::form((name, value), kind, body) else { return };
    assert!(!by.trim().is_empty() && by.len() <= 256 && is_clean(&by), "{by:?}");
    assert_eq!(remembered.as_ref(), Some(&by), "the cookie brings the name back");
    if let Some(note) = note {
        let seen = note.chars().all(|c| !c.is_control() || matches!(c, '\n' | '\t'));
        assert!(seen && !note.is_empty() && note.chars().count() <= 250, "{note:?}");
    }
});
