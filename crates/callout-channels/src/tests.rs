//! What holds for every registered kind, and the fixtures that show it.
//!
//! `fixtures/<kind>/settings.json` is a working channel. `<case>/message.json` holds a message, and
//! if it likes `mentions`, `plain`, `ask` (`url`, `note`, `telling`; all may be left out), `settings`
//! (laid over the common ones; null removes a key), `repeat_body` and the `answers` to what follows;
//! `request.http` beside it is what is sent. `responses.txt` says how each answer is read.
//! `UPDATE_EXPECT=1` writes `request.http` anew.

use crate::channel::{Ask, HttpRequest, HttpResponse, Mentions, Outgoing, Problem};
use crate::{Channel, FOLLOW_UPS_MAX, REGISTRY};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use callout_core::id::MessageId;
use callout_core::level::Level;
use callout_core::message::Message;
use callout_core::secret::Secret;
use callout_core::time::Timestamp;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

mod ask;
mod fixtures;
mod leaks;
mod limits;
mod mentions;
mod vectors;

fn now() -> Timestamp {
    Timestamp::from_unix_ms(1_717_171_717_171).unwrap()
}

fn id() -> MessageId {
    MessageId::new(now(), [7; 10])
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> T {
    serde_json::from_str(&read(path)).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn base_settings(kind: &str) -> Map<String, Value> {
    read_json(&fixtures().join(kind).join("settings.json"))
}

fn channel(kind: &str) -> Channel {
    Channel::build(kind, Value::Object(base_settings(kind))).unwrap()
}

fn outgoing<'a>(message: &'a Message, mentions: &'a Mentions, plain: bool) -> Outgoing<'a> {
    let created_at = Timestamp::from_unix_ms(now().unix_ms() - 1_171).unwrap();
    Outgoing { message, id: id(), created_at, mentions, plain, ask: None }
}

fn ask(url: Option<&str>, note: Option<&str>, telling: u32) -> Ask {
    let command = format!("callout ack {}", id());
    Ask { url: url.map(Secret::new), command, note: note.map(str::to_owned), telling }
}

/// An address to acknowledge at, and the ticket at its end.
const LINK: &str = "https://callout.example.com/a/AQGPz2kEM3cHhwcHBwcHBwcAAAADAY";
const TICKET: &str = "AQGPz2kEM3cHhwcHBwcHBwcAAAADAY";

/// The request and all that follow it, answered by `answers` and then by successes.
fn requests(channel: &Channel, out: &Outgoing<'_>, answers: &[Value]) -> Vec<HttpRequest> {
    let mut requests = vec![channel.http().request(out, now()).unwrap()];
    let mut given = Vec::new();
    while let Some(request) = channel.http().follow_up(out, now(), &given) {
        assert!(given.len() < FOLLOW_UPS_MAX, "more follows than is allowed");
        requests.push(request);
        let success = json!({ "errcode": 0, "errmsg": "ok", "media_id": "MEDIA-1" });
        let answer = answers.get(given.len()).unwrap_or(&success);
        given.push(HttpResponse {
            status: 200,
            retry_after: None,
            body: answer.to_string().into_bytes(),
        });
    }
    requests
}

fn problems(kind: &str, over: Value) -> Vec<String> {
    let mut settings = base_settings(kind);
    let Value::Object(over) = over else { panic!("a table, please") };
    settings.extend(over);
    let show = |Problem { field, text }| format!("{field}: {text}");
    match Channel::build(kind, Value::Object(settings)) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.into_iter().map(show).collect(),
    }
}

#[test]
fn settings_are_checked_for_what_they_mean() {
    let key = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
    for (kind, over, expected) in [
        ("dingtalk", json!({ "access_token": "token123\n" }), ""),
        ("dingtalk", json!({ "access_token": "tok en" }), "access_token: contains white space"),
        ("dingtalk", json!({ "access_token": " \n" }), "access_token: is empty"),
        ("dingtalk", json!({ "endpoint": "ftp://x/" }), "endpoint: has to begin with"),
        ("dingtalk", json!({ "endpoint": "nonsense" }), "endpoint: is no address"),
        ("dingtalk", json!({ "endpoint": "http://me@x/" }), "endpoint: may not contain a user"),
        (
            "dingtalk",
            json!({ "acess_token": "x" }),
            "kind: has no other settings than access_token",
        ),
        ("dingtalk", json!({ "message_uuid": "yes" }), "message_uuid: has to be true or false"),
        ("wecom", json!({ "markdown": "v3" }), "markdown: has to be"),
        (
            "slack",
            json!({ "webhook_url": "http://hooks.slack.com/x" }),
            "webhook_url: has to begin",
        ),
        ("slack", json!({ "webhook_url": "http://127.0.0.1:1/x" }), ""),
        (
            "webhook",
            json!({ "secret": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw" }),
            "secret: has to begin",
        ),
        ("webhook", json!({ "secret": "whsec_!" }), "secret: has to be standard Base64"),
        ("webhook", json!({ "secret": key(23) }), "secret: has to hold 24 to 64 bytes"),
        ("webhook", json!({ "secret": [key(24), key(64)] }), ""),
        ("webhook", json!({ "secret": [key(24), key(65)] }), "secret: has to hold 24 to 64 bytes"),
        ("webhook", json!({ "secret": [] }), "secret: has to be a text or a list"),
        ("webhook", json!({ "headers": { "Host": "x" } }), "headers: may not set host"),
        ("webhook", json!({ "headers": { "Webhook-Id": "x" } }), "headers: may not set webhook-id"),
        (
            "webhook",
            json!({ "headers": { "Callout-Ack": "x" } }),
            "headers: may not set callout-ack",
        ),
        (
            "webhook",
            json!({ "headers": { "Content-Length": "1" } }),
            "headers: may not set content-l",
        ),
        ("webhook", json!({ "headers": { "a": "x\r\nb: c" } }), "headers: holds a value for a"),
        ("webhook", json!({ "headers": { "a\r\nb": "x" } }), "headers: holds a name"),
    ] {
        let found = problems(kind, over.clone());
        match found.as_slice() {
            [] => assert_eq!(expected, "", "{kind} {over}"),
            [problem] if !expected.is_empty() => {
                assert!(problem.starts_with(expected), "{kind} {over}: {problem}");
            }
            more => panic!("{kind} {over}: {more:?}"),
        }
    }
    assert_eq!(Channel::build("pigeon", json!({})).unwrap_err()[0].field, "kind");
}

/// Every text in `value`.
fn strings(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| strings(value, texts)),
        Value::Object(table) => table.values().for_each(|value| strings(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[test]
fn every_spec_can_be_read() {
    for row in REGISTRY {
        row.spec.rate.parse::<callout_core::rate::Rate>().unwrap();
        assert_eq!(crate::find(row.spec.kind).unwrap().spec.kind, row.spec.kind);
        assert!(
            row.spec
                .fields
                .iter()
                .all(|field| field.doc.ends_with('.') && !field.doc.contains('\n'))
        );
    }
    assert_eq!(crate::kinds().count(), REGISTRY.len());
}
