//! What time overtakes.

use super::Backend;
use super::bench::{Bench, LEASE, accepted, at, busy, labelled, refused, titles, worker};
use callout_core::circuit::FAILURES_MAX;
use callout_core::delivery::Wait;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::outcome::{Outcome, Reason};
use std::sync::Arc;
use std::time::Duration;

pub async fn an_ended_lease_is_lost(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.send(Level::Error, "x").await;
    bench.take(at(0)).await;
    let bystander = bench.enqueue(labelled("bystander", "for", "lead")).await;
    bench.take(at(30)).await;
    let early = bench.claim_as(2, at(59)).await;
    assert!(early.claimed.is_empty());
    assert_eq!(early.next_at, Some(at(60)));
    let claims = bench.claim_as(2, at(0) + LEASE).await;
    assert_eq!(titles(&claims.claimed), ["x"]);
    assert_eq!(claims.claimed[0].wait, Wait::Abandoned);
    let attempt = bench.story(&id).await.deliveries[0].attempts[0].clone();
    assert_eq!((attempt.outcome.as_str(), attempt.started_at), ("unknown", at(0)));
    assert_eq!(attempt.duration, LEASE);
    assert_eq!(bench.standing(&bystander).await, "pending: lead c leased");
}

pub async fn a_retired_worker_loses_its_leases(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    for n in [1, 2] {
        bench.store.register(worker(n), at(0)).await.unwrap();
    }
    bench.send(Level::Error, "x").await;
    bench.take(at(0)).await;
    let bystander = bench.enqueue(labelled("bystander", "for", "lead")).await;
    bench.plan(at(0)).await;
    bench.claim_as(2, at(0)).await;
    let directory = Arc::clone(&bench.directory);
    assert_eq!(bench.store.retire(worker(1), directory, at(1)).await.unwrap(), 1);
    assert_eq!(bench.store.workers().await.unwrap(), [worker(2)]);
    assert_eq!(titles(&bench.claim_as(3, at(1)).await.claimed), ["x"]);
    assert_eq!(bench.standing(&bystander).await, "pending: lead c leased");
}

pub async fn what_is_too_late_expires(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let mut message = Message::new(Level::Error, "x");
    message.ttl = Some(Duration::from_secs(5));
    let id = bench.enqueue(message).await;
    let bystander = bench.enqueue(labelled("bystander", "for", "lead")).await;
    bench.plan(at(0)).await;
    let claims = bench.claim(at(5)).await;
    assert_eq!(titles(&claims.claimed), ["bystander"]);
    assert_eq!(bench.standing(&id).await, "expired: ops a expired");
    assert_eq!(bench.story(&id).await.journal[0].event, "expired");
    assert_eq!(
        bench.reports().await,
        ["Callout: not delivered to ops: it was not accepted in time"]
    );
    assert_eq!(bench.standing(&bystander).await, "pending: lead c leased");
}

pub async fn overdue_deliveries_move_on(backend: &dyn Backend) {
    let mut bench = Bench::new(backend).await;
    bench.lane("a").rate = "1/h".parse().unwrap();
    bench.send(Level::Critical, "first").await;
    let stuck = bench.send(Level::Critical, "stuck").await;
    let first = bench.take(at(0)).await;
    assert_eq!(titles(&first), ["first"]);
    assert_eq!(bench.claim(at(19)).await.next_at, Some(at(20)));
    let moved = bench.claim(at(20)).await.claimed;
    assert_eq!(titles(&moved), ["stuck"]);
    assert_eq!(moved[0].wait, Wait::Failover);
    assert_eq!(bench.standing(&stuck).await, "pending: ops b leased");
    assert_eq!(bench.story(&stuck).await.journal[0].event, "moved");
    // Without a free place nothing can be sent either.
    bench.lane("a").rate = "none".parse().unwrap();
    bench.lane("a").limit = 0;
    let stuck = bench.send(Level::Critical, "again").await;
    bench.plan(at(20)).await;
    bench.claim(at(20)).await;
    assert_eq!(bench.standing(&stuck).await, "pending: ops b leased");
}

pub async fn an_open_circuit_sends_deliveries_elsewhere(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let mut ids = Vec::new();
    for n in 0..FAILURES_MAX {
        ids.push(bench.send(Level::Error, &format!("{n}")).await);
    }
    let claimed = bench.take(at(0)).await;
    for claimed in &claimed {
        bench.settle(claimed, busy(), at(0)).await;
    }
    // Their backoff ends while the circuit is open; a new one avoids it from the start.
    let fresh = bench.send(Level::Error, "fresh").await;
    let moved = bench.take(at(4)).await;
    assert_eq!(moved.len(), FAILURES_MAX as usize + 1);
    assert_eq!(bench.standing(&ids[0]).await, "pending: ops b leased");
    assert_eq!(bench.standing(&fresh).await, "pending: ops b leased");
}

pub async fn a_long_pause_sends_deliveries_elsewhere(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let pause = |seconds| Outcome::Throttled { until: at(seconds), reason: Reason::text("pause") };
    bench.send(Level::Critical, "first").await;
    let [first] = bench.take(at(0)).await.try_into().unwrap();
    bench.settle(&first, pause(15), at(0)).await;
    // They would wait for twenty seconds.
    let short = bench.send(Level::Critical, "short").await;
    assert!(bench.take(at(1)).await.is_empty(), "fifteen are not too long");
    for claimed in bench.take(at(15)).await {
        bench.settle(&claimed, pause(1000), at(15)).await;
    }
    for claimed in bench.take(at(15)).await {
        bench.settle(&claimed, accepted(), at(15)).await;
    }
    assert_eq!(bench.standing(&short).await, "accepted: ops b accepted");
    let long = bench.send(Level::Critical, "long").await;
    let unhurried = bench.send(Level::Info, "unhurried").await;
    let lonely = bench.enqueue(labelled("lonely", "for", "lead")).await;
    let taken = bench.take(at(16)).await;
    assert_eq!(titles(&taken), ["long", "unhurried", "lonely"]);
    for id in [&long, &unhurried] {
        assert_eq!(bench.standing(id).await, "pending: ops b leased", "at once");
    }
    assert_eq!(bench.story(&long).await.deliveries[0].state.place().round, 0);
    assert_eq!(bench.standing(&lonely).await, "pending: lead c leased");
    // With both in a pause the last one is waited for, as long as any channel is.
    for claimed in &taken[..2] {
        bench.settle(claimed, pause(1000), at(16)).await;
    }
    let last = bench.send(Level::Critical, "last").await;
    assert!(bench.take(at(17)).await.is_empty());
    assert_eq!(bench.standing(&last).await, "pending: ops b ready");
    assert!(bench.take(at(1000)).await.iter().any(|claimed| claimed.message.title == "last"));
}

pub async fn a_removed_channel_is_left(backend: &dyn Backend) {
    let mut bench = Bench::new(backend).await;
    let id = bench.send(Level::Error, "x").await;
    let lost = bench.enqueue(labelled("y", "for", "lead")).await;
    bench.plan(at(0)).await;
    let mut directory = (*bench.directory).clone();
    let ops = directory.receivers.get_mut(&"ops".parse().unwrap()).unwrap();
    ops.channels.remove(0);
    directory.receivers.remove(&"lead".parse().unwrap());
    directory.operator = Some("ops".parse().unwrap());
    bench.directory = Arc::new(directory);
    bench.lanes.retain(|lane| lane.channel.as_str() == "b");
    assert_eq!(titles(&bench.claim(at(1)).await.claimed), ["x"]);
    assert_eq!(bench.standing(&id).await, "pending: ops b leased");
    assert_eq!(bench.standing(&lost).await, "dead: lead c dead");
    assert_eq!(
        bench.reports().await,
        ["Callout: not delivered to lead: its receiver has no channel"]
    );
}

pub async fn the_operator_hears_of_death(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    // Three lost leases in a row; the third try waits a little.
    bench.send(Level::Error, "x").await;
    bench.plan(at(0)).await;
    let mut now = at(0);
    for (n, pause) in [(0, 0), (1, 0), (2, 5)] {
        assert_eq!(bench.claim_as(n, now).await.claimed.is_empty(), pause > 0, "{n}");
        if pause > 0 {
            now = now + Duration::from_secs(pause);
            assert_eq!(titles(&bench.claim_as(n, now).await.claimed), ["x"], "{n}");
        }
        assert!(bench.reports().await.is_empty());
        now = now + LEASE;
    }
    // On the next channel there is one more try; after the last channel it is over.
    assert_eq!(titles(&bench.claim_as(3, now).await.claimed), ["x"]);
    assert!(bench.reports().await.is_empty());
    now = now + LEASE;
    bench.claim_as(7, now).await;
    let reports = bench.reports().await;
    assert_eq!(reports, ["Callout: not delivered to ops: every try ended its worker"]);
    // Nothing is reported about reports.
    let report = bench.take(now).await;
    assert_eq!(report[0].receiver.as_str(), "lead");
    bench.settle(&report[0], refused(), now).await;
    assert_eq!(bench.reports().await.len(), 1);
}
