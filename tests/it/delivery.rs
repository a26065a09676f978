//! The main job: retry, failover, acceptance, and what is shown of it.

use crate::stage::sink::{Reply, errcode, json};
use crate::stage::{Stage, minutes, seconds, way};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::plan::MessageState;
use callout_store::Store;
use callout_store::model::{Actor, Command, CommandRequest};
use std::collections::BTreeSet;

#[tokio::test]
async fn a_message_is_delivered_at_once() {
    let stage = Stage::new(vec![way("ding", "dingtalk"), way("wecom", "wecom")]).await;
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    assert_eq!(stage.stands(id).await, "accepted accepted ding");
    assert_eq!(stage.sink.channels(), ["ding"]);
    assert!(stage.sink.received()[0].body.contains("disk full"));
}

#[tokio::test]
async fn a_failing_provider_is_retried_and_then_the_next_one_is_asked() {
    let stage = Stage::new(vec![way("ding", "dingtalk"), way("wecom", "wecom")]).await;
    stage.sink.always("ding", errcode(-1));
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    assert_eq!(stage.stands(id).await, "pending ready ding backoff");
    stage.advance(seconds(20)).await;
    assert_eq!(stage.stands(id).await, "accepted accepted wecom");
    assert_eq!(
        stage.attempts(id).await,
        ["ding transient -1", "ding transient -1", "ding transient -1", "wecom accepted 0"]
    );
    assert_eq!(stage.sink.channels(), ["ding", "ding", "ding", "wecom"]);
}

#[tokio::test]
async fn a_dead_robot_fails_over_without_waiting() {
    let stage = Stage::new(vec![way("ding", "dingtalk"), way("wecom", "wecom")]).await;
    stage.sink.always("ding", errcode(300_001));
    let id = stage.enqueue(Level::Info, "report").await;
    stage.idle().await;
    assert_eq!(stage.stands(id).await, "accepted accepted wecom");
}

#[tokio::test]
async fn a_refused_card_is_sent_again_as_plain_text() {
    let stage = Stage::new(vec![way("ding", "dingtalk")]).await;
    stage.sink.will("ding", [errcode(460_101)]);
    let id = stage.enqueue(Level::Info, "report").await;
    stage.idle().await;
    assert_eq!(stage.stands(id).await, "accepted accepted ding");
    let sent = stage.sink.received();
    assert!(sent[0].body.contains(r#""msgtype":"markdown""#), "{}", sent[0].body);
    assert!(sent[1].body.contains(r#""msgtype":"text""#), "{}", sent[1].body);
}

#[tokio::test]
async fn a_throttled_channel_waits_and_loses_nothing() {
    let stage = Stage::new(vec![way("hook", "webhook")]).await;
    let slow_down = Reply::Answer(429, vec![("retry-after", "7".into())], String::new());
    stage.sink.will("hook", [slow_down]);
    let first = stage.enqueue(Level::Info, "one").await;
    stage.idle().await;
    let second = stage.enqueue(Level::Info, "two").await;
    stage.advance(seconds(6)).await;
    assert_eq!(stage.sink.count("hook"), 1, "the whole channel waits");
    stage.advance(seconds(1)).await;
    assert_eq!(stage.sink.count("hook"), 3);
    assert_eq!(stage.stands(first).await, "accepted accepted hook");
    assert_eq!(stage.stands(second).await, "accepted accepted hook");
}

#[tokio::test]
async fn a_chain_that_fails_throughout_goes_on_until_the_message_expires_and_the_operator_hears_of_it()
 {
    let stage = Stage::new(vec![way("ding", "dingtalk"), way("wecom", "wecom")]).await;
    stage.sink.always("ding", errcode(-1));
    stage.sink.always("wecom", errcode(-1));
    let mut message = Message::new(Level::Error, "backup failed");
    message.ttl = Some(minutes(60));
    let id = stage.enqueue_message(message).await;
    stage.advance(minutes(10)).await;
    assert!(stage.stands(id).await.starts_with("pending ready"));
    assert_eq!(stage.sink.count("desk"), 1, "the first time the whole chain failed");
    assert!(
        stage
            .sink
            .received()
            .iter()
            .any(|r| r.channel == "desk" && r.body.contains("backup failed"))
    );
    stage.advance(minutes(51)).await;
    assert!(stage.stands(id).await.starts_with("expired expired"));
    assert_eq!(stage.sink.count("desk"), 2, "and when it expired");
    let tries = stage.attempts(id).await.len();
    assert!((12..120).contains(&tries), "{tries} tries in an hour");
}

#[tokio::test]
async fn a_message_that_everybody_refuses_is_dead_and_can_be_put_back() {
    let stage = Stage::new(vec![way("ding", "dingtalk"), way("wecom", "wecom")]).await;
    stage.sink.always("ding", errcode(300_001));
    stage.sink.always("wecom", errcode(93_000));
    let id = stage.enqueue(Level::Error, "backup failed").await;
    let bystander = stage.enqueue_message(to("desk", "all is well")).await;
    stage.idle().await;
    assert_eq!(stage.stands(id).await, "dead dead wecom");
    assert_eq!(stage.sink.count("desk"), 2, "the report, and the bystander");

    stage.sink.recovers("ding");
    let changed = command(&stage, Command::Replay, id).await;
    stage.idle().await;
    assert_eq!((changed, stage.stands(id).await.as_str()), (1, "accepted accepted ding"));
    assert_eq!(stage.stands(bystander).await, "accepted accepted desk");
    let journal = stage.story(id).await.journal;
    assert!(
        journal
            .iter()
            .any(|entry| entry.event == "replayed" && entry.by.as_deref() == Some("the test")),
        "{journal:?}"
    );
}

#[tokio::test]
async fn a_cancelled_message_is_not_sent_any_more() {
    let stage = Stage::new(vec![way("ding", "dingtalk")]).await;
    stage.sink.always("ding", errcode(-1));
    let id = stage.enqueue(Level::Error, "never mind").await;
    stage.idle().await;
    assert_eq!(command(&stage, Command::Cancel, id).await, 1);
    stage.advance(minutes(30)).await;
    assert_eq!(stage.stands(id).await, "cancelled cancelled ding");
    assert_eq!(stage.sink.channels(), ["ding"]);
    assert_eq!(command(&stage, Command::Cancel, id).await, 0, "there is nothing left to cancel");
}

#[tokio::test]
async fn an_urgent_message_overtakes_those_that_wait() {
    let stage =
        Stage::new(vec![crate::stage::Way { rate: "1/min", ..way("hook", "webhook") }]).await;
    for n in 0..3 {
        stage.enqueue(Level::Info, &format!("info {n}")).await;
    }
    stage.idle().await;
    let urgent = stage.enqueue(Level::Critical, "urgent").await;
    stage.advance(minutes(1)).await;
    assert_eq!(stage.stands(urgent).await, "accepted accepted hook");
    assert_eq!(stage.sink.count("hook"), 2);
}

#[tokio::test]
async fn a_delayed_message_waits_for_its_time() {
    let stage = Stage::new(vec![way("hook", "webhook")]).await;
    let mut message = Message::new(Level::Info, "reminder");
    message.delay = Some(minutes(5));
    let id = stage.enqueue_message(message).await;
    stage.advance(minutes(5) - seconds(1)).await;
    assert_eq!(stage.stands(id).await, "pending ready hook delay");
    stage.advance(seconds(1)).await;
    assert_eq!(stage.stands(id).await, "accepted accepted hook");
}

#[tokio::test]
async fn every_try_carries_the_same_id_and_a_fresh_signature_time() {
    let stage = Stage::new(vec![way("hook", "webhook")]).await;
    stage.sink.will("hook", [json(503, "{}"), Reply::Close]);
    let id = stage.enqueue(Level::Info, "report").await;
    stage.advance(minutes(1)).await;
    assert_eq!(
        stage.attempts(id).await,
        ["hook transient 503", "hook unknown", "hook accepted 200"]
    );
    let sent = stage.sink.received();
    assert!(sent.iter().all(|r| r.headers["webhook-id"].contains(&id.to_string())), "{sent:?}");
    assert_ne!(sent[0].headers["webhook-timestamp"], sent[2].headers["webhook-timestamp"]);
}

#[tokio::test]
async fn a_message_to_several_receivers_is_as_bad_as_its_worst_delivery() {
    let stage = Stage::new(vec![way("ding", "dingtalk")]).await;
    stage.sink.always("ding", errcode(300_001));
    let mut message = Message::new(Level::Error, "both of you");
    message.to = vec!["ops".into(), "desk".into()];
    let id = stage.enqueue_message(message).await;
    stage.idle().await;
    let story = stage.story(id).await;
    let states: BTreeSet<_> =
        story.deliveries.iter().map(|d| (d.receiver.as_str(), d.state.name())).collect();
    assert_eq!(states, [("desk", "accepted"), ("ops", "dead")].into());
    assert_eq!(story.summary.state, MessageState::Dead);
}

#[tokio::test]
async fn the_numbers_agree_with_what_the_provider_saw() {
    let stage = Stage::new(vec![way("ding", "dingtalk"), way("wecom", "wecom")]).await;
    stage.sink.will("ding", [errcode(-1), errcode(300_001)]);
    for n in 0..5 {
        stage.enqueue(Level::Warning, &format!("message {n}")).await;
    }
    stage.advance(minutes(5)).await;
    let stats = stage.store.stats(stage.clock.now()).await.unwrap();
    assert_eq!(stats.messages.iter().find(|(s, _)| *s == MessageState::Accepted).unwrap().1, 5);
    let attempts: u64 = stats.attempts.iter().map(|(_, _, n)| n).sum();
    assert_eq!(usize::try_from(attempts).unwrap(), stage.sink.received().len());
    assert_eq!(stats.oldest_due, None);
}

fn to(receiver: &str, title: &str) -> Message {
    let mut message = Message::new(Level::Info, title);
    message.to = vec![receiver.into()];
    message
}

async fn command(stage: &Stage, command: Command, id: callout_core::id::MessageId) -> usize {
    let ask = CommandRequest {
        now: stage.clock.now(),
        directory: stage.directory.clone(),
        command,
        messages: vec![id.to_string()],
        who: Actor::at_the_command_line("the test"),
    };
    stage.store.command(ask).await.unwrap()
}
