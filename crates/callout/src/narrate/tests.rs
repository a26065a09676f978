mod alert;

use super::*;
use crate::json;
use callout_core::delivery::{Lease, Place, Standing};
use callout_core::id::{DeliveryId, WorkerId};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::plan::MessageState;
use callout_store::model::{AlertSummary, JournalEntry, Summary};
use expect_test::{Expect, expect, expect_file};

/// `seconds` after a fixed instant.
fn at(seconds: f64) -> Timestamp {
    let start = Timestamp::from_unix_ms(1_795_000_000_000).unwrap();
    start + Duration::from_secs_f64(seconds)
}

fn place(channel: &str, tries: u32) -> Place {
    let channel = channel.parse().unwrap();
    Place {
        channel,
        attempt: 1,
        failover_at: Some(at(20.0)),
        round: 0,
        plain: false,
        soft: true,
        tries,
    }
}

fn attempt(number: u32, channel: &str, due: f64, started: f64, wait: Wait) -> AttemptRecord {
    AttemptRecord {
        number,
        channel: channel.parse().unwrap(),
        due_at: at(due),
        wait,
        started_at: at(started),
        duration: Duration::from_millis(120),
        outcome: "transient".to_owned(),
        code: Some("130101".to_owned()),
        detail: "send too fast".to_owned(),
        late: false,
    }
}

fn delivery(state: State, attempts: Vec<AttemptRecord>) -> Delivery {
    Delivery {
        id: DeliveryId(7),
        receiver: "ops".parse().unwrap(),
        state,
        expires_at: at(86_400.0),
        leased_at: Some(at(30.0)),
        decision: None,
        attempts,
    }
}

/// A critical message with the given deliveries.
fn message(state: MessageState, deliveries: Vec<Delivery>) -> Story {
    let mut message = Message::new(Level::Critical, "disk full");
    message.labels.insert("host".into(), "db-1".into());
    let standings = deliveries.iter().map(|d| (d.receiver.clone(), d.state.standing()));
    Story {
        summary: Summary {
            id: "019c0000-0000-7000-8000-000000000001".to_owned(),
            level: "critical".to_owned(),
            title: "disk full".to_owned(),
            state,
            created_at: at(0.0),
            settled_at: None,
            deliveries: standings.collect::<Vec<(_, Standing)>>(),
            alert: None,
        },
        message: Ok(message),
        why: Some("route 1 matched: level critical".to_owned()),
        deliveries,
        journal: vec![],
        alert: None,
        belongs_to: None,
    }
}

fn check(told: &Story, expected: Expect) {
    expected.assert_eq(&story(told, at(31.0), &TimeZone::UTC));
}

#[test]
fn a_story_tells_every_try_every_wait_and_what_comes_next() {
    let attempts = vec![
        attempt(1, "ding", 0.0, 0.01, Wait::New),
        attempt(2, "ding", 2.2, 14.2, Wait::Backoff),
    ];
    let state = State::Ready { at: at(43.5), wait: Wait::Failover, place: place("wecom", 2) };
    check(
        &message(MessageState::Pending, vec![delivery(state, attempts)]),
        expect![[r#"
            disk full (critical) is pending
              019c0000-0000-7000-8000-000000000001
              2026-11-18 11:06:40 UTC  enqueued
              route: route 1 matched: level critical

            to ops: ready
              2026-11-18 11:06:40 UTC  try 1 on ding: transient 130101: send too fast (took 120ms)
                waited 2.0s: backoff after a failed try
                waited 12.0s more until ding could be used
              2026-11-18 11:06:54 UTC  try 2 on ding: transient 130101: send too fast (took 120ms)
              next: try 3 on wecom in 12.5s, at 2026-11-18 11:07:23 UTC: failover, the channel before it was given up
              expires 2026-11-19 11:06:40 UTC
        "#]],
    );
}

#[test]
fn what_to_do_is_said_once_for_each_channel_that_has_not_taken_it() {
    let advise = |attempt: &AttemptRecord| Some(format!("mend {}", attempt.number));
    let mut attempts = vec![
        attempt(1, "ding", 0.0, 0.01, Wait::New),
        attempt(2, "ding", 2.2, 14.2, Wait::Backoff),
        attempt(3, "wecom", 15.0, 15.0, Wait::Failover),
        attempt(4, "wecom", 16.0, 16.0, Wait::Backoff),
        attempt(5, "feishu", 17.0, 17.0, Wait::Failover),
    ];
    let told = |state: State, attempts: &[AttemptRecord]| {
        let told = message(MessageState::Pending, vec![delivery(state, attempts.to_vec())]);
        let told = advised(&told, at(31.0), &TimeZone::UTC, &advise);
        told.lines().filter_map(|line| line.strip_prefix("  mend ").map(str::to_owned)).collect()
    };
    let ready = State::Ready { at: at(43.5), wait: Wait::Backoff, place: place("wecom", 5) };
    let dead = State::Dead { at: at(30.0), cause: Cause::Rejected, place: place("feishu", 5) };
    for state in [ready, dead] {
        let numbers: Vec<String> = told(state, &attempts);
        assert_eq!(numbers, ["2", "4", "5"]);
    }
    for taken in attempts.iter_mut().skip(3) {
        "accepted".clone_into(&mut taken.outcome);
    }
    let accepted = State::Accepted { at: at(30.0), place: place("feishu", 5) };
    assert_eq!(told(accepted.clone(), &attempts), ["2"]);
    let told = message(MessageState::Accepted, vec![delivery(accepted, attempts)]);
    let shape = json::why(&told, at(31.0), &|_| Some("mend"));
    let advice = serde_json::json!([{ "receiver": "ops", "channel": "ding", "advice": "mend" }]);
    assert_eq!(shape["advice"], advice);
}

#[test]
fn every_end_of_a_story_is_told() {
    let lease = Lease { owner: WorkerId::new(at(0.0), [0; 10]), token: 1, until: at(60.0) };
    let states = [
        State::Ready { at: at(1.0), wait: Wait::New, place: place("ding", 0) },
        State::Leased { lease, place: place("ding", 1) },
        State::Accepted { at: at(9.0), place: place("ding", 1) },
        State::Dead { at: at(9.0), cause: Cause::Rejected, place: place("ding", 1) },
        State::Expired { at: at(9.0), place: place("ding", 1) },
        State::Cancelled { at: at(9.0), place: place("ding", 1) },
    ];
    let deliveries = states.into_iter().map(|state| delivery(state, vec![])).collect();
    let mut told = message(MessageState::Pending, deliveries);
    told.journal.push(JournalEntry {
        at: at(8.0),
        event: "replayed".to_owned(),
        detail: String::new(),
        by: Some("fox".to_owned()),
        via: Some("command".to_owned()),
        origin: None,
    });
    check(
        &told,
        expect![[r#"
            disk full (critical) is pending
              019c0000-0000-7000-8000-000000000001
              2026-11-18 11:06:40 UTC  enqueued
              route: route 1 matched: level critical

            to ops: ready
              next: try 1 on ding as soon as it can be used (due for 30.0s; no worker runs, its rate limit is used up, it is paused, or all its slots are taken: see `callout channels`): it is new
              expires 2026-11-19 11:06:40 UTC

            to ops: leased
              now: try 1 on ding has been running for 1.0s

            to ops: accepted
              accepted by ding at 2026-11-18 11:06:49 UTC

            to ops: dead
              dead since 2026-11-18 11:06:49 UTC: every channel refused it for good; `callout replay` puts it back

            to ops: expired
              expired at 2026-11-18 11:06:49 UTC: nobody accepted it in time; `callout replay` puts it back

            to ops: cancelled
              cancelled at 2026-11-18 11:06:49 UTC; `callout replay` puts it back

            also
              2026-11-18 11:06:48 UTC  replayed by fox, by command
        "#]],
    );
}

#[test]
fn a_message_that_is_new_or_only_recorded_says_so() {
    check(
        &Story { why: None, ..message(MessageState::Pending, vec![]) },
        expect![[r#"
        disk full (critical) is pending
          019c0000-0000-7000-8000-000000000001
          2026-11-18 11:06:40 UTC  enqueued
          next: the worker decides who hears of it (is it running?)
    "#]],
    );
    let wishes = Message::new(Level::Critical, "disk full")
        .with_delay(Duration::from_secs(600))
        .with_ttl(Duration::from_secs(3600));
    check(
        &Story { why: None, message: Ok(wishes), ..message(MessageState::Pending, vec![]) },
        expect![[r#"
            disk full (critical) is pending
              019c0000-0000-7000-8000-000000000001
              2026-11-18 11:06:40 UTC  enqueued
              next: the worker decides who hears of it (is it running?)
              its producer wants a delay of 10m and then a life of 1h
        "#]],
    );
    check(
        &Story { why: None, ..message(MessageState::Cancelled, vec![]) },
        expect![[r#"
        disk full (critical) is cancelled
          019c0000-0000-7000-8000-000000000001
          2026-11-18 11:06:40 UTC  enqueued
          it was called off before anybody was told
    "#]],
    );
    check(
        &message(MessageState::Accepted, vec![]),
        expect![[r#"
        disk full (critical) is accepted
          019c0000-0000-7000-8000-000000000001
          2026-11-18 11:06:40 UTC  enqueued
          route: route 1 matched: level critical
          nobody is told; it is only recorded
    "#]],
    );
}

#[test]
fn a_try_under_way_is_an_attempt_without_outcome() {
    let lease = Lease { owner: WorkerId::new(at(0.0), [0; 10]), token: 1, until: at(60.0) };
    let state = State::Leased { lease, place: place("ding", 2) };
    let attempts = vec![attempt(1, "ding", 0.0, 0.01, Wait::New)];
    let told = message(MessageState::Pending, vec![delivery(state, attempts)]);
    expect_file!["story.json"].assert_eq(&format!("{:#}\n", json::story(&told)));
}

#[test]
fn lengths_read_as_people_say_them() {
    for (ms, said) in [
        (0, "0ms"),
        (999, "999ms"),
        (1_000, "1.0s"),
        (2_140, "2.1s"),
        (60_000, "1m"),
        (5_400_900, "1h30m"),
    ] {
        assert_eq!(length(Duration::from_millis(ms)), said);
    }
}

#[test]
fn whether_somebody_has_an_alert_comes_first() {
    let mut told = message(MessageState::Accepted, vec![]);
    told.summary.alert = Some(AlertSummary {
        state: callout_core::alert::State::Open,
        exhausted: false,
        step: 1,
        next_step_at: None,
    });
    let headline = |told: &Story| {
        story(told, at(31.0), &TimeZone::UTC).lines().next().unwrap_or_default().to_owned()
    };
    assert_eq!(headline(&told), "disk full (critical) is open, the message accepted");
    if let Some(alert) = &mut told.summary.alert {
        alert.exhausted = true;
    }
    assert_eq!(headline(&told), "disk full (critical) is exhausted, nobody has acknowledged it");
}
