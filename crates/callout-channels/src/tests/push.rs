//! Push services on telephones.

use super::*;
use crate::fit;
use callout_core::alert::{Regarding, Standing};
use callout_core::id::MessageId;
use std::sync::Arc;

/// The providers' limits for single parts, written down once more.
pub(super) fn check_limits(kind: &str, body: &Value) {
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    match kind {
        "ntfy" => {
            assert!(text("message").len() <= 4096 && !text("message").is_empty());
            let actions = body["actions"].as_array().cloned().unwrap_or_default();
            assert!(actions.len() <= 3);
            assert!(actions.iter().all(|action| action["label"] != "" && action["url"] != ""));
        }
        "bark" => {
            // As Apple is sent it.
            let sent = body.to_string();
            let long = sent.matches(['&', '<', '>']).count() * 5;
            assert!(sent.len() + long <= 4096, "{} + {long}", sent.len());
            assert!(text("group").len() <= 64 && text("id").len() <= 64);
        }
        "serverchan" => assert!(fit::utf16_len(&text("title")) <= 32),
        "pushplus" => {
            assert!(fit::utf16_len(&text("title")) <= 200);
            assert!(fit::utf16_len(&text("content")) <= 20_000);
        }
        _ => {}
    }
}

fn sent(kind: &str, out: &Outgoing<'_>) -> Value {
    tree(&channel(kind).http().request(out, now()).unwrap())
}

#[test]
fn settings_of_push_services_are_checked_for_what_they_mean() {
    let long = "a".repeat(65);
    for (kind, over, expected) in [
        ("ntfy", json!({ "topic": "ntfy.sh/mine" }), "topic: has to be at most 64"),
        ("ntfy", json!({ "topic": long }), "topic: has to be at most 64"),
        ("ntfy", json!({ "token": "0123456789" }), "token: has to begin with tk_"),
        ("ntfy", json!({ "user": "phil" }), "user: does not go together"),
        ("ntfy", json!({ "password": "secret" }), "password: does not go together"),
        ("bark", json!({ "device_key": "api.day.app/x" }), "device_key: has to be letters"),
        ("serverchan", json!({ "key": "SCU123456" }), "key: has to begin with SCT"),
        ("serverchan", json!({ "key": "sctptAbCdEf" }), "key: has to begin with SCT"),
        ("serverchan", json!({ "key": "sctp12xtAb" }), "key: has to begin with SCT"),
        ("serverchan", json!({ "key": "sctp12tAb/../x" }), "key: has to begin with SCT"),
        ("serverchan", json!({ "key": "sctp12tAbCdEf" }), ""),
        ("pushplus", json!({ "topic": " " }), "topic: is empty"),
    ] {
        let found = problems(kind, over.clone()).join("; ");
        assert!(found.starts_with(expected) && found.is_empty() == expected.is_empty(), "{found}");
    }
}

#[test]
fn a_user_of_ntfy_needs_a_password_and_a_name_without_a_colon() {
    for (over, expected) in [
        (json!({ "user": "phil" }), vec!["user"]),
        (json!({ "password": "secret" }), vec!["password"]),
        (json!({ "user": "phil", "password": "secret" }), vec![]),
        (json!({ "user": "ph:il", "password": "secret" }), vec!["user"]),
    ] {
        let mut settings = json!({ "topic": "callout-Zk3rT9wQ2p" });
        settings.as_object_mut().unwrap().extend(over.as_object().cloned().unwrap());
        let problems = Channel::build("ntfy", settings).err().unwrap_or_default();
        let fields: Vec<_> = problems.iter().map(|problem| problem.field).collect();
        assert_eq!(fields, expected, "{over}");
    }
}

#[test]
fn a_level_is_a_priority_for_ntfy_and_an_interruption_for_bark() {
    let mentions = Mentions::default();
    for (level, priority, interruption) in [
        (Level::Info, 2, "passive"),
        (Level::Warning, 3, "active"),
        (Level::Error, 4, "timeSensitive"),
        (Level::Critical, 5, "critical"),
    ] {
        let message = Message::new(level, "x");
        for plain in [false, true] {
            let out = outgoing(&message, &mentions, plain);
            assert_eq!(sent("ntfy", &out)["priority"], priority);
            assert_eq!(sent("bark", &out)["level"], interruption);
        }
    }
}

#[test]
fn the_first_button_of_ntfy_sends_what_the_form_of_the_page_sends() {
    let (message, mentions) = (Message::new(Level::Critical, "x"), Mentions::default());
    let ask = ask(Some(LINK), None, 1);
    let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
    let body = sent("ntfy", &out);
    let button = &body["actions"][0];
    assert_eq!((&button["action"], &button["method"]), (&json!("http"), &json!("POST")));
    assert_eq!((&button["url"], &body["click"]), (&json!(LINK), &json!(LINK)));
    // `callout/src/http/ack/form/tests.rs` reads the same text.
    assert_eq!(button["body"], "action=ack&name=ntfy");
    assert!(!button.to_string().contains("Zk3rT9wQ2p"), "the topic is a credential");
    assert!(!body["message"].as_str().unwrap().contains(TICKET));
}

#[test]
fn old_news_do_not_take_the_place_of_newer_ones() {
    let (message, mentions) = (Message::new(Level::Info, "x"), Mentions::default());
    let mut about = Regarding {
        id: MessageId::new(now(), [3; 10]),
        message: Arc::new(message.clone()),
        created_at: now(),
        standing: Standing::Acknowledged,
        now: Standing::Acknowledged,
        receipts: Vec::new(),
    };
    let id_by = |about: &Regarding| {
        sent("bark", &Outgoing { about: Some(about), ..outgoing(&message, &mentions, false) })["id"]
            .clone()
    };
    assert_eq!(id_by(&about), about.id.to_string());
    about.now = Standing::Resolved;
    assert_eq!(id_by(&about), id().to_string());
}
