//! What operators do.

use super::Backend;
use super::bench::{Bench, accepted, at, busy, labelled, refused, titles, worker};
use crate::model::{Command, Filter, Found, PruneRequest};
use callout_core::delivery::{Standing, Wait};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::plan::{MessageState, TTL};
use std::collections::BTreeMap;
use std::time::Duration;

async fn dead(bench: &Bench, title: &str) -> String {
    let id = bench.enqueue(labelled(title, "for", "lead")).await;
    let claimed = bench.take(at(0)).await;
    let claimed = claimed.iter().find(|claimed| claimed.message.title == title).unwrap();
    bench.settle(claimed, refused(), at(1)).await;
    assert_eq!(bench.standing(&id).await, "dead: lead c dead");
    id
}

pub async fn replay_puts_it_back(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = dead(&bench, "x").await;
    let bystander = dead(&bench, "bystander").await;
    assert_eq!(bench.command(Command::Replay, &id, at(1_000_000)).await, 1);
    let story = bench.story(&id).await;
    assert_eq!((story.summary.state, story.summary.settled_at), (MessageState::Pending, None));
    assert_eq!(story.deliveries[0].expires_at, at(1_000_000) + TTL);
    assert_eq!(
        (story.journal[0].event.as_str(), story.journal[0].by.as_deref()),
        ("replayed", Some("a test"))
    );
    assert_eq!(bench.command(Command::Replay, &id, at(1_000_000)).await, 0);
    let again = bench.claim(at(1_000_000)).await.claimed;
    assert_eq!((titles(&again), again[0].wait), (vec!["x"], Wait::Replayed));
    assert_eq!(again[0].state.place().tries, 2);
    bench.settle(&again[0], accepted(), at(1_000_001)).await;
    assert_eq!(bench.standing(&id).await, "accepted: lead c accepted");
    assert_eq!(bench.story(&id).await.deliveries[0].attempts.len(), 2);
    assert_eq!(bench.standing(&bystander).await, "dead: lead c dead");
}

pub async fn cancel_calls_it_off(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let leased = bench.send(Level::Error, "leased").await;
    let claimed = bench.take(at(0)).await;
    let ready = bench.send(Level::Error, "ready").await;
    bench.plan(at(0)).await;
    let new = bench.send(Level::Error, "new").await;
    let bystander = bench.send(Level::Error, "bystander").await;
    for (id, standing) in [
        (&leased, "cancelled: ops a cancelled"),
        (&ready, "cancelled: ops a cancelled"),
        (&new, "cancelled: "),
    ] {
        assert_eq!(bench.command(Command::Cancel, id, at(1)).await, 1);
        assert_eq!(bench.standing(id).await, standing);
        assert_eq!(bench.command(Command::Cancel, id, at(1)).await, 0);
    }
    // The try that was under way is evidence; it cannot revive the delivery.
    bench.settle(&claimed[0], accepted(), at(2)).await;
    assert_eq!(bench.standing(&leased).await, "cancelled: ops a cancelled");
    assert_eq!(titles(&bench.take(at(2)).await), ["bystander"]);
    assert_eq!(bench.command(Command::Replay, &new, at(3)).await, 1);
    assert_eq!(titles(&bench.take(at(3)).await), ["new"]);
    assert_eq!(bench.standing(&bystander).await, "pending: ops a leased");
    assert_eq!(bench.command(Command::Cancel, "nobody", at(3)).await, 0);
}

pub async fn a_quarantined_message_can_be_replayed(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.send(Level::Error, "x").await;
    backend.damage(&id).await;
    bench.plan(at(0)).await;
    assert_eq!(bench.standing(&id).await, "dead: ");
    assert_eq!(bench.command(Command::Replay, &id, at(1)).await, 1);
    assert_eq!(bench.standing(&id).await, "pending: ");
    bench.plan(at(1)).await;
    assert_eq!(bench.standing(&id).await, "dead: ");
    counts_agree(&bench).await;
}

pub async fn old_messages_are_pruned(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let kept_dead = dead(&bench, "dead").await;
    let gone = bench.send(Level::Error, "gone").await;
    let claimed = bench.take(at(1)).await;
    let claimed = claimed.iter().find(|c| c.message.title == "gone").unwrap();
    bench.settle(claimed, accepted(), at(2)).await;
    let pending = bench.send(Level::Error, "pending").await;
    let newest = bench.enqueue(labelled("newest", "for", "nobody")).await;
    bench.plan(at(2)).await;
    let ask = PruneRequest { accepted_before: at(1000), dead_before: at(0), after: 0, limit: 2 };
    let mut deleted = 0;
    let mut next = Some(0);
    while let Some(after) = next {
        let report = bench.store.prune(PruneRequest { after, ..ask }).await.unwrap();
        deleted += report.deleted;
        next = report.next;
    }
    assert_eq!(deleted, 1);
    assert!(bench.store.story(gone).await.unwrap().is_none());
    for id in [&kept_dead, &pending, &newest] {
        assert!(bench.store.story(id.clone()).await.unwrap().is_some());
    }
    counts_agree(&bench).await;
    let ask = PruneRequest { dead_before: at(1000), ..ask };
    assert_eq!(bench.store.prune(PruneRequest { limit: 100, ..ask }).await.unwrap().deleted, 1);
    counts_agree(&bench).await;
    // What is newer than both limits ends the walk.
    let ask = PruneRequest { accepted_before: at(0), dead_before: at(0), after: 0, limit: 1 };
    assert_eq!(bench.store.prune(ask).await.unwrap().next, None);
}

pub async fn counts_agree_with_the_rows(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    dead(&bench, "dead").await;
    for n in 0..4 {
        bench.send(Level::Error, &format!("{n}")).await;
    }
    let claimed = bench.take(at(3)).await;
    bench.settle(&claimed[0], accepted(), at(4)).await;
    bench.settle(&claimed[1], busy(), at(4)).await;
    bench.store.retire(worker(1), bench.directory.clone(), at(5)).await.unwrap();
    bench.settle(&claimed[2], accepted(), at(6)).await;
    let stats = bench.store.stats(at(10)).await.unwrap();
    // The busy one's pause ended a little before second 5.
    let oldest_due = stats.oldest_due.unwrap();
    assert!((5000..6000).contains(&oldest_due.as_millis()), "{oldest_due:?}");
    bench.send(Level::Error, "new").await;
    counts_agree(&bench).await;
    let stats = bench.store.stats(at(10)).await.unwrap();
    assert_eq!(stats.oldest_due, Some(Duration::from_secs(10)), "since it was written");
    assert_eq!(stats.accept_latency, Some([Duration::from_secs(4); 3]));
    let health = bench.store.health().await.unwrap();
    assert_eq!(health[0].channel.as_str(), "a");
    assert_eq!(health[0].waiting, 3);
    assert_eq!(health[0].last_accepted_at, Some(at(4)));
}

pub(super) async fn counts_agree(bench: &Bench) {
    let (mut messages, mut deliveries, mut attempts) =
        (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    let page = bench.store.list(Filter::default(), None, 1000).await.unwrap();
    for summary in page.messages {
        *messages.entry(summary.state.name()).or_insert(0u64) += 1;
        for delivery in bench.story(&summary.id).await.deliveries {
            let channel = delivery.state.place().channel.to_string();
            *deliveries.entry((channel, delivery.state.name())).or_insert(0u64) += 1;
            for attempt in delivery.attempts {
                let key = (attempt.channel.to_string(), attempt.outcome);
                *attempts.entry(key).or_insert(0u64) += 1;
            }
        }
    }
    let stats = bench.store.stats(at(10)).await.unwrap();
    let counted: BTreeMap<_, _> = stats.messages.iter().map(|(s, n)| (s.name(), *n)).collect();
    assert_eq!(counted, messages);
    let name = |standing: &Standing| standing.name();
    let counted: BTreeMap<_, _> =
        stats.deliveries.iter().map(|(c, s, n)| ((c.to_string(), name(s)), *n)).collect();
    assert_eq!(counted, deliveries);
    let counted: BTreeMap<_, _> =
        stats.attempts.into_iter().map(|(c, o, n)| ((c.to_string(), o), n)).collect();
    assert_eq!(counted, attempts);
}

pub async fn lists_are_filtered_and_paged(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    dead(&bench, "dead").await;
    for n in 0..5 {
        bench.send(Level::Info, &format!("{n}")).await;
    }
    bench.plan(at(0)).await;
    bench.send(Level::Warning, "new").await;
    let list =
        async |filter: Filter, after, limit| bench.store.list(filter, after, limit).await.unwrap();
    let titles = |page: &crate::model::Page| -> Vec<String> {
        page.messages.iter().map(|summary| summary.title.clone()).collect()
    };
    let first = list(Filter::default(), None, 3).await;
    assert_eq!(titles(&first), ["new", "4", "3"]);
    let rest = list(Filter::default(), first.next, 100).await;
    assert_eq!(titles(&rest), ["2", "1", "0", "dead"]);
    assert_eq!(rest.next, None);
    let pending = Filter { state: Some(MessageState::Pending), ..Filter::default() };
    assert_eq!(titles(&list(pending, None, 2).await), ["new", "4"]);
    for filter in [
        Filter { state: Some(MessageState::Dead), ..Filter::default() },
        Filter { level: Some(Level::Error), ..Filter::default() },
        Filter { receiver: Some("lead".parse().unwrap()), ..Filter::default() },
        Filter { channel: Some("c".parse().unwrap()), ..Filter::default() },
        Filter { labels: vec![("for".into(), "lead".into())], ..Filter::default() },
    ] {
        assert_eq!(titles(&list(filter, None, 100).await), ["dead"]);
    }
    let since = Filter { since: Some(at(1)), ..Filter::default() };
    assert!(list(since, None, 100).await.messages.is_empty());
    let since = Filter { since: Some(at(0)), ..Filter::default() };
    assert_eq!(list(since, None, 100).await.messages.len(), 7);
}

pub async fn messages_are_found_by_prefix(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let (a, b) = (bench.send(Level::Info, "a").await, bench.send(Level::Info, "b").await);
    let find = async |text: &str| bench.store.find(text.to_owned()).await.unwrap();
    assert_eq!(find(&a).await, Found::One(a.clone()));
    assert_eq!(find(&b.get(..30).unwrap().to_uppercase()).await, Found::One(b.clone()));
    assert_eq!(find("018b").await, Found::Many(if a < b { vec![a, b] } else { vec![b, a] }));
    for text in ["", "zzz", "%"] {
        assert_eq!(find(text).await, Found::None);
    }
}

pub async fn a_backup_is_whole(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    for n in 0..50 {
        bench.send(Level::Info, &format!("{n}")).await;
    }
    let path = backend.spare_path();
    bench.store.backup(&path).await.unwrap();
    assert!(path.metadata().unwrap().len() > 0);
    assert!(bench.store.backup(&path).await.is_err());
    let parent = path.parent().unwrap();
    let left = std::fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().file_name());
    assert!(left.into_iter().all(|name| !name.to_string_lossy().contains("unfinished")));
    bench.send(Level::Info, "after").await;
}

pub async fn the_story_tells_everything(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let mut message = Message::new(Level::Critical, "x");
    message.labels.insert("for".into(), "both".into());
    let id = bench.enqueue(message.clone()).await;
    let claimed = bench.take(at(0)).await;
    bench.settle(&claimed[0], busy(), at(1)).await;
    let story = bench.story(&id).await;
    assert_eq!(story.message, Ok(message));
    assert_eq!(story.why.as_deref(), Some("route 1 matched: for=both"));
    assert_eq!(story.deliveries[0].attempts[0].detail, "busy");
    assert_eq!(story.deliveries[0].leased_at, None);
    assert_eq!(story.deliveries[1].leased_at, Some(at(0)));
    assert_eq!(story.summary.deliveries.len(), 2);
    assert!(bench.store.story("nothing".into()).await.unwrap().is_none());
}
