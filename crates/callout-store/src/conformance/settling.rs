//! Settling.

use super::Backend;
use super::bench::{Bench, LEASE, accepted, at, busy, labelled, new, refused, titles, worker};
use crate::model::{Settled, Settlement};
use callout_core::circuit::{FAILURES_MAX, PROBE_EVERY};
use callout_core::delivery::{self, Event, Wait};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::outcome::{Outcome, Reason};
use callout_core::plan::MessageState;
use std::collections::BTreeSet;
use std::time::Duration;

pub async fn an_accepted_delivery_is_over(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let both = bench.enqueue(labelled("x", "for", "both")).await;
    let bystander = bench.send(Level::Info, "bystander").await;
    let claimed = bench.take(at(0)).await;
    let ours: Vec<_> = claimed.iter().filter(|c| c.id.to_string() == both).collect();
    assert_eq!(bench.settle(ours[0], accepted(), at(1)).await, Settled::Written);
    assert_eq!(bench.standing(&both).await, "pending: ops a accepted, lead c leased");
    assert_eq!(bench.settle(ours[1], accepted(), at(2)).await, Settled::Written);
    let story = bench.story(&both).await;
    assert_eq!(story.summary.state, MessageState::Accepted);
    assert_eq!(story.summary.settled_at, Some(at(2)));
    let attempt = &story.deliveries[0].attempts[0];
    assert_eq!((attempt.number, attempt.outcome.as_str(), attempt.late), (1, "accepted", false));
    assert_eq!((attempt.code.as_deref(), attempt.detail.as_str()), (Some("0"), "ok"));
    assert_eq!(bench.standing(&bystander).await, "pending: ops a leased");
}

pub async fn a_late_result_is_evidence_only(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.send(Level::Error, "x").await;
    let bystander = bench.enqueue(labelled("bystander", "for", "lead")).await;
    let slow = bench.take(at(0)).await;
    let late = at(0) + LEASE;
    let fast = bench.claim_as(2, late).await.claimed;
    assert_eq!((titles(&slow), titles(&fast)), (vec!["x", "bystander"], vec!["x", "bystander"]));
    assert_eq!(fast[0].wait, Wait::Abandoned);
    assert_eq!(bench.settle(&slow[0], accepted(), late).await, Settled::Late);
    assert_eq!(bench.standing(&id).await, "pending: ops a leased");
    let attempts = &bench.story(&id).await.deliveries[0].attempts;
    assert_eq!(attempts.len(), 1);
    assert_eq!((attempts[0].outcome.as_str(), attempts[0].late), ("accepted", true));
    // The present holder is not disturbed.
    assert_eq!(bench.settle(&fast[0], busy(), late).await, Settled::Written);
    assert_eq!(bench.standing(&id).await, "pending: ops a ready");
    assert_eq!(bench.story(&id).await.deliveries[0].attempts.len(), 2);
    assert_eq!(bench.standing(&bystander).await, "pending: lead c leased");
}

pub async fn settling_twice_is_settling_once(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.send(Level::Error, "x").await;
    let claimed = bench.take(at(0)).await;
    for _ in 0..2 {
        assert_eq!(bench.settle(&claimed[0], accepted(), at(1)).await, Settled::Written);
        let attempts = &bench.story(&id).await.deliveries[0].attempts;
        assert_eq!((attempts.len(), attempts[0].late), (1, false));
    }
    let stats = bench.store.stats(at(1)).await.unwrap();
    assert_eq!(stats.attempts[0].2, 1);
}

pub async fn handing_back_leaves_no_try(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.send(Level::Error, "x").await;
    let claimed = bench.take(at(0)).await.remove(0);
    let blocked = BTreeSet::new();
    let given = bench.directory.given(&claimed.receiver, Level::Error, at(1), &blocked, 0);
    let settlement = Settlement {
        after: delivery::step(&claimed.state, Event::HandedBack, &given).unwrap(),
        attempt: None,
        ..bench.settlement(&claimed, accepted(), at(1))
    };
    bench.store.settle(at(1), vec![settlement]).await.unwrap();
    assert_eq!(bench.standing(&id).await, "pending: ops a ready");
    assert!(bench.story(&id).await.deliveries[0].attempts.is_empty());
    let again = bench.claim_as(2, at(1)).await.claimed;
    assert_eq!((again[0].wait, again[0].state.place().tries), (Wait::HandedBack, 1));
}

pub async fn failures_open_the_circuit_and_one_probe_goes(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    for n in 0..FAILURES_MAX + 3 {
        bench.enqueue(labelled(&format!("{n}"), "for", "lead")).await;
    }
    let claimed = bench.take(at(0)).await;
    for claimed in claimed.iter().take(FAILURES_MAX as usize) {
        bench.settle(claimed, busy(), at(0)).await;
    }
    let health = bench.store.health().await.unwrap();
    assert_eq!((health[0].failures, health[0].probe_at), (FAILURES_MAX, Some(at(0) + PROBE_EVERY)));
    assert_eq!(health[0].last_failure.as_deref(), Some("503: busy"));
    let later = at(14);
    let claims = bench.claim(later).await;
    assert!(claims.claimed.is_empty());
    assert_eq!(claims.blocked, ["c".parse().unwrap()].into());
    let due = at(0) + PROBE_EVERY;
    let claims = bench.claim(due).await;
    assert_eq!(claims.claimed.len(), 1);
    assert_eq!(claims.next_at, Some(due + PROBE_EVERY));
    assert!(bench.claim_as(2, due).await.claimed.is_empty());
    bench.settle(&claims.claimed[0], accepted(), due).await;
    assert!(bench.store.health().await.unwrap()[0].probe_at.is_none());
    // One success, and those that waited behind the probe go at once.
    let claims = bench.claim(due).await;
    assert!(claims.blocked.is_empty());
    assert_eq!(claims.claimed.len(), FAILURES_MAX as usize - 1);
}

pub async fn throttling_stops_the_whole_channel(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    let id = bench.send(Level::Error, "x").await;
    let claimed = bench.take(at(0)).await;
    bench.send(Level::Error, "y").await;
    let free = bench.enqueue(labelled("z", "for", "lead")).await;
    let slow = Outcome::Throttled { until: at(30), reason: Reason::new(429, "slow") };
    bench.settle(&claimed[0], slow, at(1)).await;
    let claimed = bench.take(at(2)).await;
    assert_eq!(titles(&claimed), ["z"]);
    assert_eq!(bench.claim(at(2)).await.next_at, Some(at(30)));
    assert_eq!(bench.story(&id).await.deliveries[0].state.place().attempt, 0);
    assert_eq!(bench.store.health().await.unwrap()[0].throttled_until, Some(at(30)));
    assert_eq!(titles(&bench.claim(at(30)).await.claimed), ["y", "x"]);
    assert_eq!(bench.standing(&free).await, "pending: lead c leased");
}

pub async fn extra_requests_count_against_the_limit(backend: &dyn Backend) {
    let mut bench = Bench::new(backend).await;
    bench.lane("a").rate = "5/min".parse().unwrap();
    bench.lane("a").limit = 1;
    for n in 0..6 {
        bench.send(Level::Critical, &format!("{n}")).await;
    }
    let claimed = bench.take(at(0)).await;
    let settlement =
        Settlement { extra_sends: 3, ..bench.settlement(&claimed[0], accepted(), at(1)) };
    bench.store.settle(at(1), vec![settlement]).await.unwrap();
    bench.lane("a").limit = 100;
    assert_eq!(bench.claim(at(2)).await.claimed.len(), 1);
}

pub async fn reports_come_with_the_settlement(backend: &dyn Backend) {
    let bench = Bench::new(backend).await;
    bench.send(Level::Error, "x").await;
    let claimed = bench.take(at(0)).await;
    let report = Some(new(Message::new(Level::Error, "Callout: something")));
    let settlement = Settlement { report, ..bench.settlement(&claimed[0], refused(), at(1)) };
    bench.store.retire(worker(1), bench.directory.clone(), at(1)).await.unwrap();
    assert_eq!(bench.store.settle(at(1), vec![settlement.clone()]).await.unwrap(), [Settled::Late]);
    assert!(bench.reports().await.is_empty());
    let claimed = bench.claim(at(1)).await.claimed;
    let settlement =
        Settlement { report: settlement.report, ..bench.settlement(&claimed[0], refused(), at(2)) };
    bench.store.settle(at(2) + Duration::ZERO, vec![settlement]).await.unwrap();
    assert_eq!(bench.reports().await, ["Callout: something"]);
}
