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
        superseded_by: None,
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
              2026-11-18 11:06:40 UTC  step 1 of 2: ops (it opened); time until 2026-11-18 11:11:40 UTC
              2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
              next: if nobody acknowledges it, it is the turn of ops (step 1, round 2) in 8m, at 2026-11-18 11:21:40 UTC
        "#]],
    );
    check_life(
        &with(open(), vec![]),
        16.0,
        expect![[r#"
            alert: open since 2026-11-18 11:06:40 UTC, step 2 of 2
              escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
              2026-11-18 11:06:40 UTC  step 1 of 2: ops (it opened); time until 2026-11-18 11:11:40 UTC
              2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
              next: if nobody acknowledges it, it is the turn of ops (step 1, round 2) as soon as a worker looks (due for 1m; is `callout serve` running?)
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
              2026-11-18 11:06:40 UTC  step 1 of 2: ops (it opened); time until 2026-11-18 11:11:40 UTC
              2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
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
              2026-11-18 11:06:40 UTC  step 1 of 2: ops (it opened); time until 2026-11-18 11:11:40 UTC
              2026-11-18 11:08:40 UTC  escalated by alice, on the page, from 10.0.0.7: I need help
              2026-11-18 11:08:40 UTC  step 2 of 2: lead and boss (somebody asked for the next step); time until 2026-11-18 11:18:40 UTC
              2026-11-18 11:09:40 UTC  acknowledged by alice, by command
              2026-11-18 11:15:40 UTC  unacknowledged by alice, in the channel, from 10.0.0.7: not mine
              2026-11-18 11:15:40 UTC  step 1 of 2, round 2: ops (it was open again, 2h late because no worker ran); time until 2026-11-18 11:21:40 UTC
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
            alert: open since 2026-11-18 11:06:40 UTC and exhausted: it was everybody's turn, and nobody acknowledged it
              escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
              2026-11-18 11:06:40 UTC  step 1 of 2: ops (it opened); time until 2026-11-18 11:11:40 UTC
              2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
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
              2026-11-18 11:06:40 UTC  step 1 of 2: ops (it opened); time until 2026-11-18 11:11:40 UTC
              2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
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

#[test]
fn an_alert_whose_place_was_taken_names_the_newer_one() {
    let deed = Deed { by: "callout".to_owned(), at: at(6.0 * MINUTE), via: Via::Message };
    let newer = "019c0000-0000-7000-8000-000000000009";
    let alert = Alert {
        state: alert::State::Resolved(deed),
        timer: Timer::Stopped { place: open().timer.place().clone() },
        superseded_by: Some(newer.to_owned()),
        ..open()
    };
    let took = format!("{newer} took its place");
    let journal = vec![JournalEntry {
        origin: None,
        ..journal(6.0, "superseded", "callout", Via::Message, &took)
    }];
    check_life(
        &with(alert, journal),
        7.0,
        expect![[r#"
        alert: superseded since 2026-11-18 11:12:40 UTC: a newer alert for the same problem took its place, 019c0000-0000-7000-8000-000000000009
          escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
          2026-11-18 11:06:40 UTC  step 1 of 2: ops (it opened); time until 2026-11-18 11:11:40 UTC
          2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
          2026-11-18 11:12:40 UTC  superseded by callout, by a message: 019c0000-0000-7000-8000-000000000009 took its place
          next: nobody is told of this one; `callout ack 019c0000-0000-7000-8000-000000000009` takes the newer one, `callout why 019c0000-0000-7000-8000-000000000009` tells of it
    "#]],
    );
}

#[test]
fn a_cancellation_is_part_of_the_alerts_life_and_told_once() {
    let deed = Deed { by: "bob".to_owned(), at: at(6.0 * MINUTE), via: Via::Api };
    let alert = Alert {
        state: alert::State::Resolved(deed),
        timer: Timer::Stopped { place: open().timer.place().clone() },
        ..open()
    };
    let told = with(alert, vec![journal(6.0, "cancelled", "bob", Via::Api, "")]);
    check_life(
        &told,
        7.0,
        expect![[r#"
        alert: resolved by bob at 2026-11-18 11:12:40 UTC
          escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
          2026-11-18 11:06:40 UTC  step 1 of 2: ops (it opened); time until 2026-11-18 11:11:40 UTC
          2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
          2026-11-18 11:12:40 UTC  cancelled by bob, over the API, from 10.0.0.7
          next: nobody is told, it is over; `callout unack 019c0000-0000-7000-8000-000000000001` opens it again
    "#]],
    );
    let alert = told.alert.as_ref().unwrap();
    assert!(super::super::alert::cancelled(alert, &told.journal).is_some());
    // What was resolved before stays so, whatever was called off later.
    let later = [journal(6.5, "cancelled", "bob", Via::Api, "")];
    assert!(super::super::alert::cancelled(alert, &later).is_none());
}

#[test]
fn a_delivery_says_to_which_turn_it_belongs_and_only_its_tries_say_who_was_told() {
    let again = Step { round: 1, ..decision(3, 0, 15.0, Cause::Due) };
    let mut alert = open();
    alert.steps.push(record(&again, Some(20.0)));
    alert.timer = Timer::Waiting { place: again, due_at: at(20.0 * MINUTE) };
    let accepted = State::Accepted { at: at(9.0), place: place("ding", 1) };
    let dead =
        State::Dead { at: at(9.0), cause: super::super::Cause::Rejected, place: place("ding", 1) };
    let cancelled = State::Cancelled { at: at(910.0), place: place("ding", 1) };
    let by = |decision, state| Delivery { decision, ..delivery(state, vec![]) };
    let deliveries = vec![by(Some(1), dead), by(Some(3), accepted), by(Some(9), cancelled.clone())];
    let mut told = Story { alert: Some(alert), ..message(MessageState::Accepted, deliveries) };
    check_life(
        &told,
        16.0,
        expect![[r#"
        to ops (step 1 of 2): dead
          dead since 2026-11-18 11:06:49 UTC: every channel refused it for good; `callout replay` puts it back

        to ops (step 1 of 2, round 2): accepted
          accepted by ding at 2026-11-18 11:06:49 UTC

        to ops: cancelled
          cancelled at 2026-11-18 11:21:50 UTC; `callout replay` puts it back

        alert: open since 2026-11-18 11:06:40 UTC, step 1 of 2, round 2
          escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
          2026-11-18 11:06:40 UTC  step 1 of 2: ops (it opened); time until 2026-11-18 11:11:40 UTC
          2026-11-18 11:11:40 UTC  step 2 of 2: lead and boss (nobody had acknowledged it in time); time until 2026-11-18 11:21:40 UTC
          2026-11-18 11:21:40 UTC  step 1 of 2, round 2: ops (nobody had acknowledged it in time); time until 2026-11-18 11:26:40 UTC
          next: if nobody acknowledges it, it is the turn of lead and boss (step 2, round 2) in 4m, at 2026-11-18 11:26:40 UTC
    "#]],
    );

    // Nothing of what somebody has is replayed, so nothing says so.
    let deed = Deed { by: "alice".to_owned(), at: at(910.0), via: Via::Page };
    told.alert.as_mut().unwrap().state = alert::State::Acknowledged(deed);
    told.deliveries = vec![by(Some(3), cancelled)];
    let text = story(&told, at(960.0), &TimeZone::UTC);
    assert!(!text.contains("callout replay"), "{text}");
}

#[test]
fn a_delayed_alert_opens_in_the_future() {
    let mut alert = open();
    let first = decision(1, 0, 0.0, Cause::Opened);
    alert.opened_at = at(60.0 * MINUTE);
    alert.steps = vec![record(&first, Some(65.0))];
    alert.timer = Timer::Waiting { place: first, due_at: at(65.0 * MINUTE) };
    alert.told = vec![];
    let mut told = with(alert, vec![]);
    check_life(
        &told,
        1.0,
        expect![[r#"
        alert: delayed until 2026-11-18 12:06:40 UTC, and opens then
          escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
          2026-11-18 12:06:40 UTC  step 1 of 2: ops (it opens then); time until 2026-11-18 12:11:40 UTC
          next: it is the turn of ops (step 1) in 59m, at 2026-11-18 12:06:40 UTC
    "#]],
    );
    check_life(
        &told,
        61.0,
        expect![[r#"
        alert: open since 2026-11-18 12:06:40 UTC, step 1 of 2
          escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
          2026-11-18 12:06:40 UTC  step 1 of 2: ops (it opened); time until 2026-11-18 12:11:40 UTC
          next: if nobody acknowledges it, it is the turn of lead and boss (step 2) in 4m, at 2026-11-18 12:11:40 UTC
    "#]],
    );
    // Somebody did not want to wait.
    let pushed = decision(2, 1, 1.0, Cause::Pushed);
    let alert = told.alert.as_mut().unwrap();
    alert.steps.push(record(&pushed, Some(11.0)));
    alert.timer = Timer::Waiting { place: pushed, due_at: at(11.0 * MINUTE) };
    check_life(
        &told,
        2.0,
        expect![[r#"
        alert: open, step 2 of 2
          escalation policy critical: ops (5m), then lead, boss (10m); once more from the top
          2026-11-18 11:07:40 UTC  step 2 of 2: lead and boss (somebody asked for the next step); time until 2026-11-18 11:17:40 UTC
          2026-11-18 12:06:40 UTC  step 1 of 2: ops (it opens then); time until 2026-11-18 12:11:40 UTC
          next: if nobody acknowledges it, it is the turn of ops (step 1, round 2) in 9m, at 2026-11-18 11:17:40 UTC
    "#]],
    );
}
