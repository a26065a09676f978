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

#[tokio::test]
async fn a_row_that_any_program_inserts_wakes_the_worker_and_is_delivered() {
    // No poll is due for an hour, so it is the write-ahead log that tells.
    let stage = Stage::new(vec![way("hook", "webhook")]).await;
    stage.idle().await;
    let id = "0199d3a2-7f5e-7c3a-9a4b-2f6d8c1e0b77";
    let application = callout_client::rusqlite::Connection::open(stage.database()).unwrap();
    application
        .execute(
            "INSERT INTO callout_message (id, level, title, created_at) VALUES (?1, 'error', 'from SQL', ?2)",
            (id, stage.clock.now().unix_ms()),
        )
        .unwrap();
    stage.sink.has_received("hook", 1).await;
    stage.idle().await;
    assert_eq!(stage.stands(id.parse().unwrap()).await, "accepted accepted hook");
    assert!(stage.sink.received()[0].body.contains("from SQL"));
}

#[tokio::test]
async fn a_message_of_the_client_crate_is_delivered_when_its_transaction_commits() {
    let stage = Stage::new(vec![way("hook", "webhook")]).await;
    let mut application = callout_client::rusqlite::Connection::open(stage.database()).unwrap();
    application.pragma_update(None, "synchronous", "FULL").unwrap();
    let message = callout_client::Message::new(Level::Error, "order 7 failed");
    let undone = application.transaction().unwrap();
    callout_client::enqueue(&undone, &message).unwrap();
    undone.rollback().unwrap();
    let kept = application.transaction().unwrap();
    let receipt = callout_client::enqueue(&kept, &message).unwrap();
    kept.commit().unwrap();
    // The producer's clock is years ahead of the worker's; that delays nothing.
    stage.sink.has_received("hook", 1).await;
    stage.idle().await;
    assert_eq!(stage.stands(receipt.id).await, "accepted accepted hook");
    assert_eq!(stage.sink.count("hook"), 1);
}
