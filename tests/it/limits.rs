//! Limits are never exceeded and never lose a message.

use crate::stage::{Stage, Way, minutes, seconds, way};
use callout_core::level::Level;
use callout_core::message::Message;

fn limited(rate: &'static str) -> Way {
    Way { rate, permits: 64, ..way("hook", "webhook") }
}

#[tokio::test]
async fn no_minute_sees_more_than_the_limit_and_everything_arrives() {
    let mut stage = Stage::new(vec![limited("20/min")]).await;
    for n in 0..70 {
        let mut message = Message::new(Level::Info, format!("message {n}"));
        message.ttl = Some(minutes(60));
        stage.enqueue_message(message).await;
    }
    let mut by_second = Vec::new();
    for second in 0..300 {
        stage.advance(seconds(1)).await;
        by_second.push(stage.sink.count("hook"));
        if second % 37 == 36 {
            stage.crash().await;
        }
    }
    for window in by_second.windows(60) {
        assert!(window[59] - window[0] <= 20, "{window:?}");
    }
    assert_eq!(stage.sink.count("hook"), 70);
    assert!(by_second[200] >= 54, "at least nine tenths of the limit are used: {}", by_second[200]);
}

#[tokio::test]
async fn a_message_that_waits_for_room_takes_the_next_channel_when_its_time_is_up() {
    let stage = Stage::new(vec![limited("1/h"), way("spare", "webhook")]).await;
    let first = stage.enqueue(Level::Critical, "first").await;
    stage.idle().await;
    let second = stage.enqueue(Level::Critical, "second").await;
    stage.advance(seconds(19)).await;
    assert_eq!(stage.stands(second).await, "pending ready hook new");
    stage.advance(seconds(1)).await;
    assert_eq!(stage.stands(second).await, "accepted accepted spare");
    assert_eq!(stage.stands(first).await, "accepted accepted hook");
    assert_eq!(stage.attempts(second).await, ["spare accepted 200"]);
}
