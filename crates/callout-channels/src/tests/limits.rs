//! What is sent fits, and what must not be cut is not.

use super::*;
use crate::fit;
use callout_core::message::Link;

pub(super) fn huge(body: &str) -> Message {
    let mut message = Message::new(Level::Critical, fit::bytes(&"标题🔥&<".repeat(300), 1024));
    message.body = fit::bytes(&body.repeat(16 * 1024 / body.len() + 1), 16 * 1024);
    for n in 0..64 {
        message.labels.insert(format!("标签{n:02}"), fit::bytes(&"值🔥<&".repeat(200), 1024));
    }
    let url = |n: usize| format!("https://e.example/{n:02}/{}", "p".repeat(2048 - 21));
    message.links = (0..16).map(|n| Link { text: "链接&".repeat(30), url: url(n) }).collect();
    message.images = (0..16).map(url).collect();
    message.validate().unwrap();
    message
}

/// What these send are templates of the operator.
const TEMPLATED: [&str; 2] = ["aliyun_sms", "tencent_sms"];

const BODIES: [&str; 7] =
    ["告警🔥", "&", "\"\\", "a\n", "```\nx\n", "**b** [l](https://e.example/x) ", "`"];

/// The longest address, command and note: a public address of 200 bytes, and the ticket of a receiver
/// whose name has 64 of the longest letters.
fn asks(note: &str) -> [Ask; 2] {
    let url =
        format!("https://{}.example/{}/a/{}", "h".repeat(60), "p".repeat(123), "T".repeat(399));
    let note = fit::bytes(&note.repeat(300 / note.len() + 1), 300);
    let note = note.trim_end_matches('…');
    assert!(url.len() == 602 && (288..=300).contains(&note.len()));
    [ask(Some(&url), Some(note), 2), ask(None, Some(note), 2)]
}

fn crowd() -> Mentions {
    Mentions { all: true, ids: (0..500).map(|n| format!("user{n}")).collect() }
}

fn check_largest(kind: &str, out: &Outgoing<'_>) {
    let spec = crate::find(kind).unwrap().spec;
    let sent = requests(&channel(kind), out, &[]);
    for request in &sent {
        let bytes = request.body.len();
        assert!(bytes <= spec.body_bytes_max, "{kind} {bytes}");
        let body = tree(request);
        check_limits(kind, &body);
        let shows_level =
            kind != "webhook" && !TEMPLATED.contains(&kind) && body["msgtype"] != "news";
        if shows_level {
            assert!(body.to_string().contains("CRITICAL"), "{kind} {body}");
        }
    }
    if let Some(ask) = out.ask.filter(|_| shows_ack(spec)) {
        check_whole(kind, &sent[0], ask);
    }
}

/// Address or command, and the note, stand in `request` from the first to the last character.
fn check_whole(kind: &str, request: &HttpRequest, ask: &Ask) {
    let mut texts = Vec::new();
    strings(&tree(request), &mut texts);
    let said = texts.join("\n").replace(['\u{200b}', '\\'], "").replace('ˋ', "`");
    let said = said.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&");
    let way = ask.url.as_ref().map_or(&*ask.command, Secret::expose);
    assert!(said.contains(way), "{kind} cuts {way} in {said}");
    let note = ask.note.as_ref().unwrap();
    assert!(said.contains(note), "{kind} cuts {note} in {said}");
}

#[test]
fn the_largest_messages_fit_every_kind() {
    for body in BODIES {
        let (message, crowd) = (huge(body), crowd());
        for row in http_kinds() {
            check_largest(row.spec.kind, &outgoing(&message, &crowd, false));
            check_largest(row.spec.kind, &outgoing(&message, &crowd, true));
        }
    }
}

#[test]
fn the_largest_messages_fit_every_kind_with_all_they_ask() {
    for (body, note) in [("告警🔥", "告警升级🔥"), ("&", "&<@all x"), ("```\nx\n", "`*n*`")]
    {
        let message = huge(body);
        for row in http_kinds() {
            // Cards, news and Markdown: which of them it becomes depends on whether anybody is mentioned.
            for mentions in [Mentions::default(), crowd()] {
                for ask in &asks(note) {
                    let rich = Outgoing { ask: Some(ask), ..outgoing(&message, &mentions, false) };
                    check_largest(row.spec.kind, &rich);
                    if mentions.all {
                        check_largest(row.spec.kind, &Outgoing { plain: true, ..rich });
                    }
                }
            }
        }
    }
}

#[test]
fn what_a_native_body_leaves_unsaid_fits_every_kind() {
    for row in http_kinds().filter(|row| row.spec.native) {
        let kind = row.spec.kind;
        let mut message = huge("x");
        message.native.insert(kind.to_owned(), json!({ "own": 1 }));
        let mentions = crowd();
        for ask in &asks("&<@a告") {
            let out = Outgoing { ask: Some(ask), ..outgoing(&message, &mentions, false) };
            let sent = requests(&channel(kind), &out, &[]);
            let Some(after) = sent.get(1) else {
                assert!(sent[0].headers.iter().all(|(_, value)| value.expose().len() < 4096));
                continue;
            };
            check_limits(kind, &tree(after));
            check_whole(kind, after, ask);
        }
    }
}

/// The providers' limits for single parts, written down once more.
pub(super) fn check_limits(kind: &str, body: &Value) {
    let length = |value: &Value| value.as_str().unwrap_or_default().len();
    let units = |value: &Value| fit::utf16_len(value.as_str().unwrap_or_default());
    match kind {
        "wecom" => {
            assert!(length(&body["text"]["content"]) <= 2048);
            assert!(length(&body["markdown"]["content"]) <= 4096);
            for article in body["news"]["articles"].as_array().unwrap_or(&Vec::new()) {
                assert!(length(&article["title"]) <= 128 && length(&article["description"]) <= 512);
            }
        }
        "slack" | "slack_api" => {
            assert!(units(&body["text"]) <= 40_000);
            assert!(fit::utf16_len(&body["blocks"].to_string()) <= 12_000);
            let blocks = body["blocks"].as_array().cloned().unwrap_or_default();
            assert!(blocks.len() <= 50);
            for block in &blocks {
                let most = if block["type"] == "header" { 150 } else { 3_000 };
                assert!(units(&block["text"]["text"]) <= most);
                for field in block["fields"].as_array().unwrap_or(&Vec::new()) {
                    assert!(units(&field["text"]) <= 2_000);
                }
                let elements = block["elements"].as_array().cloned().unwrap_or_default();
                assert!(elements.len() <= 25);
                for button in elements.iter().filter(|e| e["type"] == "button") {
                    assert!(units(&button["text"]["text"]) <= 75 && units(&button["url"]) <= 3_000);
                }
            }
        }
        _ => {
            bots::check_limits(kind, body);
            cards::check_limits(kind, body);
            push::check_limits(kind, body);
            sms::check_limits(kind, body);
            wecom_app::check_limits(kind, body);
        }
    }
}

#[test]
fn a_native_body_that_is_too_large_is_refused() {
    for row in http_kinds().filter(|row| row.spec.native) {
        let mut message = Message::new(Level::Info, "x");
        let native = json!({ "text": "x".repeat(row.spec.body_bytes_max) });
        message.native.insert(row.spec.kind.to_owned(), native);
        let mentions = Mentions::default();
        let refused = |plain| {
            channel(row.spec.kind)
                .http()
                .request(&outgoing(&message, &mentions, plain), now())
                .is_err()
        };
        assert!(refused(false) && !refused(true), "{}", row.spec.kind);
    }
}
