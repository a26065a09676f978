//! A webhook: whoever is called reads JSON.

use crate::stage::{Stage, way};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_store::model::Answer;
use serde_json::{Value, json};

#[tokio::test]
async fn news_say_which_alert_they_are_about_and_how_it_stands() {
    let stage = Stage::escalating(vec![way("hook", "webhook")], &[("ops", 5)], 0).await;
    let mut message = Message::new(Level::Critical, "disk full");
    message.dedup_key = Some("db-3/disk".to_owned());
    let id = stage.enqueue_message(message).await;
    stage.idle().await;
    stage.answer(id, Answer::Acknowledge, "lin").await;
    stage.idle().await;
    stage.answer(id, Answer::Unacknowledge, "lin").await;
    stage.idle().await;
    stage.enqueue_message(Message::resolved("db-3/disk")).await;
    stage.idle().await;
    let heard = stage.sink.received();
    let about = |n: usize| {
        let body: Value = serde_json::from_str(&heard[n].body).unwrap();
        body["data"]["about"].clone()
    };
    let news = |standing: &str| json!({ "id": id, "standing": standing });
    // The alert, that somebody has it, the alert once more, and that it is over.
    assert_eq!(
        (0..heard.len()).map(about).collect::<Vec<_>>(),
        [Value::Null, news("acknowledged"), Value::Null, news("resolved")]
    );
}
