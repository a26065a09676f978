//! What is asked of the reader.

use super::*;
use crate::find;

fn message() -> Message {
    Message::new(Level::Critical, "Disk full")
}

fn header<'a>(request: &'a HttpRequest, name: &str) -> Option<&'a str> {
    request.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.expose())
}

#[test]
fn every_telling_has_an_id_of_its_own_that_no_try_changes() {
    let (message, mentions) = (message(), Mentions::default());
    let mut settings = base_settings("dingtalk");
    settings.insert("message_uuid".to_owned(), json!(true));
    let dingtalk = Channel::build("dingtalk", Value::Object(settings)).unwrap();
    let webhook = channel("webhook");
    for (telling, key) in [(1, id().to_string()), (3, format!("{}-3", id()))] {
        let ask = ask(None, None, telling);
        for plain in [false, true] {
            let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, plain) };
            let request = dingtalk.http().request(&out, now()).unwrap();
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(body["msgUuid"], key);
            let request = webhook.http().request(&out, now()).unwrap();
            assert_eq!(header(&request, "webhook-id"), Some(&*key));
            let body: Value = serde_json::from_slice(&request.body).unwrap();
            assert_eq!(body["data"]["id"], id().to_string());
        }
    }
}

#[test]
fn a_native_body_stays_untouched_and_what_it_leaves_unsaid_is_said_beside_it() {
    let own = json!({ "own": ["body", 1] });
    for row in http_kinds().filter(|row| row.spec.native) {
        let kind = row.spec.kind;
        let mut message = message();
        message.native.insert(kind.to_owned(), own.clone());
        let (mentions, ask) = (Mentions::default(), ask(Some(LINK), Some("So far nobody. 🔥"), 2));
        let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
        let sent = requests(&channel(kind), &out, &[]);
        // Some add what the provider needs beside it: a signature, a topic.
        assert_eq!(tree(&sent[0])["own"], own["own"], "{kind}");
        let beside = match &sent[1..] {
            [] => header(&sent[0], "callout-ack").unwrap().to_owned(),
            [next] => String::from_utf8(next.body.clone()).unwrap(),
            more => panic!("{kind} sends {} more", more.len()),
        };
        assert!(beside.contains(LINK) && beside.contains("So far nobody."), "{kind}: {beside}");
    }
}

#[test]
fn nothing_follows_where_the_message_itself_says_what_is_asked() {
    for row in http_kinds() {
        let kind = row.spec.kind;
        let (mut message, mentions) = (message(), Mentions::default());
        let ask = ask(Some(LINK), None, 1);
        let told = |message: &Message, plain, ask| {
            let out = Outgoing { ask, ..outgoing(message, &mentions, plain) };
            let sent = requests(&channel(kind), &out, &[]);
            (sent.len(), header(&sent[0], "callout-ack").is_some())
        };
        assert_eq!(told(&message, false, Some(&ask)), (1, false), "{kind}");
        message.native.insert(kind.to_owned(), json!({ "own": 1 }));
        assert_eq!(told(&message, true, Some(&ask)), (1, false), "{kind}");
        assert_eq!(told(&message, false, None), (1, false), "{kind}");
    }
}

#[test]
fn an_address_stays_whole_where_text_is_made_quiet() {
    let url = "https://callout.example.com/@ops/@13800000000/a/ticket";
    let (message, mentions, ask) = (message(), Mentions::default(), ask(Some(url), None, 1));
    for row in http_kinds().filter(|row| shows_ack(row.spec)) {
        for plain in [false, true] {
            let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, plain) };
            let request = channel(row.spec.kind).http().request(&out, now()).unwrap();
            let mut texts = Vec::new();
            strings(&tree(&request), &mut texts);
            assert!(texts.join("\n").contains(url), "{} {texts:?}", row.spec.kind);
        }
    }
}

#[test]
fn a_header_says_everything_in_visible_ascii() {
    let mut message = message();
    message.native.insert("webhook".to_owned(), json!({}));
    let note = "告警\u{7f}\r\nx-evil: 1 🔥\"";
    let (mentions, ask) = (Mentions::default(), ask(None, Some(note), 2));
    let out = Outgoing { ask: Some(&ask), ..outgoing(&message, &mentions, false) };
    let request = channel("webhook").http().request(&out, now()).unwrap();
    let value = header(&request, "callout-ack").unwrap();
    assert!(value.bytes().all(|b| (b' '..=b'~').contains(&b)), "{value}");
    let read: Value = serde_json::from_str(value).unwrap();
    assert_eq!(read["note"], note);
    assert_eq!(read["url"], Value::Null);
    assert_eq!(read["command"], ask.command);
}

#[test]
fn only_a_native_body_of_this_kind_leaves_something_unsaid() {
    let mut message = message();
    message.native.insert("slack".to_owned(), json!({}));
    let (mentions, ask) = (Mentions::default(), ask(None, None, 1));
    let unsaid = |kind, plain, ask| {
        let out = Outgoing { ask, ..outgoing(&message, &mentions, plain) };
        out.unsaid(find(kind).unwrap().spec).is_some()
    };
    assert!(unsaid("slack", false, Some(&ask)));
    assert!(!unsaid("slack", true, Some(&ask)));
    assert!(!unsaid("slack", false, None));
    assert!(!unsaid("wecom", false, Some(&ask)));
}
