//! Nothing that a producer wrote mentions anybody.

use super::*;
use callout_core::message::{Attachment, Link};

const TOKENS: &str = "@all @ALL @所有人 @13800000000 x@13800000000 <@user01> <@U1> <!channel> <!here> <!everyone> <!subteam^S1> <at id=all> <font color=\"warning\">x</font> ＠all";
const DANGEROUS: [&str; 9] =
    ["@all", "@ALL", "@所有人", "@13800", "＠all", "<@", "<!", "<at", "<font color=\"warning\">x"];

/// What is sent of `message` with a hostile note, as texts that could mention.
fn said(kind: &str, settings: &Value, message: &Message, plain: bool) -> Vec<String> {
    let mut all = base_settings(kind);
    all.extend(settings.as_object().cloned().unwrap_or_default());
    let channel = Channel::build(kind, Value::Object(all)).unwrap();
    let (mentions, ask) = (Mentions::default(), ask(Some(LINK), Some(TOKENS), 2));
    let out = Outgoing { ask: Some(&ask), ..outgoing(message, &mentions, plain) };
    let mut texts = Vec::new();
    for request in requests(&channel, &out, &[]) {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        assert!(body["at"].is_null() && body["text"]["mentioned_list"].get(0).is_none());
        if !is_own(message, kind, &body) {
            marked_up(&body, &mut texts);
        }
    }
    texts
}

fn is_own(message: &Message, kind: &str, body: &Value) -> bool {
    message.native.get(kind) == Some(body)
}

fn check(kind: &str, settings: &Value, message: &Message) {
    for plain in [false, true] {
        let texts = said(kind, settings, message, plain);
        assert!(!texts.is_empty());
        for (text, token) in texts.iter().flat_map(|text| DANGEROUS.map(|token| (text, token))) {
            assert!(!text.contains(token), "{kind}: {token} in {text}");
        }
    }
}

/// Every text in `value`, apart from labels of buttons, where nothing is a mention.
fn marked_up(value: &Value, texts: &mut Vec<String>) {
    match value {
        Value::String(text) => texts.push(text.clone()),
        Value::Array(list) => list.iter().for_each(|value| marked_up(value, texts)),
        Value::Object(table) if table.contains_key("actionURL") => {}
        Value::Object(table) if table.contains_key("url") || table.contains_key("singleURL") => {
            let text = table.get("text").filter(|text| text.is_string());
            text.into_iter().for_each(|text| marked_up(text, texts));
        }
        Value::Object(table) if table.get("type") == Some(&json!("plain_text")) => {}
        Value::Object(table) => table.values().for_each(|value| marked_up(value, texts)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn hostile(body: String) -> Message {
    let mut message = Message::new(Level::Error, TOKENS);
    message.body = body;
    message.labels.insert(TOKENS.to_owned(), TOKENS.to_owned());
    message.links = vec![Link { text: TOKENS.to_owned(), url: "https://e.example/".to_owned() }];
    let name = TOKENS.replace(['/', '"'], "");
    message.attachments = vec![Attachment { name, base64: "aGk=".to_owned() }];
    message
}

const CHATS: [&str; 3] = ["dingtalk", "wecom", "slack"];

#[test]
fn no_text_of_a_message_can_mention_anybody() {
    let prose =
        format!("{TOKENS}\n- {TOKENS}\n> {TOKENS} ` {TOKENS}\n[{TOKENS}](https://e.example/)");
    let code = format!("```\n{TOKENS}\n```\n`{TOKENS}`");
    for kind in CHATS {
        let mut message = hostile(prose.clone());
        message.attachments.clear();
        check(kind, &json!({}), &message);
        message.native.insert(kind.to_owned(), json!({ "text": TOKENS }));
        check(kind, &json!({}), &message);
    }
    check("wecom", &json!({ "markdown": "v2" }), &hostile_words(&prose));
    for kind in ["wecom", "slack"] {
        check(kind, &json!({}), &hostile_words(&code));
    }
}

/// Without files, whose bytes are no texts.
fn hostile_words(body: &str) -> Message {
    let mut message = hostile(body.to_owned());
    message.attachments.clear();
    message
}

#[test]
fn no_name_of_a_file_can_mention_anybody() {
    for kind in ["dingtalk", "slack"] {
        check(kind, &json!({}), &hostile(TOKENS.to_owned()));
    }
}

#[test]
fn code_stays_as_it_was_written_where_text_alone_mentions_nobody() {
    let code = "@app.route <div> @all";
    let mut message = Message::new(Level::Error, "x");
    message.body = format!("`{code}` and {code}\n```\n{code}\n```\n{code}");
    for (kind, settings) in [("dingtalk", json!({})), ("wecom", json!({ "markdown": "v2" }))] {
        let whole: usize = said(kind, &settings, &message, false)
            .iter()
            .map(|text| text.matches(code).count())
            .sum();
        assert_eq!(whole, 2, "{kind}");
    }
    let quiet = said("wecom", &json!({}), &message, false);
    assert!(!quiet.iter().any(|text| text.contains("@all")));
}
