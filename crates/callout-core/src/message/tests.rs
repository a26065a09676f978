use super::*;
use expect_test::{Expect, expect};

fn check(change: impl FnOnce(&mut Message), expected: Expect) {
    let mut message = Message::new(Level::Critical, "disk full");
    change(&mut message);
    let verdict =
        message.validate().map_or_else(|invalid| invalid.to_string(), |()| "fine".to_owned());
    expected.assert_eq(&verdict);
}

#[test]
fn what_may_be_enqueued() {
    check(|_| (), expect!["fine"]);
    check(|m| m.title = "磁盘满了 🔥".into(), expect!["fine"]);
    check(|m| m.body = "line\n\tline\r\n".into(), expect!["fine"]);
    check(
        |m| m.title = "  ".into(),
        expect!["title is empty; give it at least one visible character"],
    );
    check(
        |m| m.title = "a\nb".into(),
        expect![[r"title contains the control character '\n'; it has to be one plain line"]],
    );
    check(|m| m.title = "x".repeat(1025), expect!["title has 1025 bytes; at most 1024 fit"]);
    check(
        |m| m.body = "\u{1b}[31mred".into(),
        expect![[
            r"body contains the control character '\u{1b}'; remove it (terminal colours, for example)"
        ]],
    );
    check(|m| m.body = "告".repeat(5462), expect!["body has 16386 bytes; at most 16384 fit"]);
    check(
        |m| drop(m.labels.insert("host".into(), "a\0b".into())),
        expect![[
            r"labels.host contains the control character '\0'; remove it (terminal colours, for example)"
        ]],
    );
    check(
        |m| m.images = vec!["ftp://x".into()],
        expect!["images[0] is not an http:// or https:// address"],
    );
    check(
        |m| m.links = vec![Link { text: "go".into(), url: "javascript:alert(1)".into() }],
        expect!["links[0].url is not an http:// or https:// address"],
    );
    // Each part is short enough, but a quote takes two bytes in JSON, and a webhook sends all of it.
    let quotes = |m: &mut Message| {
        m.body = "\"".repeat(BODY_BYTES_MAX);
        m.labels = (0..64).map(|n| (n.to_string(), "\"".repeat(LABEL_VALUE_BYTES_MAX))).collect();
        m.images = vec![format!("https://{}", "\"".repeat(URL_BYTES_MAX - 8)); LIST_MAX];
        m.links = vec![Link { text: "x".into(), url: m.images[0].clone() }; LIST_MAX];
    };
    check(quotes, expect!["message has 295640 bytes as JSON; at most 262144 fit"]);
    check(|m| m.to = vec!["ops".into(); 17], expect!["to has 17 entries; at most 16 fit"]);
    check(|m| m.ttl = Some(Duration::ZERO), expect!["ttl is not between 1s and 30d"]);
    check(|m| m.delay = Some(Duration::MAX), expect!["delay is longer than 366d"]);
    check(
        |m| m.idempotency_key = Some(String::new()),
        expect!["idempotency_key is empty; give it at least one visible character"],
    );
    check(
        |m| drop(m.native.insert("slack".into(), 7.into())),
        expect!["native.slack is a JSON object nested at most 32 deep"],
    );
    check(
        |m| m.attachments = vec![Attachment { name: "a.log".into(), base64: "x".into() }],
        expect!["attachments[0].base64 is not standard Base64 with padding"],
    );
    check(
        |m| m.attachments = vec![Attachment { name: "a.log".into(), base64: "A".repeat(300_000) }],
        expect!["message has 300085 bytes as JSON; at most 262144 fit"],
    );
}

#[test]
fn what_may_be_said_about_acknowledgment() {
    let ask = |within: Duration| {
        move |m: &mut Message| {
            m.require_ack = true;
            m.ack_within = Some(within);
        }
    };
    check(|m| m.require_ack = true, expect!["fine"]);
    check(ask(Duration::from_secs(1)), expect!["fine"]);
    check(ask(Duration::from_secs(7 * 86_400)), expect!["fine"]);
    check(ask(Duration::from_millis(999)), expect!["ack_within is not between 1s and 7d"]);
    check(ask(Duration::from_secs(7 * 86_400 + 1)), expect!["ack_within is not between 1s and 7d"]);
    check(ask(Duration::ZERO), expect!["ack_within is not between 1s and 7d"]);
    check(
        |m| m.ack_within = Some(Duration::from_secs(60)),
        expect!["ack_within has a meaning only with require_ack; set that too"],
    );
    check(
        |m| *m = m.clone().with_dedup_key("disk").with_delay(Duration::from_secs(60)),
        expect![
            "dedup_key and delay exclude each other: whether a problem is there is known only then"
        ],
    );
    check(|m| m.resolve = true, expect!["resolve needs the dedup_key of the problem that is over"]);
    check(|m| *m = Message::resolved("db-1/disk"), expect!["fine"]);
    check(
        |m| *m = Message::resolved("db-1/disk").with_require_ack(),
        expect!["resolve and require_ack exclude each other"],
    );
    check(|m| *m = Message::resolved("x".repeat(256)), expect!["fine"]);
    check(
        |m| *m = Message::resolved("x".repeat(257)),
        expect!["dedup_key has 257 bytes; at most 256 fit"],
    );
    check(
        |m| *m = Message::resolved(""),
        expect!["dedup_key is empty; give it at least one visible character"],
    );
    check(
        |m| m.dedup_key = Some("a\nb".into()),
        expect![[r#"dedup_key contains the control character '\n'; it has to be one plain line"#]],
    );
}

#[test]
fn asking_for_an_answer_reads_back_from_json() {
    let message = Message::new(Level::Critical, "disk full")
        .with_dedup_key("db-1/disk")
        .with_ack_within(Duration::from_secs(90));
    let json = serde_json::to_string(&message).unwrap();
    expect![[r#"{"level":"critical","title":"disk full","dedup_key":"db-1/disk","require_ack":true,"ack_within":"1m30s"}"#]].assert_eq(&json);
    assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), message);
    let over = serde_json::to_string(&Message::resolved("db-1/disk")).unwrap();
    expect![[
        r#"{"level":"info","title":"Resolved: db-1/disk","dedup_key":"db-1/disk","resolve":true}"#
    ]]
    .assert_eq(&over);
    assert_eq!(serde_json::from_str::<Message>(&over).unwrap(), Message::resolved("db-1/disk"));
}

#[test]
fn a_message_reads_back_from_its_json() {
    let mut message = Message::new(Level::Info, "nightly report");
    message.delay = Some(Duration::from_millis(90_061_001));
    message.ttl = Some(Duration::from_secs(3600));
    let json = serde_json::to_string(&message).unwrap();
    expect![[r#"{"level":"info","title":"nightly report","delay":"90061001ms","ttl":"1h"}"#]]
        .assert_eq(&json);
    assert_eq!(serde_json::from_str::<Message>(&json).unwrap(), message);
    assert!(
        serde_json::from_str::<Message>(r#"{"level":"info","title":"x","tilte":"y"}"#).is_err()
    );
}

#[test]
fn of_all_characters_a_text_may_have_those_that_control_nothing_and_three_that_do() {
    for c in '\0'..=char::MAX {
        let mut message = Message::new(Level::Critical, "disk full");
        message.body = format!("a long line, and then {c}");
        let is_fine = !c.is_control() || matches!(c, '\n' | '\r' | '\t');
        assert_eq!(message.validate().is_ok(), is_fine, "{c:?}");
    }
}
