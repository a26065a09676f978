//! What people do about alerts.

use super::Backend;
use super::bench::{Bench, accepted, at, busy, labelled, new, refused, titles};
use crate::error::StoreError;
use crate::model::{Actor, Answer, AnswerRequest, Answered, Seen, Settlement};
use callout_core::alert::{Standing, State, Via};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::plan::EVENT_LABEL;
use std::sync::Arc;

fn done(answered: Answered) -> Box<crate::model::Alert> {
    match answered {
        Answered::Done(alert) => alert,
        other => panic!("{other:?}"),
    }
}

fn why(answered: Answered) -> String {
    match answered {
        Answered::Refused { why, .. } | Answered::NoAlert { why } => why,
        other => panic!("{other:?}"),
    }
}

pub async fn an_ack_stops_everything(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let bystander = bench.told("bystander", at(0)).await;
    bench.escalate(at(300)).await;
    assert_eq!(bench.standing(&id).await, "pending: ops a accepted, lead c ready");
    let alert = done(bench.answer(&id, Answer::Acknowledge, at(301)).await);
    let State::Acknowledged(deed) = &alert.state else { panic!("{alert:?}") };
    assert_eq!((deed.by.as_str(), deed.at, deed.via), ("fox", at(301), Via::Command));
    assert_eq!(bench.standing(&id).await, "accepted: ops a accepted, lead c cancelled");
    assert_eq!(bench.escalate(at(900)).await.stepped, 1);
    assert_eq!(bench.escalation(&id).await, "acknowledged stopped: 1 opened ops, 2 due lead");
    assert_eq!(
        bench.escalation(&bystander).await,
        "open waiting: 1 opened ops, 2 due lead, 3 due ops"
    );
    assert_eq!(
        why(bench.answer(&id, Answer::Acknowledge, at(302)).await),
        "it is acknowledged already"
    );
    assert_eq!(why(bench.answer(&id, Answer::Escalate, at(302)).await), "it is acknowledged");
}

pub async fn an_ack_just_before_the_deadline_wins(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let bystander = bench.told("bystander", at(0)).await;
    done(bench.answer(&id, Answer::Acknowledge, at(300)).await);
    assert_eq!(bench.escalate(at(300)).await.stepped, 1);
    assert_eq!(bench.escalation(&id).await, "acknowledged stopped: 1 opened ops");
    assert_eq!(bench.escalation(&bystander).await, "open waiting: 1 opened ops, 2 due lead");
}

pub async fn what_is_under_way_ends_and_is_not_tried_again(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let fails = bench.alert("fails", at(0)).await;
    let arrives = bench.alert("arrives", at(0)).await;
    let moves = bench.alert("moves", at(0)).await;
    let bystander = bench.alert("bystander", at(0)).await;
    let claimed = bench.claim(at(0)).await.claimed;
    assert_eq!(titles(&claimed), ["fails", "arrives", "moves", "bystander"]);
    for id in [&fails, &arrives, &moves] {
        done(bench.answer(id, Answer::Acknowledge, at(1)).await);
    }
    let report = Some(new(Message::new(Level::Error, "Callout: something")));
    let failed = Settlement { report, ..bench.settlement(&claimed[0], busy(), at(2)) };
    bench.store.settle(at(2), vec![failed]).await.unwrap();
    bench.settle(&claimed[1], accepted(), at(2)).await;
    bench.settle(&claimed[2], refused(), at(2)).await;
    bench.settle(&claimed[3], busy(), at(2)).await;
    assert_eq!(bench.standing(&fails).await, "cancelled: ops a cancelled");
    assert_eq!(bench.standing(&arrives).await, "accepted: ops a accepted");
    assert_eq!(bench.standing(&moves).await, "cancelled: ops b cancelled");
    assert_eq!(bench.standing(&bystander).await, "pending: ops a ready");
    let story = bench.story(&fails).await;
    assert_eq!(story.deliveries[0].attempts.len(), 1);
    let last = story.journal.last().unwrap();
    assert_eq!((last.event.as_str(), &last.by), ("cancelled", &None));
    assert!(bench.reports().await.is_empty());
}

pub async fn everybody_who_was_told_hears_of_it(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let silent = bench.alert("silent", at(0)).await;
    done(bench.answer(&silent, Answer::Acknowledge, at(1)).await);
    assert!(bench.take(at(1)).await.is_empty());
    done(bench.answer(&id, Answer::Acknowledge, at(2)).await);
    let claimed = bench.take(at(2)).await;
    assert_eq!(titles(&claimed), ["Acknowledged by fox: x"]);
    assert_eq!(claimed[0].receiver.as_str(), "ops");
    assert_eq!(claimed[0].message.labels[EVENT_LABEL], "acknowledged");
    assert!(claimed[0].telling.is_none());
    // No news if that is switched off.
    let mut quiet = (*bench.directory).clone();
    quiet.follow_up = false;
    let ask =
        AnswerRequest { directory: Arc::new(quiet), ..bench.ask(&id, Answer::Resolve, at(3)) };
    done(bench.store.answer(ask).await.unwrap());
    assert!(bench.take(at(3)).await.is_empty());
}

pub async fn every_deed_is_written_down(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let bystander = bench.told("bystander", at(0)).await;
    let deeds = [
        (Answer::Escalate, "escalated"),
        (Answer::Acknowledge, "acknowledged"),
        (Answer::Unacknowledge, "unacknowledged"),
        (Answer::Resolve, "resolved"),
        (Answer::Unacknowledge, "reopened"),
    ];
    for (n, (answer, event)) in deeds.into_iter().enumerate() {
        let ask = AnswerRequest {
            who: Actor { by: "  wolf ".into(), via: Via::Page, origin: Some("192.0.2.7".into()) },
            note: Some("on\nmy way".into()),
            ..bench.ask(&id, answer, at(n as u64 + 1))
        };
        done(bench.store.answer(ask).await.unwrap());
        let entry = bench.story(&id).await.journal.last().unwrap().clone();
        assert_eq!((entry.event.as_str(), entry.at), (event, at(n as u64 + 1)));
        assert_eq!((entry.by.as_deref(), entry.via.as_deref()), (Some("wolf"), Some("page")));
        assert_eq!(
            (entry.origin.as_deref(), entry.detail.as_str()),
            (Some("192.0.2.7"), "on my way")
        );
    }
    assert_eq!(bench.story(&id).await.journal.len(), 5);
    assert!(bench.story(&bystander).await.journal.is_empty());
}

pub async fn giving_back_starts_over(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let bystander = bench.told("bystander", at(0)).await;
    bench.escalate(at(300)).await;
    bench.accept_all(at(300)).await;
    done(bench.answer(&id, Answer::Acknowledge, at(301)).await);
    bench.accept_all(at(301)).await;
    let alert = done(bench.answer(&id, Answer::Unacknowledge, at(310)).await);
    assert_eq!((&alert.state, alert.epoch), (&State::Open, 0));
    assert_eq!(alert.timer.due_at(), Some(at(610)));
    assert_eq!(
        bench.escalation(&id).await,
        "open waiting: 1 opened ops, 2 due lead, 3 restarted ops"
    );
    // Those of the first step are told, the others hear the news.
    let mut told = bench.accept_all(at(310)).await;
    told.sort();
    assert_eq!(told, ["Open again by fox: x lead", "x ops"]);
    assert_eq!(
        why(bench.answer(&id, Answer::Unacknowledge, at(311)).await),
        "nobody has acknowledged it"
    );
    assert_eq!(bench.escalation(&bystander).await, "open waiting: 1 opened ops, 2 due lead");
}

pub async fn reopening_makes_old_links_worthless(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let link = |epoch, answer, seconds| AnswerRequest {
        epoch: Some(epoch),
        ..bench.ask(&id, answer, at(seconds))
    };
    done(bench.store.answer(link(0, Answer::Resolve, 1)).await.unwrap());
    let alert = done(bench.store.answer(link(0, Answer::Unacknowledge, 2)).await.unwrap());
    assert_eq!((&alert.state, alert.epoch), (&State::Open, 1));
    let claimed = bench.take(at(2)).await;
    let again = claimed.iter().find(|claimed| claimed.message.title == "x").unwrap();
    assert_eq!(again.telling.as_ref().unwrap().epoch, 1);
    for answer in [Answer::Acknowledge, Answer::Resolve, Answer::Escalate, Answer::Unacknowledge] {
        let refused = bench.store.answer(link(0, answer, 3)).await.unwrap();
        assert_eq!(why(refused), "it was opened again since");
    }
    done(bench.store.answer(link(1, Answer::Acknowledge, 4)).await.unwrap());
}

pub async fn a_newer_alert_keeps_an_old_one_closed(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let keyed = |title: &str| labelled(title, "for", "alert").with_dedup_key("k");
    let old = bench.enqueue(keyed("old")).await;
    bench.plan(at(0)).await;
    done(bench.answer(&old, Answer::Resolve, at(1)).await);
    let newer = bench.enqueue(keyed("newer")).await;
    bench.plan(at(2)).await;
    let refusal = why(bench.answer(&old, Answer::Unacknowledge, at(3)).await);
    assert_eq!(refusal, format!("{newer} is open for the same problem"));
    assert_eq!(bench.alert_of(&old).await.state.name(), "resolved");
    done(bench.answer(&newer, Answer::Resolve, at(4)).await);
    done(bench.answer(&old, Answer::Unacknowledge, at(5)).await);
    // Of several, the one that is not resolved is meant.
    assert_eq!(bench.store.alert_of_key("k".into()).await.unwrap(), Some(old));
}

pub async fn pushing_tells_the_next_people_now(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let bystander = bench.told("bystander", at(0)).await;
    for (seconds, told) in [(10, "x lead"), (20, "x ops"), (30, "x lead"), (40, "x ops")] {
        done(bench.answer(&id, Answer::Escalate, at(seconds)).await);
        assert_eq!(bench.accept_all(at(seconds)).await, [told]);
    }
    assert_eq!(
        bench.escalation(&id).await,
        "open waiting: 1 opened ops, 2 pushed lead, 3 pushed ops, 4 pushed lead, 5 pushed ops"
    );
    assert_eq!(bench.escalation(&bystander).await, "open waiting: 1 opened ops");
}

pub async fn who_cannot_be_answered(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let plain = bench.send(Level::Error, "plain").await;
    let ack = Answer::Acknowledge;
    assert!(why(bench.answer(&plain, ack, at(0)).await).contains("no worker has looked"));
    bench.plan(at(0)).await;
    assert_eq!(why(bench.answer(&plain, ack, at(0)).await), "nobody has to acknowledge it");
    assert_eq!(bench.answer("nothing", ack, at(0)).await, Answered::Unknown);
    let id = bench.told("x", at(0)).await;
    for by in ["", "  ", "a\u{7}b"] {
        let who = Actor::at_the_command_line(by);
        let ask = AnswerRequest { who, ..bench.ask(&id, ack, at(1)) };
        assert!(matches!(bench.store.answer(ask).await, Err(StoreError::Invalid(_))), "{by:?}");
    }
    assert_eq!(bench.alert_of(&id).await.state, State::Open);
    done(bench.answer(&id, Answer::Resolve, at(2)).await);
    assert_eq!(why(bench.answer(&id, ack, at(3)).await), "it is resolved already");
    assert_eq!(why(bench.answer(&id, Answer::Resolve, at(3)).await), "it is resolved already");
    assert_eq!(why(bench.answer(&id, Answer::Escalate, at(3)).await), "it is resolved");
    assert!(bench.story(&plain).await.journal.is_empty());
}

pub async fn a_merged_message_stands_for_its_alert(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let keyed = |title: &str| labelled(title, "for", "alert").with_dedup_key("k");
    let first = bench.enqueue(keyed("first")).await;
    let again = bench.enqueue(keyed("again")).await;
    let bystander = bench.alert("bystander", at(0)).await;
    assert_eq!(bench.standing(&again).await, "merged: ");
    done(bench.answer(&again, Answer::Acknowledge, at(1)).await);
    assert_eq!(bench.alert_of(&first).await.state.name(), "acknowledged");
    assert_eq!(bench.alert_of(&bystander).await.state, State::Open);
}

pub async fn a_second_press_does_nothing_more(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let bystander = bench.told("bystander", at(0)).await;
    let seen = Seen { standing: Standing::Open, decision: 1 };
    let press = || AnswerRequest { only: Some(seen), ..bench.ask(&id, Answer::Escalate, at(10)) };
    done(bench.store.answer(press()).await.unwrap());
    why(bench.store.answer(press()).await.unwrap());
    assert_eq!(bench.escalation(&id).await, "open waiting: 1 opened ops, 2 pushed lead");
    done(bench.answer(&id, Answer::Acknowledge, at(11)).await);
    let stale = AnswerRequest { only: Some(seen), ..bench.ask(&id, Answer::Unacknowledge, at(12)) };
    why(bench.store.answer(stale).await.unwrap());
    assert_eq!(bench.alert_of(&id).await.state.name(), "acknowledged");
    assert_eq!(bench.escalation(&bystander).await, "open waiting: 1 opened ops");
}

pub async fn an_alert_knows_what_took_its_place(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let keyed = |level| {
        let mut message = labelled("x", "for", "alert").with_dedup_key("db");
        message.level = level;
        message
    };
    let old = bench.enqueue(keyed(Level::Warning)).await;
    bench.plan(at(0)).await;
    let again = bench.enqueue(keyed(Level::Warning)).await;
    let new = bench.enqueue(keyed(Level::Critical)).await;
    bench.plan(at(1)).await;
    assert_eq!(bench.alert_of(&old).await.superseded_by, Some(new.clone()));
    assert_eq!(bench.alert_of(&new).await.superseded_by, None);
    for id in [&old, &again] {
        let refusal = why(bench.answer(id, Answer::Acknowledge, at(2)).await);
        assert_eq!(refusal, format!("{new} took its place"));
    }
    done(bench.answer(&new, Answer::Acknowledge, at(3)).await);
}
