//! An alert's life in words, and its JSON shape.

use super::*;
use callout_core::alert::{self, Deed, Via};
use callout_core::escalation::{Cause, Place as Step, Policy, Timer};
use callout_store::model::{Alert, StepRecord};

const MINUTE: f64 = 60.0;

fn policy() -> Policy {
    let step = |to: &[&str], minutes: u64| callout_core::escalation::Step {
        to: to.iter().map(|name| name.parse().unwrap()).collect(),
        ack_within: Duration::from_secs(60 * minutes),
    };
    let steps = vec![step(&["ops"], 5), step(&["lead", "boss"], 10)];
    Policy { name: Some("critical".to_owned()), steps, repeat: 1 }
}

fn decision(number: u32, step: usize, minutes: f64, cause: Cause) -> Step {
    let since = at(minutes * MINUTE);
    Step { decision: number, step, round: 0, since, cause, late: Duration::ZERO }
}

fn record(place: &Step, minutes: Option<f64>) -> StepRecord {
    let to = minutes.map(|_| policy().receivers(place.step).to_vec());
    StepRecord {
        decision: place.decision,
        at: place.since,
        step: place.step,
        round: place.round,
        cause: place.cause,
        late: place.late,
        to: to.unwrap_or_default(),
        due_at: minutes.map(|minutes| at(minutes * MINUTE)),
    }
}

fn journal(minutes: f64, event: &str, by: &str, via: Via, note: &str) -> JournalEntry {
    JournalEntry {
        at: at(minutes * MINUTE),
        event: event.to_owned(),
        detail: note.to_owned(),
        by: Some(by.to_owned()),
        via: Some(via.name().to_owned()),
        origin: (via != Via::Command).then(|| "10.0.0.7".to_owned()),
    }
}

/// An alert in the middle of its second step.
fn open() -> Alert {
    let second = decision(2, 1, 5.0, Cause::Due);
    Alert {
        state: alert::State::Open,
        timer: Timer::Waiting { place: second.clone(), due_at: at(15.0 * MINUTE) },
        policy: policy(),
        opened_at: at(0.0),
        epoch: 0,
        repeats: 0,
        last_repeat_at: None,
        steps: vec![
            record(&decision(1, 0, 0.0, Cause::Opened), Some(5.0)),
            record(&second, Some(15.0)),
        ],
        told: vec!["lead".parse().unwrap(), "ops".parse().unwrap()],
    }
}

fn with(alert: Alert, journal: Vec<JournalEntry>) -> Story {
    Story { alert: Some(alert), journal, ..message(MessageState::Accepted, vec![]) }
}

/// What the story says from its alert on, seen after so many minutes.
fn check_life(told: &Story, minutes: f64, expected: Expect) {
    let text = story(told, at(minutes * MINUTE), &TimeZone::UTC);
    let (_, life) = text.split_once("\n\n").unwrap();
    expected.assert_eq(life);
}

#[test]
fn an_open_alert_says_who_was_told_and_who_is_next() {
    check_life(
        &with(open(), vec![]),
        7.0,
        expect![[r#"
            alert: open since 2026-11-18 11:06:40 UTC, step 2 of 2
              escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
              2026-11-18 11:06:40 UTC  step 1 of 2: ops is told (it opened); time until 2026-11-18 11:11:40 UTC
              2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss are told (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
              next: if nobody acknowledges it, ops is told (step 1, round 2) in 8m, at 2026-11-18 11:21:40 UTC
        "#]],
    );
    check_life(
        &with(open(), vec![]),
        16.0,
        expect![[r#"
            alert: open since 2026-11-18 11:06:40 UTC, step 2 of 2
              escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
              2026-11-18 11:06:40 UTC  step 1 of 2: ops is told (it opened); time until 2026-11-18 11:11:40 UTC
              2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss are told (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
              next: if nobody acknowledges it, ops is told (step 1, round 2) as soon as a worker looks (due for 1m; is `callout serve` running?)
        "#]],
    );
    let asked = Policy { name: None, repeat: 0, ..policy() };
    let last = Alert { policy: asked, repeats: 3, last_repeat_at: Some(at(90.0)), ..open() };
    check_life(
        &with(last, vec![]),
        7.0,
        expect![[r#"
            alert: open since 2026-11-18 11:06:40 UTC, step 2 of 2
              the message asked for it: ops (5m), then lead, boss (10m)
              2026-11-18 11:06:40 UTC  step 1 of 2: ops is told (it opened); time until 2026-11-18 11:11:40 UTC
              2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss are told (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
              the same problem was reported 3 times more, last at 2026-11-18 11:08:10 UTC
              next: if nobody acknowledges it, the escalation ends and the operator is told in 8m, at 2026-11-18 11:21:40 UTC
        "#]],
    );
}

#[test]
fn every_deed_is_told_in_order_with_who_how_where_from_and_why() {
    let pushed = decision(2, 1, 2.0, Cause::Pushed);
    let late = Duration::from_secs(7200);
    let again = Step { round: 1, late, ..decision(4, 0, 9.0, Cause::Restarted) };
    let deed = Deed { by: "bob".to_owned(), at: at(11.0 * MINUTE), via: Via::Api };
    let alert = Alert {
        state: alert::State::Resolved(deed),
        timer: Timer::Stopped { place: again.clone() },
        steps: vec![
            record(&decision(1, 0, 0.0, Cause::Opened), Some(5.0)),
            record(&pushed, Some(12.0)),
            record(&again, Some(15.0)),
        ],
        ..open()
    };
    let deeds = vec![
        journal(2.0, "escalated", "alice", Via::Page, "I need help"),
        journal(3.0, "acknowledged", "alice", Via::Command, ""),
        journal(9.0, "unacknowledged", "alice", Via::Channel, "not mine"),
        JournalEntry {
            by: None,
            via: None,
            origin: None,
            ..journal(10.0, "replayed", "", Via::Api, "by ops")
        },
        journal(11.0, "resolved", "bob", Via::Api, "restarted it"),
    ];
    let told = with(alert, deeds);
    check_life(
        &told,
        12.0,
        expect![[r#"
            alert: resolved by bob at 2026-11-18 11:17:40 UTC
              escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
              2026-11-18 11:06:40 UTC  step 1 of 2: ops is told (it opened); time until 2026-11-18 11:11:40 UTC
              2026-11-18 11:08:40 UTC  escalated by alice, on the page, from 10.0.0.7: I need help
              2026-11-18 11:08:40 UTC  step 2 of 2: lead and boss are told (somebody asked for the next step); time until 2026-11-18 11:18:40 UTC
              2026-11-18 11:09:40 UTC  acknowledged by alice, by command
              2026-11-18 11:15:40 UTC  unacknowledged by alice, in the channel, from 10.0.0.7: not mine
              2026-11-18 11:15:40 UTC  step 1 of 2, round 2: ops is told (it was open again, 2h late because no worker ran); time until 2026-11-18 11:21:40 UTC
              2026-11-18 11:17:40 UTC  resolved by bob, over the API, from 10.0.0.7: restarted it
              next: nobody is told, it is over; `callout unack 019c0000-0000-7000-8000-000000000001` opens it again

            also
              2026-11-18 11:16:40 UTC  replayed: by ops
        "#]],
    );
    let shape = json::alert::alert(told.alert.as_ref().unwrap(), &told.journal);
    assert_eq!((&shape["resolved_by"], &shape["acked_by"]), (&"bob".into(), &().into()));
}

#[test]
fn nobody_left_to_tell_is_said_with_what_to_do() {
    let end = decision(5, 1, 30.0, Cause::Unreachable);
    let mut alert = open();
    alert.timer = Timer::Exhausted { place: end.clone() };
    alert.steps.push(record(&end, None));
    check_life(
        &with(alert, vec![]),
        31.0,
        expect![[r#"
            alert: open since 2026-11-18 11:06:40 UTC and exhausted: everybody was told, and nobody acknowledged it
              escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
              2026-11-18 11:06:40 UTC  step 1 of 2: ops is told (it opened); time until 2026-11-18 11:11:40 UTC
              2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss are told (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
              2026-11-18 11:36:40 UTC  exhausted: nobody is left to tell (nobody of the step before could be reached)
              next: nobody else is told; `callout ack 019c0000-0000-7000-8000-000000000001` takes it, `callout escalate 019c0000-0000-7000-8000-000000000001` tells the first step again
        "#]],
    );
}

#[test]
fn whoever_has_an_alert_is_named() {
    let deed = Deed { by: "alice".to_owned(), at: at(6.0 * MINUTE), via: Via::Page };
    let mut alert = open();
    alert.state = alert::State::Acknowledged(deed);
    alert.timer = Timer::Stopped { place: alert.timer.place().clone() };
    let told = with(alert, vec![journal(6.0, "acknowledged", "alice", Via::Page, "on it")]);
    check_life(
        &told,
        7.0,
        expect![[r#"
            alert: acknowledged by alice since 2026-11-18 11:12:40 UTC
              escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
              2026-11-18 11:06:40 UTC  step 1 of 2: ops is told (it opened); time until 2026-11-18 11:11:40 UTC
              2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss are told (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
              2026-11-18 11:12:40 UTC  acknowledged by alice, on the page, from 10.0.0.7: on it
              next: nobody else is told, alice has it; `callout resolve 019c0000-0000-7000-8000-000000000001` ends it, `callout unack 019c0000-0000-7000-8000-000000000001` gives it back
        "#]],
    );
    let merged = Story {
        alert: None,
        belongs_to: Some("019c0000-0000-7000-8000-000000000002".to_owned()),
        ..message(MessageState::Merged, vec![])
    };
    check_life(
        &merged,
        7.0,
        expect![[r#"
        it belongs to the alert of 019c0000-0000-7000-8000-000000000002; `callout why 019c0000-0000-7000-8000-000000000002` tells that
    "#]],
    );
}

#[test]
fn the_shape_of_an_alert_stays() {
    let shape = json::alert::alert(&open(), &[]);
    expect_file!["alert.json"].assert_eq(&format!("{shape:#}\n"));
    let deed = |by: &str, minutes: f64| Deed {
        by: by.to_owned(),
        at: at(minutes * MINUTE),
        via: Via::Page,
    };
    let resolved = Alert { state: alert::State::Resolved(deed("bob", 9.0)), ..open() };
    let acked = [journal(6.0, "acknowledged", "alice", Via::Page, "")];
    let shape = json::alert::alert(&resolved, &acked);
    assert_eq!((&shape["acked_by"], &shape["resolved_by"]), (&"alice".into(), &"bob".into()));
    assert_eq!(shape["acked_at"], json::time(at(6.0 * MINUTE)));
}
