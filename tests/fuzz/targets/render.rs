//! A message with hostile text, as every kind says it. The first byte chooses the kind, and whether in
//! plain text; then come the parts, divided by the byte 1F.

#![no_main]

use callout_channels::channel::Mentions;
use callout_channels::preview::{Body, Preview};
use callout_channels::{Channel, REGISTRY};
use callout_core::level::Level;
use callout_core::message::{Attachment, Message};
use callout_fuzz::{ask, now, outgoing, settings};
use libfuzzer_sys::fuzz_target;
use serde_json::{Map, Value};
use std::sync::LazyLock;

static CHANNELS: LazyLock<Vec<Channel>> = LazyLock::new(|| {
    let build = |kind| Channel::build(kind, settings(kind)).expect("a channel");
    REGISTRY.iter().map(|row| build(row.spec.kind)).collect()
});
/// Texts of these mention whoever stands behind one of the marks.
const MARKS: [(&str, &[&str]); 7] = [
    ("slack", &["<!", "<@"]),
    ("slack_api", &["<!", "<@"]),
    ("wecom", &["<@"]),
    ("wecom_app", &["<@"]),
    ("feishu", &["<at"]),
    ("teams", &["<at"]),
    ("googlechat", &["<users"]),
];

fuzz_target!(|bytes: &[u8]| {
    let [flags, rest @ ..] = bytes else { return };
    let text = String::from_utf8_lossy(rest);
    let mut parts = text.split('\u{1f}');
    let mut part = || parts.next().unwrap_or_default();
    let mut message = Message::new(Level::Critical, part()).with_body(part());
    message = message.with_label(part(), part()).with_link(part(), format!("https://{}", part()));
    message = message.with_image(format!("http://e.example/{}", part()));
    message =
        message.with_attachment(Attachment { name: part().to_owned(), base64: "aGk=".to_owned() });
    let ask = ask(part());
    message.labels.retain(|name, _| !name.is_empty());
    message.links.retain(|link| !link.text.is_empty());
    message.images.retain(|url| flags & 4 != 0 && url.len() > 17);
    message.attachments.retain(|file| !file.name.is_empty());
    if message.validate().is_err() || ask.note.as_ref().is_some_and(|note| note.len() > 300) {
        return;
    }
    let mentions = Mentions::default();
    let out = outgoing(&message, &mentions, (flags & 1 != 0).then_some(&ask), flags & 2 != 0);
    // All of them, for every message, would be few messages.
    let channel = &CHANNELS[usize::from(flags >> 3) % CHANNELS.len()];
    let spec = channel.spec();
    let Ok(Preview::Http(shown)) = channel.preview(&out, now()) else { return };
    assert!(shown.body_bytes <= spec.body_bytes_max, "{}: {}", spec.kind, shown.body_bytes);
    let headers = shown.headers.iter();
    assert!(headers.clone().all(|(_, value)| callout_fuzz::is_clean(value)), "{:?}", shown.headers);
    if headers.clone().any(|(name, value)| name == "content-type" && value.contains("json")) {
        let Body::Json(json) = &shown.body else { panic!("{}: {shown:?}", spec.kind) };
        assert!(json["at"].is_null() && json["text"]["mentioned_list"][0].is_null(), "{json}");
        let marks = MARKS.iter().filter(|(kind, _)| *kind == spec.kind);
        for mark in marks.flat_map(|(_, marks)| *marks) {
            assert!(!says(json, mark), "{} says {mark}: {json}", spec.kind);
        }
    }
});

/// Whether a text in `json` has the mark in it, but for addresses and plain text, where it mentions nobody.
fn says(json: &Value, mark: &str) -> bool {
    match json {
        Value::String(text) => text.contains(mark),
        Value::Object(table) if is_label(table) => false,
        Value::Array(list) => list.iter().any(|value| says(value, mark)),
        Value::Object(table) => {
            let mut texts = table.iter().filter(|(name, _)| !name.to_lowercase().contains("url"));
            texts.any(|(_, value)| says(value, mark))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether it is plain text or a button, whose label is; WeCom's news can mention nobody either.
fn is_label(table: &Map<String, Value>) -> bool {
    let kind = table.get("type").and_then(Value::as_str);
    matches!(kind, Some("plain_text" | "button" | "Action.OpenUrl"))
        || table.contains_key("actionURL")
        || table.contains_key("articles")
}
