//! Several workers on one store.

use crate::stage::sink::Reply;
use crate::stage::{Stage, Way, seconds, way};
use callout_core::level::Level;
use callout_worker::LEASE;

#[tokio::test]
async fn two_workers_never_send_one_delivery_twice() {
    let stage = Stage::new(vec![Way { permits: 8, ..way("hook", "webhook") }]).await;
    let others = [stage.another_worker().await, stage.another_worker().await];
    let mut ids = Vec::new();
    for n in 0..300 {
        ids.push(stage.enqueue(Level::Info, &format!("message {n}")).await.to_string());
    }
    stage.sink.has_received("hook", 300).await;
    stage.idle().await;
    for other in &others {
        other.idle().await.unwrap();
    }
    let mut sent: Vec<String> =
        stage.sink.received().iter().map(|r| r.headers["webhook-id"].clone()).collect();
    sent.sort();
    assert_eq!(sent.len(), 300, "each once");
    sent.dedup();
    assert_eq!(sent.len(), 300, "and all of them");
}

#[tokio::test]
async fn a_result_that_comes_after_the_lease_ended_is_evidence_and_changes_nothing() {
    let stage = Stage::new(vec![way("hook", "webhook")]).await;
    stage.sink.will("hook", [Reply::Silence]);
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.sink.has_received("hook", 1).await;
    // The worker was suspended past its lease: both its guard and its lease have ended when it goes on.
    stage.clock.set(stage.clock.now() + LEASE + seconds(1));
    stage.idle().await;
    stage.advance(seconds(30)).await;
    assert_eq!(stage.stands(id).await, "accepted accepted hook");
    let attempts = stage.attempts(id).await;
    assert_eq!(attempts.first().map(String::as_str), Some("hook unknown"));
    assert_eq!(attempts.last().map(String::as_str), Some("hook accepted 200"));
}

#[tokio::test]
async fn a_worker_takes_over_from_one_whose_leases_ended() {
    let mut stage = Stage::new(vec![way("hook", "webhook")]).await;
    stage.sink.will("hook", [Reply::Silence]);
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.sink.has_received("hook", 1).await;
    let other = stage.another_worker().await;
    stage.kill().await;
    stage.clock.set(stage.clock.now() + LEASE);
    other.idle().await.unwrap();
    assert_eq!(stage.stands(id).await, "accepted accepted hook");
}
