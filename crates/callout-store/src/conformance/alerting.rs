//! Messages that somebody has to acknowledge, and who is told next.

use super::Backend;
use super::bench::{Bench, LEASE, accepted, at, labelled, policy, refused, titles, worker};
use crate::clock::Reading;
use crate::model::{Answer, Answered};
use callout_core::alert::{State, Via};
use callout_core::delivery::Wait;
use callout_core::escalation::{ACK_WITHIN, BREATH, Cause, Timer};
use callout_core::level::Level;
use callout_core::locale::Locale;
use callout_core::message::Message;
use callout_core::plan::MessageState;
use std::sync::Arc;
use std::time::Duration;

fn keyed(level: Level, title: &str) -> Message {
    let mut message = Message::new(level, title).with_dedup_key("db-3");
    if !title.starts_with("plain") {
        message.labels.insert("for".into(), "alert".into());
    }
    message
}

/// Enqueues and plans.
async fn planned(bench: &Bench, message: Message, seconds: u64) -> String {
    let id = bench.enqueue(message).await;
    bench.plan(at(seconds)).await;
    id
}

pub async fn an_alert_opens_with_its_first_step(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.alert("x", at(3)).await;
    let bystander = bench.send(Level::Error, "bystander").await;
    bench.plan(at(3)).await;
    let alert = bench.alert_of(&id).await;
    assert_eq!((alert.state, alert.policy, alert.opened_at), (State::Open, policy(), at(3)));
    let (decision, due_at) = (alert.timer.place().decision, alert.timer.due_at());
    assert_eq!((decision, due_at, alert.epoch), (1, Some(at(303)), 0));
    assert_eq!(bench.escalation(&id).await, "open waiting: 1 opened ops");
    assert_eq!(bench.standing(&id).await, "pending: ops a ready");
    let story = bench.story(&id).await;
    let summary = story.summary.alert.unwrap();
    assert_eq!((summary.step, summary.next_step_at), (1, Some(at(303))));
    let claimed = bench.claim(at(4)).await.claimed;
    assert_eq!(titles(&claimed), ["x", "bystander"]);
    let telling = claimed[0].telling.as_ref().unwrap();
    assert_eq!((telling.place.cause, telling.steps, telling.opened_at), (Cause::Opened, 2, at(3)));
    // Under way counts as told.
    assert_eq!(bench.alert_of(&id).await.told, ["ops".parse().unwrap()]);
    assert!(claimed[1].telling.is_none());
    assert!(bench.story(&bystander).await.alert.is_none());
}

pub async fn require_ack_opens_an_alert_without_a_policy(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let asks = labelled("x", "for", "both").with_require_ack();
    let id = planned(&bench, asks, 0).await;
    let alert = bench.alert_of(&id).await;
    assert_eq!(alert.policy.name, None);
    assert_eq!(alert.timer.due_at(), Some(at(0) + ACK_WITHIN));
    assert_eq!(bench.escalation(&id).await, "open waiting: 1 opened ops+lead");
    let soon = Message::new(Level::Error, "y").with_ack_within(Duration::from_secs(7));
    let soon = planned(&bench, soon, 0).await;
    assert_eq!(bench.alert_of(&soon).await.timer.due_at(), Some(at(7)));
}

pub async fn the_next_people_are_told_in_time(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let bystander = bench.told("bystander", at(1)).await;
    let early = bench.escalate(at(299)).await;
    assert_eq!((early.stepped, early.next_at, early.more), (0, Some(at(300)), false));
    let report = bench.escalate(at(300)).await;
    assert_eq!((report.stepped, report.next_at, report.more), (1, Some(at(301)), false));
    assert_eq!(bench.escalation(&id).await, "open waiting: 1 opened ops, 2 due lead");
    assert_eq!(bench.standing(&id).await, "pending: ops a accepted, lead c ready");
    assert_eq!(bench.story(&id).await.deliveries[1].state.name(), "ready");
    let claimed = bench.claim(at(300)).await.claimed;
    assert_eq!((claimed[0].receiver.as_str(), claimed[0].wait), ("lead", Wait::Escalated));
    let telling = claimed[0].telling.as_ref().unwrap();
    assert_eq!((telling.place.decision, telling.place.step), (2, 1));
    bench.settle(&claimed[0], accepted(), at(300)).await;
    assert_eq!(bench.story(&id).await.summary.state, MessageState::Accepted);
    assert_eq!(bench.alert_of(&id).await.told, ["lead".parse().unwrap(), "ops".parse().unwrap()]);
    assert_eq!(bench.escalation(&bystander).await, "open waiting: 1 opened ops");
    assert_eq!(bench.alert_of(&id).await.timer.due_at(), Some(at(900)));
}

pub async fn a_decision_is_made_once(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let other = backend.store().await;
    let again = Bench { store: other, ..Bench::new(backend).await };
    let (one, two) = tokio::join!(bench.escalate(at(300)), again.escalate(at(300)));
    assert_eq!(one.stepped + two.stepped, 1);
    assert_eq!(bench.escalation(&id).await, "open waiting: 1 opened ops, 2 due lead");
    assert_eq!(bench.story(&id).await.deliveries.len(), 2);
}

pub async fn in_the_end_the_operator_hears(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    for (seconds, told) in [(300, 1), (900, 1), (1200, 1)] {
        assert_eq!(bench.escalate(at(seconds)).await.stepped, 1);
        assert_eq!(bench.accept_all(at(seconds)).await.len(), told);
    }
    let bystander = bench.told("bystander", at(1700)).await;
    let last = bench.escalate(at(1800)).await;
    assert_eq!((last.stepped, last.next_at, last.more), (1, Some(at(2000)), true));
    assert_eq!(
        bench.escalation(&id).await,
        "open exhausted: 1 opened ops, 2 due lead, 3 due ops, 4 due lead, 5 due "
    );
    let reports = bench.reports().await;
    assert_eq!(reports.len(), 1);
    assert!(reports[0].contains("nobody acknowledged"), "{reports:?}");
    assert!(bench.story(&id).await.summary.alert.unwrap().exhausted);
    assert_eq!(bench.escalate(at(1999)).await.stepped, 0);
    assert_eq!(bench.escalation(&bystander).await, "open waiting: 1 opened ops");
    // Somebody may still take it.
    assert!(matches!(bench.answer(&id, Answer::Acknowledge, at(2001)).await, Answered::Done(_)));
}

pub async fn out_of_reach_means_the_next_at_once(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.alert("x", at(0)).await;
    let bystander = bench.told("bystander", at(0)).await;
    // `bystander` was told; "x" was accepted with it. Another alert is refused by every channel.
    let lost = bench.alert("lost", at(10)).await;
    for seconds in [10, 11] {
        let claimed = bench.claim(at(seconds)).await.claimed;
        assert_eq!(titles(&claimed), ["lost"]);
        bench.settle(&claimed[0], refused(), at(seconds)).await;
    }
    assert_eq!(bench.standing(&lost).await, "dead: ops b dead");
    let report = bench.escalate(at(12)).await;
    assert_eq!((report.stepped, report.next_at), (1, Some(at(300))));
    assert_eq!(bench.escalation(&lost).await, "open waiting: 1 opened ops, 2 unreachable lead");
    assert_eq!(bench.standing(&lost).await, "pending: ops b dead, lead c ready");
    let claimed = bench.claim(at(12)).await.claimed;
    bench.settle(&claimed[0], refused(), at(13)).await;
    // The same people again, but not at once.
    assert_eq!(bench.escalate(at(13)).await.stepped, 0);
    let again_at = at(12) + BREATH;
    assert_eq!(bench.alert_of(&lost).await.timer.due_at(), Some(again_at));
    assert_eq!(bench.escalate(again_at).await.stepped, 1);
    for id in [&id, &bystander] {
        assert_eq!(bench.escalation(id).await, "open waiting: 1 opened ops");
    }
}

pub async fn people_without_channels_are_passed_over(backend: &dyn Backend) {
    let mut bench = Bench::new(backend).await;
    let mut directory = (*bench.directory).clone();
    directory.receivers.get_mut(&"ops".parse().unwrap()).unwrap().channels.clear();
    bench.directory = Arc::new(directory);
    let id = bench.alert("x", at(0)).await;
    assert_eq!(bench.standing(&id).await, "accepted: ");
    assert_eq!(bench.escalate(at(0)).await.stepped, 1);
    assert_eq!(bench.standing(&id).await, "pending: lead c ready");
    assert_eq!(bench.escalation(&id).await, "open waiting: 1 opened ops, 2 unreachable lead");
}

pub async fn what_expires_counts_as_out_of_reach(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let short = labelled("x", "for", "alert").with_ttl(Duration::from_secs(60));
    let id = planned(&bench, short, 0).await;
    let bystander = bench.alert("bystander", at(0)).await;
    assert!(bench.claim(at(60)).await.more);
    assert_eq!(bench.standing(&id).await, "expired: ops a expired");
    assert_eq!(bench.escalate(at(60)).await.stepped, 1);
    assert_eq!(bench.escalation(&id).await, "open waiting: 1 opened ops, 2 unreachable lead");
    assert_eq!(bench.escalation(&bystander).await, "open waiting: 1 opened ops");
}

pub async fn a_clock_set_back_moves_the_wait(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(5000)).await;
    let bystander = bench.told("bystander", at(100)).await;
    let report = bench.escalate(at(200)).await;
    assert_eq!((report.stepped, report.next_at, report.more), (0, Some(at(400)), false));
    let alert = bench.alert_of(&id).await;
    assert_eq!((alert.timer.place().since, alert.timer.due_at()), (at(200), Some(at(500))));
    assert_eq!(bench.escalate(at(400)).await.stepped, 1);
    assert_eq!(bench.escalate(at(500)).await.stepped, 1);
    for id in [&id, &bystander] {
        assert_eq!(bench.escalation(id).await, "open waiting: 1 opened ops, 2 due lead");
    }
}

pub async fn out_of_reach_stays_so_when_the_clock_is_set_back(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let bystander = bench.told("bystander", at(100)).await;
    let id = bench.alert("x", at(5000)).await;
    for seconds in [5000, 5001] {
        let claimed = bench.claim(at(seconds)).await.claimed;
        bench.settle(&claimed[0], refused(), at(seconds)).await;
    }
    assert_eq!(bench.escalate(at(200)).await.stepped, 1);
    assert_eq!(bench.escalation(&id).await, "open waiting: 1 opened ops, 2 unreachable lead");
    assert_eq!(bench.escalation(&bystander).await, "open waiting: 1 opened ops");
}

pub async fn overdue_steps_go_one_at_a_time(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let late = 10_000;
    assert_eq!(bench.escalate(at(late)).await.stepped, 1);
    let report = bench.escalate(at(late)).await;
    assert_eq!((report.stepped, report.more), (0, false));
    let steps = bench.alert_of(&id).await.steps;
    assert_eq!(steps[1].late, Duration::from_secs(late - 300));
    let claimed = bench.claim(at(late)).await.claimed;
    assert!(claimed[0].telling.as_ref().unwrap().note(Locale::English).unwrap().contains("late"));
}

pub async fn no_more_alerts_than_asked_are_looked_at(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    for title in ["x", "y", "z"] {
        bench.told(title, at(0)).await;
    }
    for (stepped, more) in [(2, true), (1, false), (0, false)] {
        let ask = crate::model::EscalateRequest {
            reading: Reading::default(),
            now: at(300),
            directory: Arc::clone(&bench.directory),
            limit: 2,
            entropy: super::bench::entropy(),
        };
        let report = bench.store.escalate(ask).await.unwrap();
        assert_eq!((report.stepped, report.more), (stepped, more));
    }
}

pub async fn a_damaged_message_ends_its_escalation(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let bystander = bench.told("bystander", at(0)).await;
    backend.damage(&id).await;
    check_stopped(&bench, &id, &bystander, "checksum").await;
}

pub async fn a_damaged_policy_ends_its_escalation(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let bystander = bench.told("bystander", at(0)).await;
    backend.garble_policy(&id).await;
    check_stopped(&bench, &id, &bystander, "policy").await;
}

async fn check_stopped(bench: &Bench, id: &str, bystander: &str, why: &str) {
    assert_eq!(bench.escalate(at(300)).await.stepped, 2);
    assert_eq!(bench.escalation(id).await, "open stopped: 1 opened ops");
    let story = bench.story(id).await;
    assert_eq!(story.journal.last().unwrap().event, "quarantined");
    assert!(story.journal.last().unwrap().detail.contains(why), "{:?}", story.journal);
    assert_eq!(bench.reports().await.len(), 1);
    assert_eq!(bench.escalation(bystander).await, "open waiting: 1 opened ops, 2 due lead");
    assert_eq!(bench.escalate(at(300)).await.stepped, 0);
    // People can still say that it is over.
    assert!(matches!(bench.answer(id, Answer::Escalate, at(301)).await, Answered::Refused { .. }));
    assert!(matches!(bench.answer(id, Answer::Resolve, at(301)).await, Answered::Done(_)));
}

pub async fn the_same_problem_is_counted(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let first = planned(&bench, keyed(Level::Error, "first"), 0).await;
    let other = planned(&bench, keyed(Level::Error, "other").with_dedup_key("db-4"), 0).await;
    bench.accept_all(at(0)).await;
    let again = planned(&bench, keyed(Level::Error, "again"), 10).await;
    let lower = planned(&bench, keyed(Level::Info, "plain"), 20).await;
    assert!(bench.accept_all(at(20)).await.is_empty());
    for id in [&again, &lower] {
        let story = bench.story(id).await;
        assert_eq!(bench.standing(id).await, "merged: ");
        assert_eq!(story.belongs_to.as_deref(), Some(first.as_str()));
        assert!(story.alert.is_none());
        assert!(story.why.unwrap().contains(&first));
    }
    let alert = bench.alert_of(&first).await;
    assert_eq!((alert.repeats, alert.last_repeat_at), (2, Some(at(20))));
    assert_eq!(bench.alert_of(&other).await.repeats, 0);
    assert_eq!(bench.story(&again).await.summary.settled_at, Some(at(10)));
    // Acknowledged is not over.
    bench.answer(&first, Answer::Acknowledge, at(30)).await;
    let third = planned(&bench, keyed(Level::Error, "third"), 40).await;
    assert_eq!(bench.standing(&third).await, "merged: ");
    bench.answer(&first, Answer::Resolve, at(50)).await;
    let fourth = planned(&bench, keyed(Level::Error, "fourth"), 60).await;
    assert_eq!(bench.standing(&fourth).await, "pending: ops a ready");
    let latest = bench.store.alert_of_key("db-3".into()).await.unwrap();
    assert_eq!(latest.as_ref(), Some(&fourth));
    bench.answer(&fourth, Answer::Resolve, at(70)).await;
    assert_eq!(bench.store.alert_of_key("db-3".into()).await.unwrap(), latest);
    assert_eq!(bench.store.alert_of_key("db-5".into()).await.unwrap(), None);
}

pub async fn a_worse_alert_takes_the_place(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let first = planned(&bench, keyed(Level::Error, "first"), 0).await;
    let bystander = bench.alert("bystander", at(0)).await;
    let worse = planned(&bench, keyed(Level::Critical, "worse"), 10).await;
    let alert = bench.alert_of(&first).await;
    let State::Resolved(deed) = &alert.state else { panic!("{alert:?}") };
    assert_eq!((deed.by.as_str(), deed.via, deed.at), ("callout", Via::Message, at(10)));
    assert_eq!(bench.standing(&first).await, "cancelled: ops a cancelled");
    assert_eq!(bench.escalation(&worse).await, "open waiting: 1 opened ops");
    let journal = bench.story(&first).await.journal;
    assert_eq!(journal[0].event, "superseded");
    assert!(journal[0].detail.contains(&worse));
    // Nobody is told of that.
    assert_eq!(bench.accept_all(at(10)).await, ["worse ops", "bystander ops"]);
    assert_eq!(bench.escalation(&bystander).await, "open waiting: 1 opened ops");
    assert_eq!(bench.store.alert_of_key("db-3".into()).await.unwrap(), Some(worse));
}

pub async fn a_worse_message_that_needs_no_ack_joins(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let first = planned(&bench, keyed(Level::Error, "first"), 0).await;
    let worse = planned(&bench, keyed(Level::Critical, "plain"), 10).await;
    let story = bench.story(&worse).await;
    assert_eq!(story.belongs_to.as_ref(), Some(&first));
    assert!(story.alert.is_none());
    assert_eq!(bench.accept_all(at(10)).await, ["plain ops", "first ops"]);
    assert_eq!(bench.escalation(&first).await, "open waiting: 1 opened ops");
    assert_eq!(bench.alert_of(&first).await.repeats, 0);
    // It stands for the alert.
    assert!(matches!(bench.answer(&worse, Answer::Acknowledge, at(11)).await, Answered::Done(_)));
    assert_eq!(bench.alert_of(&first).await.state.name(), "acknowledged");
}

pub async fn a_resolving_message_ends_the_alert(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let first = planned(&bench, keyed(Level::Error, "first"), 0).await;
    bench.accept_all(at(0)).await;
    let bystander = bench.alert("bystander", at(0)).await;
    // The next step has begun; nobody was told by it yet.
    bench.escalate(at(300)).await;
    let over = planned(&bench, Message::resolved("db-3"), 310).await;
    let State::Resolved(deed) = bench.alert_of(&first).await.state else { panic!("not resolved") };
    assert_eq!((deed.by.as_str(), deed.via), ("producer", Via::Message));
    assert_eq!(bench.standing(&first).await, "accepted: ops a accepted, lead c cancelled");
    assert_eq!(bench.standing(&over).await, "pending: ops a ready");
    assert_eq!(bench.story(&over).await.belongs_to.as_ref(), Some(&first));
    let journal = bench.story(&first).await.journal;
    let entry = journal.last().unwrap();
    assert_eq!((entry.event.as_str(), entry.by.as_deref()), ("resolved", Some("producer")));
    assert_eq!(entry.via.as_deref(), Some("message"));
    assert_eq!(bench.escalation(&bystander).await, "open waiting: 1 opened ops, 2 due lead");
    let nothing = planned(&bench, Message::resolved("db-3"), 320).await;
    assert_eq!(bench.standing(&nothing).await, "accepted: ");
    assert_eq!(bench.story(&nothing).await.belongs_to, None);
}

pub async fn a_lost_lease_tells_nobody_after_an_ack(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.alert("x", at(0)).await;
    let bystander = bench.alert("bystander", at(0)).await;
    assert_eq!(bench.claim(at(0)).await.claimed.len(), 2);
    bench.answer(&id, Answer::Acknowledge, at(1)).await;
    assert_eq!(bench.standing(&id).await, "pending: ops a leased");
    bench.store.retire(worker(1), bench.directory.clone(), at(2)).await.unwrap();
    assert_eq!(bench.standing(&id).await, "cancelled: ops a cancelled");
    assert_eq!(bench.story(&id).await.journal.last().unwrap().event, "cancelled");
    assert_eq!(bench.standing(&bystander).await, "pending: ops a ready");
    assert_eq!(titles(&bench.claim_as(2, at(2) + LEASE).await.claimed), ["bystander"]);
}

pub async fn alerts_wait_for_nothing_when_stopped(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    bench.answer(&id, Answer::Acknowledge, at(1)).await;
    let report = bench.escalate(at(1_000_000)).await;
    assert_eq!((report.stepped, report.next_at, report.more), (0, None, false));
    let timer = bench.alert_of(&id).await.timer;
    assert!(matches!(timer, Timer::Stopped { .. }));
}
