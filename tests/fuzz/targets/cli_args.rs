//! The command line: words divided by zero bytes.

#![no_main]

use callout::cli::Cli;
use clap::Parser as _;
use libfuzzer_sys::fuzz_target;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

fuzz_target!(|bytes: &[u8]| {
    let words = bytes.split(|byte| *byte == 0).map(OsStr::from_bytes);
    let Err(answer) = Cli::try_parse_from(std::iter::once(OsStr::new("callout")).chain(words))
    else {
        return;
    };
    assert!(matches!(answer.exit_code(), 0 | 2), "{answer}");
    let text = answer.render().ansi().to_string();
    assert!(!text.is_empty());
});
