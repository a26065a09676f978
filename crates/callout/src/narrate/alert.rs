//! An alert's life in words: who was told when and why, who did what about it, and what happens next.

use super::length;
use crate::print::local_in;
use callout_core::alert::{State, Via};
use callout_core::escalation::{Cause, Policy, Timer};
use callout_core::id::ReceiverName;
use callout_core::time::{Timestamp, format_duration};
use callout_store::model::{Alert, JournalEntry, StepRecord};
use jiff::tz::TimeZone;
use std::fmt::Write as _;
use std::time::Duration;

/// What people do about alerts, as the journal calls it.
const DEEDS: [&str; 7] = [
    "acknowledged",
    "unacknowledged",
    "resolved",
    "reopened",
    "escalated",
    "superseded",
    "cancelled",
];

/// Whether an entry of the journal belongs to the alert's life.
pub(super) fn is_deed(entry: &JournalEntry) -> bool {
    DEEDS.contains(&entry.event.as_str())
}

/// The alert's whole life, in order.
pub(super) fn tell(
    text: &mut String,
    id: &str,
    alert: &Alert,
    journal: &[JournalEntry],
    now: Timestamp,
    zone: &TimeZone,
) {
    _ = writeln!(text, "\nalert: {}", standing(alert, now, zone));
    _ = writeln!(text, "  {}", policy(&alert.policy));
    let deeds = journal.iter().filter(|entry| is_deed(entry)).map(|entry| (entry.at, deed(entry)));
    let steps = alert.steps.iter().map(|record| step(alert, record, now, zone));
    // What somebody did comes before what followed from it in the same millisecond.
    let mut events: Vec<(Timestamp, String)> = deeds.chain(steps).collect();
    events.sort_by_key(|(at, _)| *at);
    for (at, event) in events {
        _ = writeln!(text, "  {}  {event}", local_in(at, zone));
    }
    if alert.repeats > 0 {
        let last = alert.last_repeat_at.map(|at| format!(", last at {}", local_in(at, zone)));
        let (times, last) = (times(alert.repeats), last.unwrap_or_default());
        _ = writeln!(text, "  the same problem was reported {times} more{last}");
    }
    _ = writeln!(text, "  next: {}", next(alert, id, now, zone));
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

/// Where an alert stands, who brought it there, and since when; reads well after "it is".
pub fn standing(alert: &Alert, now: Timestamp, zone: &TimeZone) -> String {
    let at = |instant| local_in(instant, zone);
    if let (State::Resolved(deed), Some(newer)) = (&alert.state, &alert.superseded_by) {
        let since = at(deed.at);
        return format!(
            "superseded since {since}: a newer alert for the same problem took its place, {newer}"
        );
    }
    let opened = match alert.opened_at {
        opened if opened > now => "open".to_owned(),
        opened => format!("open since {}", at(opened)),
    };
    match (&alert.state, &alert.timer) {
        (State::Open, Timer::Exhausted { .. }) => {
            format!("{opened} and exhausted: it was everybody's turn, and nobody acknowledged it")
        }
        (State::Open, _) if is_delayed(alert, now) => {
            format!("delayed until {}, and opens then", at(alert.opened_at))
        }
        (State::Open, timer) => {
            let (step, steps) = (timer.place().step + 1, alert.policy.steps.len());
            format!("{opened}, step {step} of {steps}{}", round(timer.place().round))
        }
        (State::Acknowledged(deed), _) => {
            format!("acknowledged by {} since {}", deed.by, at(deed.at))
        }
        (State::Resolved(deed), _) => format!("resolved by {} at {}", deed.by, at(deed.at)),
    }
}

/// Whether its first step still lies ahead, because its message asked for a delay.
fn is_delayed(alert: &Alert, now: Timestamp) -> bool {
    alert.opened_at > now && alert.timer.place().cause == Cause::Opened
}

/// How an alert was cancelled together with its message, if that is what ended it.
pub fn cancelled<'a>(alert: &Alert, journal: &'a [JournalEntry]) -> Option<&'a JournalEntry> {
    let State::Resolved(deed) = &alert.state else { return None };
    journal.iter().find(|entry| entry.event == "cancelled" && entry.at == deed.at)
}

/// Why nobody is told of it again, if somebody has it or it is over.
pub fn stopped(alert: &Alert) -> Option<String> {
    if let Some(newer) = &alert.superseded_by {
        return Some(format!("{newer} took the alert's place, so nobody is told of it again"));
    }
    let (name, by) = (alert.state.name(), &alert.state.deed()?.by);
    Some(format!("the alert is {name} by {by}, so nobody is told of it again"))
}

fn round(round: u32) -> String {
    if round == 0 { String::new() } else { format!(", round {}", u64::from(round) + 1) }
}

/// What happens next and when if nobody acts.
pub fn next(alert: &Alert, id: &str, now: Timestamp, zone: &TimeZone) -> String {
    if let Some(newer) = &alert.superseded_by {
        return format!(
            "nobody is told of this one; `callout ack {newer}` takes the newer one, `callout why {newer}` tells of it"
        );
    }
    if alert.state == State::Open && is_delayed(alert, now) {
        let first = alert.steps.first().and_then(|record| people(&record.to));
        let first = first.unwrap_or_else(|| "nobody".to_owned());
        let when = when(alert.opened_at, now, zone);
        return format!("it is the turn of {first} (step 1) {when}");
    }
    match (&alert.state, &alert.timer) {
        (State::Acknowledged(deed), _) => format!(
            "nobody else is told, {} has it; `callout resolve {id}` ends it, `callout unack {id}` gives it back",
            deed.by
        ),
        (State::Resolved(_), _) => {
            format!("nobody is told, it is over; `callout unack {id}` opens it again")
        }
        (State::Open, Timer::Exhausted { .. }) => format!(
            "nobody else is told; `callout ack {id}` takes it, `callout escalate {id}` tells the first step again"
        ),
        (State::Open, timer) => match timer.upcoming(&alert.policy) {
            Some(upcoming) => {
                let what = match people(&upcoming.to) {
                    None => "the escalation ends and the operator is told".to_owned(),
                    Some(who) => {
                        let step = upcoming.step + 1;
                        format!("it is the turn of {who} (step {step}{})", round(upcoming.round))
                    }
                };
                format!("if nobody acknowledges it, {what} {}", when(upcoming.at, now, zone))
            }
            None => "nobody else is told".to_owned(),
        },
    }
}

fn when(at: Timestamp, now: Timestamp, zone: &TimeZone) -> String {
    if at > now {
        format!("in {}, at {}", length(at.since(now)), local_in(at, zone))
    } else {
        let due = length(now.since(at));
        format!("as soon as a worker looks (due for {due}; is `callout serve` running?)")
    }
}

/// `ops`, `ops and lead`; `None` for nobody.
fn people(to: &[ReceiverName]) -> Option<String> {
    let (last, others) = to.split_last()?;
    if others.is_empty() {
        return Some(last.to_string());
    }
    let others: Vec<&str> = others.iter().map(ReceiverName::as_str).collect();
    Some(format!("{} and {last}", others.join(", ")))
}

/// ` (step 1 of 2, round 2)`: which decision it was; `None` if that was not written down.
pub(super) fn turn(alert: &Alert, decision: u32) -> Option<String> {
    let record = alert.steps.iter().find(|record| record.decision == decision)?;
    Some(format!(" ({})", place(alert, record)))
}

fn place(alert: &Alert, record: &StepRecord) -> String {
    let (step, steps) = (record.step + 1, alert.policy.steps.len());
    format!("step {step} of {steps}{}", round(record.round))
}

/// Who is told in which order, in one line.
fn policy(policy: &Policy) -> String {
    let steps = policy.steps.iter().map(|step| {
        let to: Vec<&str> = step.to.iter().map(ReceiverName::as_str).collect();
        format!("{} ({})", to.join(", "), format_duration(step.ack_within))
    });
    let steps = steps.collect::<Vec<_>>().join(", then ");
    let again = match policy.repeat {
        0 => String::new(),
        n => format!("; {} more from the top", times(u64::from(n))),
    };
    match &policy.name {
        Some(name) => format!("escalation policy {name}: {steps}{again}"),
        None => format!("the message asked for it: {steps}{again}"),
    }
}

/// Whose turn it was or will be, when and why. Whether they could be told, their deliveries tell.
fn step(
    alert: &Alert,
    record: &StepRecord,
    now: Timestamp,
    zone: &TimeZone,
) -> (Timestamp, String) {
    let at = match record.cause {
        Cause::Opened => record.at.max(alert.opened_at),
        Cause::Due | Cause::Unreachable | Cause::Pushed | Cause::Restarted => record.at,
    };
    let why = match record.cause {
        Cause::Opened if at > now => "it opens then",
        Cause::Opened => "it opened",
        Cause::Due => "nobody had acknowledged it in time",
        Cause::Unreachable => "nobody of the step before could be reached",
        Cause::Pushed => "somebody asked for the next step",
        Cause::Restarted => "it was open again",
    };
    let late = match record.late {
        Duration::ZERO => String::new(),
        late => format!(", {} late because no worker ran", length(late)),
    };
    let Some(who) = people(&record.to) else {
        return (at, format!("exhausted: nobody is left to tell ({why}{late})"));
    };
    let until = record.due_at.map(|at| format!("; time until {}", local_in(at, zone)));
    let (place, until) = (place(alert, record), until.unwrap_or_default());
    (at, format!("{place}: {who} ({why}{late}){until}"))
}

/// `acknowledged by alice, on the page, from 10.0.0.7: "on it"`.
pub(super) fn deed(entry: &JournalEntry) -> String {
    let mut text = entry.event.clone();
    if let Some(by) = &entry.by {
        _ = write!(text, " by {by}");
    }
    if let Some(via) = &entry.via {
        let via = Via::from_name(via).map_or_else(|| via.clone(), |via| way(via).to_owned());
        _ = write!(text, ", {via}");
    }
    if let Some(origin) = &entry.origin {
        _ = write!(text, ", from {origin}");
    }
    if !entry.detail.is_empty() {
        _ = write!(text, ": {}", entry.detail);
    }
    text
}

fn way(via: Via) -> &'static str {
    match via {
        Via::Page => "on the page",
        Via::Command => "by command",
        Via::Api => "over the API",
        Via::Message => "by a message",
        Via::Channel => "in the channel",
    }
}
