//! A WeCom application: one token for all, people who are gone, and what comes twice.

use crate::stage::provider::wecom_app::WecomApp;
use crate::stage::sink::Reply;
use crate::stage::{Stage, Way, minutes, seconds, way};
use callout_core::level::Level;
use callout_store::model::Answer;
use serde_json::json;
use std::sync::Mutex;

const SECRET: &str = "secret-of-the-application";

/// An application that tells these people.
fn app(to: &'static [&'static str]) -> Way {
    let settings = move |address: &str| {
        json!({
            "corp_id": "ww1234", "corp_secret": SECRET, "agent_id": 7, "to": to,
            "endpoint": format!("{address}/cgi-bin/"),
            "callback_token": "token-of-the-calls",
            "callback_key": "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG",
        })
    };
    way("app", "wecom_app").with(settings)
}

fn provider() -> WecomApp {
    WecomApp::new("ww1234", SECRET, 7, &["lin", "wang"])
}

/// How many messages it took, and how often somebody logged in.
fn seen(wecom: &Mutex<WecomApp>) -> (usize, usize) {
    let wecom = wecom.lock().unwrap();
    (wecom.book.taken.len(), wecom.logins())
}

/// How often it took the words, and how often it dropped what came twice.
fn heard(wecom: &Mutex<WecomApp>, words: &str) -> (usize, usize) {
    let wecom = wecom.lock().unwrap();
    (wecom.book.count(words), wecom.dropped)
}

#[tokio::test]
async fn one_token_is_got_for_many_and_again_after_a_restart() {
    let mut stage = Stage::new(vec![app(&["lin"])]).await;
    let wecom = stage.provider("app", provider());
    for n in 0..12 {
        stage.enqueue(Level::Error, &format!("message {n}")).await;
    }
    stage.idle().await;
    assert_eq!(seen(&wecom), (12, 1));
    // Nobody uses it to its last moment.
    for _ in 0..3 {
        stage.advance(minutes(60)).await;
        stage.enqueue(Level::Error, "one more").await;
        stage.idle().await;
    }
    assert_eq!(wecom.lock().unwrap().logins(), 2);
    stage.crash().await;
    stage.enqueue(Level::Error, "one more").await;
    stage.idle().await;
    let wecom = wecom.lock().unwrap();
    assert_eq!((wecom.book.taken.len(), wecom.logins()), (16, 3));
    assert_eq!(wecom.book.codes(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_token_that_ended_early_is_renewed_within_the_attempt() {
    let stage = Stage::new(vec![app(&["lin"])]).await;
    let wecom = stage.provider("app", provider());
    stage.enqueue(Level::Error, "first").await;
    stage.idle().await;
    wecom.lock().unwrap().forget_tokens();
    let id = stage.enqueue(Level::Error, "second").await;
    stage.idle().await;
    assert_eq!(stage.attempts(id).await, ["app accepted 0"]);
    let wecom = wecom.lock().unwrap();
    assert_eq!((wecom.book.codes(), wecom.logins()), (vec!["42001"], 2));
}

#[tokio::test]
async fn where_somebody_is_gone_the_next_channel_is_told_too() {
    let stage = Stage::new(vec![app(&["lin", "ghost"]), way("ding", "dingtalk")]).await;
    let wecom = stage.provider("app", provider());
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    assert_eq!(stage.attempts(id).await, ["app rejected invaliduser", "ding accepted 0"]);
    assert_eq!(wecom.lock().unwrap().book.taken.len(), 1, "lin has been told");
}

#[tokio::test]
async fn what_was_heard_and_not_answered_is_dropped_when_it_comes_again() {
    let stage = Stage::escalating(vec![app(&["lin"])], &[("ops", 5)], 1).await.linked().await;
    let wecom = stage.provider("app", provider());
    stage.enqueue(Level::Critical, "link down").await;
    stage.idle().await;
    stage.sink.garbles("app", [Reply::Close]);
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.advance(minutes(1)).await;
    let attempts = stage.attempts(id).await;
    assert_eq!(attempts[0], "app unknown");
    assert!(attempts[1].starts_with("app accepted code-of-"), "{attempts:?}");
    assert_eq!(heard(&wecom, "disk full"), (1, 1));
    // Being told once more because nobody answered is another thing.
    stage.advance(minutes(5)).await;
    assert_eq!(heard(&wecom, "disk full"), (2, 1));
}

#[tokio::test]
async fn the_card_says_who_has_it() {
    let stage = Stage::escalating(vec![app(&["lin"])], &[("ops", 5)], 0).await.linked().await;
    let wecom = stage.provider("app", provider());
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    let card = wecom.lock().unwrap().book.taken[0].body["template_card"].clone();
    assert_eq!(card["button_list"][0]["text"], "Acknowledge");
    stage.answer(id, Answer::Acknowledge, "wang").await;
    stage.advance(seconds(1)).await;
    let wecom = wecom.lock().unwrap();
    assert_eq!(wecom.book.count("Acknowledged by wang"), 1);
    let (code, update) = &wecom.updates[0];
    assert_eq!(code, &format!("code-of-{}", wecom.book.taken[0].id));
    assert_eq!(update["button"]["replace_name"], "Acknowledged by wang");
    assert_eq!(update["userids"], json!(["lin"]));
}
