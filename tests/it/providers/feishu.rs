//! Feishu's bot: a signature in the body, five messages a second.

use crate::stage::provider::feishu::Feishu;
use crate::stage::{Stage, Way, seconds, way};
use callout_core::level::Level;
use callout_core::message::Message;
use serde_json::json;

const TOKEN: &str = "token-of-the-bot";
const KEY: &str = "key-of-the-bot";

/// A bot that signs with `key`, with the limit of its kind.
fn bot(key: &'static str) -> Way {
    let settings = move |address: &str| json!({ "token": TOKEN, "sign_key": key, "endpoint": address, "keyword": "Callout" });
    way("feishu", "feishu").with(settings).limited()
}

fn feishu() -> Feishu {
    let mut bot = Feishu::new(TOKEN, Some(KEY));
    bot.keywords = vec!["Callout".to_owned()];
    bot
}

#[tokio::test]
async fn a_burst_reaches_feishu_whole_and_never_too_fast() {
    let mut stage = Stage::new(vec![bot(KEY)]).await;
    let bot = stage.provider("feishu", feishu());
    let mut ids = Vec::new();
    for n in 0..40 {
        let mut message = Message::new(Level::Info, format!("message number {n}."));
        // Half of them are cards, half are posts.
        message.body = if n % 2 == 0 { String::new() } else { "See the **runbook**.".to_owned() };
        ids.push(stage.enqueue_message(message).await);
    }
    for _ in 0..4 {
        stage.advance(seconds(9)).await;
        stage.crash().await;
    }
    stage.idle().await;
    for id in ids {
        assert_eq!(stage.stands(id).await, "accepted accepted feishu");
    }
    let bot = bot.lock().unwrap();
    for n in 0..40 {
        assert_eq!(bot.book.count(&format!("message number {n}.")), 1, "message {n}");
    }
    let kinds = |kind: &str| bot.book.count(&format!("\"msg_type\":\"{kind}\""));
    assert_eq!((kinds("interactive"), kinds("post")), (20, 20));
    assert!((4..=5).contains(&bot.book.most_within(seconds(1))));
    assert_eq!(bot.book.codes(), Vec::<&str>::new());
}

#[tokio::test]
async fn a_bot_with_a_wrong_key_is_left_in_time() {
    let stage = Stage::new(vec![bot("another-key"), way("wecom", "wecom")]).await;
    let bot = stage.provider("feishu", feishu());
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.advance(seconds(20)).await;
    assert_eq!(stage.stands(id).await, "accepted accepted wecom");
    let attempts = stage.attempts(id).await;
    let (last, before) = attempts.split_last().unwrap();
    assert_eq!(last, "wecom accepted 0");
    // The same code stands for a wrong clock, which the next try may find right.
    assert!(before.iter().all(|attempt| attempt == "feishu transient 19021"), "{before:?}");
    assert!(bot.lock().unwrap().book.taken.is_empty());
}

#[tokio::test]
async fn a_bot_that_others_use_too_loses_nothing() {
    let stage = Stage::new(vec![Way { rate: "none", ..bot(KEY) }]).await;
    let bot = stage.provider("feishu", feishu());
    for n in 0..12 {
        stage.enqueue(Level::Info, &format!("message {n}")).await;
    }
    stage.advance(seconds(120)).await;
    let bot = bot.lock().unwrap();
    assert_eq!(bot.book.taken.len(), 12);
    assert!(bot.book.codes().iter().all(|code| *code == "11232"), "{:?}", bot.book.codes());
}
