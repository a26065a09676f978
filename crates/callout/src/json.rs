//! The JSON shapes of commands and of the HTTP API, which are the same.
//!
//! Keys are always present; what is not known is null. Times are RFC 3339 in UTC with milliseconds,
//! lengths of time are whole milliseconds in keys that end with `_ms`.

pub mod alert;

use crate::config::ChannelConfig;
use crate::narrate;
use callout_channels::spec::Spec;
use callout_core::delivery::State;
use callout_core::id::ChannelName;
use callout_core::message::{Attachment, Message};
use callout_core::plan::MessageState;
use callout_core::time::Timestamp;
use callout_store::model::{
    AttemptRecord, Delivery, Health, JournalEntry, Page, Stats, Story, Summary,
};
use serde_json::{Map, Value, json};
use std::time::Duration;

/// An instant.
pub fn time(at: Timestamp) -> String {
    // The last day of the year 9999 is too late for a calendar with time zones.
    let instant = jiff::Timestamp::from_millisecond(at.unix_ms()).unwrap_or(jiff::Timestamp::MAX);
    format!("{instant:.3}")
}

/// A length of time in whole milliseconds.
pub fn ms(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// One message in a list: `{"id","state","level","title","created_at","settled_at","deliveries":
/// [{"receiver","state"}],"alert"}`, the last as [`alert::summary`] or null.
pub fn summary(summary: &Summary) -> Value {
    let deliveries = summary.deliveries.iter().map(
        |(receiver, standing)| json!({ "receiver": receiver.as_str(), "state": standing.name() }),
    );
    json!({
        "id": summary.id,
        "state": summary.state.name(),
        "level": summary.level,
        "title": summary.title,
        "created_at": time(summary.created_at),
        "settled_at": summary.settled_at.map(time),
        "deliveries": deliveries.collect::<Vec<_>>(),
        "alert": summary.alert.as_ref().map(alert::summary),
    })
}

/// The messages of one page: an array of [`summary`].
pub fn page(page: &Page) -> Value {
    page.messages.iter().map(summary).collect()
}

/// Everything about one message: `{"id","state","level","title","created_at","settled_at","why",
/// "damaged","body","labels","links","images","attachments":[{"name","bytes"}],"mentions","to",
/// "native","idempotency_key","dedup_key","delay_ms","ttl_ms","require_ack","ack_within_ms","resolve",
/// "alert","belongs_to","deliveries":[{"id","receiver","decision","state",
/// "channel","next_at","wait","cause","round","tries","failover_at","expires_at","ended_at",
/// "attempts":[{"number","channel","outcome","code","detail","started_at","duration_ms","due_at",
/// "wait","late"}]}],"journal":[{"at","event","detail","by","via","origin"}]}`.
///
/// `alert` is as [`alert::alert`], null if nobody has to acknowledge the message; `belongs_to` is the id
/// of the message whose alert this one was counted with, joined or resolved. A delivery's `decision` is
/// that of the alert's step by which it was made, null without an alert.
///
/// A try that is under way is an attempt whose `outcome` is null. Of a message that cannot be read,
/// `damaged` says why and its parts are null.
pub fn story(story: &Story) -> Value {
    let summary = &story.summary;
    let mut all = json!({
        "id": summary.id,
        "state": summary.state.name(),
        "level": summary.level,
        "title": summary.title,
        "created_at": time(summary.created_at),
        "settled_at": summary.settled_at.map(time),
        "why": story.why,
        "damaged": story.message.as_ref().err(),
        "alert": story.alert.as_ref().map(|known| alert::alert(known, &story.journal)),
        "belongs_to": story.belongs_to,
        "deliveries": story.deliveries.iter().map(delivery).collect::<Vec<_>>(),
        "journal": story.journal.iter().map(journal_entry).collect::<Vec<_>>(),
    });
    if let Some(all) = all.as_object_mut() {
        all.extend(parts(story.message.as_ref().ok()));
    }
    all
}

fn parts(message: Option<&Message>) -> Map<String, Value> {
    let part = |value: fn(&Message) -> Value| message.map_or(Value::Null, value);
    let parts = [
        ("body", part(|m| json!(m.body))),
        ("labels", part(|m| json!(m.labels))),
        ("links", part(|m| json!(m.links))),
        ("images", part(|m| json!(m.images))),
        ("attachments", part(|m| m.attachments.iter().map(attachment).collect())),
        ("mentions", part(|m| json!(m.mentions))),
        ("to", part(|m| json!(m.to))),
        ("native", part(|m| json!(m.native))),
        ("idempotency_key", part(|m| json!(m.idempotency_key))),
        ("dedup_key", part(|m| json!(m.dedup_key))),
        ("delay_ms", part(|m| json!(m.delay.map(ms)))),
        ("ttl_ms", part(|m| json!(m.ttl.map(ms)))),
        ("require_ack", part(|m| json!(m.require_ack))),
        ("ack_within_ms", part(|m| json!(m.ack_within.map(ms)))),
        ("resolve", part(|m| json!(m.resolve))),
    ];
    parts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

fn attachment(file: &Attachment) -> Value {
    let padding = file.base64.len() - file.base64.trim_end_matches('=').len();
    json!({ "name": file.name, "bytes": (file.base64.len() / 4 * 3).saturating_sub(padding) })
}

fn delivery(delivery: &Delivery) -> Value {
    let place = delivery.state.place();
    let (next_at, wait) = match &delivery.state {
        State::Ready { at, wait, .. } => (Some(*at), Some(wait.name())),
        _ => (None, None),
    };
    let (ended_at, cause) = match &delivery.state {
        State::Ready { .. } | State::Leased { .. } => (None, None),
        State::Accepted { at, .. } | State::Expired { at, .. } | State::Cancelled { at, .. } => {
            (Some(*at), None)
        }
        State::Dead { at, cause, .. } => (Some(*at), Some(cause.name())),
    };
    let mut attempts: Vec<Value> = delivery.attempts.iter().map(attempt).collect();
    attempts.extend(running(delivery));
    json!({
        "id": delivery.id.0,
        "receiver": delivery.receiver.as_str(),
        "decision": delivery.decision,
        "state": delivery.state.name(),
        "channel": place.channel.as_str(),
        "next_at": next_at.map(time),
        "wait": wait,
        "cause": cause,
        "round": place.round,
        "tries": place.tries,
        "failover_at": place.failover_at.map(time),
        "expires_at": time(delivery.expires_at),
        "ended_at": ended_at.map(time),
        "attempts": attempts,
    })
}

fn attempt(attempt: &AttemptRecord) -> Value {
    json!({
        "number": attempt.number,
        "channel": attempt.channel.as_str(),
        "outcome": attempt.outcome,
        "code": attempt.code,
        "detail": attempt.detail,
        "started_at": time(attempt.started_at),
        "duration_ms": ms(attempt.duration),
        "due_at": time(attempt.due_at),
        "wait": attempt.wait.name(),
        "late": attempt.late,
    })
}

fn running(delivery: &Delivery) -> Option<Value> {
    let State::Leased { place, .. } = &delivery.state else { return None };
    Some(json!({
        "number": place.tries,
        "channel": place.channel.as_str(),
        "outcome": null,
        "code": null,
        "detail": null,
        "started_at": delivery.leased_at.map(time),
        "duration_ms": null,
        "due_at": null,
        "wait": null,
        "late": false,
    }))
}

fn journal_entry(entry: &JournalEntry) -> Value {
    json!({
        "at": time(entry.at),
        "event": entry.event,
        "detail": entry.detail,
        "by": entry.by,
        "via": entry.via,
        "origin": entry.origin,
    })
}

/// A [`story`] with `"story"`, the same in words, line by line, and `"advice"`:
/// `[{"receiver","channel","advice"}]`, what to do about each channel that failed, as far as `advise` knows.
pub fn why(
    told: &Story,
    now: Timestamp,
    advise: &dyn Fn(&AttemptRecord) -> Option<&'static str>,
) -> Value {
    let mut all = story(told);
    let words = narrate::story(told, now, &jiff::tz::TimeZone::UTC);
    let failures = told.deliveries.iter().flat_map(|delivery| {
        narrate::failures(delivery).into_iter().map(|attempt| (&delivery.receiver, attempt))
    });
    let advice = failures.filter_map(|(receiver, attempt)| {
        let (channel, advice) = (attempt.channel.as_str(), advise(attempt)?);
        Some(json!({ "receiver": receiver.as_str(), "channel": channel, "advice": advice }))
    });
    if let Some(all) = all.as_object_mut() {
        all.insert("story".to_owned(), words.lines().collect());
        all.insert("advice".to_owned(), advice.collect());
    }
    all
}

/// Counts and times: `{"messages":{"pending","merged","accepted","cancelled","expired","dead"},"unplanned",
/// "deliveries":[{"channel","state","count"}],"attempts":[{"channel","outcome","count"}],
/// "oldest_due_ms","accept_latency_ms":{"p50","p90","p99"},"alerts"}`, where `alerts` is
/// `{"open","acknowledged","exhausted","levels":[{"level",C}],"receivers":[{"receiver",C}]}` and C is
/// `"total","open","escalated","exhausted","time_to_ack_ms":{"p50","p90"}`.
pub fn stats(stats: &Stats) -> Value {
    let count =
        |state| -> u64 { stats.messages.iter().filter(|(s, _)| *s == state).map(|(_, n)| n).sum() };
    let messages: Map<String, Value> = MessageState::ALL
        .into_iter()
        .map(|state| (state.name().to_owned(), json!(count(state))))
        .collect();
    let deliveries = stats.deliveries.iter().map(|(channel, standing, n)| {
        json!({ "channel": channel.as_str(), "state": standing.name(), "count": n })
    });
    let attempts = stats.attempts.iter().map(|(channel, outcome, n)| {
        json!({ "channel": channel.as_str(), "outcome": outcome, "count": n })
    });
    let latency = stats
        .accept_latency
        .map(|[p50, p90, p99]| json!({ "p50": ms(p50), "p90": ms(p90), "p99": ms(p99) }));
    json!({
        "messages": messages,
        "unplanned": stats.unplanned,
        "deliveries": deliveries.collect::<Vec<_>>(),
        "attempts": attempts.collect::<Vec<_>>(),
        "oldest_due_ms": stats.oldest_due.map(ms),
        "accept_latency_ms": latency,
        "alerts": alert::stats(&stats.alerts),
        "clock": stats.clock.map(|clock| json!({
            "set": clock.count, "last_ms": clock.last_ms, "last_at": time(clock.last_at),
        })),
    })
}

/// A configured channel: `{"name","kind","rate","concurrency","circuit","failures","probe_at",
/// "throttled_until","last_accepted_at","last_failed_at","last_failure","last_try_failed","advice",
/// "waiting"}`; `circuit` is `closed` or `open`. `last_try_failed` says that it has accepted nothing since
/// its last failure, and `advice`, what to do about that, null if it has or if nothing is known to help.
pub fn channel(
    name: &ChannelName,
    channel: &ChannelConfig,
    health: Option<&Health>,
    advice: Option<&str>,
) -> Value {
    let is_open = health.is_some_and(|health| health.probe_at.is_some());
    let at = |instant: fn(&Health) -> Option<Timestamp>| health.and_then(instant).map(time);
    json!({
        "name": name.as_str(),
        "kind": channel.channel.spec().kind,
        "rate": channel.rate.to_string(),
        "concurrency": channel.concurrency,
        "circuit": if is_open { "open" } else { "closed" },
        "failures": health.map_or(0, |health| health.failures),
        "probe_at": at(|health| health.probe_at),
        "throttled_until": at(|health| health.throttled_until),
        "last_accepted_at": at(|health| health.last_accepted_at),
        "last_failed_at": at(|health| health.last_failed_at),
        "last_failure": health.and_then(|health| health.last_failure.as_deref()),
        "last_try_failed": health.is_some_and(Health::last_try_failed),
        "advice": advice,
        "waiting": health.map_or(0, |health| health.waiting),
    })
}

/// A kind of channel: `{"kind","title","rate","types","native","body_bytes_max","mentions",
/// "idempotency","ack","edit","thread","callback","fields":[{"name","value","required","doc"}],
/// "advice":[{"code","says","english","chinese"}]}`.
///
/// `callback` is the name in `/v1/callbacks/<name>`, or null; an advice is for answers with its `code`,
/// null for any, whose text contains `says`, null for any.
pub fn kind(spec: &Spec) -> Value {
    let some = |text: &'static str| Some(text).filter(|text| !text.is_empty());
    let fields = spec.fields.iter().map(|field| {
        json!({
            "name": field.name,
            "value": format!("{:?}", field.value).to_lowercase(),
            "required": field.required,
            "doc": field.doc,
        })
    });
    let advice = spec.advice.iter().map(|advice| {
        json!({
            "code": some(advice.code),
            "says": some(advice.says),
            "english": advice.english,
            "chinese": advice.chinese,
        })
    });
    json!({
        "kind": spec.kind,
        "title": spec.title,
        "rate": spec.rate,
        "types": spec.types,
        "native": spec.native,
        "body_bytes_max": spec.body_bytes_max,
        "mentions": spec.mentions,
        "idempotency": spec.idempotency,
        "ack": spec.ack,
        "edit": spec.edit,
        "thread": spec.thread,
        "callback": spec.callback,
        "fields": fields.collect::<Vec<_>>(),
        "advice": advice.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests;
