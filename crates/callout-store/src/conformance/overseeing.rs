//! What operators see of alerts, and do about them.

use super::Backend;
use super::bench::{Bench, accepted, at, labelled, refused, titles};
use crate::model::{AlertFilter, Answer, Answered, Command, Filter, PruneRequest};
use callout_core::alert::State;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::plan::MessageState;
use std::time::Duration;

const DAY: u64 = 86_400;

pub async fn cancelling_resolves_the_alert(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.told("x", at(0)).await;
    let bystander = bench.told("bystander", at(0)).await;
    bench.escalate(at(300)).await;
    assert_eq!(bench.command(Command::Cancel, &id, at(301)).await, 1);
    assert_eq!(bench.standing(&id).await, "accepted: ops a accepted, lead c cancelled");
    let State::Resolved(deed) = bench.alert_of(&id).await.state else { panic!("not resolved") };
    assert_eq!((deed.by.as_str(), deed.via.name()), ("a test", "command"));
    let journal = bench.story(&id).await.journal;
    let words: Vec<_> = journal.iter().map(|e| (e.event.as_str(), e.by.as_deref())).collect();
    assert_eq!(words, [("cancelled", Some("a test"))]);
    assert!(journal.iter().all(|entry| entry.via.as_deref() == Some("command")));
    // Those who were told hear of it; nobody else does.
    let mut told = bench.accept_all(at(301)).await;
    told.sort();
    assert_eq!(told, ["Cancelled by a test: x ops", "bystander lead"]);
    assert_eq!(bench.command(Command::Cancel, &id, at(302)).await, 0);
    assert_eq!(bench.escalation(&bystander).await, "open waiting: 1 opened ops, 2 due lead");
    // An alert whose deliveries are over can be cancelled too.
    assert_eq!(bench.command(Command::Cancel, &bystander, at(303)).await, 1);
    assert_eq!(bench.alert_of(&bystander).await.state.name(), "resolved");
}

pub async fn what_somebody_has_is_not_replayed(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.alert("x", at(0)).await;
    let bystander = bench.alert("bystander", at(0)).await;
    for seconds in [0, 1] {
        for claimed in bench.claim(at(seconds)).await.claimed {
            bench.settle(&claimed, refused(), at(seconds)).await;
        }
    }
    for id in [&id, &bystander] {
        assert_eq!(bench.standing(id).await, "dead: ops b dead");
    }
    bench.answer(&id, Answer::Acknowledge, at(2)).await;
    assert_eq!(bench.command(Command::Replay, &id, at(3)).await, 0);
    bench.answer(&id, Answer::Resolve, at(4)).await;
    assert_eq!(bench.command(Command::Replay, &id, at(5)).await, 0);
    assert_eq!(bench.standing(&id).await, "dead: ops b dead");
    assert_eq!(bench.command(Command::Replay, &bystander, at(5)).await, 1);
    assert_eq!(bench.standing(&bystander).await, "pending: ops a ready");
    // What was replayed and then taken by somebody does not start.
    bench.answer(&bystander, Answer::Acknowledge, at(6)).await;
    assert_eq!(bench.standing(&bystander).await, "cancelled: ops a cancelled");
}

pub async fn what_was_cancelled_early_lives_its_whole_life(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.send(Level::Error, "x").await;
    let delayed = Message::new(Level::Error, "delayed").with_delay(Duration::from_secs(60));
    let delayed = bench.enqueue(delayed).await;
    for id in [&id, &delayed] {
        assert_eq!(bench.command(Command::Cancel, id, at(1)).await, 1);
        assert_eq!(bench.command(Command::Replay, id, at(3 * DAY)).await, 1);
    }
    let bystander = bench.send(Level::Error, "bystander").await;
    // Its delay is long over.
    assert_eq!(titles(&bench.take(at(3 * DAY + 1)).await), ["x", "delayed"]);
    assert_eq!(bench.story(&id).await.deliveries[0].expires_at, at(4 * DAY));
    assert_eq!(bench.story(&bystander).await.summary.state, MessageState::Expired);
}

pub async fn an_open_alert_is_never_pruned(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let open = bench.told("open", at(0)).await;
    let taken = bench.told("taken", at(0)).await;
    let over = bench.told("over", at(0)).await;
    let lost = bench.told("lost", at(0)).await;
    let keyed = labelled("keyed", "for", "alert").with_dedup_key("k");
    let keyed_id = bench.enqueue(keyed.clone()).await;
    let merged = bench.enqueue(keyed).await;
    bench.accept_all(at(0)).await;
    assert_eq!(bench.story(&merged).await.summary.state, MessageState::Merged);
    bench.answer(&taken, Answer::Acknowledge, at(1)).await;
    bench.answer(&over, Answer::Resolve, at(5000)).await;
    bench.accept_all(at(5000)).await;
    for n in 0..5 {
        let now = at(300 + n * 600);
        bench.escalate(now).await;
        bench.accept_all(now).await;
        for id in [&open, &keyed_id] {
            // Given back before the end, so that it goes on.
            bench.answer(id, Answer::Acknowledge, now).await;
            assert!(matches!(
                bench.answer(id, Answer::Unacknowledge, now).await,
                Answered::Done(_)
            ));
        }
        bench.accept_all(now).await;
    }
    assert!(bench.story(&lost).await.summary.alert.unwrap().exhausted);
    bench.enqueue(labelled("newest", "for", "nobody")).await;
    bench.plan(at(5000)).await;
    let prune = async |accepted, dead| {
        let ask = PruneRequest {
            accepted_before: at(accepted),
            dead_before: at(dead),
            after: 0,
            limit: 1000,
        };
        bench.store.prune(ask).await.unwrap();
        let mut left = Vec::new();
        for (name, id) in [
            ("open", &open),
            ("taken", &taken),
            ("over", &over),
            ("lost", &lost),
            ("keyed", &keyed_id),
            ("merged", &merged),
        ] {
            left.extend(bench.store.story(id.clone()).await.unwrap().map(|_| name));
        }
        left
    };
    // What somebody did to an alert counts as its end.
    assert_eq!(prune(4000, 0).await, ["open", "over", "lost", "keyed"]);
    assert_eq!(prune(DAY, 0).await, ["open", "lost", "keyed"]);
    assert_eq!(prune(DAY, DAY).await, ["open", "keyed"]);
    super::operating::counts_agree(&bench).await;
}

pub async fn alerts_are_listed_by_how_they_stand(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    for n in 0..4 {
        bench.told(&format!("open {n}"), at(0)).await;
    }
    let taken = bench.told("taken", at(0)).await;
    let over = bench.told("over", at(0)).await;
    bench.answer(&taken, Answer::Acknowledge, at(1)).await;
    bench.answer(&over, Answer::Resolve, at(1)).await;
    bench.send(Level::Error, "bystander").await;
    let list = async |alert, after, limit| {
        let filter = Filter { alert: Some(alert), ..Filter::default() };
        let page = bench.store.list(filter, after, limit).await.unwrap();
        let titles: Vec<_> = page.messages.iter().map(|message| message.title.clone()).collect();
        (titles.join(", "), page.next)
    };
    let (first, next) = list(AlertFilter::Unacknowledged, None, 3).await;
    assert_eq!(first, "open 3, open 2, open 1");
    assert_eq!(list(AlertFilter::Unacknowledged, next, 3).await, ("open 0".to_owned(), None));
    assert_eq!(list(AlertFilter::Acknowledged, None, 9).await, ("taken".to_owned(), None));
    assert_eq!(list(AlertFilter::Resolved, None, 9).await, ("over".to_owned(), None));
    assert_eq!(list(AlertFilter::Exhausted, None, 9).await, (String::new(), None));
    for seconds in [300, 900, 1200, 1800] {
        bench.escalate(at(seconds)).await;
        bench.accept_all(at(seconds)).await;
    }
    let (exhausted, _) = list(AlertFilter::Exhausted, None, 9).await;
    assert_eq!(exhausted, "open 3, open 2, open 1, open 0");
    assert_eq!(list(AlertFilter::Unacknowledged, None, 9).await.0, exhausted);
    let filter = Filter {
        alert: Some(AlertFilter::Unacknowledged),
        receiver: Some("nobody".parse().unwrap()),
        ..Filter::default()
    };
    assert!(bench.store.list(filter, None, 9).await.unwrap().messages.is_empty());
}

pub async fn alerts_are_counted(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let quick = bench.told("quick", at(0)).await;
    let slow = bench.told("slow", at(0)).await;
    let open = bench.told("open", at(0)).await;
    bench.send(Level::Error, "bystander").await;
    bench.answer(&quick, Answer::Acknowledge, at(10)).await;
    bench.escalate(at(300)).await;
    bench.accept_all(at(300)).await;
    bench.answer(&slow, Answer::Acknowledge, at(400)).await;
    // A resolution does not change how long the acknowledgment took.
    bench.answer(&quick, Answer::Resolve, at(500)).await;
    let stats = bench.store.stats(at(500)).await.unwrap().alerts;
    assert_eq!((stats.open, stats.acknowledged, stats.exhausted), (1, 1, 0));
    let [(Level::Error, all)] = stats.levels.as_slice() else { panic!("{stats:?}") };
    assert_eq!((all.total, all.open, all.escalated, all.exhausted), (3, 1, 2, 0));
    assert_eq!(all.time_to_ack, Some([Duration::from_secs(10), Duration::from_secs(400)]));
    let [(lead, of_lead), (ops, of_ops)] = stats.receivers.as_slice() else { panic!("{stats:?}") };
    assert_eq!((lead.as_str(), of_lead.total, ops.as_str(), of_ops.total), ("lead", 2, "ops", 3));
    for seconds in [900, 1200, 1800] {
        bench.escalate(at(seconds)).await;
        bench.accept_all(at(seconds)).await;
    }
    bench.answer(&slow, Answer::Unacknowledge, at(1801)).await;
    let stats = bench.store.stats(at(1801)).await.unwrap().alerts;
    assert_eq!((stats.open, stats.acknowledged, stats.exhausted), (2, 0, 1));
    // What was given back is not acknowledged.
    assert_eq!(stats.levels[0].1.time_to_ack, Some([Duration::from_secs(10); 2]));
    assert_eq!(stats.levels[0].1.exhausted, 1);
    bench.answer(&open, Answer::Acknowledge, at(1802)).await;
    assert_eq!(bench.store.stats(at(1802)).await.unwrap().alerts.exhausted, 0);
}

pub async fn a_delivery_put_back_behind_an_ack_does_not_start(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.alert("x", at(0)).await;
    let bystander = bench.alert("bystander", at(0)).await;
    bench.answer(&id, Answer::Acknowledge, at(1)).await;
    backend.revive(&id).await;
    assert_eq!(bench.standing(&id).await, "cancelled: ops a ready");
    let claimed = bench.claim(at(2)).await.claimed;
    assert_eq!(titles(&claimed), ["bystander"]);
    bench.settle(&claimed[0], accepted(), at(2)).await;
    assert_eq!(bench.standing(&id).await, "cancelled: ops a cancelled");
    assert_eq!(bench.story(&id).await.journal.last().unwrap().event, "cancelled");
    assert_eq!(bench.standing(&bystander).await, "accepted: ops a accepted");
}

pub async fn who_is_told_again_is_told_once(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.enqueue(labelled("x", "for", "ops").with_require_ack()).await;
    let bystander = bench.send(Level::Error, "bystander").await;
    bench.plan(at(0)).await;
    assert_eq!(bench.standing(&id).await, "pending: ops a ready");
    // Nobody acknowledges, so the same people are told again; they have not even heard the first time.
    assert_eq!(bench.escalate(at(300)).await.stepped, 1);
    assert_eq!(bench.standing(&id).await, "pending: ops a cancelled, ops a ready");
    assert_eq!(bench.standing(&bystander).await, "pending: ops a ready");
}
