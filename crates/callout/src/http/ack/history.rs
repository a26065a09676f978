//! What has happened to an alert so far: who was told, and what people did.

use super::view::{Moment, Reader, person};
use super::words::fill;
use callout_channels::{cut_text, harmless_line};
use callout_core::alert::Via;
use callout_core::escalation::Cause;
use callout_core::id::ReceiverName;
use callout_core::time::Timestamp;
use callout_store::model::{Alert, JournalEntry, StepRecord, Story};
use serde::Serialize;
use std::time::Duration;

/// The most entries; the latest are shown.
const ENTRIES_MAX: usize = 60;
/// The most UTF-16 units of a note.
const NOTE_MAX: usize = 600;

/// One thing that happened.
#[derive(Debug, Serialize)]
pub(super) struct Entry {
    at: Moment,
    text: String,
    note: Option<String>,
    /// `told` or `done`.
    kind: &'static str,
}

/// Everything that happened, oldest first.
pub(super) fn of(story: &Story, alert: &Alert, reader: &Reader) -> Vec<Entry> {
    let deeds = story.journal.iter().filter_map(|entry| Some((entry.at, done(entry, reader)?)));
    let steps = alert.steps.iter().map(|step| (step.at, told(step, alert, reader)));
    // What somebody did comes before what followed from it in the same moment.
    let mut all: Vec<(Timestamp, Entry)> = deeds.chain(steps).collect();
    all.sort_by_key(|(at, _)| *at);
    let hidden = all.len().saturating_sub(ENTRIES_MAX);
    all.into_iter().skip(hidden).map(|(_, entry)| entry).collect()
}

fn told(step: &StepRecord, alert: &Alert, reader: &Reader) -> Entry {
    let words = reader.words;
    let phrase = match step.cause {
        _ if step.to.is_empty() => words.told_nobody,
        Cause::Opened => words.told_first,
        Cause::Due => words.told_due,
        Cause::Unreachable => words.told_unreachable,
        Cause::Pushed => words.told_pushed,
        Cause::Restarted => words.told_restarted,
    };
    let names: Vec<String> = step.to.iter().map(|name| receiver(name, alert, reader)).collect();
    let names = words.names(names.iter().map(String::as_str));
    let mut parts = vec![fill(phrase, &[("names", &names)])];
    if step.round > 0 {
        let round = (u64::from(step.round) + 1).to_string();
        parts.push(fill(words.round, &[("n", &round)]));
    }
    if step.late > Duration::ZERO {
        parts.push(fill(words.late, &[("length", &words.length(step.late))]));
    }
    Entry { at: reader.moment(step.at), text: parts.join(" · "), note: None, kind: "told" }
}

fn receiver(name: &ReceiverName, alert: &Alert, reader: &Reader) -> String {
    if alert.told.contains(name) {
        return name.as_str().to_owned();
    }
    fill(reader.words.not_reached, &[("name", name.as_str())])
}

fn done(entry: &JournalEntry, reader: &Reader) -> Option<Entry> {
    let words = reader.words;
    let by_message = entry.via.as_deref() == Some(Via::Message.name());
    let phrase = match entry.event.as_str() {
        "acknowledged" => words.did_acknowledge,
        "unacknowledged" => words.did_unack,
        "resolved" if by_message => words.over_by_itself,
        "resolved" => words.did_resolve,
        "reopened" => words.did_reopen,
        "escalated" => words.did_escalate,
        "superseded" => words.superseded,
        _ => return None,
    };
    let by = person(entry.by.as_deref().unwrap_or("?"));
    let note = cut_text(&harmless_line(&entry.detail), NOTE_MAX);
    // What the program writes there by itself is not a person's note.
    let note = (!note.is_empty() && !by_message && entry.event != "superseded").then_some(note);
    Some(Entry {
        at: reader.moment(entry.at),
        text: fill(phrase, &[("name", &by)]),
        note,
        kind: "done",
    })
}
