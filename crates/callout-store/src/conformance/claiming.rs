//! Leasing.

use super::Backend;
use super::bench::{Bench, accepted, at, entropy, labelled, new, titles, worker};
use super::operating::counts_agree;
use crate::clock::Reading;
use crate::model::ClaimRequest;
use callout_core::delivery::{State, Wait};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::outcome::{Outcome, Reason};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

pub async fn urgent_goes_first_then_oldest(backend: &dyn Backend) {
    let mut bench = Bench::new(backend).await;
    bench.lane("a").limit = 3;
    send_of_all_levels(&bench).await;
    assert_eq!(titles(&bench.take(at(0)).await), ["c", "e1", "e2"]);
    let rest = bench.claim(at(0)).await.claimed;
    assert_eq!(titles(&rest), ["w", "i"]);
    let State::Leased { lease, place } = &rest[0].state else { panic!() };
    assert_eq!((lease.owner, lease.token, place.tries), (worker(1), 1, 1));
    assert_eq!((rest[0].due_at, rest[0].wait), (at(0), Wait::New));
    assert!(bench.claim(at(0)).await.claimed.is_empty());
}

async fn send_of_all_levels(bench: &Bench) {
    for (level, title) in [
        (Level::Info, "i"),
        (Level::Error, "e1"),
        (Level::Critical, "c"),
        (Level::Error, "e2"),
        (Level::Warning, "w"),
    ] {
        bench.send(level, title).await;
    }
}

pub async fn what_is_due_later_waits(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let mut message = Message::new(Level::Error, "later");
    message.delay = Some(Duration::from_secs(10));
    bench.enqueue(message).await;
    bench.plan(at(0)).await;
    let claims = bench.claim(at(9)).await;
    assert!(claims.claimed.is_empty());
    assert_eq!((claims.next_at, claims.more), (Some(at(10)), false));
    assert_eq!(titles(&bench.claim(at(10)).await.claimed), ["later"]);
}

pub async fn limits_are_never_exceeded(backend: &dyn Backend) {
    let mut bench = Bench::new(backend).await;
    bench.lane("a").rate = "10/min".parse().unwrap();
    for n in 0..20 {
        bench.send(Level::Error, &format!("{n}")).await;
    }
    // A tenth is kept for critical messages.
    assert_eq!(bench.take(at(0)).await.len(), 9);
    let claims = bench.claim(at(59)).await;
    assert!(claims.claimed.is_empty());
    assert_eq!(claims.next_at, Some(at(60)));
    bench.send(Level::Critical, "c").await;
    assert_eq!(titles(&bench.take(at(59)).await), ["c"]);
    assert_eq!(bench.claim(at(60)).await.claimed.len(), 8);
}

pub async fn limits_survive_restarts_and_further_workers(backend: &dyn Backend) {
    let mut bench = Bench::new(backend).await;
    bench.lane("a").rate = "4/min".parse().unwrap();
    for n in 0..20 {
        bench.send(Level::Critical, &format!("{n}")).await;
    }
    bench.lane("a").limit = 3;
    assert_eq!(bench.take(at(0)).await.len(), 3);
    bench.store = backend.store().await;
    assert_eq!(bench.claim_as(2, at(1)).await.claimed.len(), 1);
    assert_eq!(bench.claim_as(3, at(1)).await.claimed.len(), 0);
}

pub async fn two_workers_never_hold_the_same_delivery(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let (first, second) = (Arc::clone(&bench.store), backend.store().await);
    let messages = (0..200).map(|n| new(Message::new(Level::Error, format!("{n}"))));
    bench.store.enqueue(messages.collect()).await.unwrap();
    while bench.plan(at(0)).await.more {}
    let ask = |n| {
        let mut lanes = bench.lanes.clone();
        lanes[0].limit = 7;
        ClaimRequest {
            reading: Reading::default(),
            now: at(0),
            directory: Arc::clone(&bench.directory),
            worker: worker(n),
            lease_until: at(60),
            lanes,
            plan: 0,
            entropy: entropy(),
        }
    };
    let mut seen = BTreeSet::new();
    loop {
        let (a, b) = tokio::join!(first.claim(ask(1)), second.claim(ask(2)));
        let claimed: Vec<_> = a.unwrap().claimed.into_iter().chain(b.unwrap().claimed).collect();
        if claimed.is_empty() {
            break;
        }
        for claimed in claimed {
            assert!(seen.insert(claimed.delivery), "{claimed:?} was claimed twice");
        }
    }
    assert_eq!(seen.len(), 200);
}

pub async fn a_message_damaged_later_is_not_sent(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let damaged = bench.send(Level::Error, "disk full").await;
    let neighbour = bench.send(Level::Error, "neighbour").await;
    bench.plan(at(0)).await;
    backend.damage(&damaged).await;
    let claims = bench.claim(at(0)).await;
    assert_eq!(titles(&claims.claimed), ["neighbour"]);
    assert!(claims.more);
    assert_eq!(bench.standing(&damaged).await, "dead: ops a dead");
    assert_eq!(bench.standing(&neighbour).await, "pending: ops a leased");
    assert_eq!(bench.reports().await.len(), 1);
}

pub async fn channels_do_not_wait_for_each_other(backend: &dyn Backend) {
    let mut bench = Bench::new(backend).await;
    bench.lane("a").limit = 0;
    bench.send(Level::Critical, "stuck").await;
    bench.enqueue(labelled("free", "for", "lead")).await;
    let claimed = bench.take(at(0)).await;
    assert_eq!(titles(&claimed), ["free"]);
    bench.settle(&claimed[0], accepted(), at(1)).await;
}

pub async fn what_is_new_is_leased_without_waiting(backend: &dyn Backend) {
    let mut bench = Bench::new(backend).await;
    bench.lane("a").limit = 3;
    send_of_all_levels(&bench).await;
    let mut later = Message::new(Level::Critical, "later");
    later.delay = Some(Duration::from_secs(10));
    bench.enqueue(later).await;
    let both = bench.enqueue(labelled("both", "for", "both")).await;
    let taken = bench.take_at_once(at(0)).await;
    assert_eq!(titles(&taken), ["c", "e1", "e2", "both"], "the most urgent of each channel");
    let State::Leased { lease, place } = &taken[0].state else { panic!() };
    assert_eq!((lease.owner, lease.token, place.tries), (worker(1), 1, 1));
    assert_eq!((taken[0].due_at, taken[0].wait), (at(0), Wait::New));
    assert_eq!(bench.standing(&both).await, "pending: lead c leased, ops a ready");
    for claimed in &taken {
        bench.settle(claimed, accepted(), at(1)).await;
    }
    assert_eq!(bench.standing(&both).await, "pending: lead c accepted, ops a ready");
    assert_eq!(titles(&bench.take_at_once(at(1)).await), ["both", "w", "i"]);
    assert_eq!(titles(&bench.take_at_once(at(10)).await), ["later"]);
    counts_agree(&bench).await;
}

pub async fn what_is_new_does_not_queue_behind_what_has_to_wait(backend: &dyn Backend) {
    let mut bench = Bench::new(backend).await;
    bench.lane("a").limit = 0;
    bench.lane("b").limit = 0;
    bench.lane("c").limit = 4;
    for n in 0..60 {
        bench.send(Level::Info, &format!("{n}")).await;
    }
    bench.enqueue(labelled("free", "for", "lead")).await;
    assert_eq!(titles(&bench.take_at_once(at(0)).await), ["free"]);
    // Nor behind what is out of limits.
    bench.lane("a").limit = 9;
    bench.lane("a").rate = "1/min".parse().unwrap();
    assert_eq!(bench.take_at_once(at(1)).await.len(), 1);
    for n in 0..60 {
        bench.send(Level::Info, &format!("{n}")).await;
    }
    bench.enqueue(labelled("free too", "for", "lead")).await;
    assert_eq!(titles(&bench.take_at_once(at(2)).await), ["free too"]);
}

pub async fn what_is_new_keeps_to_the_limits(backend: &dyn Backend) {
    let mut bench = Bench::new(backend).await;
    bench.lane("a").rate = "10/min".parse().unwrap();
    bench.send(Level::Error, "old").await;
    bench.plan(at(0)).await;
    for n in 0..20 {
        bench.send(Level::Error, &format!("{n}")).await;
    }
    // A tenth is kept for critical messages; what waits already goes first.
    let taken = bench.take_at_once(at(0)).await;
    assert_eq!(titles(&taken), ["old", "0", "1", "2", "3", "4", "5", "6", "7"]);
    bench.send(Level::Critical, "c").await;
    let claims = bench.take_at_once(at(59)).await;
    assert_eq!(titles(&claims), ["c"]);
    assert_eq!(bench.claim(at(60)).await.claimed.len(), 8);
}

pub async fn what_is_new_goes_elsewhere_if_its_channel_is_in_a_pause(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    bench.send(Level::Error, "first").await;
    let first = bench.take_at_once(at(0)).await.remove(0);
    let reason = Reason::new(429, "slow down");
    let throttled = Outcome::Throttled { reason, until: at(1000) };
    bench.settle(&first, throttled, at(0)).await;
    let second = bench.send(Level::Error, "second").await;
    // The first one would have waited too long as well.
    assert_eq!(titles(&bench.take_at_once(at(1)).await), ["first", "second"]);
    assert_eq!(bench.standing(&second).await, "pending: ops b leased");
}
