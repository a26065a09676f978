//! What has happened to an alert so far: who was told, and what people did.

use super::view::{Moment, Reader, person};
use super::words::fill;
use callout_channels::{cut_text, harmless_line};
use callout_core::alert::Via;
use callout_core::escalation::{Cause, Reach};
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
    let steps = alert.steps.iter().map(|step| (step.at, told(step, story, reader)));
    // What somebody did comes before what followed from it in the same moment.
    let mut all: Vec<(Timestamp, Entry)> = deeds.chain(steps).collect();
    all.sort_by_key(|(at, _)| *at);
    let hidden = all.len().saturating_sub(ENTRIES_MAX);
    all.into_iter().skip(hidden).map(|(_, entry)| entry).collect()
}

fn told(step: &StepRecord, story: &Story, reader: &Reader) -> Entry {
    let words = reader.words;
    let what = what(step, story, reader);
    let phrase = match step.cause {
        _ if step.to.is_empty() => words.told_nobody,
        Cause::Opened => words.told_first,
        Cause::Due => words.told_due,
        Cause::Unreachable => words.told_unreachable,
        Cause::Pushed => words.told_pushed,
        Cause::Restarted => words.told_restarted,
    };
    let mut parts = vec![fill(phrase, &[("what", &what)])];
    if step.round > 0 {
        let round = (u64::from(step.round) + 1).to_string();
        parts.push(fill(words.round, &[("n", &round)]));
    }
    if step.late > Duration::ZERO {
        parts.push(fill(words.late, &[("length", &words.length(step.late))]));
    }
    Entry { at: reader.moment(step.at), text: parts.join(" · "), note: None, kind: "told" }
}

/// Whom a step has told. Whom it did not is said once if it is true of all, or else with each name.
fn what(step: &StepRecord, story: &Story, reader: &Reader) -> String {
    let words = reader.words;
    let reaches: Vec<Reach> = step.to.iter().map(|name| reach(step, name, story)).collect();
    let alike = |wanted| reaches.iter().all(|reach| *reach == wanted);
    let (phrase, all_alike) = if alike(Reach::Nobody) {
        (words.missed, true)
    } else if alike(Reach::Underway) {
        (words.telling, true)
    } else {
        (words.told, false)
    };
    let marked = step.to.iter().zip(&reaches).map(|(name, reach)| {
        let phrase = match reach {
            Reach::Nobody if !all_alike => words.not_reached,
            Reach::Underway if !all_alike => words.not_yet_reached,
            Reach::Told | Reach::Underway | Reach::Nobody => "{name}",
        };
        fill(phrase, &[("name", name.as_str())])
    });
    let marked: Vec<String> = marked.collect();
    fill(phrase, &[("names", &words.names(marked.iter().map(String::as_str)))])
}

/// How far the deliveries of one step to one receiver have come.
fn reach(step: &StepRecord, name: &ReceiverName, story: &Story) -> Reach {
    let deliveries = story.deliveries.iter();
    let own = deliveries.filter(|d| d.decision == Some(step.decision) && d.receiver == *name);
    Reach::of(own.map(|delivery| delivery.state.standing()))
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
        // A delivery may be cancelled by nobody.
        "cancelled" if entry.by.is_some() => words.did_cancel,
        _ => return None,
    };
    let by = person(entry.by.as_deref().unwrap_or("?"));
    let note = cut_text(&harmless_line(&entry.detail), NOTE_MAX);
    // What the program writes there by itself is not a person's note.
    let is_noted = !by_message && !matches!(entry.event.as_str(), "superseded" | "cancelled");
    let note = (is_noted && !note.is_empty()).then_some(note);
    Some(Entry {
        at: reader.moment(entry.at),
        text: fill(phrase, &[("name", &by)]),
        note,
        kind: "done",
    })
}
