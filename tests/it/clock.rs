//! Somebody sets the clock, and nobody notices but the log.
//!
//! After each step the worker is made to look, which without a test it does every second.

use crate::stage::sink::{Reply, json};
use crate::stage::{Stage, Way, minutes, seconds, way};
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::time::Timestamp;
use callout_store::Store;
use callout_store::model::Answer;

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
const YEARS: i64 = 3653 * DAY;
/// Ten in the morning of the first of January 2100.
const IN_2100: i64 = 4_102_480_800_000;

/// By how many milliseconds the clock is set. The last two lead to 2100 and to 1970.
const STEPS: [i64; 12] = [
    1_000,
    -1_000,
    6_000,
    -6_000,
    HOUR,
    -HOUR,
    DAY,
    -DAY,
    YEARS,
    -YEARS,
    IN_2100 - 1_700_000_000_000,
    -1_699_990_000_000,
];

fn set(stage: &Stage, by_ms: i64) {
    let now: Timestamp = stage.clock.now();
    stage.clock.step(now.shifted(by_ms));
}

#[tokio::test]
async fn a_new_message_goes_out_once() {
    for by in STEPS {
        let stage = Stage::new(vec![way("hook", "webhook")]).await;
        stage.idle().await;
        let id = stage.enqueue(Level::Error, "new").await;
        set(&stage, by);
        stage.idle().await;
        assert_eq!(stage.stands(id).await, "accepted accepted hook", "{by}");
        stage.advance(minutes(2)).await;
        assert_eq!(stage.sink.count("hook"), 1, "{by}");
    }
}

#[tokio::test]
async fn a_message_that_waits_for_its_next_try_waits_as_long_as_before() {
    for by in STEPS {
        let stage = Stage::new(vec![way("hook", "webhook")]).await;
        stage.sink.will("hook", [json(503, ""), json(503, "")]);
        let id = stage.enqueue(Level::Error, "backoff").await;
        stage.idle().await;
        set(&stage, by);
        stage.idle().await;
        if by.abs() > 5_000 {
            assert_eq!(stage.sink.count("hook"), 1, "{by}: not sooner");
        }
        stage.advance(seconds(10)).await;
        assert_eq!(stage.stands(id).await, "accepted accepted hook", "{by}");
        assert_eq!(stage.sink.count("hook"), 3, "{by}");
    }
}

#[tokio::test]
async fn a_delay_lasts_as_long_as_before() {
    for by in STEPS {
        let stage = Stage::new(vec![way("hook", "webhook")]).await;
        let mut message = Message::new(Level::Error, "delayed");
        message.delay = Some(minutes(10));
        message.ttl = Some(minutes(5));
        let id = stage.enqueue_message(message).await;
        stage.idle().await;
        set(&stage, by);
        stage.idle().await;
        stage.advance(seconds(10 * 60 - 2)).await;
        assert_eq!(stage.sink.count("hook"), 0, "{by}: not sooner");
        stage.advance(seconds(4)).await;
        assert_eq!(stage.stands(id).await, "accepted accepted hook", "{by}");
        assert_eq!(stage.sink.count("hook"), 1, "{by}");
    }
}

#[tokio::test]
async fn a_try_under_way_is_neither_cut_short_nor_taken_over() {
    for by in STEPS {
        let stage = Stage::new(vec![way("hook", "webhook")]).await;
        stage.sink.will("hook", [Reply::Silence]);
        let id = stage.enqueue(Level::Critical, "under way").await;
        stage.sink.has_received("hook", 1).await;
        let other = stage.another_worker().await;
        // A clock that is set before a worker has first looked was set before it began.
        other.idle().await.unwrap();
        set(&stage, by);
        // A message for somebody else makes both workers look.
        for n in 1..3 {
            let mut nudge = Message::new(Level::Info, "look");
            nudge.to = vec!["desk".into()];
            stage.enqueue_message(nudge).await;
            stage.sink.has_received("desk", n).await;
        }
        other.idle().await.unwrap();
        assert_eq!(stage.sink.count("hook"), 1, "{by}: nobody sends it a second time");
        assert_eq!(stage.stands(id).await, "pending leased hook", "{by}");
        // Its own time is up by the clock that nobody sets.
        stage.clock.set(stage.clock.now() + seconds(51));
        stage.idle().await;
        stage.advance(seconds(5)).await;
        other.idle().await.unwrap();
        assert_eq!(stage.attempts(id).await, ["hook unknown", "hook accepted 200"], "{by}");
        assert_eq!(stage.sink.count("hook"), 2, "{by}");
        let tries = &stage.story(id).await.deliveries[0].attempts;
        assert!((50..=51).contains(&tries[0].duration.as_secs()), "{by}: {:?}", tries[0].duration);
    }
}

#[tokio::test]
async fn a_pause_that_the_provider_wants_is_kept_and_ends() {
    let slow = || Reply::Answer(429, vec![("retry-after", "120".into())], String::new());
    for by in STEPS {
        let stage = Stage::new(vec![way("hook", "webhook")]).await;
        stage.sink.will("hook", [slow()]);
        let id = stage.enqueue(Level::Error, "throttled").await;
        stage.idle().await;
        set(&stage, by);
        stage.idle().await;
        stage.advance(seconds(118)).await;
        assert_eq!(stage.sink.count("hook"), 1, "{by}: not sooner");
        stage.advance(seconds(4)).await;
        assert_eq!(stage.stands(id).await, "accepted accepted hook", "{by}");
        assert_eq!(stage.sink.count("hook"), 2, "{by}");
    }
}

#[tokio::test]
async fn an_open_circuit_is_probed_as_soon_as_before() {
    for by in STEPS {
        let stage = Stage::new(vec![way("sick", "webhook")]).await;
        stage.sink.always("sick", json(500, ""));
        let mut ids = Vec::new();
        for n in 0..6 {
            ids.push(stage.enqueue(Level::Error, &format!("message {n}")).await);
        }
        stage.idle().await;
        let health = stage.store.health().await.unwrap();
        assert!(health[0].probe_at.is_some(), "its circuit is open");
        stage.sink.recovers("sick");
        set(&stage, by);
        stage.idle().await;
        stage.advance(seconds(60)).await;
        for id in ids {
            assert_eq!(stage.stands(id).await, "accepted accepted sick", "{by}");
        }
    }
}

#[tokio::test]
async fn a_limit_is_kept_and_holds_nothing_up_for_longer() {
    for by in STEPS {
        let stage =
            Stage::new(vec![Way { rate: "2/min", permits: 8, ..way("hook", "webhook") }]).await;
        for n in 0..4 {
            stage.enqueue(Level::Critical, &format!("message {n}")).await;
        }
        stage.idle().await;
        assert_eq!(stage.sink.count("hook"), 2);
        set(&stage, by);
        stage.idle().await;
        stage.advance(seconds(58)).await;
        assert_eq!(stage.sink.count("hook"), 2, "{by}: no minute sees more");
        stage.advance(seconds(4)).await;
        assert_eq!(stage.sink.count("hook"), 4, "{by}");
    }
}

#[tokio::test]
async fn people_have_as_long_to_acknowledge_as_before_and_the_next_are_told_once() {
    for by in STEPS {
        let steps = [("ops", 5), ("lead", 10)];
        let stage = Stage::escalating(vec![way("hook", "webhook")], &steps, 0).await;
        let id = stage.enqueue(Level::Critical, "alert").await;
        stage.idle().await;
        stage.advance(minutes(2)).await;
        set(&stage, by);
        stage.idle().await;
        stage.advance(seconds(178)).await;
        assert_eq!(stage.sink.count("lead"), 0, "{by}: not sooner");
        stage.advance(seconds(4)).await;
        assert_eq!(stage.sink.count("lead"), 1, "{by}");
        set(&stage, -by);
        stage.idle().await;
        stage.advance(seconds(10 * 60 - 5)).await;
        assert_eq!(stage.sink.count("desk"), 0, "{by}: not sooner");
        stage.advance(seconds(8)).await;
        let told = (stage.sink.count("hook"), stage.sink.count("lead"), stage.sink.count("desk"));
        assert_eq!(told, (1, 1, 1), "{by}");
        assert_eq!(stage.alert(id).await.steps.len(), 3, "{by}: each decision once");
    }
}

#[tokio::test]
async fn an_acknowledged_alert_stays_quiet() {
    for by in STEPS {
        let steps = [("ops", 5), ("lead", 10)];
        let stage = Stage::escalating(vec![way("hook", "webhook")], &steps, 2).await;
        let id = stage.enqueue(Level::Critical, "alert").await;
        stage.idle().await;
        stage.answer(id, Answer::Acknowledge, "fox").await;
        stage.idle().await;
        set(&stage, by);
        stage.idle().await;
        stage.advance(minutes(20)).await;
        assert_eq!(stage.sink.count("lead"), 0, "{by}");
        assert_eq!(stage.alert(id).await.steps.len(), 1, "{by}");
    }
}

#[tokio::test]
async fn a_clock_set_back_while_nobody_ran_holds_nothing_up() {
    for by in STEPS.into_iter().filter(|by| *by < 0) {
        let steps = [("ops", 5), ("lead", 10)];
        let mut stage = Stage::escalating(vec![way("hook", "webhook")], &steps, 0).await;
        stage.sink.will("hook", [json(503, "")]);
        let id = stage.enqueue(Level::Critical, "alert").await;
        stage.idle().await;
        stage.stop().await;
        let unread = stage.enqueue(Level::Error, "not planned yet").await;
        set(&stage, by);
        stage.start().await;
        stage.advance(seconds(60)).await;
        assert!(stage.stands(id).await.starts_with("accepted"), "{by}");
        assert!(stage.stands(unread).await.starts_with("accepted"), "{by}");
        assert_eq!(stage.sink.count("hook"), 3, "{by}");
        stage.advance(seconds(5 * 60)).await;
        assert_eq!(stage.sink.count("lead"), 2, "{by}: one of each alert");
    }
}

#[tokio::test]
async fn a_machine_that_had_not_learned_the_time_yet_loses_nothing() {
    let mut stage = Stage::new(vec![way("hook", "webhook")]).await;
    let present = stage.clock.now();
    stage.stop().await;
    stage.clock.step(Timestamp::from_unix_ms(20_000).unwrap());
    let early = stage.enqueue(Level::Error, "written in 1970").await;
    stage.clock.step(present);
    stage.start().await;
    stage.idle().await;
    assert_eq!(stage.stands(early).await, "accepted accepted hook");
}

#[tokio::test]
async fn the_operator_sees_that_the_clock_was_set() {
    let stage = Stage::new(vec![way("hook", "webhook")]).await;
    stage.idle().await;
    assert_eq!(stage.store.stats(stage.clock.now()).await.unwrap().clock, None);
    for by in [HOUR, 4_000, -2 * HOUR] {
        set(&stage, by);
        stage.idle().await;
    }
    let steps = stage.store.stats(stage.clock.now()).await.unwrap().clock.unwrap();
    assert_eq!((steps.count, steps.last_at), (2, stage.clock.now()));
    assert_eq!(steps.last_ms, -2 * HOUR);
}
