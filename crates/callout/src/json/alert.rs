//! The JSON shapes of alerts.

use super::{ms, time};
use callout_core::alert::{Deed, State};
use callout_core::escalation::{Policy, Timer};
use callout_core::id::ReceiverName;
use callout_core::time::Timestamp;
use callout_store::model::{
    Alert, AlertCounts, AlertStats, AlertSummary, JournalEntry, StepRecord,
};
use serde_json::{Map, Value, json};

/// An alert in a list: `{"state","step","acked_by","acked_at","next_step_at","exhausted"}`.
///
/// `step` counts from 1 and `next_step_at` is when the next one follows if nobody acts.
pub fn summary(alert: &AlertSummary) -> Value {
    let acked = acknowledgment(&alert.state);
    json!({
        "state": alert.state.name(),
        "step": alert.step,
        "acked_by": acked.map(|deed| &deed.by),
        "acked_at": acked.map(|deed| time(deed.at)),
        "next_step_at": alert.next_step_at.map(time),
        "exhausted": alert.exhausted,
    })
}

fn acknowledgment(state: &State) -> Option<&Deed> {
    match state {
        State::Acknowledged(deed) => Some(deed),
        State::Open | State::Resolved(_) => None,
    }
}

/// Everything about an alert: as [`summary`], and `"policy":{"name","steps":[{"to","ack_within_ms"}],
/// "repeat"},"steps":[{"decision","at","step","round","cause","late_ms","to","due_at"}],"repeats",
/// "last_repeat_at","opened_at","epoch","resolved_by","resolved_at","superseded_by","told"`.
///
/// `superseded_by` is the id of the message whose alert took this one's place, or null.
///
/// Who had acknowledged an alert that is resolved is taken from its `journal`.
pub fn alert(alert: &Alert, journal: &[JournalEntry]) -> Value {
    let acked = acknowledged(alert, journal);
    let resolved = match &alert.state {
        State::Resolved(deed) => Some(deed),
        State::Open | State::Acknowledged(_) => None,
    };
    json!({
        "state": alert.state.name(),
        "step": alert.timer.place().step + 1,
        "acked_by": acked.as_ref().map(|(by, _)| by),
        "acked_at": acked.as_ref().map(|(_, at)| time(*at)),
        "next_step_at": alert.timer.due_at().map(time),
        "exhausted": is_exhausted(alert),
        "policy": policy(&alert.policy),
        "steps": alert.steps.iter().map(step).collect::<Vec<_>>(),
        "repeats": alert.repeats,
        "last_repeat_at": alert.last_repeat_at.map(time),
        "opened_at": time(alert.opened_at),
        "epoch": alert.epoch,
        "resolved_by": resolved.map(|deed| &deed.by),
        "resolved_at": resolved.map(|deed| time(deed.at)),
        "superseded_by": alert.superseded_by,
        "told": names(&alert.told),
    })
}

/// Who has acknowledged an alert, or had when it was resolved.
pub fn acknowledged(alert: &Alert, journal: &[JournalEntry]) -> Option<(String, Timestamp)> {
    acknowledgment(&alert.state)
        .map(|deed| (deed.by.clone(), deed.at))
        .or_else(|| acknowledged_before(&alert.state, journal))
}

/// Whether an alert is open and nobody is left to tell.
pub fn is_exhausted(alert: &Alert) -> bool {
    matches!((&alert.state, &alert.timer), (State::Open, Timer::Exhausted { .. }))
}

/// Who had acknowledged a resolved alert, unless they had given it back.
fn acknowledged_before(state: &State, journal: &[JournalEntry]) -> Option<(String, Timestamp)> {
    if !matches!(state, State::Resolved(_)) {
        return None;
    }
    let said = ["acknowledged", "unacknowledged", "reopened"];
    let last = journal.iter().rev().find(|entry| said.contains(&entry.event.as_str()))?;
    (last.event == "acknowledged").then(|| (last.by.clone().unwrap_or_default(), last.at))
}

fn policy(policy: &Policy) -> Value {
    let steps = policy
        .steps
        .iter()
        .map(|step| json!({ "to": names(&step.to), "ack_within_ms": ms(step.ack_within) }));
    json!({
        "name": policy.name,
        "steps": steps.collect::<Vec<_>>(),
        "repeat": policy.repeat,
    })
}

/// `round` and `decision` are those of the state machine; `step` counts from 1.
fn step(record: &StepRecord) -> Value {
    json!({
        "decision": record.decision,
        "at": time(record.at),
        "step": record.step + 1,
        "round": record.round,
        "cause": record.cause.name(),
        "late_ms": ms(record.late),
        "to": names(&record.to),
        "due_at": record.due_at.map(time),
    })
}

fn names(receivers: &[ReceiverName]) -> Vec<&str> {
    receivers.iter().map(ReceiverName::as_str).collect()
}

/// What became of alerts, as described with [`super::stats`].
pub(super) fn stats(stats: &AlertStats) -> Value {
    let levels = stats.levels.iter().map(|(level, n)| counts("level", level.name(), n));
    let receivers = stats.receivers.iter().map(|(name, n)| counts("receiver", name.as_str(), n));
    json!({
        "open": stats.open,
        "acknowledged": stats.acknowledged,
        "exhausted": stats.exhausted,
        "levels": levels.collect::<Vec<_>>(),
        "receivers": receivers.collect::<Vec<_>>(),
    })
}

fn counts(of: &str, name: &str, counts: &AlertCounts) -> Value {
    let times = counts.time_to_ack.map(|[p50, p90]| json!({ "p50": ms(p50), "p90": ms(p90) }));
    let parts = [
        (of, json!(name)),
        ("total", json!(counts.total)),
        ("open", json!(counts.open)),
        ("escalated", json!(counts.escalated)),
        ("exhausted", json!(counts.exhausted)),
        ("time_to_ack_ms", json!(times)),
    ];
    let parts: Map<String, Value> =
        parts.into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    Value::Object(parts)
}
