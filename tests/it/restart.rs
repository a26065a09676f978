//! A restart changes nothing, wherever it happens.

use crate::stage::sink::{Reply, errcode};
use crate::stage::{Stage, minutes, seconds, way};
use callout_core::level::Level;

/// The same story with and without a crash after every second of it: same attempts, same end.
#[tokio::test]
async fn a_restart_at_every_step_changes_nothing() {
    let mut endings = Vec::new();
    for crashes in [false, true] {
        let mut stage = Stage::new(vec![way("ding", "dingtalk"), way("wecom", "wecom")]).await;
        stage.sink.always("ding", errcode(-1));
        stage.sink.will("wecom", [errcode(-1), errcode(45_009)]);
        let id = stage.enqueue(Level::Critical, "disk full").await;
        for _ in 0..120 {
            stage.advance(seconds(1)).await;
            if crashes {
                stage.crash().await;
            }
        }
        let story = stage.story(id).await;
        let tries: Vec<_> = story.deliveries[0]
            .attempts
            .iter()
            .map(|a| (a.channel.clone(), a.outcome.clone(), a.number, a.due_at, a.started_at))
            .collect();
        endings.push((stage.stands(id).await, tries, stage.sink.channels()));
    }
    assert_eq!(endings[0].0, "accepted accepted wecom");
    assert_eq!(endings[0], endings[1]);
}

#[tokio::test]
async fn a_worker_that_dies_in_the_middle_of_a_try_leaves_a_record_and_no_gap() {
    let mut stage = Stage::new(vec![way("hook", "webhook")]).await;
    stage.sink.will("hook", [Reply::Silence]);
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.sink.has_received("hook", 1).await;
    let running = stage.story(id).await;
    assert_eq!(running.deliveries[0].state.name(), "leased", "recorded before the first byte left");
    stage.crash().await;
    stage.idle().await;
    assert_eq!(stage.stands(id).await, "accepted accepted hook");
    assert_eq!(stage.attempts(id).await, ["hook unknown", "hook accepted 200"]);
    let sent = stage.sink.received();
    assert_eq!(sent[0].headers["webhook-id"], sent[1].headers["webhook-id"]);
}

#[tokio::test]
async fn nobody_waits_for_the_leases_of_a_dead_worker() {
    let mut stage = Stage::new(vec![way("hook", "webhook")]).await;
    stage.sink.will("hook", [Reply::Silence]);
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.sink.has_received("hook", 1).await;
    let before = stage.clock.now();
    stage.crash().await;
    stage.idle().await;
    assert_eq!(stage.stands(id).await, "accepted accepted hook");
    assert_eq!(stage.clock.now(), before, "no lease had to end first");
}

#[tokio::test]
async fn a_clean_stop_sends_nothing_twice() {
    let mut stage = Stage::new(vec![way("hook", "webhook")]).await;
    for n in 0..50 {
        stage.enqueue(Level::Info, &format!("message {n}")).await;
        if n % 7 == 0 {
            stage.stop().await;
            stage.start().await;
        }
    }
    stage.advance(minutes(1)).await;
    let mut ids: Vec<String> =
        stage.sink.received().iter().map(|r| r.headers["webhook-id"].clone()).collect();
    assert_eq!(ids.len(), 50);
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 50);
}

#[tokio::test]
async fn a_stopping_worker_gives_up_on_a_provider_that_hangs() {
    let mut stage = Stage::new(vec![way("hook", "webhook")]).await;
    stage.sink.always("hook", Reply::Silence);
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.sink.has_received("hook", 1).await;
    let clock = stage.clock.clone();
    let later = stage.clock.now() + seconds(20);
    stage.worker().stop();
    tokio::join!(stage.stop(), async move {
        while clock.next_alarm() != Some(later) {
            tokio::task::yield_now().await;
        }
        clock.set(later);
    });
    assert_eq!(stage.attempts(id).await, ["hook unknown"]);
    assert_eq!(stage.stands(id).await, "pending ready hook backoff");
}
