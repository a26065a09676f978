//! What has to hold after every step, whatever happened.

use crate::audit::{AlertRow, AttemptRow, DeliveryRow, Snapshot};
use crate::clock::BEGINNING;
use crate::setting::{Setting, is_final};
use crate::world::{Deed, State};
use callout_core::delivery::{LOSSES_MAX, Standing};
use callout_core::plan::{self, MessageState};
use callout_store::model::Answer;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How long a lease lasts, in milliseconds.
const LEASE: i64 = 60_000;

/// An escalation step in calm times comes no later than this, in milliseconds.
const LATE_MAX: i64 = 2000;

type Checked = Result<(), String>;

/// Holds the store as it stands now against how it stood before `deed`.
pub(crate) fn step(
    setting: &Setting,
    state: &State,
    new: &Snapshot,
    deed: &Deed,
    elapsed: i64,
) -> Checked {
    let old = &state.now;
    // The time by which everything in the store is noted now. Small steps of the clock are followed, and
    // nothing is moved: who read the clock before one may act by that time.
    let wall = BEGINNING + elapsed + new.base + state.followed;
    let moment = (wall, new.base - old.base, 3 * state.followed);
    if *deed == Deed::Reopen {
        return if old == new {
            Ok(())
        } else {
            Err("opening the files again changed them".into())
        };
    }
    nothing_is_lost(state, new, deed)?;
    every_message_has_one_state(new)?;
    planned_to_all(setting, state, new)?;
    if let Deed::Retire(worker) = deed
        && new.workers.contains_key(worker)
    {
        return Err(format!("the worker {worker} has ended and is not forgotten"));
    }
    for (id, after) in &new.deliveries {
        if let Deed::Retire(worker) = deed
            && after.owner.as_ref() == Some(worker)
        {
            return Err(format!("delivery {id} is leased to a worker that has ended"));
        }
        let before = old.deliveries.get(id);
        let checked = match before {
            Some(before) => moved(setting, before, after, deed, moment),
            None => Ok(()),
        };
        checked.map_err(|what| format!("delivery {id}: {what}"))?;
        if after.state == "expired" && before.is_none_or(|before| before.state != "expired") {
            lived(state, new, after, elapsed).map_err(|what| format!("delivery {id}: {what}"))?;
        }
        if after.state == "accepted" {
            let last = new.attempts.get(&(*id, after.tries));
            if last.is_none_or(|attempt| attempt.outcome != "accepted" || attempt.late) {
                return Err(format!("delivery {id} is accepted, and its last try is not"));
            }
        }
    }
    counts_are_true(new)?;
    decisions(state, new, deed, elapsed)?;
    alerts(old, new, deed)?;
    if *deed == Deed::Rebase { deadlines_moved(old, new) } else { Ok(()) }
}

/// A clock that was set changes no deadline: each is as far away as before.
fn deadlines_moved(old: &Snapshot, new: &Snapshot) -> Checked {
    let by = new.base - old.base;
    for (seq, before) in &old.alerts {
        let after = new.alerts.get(seq).and_then(|alert| alert.due_at);
        // Nothing is noted before the calendar begins.
        if before.due_at.map(|at| (at + by).max(0)) != after {
            return Err(format!("alert {seq} is due at {after:?}, moved by {by} ms"));
        }
    }
    Ok(())
}

fn nothing_is_lost(state: &State, new: &Snapshot, deed: &Deed) -> Checked {
    let old = &state.now;
    for (id, message) in old.messages.iter().filter(|(id, _)| !new.messages.contains_key(*id)) {
        let word = message.state.as_deref().unwrap_or_default();
        let alert = old.alerts.get(&message.seq);
        let is_open = alert.is_some_and(|a| a.state == "open" && a.timer != "exhausted");
        if *deed != Deed::Prune || matches!(word, "new" | "pending") || is_open {
            return Err(format!("message {id}, which is {word}, is gone"));
        }
    }
    let alive: BTreeSet<i64> = new.messages.values().map(|message| message.seq).collect();
    let is_here = |delivery: i64| alive.contains(&old.deliveries[&delivery].message);
    for id in old.deliveries.keys().filter(|id| !new.deliveries.contains_key(id)) {
        if is_here(*id) {
            return Err(format!("delivery {id} is gone and its message is not"));
        }
    }
    for (key, before) in &old.attempts {
        let is_same = new.attempts.get(key).is_some_and(|after| after == before || after.late);
        if !is_same && is_here(key.0) {
            return Err(format!("try {key:?} is gone, or not what it was"));
        }
    }
    for (key, before) in &old.steps {
        if new.steps.get(key) != Some(before) && alive.contains(&key.0) {
            return Err(format!("decision {key:?} is not what it was"));
        }
    }
    Ok(())
}

fn every_message_has_one_state(new: &Snapshot) -> Checked {
    let mut standings: BTreeMap<i64, Vec<Standing>> = BTreeMap::new();
    for delivery in new.deliveries.values() {
        let standing = Standing::from_name(&delivery.state).ok_or("no such state")?;
        standings.entry(delivery.message).or_default().push(standing);
    }
    for (id, message) in &new.messages {
        let Some(word) = &message.state else { return Err(format!("message {id} has no state")) };
        let Some(standings) = standings.get(&message.seq) else {
            if word == "pending" {
                return Err(format!("message {id} is pending and nothing is on its way"));
            }
            continue;
        };
        let wanted = MessageState::of(standings.iter().copied()).name();
        if word != wanted {
            return Err(format!("message {id} is {word}, its deliveries are {wanted}"));
        }
    }
    Ok(())
}

/// Everybody who is to hear a new message has a delivery.
fn planned_to_all(setting: &Setting, state: &State, new: &Snapshot) -> Checked {
    for (id, message) in &new.messages {
        let is_new = |row: &crate::audit::MessageRow| row.state.as_deref() == Some("new");
        let was_new = state.now.messages.get(id).is_some_and(is_new);
        let Some(known) = state.known.get(id).filter(|known| known.dedup_key.is_none()) else {
            continue;
        };
        if !was_new || is_new(message) || message.state.as_deref() == Some("cancelled") {
            continue;
        }
        let to = new.deliveries.values().filter(|delivery| delivery.message == message.seq);
        let to: BTreeSet<String> = to.map(|delivery| delivery.receiver.clone()).collect();
        let expected = setting.expected(known);
        if to != expected {
            return Err(format!("message {id} goes to {to:?} instead of {expected:?}"));
        }
    }
    Ok(())
}

/// One delivery's way from one step to the next.
fn moved(
    setting: &Setting,
    before: &DeliveryRow,
    after: &DeliveryRow,
    deed: &Deed,
    (wall, by, slack): (i64, i64, i64),
) -> Checked {
    if before == after {
        return Ok(());
    }
    let (was, is) = (before.state.as_str(), after.state.as_str());
    if is_final(was) {
        let is_replayed = matches!(deed, Deed::Replay(_)) && was != "accepted";
        return if is_replayed { Ok(()) } else { Err(format!("was {was}, and is {is}")) };
    }
    if after.token < before.token || after.token > before.token + 1 {
        return Err(format!("token {} after {}", after.token, before.token));
    }
    if *deed == Deed::Rebase {
        let (whose, whose_now) = (&before.owner, &after.owner);
        if (was, before.token, whose) != (is, after.token, whose_now) {
            return Err(format!("was {was}, and is {is}"));
        }
        // Told by the time after the move.
        let until = before.until.map(|until| (until + by).min(wall + LEASE));
        return match after.until {
            Some(ends) if until.is_some_and(|until| until - slack > ends) => {
                Err("its lease ends sooner because the clock was set".to_owned())
            }
            _ => Ok(()),
        };
    }
    if is == "leased" && (*deed != Deed::Claim || after.token != before.token + 1) {
        return Err("leased without a claim".to_owned());
    }
    if was == "leased" && *deed == Deed::Claim && before.until.is_some_and(|until| until > wall) {
        return Err("taken from a worker whose lease had not ended".to_owned());
    }
    if was == "leased" && is == "ready" && !ends_a_lease(before, deed) {
        return Err("taken from a worker that lives".to_owned());
    }
    if let Deed::Settle(worker) = deed
        && before.owner.as_ref() != Some(worker)
    {
        return Err("settled by a worker that did not hold it".to_owned());
    }
    if is == "accepted" && (was != "leased" || !matches!(deed, Deed::Settle(_))) {
        return Err("accepted, and nobody had tried".to_owned());
    }
    if is == "expired" && after.expires_at > wall {
        return Err("expired before its time".to_owned());
    }
    in_order(setting, before, after)
}

/// However often the clock is set, a message has the time it was given.
fn lived(state: &State, new: &Snapshot, expired: &DeliveryRow, elapsed: i64) -> Checked {
    let id = new.messages.iter().find(|(_, message)| message.seq == expired.message);
    let known = id.and_then(|(id, _)| Some((id, state.known.get(id)?)));
    let Some((id, message)) = known else { return Ok(()) };
    // Later steps of an alert do not wait for the delay, nor does what was put back.
    let delay = message.delay.filter(|_| expired.decision.is_none_or(|step| step == 1));
    let whole = plan::ttl(message) + delay.unwrap_or_default();
    let again = state.put_back.get(id).map(|since| (*since, plan::ttl(message)));
    let has_lived = |(since, life): (i64, Duration)| {
        let lived = u128::try_from(elapsed - since + state.followed);
        lived.is_ok_and(|lived| lived >= life.as_millis())
    };
    let lives = [Some((state.since[id], whole)), again];
    if lives.into_iter().flatten().any(has_lived) {
        return Ok(());
    }
    Err(format!("has expired {} ms after it was enqueued", elapsed - state.since[id]))
}

fn ends_a_lease(before: &DeliveryRow, deed: &Deed) -> bool {
    match deed {
        Deed::Settle(_) | Deed::Claim => true,
        Deed::Retire(worker) => before.owner.as_ref() == Some(worker),
        _ => false,
    }
}

/// A chain is walked from the front, and begun again only after its end.
fn in_order(setting: &Setting, before: &DeliveryRow, after: &DeliveryRow) -> Checked {
    let position = |row: &DeliveryRow| {
        let place = setting.position(&row.receiver, &row.channel);
        place.ok_or_else(|| format!("{} is no channel of {}", row.channel, row.receiver))
    };
    let way = |row: &DeliveryRow| Ok::<_, String>((row.round, position(row)?));
    if way(after)? < way(before)? {
        let (from, to) = (&before.channel, &after.channel);
        return Err(format!("went from {from} back to {to} in one round"));
    }
    Ok(())
}

fn counts_are_true(new: &Snapshot) -> Checked {
    let mut true_counts: BTreeMap<String, i64> = BTreeMap::new();
    let mut count = |name: String| *true_counts.entry(name).or_default() += 1;
    for message in new.messages.values() {
        match message.state.as_deref() {
            Some("new") | None => {}
            Some(word) => count(format!("messages:{word}")),
        }
    }
    for delivery in new.deliveries.values() {
        count(format!("deliveries:{}:{}", delivery.channel, delivery.state));
    }
    for attempt in new.attempts.values() {
        count(format!("attempts:{}:{}", attempt.channel, attempt.outcome));
    }
    if true_counts == new.counters {
        return Ok(());
    }
    let counted = new.counters.iter().filter(|(name, n)| true_counts.get(*name) != Some(n));
    let truth = true_counts.iter().filter(|(name, n)| new.counters.get(*name) != Some(n));
    Err(format!(
        "it counts {:?}, and the rows are {:?}",
        counted.collect::<Vec<_>>(),
        truth.collect::<Vec<_>>()
    ))
}

/// Every decision is made once, in order, in time, while the alert is open, and everybody has a delivery.
fn decisions(state: &State, new: &Snapshot, deed: &Deed, elapsed: i64) -> Checked {
    let old = &state.now;
    let mut told = BTreeSet::new();
    for delivery in new.deliveries.values() {
        if !told.insert((delivery.message, delivery.decision, delivery.receiver.as_str())) {
            let (message, receiver) = (delivery.message, &delivery.receiver);
            return Err(format!("{receiver} has message {message} twice by one decision"));
        }
    }
    for (key @ (seq, decision), step) in &new.steps {
        if old.steps.contains_key(key) {
            continue;
        }
        let before = new.steps.get(&(*seq, decision - 1));
        if before.is_none() && *decision > 1 {
            return Err(format!("decision {key:?} follows none"));
        }
        let was_open = old.alerts.get(seq).is_none_or(|alert| alert.state == "open");
        if !was_open && !is_reopening(deed) {
            return Err(format!("decision {key:?} although the alert was not open"));
        }
        // Where nobody could be reached, the deadline has moved since the decision before.
        let due_at = old.alerts.get(seq).and_then(|alert| alert.due_at);
        if let (Some(due_at), "due") = (due_at, step.cause.as_str()) {
            // In true time; a small step of the clock brings a deadline nearer, or away.
            let due = due_at - new.base - BEGINNING;
            let late = elapsed - due;
            let is_calm = state.faults == 0 && due > state.disturbed_until;
            if late < -state.followed || (late > LATE_MAX + state.followed && is_calm) {
                return Err(format!("decision {key:?} is {late} ms late"));
            }
            let off = step.at - (BEGINNING + elapsed + new.base);
            if off.abs() > state.followed {
                return Err(format!("decision {key:?} is noted {off} ms off"));
            }
        }
        for receiver in &step.receivers {
            if !told.contains(&(*seq, Some(*decision), receiver.as_str())) {
                return Err(format!("decision {key:?} does not tell {receiver}"));
            }
        }
    }
    Ok(())
}

fn is_reopening(deed: &Deed) -> bool {
    matches!(deed, Deed::Answer(_, Answer::Unacknowledge))
}

fn alerts(old: &Snapshot, new: &Snapshot, deed: &Deed) -> Checked {
    for (seq, after) in &new.alerts {
        if let Some(before) = old.alerts.get(seq) {
            answered(before, after, deed).map_err(|what| format!("alert {seq} {what}"))?;
        }
        let last = new.steps.range((*seq, 0)..=(*seq, i64::MAX)).next_back();
        if last.is_none_or(|((_, decision), _)| *decision != after.decision) {
            return Err(format!("alert {seq} stands by a decision that was not its last"));
        }
    }
    // What waits is called off together with the answer.
    for delivery in new.deliveries.values().filter(|d| d.state == "ready" && d.decision.is_some()) {
        if new.alerts.get(&delivery.message).is_some_and(|alert| alert.state != "open") {
            let (message, receiver) = (delivery.message, &delivery.receiver);
            return Err(format!("{receiver} will be told of {message}, which somebody has"));
        }
    }
    Ok(())
}

fn answered(before: &AlertRow, after: &AlertRow, deed: &Deed) -> Checked {
    let (was, is) = (before.state.as_str(), after.state.as_str());
    let is_legal = match (was, is) {
        ("open", "acknowledged") => matches!(deed, Deed::Answer(_, Answer::Acknowledge)),
        ("open" | "acknowledged", "resolved") => {
            matches!(
                deed,
                Deed::Answer(_, Answer::Resolve) | Deed::Cancel(_) | Deed::Plan | Deed::Claim
            )
        }
        ("acknowledged" | "resolved", "open") => is_reopening(deed),
        _ => was == is,
    };
    if is_legal { Ok(()) } else { Err(format!("was {was} and is {is}")) }
}

/// What has to be true once everything works again and enough time has passed.
pub(crate) fn end(setting: &Setting, state: &State) -> Checked {
    let now = &state.now;
    for (id, message) in &now.messages {
        let seq = message.seq;
        for (number, delivery) in now.deliveries.iter().filter(|(_, d)| d.message == seq) {
            ended(setting, state, id, *number, delivery)
                .map_err(|what| format!("delivery {number} of {id} {what}"))?;
        }
    }
    Ok(())
}

/// How a delivery ended, against what the providers know.
fn ended(
    setting: &Setting,
    state: &State,
    id: &str,
    number: i64,
    delivery: &DeliveryRow,
) -> Checked {
    let telling = (id.to_owned(), delivery.receiver.clone(), delivery.decision);
    let is_in =
        |set: &BTreeSet<_>, channel: &str| set.contains(&(telling.clone(), channel.to_owned()));
    match delivery.state.as_str() {
        "accepted" if !is_in(&state.accepted, &delivery.channel) => {
            Err(format!("is accepted, and {} never heard it", delivery.channel))
        }
        // It is taken for what killed its workers; providers never refused it.
        "dead" if delivery.cause.as_deref() == Some("poison") => {
            let last = (0..i64::from(LOSSES_MAX)).map(|n| (number, delivery.tries - n));
            // What came too late is noted in the place of what nobody knew.
            let is_lost = |attempt: &AttemptRow| attempt.late || attempt.outcome == "unknown";
            let lost = last.filter(|key| state.now.attempts.get(key).is_some_and(is_lost));
            let lost = lost.count();
            if lost == LOSSES_MAX as usize {
                Ok(())
            } else {
                Err(format!("is poison after {lost}"))
            }
        }
        "dead" => {
            let receiver = &setting.directory.receivers[&delivery.receiver.parse().unwrap()];
            let untried = receiver.channels.iter().find(|c| !is_in(&state.rejected, c.as_str()));
            untried.map_or(Ok(()), |c| Err(format!("is dead, and {c} never refused it")))
        }
        "cancelled"
            if state.known.get(id).is_some_and(|known| known.dedup_key.is_none())
                && delivery.decision.is_none()
                && !state.cancelled.contains(id) =>
        {
            Err("was called off by nobody".to_owned())
        }
        "ready" | "leased" => Err(format!("is still {}", delivery.state)),
        _ => Ok(()),
    }
}
