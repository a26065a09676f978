//! Limits are never exceeded and never lose a message.

use crate::stage::sink::{Received, Reply, json};
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
    for window in by_second.windows(61) {
        assert!(window[60] - window[0] <= 20, "{window:?}");
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

#[tokio::test]
async fn nobody_waits_for_the_last_channels_limit_while_the_first_channel_works_again() {
    let spare = Way { rate: "1/h", ..way("spare", "webhook") };
    let stage = Stage::new(vec![way("hook", "webhook"), spare]).await;
    stage.sink.always("hook", json(503, ""));
    let mut ids = Vec::new();
    for n in 0..6 {
        ids.push(stage.enqueue(Level::Critical, &format!("message {n}")).await);
    }
    stage.advance(minutes(1)).await;
    stage.sink.recovers("hook");
    stage.advance(minutes(2)).await;
    for id in ids {
        assert!(stage.stands(id).await.starts_with("accepted"), "{}", stage.stands(id).await);
    }
    assert_eq!(stage.sink.count("spare"), 1);
}

#[tokio::test]
async fn a_clock_that_is_set_back_blocks_a_channel_for_one_window_at_most() {
    let stage = Stage::new(vec![limited("2/min")]).await;
    for n in 0..2 {
        stage.enqueue(Level::Info, &format!("before {n}")).await;
    }
    stage.idle().await;
    stage.clock.step(callout_core::time::Timestamp::from_unix_ms(1_600_000_000_000).unwrap());
    let id = stage.enqueue(Level::Info, "after").await;
    stage.advance(minutes(1)).await;
    assert_eq!(stage.stands(id).await, "accepted accepted hook");
}

/// Whoever asks for patience this way gets it, from the whole channel.
async fn check_patience(status: u16, header: &str, seconds_later: u64) {
    let stage = Stage::new(vec![way("hook", "webhook")]).await;
    let wait = vec![("retry-after", header.to_owned())];
    stage.sink.will("hook", [Reply::Answer(status, wait, String::new())]);
    let first = stage.enqueue(Level::Critical, "first").await;
    stage.idle().await;
    let second = stage.enqueue(Level::Critical, "second").await;
    stage.advance(seconds(seconds_later) - std::time::Duration::from_millis(1)).await;
    assert_eq!(stage.sink.count("hook"), 1, "{status} {header}");
    // From then on the channel may be used; the one that was refused waits a little longer at random.
    stage.advance(std::time::Duration::from_millis(1)).await;
    assert!(stage.sink.count("hook") >= 2, "{status} {header}");
    stage.advance(seconds(60)).await;
    for id in [first, second] {
        assert_eq!(stage.stands(id).await, "accepted accepted hook", "{status} {header}");
    }
    assert_eq!(stage.sink.count("hook"), 3, "{status} {header}");
}

#[tokio::test]
async fn a_provider_is_not_asked_before_the_time_it_names_in_seconds_or_as_a_date() {
    // The stage begins at 22:13:20.
    for (status, header, later) in [
        (429, "7", 7),
        (429, "Tue, 14 Nov 2023 22:13:29 GMT", 9),
        (503, "7", 7),
        (503, "Tue, 14 Nov 2023 22:13:29 GMT", 9),
        (429, "Tue, 14 Nov 2023 22:13:19 GMT", 1),
        (429, "soon", 30),
        (429, "-1", 30),
        (429, "Thu, 01 Jan 1970 00:00:00 GMT", 1),
        (429, "Fri, 01 Jan 2100 00:00:00 GMT", 3600),
        (429, "18446744073709551615", 3600),
    ] {
        check_patience(status, header, later).await;
    }
}

#[tokio::test]
async fn a_provider_that_always_names_a_time_long_past_is_not_asked_again_and_again_at_once() {
    let stage = Stage::new(vec![way("hook", "webhook")]).await;
    let mut asked = 0;
    let refuse = move |_: &Received| {
        asked += 1;
        let past = vec![("retry-after", "Thu, 01 Jan 1970 00:00:00 GMT".to_owned())];
        // Whoever asks at once would ask for ever.
        if asked < 100 { Reply::Answer(429, past, String::new()) } else { json(410, "") }
    };
    stage.sink.lives_at("hook", Box::new(refuse));
    let id = stage.enqueue(Level::Critical, "refused for a minute").await;
    stage.advance(seconds(60)).await;
    let asked = stage.sink.count("hook");
    assert!((2..=61).contains(&asked), "{asked} times in a minute, at least a second apart");
    stage.sink.always("hook", json(200, ""));
    stage.advance(minutes(5)).await;
    assert_eq!(stage.stands(id).await, "accepted accepted hook");
}

#[tokio::test]
async fn after_an_outage_one_probe_goes_first_and_the_limit_holds_throughout() {
    let stage = Stage::new(vec![limited("20/min")]).await;
    stage.sink.always("hook", json(500, ""));
    for n in 0..100 {
        let mut message = Message::new(Level::Info, format!("message {n}"));
        message.ttl = Some(minutes(60));
        stage.enqueue_message(message).await;
    }
    let mut by_second = Vec::new();
    for _ in 0..300 {
        stage.advance(seconds(1)).await;
        by_second.push(stage.sink.count("hook"));
    }
    // Nobody knows yet that the provider is back: it gets one request, and no other until it has answered.
    stage.sink.always("hook", Reply::Silence);
    let before = stage.sink.count("hook");
    stage.clock.set(stage.clock.now() + seconds(16));
    stage.sink.has_received("hook", before + 1).await;
    by_second.extend([before; 15]);
    by_second.push(before + 1);
    for n in 1..=3 {
        let mut other = Message::new(Level::Info, "the worker goes on");
        other.to = vec!["desk".into()];
        stage.enqueue_message(other).await;
        stage.sink.has_received("desk", n).await;
    }
    assert_eq!(stage.sink.count("hook"), before + 1);

    stage.sink.recovers("hook");
    stage.sink.hang_up();
    for _ in 0..600 {
        stage.advance(seconds(1)).await;
        by_second.push(stage.sink.count("hook"));
    }
    for window in by_second.windows(61) {
        assert!(window[60] - window[0] <= 20, "{window:?}");
    }
    let arrived = stage.sink.count("hook") - before - 1;
    assert!(arrived >= 100, "everything arrives: {arrived}");
}
