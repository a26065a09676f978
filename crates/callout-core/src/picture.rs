//! `docs/state-machine.md`: what every state machine does, asked of the machines themselves.
//!
//! Each machine's tests name its states and events; this file only draws.

use crate::{alert, delivery, escalation};
use expect_test::expect_file;
use std::fmt::Write as _;

const HEADER: &str = "# The life of a delivery, an alert and an escalation\n\n\
    Generated from the functions `step` of `callout_core` by a test; `UPDATE_EXPECT=1 ./scripts/test` writes it anew.\n\
    What is not listed cannot happen and changes nothing.\n";

/// One machine's part: its states, each with what follows from which event.
pub(crate) fn machine(title: &str, words: &str, states: Vec<(&str, Rows)>) -> String {
    let mut picture = format!("\n## {title}\n\n{words}\n");
    for (name, rows) in states {
        _ = write!(picture, "\n### {name}\n\n| event | next |\n|---|---|\n");
        for (event, next) in &rows {
            _ = writeln!(picture, "| {event} | {next} |");
        }
        if rows.is_empty() {
            picture.push_str("| none | it stays |\n");
        }
    }
    picture
}

/// Events that can happen in a state, each with what follows.
pub(crate) type Rows = Vec<(String, String)>;

#[test]
fn the_picture_shows_every_transition() {
    let picture = [
        HEADER,
        &delivery::tests::picture(),
        &alert::tests::picture(),
        &escalation::tests::picture(),
    ]
    .concat();
    expect_file!["../../../docs/state-machine.md"].assert_eq(&picture);
}
