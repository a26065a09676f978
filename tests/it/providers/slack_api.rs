//! A Slack app: news stand in the thread, and what was answered loses its button.

use crate::stage::provider::slack_api::SlackApi;
use crate::stage::sink::Reply;
use crate::stage::{Stage, Way, minutes, seconds, way};
use callout_core::level::Level;
use callout_store::model::Answer;
use serde_json::json;

const TOKEN: &str = "xoxb-token-of-the-app";
const ROOM: &str = "C0123456789";

fn app() -> Way {
    let settings = |address: &str| {
        json!({
            "bot_token": TOKEN, "channel": ROOM, "signing_secret": "secret-of-the-app",
            "endpoint": format!("{address}/api/"),
        })
    };
    way("slack", "slack_api").with(settings).limited()
}

async fn night() -> Stage {
    Stage::escalating(vec![app()], &[("ops", 5), ("lead", 10)], 0).await.linked().await
}

#[tokio::test]
async fn news_stand_in_the_thread_and_the_alert_loses_its_button() {
    let mut stage = night().await;
    let slack = stage.provider("slack", SlackApi::new(TOKEN, ROOM));
    let bystander = stage.enqueue(Level::Critical, "link down").await;
    stage.advance(seconds(5)).await;
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.advance(seconds(5)).await;
    let told = stage.attempts(id).await;
    let ts = told[0].strip_prefix(&format!("slack accepted {ROOM}:")).unwrap().to_owned();
    let button = slack.lock().unwrap().button(&ts).unwrap();
    assert_eq!(button["text"]["text"], "Acknowledge");
    assert!(button["url"].is_null() && !button["value"].as_str().unwrap().is_empty());

    // What finds the message again outlives the process.
    stage.crash().await;
    stage.answer(id, Answer::Acknowledge, "lin").await;
    stage.advance(seconds(5)).await;
    {
        let slack = slack.lock().unwrap();
        let news = slack.book.taken.last().unwrap();
        assert!(news.body["text"].as_str().unwrap().contains("Acknowledged by lin"));
        assert_eq!(news.body["thread_ts"], ts.as_str());
        let edited: Vec<&str> = slack.edits.iter().map(|(ts, _)| ts.as_str()).collect();
        assert_eq!(edited, [ts.as_str()]);
        assert_eq!(slack.button(&ts), None);
        let shown = slack.messages[&ts].to_string();
        assert!(shown.contains("Acknowledged by lin") && shown.contains("disk full"), "{shown}");
        assert_eq!(slack.book.codes(), Vec::<&str>::new());
    }
    let other = stage.attempts(bystander).await;
    let other = other[0].rsplit_once(':').unwrap().1;
    assert!(slack.lock().unwrap().button(other).is_some(), "it is open still");

    stage.answer(id, Answer::Resolve, "lin").await;
    stage.advance(seconds(5)).await;
    let slack = slack.lock().unwrap();
    assert_eq!(slack.book.taken.last().unwrap().body["thread_ts"], ts.as_str());
    let shown = slack.messages[&ts].to_string();
    assert!(shown.contains("Resolved by lin") && !shown.contains("Acknowledged by"), "{shown}");
}

#[tokio::test]
async fn an_answer_that_is_lost_is_asked_for_once_more_with_the_same_words() {
    let stage = night().await;
    let slack = stage.provider("slack", SlackApi::new(TOKEN, ROOM));
    stage.sink.garbles("slack", [Reply::Half]);
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.advance(minutes(1)).await;
    let attempts = stage.attempts(id).await;
    assert_eq!(attempts[0], "slack unknown");
    assert!(attempts[1].starts_with("slack accepted C"), "{attempts:?}");
    let slack = slack.lock().unwrap();
    assert_eq!(slack.book.taken.len(), 2, "it had been heard");
    assert_eq!(slack.book.taken[0].body, slack.book.taken[1].body);
}

#[tokio::test]
async fn who_speaks_too_often_waits_as_long_as_slack_says() {
    let stage = Stage::new(vec![Way { rate: "none", ..app() }]).await;
    let slack = stage.provider("slack", SlackApi::new(TOKEN, ROOM));
    let mut ids = Vec::new();
    for n in 0..9 {
        ids.push(stage.enqueue(Level::Info, &format!("message {n}")).await);
    }
    stage.advance(seconds(5) - std::time::Duration::from_millis(1)).await;
    assert_eq!(slack.lock().unwrap().book.taken.len(), 5, "not before the five seconds are over");
    stage.advance(seconds(60)).await;
    for id in ids {
        assert_eq!(stage.stands(id).await, "accepted accepted slack");
    }
    let slack = slack.lock().unwrap();
    assert_eq!(slack.book.taken.len(), 9);
    assert!(slack.book.codes().iter().all(|code| *code == "ratelimited"));
}

#[tokio::test]
async fn a_token_that_was_revoked_is_left_at_once() {
    let stage = Stage::new(vec![app(), way("wecom", "wecom")]).await;
    stage.provider("slack", SlackApi::new("xoxb-a-newer-token", ROOM));
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.idle().await;
    assert_eq!(stage.attempts(id).await, ["slack rejected invalid_auth", "wecom accepted 0"]);
}

#[tokio::test]
async fn old_news_that_come_after_newer_ones_change_nothing() {
    let stage = night().await;
    let slack = stage.provider("slack", SlackApi::new(TOKEN, ROOM));
    let id = stage.enqueue(Level::Critical, "disk full").await;
    stage.advance(seconds(5)).await;
    // Slack is busy just when it would hear that somebody has it.
    stage.sink.will("slack", [Reply::Answer(503, vec![], String::new())]);
    stage.answer(id, Answer::Acknowledge, "lin").await;
    stage.idle().await;
    stage.answer(id, Answer::Resolve, "lin").await;
    stage.advance(minutes(1)).await;
    let slack = slack.lock().unwrap();
    let news: Vec<&str> =
        slack.book.taken[1..].iter().map(|taken| taken.body["text"].as_str().unwrap()).collect();
    assert_eq!(news.len(), 2, "{news:?}");
    assert!(news.iter().any(|text| text.contains("Acknowledged by lin")), "nothing is lost");
    let shown = slack.messages.values().next().unwrap().to_string();
    assert!(shown.contains("Resolved by lin") && !shown.contains("Acknowledged by"), "{shown}");
    assert_eq!(slack.edits.len(), 1);
}
