//! DingTalk's robot: twenty a minute, and ten minutes of silence for more.

use crate::stage::provider::dingtalk::DingTalk;
use crate::stage::sink::Reply;
use crate::stage::{Stage, Way, minutes, seconds, way};
use callout_core::level::Level;
use serde_json::json;

const TOKEN: &str = "token-of-the-robot";
const KEY: &str = "SEC-key-of-the-robot";

/// A robot that signs with `key`, with the limit of its kind.
fn robot(key: &'static str) -> Way {
    let settings = move |address: &str| {
        json!({
            "access_token": TOKEN, "sign_key": key, "endpoint": address, "keyword": "Callout",
        })
    };
    way("ding", "dingtalk").with(settings).limited()
}

fn dingtalk() -> DingTalk {
    let mut robot = DingTalk::new(TOKEN, Some(KEY));
    robot.keywords = vec!["Callout".to_owned()];
    robot
}

#[tokio::test]
async fn a_burst_reaches_dingtalk_whole_and_never_too_fast() {
    let mut stage = Stage::new(vec![robot(KEY)]).await;
    let robot = stage.provider("ding", dingtalk());
    let mut ids = Vec::new();
    for n in 0..60 {
        ids.push(stage.enqueue(Level::Info, &format!("message number {n}.")).await);
    }
    for _ in 0..5 {
        stage.advance(seconds(47)).await;
        stage.crash().await;
    }
    stage.idle().await;
    for id in ids {
        assert_eq!(stage.stands(id).await, "accepted accepted ding");
    }
    let robot = robot.lock().unwrap();
    for n in 0..60 {
        assert_eq!(robot.book.count(&format!("message number {n}.")), 1, "message {n}");
    }
    // A tenth of the limit is kept for what is more urgent.
    assert!((18..=20).contains(&robot.book.most_within(minutes(1))));
    assert_eq!(robot.book.codes(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_robot_with_a_wrong_key_is_left_at_once() {
    let stage = Stage::new(vec![robot("SEC-another-key"), way("wecom", "wecom")]).await;
    let robot = stage.provider("ding", dingtalk());
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    assert_eq!(stage.stands(id).await, "accepted accepted wecom");
    assert_eq!(stage.attempts(id).await, ["ding rejected 310000", "wecom accepted 0"]);
    assert!(robot.lock().unwrap().book.taken.is_empty());
}

#[tokio::test]
async fn a_channel_that_speaks_too_often_all_the_same_loses_nothing() {
    // Somebody else uses the same robot, so the limit here is not the whole truth.
    let fast = Way { rate: "none", ..robot(KEY) };
    let stage = Stage::new(vec![fast]).await;
    let robot = stage.provider("ding", dingtalk());
    let mut ids = Vec::new();
    for n in 0..25 {
        ids.push(stage.enqueue(Level::Info, &format!("message {n}")).await);
    }
    stage.advance(minutes(30)).await;
    for id in ids {
        assert_eq!(stage.stands(id).await, "accepted accepted ding");
    }
    let robot = robot.lock().unwrap();
    assert_eq!(robot.book.taken.len(), 25);
    assert!(robot.book.codes().iter().all(|code| *code == "130101"), "{:?}", robot.book.codes());
    assert!(robot.book.codes().len() <= 8, "the whole channel waits: {:?}", robot.book.codes());
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_again() {
    let stage = Stage::new(vec![robot(KEY)]).await;
    let robot = stage.provider("ding", dingtalk());
    stage.sink.garbles("ding", [Reply::Close]);
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.advance(minutes(1)).await;
    assert_eq!(stage.attempts(id).await, ["ding unknown", "ding accepted 0"]);
    assert_eq!(robot.lock().unwrap().book.taken.len(), 2, "it had been heard");
}
