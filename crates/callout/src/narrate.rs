//! A message's story in words: where it went and why, what each try brought, what it waited for, and
//! what happens next.

pub mod alert;

use crate::print::local_in;
use callout_core::delivery::{Cause, State, Wait};
use callout_core::message::Message;
use callout_core::plan::MessageState;
use callout_core::time::{Timestamp, format_duration};
use callout_store::model::{Alert, AttemptRecord, Delivery, JournalEntry, Story};
use jiff::tz::TimeZone;
use std::fmt::Write as _;
use std::time::Duration;

/// Shorter waits go without a word.
const WAIT_WORTH_TELLING: Duration = Duration::from_millis(100);

/// What somebody can do about a try that failed, as a line, if that is known.
pub type Advise<'a> = &'a dyn Fn(&AttemptRecord) -> Option<String>;

/// Tells the whole story of one message as it stands `now`; ends with a line feed.
pub fn story(story: &Story, now: Timestamp, zone: &TimeZone) -> String {
    advised(story, now, zone, &|_| None)
}

/// The same, with what to do about the channels that [failed](failures).
pub fn advised(story: &Story, now: Timestamp, zone: &TimeZone, advise: Advise<'_>) -> String {
    let summary = &story.summary;
    let at = |instant| local_in(instant, zone);
    let mut text = String::new();
    let state = match &summary.alert {
        // Whether somebody has it says more than whether a provider took it.
        Some(alert) if alert.exhausted => "exhausted, nobody has acknowledged it".to_owned(),
        Some(alert) => format!("{}, the message {}", alert.state.name(), summary.state.name()),
        None => summary.state.name().to_owned(),
    };
    _ = writeln!(text, "{} ({}) is {state}", summary.title, summary.level);
    _ = writeln!(text, "  {}", summary.id);
    _ = writeln!(text, "  {}  enqueued", at(summary.created_at));
    if let Err(problem) = &story.message {
        _ = writeln!(text, "  {problem}");
    }
    if let Some(why) = &story.why {
        _ = writeln!(text, "  route: {why}");
    } else if summary.state == MessageState::Pending {
        _ = writeln!(text, "  next: the worker decides who hears of it (is it running?)");
        if let Some(wish) = story.message.as_ref().ok().and_then(wish) {
            _ = writeln!(text, "  its producer wants {wish}");
        }
    }
    let is_decided = story.why.is_some() || summary.state != MessageState::Pending;
    if is_decided && story.deliveries.is_empty() {
        _ = writeln!(text, "  {}", without_deliveries(summary.state));
    }
    let alert = story.alert.as_ref();
    for delivery in &story.deliveries {
        tell_delivery(&mut text, delivery, alert, summary.created_at, now, zone);
        for advice in failures(delivery).into_iter().filter_map(advise) {
            _ = writeln!(text, "  {advice}");
        }
    }
    if let Some(owner) = &story.belongs_to {
        _ = writeln!(
            text,
            "\nit belongs to the alert of {owner}; `callout why {owner}` tells that"
        );
    }
    if let Some(about) = &story.alert {
        alert::tell(&mut text, &summary.id, about, &story.journal, now, zone);
    }
    let is_rest = |entry: &&JournalEntry| story.alert.is_none() || !alert::is_deed(entry);
    let rest: Vec<&JournalEntry> = story.journal.iter().filter(is_rest).collect();
    if !rest.is_empty() {
        _ = writeln!(text, "\nalso");
    }
    for entry in rest {
        _ = writeln!(text, "  {}  {}", at(entry.at), alert::deed(entry));
    }
    text
}

/// What planning will heed.
fn wish(message: &Message) -> Option<String> {
    let delay = message.delay.map(|delay| format!("a delay of {}", format_duration(delay)));
    let life = message.ttl.map(|ttl| format!("a life of {}", format_duration(ttl)));
    let wish: Vec<_> = delay.into_iter().chain(life).collect();
    (!wish.is_empty()).then(|| wish.join(" and then "))
}

/// The last try on each channel that has not taken the delivery, in the order of those tries. That
/// another channel has taken it mends nothing for the next message.
pub fn failures(delivery: &Delivery) -> Vec<&AttemptRecord> {
    let tries = &delivery.attempts;
    let is_last = |n: usize, attempt: &AttemptRecord| {
        tries.iter().skip(n + 1).all(|later| later.channel != attempt.channel)
    };
    let last = tries.iter().enumerate().filter(|(n, attempt)| is_last(*n, attempt));
    last.map(|(_, attempt)| attempt).filter(|attempt| attempt.outcome != "accepted").collect()
}

fn tell_delivery(
    text: &mut String,
    delivery: &Delivery,
    alert: Option<&Alert>,
    created_at: Timestamp,
    now: Timestamp,
    zone: &TimeZone,
) {
    let turn = alert.and_then(|alert| alert::turn(alert, delivery.decision?)).unwrap_or_default();
    _ = writeln!(text, "\nto {}{turn}: {}", delivery.receiver, delivery.state.name());
    let mut before = created_at;
    for attempt in &delivery.attempts {
        for wait in waits(before, attempt) {
            _ = writeln!(text, "    {wait}");
        }
        _ = writeln!(text, "  {}  {}", local_in(attempt.started_at, zone), told(attempt));
        before = attempt.started_at + attempt.duration;
    }
    _ = writeln!(text, "  {}", next(delivery, alert, now, zone));
}

/// Why a due delivery is not being sent.
const WHAT_HOLDS_IT_UP: &str = "no worker runs, its rate limit is used up, it is paused, or all its slots are taken: see `callout channels`";

/// What becomes of a message that nobody has to be told.
fn without_deliveries(state: MessageState) -> &'static str {
    match state {
        MessageState::Dead => "it was set aside and is not sent to anybody; the operator is told",
        MessageState::Merged => {
            "it was counted with an alert that was open already, and sent to nobody"
        }
        MessageState::Cancelled => "it was called off before anybody was told",
        MessageState::Pending | MessageState::Accepted | MessageState::Expired => {
            "nobody is told; it is only recorded"
        }
    }
}

/// What happened between the end of the last try and the beginning of this one.
fn waits(before: Timestamp, attempt: &AttemptRecord) -> Vec<String> {
    let mut waits = Vec::new();
    let due = attempt.due_at.since(before);
    if due >= WAIT_WORTH_TELLING || attempt.wait != Wait::New {
        waits.push(format!("waited {}: {}", length(due), reason(attempt.wait)));
    }
    let slot = attempt.started_at.since(attempt.due_at.max(before));
    if slot >= WAIT_WORTH_TELLING {
        let more = if waits.is_empty() { "" } else { " more" };
        waits.push(format!(
            "waited {}{more} until {} could be used",
            length(slot),
            attempt.channel
        ));
    }
    waits
}

fn told(attempt: &AttemptRecord) -> String {
    let code = attempt.code.as_ref().map(|code| format!(" {code}")).unwrap_or_default();
    let detail = match attempt.detail.as_str() {
        "" => String::new(),
        detail => format!(": {detail}"),
    };
    let late = if attempt.late { ", too late to count" } else { "" };
    let (number, channel, outcome) = (attempt.number, &attempt.channel, &attempt.outcome);
    format!(
        "try {number} on {channel}: {outcome}{code}{detail} (took {}{late})",
        length(attempt.duration)
    )
}

/// What happens next and when, or how it ended.
fn next(delivery: &Delivery, alert: Option<&Alert>, now: Timestamp, zone: &TimeZone) -> String {
    // What somebody has, or what is over, is not put back.
    let is_stopped = alert.and_then(alert::stopped).is_some();
    let again = if is_stopped { "" } else { "; `callout replay` puts it back" };
    let at = |instant| local_in(instant, zone);
    let place = delivery.state.place();
    let (channel, number) = (&place.channel, place.tries + 1);
    match &delivery.state {
        State::Ready { at: due, wait, .. } => {
            let when = if *due > now {
                format!("in {}, at {}", length(due.since(now)), at(*due))
            } else {
                let due = length(now.since(*due));
                format!("as soon as it can be used (due for {due}; {WHAT_HOLDS_IT_UP})")
            };
            let form = if place.plain { " as plain text" } else { "" };
            let failover = place.failover_at.filter(|due| *due > now).map(|due| {
                format!("\n  if that does not help, the next channel's turn comes at {}", at(due))
            });
            format!(
                "next: try {number} on {channel}{form} {when}: {}{}\n  expires {}",
                reason(*wait),
                failover.unwrap_or_default(),
                at(delivery.expires_at)
            )
        }
        State::Leased { .. } => match delivery.leased_at {
            Some(since) => format!(
                "now: try {} on {channel} has been running for {}",
                place.tries,
                length(now.since(since))
            ),
            None => format!("now: try {} on {channel} is running", place.tries),
        },
        State::Accepted { at: ended, .. } => format!("accepted by {channel} at {}", at(*ended)),
        State::Dead { at: ended, cause, .. } => {
            format!("dead since {}: {}{again}", at(*ended), cause_words(*cause))
        }
        State::Expired { at: ended, .. } => {
            format!("expired at {}: nobody accepted it in time{again}", at(*ended))
        }
        State::Cancelled { at: ended, .. } => {
            format!("cancelled at {}{again}", at(*ended))
        }
    }
}

/// Why a delivery waits, in words.
pub fn reason(wait: Wait) -> &'static str {
    match wait {
        Wait::New => "it is new",
        Wait::Escalated => "it was their turn in the alert's escalation",
        Wait::Delay => "its producer asked for a delay",
        Wait::Backoff => "backoff after a failed try",
        Wait::Throttled => "the provider asked for patience",
        Wait::Failover => "failover, the channel before it was given up",
        Wait::Round => "the whole chain failed and starts over",
        Wait::Plain => "the provider refused the rich form, plain text is next",
        Wait::Circuit => "the channel keeps failing and is probed now and then",
        Wait::Abandoned => "the worker died in the middle of a try",
        Wait::HandedBack => "a stopping worker handed it back",
        Wait::Replayed => "an operator put it back",
    }
}

fn cause_words(cause: Cause) -> &'static str {
    match cause {
        Cause::Rejected => "every channel refused it for good",
        Cause::NoChannel => "its receiver has no channel any more",
        Cause::Quarantined => "the stored message is damaged",
        Cause::Poison => "its worker died in the middle of every try",
    }
}

/// A length of time as people say it: `850ms`, `2.1s`, `1h30m`.
pub fn length(length: Duration) -> String {
    match length.as_millis() {
        ms @ 0..1_000 => format!("{ms}ms"),
        ms @ 1_000..60_000 => format!("{}.{}s", ms / 1_000, ms % 1_000 / 100),
        _ => format_duration(Duration::from_secs(length.as_secs())),
    }
}

#[cfg(test)]
mod tests;
